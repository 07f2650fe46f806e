"""Resolving: what a campaign says to one customer: which variant, with what of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import Select, bindparam, select

from crmcore import Content, Context, Delivery, Money, payload_text
from crmcore.errors import ConfigurationError, SegmentError
from crmcore_email_link.campaigns.arms import Split
from crmcore_email_link.capture import CAPTURED
from crmcore_email_link.reading import Execute, customer, interaction
from crmcore_email_link.tables import Whole

Given = Callable[[Sequence[int]], Mapping[int, Mapping[str, Any]]]
"""Returns what the shop itself knows of some customers, by their ids: a template's variables."""

LANGUAGE: Final = "language"
"""Of the variables of one's own, the one that chooses in which language a mail is written."""

_OF_CAMPAIGN: Final = "campaign"
_c, _i = customer.c, interaction.c


@frozen
class Reader:
    """
    Reads what mails of a campaign are made with.

    Attributes:
        ctx: Over what.
        given: What the shop itself knows of customers; None: nothing.
        is_multilingual: Whether it matters in which language somebody reads.
    """

    ctx: Context
    given: Given | None = None
    is_multilingual: bool = False

    def contents(
        self, wanted: Sequence[tuple[int, Content]], at: int
    ) -> list[Content | ConfigurationError]:
        """
        Return what each customer is told, in order: their variant, and variables of their own.

        A few statements for each campaign among them, and none for each customer. What is wrong
        with how a campaign is set up stands in the place of each of its mails.

        Args:
            wanted: Customers by id, with what the broadcast says.
            at: The instant, in microseconds.
        """
        found: list[Content | ConfigurationError] = [content for _, content in wanted]
        campaigns: dict[str, list[int]] = {}
        for place, (_, content) in enumerate(wanted):
            said = content.data.get(_OF_CAMPAIGN)
            if isinstance(said, Mapping):
                campaigns.setdefault(repr(said), []).append(place)
        for places in campaigns.values():
            ids = [wanted[place][0] for place in places]
            first = wanted[places[0]][1]
            try:
                made = self._of_campaign(first, ids, at)
            except (SegmentError, ConfigurationError) as error:
                problem = ConfigurationError(f"a campaign's variables cannot be read: {error}")
                made = dict.fromkeys(ids, problem)
            for place in places:
                found[place] = made[wanted[place][0]]
        return found

    def _of_campaign(
        self, content: Content, ids: Sequence[int], at: int
    ) -> dict[int, Content | ConfigurationError]:
        said = content.data[_OF_CAMPAIGN]
        own = self._own(said.get("personal") or {}, ids, at)
        chosen = variants_of(self.ctx.execute, said, ids)
        languages = self._languages(ids) if self.is_multilingual else {}
        return {
            each: _written(content, said, chosen[each], own.get(each, {}), languages.get(each))
            for each in ids
        }

    def _own(
        self, personal: Mapping[str, str], ids: Sequence[int], at: int
    ) -> dict[int, dict[str, Any]]:
        own: dict[int, dict[str, Any]] = {each: {} for each in ids}
        if personal:
            found = self.ctx.segments.measures(tuple(personal.values()), set(ids), at)
            makers = [_maker(column.unit, found.currency) for column in found.columns]
            for owner, *values in found.rows:
                for name, make, value in zip(personal, makers, values, strict=True):
                    if value is not None:
                        own[owner][name] = make(value)
        if self.given is not None:
            for owner, variables in self.given(sorted(set(ids))).items():
                if owner in own:
                    own[owner] |= variables
        return own

    def _languages(self, ids: Collection[int]) -> dict[int, str]:
        """Return in which language those ordered of whom an address was captured with one."""
        latest = self.ctx.latest(ids, (CAPTURED,))
        if not latest:
            return {}
        statement, values = _listed(_locales, tuple(latest.values()))
        return {owner: locale for owner, locale in self.ctx.execute(statement, **values) if locale}


def resolved(
    reader: Reader, deliveries: Sequence[Delivery], at: int
) -> list[Delivery | ConfigurationError]:
    """Return messages with what each says; see `Reader.contents`."""
    contents = reader.contents(
        [(each.message.customer_id, each.content) for each in deliveries], at
    )
    return [
        content if isinstance(content, ConfigurationError) else evolve(delivery, content=content)
        for delivery, content in zip(deliveries, contents, strict=True)
    ]


def variant_content(execute: Execute, content: Content, owner: int) -> Content:
    """Return a broadcast's content as one customer had it, without variables of their own."""
    said = content.data.get(_OF_CAMPAIGN)
    if not isinstance(said, Mapping):
        return content
    return _written(content, said, variants_of(execute, said, [owner])[owner], {}, None)


def variants_of(
    execute: Execute, said: Mapping[str, Any], ids: Iterable[int]
) -> dict[int, Mapping[str, Any]]:
    """Return which variant each customer gets, by id; one statement."""
    variants = {each["name"]: each for each in said["variants"]}
    wanted = tuple(dict.fromkeys(ids))
    if len(variants) == 1:
        (only,) = variants.values()
        return dict.fromkeys(wanted, only)
    weights = tuple((name, each["weight"]) for name, each in variants.items())
    split = Split(said["experiment"], 0.0, weights)
    statement, values = _listed(_buckets, wanted)
    buckets: dict[int, int | None] = dict(execute(statement, **values))
    return {each: variants[split.variant_of(buckets.get(each) or 0)] for each in wanted}


def _written(
    content: Content,
    said: Mapping[str, Any],
    variant: Mapping[str, Any],
    own: Mapping[str, Any],
    locale: str | None,
) -> Content:
    variables = {**said["variables"], **variant["variables"], **own}
    language = own.get(LANGUAGE) or content.data.get(LANGUAGE) or locale
    data = {"template": variant["template"], "variables": variables, "variant": variant["name"]}
    if isinstance(language, str):
        data[LANGUAGE] = language
    return evolve(content, data=data)


def _maker(unit: str, currency: str) -> Callable[[Any], Any]:
    """Return what makes a template's value of a measure: an amount is in major units."""
    if unit == "minor":
        return lambda value: Decimal(str(Money(value, currency)).partition(" ")[0].replace(",", ""))
    return lambda value: value


@lru_cache(maxsize=32)
def _buckets(size: int) -> Select[Any]:
    return select(_c.customer_id, _c.bucket).where(_c.customer_id.in_(_ids(size)))


@lru_cache(maxsize=32)
def _locales(size: int) -> Select[Any]:
    locale = payload_text(_i.payload, "locale")
    return select(_i.customer_id, locale).where(_i.interaction_id.in_(_ids(size)))


def _ids(size: int) -> list[Any]:
    return [bindparam(f"id_{number}", type_=Whole) for number in range(size)]


def _listed(
    statement: Callable[[int], Select[Any]], ids: Sequence[int]
) -> tuple[Select[Any], dict[str, int]]:
    """Return the statement for some ids, the last as often as few sizes of statements want it."""
    size = 1 << (len(ids) - 1).bit_length()
    values = {f"id_{number}": ids[min(number, len(ids) - 1)] for number in range(size)}
    return statement(size), values
