"""Vocabulary: what the segments of one application may speak of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.sql import visitors

from crmcore.domain.clock import Calendar
from crmcore.domain.lifecycle import Lifecycle
from crmcore.domain.segments.families import FAMILIES, Family
from crmcore.domain.segments.names import Names
from crmcore.domain.segments.tree import Condition, is_plain
from crmcore.domain.trait import Trait
from crmcore.errors import ConfigurationError, nearest
from crmcore.persistence.stages import stage
from crmcore.services.segments.measures import NOW
from crmcore.services.starting.assembly import Assembly

STAGE = "stage"


def stage_trait(lifecycle: Lifecycle) -> Trait[str]:
    """Return where customers stand in a lifecycle, as a trait."""
    present = (
        select(stage.c.customer_id, stage.c.stage)
        .where(stage.c.lifecycle == lifecycle.name, stage.c.subject == "")
        .subquery(f"stage_{lifecycle.name}")
    )
    return Trait(
        f"{STAGE}.{lifecycle.name}",
        type=str,
        default=lifecycle.stages[0].name,
        table=present,
        value=lambda now: present.c.stage,
    )


def families_of(given: Mapping[str, Iterable[str]], kinds: Mapping[str, str]) -> dict[str, Family]:
    """
    Return the core's families and the shop's own, each of which counts its kinds.

    Raises:
        ConfigurationError: If a name is taken, or a kind is not there.
    """
    found = dict(FAMILIES)
    for name, members in given.items():
        if not is_plain(str(name)) or name in found or name in kinds:
            raise ConfigurationError(
                f"a family is named {name!r}; a name of letters and digits that nothing else has "
                "is expected"
            )
        listed = [members] if isinstance(members, str) else list(members)
        for kind in listed:
            if kind not in kinds:
                raise ConfigurationError(
                    f"family {name!r} has the kind {kind!r}{nearest(kind, kinds)}; kinds such as "
                    "'order.placed' are expected"
                )
        if not listed:
            raise ConfigurationError(f"family {name!r} is empty; one kind at least is expected")
        found[name] = Family.of(name, [kinds[kind] for kind in listed])
    return found


def names_of(
    assembly: Assembly,
    *,
    families: Mapping[str, Iterable[str]],
    segments: Mapping[str, Condition],
    currency: str,
    calendar: Calendar,
) -> Names:
    """Return what segments may speak of; *segments* are still to be checked."""
    staged = {
        lifecycle.name: lifecycle
        for lifecycle in assembly.lifecycles.values()
        if not lifecycle.per_subject
    }
    traits: dict[str, Trait[Any]] = {
        trait.name: trait for trait in map(stage_trait, staged.values())
    } | dict(assembly.traits)
    kinds = {name: kind.name for name, kind in assembly.kinds.names().items()}
    return Names(
        traits=traits,
        moving=frozenset(name for name, trait in traits.items() if _moves(trait)),
        choices={
            f"{STAGE}.{name}": tuple(each.name for each in lifecycle.stages)
            for name, lifecycle in staged.items()
        },
        kinds=kinds,
        families=families_of(families, kinds),
        segments=segments,
        currency=currency,
        calendar=calendar,
    )


def _moves(trait: Trait[Any]) -> bool:
    """Return whether a trait's value depends on the present instant."""
    return any(each is NOW for each in visitors.iterate(trait.column(NOW)))
