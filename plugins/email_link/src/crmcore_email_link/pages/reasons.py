"""Reasons: why a message came, as the ledger tells it of the moment when it went."""

from __future__ import annotations

from collections.abc import Iterator

from crmcore import Consent, Crm, to_datetime
from crmcore_email_link.composing import BULK
from crmcore_email_link.pages.words import Words
from crmcore_email_link.reading import Sent

_SAYS = {
    "confirmed": "why_confirmed",
    "given": "why_given",
    "imported": "why_imported",
}


def reasons(crm: Crm, sent: Sent, address: str, words: Words) -> Iterator[str]:
    """Go through the sentences that say it: when it went, on which consent, and what is now."""
    what = words[sent.purpose]
    went = sent.planned_at if sent.handed_at is None else sent.handed_at
    yield words["why_sent"].format(address=address, day=_day(crm, went), what=what)
    if sent.purpose not in BULK:
        yield words["why_contract"]
        return
    then = _consent(crm, sent, went)
    if then is None:
        yield words["why_gone"]
        return
    if then.standing in _SAYS:
        yield words[_SAYS[then.standing]].format(since=_day(crm, then.occurred_at))
        if then.wording:
            yield words["why_text"].format(wording=then.wording)
    else:
        yield words["why_opt_out" if then.basis == "opt_out" else "why_gone"]
    now = _consent(crm, sent, None)
    if now is not None and now.standing == "withdrawn":
        yield words["why_withdrawn"].format(since=_day(crm, now.occurred_at))


def _consent(crm: Crm, sent: Sent, at: int | None) -> Consent | None:
    """Return how consent stood for where a message went; at an instant, as was known then."""
    as_of = None if at is None else to_datetime(at)
    for each in crm.consents(sent.customer_id, as_of=as_of):
        is_there = each.point == sent.point and each.channel == "email"
        if is_there and each.purpose == sent.purpose:
            return each
    return None


def _day(crm: Crm, instant: int | None) -> str:
    """Return the civil day of an instant in the shop's zone, which all languages read."""
    return "…" if instant is None else str(crm.runtime.calendar.day_of(instant))
