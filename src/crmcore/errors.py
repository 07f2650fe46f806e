"""
Every error crmcore raises on purpose.

    CrmError
    ├── InputError (ValueError)         something handed in is not right
    │   ├── UnknownKindError            no such kind of interaction
    │   ├── PayloadError                a payload does not fit its kind
    │   ├── IdentifierError             an identifier cannot be normalised
    │   ├── InstantError                an instant is missing its zone or out of range
    │   ├── MoneyError                  an amount or currency is not right
    │   ├── MergeError                  customers cannot be merged, or a merge not undone
    │   ├── ErasedError                 the customer was erased, so nothing can be done to them
    │   ├── HeldError                   the customer is on hold, so they cannot be erased
    │   ├── SegmentError                a segment is not right, by its line and column
    │   └── HistoryError                a row of a history source, by its line
    ├── ConfigurationError (ValueError) crm.toml, settings or a mapping file
    ├── NotFoundError (LookupError)
    │   ├── CustomerNotFoundError
    │   └── PluginNotFoundError
    ├── AccessRefusedError (PermissionError) a member of staff may not; it is on record
    ├── ModeError                       recording or sending while rebuilding
    ├── PluginError                     a plugin is not right; names it; stops the start
    └── StorageError                    the database said no
        ├── RetryTransaction            another transaction stood in the way; do it again
        └── SchemaError                 its tables are not ours, or of another revision
            └── OutdatedSchemaError     of an older revision; `crm migrate` brings them here
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Protocol


def nearest(found: object, known: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` for the known name nearest to *found*, or nothing."""
    if not isinstance(found, str):
        return ""
    known = sorted(known)
    close = get_close_matches(found, known, n=1, cutoff=0.6)
    if not close:
        folded = {name.casefold().replace(" ", "_"): name for name in known}
        close = get_close_matches(found.casefold().replace(" ", "_"), folded, n=1, cutoff=0.6)
        close = [folded[name] for name in close]
    return f" (did you mean {close[0]!r}?)" if close else ""


class Place(Protocol):
    """Where in a text something stands."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


_SHOWN = 60  # characters of a line on either side of what is wrong


class CrmError(Exception):
    """Base class of every error raised on purpose."""


class InputError(CrmError, ValueError):
    """Something handed in is not right."""


class UnknownKindError(InputError):
    """No kind of interaction has the name."""

    def __init__(self, kind: object, known: Iterable[str]) -> None:
        super().__init__(kind)
        self.kind = kind
        self.known = tuple(known)

    def __str__(self) -> str:
        hint = nearest(self.kind, self.known) if isinstance(self.kind, str) else ""
        return f"unknown kind {self.kind!r}{hint}; `crm hooks --kinds` lists those registered"


class PayloadError(InputError):
    """A payload does not fit its kind."""

    def __init__(self, kind: str, problems: Iterable[str]) -> None:
        super().__init__(kind)
        self.kind = kind
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return f"the payload of {self.kind!r} is not right: {'; '.join(self.problems)}"


class IdentifierError(InputError):
    """An identifier cannot be normalised by its scheme."""


class InstantError(InputError):
    """An instant has no zone, or lies outside what can be stored."""


class MoneyError(InputError):
    """An amount or currency is not right."""


class HistoryError(InputError):
    """A row of a history source is not right; says the file and line."""

    def __init__(self, problem: str, *, source: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.source = source
        self.line = line

    def __str__(self) -> str:
        where = self.source if self.line is None else f"{self.source}, line {self.line}"
        return f"{where}: {self.problem}"


class SegmentError(InputError):
    """
    A segment is not right; says where in its text, what was found and what is expected.

    Attributes:
        line, column: Where it stands, counted from 1; None where there is no text.
    """

    def __init__(self, problem: str, *, source: str | None = None, at: Place | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.source = source
        self.line = at.line if at is not None else None
        self.column = at.column if at is not None else None

    def __str__(self) -> str:
        if self.line is None or self.column is None:
            return self.problem
        where = f"line {self.line}, column {self.column}: {self.problem}"
        if self.source is None:
            return where
        shown = self.source.split("\n")[self.line - 1].rstrip().replace("\t", " ")
        before, width = max(self.column - _SHOWN, 0), 2 * _SHOWN
        shown = shown[before : before + width]
        return f"{where}\n  {shown}\n  {' ' * (self.column - 1 - before)}^"


class MergeError(InputError):
    """Two customers cannot be merged, or a merge cannot be undone; says why, and what can be."""


class ErasedError(InputError):
    """A customer was erased, so what is asked for cannot be done to them."""

    def __init__(self, customer_id: int, at: object, what: str) -> None:
        super().__init__(customer_id, at, what)
        self.customer_id = customer_id
        self.at = at
        self.what = what

    def __str__(self) -> str:
        return f"{self.what}: customer {self.customer_id} was erased at {self.at}"


class HeldError(InputError):
    """A customer is on hold, and must not be erased until somebody ends it."""

    def __init__(self, customer_id: int, reason: str) -> None:
        super().__init__(customer_id, reason)
        self.customer_id = customer_id
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"customer {self.customer_id} is on hold and is not erased: {self.reason}; "
            f"`crm hold {self.customer_id} --release` ends it"
        )


class ConfigurationError(CrmError, ValueError):
    """The configuration is not right; says which file and setting."""


class NotFoundError(CrmError, LookupError):
    """Something asked for by name or id is not there."""


class CustomerNotFoundError(NotFoundError):
    """No customer has the id or identifier."""

    def __init__(self, asked: object) -> None:
        super().__init__(asked)
        self.asked = asked

    def __str__(self) -> str:
        return f"no customer is known as {self.asked}"


class PluginNotFoundError(NotFoundError):
    """No plugin has the name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = tuple(known)

    def __str__(self) -> str:
        listed = ", ".join(sorted(self.known)) or "none"
        return f"no plugin is named {self.name!r}{nearest(self.name, self.known)}; known: {listed}"


class AccessRefusedError(CrmError, PermissionError):
    """A member of staff may not do or see something; that they tried is on record."""


class ModeError(CrmError, RuntimeError):
    """A plugin tried to record, send or set a timer while its state is being recomputed."""


class PluginError(CrmError):
    """A plugin is not right. It stops the start, and names the plugin."""

    def __init__(self, plugin: str, problem: str) -> None:
        super().__init__(plugin, problem)
        self.plugin = plugin
        self.problem = problem

    def __str__(self) -> str:
        return f"plugin {self.plugin!r}: {self.problem}"


class StorageError(CrmError):
    """The database refused a statement."""


class RetryTransaction(StorageError):  # noqa: N818 - it says what to do, and is no mistake
    """
    Another transaction stood in the way; nothing is wrong, and doing it again will do.

    A transaction of our own has been rolled back by then; one that was joined is the shop's to
    roll back and to do again, as after any deadlock or serialisation failure.
    """


class SchemaError(StorageError):
    """The tables in the database are not what this version can work with."""


class OutdatedSchemaError(SchemaError):
    """The tables are of an older revision than the code; migrating brings them to it."""

    def __init__(self, whose: str, *, found: int, needed: int) -> None:
        super().__init__(whose, found, needed)
        self.found = found
        self.needed = needed
        self.whose = whose

    def __str__(self) -> str:
        return (
            f"the database has revision {self.found} of {self.whose} and revision "
            f"{self.needed} is needed; make a backup, then `crm migrate`, or crmcore.migrate(url), "
            "brings it there"
        )
