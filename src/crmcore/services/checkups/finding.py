"""Findings: what is wrong or may be, and what helps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, Protocol

from attrs import field, frozen

from crmcore.domain.clock import SECOND
from crmcore.persistence.connection import Connection
from crmcore.services.checkups.status import Status
from crmcore.services.starting.assembly import Assembly

Severity = Literal["fault", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("fault", "warning", "note")
"""The worst first: something does not work; it will not for long, or is slow; good to know."""


@frozen(kw_only=True)
class Finding:
    """
    One thing that was found.

    Attributes:
        check: Which check-up found it, such as `schema`.
        found: What is so, in a sentence, with its figures.
        cure: What to do about it, in a sentence.
    """

    severity: Severity = field(kw_only=False)
    check: str
    found: str
    cure: str


@frozen(kw_only=True)
class Patient:
    """
    What a check-up looks at; it changes nothing.

    Attributes:
        now: The present instant, in microseconds.
    """

    connection: Connection
    assembly: Assembly
    status: Status
    now: int


class Checkup(Protocol):
    """Looks at one side of an installation."""

    def __call__(self, patient: Patient) -> Iterable[Finding]: ...


def lasted(microseconds: int) -> str:
    """Return a length of time as people say it, in its largest unit."""
    seconds = microseconds // SECOND
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = seconds // length
            return f"{count:,} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} s"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 customer`, `2,000 customers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
