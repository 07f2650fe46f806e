"""Laws of answers: traits, descriptions and reports say what they promise, and change nothing."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import bindparam, inspect, select
from sqlalchemy.dialects import postgresql, sqlite

from crmcore.app import Crm
from crmcore.domain.interaction import Draft
from crmcore.domain.trait import Trait
from crmcore.hooks import CustomerAsked, Plugin, ReportResult
from crmcore.persistence.customers import customer
from crmcore.persistence.ledger import interaction
from crmcore.services.unit import Unit
from crmcore.testing.dumps import difference, dump
from crmcore.testing.laws.base import Laws
from crmcore.testing.outings import crowd, loners, one_of_each
from crmcore.testing.shop import Shop, clock_of

_HISTORY: Final = ("customer_id", "value", "from_instant", "to_instant", "caused_by")
CLOCK_OR_CHANCE: Final = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random"
    r"|randomblob|gen_random_uuid|uuid_generate_v[14])\s*\("
    r"|\b(unixepoch|julianday)\(\)|\bcurrent_(timestamp|date|time)\b|\blocaltimestamp\b|'now'",
    re.IGNORECASE,
)
"""What asks the database's clock, or lets it draw lots, in a statement's text."""


class AnswersLaws(Laws):
    """What the plugin answers is whole, of its type, and read without changing anything."""

    def test_traits_are_well_formed(self, any_shop: Shop) -> None:
        """A trait has a default of its type, reads no clock, and its history has its columns."""
        for trait in any_shop.subject.traits:
            if trait.default is None or type(trait.default) is not trait.type:
                raise any_shop.broken(
                    f"trait {trait.name!r} has the default {trait.default!r}; a {_type(trait)} is "
                    "expected, which customers without a row have"
                )
            for told in _clocks_of(trait):
                raise any_shop.broken(
                    f"trait {trait.name!r} asks the database for {told}, so it changes with no "
                    "fact behind it; use the instant `now` that its function is given"
                )
            missing = [c for c in _HISTORY if trait.history is not None and c not in _of(trait)]
            if missing:
                raise any_shop.broken(
                    f"the history of trait {trait.name!r} lacks {', '.join(missing)}; it has one "
                    f"row per change, with the columns {', '.join(_HISTORY)}"
                )

    def test_traits_hold_one_value(self, shop: Shop) -> None:
        """After any history a customer has at most one value, never NULL, and of the type."""
        templates = one_of_each(shop) if shop.subject.traits else []
        # Everything in one year, and in the next one; and people who did one thing alone.
        years = [*crowd(templates, 2), *crowd(templates, 2, day=400), *loners(templates, first=2)]

        def check(history: list[Draft]) -> None:
            with shop.opened() as crm:
                shop.play(crm, [*years, *history])
                for trait in shop.subject.traits:
                    _check_values(shop, crm, trait)
                _check_view(shop, crm)

        if shop.subject.traits:
            shop.over(check, examples=max(3, shop.examples // 4), least=8)

    def test_answers_are_json_and_change_nothing(self, shop: Shop) -> None:
        """Descriptions of customers and reports can be told as JSON, and write nothing."""
        if not shop.subject.implements("describe_customer") and not _reports(shop.subject.make()):
            return

        def check(history: list[Draft]) -> None:
            with shop.opened() as crm:
                _check_answers(shop, crm)  # before anything is known of anybody
                shop.play(crm, history)
                before = dump(crm)
                _check_answers(shop, crm)
                told = difference(before, dump(crm))
                if told:
                    raise shop.broken(
                        "a question changes what is stored; describe_customer and reports read "
                        f"only, so write in an on_ hook\n{told}"
                    )

        shop.over(check, examples=max(2, shop.examples // 4), least=4)


def _type(trait: Trait[Any]) -> str:
    return getattr(trait.type, "__name__", str(trait.type))


def _of(trait: Trait[Any]) -> list[str]:
    return [] if trait.history is None else [column.name for column in trait.history.c]


def _clocks_of(trait: Trait[Any]) -> Iterator[str]:
    statement = _values(trait)
    for dialect in (sqlite.dialect(), postgresql.dialect()):  # type: ignore[no-untyped-call]
        compiled = statement.compile(dialect=dialect)
        found = CLOCK_OR_CHANCE.search(str(compiled))
        if found:
            yield found[0].rstrip(" (")
        elif "now" in compiled.params.values():
            yield "'now'"


def _values(trait: Trait[Any]) -> Any:
    now = bindparam("now", type_=interaction.c.occurred_at.type)
    return select(trait.table.c.customer_id, trait.column(now))


def _check_values(shop: Shop, crm: Crm, trait: Trait[Any]) -> None:
    with crm.runtime.database.begin(read_only=True) as connection:
        rows = connection.execute(_values(trait), now=clock_of(crm).now())
        history = [] if trait.history is None else connection.execute(select(trait.history))
    several = [who for who, count in Counter(who for who, _ in rows).items() if count > 1]
    if several:
        raise shop.broken(
            f"trait {trait.name!r} has several values for one customer; its table holds one row "
            "per customer, so group or filter it"
        )
    for _, value in rows:
        _check_value(shop, trait, value, "a customer")
    for row in history:
        _check_value(shop, trait, row[_of(trait).index("value")], "a row of its history")


def _check_value(shop: Shop, trait: Trait[Any], value: Any, whose: str) -> None:
    if value is None:
        raise shop.broken(
            f"trait {trait.name!r} is NULL for {whose}; leave the row out, or coalesce it to the "
            f"default {trait.default!r}"
        )
    fits = {bool: value in (0, 1), float: isinstance(value, int | float)}
    if not fits.get(trait.type, type(value) is trait.type):
        raise shop.broken(
            f"trait {trait.name!r} is {value!r} for {whose}, a {type(value).__name__}; "
            f"{_type(trait)} is what it promises, so cast it in SQL or correct its type"
        )


def _check_view(shop: Shop, crm: Crm) -> None:
    """Ask as the core asks, of customers with a row and of those without."""
    for who in _customers(crm)[:5]:
        values = crm.customer(who).traits
        for trait in shop.subject.traits:
            if type(values[trait.name]) is not trait.type:
                raise shop.broken(
                    f"trait {trait.name!r} reads {values[trait.name]!r} on a customer's page; "
                    f"{_type(trait)} is what it promises"
                )


def _customers(crm: Crm) -> list[int]:
    wanted = select(customer.c.customer_id).where(customer.c.merged_into.is_(None))
    with crm.runtime.database.begin(read_only=True) as connection:
        return sorted(row[0] for row in connection.execute(wanted))


def _reports(plugin: Plugin) -> list[Any]:
    return list(plugin.register_reports() or ())


def _check_answers(shop: Shop, crm: Crm) -> None:
    plugin = crm.plugin(shop.subject.cls)
    everyone = _customers(crm)
    with crm.runtime.database.begin() as connection:  # where it could write, if it tried to
        ctx = Unit(crm.runtime, connection).context(plugin)
        if shop.subject.implements("describe_customer"):
            for who in everyone[:5]:
                answer = _asked(
                    shop,
                    "describe_customer",
                    lambda who=who: plugin.describe_customer(ctx, CustomerAsked(who)),
                )
                _check_json(shop, "describe_customer", answer)
        for report in _reports(plugin):
            what = f"report {report.name!r}"
            found = _asked(shop, what, lambda report=report: report.run(ctx))
            if not isinstance(found, ReportResult):
                raise shop.broken(f"{what} gives {found!r}; let it return a ReportResult")
            _check_json(shop, what, dict(found.figures))


def _asked(shop: Shop, what: str, ask: Any) -> Any:
    try:
        return ask()
    except Exception as error:
        raise shop.broken(
            f"{what} raises {type(error).__name__}: {error}; answer nothing where nothing is known"
        ) from error


def _check_json(shop: Shop, what: str, answer: Any) -> None:
    try:
        json.dumps(answer, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise shop.broken(
            f"{what} answers {answer!r}, which JSON cannot hold ({error}); give text, finite "
            "numbers, true, false, lists and tables of these"
        ) from error


def unknown_tables(shop: Shop, crm: Crm) -> list[str]:
    """Return the tables in the database that neither the core nor a plugin declared."""
    from crmcore.persistence.partitions import partitions_of
    from crmcore.persistence.tables import metadata

    declared = {kept.table.name for plugin in crm.assembly for kept in plugin.tables}
    with crm.runtime.database.begin(read_only=True) as connection:
        there = set(inspect(connection.sqlalchemy).get_table_names()) - partitions_of(connection)
    return sorted(there - declared - set(metadata.tables))
