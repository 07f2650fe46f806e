"""Resolving: what a campaign says to one customer: which variant, with what of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import Select, bindparam, select

from crmcore import Content, Context, Delivery, Money, payload_text
from crmcore.errors import ConfigurationError, InputError, SegmentError
from crmcore_email_link.campaigns.arms import Split
from crmcore_email_link.capture import CAPTURED
from crmcore_email_link.reading import Execute, customer, interaction
from crmcore_email_link.tables import Whole

Given = Callable[[Sequence[int]], Mapping[int, Mapping[str, Any]]]
"""Returns what the shop itself knows of some customers, by their ids: a template's variables."""

Problem = ConfigurationError | InputError
"""Why a mail cannot be made: until the shop has mended something, or not at all."""

LANGUAGE: Final = "language"
"""Of the variables of one's own, the one that chooses in which language a mail is written."""

VARIANT: Final = "variant"
"""Under which the data of a campaign's mail name the variant that it is."""

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

    def contents(self, wanted: Sequence[tuple[int, Content]], at: int) -> list[Content | Problem]:
        """
        Return what each customer is told, in order: their variant, and variables of their own.

        A few statements for each campaign among them, and none for each customer. What is wrong
        with how a campaign is set up stands in the place of each of its mails, and what is wrong
        with one customer's variables in the place of theirs.

        Args:
            wanted: Customers by id, with what the broadcast says.
            at: The instant, in microseconds.
        """
        found: list[Content | Problem] = [content for _, content in wanted]
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
    ) -> dict[int, Content | Problem]:
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
    ) -> dict[int, dict[str, Any] | InputError]:
        own: dict[int, Any] = {each: {} for each in ids}
        if personal:
            found = self.ctx.segments.measures(tuple(personal.values()), set(ids), at)
            makers = [_maker(column.unit, found.currency) for column in found.columns]
            for owner, *values in found.rows:
                for name, make, value in zip(personal, makers, values, strict=True):
                    if value is not None:
                        own[owner][name] = make(value)
        for owner, variables in self._known_of(sorted(set(ids))).items():
            if owner in own:
                own[owner] = _with_known(owner, own[owner], variables)
        return own

    def _known_of(self, ids: Sequence[int]) -> Mapping[int, object]:
        """
        Return what the shop itself knows of customers, each still to be looked at.

        Raises:
            ConfigurationError: If its function raises, or returns no table: nothing has been
                handed over by then, so all of it can go when that is mended.
        """
        if self.given is None:
            return {}
        try:
            found: object = self.given(ids)
        except ConfigurationError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"recipients raised {type(error).__name__}: {error}"
            ) from error
        if not isinstance(found, Mapping):
            raise ConfigurationError(
                f"recipients returned {type(found).__name__}; tables of variables by customers' "
                "ids are expected"
            )
        return found

    def _languages(self, ids: Collection[int]) -> dict[int, str]:
        """Return in which language those ordered of whom an address was captured with one."""
        latest = self.ctx.latest(ids, (CAPTURED,))
        if not latest:
            return {}
        statement, values = _listed(_locales, tuple(latest.values()))
        return {owner: locale for owner, locale in self.ctx.execute(statement, **values) if locale}


def resolved(reader: Reader, deliveries: Sequence[Delivery], at: int) -> list[Delivery | Problem]:
    """Return messages with what each says; see `Reader.contents`."""
    contents = reader.contents(
        [(each.message.customer_id, each.content) for each in deliveries], at
    )
    return [
        evolve(delivery, content=content) if isinstance(content, Content) else content
        for delivery, content in zip(deliveries, contents, strict=True)
    ]


def variant_content(execute: Execute, content: Content, owner: int) -> Content:
    """Return a broadcast's content as one customer had it, without variables of their own."""
    said = content.data.get(_OF_CAMPAIGN)
    if not isinstance(said, Mapping):
        return content
    variant = variants_of(execute, said, [owner])[owner]
    return evolve(content, data=_data_of(content, said, variant, {}, None))


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
    own: Mapping[str, Any] | InputError,
    locale: str | None,
) -> Content | Problem:
    if isinstance(own, InputError):
        return own
    return evolve(content, data=_data_of(content, said, variant, own, locale))


def _data_of(
    content: Content,
    said: Mapping[str, Any],
    variant: Mapping[str, Any],
    own: Mapping[str, Any],
    locale: str | None,
) -> dict[str, Any]:
    variables = {**said["variables"], **variant["variables"], **own}
    language = own.get(LANGUAGE) or content.data.get(LANGUAGE) or locale
    data = {"template": variant["template"], "variables": variables, VARIANT: variant["name"]}
    if isinstance(language, str):
        data[LANGUAGE] = language
    return data


def _with_known(owner: int, own: dict[str, Any], known: object) -> dict[str, Any] | InputError:
    """Return variables with those the shop knows; what is no table of names says so, it alone."""
    if isinstance(known, Mapping) and all(isinstance(name, str) for name in known):
        return own | dict(known)
    return InputError(
        f"recipients returned {type(known).__name__} for customer {owner}; a table of variables "
        "by name is expected"
    )


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
