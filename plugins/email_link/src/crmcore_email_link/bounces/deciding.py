"""Deciding: what became of the mail to one recipient, by words first and by codes after them."""

from __future__ import annotations

from typing import Final, NamedTuple

from attrs import evolve

from crmcore_email_link.bounces import gone, passing, phases, refused, statuses, tongues
from crmcore_email_link.bounces.faint import FAINT
from crmcore_email_link.bounces.report import Evidence, Kind
from crmcore_email_link.bounces.wording import Found, Said, Table

# A refusal wins over a missing address in the same words, so that nobody is given up for our sake.
_CERTAIN: Final = Table(gone.CERTAIN)
_REFUSED: Final = Table(refused.REFUSED, tongues.REFUSED)
_GONE: Final = Table(gone.GONE, tongues.GONE)
_PASSING: Final = Table(passing.PASSING, tongues.PASSING)
_GENERAL: Final = Table(refused.GENERAL, tongues.GENERAL)
_FAINT: Final = Table(FAINT)


class Decision(NamedTuple):
    """A kind, and why."""

    kind: Kind
    evidence: Evidence


def decide(words: str, part: str, status: str | None = None, context: str = "") -> Decision | None:
    """
    Return what became of a mail that was not delivered; None: nothing says.

    Args:
        words: What the refusing server said.
        part: Where it said so, for the evidence.
        status: The status that the reporting server gave, which may be a guess of its own.
        context: What is said to people besides; looked at last.
    """
    own, reply, said = statuses.enhanced_in(words), statuses.reply_in(words), Said(words)
    # Sendmail gives 5.1.1 for any refusal of a recipient: what the other server says counts more.
    found = (
        _by_words(said, part, (own, reply, status))
        or _by_status(statuses.clear(own), own, part)
        or _by_table(_GENERAL, said, part)
        or _by_faint(said, part, (reply, own or status))
        or _by_status(statuses.clear(status), status, "Status")
        or (_by_context(context, status) if context else None)
        or _by_status(statuses.vague(own or status), own or status, part if own else "Status")
        or _by_status(statuses.of_reply(reply), reply, part)
    )
    if found and found.kind == "hard" and phases.is_before_recipient(f"{words}\n{context}"):
        why = "RFC 5321, 3.3: before any recipient was named"
        evidence = evolve(found.evidence, rule="block: phase", source=why)
        return Decision("block", evidence)
    return found


def _by_words(said: Said, part: str, codes: tuple[str | None, ...]) -> Decision | None:
    """Return what clear words say."""
    for table in (_CERTAIN, _REFUSED, _GONE, _PASSING):
        if found := table.find(said):
            return _softened(_decision(found, part), codes)
    return None


def _softened(decision: Decision, codes: tuple[str | None, ...]) -> Decision:
    """Return a decision that says no more than the codes: what is transient is not for good."""
    lasting = decision.evidence.source == gone.NULL_MX
    if decision.kind == "hard" and not lasting and statuses.is_transient(*codes):
        return Decision("soft", decision.evidence)
    return decision


def _by_faint(said: Said, part: str, codes: tuple[str | None, ...]) -> Decision | None:
    """Return what faint words say, unless a code says that they mean something else."""
    found = _by_table(_FAINT, said, part)
    if found is None or (found.kind == "hard" and not statuses.may_be_hard(codes[-1])):
        return None
    return _softened(found, codes)


def _by_context(context: str, status: str | None) -> Decision | None:
    """Return what is said to people."""
    said = Said(context)
    for table in (_CERTAIN, _REFUSED, _GONE, _PASSING, _GENERAL, _FAINT):
        if found := table.find(said):
            if found.wording.kind == "hard" and not statuses.may_be_hard(status):
                return None
            codes = (status, statuses.enhanced_in(context), statuses.reply_in(context))
            return _softened(_decision(found, "text"), codes)
    return _by_status(statuses.clear(code := statuses.enhanced_in(context)), code, "text")


def _by_table(table: Table, said: Said, part: str) -> Decision | None:
    """Return what a table says."""
    found = table.find(said)
    return _decision(found, part) if found else None


def _by_status(row: statuses.Status | None, code: str | None, part: str) -> Decision | None:
    """Return what a status code says."""
    if row is None or code is None:
        return None
    rule = f"status {row.code}"
    return Decision(row.kind, Evidence(rule=rule, source=row.source, part=part, words=code))


def _decision(found: Found, part: str) -> Decision:
    """Return what a row of a table says, with its words as evidence."""
    row = found.wording
    evidence = Evidence(rule=f"{row.kind}: words", source=row.source, part=part, words=found.words)
    return Decision(row.kind, evidence)
