"""Traits: all that the plugin tells of customers by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from crmcore import Trait
from crmcore_profile.ages import age_traits, child_traits
from crmcore_profile.attributes import BIRTHDAY, CHILDREN, PREFERRED_CHANNEL, Attribute
from crmcore_profile.categories import category_trait
from crmcore_profile.civil import ShopZone
from crmcore_profile.completeness import completeness_trait
from crmcore_profile.contacts import channel_trait, hour_trait
from crmcore_profile.contribution import contribution_trait
from crmcore_profile.current import value_of
from crmcore_profile.rhythm import rhythm_traits

if TYPE_CHECKING:
    from crmcore_profile.plugin import Profile


def traits_of(
    settings: Profile, attributes: Sequence[Attribute], zone: ShopZone
) -> Iterator[Trait[Any]]:
    """Yield a trait for each attribute, and those that follow from them and from behaviour."""
    known = {each.name: each for each in attributes}
    yield from (_attribute_trait(each) for each in attributes)
    birthday, children = known.get(BIRTHDAY), known.get(CHILDREN)
    if birthday is not None and birthday.type in ("birthday", "date") and not birthday.many:
        yield from age_traits(birthday, settings.age_bands, settings.leap_day, zone)
    if children is not None and children.type == "date" and children.many:
        yield from child_traits(children, settings.child_groups, settings.leap_day, zone)
    complete = completeness_trait(attributes)
    if complete is not None:
        yield complete
    yield contribution_trait(settings.costs)
    yield from rhythm_traits(
        overdue_percent=settings.overdue_percent, overdue_orders=settings.overdue_orders
    )
    yield channel_trait(known.get(PREFERRED_CHANNEL), settings.half_life_days)
    yield hour_trait()
    yield category_trait()


def _attribute_trait(attribute: Attribute) -> Trait[str]:
    table = value_of(attribute)
    several = ", joined by commas" if attribute.many else ""
    return Trait(
        f"profile.{attribute.name}",
        type=str,
        default="",
        table=table,
        value=lambda now: table.c.value,
        description=f"what is known of it, by the {attribute.policy.replace('_', ' ')} "
        f"statement{several}",
    )
