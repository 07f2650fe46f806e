"""Viewing: the octets of a mail as a page that people look at; nothing in it runs or is fetched."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from typing import Final

from attrs import frozen

from crmcore_email_link.canonical import split
from crmcore_email_link.templates import page
from crmcore_email_link.wire import Finding

_SHOWN: Final = ("From", "To", "Reply-To", "Subject", "Date")
_REMOTE: Final = re.compile(r"""(?:src|background)\s*=\s*["'](https?://[^"']+)""", re.IGNORECASE)
_LONGEST_SOURCE: Final = 200_000

# The height of a frame is not known before what is in it was laid out.
_SCRIPT: Final = """\
for (const frame of document.querySelectorAll("iframe")) {
  const fit = () => {
    const inner = frame.contentDocument;
    if (!inner || !inner.body) return;
    frame.style.height = "0";
    frame.style.height = Math.max(inner.documentElement.scrollHeight, 60) + "px";
  };
  frame.addEventListener("load", fit);
  addEventListener("resize", fit);
  document.addEventListener("change", fit);
  fit();
}
"""
_STYLE: Final = """\
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif;
  background: #eceff1; color: #1c2529; }
main { max-width: 1180px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 22px; line-height: 1.3; margin: 0 0 12px; overflow-wrap: anywhere; }
.card { background: #fff; border: 1px solid #d5dcdf; border-radius: 8px; padding: 18px 22px;
  margin-bottom: 16px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 0; }
dt { color: #5d6b71; } dd { margin: 0; overflow-wrap: anywhere; }
.notes { list-style: none; margin: 0; padding: 0; }
.notes li { padding: 3px 0 3px 84px; position: relative; overflow-wrap: anywhere; }
.notes b { position: absolute; left: 0; font-weight: 600; font-size: 13px; border-radius: 4px;
  padding: 0 7px; line-height: 22px; top: 3px; }
.error b { background: #fde3e1; color: #9b1c13; }
.warning b { background: #fdf0d2; color: #7a5200; }
.note b { background: #e3ecf3; color: #2b526f; } .good b { background: #ddf1e1; color: #1d6331; }
input[name=view] { position: absolute; opacity: 0; }
nav { display: flex; flex-wrap: wrap; gap: 6px; margin-bottom: 12px; }
nav label { padding: 5px 14px; border: 1px solid #c3ccd0; border-radius: 16px; background: #fff;
  cursor: pointer; }
.view { display: none; }
.frames { display: flex; flex-wrap: wrap; gap: 20px; align-items: flex-start; }
figure { margin: 0; min-width: 0; }
figcaption { color: #5d6b71; font-size: 13px; margin-bottom: 4px; }
.wide { flex: 1 1 640px; } .narrow { flex: 0 0 377px; }
iframe { display: block; width: 100%; height: 70vh; border: 1px solid #c3ccd0; border-radius: 6px;
  background: #fff; }
.narrow iframe { width: 377px; max-width: 100%; border-radius: 18px; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13.5px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
"""
_TABS: Final = (("html", "As it looks"), ("text", "Plain text"), ("source", "As it is sent"))


@frozen(kw_only=True)
class View:
    """
    What is shown of a mail.

    Attributes:
        raw: Its octets.
        findings: What is wrong with it.
        notes: What else there is to know of it, in sentences.
        loads_remote: Whether images are fetched from where they are.
    """

    raw: bytes
    findings: Sequence[Finding] = ()
    notes: Sequence[str] = ()
    loads_remote: bool = False

    @property
    def headers(self) -> Mapping[str, str]:
        """What the page is served with."""
        return {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": self.policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }

    @property
    def policy(self) -> str:
        """
        What the page, and the mail in it, may do.

        Only the script that fits frames to what is in them runs, and in no frame.
        """
        script = b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
        images = "data: https:" if self.loads_remote else "data:"
        return (
            f"default-src 'none'; img-src {images}; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{script}'; form-action 'none'; base-uri 'none'"
        )

    def html(self) -> str:
        """Return the page, whole in itself, so that it can also be kept in a file."""
        mail = message_from_bytes(self.raw, policy=policy.default)
        subject = str(mail["Subject"] or "")
        body = mail.get_body(("html",))
        written = body.get_content() if body is not None else ""
        bodies = dict(_bodies(mail, remote=self.loads_remote))
        tabs = [(name, label) for name, label in _TABS if name in bodies or name == "source"]
        bodies["source"] = _pre(self.raw[:_LONGEST_SOURCE].decode("utf-8", "replace"))
        inputs = "".join(
            f'<input type="radio" name="view" id="v-{name}"{" checked" if not number else ""}>'
            for number, (name, _) in enumerate(tabs)
        )
        labels = "".join(f'<label for="v-{name}">{label}</label>' for name, label in tabs)
        shown = "".join(
            f'<section class="view {name}">{bodies[name]}</section>' for name, _ in tabs
        )
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{escape(self.policy)}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(subject)}</title><style>{_STYLE}{_chosen(tabs)}</style></head><body>"
            f'<main><div class="card"><h1>{escape(subject)}</h1>{_headers(mail)}</div>'
            f'<div class="card">{self._notes(written)}</div>{inputs}<nav>{labels}</nav>'
            f"{shown}</main>"
            f"<script>{_SCRIPT}</script></body></html>\n"
        )

    def _notes(self, html: str) -> str:
        far = 0 if self.loads_remote else len(set(_REMOTE.findall(html)))
        hidden = [f"not shown, as they are elsewhere: {far} of its images"] if far else []
        size = f"{len(self.raw):,} octets"
        lines: list[tuple[str, str]] = [
            (each.severity, f"{each.message} [{each.code}]") for each in self.findings
        ]
        if not lines:
            lines = [("good", "nothing is known to be wrong with these octets")]
        lines += [("note", each) for each in (*self.notes, *hidden, self._size(size))]
        items = (
            f'<li class="{kind}"><b>{"fine" if kind == "good" else kind}</b>{escape(text)}</li>'
            for kind, text in lines
        )
        return f'<ul class="notes">{"".join(items)}</ul>'

    def _size(self, size: str) -> str:
        names = [field.name for field in split(self.raw)[0]]
        signed = "signed" if b"dkim-signature" in names else "not signed here"
        return f"{size}, {signed}"


def _chosen(tabs: Sequence[tuple[str, str]]) -> str:
    """Return the style by which the chosen part is shown, so that no script is needed for it."""
    return "".join(
        f"#v-{name}:checked ~ .{name} {{ display: block; }}\n"
        f"#v-{name}:checked ~ nav label[for=v-{name}] {{ background: #1d5c63; color: #fff; "
        "border-color: #1d5c63; }\n"
        f"#v-{name}:focus-visible ~ nav label[for=v-{name}] {{ outline: 2px solid #1d5c63; "
        "outline-offset: 2px; }\n"
        for name, _ in tabs
    )


def _headers(mail: EmailMessage) -> str:
    rows = "".join(
        f"<dt>{name}</dt><dd>{escape(str(mail[name]))}</dd>"
        for name in _SHOWN
        if mail[name] is not None and name != "Subject"
    )
    return f"<dl>{rows}</dl>"


def _bodies(mail: EmailMessage, *, remote: bool) -> Iterator[tuple[str, str]]:
    html = mail.get_body(("html",))
    if html is not None:
        whole = page(html.get_content(), images_of(mail))
        src = escape(_guarded(whole, remote=remote))
        yield (
            "html",
            '<div class="frames">'
            + "".join(
                f'<figure class="{width}"><figcaption>{label}</figcaption>'
                f'<iframe sandbox="allow-same-origin" title="{label}" srcdoc="{src}"></iframe>'
                "</figure>"
                for width, label in (("wide", "On a desk"), ("narrow", "On a phone"))
            )
            + "</div>",
        )
    text = mail.get_body(("plain",))
    if text is not None:
        yield "text", _pre(text.get_content())


def _guarded(html: str, *, remote: bool) -> str:
    """Return a mail's HTML, which may do nothing even where the page's own policy is lost."""
    images = "data: https:" if remote else "data:"
    rule = f"default-src 'none'; img-src {images}; style-src 'unsafe-inline'"
    meta = f'<meta http-equiv="Content-Security-Policy" content="{rule}">'
    return f"{meta}{html}" if "<!doctype" not in html[:100].lower() else _behind(html, meta)


def _behind(html: str, meta: str) -> str:
    """Return it with *meta* behind its doctype, without which browsers lay it out otherwise."""
    end = html.find(">") + 1
    return f"{html[:end]}{meta}{html[end:]}"


def _pre(text: str) -> str:
    return f'<div class="card"><pre>{escape(text)}</pre></div>'


def images_of(mail: EmailMessage) -> dict[str, tuple[str, bytes]]:
    """Return the images that a mail brings along, by content id: type, and what it is."""
    found = {}
    for part in mail.walk():
        name = str(part.get("Content-ID", "")).strip().strip("<>")
        data = part.get_payload(decode=True)
        if name and isinstance(data, bytes) and part.get_content_maintype() == "image":
            found[name] = (part.get_content_type(), data)
    return found
