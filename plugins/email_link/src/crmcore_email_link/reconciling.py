"""Reconciling: whether mails, what was said of them, and what came back fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import and_, func, select

from crmcore import Crm, payload_text
from crmcore_email_link.plugin import EmailLink
from crmcore_email_link.reading import attempt, interaction, message

_MOST: Final = 100  # of one sort; the others would say the same
_REFERRING: Final = ("ses", "postmark", "mailgun", "sendgrid", "resend")
"""Transports that name every mail they take."""

_m, _a, _i = message.c, attempt.c, interaction.c
_twice: Final = (
    select(_m.message_id, _m.message_key, _m.customer_id, func.count())
    .select_from(message.join(attempt, _a.message_id == _m.message_id))
    .where(_m.channel == "email", _a.outcome == "accepted")
    .group_by(_m.message_id, _m.message_key, _m.customer_id)
    .having(func.count() > 1)
    .order_by(_m.message_id)
    .limit(_MOST)
)
_nameless: Final = select(func.count()).where(
    _m.channel == "email", _m.state == "accepted", _m.provider_reference.is_(None)
)
_told: Final = payload_text(_i.payload, "message")
_strangers: Final = (
    select(_i.kind, _told, func.count())
    .select_from(
        interaction.outerjoin(
            message,
            and_(_m.customer_id == _i.customer_id, _m.message_key == _told, _m.channel == "email"),
        )
    )
    .where(
        _i.kind.in_(("message.bounced", "message.complained", "email_link.blocked")),
        _i.source.like("email_link%"),
        _m.message_id.is_(None),
    )
    .group_by(_i.kind, _told)
    .order_by(_i.kind, _told)
    .limit(_MOST)
)
_unknown: Final = (
    select(_m.purpose, func.count())
    .where(_m.channel == "email", _m.state == "unknown")
    .group_by(_m.purpose)
    .order_by(_m.purpose)
)

Execute = Callable[..., Sequence[tuple[Any, ...]]]


@frozen
class Difference:
    """
    Something that does not fit.

    Attributes:
        sort: `twice`, `reference`, `stranger`, or one of those of `Crm.reconcile`.
        sentence: What it is.
    """

    sort: str
    sentence: str


@frozen
class Reconciled:
    """
    What was found.

    Attributes:
        differences: What does not fit.
        notes: What fits, and is worth a look.
    """

    differences: Sequence[Difference]
    notes: Sequence[str]


def reconcile_mail(crm: Crm, plugin: EmailLink) -> Reconciled:
    """Return what does not fit, by the core and by what the plugin can tell itself."""
    found = [Difference(each.sort, each.sentence) for each in crm.reconcile()]
    with crm.begin() as tx:
        execute: Execute = tx.connection.execute
        found += _differences(execute, plugin)
        notes = [_fate(plugin, *row) for row in execute(_unknown)]
    return Reconciled(found, notes)


def _differences(execute: Execute, plugin: EmailLink) -> Iterator[Difference]:
    for number, key, customer, count in execute(_twice):
        yield Difference(
            "twice",
            f"message {number} ({key!r}, to customer {customer}) was taken {count} times",
        )
    if plugin.carrier is None and plugin.transport in _REFERRING:
        ((count,),) = execute(_nameless)
        if count:
            yield Difference(
                "reference",
                f"{count:,} mails were taken under no name of {plugin.transport}'s, so that what "
                "it tells of them is found by our own token only; were they sent by another?",
            )
    for kind, key, count in execute(_strangers):
        yield Difference(
            "stranger", f"{count:,} times {kind} is on record of {key!r}, which was never a mail"
        )


def _fate(plugin: EmailLink, purpose: str, count: int) -> str:
    """Return what is said of mails whose fate nobody knows: by the policy of the channel."""
    many = f"{count:,} mails for {purpose}" if count != 1 else f"1 mail for {purpose}"
    if plugin.carrying.idempotent:
        policy = "they were sent again by their key, and nobody answered to the end"
    elif purpose == "service":
        policy = "they were sent once more, and nobody knows of that either"
    else:
        policy = "they are left, so that nobody gets one twice"
    return f"of {many} nobody knows whether they were taken; {policy}"
