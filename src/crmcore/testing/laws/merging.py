"""Laws of merges: two customers who are one have what one customer would have, until undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import Integer, Numeric, Table, insert, text
from sqlalchemy.sql.visitors import iterate

from crmcore.app import Crm
from crmcore.domain.identity import Identifier
from crmcore.domain.interaction import Draft
from crmcore.errors import CrmError
from crmcore.persistence.customers import customer
from crmcore.services.merging.merging import Merge
from crmcore.testing import dumps
from crmcore.testing.laws.base import Laws
from crmcore.testing.outings import crowd, one_of_each
from crmcore.testing.owners import named_rows
from crmcore.testing.shop import Shop, clock_of, pass_time, settle
from crmcore.testing.snapshots import CUSTOMER_IDS, difference, snapshot
from crmcore.testing.troubles import troubles

Numbers = dict[tuple[str, str], tuple[int, int]]

FAR: Final = 7_100_000_000
"""Ids of customers follow this one, so that none of them can be mistaken for another number."""


@frozen
class Pair:
    """Two customers, by id and by account."""

    survivor: int
    merged: int
    accounts: tuple[str, str]


class MergingLaws(Laws):
    """A merge makes one of two, whatever happened and happens; undoing it makes them two again."""

    def test_merge_and_unmerge(self, shop: Shop) -> None:
        """
        Merged and at once parted again, two customers leave every row as it was.

        While two are one, nothing is the merged one's, and time passes without errors.
        """

        def check(history: list[Draft]) -> None:
            with _met(shop, history) as (crm, pair):
                if pair is None:
                    return
                before = dumps.dump(crm)
                crm.unmerge(_merge(shop, crm, pair).id)
                told = dumps.difference(before, dumps.dump(crm))
                if told:
                    raise shop.broken(
                        "a merge that is undone at once leaves other rows than before it; let "
                        "recompute_customers make the rows of the customers it is asked about, all "
                        f"of them and no others, and from the ledger alone\n{told}"
                    )

                owned = _owned(shop, crm, pair)
                aside = _merge(shop, crm, pair).shelved
                after = _owned(shop, crm, pair)
                for table, count in owned.items():
                    kept = after[table] + aside.get(table, 0)
                    if kept != count:
                        raise shop.broken(
                            f"a merge loses rows of {table}: there were {count} of both customers, "
                            f"and {kept} are left, those put aside among them; what hooks do as "
                            "customers are merged must not delete rows of tables it owns"
                        )
                _check_merged(shop, crm, pair, "as the two are merged")
                pass_time(crm)
                _check_merged(shop, crm, pair, "as time passes after the merge")

        shop.over(check, examples=max(2, shop.examples // 3), least=12)

    def test_merged_as_if_one_from_the_start(self, shop: Shop) -> None:
        """What is derived of two who are merged is what it were, had both been one account."""
        # So that each of them has something of everything.
        opening = crowd(one_of_each(shop), 2, first=1)

        def check(history: list[Draft]) -> None:
            history = [*opening, *history]
            with _met(shop, history) as (crm, pair):
                if pair is None:
                    return
                counted = _counts(shop, crm, pair)
                had = [_kept_traits(shop, crm, who) for who in (pair.survivor, pair.merged)]
                _merge(shop, crm, pair)
                has = _kept_traits(shop, crm, pair.survivor)
                found = named_rows(crm, shop.subject.tables, pair.accounts)
                merged = _counts(shop, crm, pair)
            as_one = [_under(draft, pair.accounts) for draft in history]
            with shop.opened() as twin:
                shop.play(twin, as_one, days=0)
                one = _id_of(twin, pair.accounts[0])
                expected = named_rows(twin, shop.subject.tables, pair.accounts)
                both = _counts(shop, twin, Pair(one, one, pair.accounts))
                would = _kept_traits(shop, twin, one)
            if found.decided != expected.decided:
                return  # what is derived may follow from decisions, and those are other ones
            told = difference(expected.only(shop.subject.derived), found.only(shop.subject.derived))
            if told:
                raise shop.broken(
                    "two customers who were merged have other derived rows than one customer with "
                    "the history of both; fold by customer_id, never by recorded_for, and let "
                    f"recompute_customers make everything anew\n{told}"
                )
            _check_counts(shop, counted, merged, both)
            _check_traits(shop, had, has, would)

        shop.over(check, examples=max(2, shop.examples // 3), least=12)

    def test_what_comes_while_merged(self, shop: Shop) -> None:
        """With things recorded in between, a merge and its undoing leave what a rebuild makes."""
        opening = crowd(one_of_each(shop), 2, first=1)

        def check(history: list[Draft]) -> None:
            history = [*opening, *history]
            half = (2 * len(history)) // 3
            with _met(shop, history[:half]) as (crm, pair):
                if pair is None:
                    return
                merge = _merge(shop, crm, pair).id
                shop.play(crm, history[half:], days=0)
                _check_merged(shop, crm, pair, "as more is recorded after the merge")
                _check_rebuilt(shop, crm, "after a merge, with more recorded since,")
                try:
                    crm.unmerge(merge)
                except CrmError as error:
                    raise shop.broken(f"a merge cannot be undone: {error}") from error
                settle(crm)
                _check_rebuilt(shop, crm, "after a merge that was undone later")
                pass_time(crm)
                _check_troubles(shop, crm, "after a merge and its undoing")

        shop.over(check, examples=max(2, shop.examples // 3), least=12)


@contextmanager
def _met(shop: Shop, history: Sequence[Draft]) -> Iterator[tuple[Crm, Pair | None]]:
    """Open a shop in which a history happened, with two of its customers; None: it has no two."""
    with shop.opened() as crm:
        if shop.kind == "sqlite":
            nobody = (FAR, clock_of(crm).now(), "nobody", None, 0, None, None)
            with crm.begin() as tx:
                tx.connection.insert_rows(insert(customer), [nobody])
        shop.play(crm, history, days=0)
        # Those two who ordered most: of them most is kept.
        known: Counter[str] = Counter()
        for draft in history:
            known[_account(draft)] += 100 if draft.kind == "order.placed" else 1
        accounts = [account for account, _ in known.most_common(2)]
        if len(accounts) < 2:
            yield crm, None
            return
        one, other = accounts
        yield crm, Pair(_id_of(crm, one), _id_of(crm, other), (one, other))


def _account(draft: Draft) -> str:
    return next(each.value for each in draft.identifiers if each.scheme == "account")


def _id_of(crm: Crm, account: str) -> int:
    found = crm.find_customer(Identifier("account", account))
    assert found is not None
    return found


def _under(draft: Draft, accounts: tuple[str, str]) -> Draft:
    """Return a draft under the first of two accounts, if it came under the second."""
    one, other = (Identifier("account", each) for each in accounts)
    return evolve(
        draft, identifiers=tuple(one if each == other else each for each in draft.identifiers)
    )


def _merge(shop: Shop, crm: Crm, pair: Pair) -> Merge:
    try:
        return crm.merge(pair.survivor, pair.merged)
    except CrmError as error:
        raise shop.broken(f"two customers cannot be merged: {error}") from error


def _check_troubles(shop: Shop, crm: Crm, when: str) -> None:
    told = troubles(crm, shop.subject.name)
    if told:
        raise shop.broken(
            f"it fails {when}; a customer of whom something is kept in a timer's key, a text or an "
            f"object may be somebody else by now\n{told}"
        )


def _check_rebuilt(shop: Shop, crm: Crm, when: str) -> None:
    before = snapshot(crm).only(shop.subject.derived)
    crm.rebuild(shop.subject.name)
    told = difference(snapshot(crm).only(shop.subject.derived), before)
    if told:
        raise shop.broken(f"{when} a rebuild leaves other derived rows\n{told}")


def _check_merged(shop: Shop, crm: Crm, pair: Pair, when: str) -> None:
    """Raise where something is the merged one's, or the two are not one to whoever asks."""
    _check_troubles(shop, crm, when)
    for table, column in _columns(shop, crm):
        count = _one(crm, f"SELECT count(*) FROM {table} WHERE {column} = {pair.merged}")
        if count:
            raise shop.broken(
                f"{when}, {count} rows of {table} have the id of the merged customer in "
                f"{column}; a customer's id stands in customer_id only, and what is done later "
                "goes by the customer of the timer or the interaction, not by an id that was noted"
            )
    _check_rebuilt(shop, crm, f"{when},")
    traits = [crm.customer(each, most=0).traits for each in (pair.survivor, pair.merged)]
    if traits[0] != traits[1]:
        raise shop.broken(f"{when}, the two have different traits: {traits[0]}, {traits[1]}")


def _columns(shop: Shop, crm: Crm) -> Iterator[tuple[str, str]]:
    """Yield the columns in which an id of a customer may stand, where none of them stays."""
    for each in shop.subject.cls.tables:
        for column in each.table.columns if each.merge != "keep_both" else ():
            whole = isinstance(column.type, Integer)
            # On PostgreSQL ids start at 1, as those of interactions do.
            if column.name in CUSTOMER_IDS or (whole and shop.kind == "sqlite"):
                yield each.table.name, column.name
    yield "crm_timer", "customer_id"


def _owned(shop: Shop, crm: Crm, pair: Pair) -> dict[str, int]:
    """Return how many rows of the two each table has that the plugin owns."""
    of_both = f"WHERE customer_id IN ({pair.survivor}, {pair.merged})"
    return {
        name: _one(crm, f"SELECT count(*) FROM {name} {of_both}")
        for name in shop.subject.tables
        if name not in shop.subject.derived
    }


def _counts(shop: Shop, crm: Crm, pair: Pair) -> Numbers:
    """Return the numbers in tables it owns with one row of each customer, of both customers."""
    found = {}
    for each in shop.subject.cls.tables:
        if each.derived or list(each.table.primary_key.columns.keys()) != ["customer_id"]:
            continue
        for column in each.table.columns:
            if column.name == "customer_id" or column.name.endswith(("_at", "_id", "_on")):
                continue
            if isinstance(column.type, Integer | Numeric):
                at = f"SELECT {column.name} FROM {each.table.name} WHERE customer_id = "
                numbers = [_one(crm, f"{at}{who}") for who in (pair.survivor, pair.merged)]
                found[each.table.name, column.name] = (int(numbers[0] or 0), int(numbers[1] or 0))
    return found


def _check_counts(shop: Shop, apart: Numbers, merged: Numbers, as_one: Numbers) -> None:
    """Raise where a sum of both would be right, and a merge leaves that of one of them."""
    for (table, column), (one, other) in apart.items():
        expected, found = as_one[table, column][0], merged[table, column][0]
        if one and other and one + other == expected != found:
            raise shop.broken(
                f"a merge loses what {table}.{column} counts: the two had {one} and {other}, one "
                f"customer would have {expected}, and the survivor has {found}, as a table that is "
                "owned keeps the survivor's row; declare it derived=True, merge='recompute' and "
                "make it anew from the ledger, or keep a row for each fact"
            )


def _kept_traits(shop: Shop, crm: Crm, customer_id: int) -> dict[str, Any]:
    """Return a customer's traits that read tables of which a merge leaves both their rows."""
    both = {e.table.name for e in shop.subject.cls.tables if e.merge == "keep_both"}
    values = crm.customer(customer_id).traits
    return {
        trait.name: values[trait.name]
        for trait in shop.subject.traits
        if any(isinstance(e, Table) and e.name in both for e in iterate(trait.table))
    }


def _check_traits(
    shop: Shop, had: Sequence[dict[str, Any]], has: dict[str, Any], would: dict[str, Any]
) -> None:
    """Raise where a trait of two who were merged does not count what one of them brought."""
    for name, value in has.items():
        if would[name] != value and had[1][name] != would[name]:
            raise shop.broken(
                f"after a merge the trait {name} is {value!r}, and {would[name]!r} for one "
                f"customer with the history of both, who had {had[0][name]!r} and "
                f"{had[1][name]!r}: its table keeps rows of the merged customer where nobody "
                "looks, as its merge policy is 'keep_both'; let it be 'move'"
            )


def _one(crm: Crm, statement: str) -> Any:
    with crm.runtime.database.begin(read_only=True) as connection:
        return connection.sqlalchemy.execute(text(statement)).scalar()
