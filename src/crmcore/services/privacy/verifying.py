"""Verifying an erasure: everything is read again for what the person was known by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from sqlalchemy import select

from crmcore.domain.privacy import Found, Verification
from crmcore.domain.spelling import SHORTEST, Needle, Needles, as_bytes, holding
from crmcore.persistence import searching
from crmcore.persistence.catalogue import plugin_table
from crmcore.persistence.connection import Connection
from crmcore.persistence.database import Database
from crmcore.persistence.searching import Searched
from crmcore.services.privacy.erased import reason_to_keep
from crmcore.services.privacy.treatments import TREATMENTS
from crmcore.services.staff.access import NOBODY

_OURS: Final = "crm_"
_policies = select(plugin_table.c.table_name, plugin_table.c.erase_policy)

LEFT: Final = "it should have been erased"
THEIRS: Final = "it stands in rows about other people, which are theirs"
NOBODYS: Final = "it stands where no customer's rows are; look at it"
FOREIGN: Final = "the table is not crmcore's"
WORDS: Final = "the same words stand in a fact that names nobody"

_BACKUPS: Final = (
    "backups: after one is restored, `crm erase-customer --again` with the journal of erasures"
)
_LOGS: Final = "logs of the shop's own processes, and what recipients were given"
_COPIES: Final = "copies that `crm export-customer` wrote, wherever these files are now"
_SERVER: Final = (
    "the files and the write-ahead log of the PostgreSQL server, which no client can read; they "
    "lose deleted rows with VACUUM and with time"
)


@define
class Search:
    """What is looked for, and what was found so far."""

    needles: Needles
    people: frozenset[int]
    tables: int = 0
    files: int = 0
    left: dict[tuple[str, str], int] = field(factory=dict)
    elsewhere: dict[tuple[str, str], int] = field(factory=dict)
    present: set[str] = field(factory=set)
    """Those that stand in some row for a reason, so that they stand in the files, too."""

    unverified: list[str] = field(factory=list)
    is_complete: bool = True

    def note(self, where: str, why: str, needles: Iterable[Needle]) -> None:
        found = self.left if why == LEFT else self.elsewhere
        found[where, why] = found.get((where, why), 0) + 1
        self.present.update(each.text for each in needles)

    def told(self) -> Verification:
        return Verification(
            searched=len(self.needles.all),
            tables=self.tables,
            files=self.files,
            left=_found(self.left),
            elsewhere=_found(self.elsewhere),
            unverified=tuple(self.unverified),
            is_complete=self.is_complete,
        )


def _found(places: Mapping[tuple[str, str], int]) -> tuple[Found, ...]:
    return tuple(Found(where, count=count, why=why) for (where, why), count in places.items())


def verify(
    database: Database, needles: Needles, people: Collection[int], files: Sequence[Path]
) -> Verification:
    """
    Look for everything a person was known by: in all tables, in the files, in those of plugins.

    Where bytes of a SQLite file still hold something, the file is written anew, and read again.
    """
    search = Search(needles, frozenset(people))
    with database.begin(read_only=True) as connection:
        _search_tables(connection, search)
        _search_indexes(connection, search)
    _search_files(search, files)
    _search_database(database, search)
    if needles.short:
        search.unverified.append(
            f"{needles.short} of what they were known by is shorter than {SHORTEST} characters, "
            "and stands in too many places to be looked for"
        )
    if needles.beyond:
        search.unverified.append(
            f"{needles.beyond} more texts of theirs: the first {needles.most} were looked for"
        )
    search.unverified += [_COPIES, _BACKUPS, _LOGS]
    return search.told()


def _search_tables(connection: Connection, search: Search) -> None:
    policies: dict[str, str] = dict(connection.execute(_policies))
    for table in searching.tables(connection):
        owners = _owners(connection, table)
        for owned, said in searching.read(connection, table, owners):
            whose = [each for each in owned if each != NOBODY]
            for place, value in enumerate(said):
                found = _needles_in(search.needles.all, value, search.present)
                if found:
                    where = f"{table.name}.{table.columns[place]}"
                    _judge(search, table.name, where, whose, found, policies)
        search.tables += 1


def _owners(connection: Connection, table: Searched) -> tuple[str, ...]:
    """Return the columns that say whose a row is."""
    treatment = TREATMENTS.get(table.name)
    if treatment is not None:
        return treatment.owners
    if not table.name.startswith(_OURS):
        return ()
    there = {each["name"] for each in connection.inspector.get_columns(table.name)}
    return ("customer_id",) if "customer_id" in there else ()


def _needles_in(needles: Sequence[Needle], value: Any, present: set[str]) -> list[Needle]:
    if isinstance(value, bytes | memoryview):
        value = bytes(value).decode("utf-8", "replace")
    if not isinstance(value, str) or len(value) < SHORTEST:
        return []
    found = holding(needles, value)
    # As a number in JSON it is nobody's, and yet stands in the bytes.
    folded = value.lower()
    present.update(each.text for each in needles if each.is_in(folded))
    return found


def _judge(
    search: Search,
    table: str,
    where: str,
    whose: Sequence[Any],
    found: Sequence[Needle],
    policies: Mapping[str, str],
) -> None:
    """Note what was found in one value, with why it is there; words of anybody's are nothing."""
    names = [each for each in found if each.sort == "name"]
    telling = [each for each in found if each.tells]
    if not table.startswith(_OURS):
        if telling:
            search.note(where, FOREIGN, found)
    elif search.people.intersection(whose):
        kept = reason_to_keep(policies.get(table, ""))
        if kept is not None:
            search.note(where, f"kept: {kept}", found)
        elif telling:
            search.note(where, LEFT, found)
        elif any(each.sort == "text" for each in found):
            search.note(where, WORDS, found)
    elif whose and names:
        search.note(where, THEIRS, found)
    elif not whose and telling:
        search.note(where, NOBODYS, found)
    search.present.update(each.text for each in found)


def _search_indexes(connection: Connection, search: Search) -> None:
    """Look into indexes of full text, which keep words apart from where they came from."""
    for name in searching.full_text(connection):
        for needle in search.needles.telling:
            if searching.is_indexed(connection, name, needle.text):
                ours = name.startswith(_OURS) and needle.text not in search.present
                search.note(name, LEFT if ours else FOREIGN, [needle])
        search.tables += 1


def _search_files(search: Search, files: Sequence[Path]) -> None:
    """Look into files and folders that plugins named."""
    wanted = as_bytes(each for each in search.needles.all if each.tells)
    for path in _each_file(files):
        try:
            found = searching.found_in(path, wanted)
        except OSError as error:
            search.unverified.append(f"the file {path.name}: {error.strerror}")
            search.is_complete = False
            continue
        search.files += 1
        if found:
            search.note(path.name, LEFT, found)


def _each_file(files: Sequence[Path]) -> Iterator[Path]:
    for path in files:
        if path.is_dir():
            yield from sorted(each for each in path.rglob("*") if each.is_file())
        elif path.exists():
            yield path


def _search_database(database: Database, search: Search) -> None:
    """Read the bytes of the database's files; write it anew where something still stands there."""
    if not database.portable.is_sqlite:
        search.unverified.append(_SERVER)
        return
    if database.is_in_memory:
        return
    wanted = as_bytes(each for each in search.needles.all if each.text not in search.present)
    is_alone = searching.empty_log(database)
    if _bytes_left(database, wanted):
        is_alone = searching.write_anew(database)
    for name, needles in _bytes_left(database, wanted).items():
        # Written anew, it holds nothing but what is there: words that were nobody's own.
        telling = [each for each in needles if each.tells]
        if is_alone and telling:
            search.note(name, LEFT, telling)
        elif not is_alone:
            search.is_complete = False
            search.unverified.append(
                f"the file {name}: another process reads it, so that deleted bytes are still "
                "there; do it again when none does"
            )
    search.files += len(searching.files_of(database))


def _bytes_left(database: Database, wanted: Mapping[bytes, Needle]) -> dict[str, set[Needle]]:
    found = {path.name: searching.found_in(path, wanted) for path in searching.files_of(database)}
    return {name: needles for name, needles in found.items() if needles}


def rewrite(database: Database) -> Verification:
    """
    Write a SQLite database anew, where nobody knows any more what to look for.

    So it is where a verification could not be done to the end, as another process read the
    database, or one ended too early: what the person was known by is gone with the erasure.
    """
    unverified = ["what the person was known by is gone, so that nothing could be looked for"]
    is_complete = True
    if not database.portable.is_sqlite:
        unverified.append(_SERVER)
    elif not database.is_in_memory and not searching.write_anew(database):
        unverified.append(
            "another process has the database, so that it was not written anew; do it again when "
            "none does"
        )
        is_complete = False
    unverified += [_COPIES, _BACKUPS, _LOGS]
    return Verification(
        searched=0, tables=0, files=0, unverified=tuple(unverified), is_complete=is_complete
    )
