"""Roles: what members of staff may do, with which fields, of which customers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, get_args, runtime_checkable

from attrs import field, frozen

from crmcore.errors import ConfigurationError, nearest

if TYPE_CHECKING:  # the domain describes conditions, and runs without a database
    from sqlalchemy import ColumnElement

Action = Literal["read", "list", "reveal", "export", "record", "work", "approve"]
"""
What can be granted. `read`: find and look at one customer. `list`: page through many. `reveal`: see
a personal value unmasked, for a reason. `export`: take values away, unmasked. `record`: tell the
ledger something. `work`: add, assign and finish tasks. `approve`: be the second person.
"""
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)

ALARM: Final = "alarm"
"""Noted among accesses when somebody looked at more customers than their roles expect."""
FIND: Final = "find"

ALL: Final = "*"
PLAIN_FIELDS: Final = (
    "stages",
    "traits",
    "revenue",
    "interactions",
    "relations",
    "descriptions",
    "tasks",
)
TEXT_FIELDS: Final = ("texts", "task_texts")
"""Personal values that interactions carry; and the titles, notes and reasons of tasks."""
CONTACT: Final = ("email", "phone", "guest_email", "guest_phone", "handle")

Operator = Literal["is", "is_not", "in", "not_in", "at_least", "at_most", "above", "below"]
OPERATORS: Final[tuple[Operator, ...]] = get_args(Operator)
ME: Final = "me"
MY_TEAMS: Final = "my teams"


@runtime_checkable
class RowRule(Protocol):
    """Which customers something holds for; a language of segments may bring its own."""

    def condition(self, now: ColumnElement[int]) -> ColumnElement[bool]:
        """Return the condition on the row of `crm_customer`, at the instant *now*."""


@frozen
class TraitRule:
    """A trait compares with a value; who has no row of it has the trait's default."""

    trait: str
    operator: Operator
    value: Any


@frozen
class StageRule:
    """A customer stands in some stage of a lifecycle, themself and not an order of theirs."""

    lifecycle: str
    operator: Operator
    value: Any


@frozen
class TaskRule:
    """Somebody has an open task for the customer: names of staff or teams, `me`, `my teams`."""

    owners: tuple[str, ...]


@frozen
class AllOf:
    """All of them hold; without any, it always does."""

    rules: tuple[Condition, ...]


@frozen
class AnyOf:
    """One of them holds at least; without any, it never does."""

    rules: tuple[Condition, ...]


@frozen
class NotOf:
    """It does not hold."""

    rule: Condition


Condition = TraitRule | StageRule | TaskRule | AllOf | AnyOf | NotOf
_FORMS: Final = (
    '{ trait = "tiering.tier", operator = "in", value = ["A"] }, { stage = "relationship", '
    'operator = "is", value = "loyal" }, { task_owner = "me" }, { all = [...] }, { any = [...] } '
    "or { not = {...} }"
)


def parse_rows(value: Any) -> Condition | RowRule | None:
    """
    Return the condition that a table of crm.toml, or an object of ours, says.

    Raises:
        ConfigurationError: If it is none; says what is expected.
    """
    if value is None or isinstance(value, Condition | RowRule):
        return value
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"rows is {value!r}; {_FORMS} is expected")
    match dict(value):
        case {"trait": str(name), "operator": operator, "value": compared, **rest} if not rest:
            return TraitRule(name, _operator(operator), compared)
        case {"stage": str(name), "operator": operator, "value": compared, **rest} if not rest:
            return StageRule(name, _operator(operator), compared)
        case {"task_owner": owners, **rest} if not rest:
            return TaskRule(_texts("task_owner", [owners] if isinstance(owners, str) else owners))
        case {"all": rules, **rest} if not rest and isinstance(rules, list | tuple):
            return AllOf(tuple(map(_parsed, rules)))
        case {"any": rules, **rest} if not rest and isinstance(rules, list | tuple):
            return AnyOf(tuple(map(_parsed, rules)))
        case {"not": rule, **rest} if not rest:
            return NotOf(_parsed(rule))
    raise ConfigurationError(f"rows has {dict(value)!r}; {_FORMS} is expected")


def _parsed(value: Any) -> Condition:
    found = parse_rows(value)
    if found is None or not isinstance(found, Condition):
        raise ConfigurationError(f"rows has {value!r}; {_FORMS} is expected")
    return found


def _operator(value: Any) -> Operator:
    if value not in OPERATORS:
        raise ConfigurationError(
            f"operator is {value!r}{nearest(value, OPERATORS)}; one of {', '.join(OPERATORS)} is "
            "expected"
        )
    return value  # type: ignore[no-any-return]


def _texts(name: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, str) and isinstance(values, Iterable):
        found = tuple(values)
        if all(isinstance(each, str) and each.strip() for each in found):
            return found
    raise ConfigurationError(f"{name} is {values!r}; a list of names is expected")


def _actions(values: Any) -> tuple[str, ...]:
    return _texts("actions", values)


def _fields(values: Any) -> tuple[str, ...]:
    return _texts("fields", values)


def _roles(values: Any) -> tuple[str, ...]:
    return _texts("roles", values)


def _teams(values: Any) -> tuple[str, ...]:
    return _texts("teams", values)


def _identifiers(values: Any) -> tuple[str, ...]:
    return _texts("identifiers", values)


@frozen(kw_only=True)
class Grant:
    """
    Something a role may do. What no grant says nobody may.

    Attributes:
        actions: `read`: find and look at one customer; `list`: page through many; `reveal`: see
            a personal value unmasked, for a reason; `export`: take values away; `record`: tell
            the ledger something; `work`: add, assign and finish tasks; `approve`: be the second
            person.
        fields: Names of fields or groups of them: schemes of identifiers, `contact`,
            `identifiers`, `texts`, `tasks` and so on; `*` is all there are.
        rows: Of which customers: a condition such as
            `{ trait = "tiering.tier", operator = "in", value = ["A"] }`,
            `{ stage = "relationship", operator = "is", value = "loyal" }` or
            `{ task_owner = "me" }`, and `all`, `any` and `not` of such; without it, of all.
    """

    actions: tuple[str, ...] = field(converter=_actions)
    fields: tuple[str, ...] = field(converter=_fields)
    rows: Any = field(default=None, converter=parse_rows)


@frozen(kw_only=True)
class Role:
    """
    What somebody in this role may do.

    Attributes:
        name: As staff are given it.
        grants: What it lets them do, as tables [[roles.<name>.grants]], each with `actions` and
            `fields`, perhaps with `rows`.
        bulk_above: How many customers may be exported in a day, or listed at once, without a
            second person.
        alarm_above: How many customers may be looked at in an hour before it is noted.
    """

    name: str = field(kw_only=False)
    grants: tuple[Grant, ...] = ()
    bulk_above: int = 100
    alarm_above: int = 100


@frozen(kw_only=True)
class Staff:
    """
    A member of staff.

    Attributes:
        name: By which `crm.desk` knows them.
        roles: The names of their roles; what any of them grants they may do.
        teams: The names of teams, which may own tasks.
        identifiers: Their own, as `scheme:value`: their own record, and their family's, is closed
            to them.
    """

    name: str = field(kw_only=False)
    roles: tuple[str, ...] = field(converter=_roles)
    teams: tuple[str, ...] = field(default=(), converter=_teams)
    identifiers: tuple[str, ...] = field(default=(), converter=_identifiers)
