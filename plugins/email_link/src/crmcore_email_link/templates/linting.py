"""Linting: what is wrong with a template, before the first mail goes."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from attrs import field, frozen

from crmcore_email_link.templates.checking import Finding, static_findings
from crmcore_email_link.templates.errors import RenderError
from crmcore_email_link.templates.markup import attribute, tokens
from crmcore_email_link.templates.needs import Needs, needs_of, shown
from crmcore_email_link.templates.template import MailTemplate, Rendered

GMAIL_CLIPS: Final = 102 * 1024
"""Bytes of HTML after which Gmail shows no more, and so neither footer nor unsubscribe link."""

_HEAVIEST: Final = 3


@frozen(kw_only=True)
class Report:
    """
    What lint found.

    Attributes:
        findings: Errors first.
        recipients: How many were looked at.
        lacking: Those whose mail cannot be rendered.
    """

    findings: tuple[Finding, ...]
    recipients: int
    lacking: frozenset[Any] = field(factory=frozenset)

    @property
    def may_go(self) -> bool:
        """Whether nothing was found that a campaign must not start with."""
        return not any(each.level == "error" for each in self.findings)


def lint(
    template: MailTemplate,
    recipients: Iterable[tuple[Any, Mapping[str, Any]]],
    *,
    bulk: bool,
    postal_address: str | None = None,
    sender_name: str | None = None,
) -> Report:
    """
    Return what is wrong with a template for those it goes to.

    Which variables it uses is told from the template, and looked up for each recipient. Only those
    for whom something is not there are rendered, as it may not be needed; all of them if it cannot
    be told. Those with the longest values are rendered too, for their size.

    Args:
        template: The mail's.
        recipients: Whatever names each, such as an id, and their variables. Gone through once.
        bulk: Whether it goes to many, so that it needs a way to unsubscribe and who sends it.
        postal_address: The shop's, if it stands in the template as it is and in no variable.
        sender_name: The same of its name.
    """
    needs = needs_of(each.tree for each in template.programs.values())
    found = list(static_findings(template, needs, bulk=bulk))
    look = _Look(template, needs)
    for who, variables in recipients:
        look.take(who, variables)
    look.weigh_heaviest()
    found += look.findings()
    if bulk:
        said = {"postal_address": postal_address, "sender_name": sender_name}
        found += _identity(template, needs, look.samples, said)
    order = ("error", "warning", "note")
    found.sort(key=lambda each: (order.index(each.level), each.code, each.line or 0))
    return Report(findings=tuple(found), recipients=look.count, lacking=frozenset(look.lacking))


class _Look:
    """
    A look at recipients, one after another.

    Attributes:
        samples: Some mails as they would go.
        lacking: Whose cannot be rendered.
        count: How many were looked at.
    """

    def __init__(self, template: MailTemplate, needs: Needs) -> None:
        self._template = template
        self._needs = needs
        self._faults: dict[tuple[str, str, int | None], list[Any]] = {}
        self._heavy: list[tuple[int, int, Any, Mapping[str, Any]]] = []
        self._large: dict[Any, int] = {}
        self._insecure: set[str] = set()
        self.samples: list[Rendered] = []
        self.lacking: set[Any] = set()
        self.count = 0

    def take(self, who: Any, variables: Mapping[str, Any]) -> None:
        """Look at one recipient."""
        self.count += 1
        if not self._needs.is_all or self._needs.lacking(variables):
            self._render(who, variables)
            return
        entry = (_weight(variables), -self.count, who, variables)
        if len(self._heavy) < _HEAVIEST:
            heapq.heappush(self._heavy, entry)
        elif entry > self._heavy[0]:
            heapq.heapreplace(self._heavy, entry)

    def weigh_heaviest(self) -> None:
        """Render those with the longest values."""
        for _, _, who, variables in sorted(self._heavy, key=lambda each: each[:2]):
            self._render(who, variables)

    def _render(self, who: Any, variables: Mapping[str, Any]) -> None:
        try:
            rendered = self._template.render(variables)
        except RenderError as error:
            self.lacking.add(who)
            problem = error.problem
            if paths := self._needs.lacking(variables):
                problem += f" (not there: {', '.join(map(shown, paths[:5]))})"
            self._faults.setdefault((problem, error.template, error.line), []).append(who)
            return
        size = len((rendered.html or "").encode())
        if size > GMAIL_CLIPS:
            self._large[who] = size
        self._insecure.update(_insecure_links(rendered.html or ""))
        if not rendered.subject:
            self._faults.setdefault(("the subject is empty", "subject", None), []).append(who)
        if len(self.samples) < _HEAVIEST:
            self.samples.append(rendered)

    def findings(self) -> Iterator[Finding]:
        """Go through what was found."""
        for (problem, template, line), those in self._faults.items():
            yield Finding(
                "error", "render", problem, template=template, line=line, recipients=tuple(those)
            )
        if self._large:
            largest = max(self._large.values())
            yield Finding(
                "warning",
                "size",
                f"the HTML has up to {largest:,} bytes; Gmail shows the first {GMAIL_CLIPS:,}, "
                "without the footer then",
                recipients=tuple(self._large),
            )
        for each in sorted(self._insecure):
            if each in (self._template.html or ""):
                continue  # it was found there
            yield Finding("warning", "http-link", f"a link goes to {each}, which is not https")


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return 8 + sum(map(_weight, value.values()))
    if isinstance(value, list | tuple):
        return 8 + sum(map(_weight, value))
    return 8


def _insecure_links(html: str) -> Iterator[str]:
    for token in tokens(html) if "http://" in html else ():
        if token.kind == "open" and token.name == "a":
            address = attribute(token.text, "href") or ""
            if address.lower().startswith("http://"):
                yield re.sub(r"[?#].*", "", address)[:80]


_CALLED: Final[Mapping[str, tuple[Literal["no-postal-address", "no-sender"], str]]] = {
    "postal_address": ("no-postal-address", "a postal address"),
    "sender_name": ("no-sender", "who sends it"),
}


def _identity(
    template: MailTemplate,
    needs: Needs,
    samples: Iterable[Rendered],
    said: Mapping[str, str | None],
) -> Iterator[Finding]:
    """
    Go through what the law wants in the footer of a bulk mail and is not there.

    Source:
        CAN-SPAM, 15 USC 7704(a)(5); CASL, section 6(2); China, Internet Advertising Measures 2023,
        article 17.
    """
    texts = [" ".join(each.text.split()) for each in samples]
    texts += [" ".join(each.split()) for each in (template.text, template.html) if each]
    for name, (code, wanted) in _CALLED.items():
        literal = " ".join((said[name] or "").split())
        if needs.uses(name) or (literal and any(literal in each for each in texts)):
            continue
        yield Finding(
            "error",
            code,
            f"it does not say {wanted}: the variable {name} is used nowhere"
            + (f", and {literal!r} does not stand in it" if literal else ""),
        )
