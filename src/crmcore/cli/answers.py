"""Answers as JSON: ids as text, since they outgrow JavaScript's numbers; instants as ISO 8601."""

from __future__ import annotations

import json
from typing import Any

from crmcore.domain.clock import to_datetime
from crmcore.domain.interaction import Interaction
from crmcore.domain.money import Money
from crmcore.services.customers import CustomerView
from crmcore.services.identities.matches import Match
from crmcore.services.identities.proving import Proven
from crmcore.services.identities.relations import Relation
from crmcore.services.merging.merging import Merge, Unmerged
from crmcore.services.recording.why import Decision, StageStep


def instant_json(instant: int | None) -> str | None:
    return None if instant is None else to_datetime(instant).isoformat()


def id_json(number: int | None) -> str | None:
    return None if number is None else str(number)


def money_json(money: Money | None) -> dict[str, Any] | None:
    return None if money is None else {"minor": money.amount_minor, "currency": money.currency}


def interaction_json(fact: Interaction) -> dict[str, Any]:
    """Return an interaction; personal values that were erased are not in its payload."""
    payload = json.loads(fact.payload_json) | json.loads(fact.personal_json or "{}")
    return {
        "id": id_json(fact.id),
        "kind": fact.kind,
        "customer": id_json(fact.customer_id),
        "occurred_at": instant_json(fact.occurred_instant),
        "recorded_at": instant_json(fact.recorded_instant),
        "origin": fact.origin,
        "source": fact.source,
        "source_key": fact.source_key,
        "subject": fact.subject,
        "channel": fact.channel,
        "amount": money_json(fact.amount),
        "caused_by": id_json(fact.caused_by),
        "payload": payload,
    }


def customer_json(view: CustomerView) -> dict[str, Any]:
    """Return all that is known of a customer at a glance."""
    return {
        "id": id_json(view.customer.id),
        "identifiers": [str(each) for each in view.customer.identifiers],
        "recorded_at": instant_json(view.customer.recorded_instant),
        "erased_at": instant_json(view.customer.erased_instant),
        "interactions": view.interactions,
        "first_at": instant_json(view.first_at),
        "last_at": instant_json(view.last_at),
        "revenue": money_json(view.revenue),
        "unconverted": view.unconverted,
        "stages": [
            {
                "lifecycle": stage.lifecycle,
                "subject": stage.subject,
                "stage": stage.stage,
                "phase": stage.phase,
                "entered_at": instant_json(stage.entered_at),
                "reason": stage.reason,
                "caused_by": id_json(stage.caused_by),
            }
            for stage in view.stages
        ],
        "traits": dict(view.traits),
        "descriptions": dict(view.descriptions),
        "latest": [interaction_json(fact) for fact in view.latest],
    }


def step_json(step: StageStep) -> dict[str, Any]:
    return {
        "lifecycle": step.lifecycle,
        "subject": step.subject,
        "from_stage": step.from_stage,
        "to_stage": step.to_stage,
        "effective_at": instant_json(step.effective_at),
        "reason": step.reason,
        "because": [interaction_json(fact) for fact in step.because],
    }


def decision_json(decision: Decision) -> dict[str, Any]:
    return {
        "decided": interaction_json(decision.interaction),
        "because": [interaction_json(fact) for fact in decision.because],
    }


def merge_json(done: Merge) -> dict[str, Any]:
    return {
        "merge": id_json(done.id),
        "survivor": id_json(done.survivor),
        "merged": id_json(done.merged),
        "recorded_at": instant_json(done.recorded_at),
        "actor": done.actor,
        "reason": done.reason,
        "undone_at": instant_json(done.undone_at),
        "interactions": done.interactions,
        "identifiers": done.identifiers,
        "rows": dict(done.rows),
        "put_aside": dict(done.shelved),
    }


def unmerged_json(done: Unmerged) -> dict[str, Any]:
    return {
        "merge": id_json(done.merge_id),
        "survivor": id_json(done.survivor),
        "merged": id_json(done.merged),
        "interactions": done.interactions,
        "identifiers": done.identifiers,
        "rows": dict(done.rows),
        "unclear": [id_json(each) for each in done.unclear],
    }


def proven_json(proven: Proven) -> dict[str, Any]:
    return {
        "customer": id_json(proven.customer),
        "identifier": str(proven.identifier),
        "added": proven.added,
        "merge": None if proven.merge is None else merge_json(proven.merge),
        "proposed": id_json(proven.proposed),
    }


def match_json(match: Match) -> dict[str, Any]:
    return {
        "customer": id_json(match.customer),
        "other": id_json(match.other),
        "status": match.status,
        "evidence": dict(match.evidence),
    }


def relation_json(relation: Relation) -> dict[str, Any]:
    return {
        "customer": id_json(relation.customer),
        "relation": relation.relation,
        "other": id_json(relation.other),
    }
