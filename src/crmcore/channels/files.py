"""A channel into a folder: each message becomes a file, for whoever takes it from there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar

from attrs import define, field
from sqlalchemy import bindparam, select
from typing_extensions import override

from crmcore.domain.clock import to_datetime
from crmcore.domain.message import Accepted, Channel, Deferred, Delivery, Failed, Outcome, Unknown
from crmcore.hooks import (
    Context,
    CustomerErased,
    CustomerExported,
    Erasure,
    MessagesClaimed,
    Plugin,
    Started,
    choice,
    hookimpl,
)
from crmcore.persistence.messages import attempt

FORMATS = ("eml", "txt")
_FOLDERS = "folders"
"""The note of all folders there ever were, as JSON."""

_KEYS = select(attempt.c.idempotency_key, attempt.c.outcome).where(
    attempt.c.customer_id == bindparam("who")
)
_NOT_WRITTEN = ("deferred", "failed")
WRITTEN = ".written"
"""The folder in the folder that has an empty file for each message that was written."""


@define(eq=False)
class Files(Plugin):
    """
    Writes each message into a file of its own, named by its idempotency key.

    Files appear whole or not at all, and whoever takes them from the folder may remove them: that
    a message was written is known by an empty file in `.written`, so that one handed over again is
    not written again. Only where a process died just between the two, and the file was taken away
    before the message was tried again, is it there a second time. What is older than a day in
    `.written` may be removed. The folder holds addresses and what was said: protect and empty it.

    Of a customer who is forgotten the files still there are removed, in every folder that was set
    since the database was made; an export has them. A folder that is not there any more is named.

    Attributes:
        folder: Where they are written; it is made if it is not there.
        format: `eml`, an email that mail programs open and, with a sender, servers take; or `txt`.
        sender: Of emails, such as `shop@example.com`; without one they have no `From`.
        channel: Its name, as messages give it.
        scheme: Of the identifiers it reaches.
    """

    name: ClassVar[str] = "files"

    folder: str = "outbox"
    format: str = field(default="eml", validator=choice(*FORMATS))
    sender: str | None = None
    channel: str = "email"
    scheme: str = "email"

    @hookimpl
    @override
    def on_started(self, ctx: Context, event: Started) -> None:
        known, here = self._folders(ctx), Path(self.folder).resolve()
        if here not in known:
            ctx.set_note(_FOLDERS, json.dumps([str(each) for each in (*known, here)]))

    @hookimpl
    @override
    def register_channels(self) -> Iterable[Channel]:
        return [Channel(self.channel, scheme=self.scheme, idempotent=True, at_once=100)]

    @hookimpl
    @override
    def deliver_messages(self, ctx: Context, event: MessagesClaimed) -> Sequence[Outcome]:
        at = format_datetime(to_datetime(ctx.clock.now()))
        return [self._write(Path(self.folder), each, at) for each in event.deliveries]

    @hookimpl
    @override
    def export_customer(self, ctx: Context, event: CustomerExported) -> Mapping[str, Any] | None:
        files = _files_of(self._folders(ctx), _keys_of(ctx, event.customer_id))
        return {"files": {p.name: p.read_text(errors="replace") for p in files}} if files else None

    @hookimpl
    @override
    def erase_customer(self, ctx: Context, event: CustomerErased) -> Iterable[Erasure]:
        folders, keys = self._folders(ctx), _keys_of(ctx, event.customer_id)
        there = tuple(each for each in folders if each.is_dir())
        files = _files_of(there, keys)
        is_lacking = any(not _is_accounted_for(there, key) for key in keys)
        if not event.planned:
            for path in files:
                path.unlink(missing_ok=True)
        gone = [
            f"the folder {each} is not there, and messages to them may lie in it; put it back, or "
            f"make an empty one where it is gone for good, and erase customer "
            f"{event.customer_id} again"
            for each in folders
            if is_lacking and each not in there
        ]
        return [
            Erasure("files in the outbox", count=len(files), files=there, unverified=tuple(gone))
        ]

    def _folders(self, ctx: Context) -> list[Path]:
        """Return all folders that were ever set, those of earlier first."""
        return [Path(each) for each in json.loads(ctx.find_note(_FOLDERS) or "[]")]

    def _write(self, folder: Path, delivery: Delivery, at: str) -> Outcome:
        try:
            text = self._email(delivery, at) if self.format == "eml" else self._text(delivery)
        except (ValueError, TypeError) as error:  # such as a line break in the subject
            return Failed(f"it is no email: {error}")
        path = folder / f"{delivery.idempotency_key}.{self.format}"
        written = folder / WRITTEN / delivery.idempotency_key
        try:
            written.parent.mkdir(parents=True, exist_ok=True)
            if not written.exists():
                _write_whole(path, text)
                _write_whole(written, b"")
        except OSError as error:
            said = f"it cannot be written: {error}"
            return Unknown(said) if path.exists() else Deferred(said)
        return Accepted(path.name)

    def _email(self, delivery: Delivery, at: str) -> bytes:
        content, email = delivery.content, EmailMessage(policy=SMTP)
        for name, value in content.headers.items():
            email[name] = value
        if "Date" not in email:  # RFC 5322, 3.6: it and From are all that an email must have
            email["Date"] = at
        email["To"] = delivery.address
        if self.sender is not None:
            email["From"] = self.sender
        if content.subject is not None:
            email["Subject"] = content.subject
        # What a shop repeats for some reason of its own, receivers know by this.
        email["Message-ID"] = f"<{delivery.idempotency_key}@crmcore.invalid>"
        email.set_content(content.text)
        if content.html is not None:
            email.add_alternative(content.html, subtype="html")
        return email.as_bytes()

    def _text(self, delivery: Delivery) -> bytes:
        lines = [f"To: {delivery.address}"]
        if delivery.content.subject is not None:
            lines.append(f"Subject: {delivery.content.subject}")
        return "\n".join([*lines, "", delivery.content.text, ""]).encode()


def _keys_of(ctx: Context, customer: int) -> Sequence[str]:
    """Return under which keys something may have been written to a customer."""
    rows = ctx.execute(_KEYS, who=customer)
    return sorted({key for key, outcome in rows if outcome not in _NOT_WRITTEN})


def _files_of(folders: Iterable[Path], keys: Sequence[str]) -> Sequence[Path]:
    """Return the files that are still there of what was written under some keys."""
    found = (folder / f"{key}.{ending}" for folder in folders for key in keys for ending in FORMATS)
    return [path for path in found if path.exists()]


def _is_accounted_for(folders: Iterable[Path], key: str) -> bool:
    """Return whether it is known in which of the folders something was written."""
    return any((folder / WRITTEN / key).exists() for folder in folders) or bool(
        _files_of(folders, [key])
    )


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole, and on the disk, or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY) if os.name == "posix" else None
    if folder is not None:
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
