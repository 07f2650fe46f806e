"""Rules about customers, compiled to conditions on `crm_customer`."""

from __future__ import annotations

from collections.abc import Mapping
from operator import ge, gt, le, lt
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Boolean, ColumnElement, and_, exists, false, func, literal, not_, or_, select
from sqlalchemy import true as always

from crmcore.domain.lifecycle import Lifecycle
from crmcore.domain.role import (
    ME,
    MY_TEAMS,
    AllOf,
    AnyOf,
    Condition,
    NotOf,
    RowRule,
    StageRule,
    TaskRule,
    TraitRule,
)
from crmcore.domain.trait import Trait
from crmcore.errors import ConfigurationError, nearest
from crmcore.persistence.customers import customer
from crmcore.persistence.stages import stage
from crmcore.persistence.tasks import task

_COMPARE: Final = {"at_least": ge, "at_most": le, "above": gt, "below": lt}
_SET: Final = frozenset({"in", "not_in"})


@frozen(kw_only=True)
class Reader:
    """
    Who a rule is read for, and what there is to ask about.

    Attributes:
        teams: Of the member of staff, for `my teams`.
    """

    name: str
    teams: tuple[str, ...]
    traits: Mapping[str, Trait[Any]]
    lifecycles: Mapping[str, Lifecycle]

    def compile(self, rule: Condition | RowRule, now: ColumnElement[int]) -> ColumnElement[bool]:
        """
        Return the condition that *rule* is, on a row of `crm_customer` at the instant *now*.

        Raises:
            ConfigurationError: If it names what there is not, or compares what cannot be.
        """
        match rule:
            case TraitRule():
                return self._of_trait(rule, now)
            case StageRule():
                return self._of_stage(rule)
            case TaskRule():
                return self._of_tasks(rule)
            case AllOf(rules):
                return and_(always(), *(self.compile(each, now) for each in rules))
            case AnyOf(rules):
                return or_(false(), *(self.compile(each, now) for each in rules))
            case NotOf(inner):
                return not_(self.compile(inner, now))
        return rule.condition(now)

    def _of_trait(self, rule: TraitRule, now: ColumnElement[int]) -> ColumnElement[bool]:
        trait = self.traits.get(rule.trait)
        if trait is None:
            raise ConfigurationError(
                f"no trait is named {rule.trait!r}{nearest(rule.trait, self.traits)}; there are: "
                f"{', '.join(sorted(self.traits)) or 'none'}"
            )
        _check_values(f"trait {rule.trait!r}", rule.operator, rule.value, trait.type)
        column = trait.column(now)
        found = (
            select(column)
            .where(trait.table.c.customer_id == customer.c.customer_id)
            .limit(literal(1))
            .correlate(customer)
            .scalar_subquery()
        )
        as_number = trait.type is bool and not isinstance(column.type, Boolean)
        default = int(trait.default) if as_number else trait.default
        value = rule.value
        if as_number:
            value = int(value) if isinstance(value, bool) else [int(each) for each in value]
        return _compared(func.coalesce(found, default), rule.operator, value)

    def _of_stage(self, rule: StageRule) -> ColumnElement[bool]:
        lifecycle = self.lifecycles.get(rule.lifecycle)
        if lifecycle is None:
            raise ConfigurationError(
                f"no lifecycle is named {rule.lifecycle!r}"
                f"{nearest(rule.lifecycle, self.lifecycles)}; there are: "
                f"{', '.join(sorted(self.lifecycles))}"
            )
        if lifecycle.per_subject:
            raise ConfigurationError(
                f"{rule.lifecycle!r} is about things of customers, who themselves have no stage in "
                "it; a lifecycle of customers is expected"
            )
        what = f"the stage of {rule.lifecycle!r}"
        _check_values(what, rule.operator, rule.value, str)
        stages = [each.name for each in lifecycle.stages]
        for value in [rule.value] if isinstance(rule.value, str) else rule.value:
            if value not in stages:
                raise ConfigurationError(
                    f"{rule.lifecycle!r} has no stage {value!r}{nearest(value, stages)}; there "
                    f"are: {', '.join(stages)}"
                )
        found = (
            select(stage.c.stage)
            .where(
                stage.c.customer_id == customer.c.customer_id,
                stage.c.lifecycle == rule.lifecycle,
                stage.c.subject == "",
            )
            .correlate(customer)
            .scalar_subquery()
        )
        return _compared(func.coalesce(found, stages[0]), rule.operator, rule.value)

    def _of_tasks(self, rule: TaskRule) -> ColumnElement[bool]:
        owners = [
            name
            for each in rule.owners
            for name in ({ME: (self.name,), MY_TEAMS: self.teams}.get(each, (each,)))
        ]
        return (
            exists()
            .where(
                task.c.customer_id == customer.c.customer_id,
                task.c.done_at.is_(None),
                task.c.owner.in_(owners),
            )
            .correlate(customer)
        )


def _check_values(what: str, operator: str, value: Any, wanted: type) -> None:
    """Refuse to compare a value with one of another type, which databases do differently."""
    values = value if operator in _SET and isinstance(value, list | tuple) else [value]
    if operator in _SET and not isinstance(value, list | tuple):
        raise ConfigurationError(f"{what} is to be {operator} {value!r}; a list is expected")
    allowed = (int, float) if wanted in (int, float) else (wanted,)
    for each in values:
        if type(each) not in allowed:
            raise ConfigurationError(
                f"{what} is compared with {each!r}; a value of type {wanted.__name__} is expected"
            )
    if operator in _COMPARE and wanted not in (int, float):
        raise ConfigurationError(
            f"{what} is of type {wanted.__name__}, which has no order here; is, is_not, in or "
            f"not_in is expected instead of {operator}"
        )


def _compared(found: ColumnElement[Any], operator: str, value: Any) -> ColumnElement[bool]:
    compared: ColumnElement[bool]
    match operator:
        case "is":
            compared = found == value
        case "is_not":
            compared = found != value
        case "in":
            compared = found.in_(list(value))
        case "not_in":
            compared = found.not_in(list(value))
        case _:
            compared = _COMPARE[operator](found, value)
    return compared
