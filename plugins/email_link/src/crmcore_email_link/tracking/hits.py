"""Hits: what somebody opened or followed, recorded where they allowed it, and where not, not."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, Literal

from attrs import frozen
from sqlalchemy import UpdateBase, bindparam, case, func, select

from crmcore import (
    Draft,
    Facts,
    Fold,
    Kind,
    Transaction,
    payload_text,
    payload_whole,
    to_datetime,
)
from crmcore.errors import ErasedError
from crmcore.hooks.fold import Insert
from crmcore_email_link.reading import Execute, message
from crmcore_email_link.tables import Whole, Words
from crmcore_email_link.tracking.callers import SeenAs
from crmcore_email_link.tracking.consents import SOURCE
from crmcore_email_link.tracking.tables import hit

What = Literal["opened", "clicked"]

OPENED: Final = "email_link.opened"
CLICKED: Final = "email_link.clicked"
KIND_OF: Final[dict[What, str]] = {"opened": OPENED, "clicked": CLICKED}

MOST: Final = 30
"""How often one link of one mail, or its pixel, is recorded; who goes on adds nothing."""

_LONGEST_LINK: Final = 200


@frozen(kw_only=True)
class Followed:
    """
    A mail was opened, or a link of it followed, as far as the request alone tells.

    Nothing of who asked is kept but what it told: no address of the network, no name of a program.

    Attributes:
        message: The mail's key, such as `news-2026-11`.
        plugin: Whose it was; empty: the shop's own.
        seen_as: `machine`, `human` or `unknown`; a sweep is told when it is counted.
        why: What told it, such as `head`, `early` or `scanner`; None: nothing spoke against.
        place: Which link of the mail, from 1 on; 0: none, or not known.
        links: How many it has.
        link: Where it leads, without query and fragment.
    """

    message: str
    plugin: str = ""
    seen_as: SeenAs = "unknown"
    why: str | None = None
    place: int = 0
    links: int = 0
    link: str | None = None


# Not `message.opened` and `message.clicked`: those say that somebody did, and count as a contact
# with the customer; these do not say who it was.
HIT_KINDS: Final = (
    Kind(
        OPENED,
        payload=Followed,
        follows=True,
        description="The pixel of a mail was loaded, by a customer or by a machine.",
    ),
    Kind(
        CLICKED,
        payload=Followed,
        follows=True,
        description="A link of a mail was followed, by a customer or by a machine.",
    ),
)


def _add(facts: Facts, insert: Insert) -> UpdateBase:
    row = facts.interactions.c
    chosen = select(
        row.customer_id,
        func.coalesce(payload_text(row.payload, "plugin"), ""),
        payload_text(row.payload, "message"),
        case((row.kind == OPENED, "opened"), else_="clicked"),
        row.occurred_at,
        func.coalesce(payload_whole(row.payload, "place"), 0),
        func.coalesce(payload_whole(row.payload, "links"), 0),
        func.coalesce(payload_text(row.payload, "seen_as"), "unknown"),
        func.substr(func.coalesce(payload_text(row.payload, "link"), ""), 1, _LONGEST_LINK),
    ).where(row.kind.in_((OPENED, CLICKED)))
    new = insert(hit).from_select(list(hit.c.keys()), chosen)
    added: UpdateBase = new.on_conflict_do_nothing()
    return added


HITS: Final = Fold(_add)
"""Adds what a batch tells of mails opened and links followed."""

_m, _h = message.c, hit.c
_mailed: Final = select(
    _m.customer_id,
    _m.plugin,
    _m.message_key,
    _m.planned_at,
    _m.handed_at,
    _m.settled_at,
).where(_m.message_id == bindparam("number", type_=Whole))
_counted: Final = select(func.count()).where(
    _h.customer_id == bindparam("owner", type_=Whole),
    _h.plugin == bindparam("whose", type_=Words),
    _h.message_key == bindparam("key", type_=Words),
    _h.what == bindparam("what", type_=Words),
    _h.place == bindparam("which", type_=Whole),
)


@frozen(kw_only=True)
class Mailed:
    """
    A message of which something is told; instants in microseconds.

    Attributes:
        id: Its own.
        customer_id: Whose it is now.
        plugin: Whose message it was; empty: the shop's own.
        key: What it was.
        planned_at: When it was planned.
        settled_at: When whoever carried it had taken it; None: not yet.
    """

    id: int
    customer_id: int
    plugin: str
    key: str
    planned_at: int
    settled_at: int | None

    def is_early(self, at: int, pause: int) -> bool:
        """Return whether an instant comes before anybody could have read the mail."""
        return self.settled_at is None or at < self.settled_at + pause


def find_mailed(execute: Execute, number: int) -> Mailed | None:
    """Return a message that was handed over, by its id; None: there is none."""
    rows = execute(_mailed, number=number)
    if not rows:
        return None
    owner, plugin, key, planned_at, handed_at, settled_at = rows[0]
    if handed_at is None:
        return None
    return Mailed(
        id=number,
        customer_id=owner,
        plugin=plugin,
        key=key,
        planned_at=planned_at,
        settled_at=settled_at,
    )


@frozen(kw_only=True)
class Told:
    """
    What is told of a mail, by a request or by a provider.

    Attributes:
        what: Whether it was opened, or a link followed.
        at: When, in microseconds.
        seen_as: Who it was, as far as that tells.
        why: What tells it.
        place: Which link; 0: none, or not known.
        links: How many there are.
        link: What it is called.
        source: Who tells it.
        source_key: The name it is known by when it is told again; None: one by its number.
    """

    what: What
    at: int
    seen_as: SeenAs
    why: str | None = None
    place: int = 0
    links: int = 0
    link: str | None = None
    source: str = SOURCE
    source_key: str | None = None


def record_hit(tx: Transaction, mailed: Mailed, told: Told) -> int | None:
    """
    Record a hit, and return its interaction; None: there were so many that it adds nothing.

    Its key is its number among those of the same link, so that no more are recorded than that,
    whoever asks at the same time.
    """
    rows = tx.connection.execute(
        _counted,
        owner=mailed.customer_id,
        whose=mailed.plugin,
        key=mailed.key,
        what=told.what,
        which=told.place,
    )
    count: int = rows[0][0]
    if count >= MOST:
        return None
    said = {"plugin": mailed.plugin, "why": told.why, "link": told.link}
    payload: dict[str, Any] = {
        "message": mailed.key,
        "seen_as": told.seen_as,
        **{name: value for name, value in said.items() if value},
    }
    if told.place:
        payload |= {"place": told.place, "links": told.links}
    number = f"{told.what}/{mailed.id}/{mailed.planned_at}/{told.place}/{count}"
    draft = Draft(
        KIND_OF[told.what],
        customer=mailed.customer_id,
        channel="email",
        payload=payload,
        occurred_at=to_datetime(told.at),
        source=told.source,
        source_key=told.source_key or number,
    )
    with suppress(ErasedError):
        return tx.record(draft).id
    return None
