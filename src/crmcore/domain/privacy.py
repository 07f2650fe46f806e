"""Privacy: what becomes of what is kept about a customer who wants to be forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from attrs import field, frozen

Fate = Literal["erased", "anonymised", "kept"]
"""
Gone; still there, and about nobody; or left as it is, for a reason.
"""

GONE: Final = "ERASED"
"""What stands where a text has to be, and was erased."""


@frozen(kw_only=True)
class Outcome:
    """
    What becomes, or became, of some rows about a customer, or of what a plugin holds besides.

    Attributes:
        what: A table, or what a plugin says, such as `files in the outbox`.
        count: How many there are.
        reason: Why they are kept, or what is left of them.
        plugin: Whose it is; None: the core's.
    """

    what: str = field(kw_only=False)
    fate: Fate
    count: int
    reason: str | None = None
    plugin: str | None = None

    def as_json(self) -> dict[str, Any]:
        told = {
            "what": self.what,
            "fate": self.fate,
            "count": self.count,
            "reason": self.reason,
            "plugin": self.plugin,
        }
        return {name: value for name, value in told.items() if value is not None}


@frozen(kw_only=True)
class ErasurePlan:
    """
    What an erasure would do; nothing has been done.

    Attributes:
        customer_id: Who would be erased.
        outcomes: What would become of everything, one for each sort of thing.
    """

    customer_id: int
    merged: Sequence[int]
    """Those who were merged into them: they are the same person, and are erased, too."""

    outcomes: Sequence[Outcome]
    held: str | None = None
    """Why they may not be erased at present; None: they may."""

    absent: Sequence[str] = ()
    """Plugins that keep something besides tables and are not here, so that it would stay."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "customer": str(self.customer_id),
            "merged": [str(each) for each in self.merged],
            "held": self.held,
            "absent": [*self.absent],
            "outcomes": [each.as_json() for each in self.outcomes],
        }


@frozen(kw_only=True)
class Found:
    """
    Something of the person, found after the erasure.

    Attributes:
        where: A table and its column, or a file.
        why: Why it is there: that it was left, that a table is kept, or that it is another's.
    """

    where: str = field(kw_only=False)
    count: int
    why: str

    def as_json(self) -> dict[str, Any]:
        return {"where": self.where, "count": self.count, "why": self.why}


@frozen(kw_only=True)
class Verification:
    """
    What was found when everything was searched for what the person was known by.

    Attributes:
        searched: How many texts were looked for.
        tables: How many tables were read.
        files: How many files were read, byte by byte.
        left: What should not be there. Nothing, or the erasure is not complete.
        elsewhere: What is there for a reason: in tables that are kept, in rows about other
            people, in tables that are not crmcore's.
        unverified: What nobody could look at, in sentences.
        is_complete: False where something stood in the way, such as a process that reads the
            database, or a plugin that is not here; erasing them once more does the rest.
    """

    searched: int
    tables: int
    files: int
    left: Sequence[Found] = ()
    elsewhere: Sequence[Found] = ()
    unverified: Sequence[str] = ()
    is_complete: bool = True

    @property
    def is_clean(self) -> bool:
        return not self.left

    def as_json(self) -> dict[str, Any]:
        return {
            "is_clean": self.is_clean,
            "is_complete": self.is_complete,
            "searched": self.searched,
            "tables": self.tables,
            "files": self.files,
            "left": [each.as_json() for each in self.left],
            "elsewhere": [each.as_json() for each in self.elsewhere],
            "unverified": list(self.unverified),
        }


@frozen(kw_only=True)
class Certificate:
    """
    That a customer was erased: what became of everything, and what was found afterwards.

    Attributes:
        id: Its own.
        customer_id: Who was erased.
        merged: Those who were merged into them, and were erased as the same person.
        erased_at: When, in microseconds.
        verified_at: When nothing of them was found and nothing stood in the way, in microseconds;
            None until then.
        actor: Who did it, where the shop said so.
        reason: Why, as it was given.
        outcomes: What became of everything, one for each sort of thing.
        verification: None, where it is told of an erasure of earlier.
    """

    id: int
    customer_id: int
    merged: Sequence[int]
    erased_at: int
    verified_at: int | None
    actor: str | None
    reason: str | None
    outcomes: Sequence[Outcome]
    verification: Verification | None = None

    @property
    def kept(self) -> Sequence[Outcome]:
        """What was not erased, each with its reason."""
        return [each for each in self.outcomes if each.fate == "kept"]


@frozen(kw_only=True)
class LegalHold:
    """
    Why a customer may not be erased, nor what is kept of them emptied, for now.

    Attributes:
        customer_id: Who is on hold.
        reason: Why.
        since: From when on, in microseconds.
        actor: Who decided it, where the shop said so.
    """

    customer_id: int
    reason: str
    since: int
    actor: str | None = None


@frozen(kw_only=True)
class ErasedAgain:
    """
    What became of those whom an older backup brought back.

    Attributes:
        certificates: Of those who were erased again, and of those of whom it had not been
            verified to the end.
        held: Why others were left: they are on hold there. Do it again when that has ended.
    """

    certificates: Sequence[Certificate]
    held: Sequence[LegalHold]


@frozen(kw_only=True)
class Exported:
    """
    All that is kept of a customer, written to files.

    Attributes:
        customer_id: Whom it is about.
        data: The JSON file, for programs.
        page: The HTML file, for people; both say the same.
        sections: How many entries each section has.
    """

    customer_id: int
    data: Path
    page: Path
    sections: Mapping[str, int]


@frozen(kw_only=True)
class JournalEntry:
    """
    An erasure as it is kept beside the backups, to be done again where one is restored.

    Attributes:
        erased_at: When it was done, in microseconds.
        points: Keyed hashes of what the person was known by; they say nothing without the
            database's secret.
        actor: Who did it, where the shop said so.
    """

    erased_at: int
    points: Sequence[str]
    actor: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"erased_at": self.erased_at, "points": list(self.points), "actor": self.actor}
