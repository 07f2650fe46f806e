"""Random roles and rules, and what they allow, told from the facts without a database's help."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, frozen

from crmcore import Crm, Grant, Role, Staff
from crmcore.domain.role import (
    ACTIONS,
    AllOf,
    AnyOf,
    Condition,
    NotOf,
    StageRule,
    TaskRule,
    TraitRule,
)

STAFF = ("grace", "heidi", "ivan")
TEAMS = ("leads", "support")
FIELDS = (
    *("account", "card", "cookie", "email", "guest_email", "guest_phone", "handle", "phone"),
    *("stages", "traits", "revenue", "interactions", "relations", "descriptions", "tasks"),
    *("texts", "task_texts"),
)
GROUPS = {
    "*": FIELDS,
    "identifiers": FIELDS[:8],
    "contact": ("email", "phone", "guest_email", "guest_phone", "handle"),
}
STAGES = ("anonymous", "known", "engaged", "shopping", "ordering", "new", "loyal")


@frozen
class Facts:
    """What is so of a customer: what rules ask about."""

    traits: Mapping[str, Any]
    stage: str
    owners: frozenset[str]


def facts_of(crm: Crm, customer_id: int) -> Facts:
    """Return what is so of a customer, as their page tells it."""
    view = crm.customer(customer_id)
    (stage,) = [each.stage for each in view.stages if each.lifecycle == "relationship"]
    owners = {each.task.owner for each in crm.tasks(customer=customer_id, most=1000)}
    return Facts(view.traits, stage, frozenset(each for each in owners if each))


def holds(rule: Condition | None, facts: Facts, member: Staff) -> bool:
    """Return whether a rule holds, reckoned in Python."""
    match rule:
        case None:
            return True
        case AllOf(rules):
            return all(holds(each, facts, member) for each in rules)
        case AnyOf(rules):
            return any(holds(each, facts, member) for each in rules)
        case NotOf(inner):
            return not holds(inner, facts, member)
        case TraitRule(name, operator, value):
            return _compared(facts.traits[name], operator, value)
        case StageRule(_, operator, value):
            return _compared(facts.stage, operator, value)
        case TaskRule(owners):
            meant = {each for o in owners for each in _meant(o, member)}
            return not meant.isdisjoint(facts.owners)
    raise AssertionError(rule)


def _meant(owner: str, member: Staff) -> Iterable[str]:
    return {"me": (member.name,), "my teams": member.teams}.get(owner, (owner,))


def _compared(found: Any, operator: str, value: Any) -> bool:
    answers = {
        "is": lambda: found == value,
        "is_not": lambda: found != value,
        "in": lambda: found in value,
        "not_in": lambda: found not in value,
        "at_least": lambda: found >= value,
        "at_most": lambda: found <= value,
        "above": lambda: found > value,
        "below": lambda: found < value,
    }
    return bool(answers[operator]())


def allowed(roles: Mapping[str, Role], member: Staff, action: str, facts: Facts) -> frozenset[str]:
    """Return the fields for which a member may do something: what some grant says, no more."""
    found: set[str] = set()
    for name in member.roles:
        for grant in roles[name].grants:
            if action in grant.actions and holds(grant.rows, facts, member):
                for field in grant.fields:
                    found.update(GROUPS.get(field, (field,)))
    return frozenset(found)


@define
class Offices:
    """Random rules, roles and members of staff."""

    chance: random.Random

    def rule(self, depth: int = 3) -> Condition:
        """Return a rule about tiering's traits, the stage, or who has a task."""
        pick = self.chance.random
        if depth and pick() < 0.45:
            rules = tuple(self.rule(depth - 1) for _ in range(self.chance.randint(0, 3)))
            match self.chance.randint(0, 2):
                case 0:
                    return AllOf(rules)
                case 1:
                    return AnyOf(rules)
            return NotOf(self.rule(depth - 1))
        match self.chance.randint(0, 3):
            case 0:
                number = self.chance.choice(
                    (
                        ("tiering.orders", self.chance.randint(-1, 5)),
                        ("tiering.net_minor", self.chance.randint(-500, 9000)),
                    )
                )
                return TraitRule(number[0], self._order(), number[1])
            case 1:
                return TraitRule("tiering.tier", *self._among(("A", "B", "C", "none")))
            case 2:
                return StageRule("relationship", *self._among(STAGES))
        owners = (*STAFF, *TEAMS, "me", "my teams")
        return TaskRule(tuple(self.chance.sample(owners, self.chance.randint(0, 3))))

    def _order(self) -> Any:
        names = ("is", "is_not", "at_least", "at_most", "above", "below")
        return self.chance.choice(names)

    def _among(self, values: tuple[str, ...]) -> tuple[Any, Any]:
        if self.chance.random() < 0.5:
            return self.chance.choice(("is", "is_not")), self.chance.choice(values)
        several = self.chance.sample(values, self.chance.randint(0, len(values)))
        return self.chance.choice(("in", "not_in")), several

    def roles(self) -> dict[str, Role]:
        """Return roles of a few grants each, one of them without any."""
        made = {"nothing": Role("nothing")}
        for name in ("clerk", "agent", "manager"):
            grants = tuple(self._grant() for _ in range(self.chance.randint(3, 6)))
            made[name] = Role(name, grants=grants, bulk_above=10_000, alarm_above=10_000)
        return made

    def _grant(self) -> Grant:
        fields = (*FIELDS, *GROUPS)
        return Grant(
            actions=self.chance.sample(ACTIONS, self.chance.randint(2, 5)),
            fields=self.chance.sample(fields, self.chance.randint(1, 6)),
            rows=self.rule() if self.chance.random() < 0.7 else None,
        )

    def members(self, roles: Iterable[str]) -> dict[str, Staff]:
        names = sorted(roles)
        return {
            name: Staff(
                name,
                roles=self.chance.sample(names, 0 if name == "ivan" else self.chance.randint(2, 3)),
                teams=self.chance.sample(TEAMS, self.chance.randint(0, 2)),
            )
            for name in STAFF
        }


def people(crm: Crm, chance: random.Random, count: int) -> list[int]:
    """Make customers up: with orders, contact points, texts, relations and tasks."""
    ids = []
    for n in range(count):
        named: dict[str, Any] = (
            {"email": f"person{n:03}@example.com"} if chance.random() < 0.8 else {}
        )
        more: dict[str, Any] = {"phone": f"+4930{n:07}"} if chance.random() < 0.5 else {}
        first = crm.record("product.viewed", account=f"a{n}", payload={"product": "p"})
        for _ in range(chance.randint(0, 4)):
            crm.record(
                chance.choice(("order.placed", "order.placed", "order.refunded")),
                account=f"a{n}",
                amount=f"{chance.randint(1, 60)}.00",
            )
        crm.record(
            "service.opened",
            account=f"a{n}",
            payload={"case": "c", "text": f"text of person {n:03}"},
            **named,
            **more,
        )
        ids.append(first.customer_id)
        for key in range(chance.randint(0, 2)):
            task = crm.add_task(
                first.customer_id,
                f"title of person {n:03}",
                key=f"{key}",
                note=f"note of person {n:03}",
                owner=chance.choice((*STAFF, *TEAMS, None)),
            )
            if chance.random() < 0.3:
                crm.finish_task(task.id)
    with crm.begin() as tx:
        for one, other in zip(ids[::3], ids[1::3], strict=False):
            tx.relate(one, "referred_by", other)
    return ids
