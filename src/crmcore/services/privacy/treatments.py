"""What an erasure does to the core's own tables; none is left out, which a test holds true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen
from sqlalchemy import case, column

from crmcore.domain.privacy import GONE, Fate
from crmcore.domain.task import DONE, DROPPED, MERGED


@frozen(kw_only=True)
class Treatment:
    """
    What becomes of a customer's rows of one table.

    Attributes:
        owners: The columns that say whose a row is.
        emptied: What stands in columns afterwards that hold personal values.
        cleared: Columns with words of the shop's. Where the person's stand in one, such as their
            address in the key of an order, its keyed hash stands there afterwards.
        reason: Why rows are kept, or what is left of them.
    """

    fate: Fate = field(kw_only=False)
    reason: str | None = field(default=None, kw_only=False)
    owners: tuple[str, ...] = ("customer_id",)
    emptied: Mapping[str, Any] = field(factory=dict)
    cleared: tuple[str, ...] = ()


_FACTS: Final = "what happened and for how much stays, so that sums stay right; it names nobody"
_DERIVED: Final = "it follows from facts that name nobody any more"

_OUTCOME: Final = case(
    (column("outcome").not_in((DONE, DROPPED, MERGED)), GONE), else_=column("outcome")
)
"""What staff say of a task in words of their own may name somebody."""

TREATMENTS: Final[Mapping[str, Treatment]] = {
    "crm_customer": Treatment(
        "anonymised", "a number that nobody is known by, so that what is counted stays right"
    ),
    "crm_identifier": Treatment("erased"),
    "crm_interaction": Treatment(
        "anonymised",
        _FACTS,
        emptied={"personal": None},
        cleared=("source_key", "actor", "subject", "thread", "touch", "payload"),
    ),
    "crm_line": Treatment(
        "kept",
        "which products were bought; it names nobody",
        cleared=("line_key", "undoes", "product", "variant", "category"),
    ),
    "crm_stage": Treatment("kept", _DERIVED, cleared=("subject", "last_source_key", "reason")),
    "crm_stage_change": Treatment("kept", _DERIVED, cleared=("subject", "reason", "evidence")),
    "crm_timer": Treatment("erased"),
    "crm_debt": Treatment("erased"),
    "crm_backlog": Treatment("erased"),
    "crm_merge": Treatment(
        "anonymised",
        "that two were one stays, and can no longer be undone",
        owners=("survivor_id", "merged_id"),
        emptied={"shelved": "{}", "reason": None},
        cleared=("actor", "undone_by"),
    ),
    "crm_moved": Treatment("kept", "numbers of facts that a merge moved"),
    "crm_match": Treatment("erased", owners=("customer_id", "other_id")),
    "crm_relation": Treatment("erased", owners=("customer_id", "other_id")),
    "crm_consent": Treatment(
        "kept", "proof of what was agreed to and withdrawn, under a keyed hash (GDPR 17(3)(e))"
    ),
    "crm_brake": Treatment("kept", _DERIVED, cleared=("brake",)),
    "crm_zone": Treatment("kept", _DERIVED),
    "crm_message": Treatment(
        "anonymised",
        "that a message went out, or why not, so that audiences add up; not what it said",
        emptied={"content": None, "reason": None, "provider_reference": None},
        cleared=("message_key",),
    ),
    "crm_attempt": Treatment(
        "anonymised",
        "that it was tried, and when",
        emptied={"detail": None, "provider_reference": None},
    ),
    "crm_task": Treatment(
        "anonymised",
        "that there was something to do, and who did it",
        emptied={"title": GONE, "note": None, "reason": None, "outcome": _OUTCOME},
        cleared=("task_key", "done_by"),
    ),
    "crm_access": Treatment(
        "anonymised",
        "who looked at whom, so that it can be accounted for (GDPR 5(2)); not why",
        emptied={"reason": None},
    ),
    "crm_erasure": Treatment("kept", "that it was done, and under which keyed hashes"),
}

NOBODYS: Final[Mapping[str, str]] = {
    "crm_dedupe": "keys of interactions; they change with these",
    "crm_fault": "what plugins raised; searched for what the person was known by",
    "crm_cursor": "how far plugins have come",
    "crm_withheld": "contact points that nobody writes to, by keyed hash",
    "crm_broadcast": "what was said to many, in words that are nobody's own",
    "crm_setting": "what the database itself keeps",
    "crm_revision": "what the database itself keeps",
    "crm_plugin_table": "what the database itself keeps",
    "crm_hook_time": "what plugins took",
}
"""Tables of the core whose rows are no single customer's, and what they hold."""
