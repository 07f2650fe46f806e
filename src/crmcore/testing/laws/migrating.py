"""Laws of migrations: a database that grew up with the plugin is as one that begins with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import evolve
from sqlalchemy import Table

from crmcore.errors import CrmError, PluginError
from crmcore.hooks import PluginTable
from crmcore.persistence.database import Database
from crmcore.persistence.operations import apply
from crmcore.persistence.revisions import Revision, note_applied
from crmcore.persistence.shapes import shapes
from crmcore.services.starting import catalogue
from crmcore.services.starting.migrations import migrate
from crmcore.services.starting.revisions import revisions_of
from crmcore.testing.laws.base import Laws
from crmcore.testing.outings import crowd, one_of_each
from crmcore.testing.rows import Rows, Shape, fill, rows_of, shape_of, unlike
from crmcore.testing.shop import Shop


class MigratingLaws(Laws):
    """
    Revisions bring every released shape of the owned tables to the present one, rows and all.

    Attributes:
        first_tables: Owned tables as the first release made them, where no revision does.
    """

    first_tables: ClassVar[Sequence[Table]] = ()

    def test_revisions_are_in_order(self, any_shop: Shop) -> None:
        """The package of revisions is there, none is missing, and each has an upgrade."""
        for revision in _revisions(any_shop):
            if not callable(getattr(revision.load(), "upgrade", None)):
                raise any_shop.broken(
                    f"revision {revision.number} ({revision.module}) has no upgrade(op); give it "
                    "one, which changes the tables"
                )

    def test_revisions_make_what_is_declared(self, shop: Shop) -> None:
        """From empty, and from each revision, owned tables come to be as those of a new shop."""
        revisions = _revisions(shop)
        if not revisions:
            return
        expected = _declared(shop)
        for upto in range(0 if self.first_tables else 1, len(revisions) + 1):
            with shop.database() as url:
                before = self._grown_up(shop, url, revisions[:upto])
                _migrated(shop, url, upto)
                found, rows = _looked_at(shop, url)
            told = unlike(expected, found)
            if told:
                raise shop.broken(
                    f"migrated from revision {upto}, tables are not as `tables` declares them: "
                    f"{told}; write a revision that does what is missing"
                )
            _check_kept(shop, upto, before, rows)

    def _grown_up(self, shop: Shop, url: str, revisions: Sequence[Revision]) -> Rows:
        """Make a database as it was at a revision, with rows in it; returns those."""
        with shop.opened(shop.subject.without(), url=url) as crm:
            crm.record_many(crowd(_plain(shop), 3))
        plugin, database = shop.subject.make(), Database(url, durable=False)
        try:
            with database.begin() as connection:
                for table in self.first_tables:
                    table.create(connection.sqlalchemy)
                for kept in _owned(shop) if self.first_tables else ():
                    first = {each.name: each for each in self.first_tables}.get(kept.table.name)
                    if first is not None:
                        catalogue.describe(connection, plugin, evolve(kept, table=first))
            for revision in revisions:
                with database.begin() as connection:
                    self._apply(shop, connection, revision)
            with database.begin() as connection:
                if revisions and len(revisions) == len(_revisions(shop)):
                    for kept in _owned(shop):
                        catalogue.describe(connection, plugin, kept)
                return fill(connection, f"crm_{plugin.name}_")
        finally:
            database.close()

    def _apply(self, shop: Shop, connection: Any, revision: Revision) -> None:
        try:
            apply(connection, revision)
        except Exception as error:
            if revision.number == 1 and not self.first_tables:
                cure = (
                    "let it create the tables of the first release, or give the contract those "
                    "as `first_tables`"
                )
            else:
                cure = "let it change what the revision before it left"
            raise shop.broken(
                f"revision {revision.number} cannot be applied after those before it; {cure}: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
        if not [t for t in shapes(connection) if t.startswith(f"crm_{shop.subject.name}_")]:
            raise shop.broken(
                f"revision {revision.number} leaves no table of the plugin, so nothing can be "
                "proved of it; let the first one create what the first release had, or give the "
                "contract that as `first_tables`"
            )
        note_applied(connection, [revision], 1)


def _revisions(shop: Shop) -> Sequence[Revision]:
    try:
        return revisions_of(shop.subject.make())
    except PluginError as error:
        raise shop.broken(
            f"its migrations are not right: {error.problem}; modules are named r0001_<what>.py, "
            "counted from 1, in the package that `migrations` names"
        ) from error


def _owned(shop: Shop) -> list[PluginTable]:
    return [kept for kept in shop.subject.cls.tables if not kept.derived]


def _plain(shop: Shop) -> Any:
    return [each for each in one_of_each(shop) if each.kind in ("order.placed", "cart.changed")]


def _declared(shop: Shop) -> Shape:
    """Return what owned tables look like where a new shop made them."""
    with shop.database() as url:
        with shop.opened(url=url):
            pass
        return _looked_at(shop, url)[0]


def _looked_at(shop: Shop, url: str) -> tuple[Shape, Rows]:
    derived = set(shop.subject.derived)
    database = Database(url, durable=False)
    try:
        with database.begin(read_only=True) as connection:
            prefix = f"crm_{shop.subject.name}_"
            found, rows = shape_of(connection, prefix), rows_of(connection, prefix)
    finally:
        database.close()
    return (
        {name: each for name, each in found.items() if name not in derived},
        {name: each for name, each in rows.items() if name not in derived},
    )


def _migrated(shop: Shop, url: str, upto: int) -> None:
    try:
        migrate(url, shop.subject.all())
        with shop.opened(url=url):
            pass
    except CrmError as error:
        raise shop.broken(
            f"a database of revision {upto} cannot be migrated and opened: {error}; mend the "
            "revisions after it"
        ) from error


def _check_kept(shop: Shop, upto: int, before: Rows, after: Rows) -> None:
    """Refuse to lose rows, or all that a column held."""
    cure = "a revision keeps what customers' rows hold, so copy it to where it belongs from then on"
    for table, rows in before.items():
        # One that was renamed is another of as many rows.
        there = after.get(table) or max(after.values(), key=len, default=[])
        if len(there) < len(rows):
            raise shop.broken(
                f"migrated from revision {upto}, table {table!r} has {len(there)} of its "
                f"{len(rows)} rows; {cure}"
            )
        for column in rows[0] if rows else ():
            if (
                column in there[0]
                and any(each[column] is not None for each in rows)
                and all(each[column] is None for each in there)
            ):
                raise shop.broken(
                    f"migrated from revision {upto}, column {column!r} of table {table!r} holds "
                    f"nothing any more; {cure}"
                )
