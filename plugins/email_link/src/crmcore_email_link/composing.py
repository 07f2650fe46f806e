"""Composing: from what a message says to the very bytes that go, and in which envelope."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from attrs import evolve, frozen

from crmcore import Content, Delivery, to_datetime
from crmcore.errors import ConfigurationError, InputError
from crmcore_email_link.addresses import parse
from crmcore_email_link.catalogue import Catalogue
from crmcore_email_link.dkim import Signer
from crmcore_email_link.letters import ASK_TRACKING, CONFIRM, FOOTERS
from crmcore_email_link.links import Links
from crmcore_email_link.mime import Mail, Mailbox, compose, message_id
from crmcore_email_link.templates import text_of_html
from crmcore_email_link.tracking.measuring import Measure
from crmcore_email_link.transports import Envelope

BULK: Final = frozenset({"care", "news", "promotion", "survey"})
"""The purposes of which a mail goes to many, who can each say that they want no more of it."""

_DAY: Final = 86_400_000_000
_FOOTER: Final = (
    "max-width:552px;margin:16px auto;padding:12px 24px;border-top:1px solid #cccccc;"
    "font-size:small"
)
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_-]+")
_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)


@frozen(kw_only=True)
class Composer:
    """
    Writes the mails of one shop.

    Attributes:
        sender: Whom they are from.
        postal_address: Where the shop is, as the law wants it in mails to many.
        list_id: What list they belong to (RFC 2919).
        languages: In which the shop writes, the one for everybody else first.
        links: Makes the links of a message.
        catalogue: The templates.
        pending_days: Within how many days who signed up is to confirm it.
        signer: Signs them; None: whoever carries them does.
        measure: Puts in what tells of opens and clicks; None: nobody is tracked.
    """

    sender: Mailbox
    postal_address: str
    list_id: str
    languages: tuple[str, ...]
    links: Links
    catalogue: Catalogue
    pending_days: int
    signer: Signer | None = None
    measure: Measure | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse settings with which no mail to many could be written, before any fails."""
        try:
            mail = Mail(
                sender=self.sender,
                recipient=self.sender,
                subject="Trial",
                text="Trial",
                message_id=f"<trial@{self.sender.address.rpartition('@')[2]}>",
                date=to_datetime(0),
                bulk=True,
                list_id=self.list_id,
                unsubscribe_url=self.links.of("unsubscribe", 0, 0),
                unsubscribe_mailto=self.links.mailto(0, 0),
                feedback_id=self._feedback_id("trial", "news"),
            )
            Envelope(
                raw=compose(mail),
                mail_from=self.links.return_path(0, 0),
                rcpt_to=self.sender.address,
                idempotency_key="trial",
            )
        except InputError as error:
            raise ConfigurationError(
                f"no mail to many could be written with the settings of email_link: {error}"
            ) from error

    @property
    def lacks(self) -> str | None:
        """What mails to many cannot go without, and is not set; None: nothing."""
        missing = [
            name
            for name, value in (
                ("sender_name", self.sender.name),
                ("postal_address", self.postal_address),
            )
            if not value.strip()
        ]
        if not missing:
            return None
        return (
            f"mails to many say who sends them and where that is: {' and '.join(missing)} "
            "missing in the settings of email_link"
        )

    def envelope(self, delivery: Delivery, at: int, *, is_tracked: bool = False) -> Envelope:
        """
        Return one message as it is handed over; the same octets in each attempt of a day.

        Raises:
            InputError: If it cannot be written, which says nothing of any other.
        """
        mail = self.mail(delivery, at, is_tracked=is_tracked)
        raw = compose(mail)
        if self.signer is not None:
            raw = self.signer.sign(raw)
        number, written = delivery.message.id, _written_at(delivery, at)
        return Envelope(
            raw=raw,
            mail_from=self.links.return_path(number, written),
            rcpt_to=mail.recipient.address,
            idempotency_key=delivery.idempotency_key,
            envid=self.links.report_id(number, written),
            campaign=delivery.message.key,
        )

    def mail(self, delivery: Delivery, at: int, *, is_tracked: bool = False) -> Mail:
        """Return what goes to one recipient; previews call this too, and are never tracked."""
        message = delivery.message
        is_bulk = message.purpose in BULK
        if is_bulk and (lacks := self.lacks) is not None:
            raise InputError(lacks)
        written = _written_at(delivery, at)
        content = self.content(delivery, written)
        if is_bulk:
            content = self._with_footer(content, message.id, written)
            if is_tracked and self.measure is not None:
                language = self.language_of(content)
                content = self.measure.into(content, message.id, written, language)
        to = parse(delivery.address)
        return Mail(
            sender=self.sender,
            recipient=Mailbox(to.match_key),
            subject=content.subject or "",
            text=content.text,
            html=content.html,
            images=self.catalogue.images_in(content.html),
            message_id=self._name(delivery),
            date=to_datetime(written),
            bulk=is_bulk,
            list_id=self.list_id if is_bulk else None,
            unsubscribe_url=self.links.of("unsubscribe", message.id, written) if is_bulk else None,
            unsubscribe_mailto=self.links.mailto(message.id, written) if is_bulk else None,
            feedback_id=self._feedback_id(message.key, message.purpose) if is_bulk else None,
            headers=content.headers,
        )

    def content(self, delivery: Delivery, at: int) -> Content:
        """
        Return what a message says: as it was given, or rendered where its data name a template.

        Raises:
            InputError: Of which a `RenderError` tells the template and the line.
        """
        content = delivery.content
        name = content.data.get("template")
        if name is None:
            if not content.text.strip() and content.html:
                return evolve(content, text=text_of_html(content.html))
            return content
        template = self.catalogue.choose(name, self.language_of(content))
        rendered = template.render(self.variables(content, delivery.message.id, at))
        return evolve(content, subject=rendered.subject, text=rendered.text, html=rendered.html)

    def language_of(self, content: Content) -> str:
        """Return the language that a message's data ask for, or the shop's first."""
        found = content.data.get("language")
        return found if isinstance(found, str) and found else self.languages[0]

    def variables(self, content: Content, message_id: int, at: int) -> dict[str, Any]:
        """Return what a template may use: what the data give, and what is the plugin's to say."""
        given = content.data.get("variables", {})
        if not isinstance(given, Mapping):
            raise InputError(f"the content's variables are {given!r}; a table is expected")
        found = {
            **given,
            "sender_name": self.sender.name or self.sender.address,
            "postal_address": self.postal_address,
            **self.links.variables(message_id, at),
        }
        if content.data.get("template") in (CONFIRM, ASK_TRACKING):
            found["confirm_url"] = self.links.of("confirm", message_id, at)
            found["refuse_url"] = found["unsubscribe_url"]
            found["days"] = self.pending_days
        return found

    def _with_footer(self, content: Content, message_id: int, at: int) -> Content:
        """Return a mail to many with what the law wants below it, where it does not stand there."""
        language = self.language_of(content).partition("-")[0]
        said, leave, why = FOOTERS.get(language, FOOTERS["en"])
        url, reason = self.links.of("unsubscribe", message_id, at), self.links.why(message_id, at)
        name, address = self.sender.name, self.postal_address
        text, html = content.text, content.html
        if not text.strip() or not _says(text, name, address, url):
            below = f"{said} {name}\n{address}\n{leave}: {url}\n{why} {reason}"
            text = f"{text.rstrip()}\n\n-- \n{below}\n"
            if not content.text.strip():
                text = ""  # a footer alone is no mail
        if html is not None and not _says(html, escape(name), escape(address), escape(url)):
            lines = "<br>".join(map(escape, address.splitlines()))
            below = (
                f'<p style="{_FOOTER}">{escape(said)} {escape(name)}<br>{lines}<br>'
                f'<a href="{escape(url)}">{escape(leave)}</a> · '
                f'<a href="{escape(reason)}">{escape(why)}</a></p>'
            )
            end = _END.search(html)
            html = (
                html + below if end is None else html[: end.start()] + below + html[end.start() :]
            )
        return evolve(content, text=text, html=html)

    def _name(self, delivery: Delivery) -> str:
        """
        Return the Message-ID, which holds the token of its return path beside the hash.

        So a report that lost the return path still tells whose it is, and nobody can make it up.
        It is the same in each attempt, whichever key makes tokens by then.
        """
        message = delivery.message
        token = self.links.report_id(message.id, message.planned_at)
        domain = self.sender.address.rpartition("@")[2]
        name = message_id(delivery.idempotency_key, domain)
        local, _, host = name.strip("<>").rpartition("@")
        return f"<{local}.{token}@{host}>"

    def _feedback_id(self, key: str, purpose: str) -> str:
        campaign = _UNFIT.sub("-", key)[:30] or "mail"
        sender = _UNFIT.sub("-", self.list_id)[:15].ljust(5, "-")
        return f"{campaign}:{purpose}::{sender}"


def _written_at(delivery: Delivery, at: int) -> int:
    """
    Return when a mail was written: a whole number of days after it was planned, the last one.

    A provider that knows a mail again by its key wants the same octets in each attempt.
    """
    planned = delivery.message.planned_at
    return planned + max(0, at - planned) // _DAY * _DAY


def _says(text: str, *wanted: str) -> bool:
    """Return whether all of them stand in a text, whatever the blanks between words."""
    missing = [each for each in wanted if each not in text]
    if not missing:  # as a rule; a long text is not taken apart for it
        return True
    flat = " ".join(text.split())
    return all(" ".join(each.split()) in flat for each in missing)
