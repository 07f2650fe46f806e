"""The plugin: its settings, and the hooks that call the services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal

from attrs import define, field
from typing_extensions import override

from crmcore import (
    Content,
    Context,
    CustomerAsked,
    CustomersRecompute,
    Draft,
    Hold,
    InteractionsRecorded,
    Kind,
    MessageDraft,
    MessagesProposed,
    Plugin,
    PluginTable,
    Started,
    Trait,
    choice,
    hookimpl,
    to_instant,
    whole,
)
from crmcore.errors import ConfigurationError, InputError, nearest
from crmcore_profile import domain
from crmcore_profile.ages import LeapDay
from crmcore_profile.asking import ASKING, QUESTIONS, Asking, key_of
from crmcore_profile.attributes import AttributeSettings, attributes_of
from crmcore_profile.categories import CATEGORIES
from crmcore_profile.civil import ShopZone
from crmcore_profile.contacts import CHANNELS, OF_THEIR_OWN, hours_fold
from crmcore_profile.contribution import CONTRIBUTIONS, COSTLY, PAID, Costs
from crmcore_profile.page import Page
from crmcore_profile.statements import STATEMENTS, STATING
from crmcore_profile.tables import TABLES
from crmcore_profile.traits import traits_of
from crmcore_profile.values import checked

Origin = Literal["declared", "observed", "inferred"]

_MOST_MINOR = 10**9
_LONGEST_DAYS = 36_525


def _child_groups() -> dict[str, int]:
    return {"baby": 0, "toddler": 12, "preschool": 36, "school": 72, "teen": 156, "adult": 216}


@define(eq=False)
class Profile(Plugin):
    """
    Knows customers: what they said, what the shop saw, what was guessed, and how they buy.

    Attributes:
        attributes: What to know, as tables by name; see `AttributeSettings`. Those that come
            ready-made need no table.
        age_bands: The ages in years at which a new band begins, in ascending order.
        child_groups: Names of age groups of children, with the age in months at which each
            begins; the first at 0.
        leap_day: When who was born on 29 February is a year older in a common year: `feb28` or
            `mar1`.
        shipping_minor: What sending an order costs, in minor units of the shop's currency.
        return_minor: The same of taking goods back.
        case_minor: The same of a case that service settles.
        call_minute_minor: The same of a minute on the phone.
        half_life_days: Days after which a contact says half as much of the channel they prefer.
        overdue_percent: How late an order is, in percent of the customer's own rhythm, when they
            count as overdue.
        overdue_orders: How many orders make a rhythm.
        ask_every_days: Days between two questions, whatever they are about.
        ask_again_days: Days before the same is asked again.
    """

    name: ClassVar[str] = "profile"
    tables: ClassVar[tuple[PluginTable, ...]] = TABLES

    attributes: dict[str, AttributeSettings] = field(factory=dict)
    age_bands: list[int] = field(factory=lambda: [18, 25, 35, 45, 55, 65])
    child_groups: dict[str, int] = field(factory=_child_groups)
    leap_day: LeapDay = field(default="feb28", validator=choice("feb28", "mar1"))
    shipping_minor: int = field(default=0, validator=whole(least=0, most=_MOST_MINOR))
    return_minor: int = field(default=0, validator=whole(least=0, most=_MOST_MINOR))
    case_minor: int = field(default=0, validator=whole(least=0, most=_MOST_MINOR))
    call_minute_minor: int = field(default=0, validator=whole(least=0, most=_MOST_MINOR))
    half_life_days: int = field(default=90, validator=whole(least=1, most=_LONGEST_DAYS))
    overdue_percent: int = field(default=150, validator=whole(least=100, most=1000))
    overdue_orders: int = field(default=3, validator=whole(least=2, most=1000))
    ask_every_days: int = field(default=14, validator=whole(least=0, most=_LONGEST_DAYS))
    ask_again_days: int = field(default=180, validator=whole(least=0, most=_LONGEST_DAYS))

    def __attrs_post_init__(self) -> None:
        self._check_ages()
        # No fields, as they are no settings.
        self._attributes = {each.name: each for each in attributes_of(self.attributes)}
        self._zone = ShopZone()
        self._hours = hours_fold(self._zone)
        known = list(self._attributes.values())
        self._asking = Asking(known, every_days=self.ask_every_days, again_days=self.ask_again_days)
        self._page = Page(known, self.costs, self._asking)

    def _check_ages(self) -> None:
        bands: object = self.age_bands
        if not (
            isinstance(bands, list)
            and all(type(each) is int and 0 < each < 150 for each in bands)
            and sorted(set(bands)) == bands
        ):
            raise ConfigurationError(
                f"age_bands is {bands!r}; ascending ages from 1 to 149 are expected"
            )
        groups: object = self.child_groups
        if not (
            isinstance(groups, Mapping)
            and groups
            and all(isinstance(each, str) and each for each in groups)
            and all(type(each) is int and 0 <= each < 1800 for each in groups.values())
            and min(groups.values()) == 0
            and len(set(groups.values())) == len(groups)
        ):
            raise ConfigurationError(
                f"child_groups is {groups!r}; names with different ages in months, from 0 on, are "
                "expected"
            )

    @property
    def costs(self) -> Costs:
        """What shipping, returns and service cost."""
        return Costs(
            shipment_minor=self.shipping_minor,
            return_minor=self.return_minor,
            case_minor=self.case_minor,
            call_minute_minor=self.call_minute_minor,
        )

    def draft(
        self,
        attribute: str,
        value: str,
        *,
        origin: Origin = "declared",
        confidence: int | None = None,
        as_of: datetime | None = None,
        **fields: Any,
    ) -> Draft:
        """
        Return a statement that is ready to be recorded, once its value was checked.

        Args:
            attribute: Such as `birthday`.
            value: In the form of the attribute's type, such as `1984-05-17`.
            origin: Whether the customer declared it, the shop observed it, or it was inferred.
            confidence: In percent.
            as_of: Since when it is known to be so.
            fields: Those of `Draft`, such as `customer` and `source_key`.

        Raises:
            InputError: If there is no such attribute, or it can have no such value.
        """
        known = self._attributes.get(attribute)
        if known is None:
            raise InputError(
                f"no attribute {attribute!r}{nearest(attribute, self._attributes)}; there are: "
                f"{', '.join(self._attributes)}"
            )
        stated = domain.Stated(
            attribute=attribute,
            value=checked(known, value),
            confidence=confidence,
            as_of=None if as_of is None else to_instant(as_of),
        )
        return Draft(f"profile.{origin}", payload=stated, **fields)

    def ask_next(self, ctx: Context, customer_id: int) -> domain.Question | None:
        """
        Return what is worth most to ask a customer now; None: nothing, or not so soon.

        Who asks it in a form or on the phone records `profile.asked`.
        """
        return self._asking.next(ctx, customer_id)

    def ask(self, ctx: Context, customer_id: int, channel: str) -> domain.Question | None:
        """
        Ask a customer, by a message, what is worth most, and return it; None: nothing.

        The message asks, so the gate lets it go within the shop's one budget for that, or not.
        It counts as asked once it was sent; until then, asking again is the same message.
        """
        asked = self._asking.next(ctx, customer_id)
        if asked is not None:
            ctx.send(
                MessageDraft(
                    key=key_of(asked),
                    customer=customer_id,
                    purpose="survey",
                    channel=channel,
                    content=Content(text=asked.wording, data={"attribute": asked.attribute}),
                    asks=True,
                )
            )
        return asked

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        stated = {
            domain.DECLARED: "A customer said something of themselves.",
            domain.OBSERVED: "The shop saw something of a customer.",
            domain.INFERRED: "Something of a customer was guessed, with a confidence.",
        }
        return [
            *(Kind(name, payload=domain.Stated, description=d) for name, d in stated.items()),
            Kind(
                domain.WITHDRAWN,
                payload=domain.TakenBack,
                description="What was stated of a customer no longer counts.",
            ),
            Kind(
                domain.ASKED,
                payload=domain.Asked,
                description="A customer was asked for something of themselves.",
            ),
        ]

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return traits_of(self, list(self._attributes.values()), self._zone)

    @hookimpl
    @override
    def on_started(self, ctx: Context, event: Started) -> None:
        self._zone.calendar = ctx.calendar

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        self._zone.calendar = ctx.calendar
        for fold, kinds in self._folds():
            if not event.kinds.isdisjoint(kinds):
                ctx.fold(fold, event)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        self._zone.calendar = ctx.calendar
        for table in self.tables:
            ctx.clear(table.table, event)
        for fold, _ in self._folds():
            ctx.fold(fold, event)

    @hookimpl
    @override
    def guard_message(self, ctx: Context, event: MessagesProposed) -> Iterable[Hold] | None:
        return self._asking.held(ctx, event)

    @hookimpl
    @override
    def describe_customer(self, ctx: Context, event: CustomerAsked) -> Mapping[str, Any] | None:
        return self._page.describe(ctx, event.customer_id)

    def _folds(self) -> Iterable[tuple[Any, frozenset[str]]]:
        """Return the folds, each with the kinds it is about."""
        return (
            (STATEMENTS, STATING),
            (QUESTIONS, ASKING),
            (CONTRIBUTIONS, COSTLY),
            (CATEGORIES, frozenset(PAID)),
            (CHANNELS, OF_THEIR_OWN),
            (self._hours, OF_THEIR_OWN),
        )
