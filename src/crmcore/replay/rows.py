"""Rows: a mapping made ready for one file, so that each row is read without looking things up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

from attrs import frozen

from crmcore.domain.identity import Identifier, normalise
from crmcore.domain.kind import Kind, KindRegistry
from crmcore.errors import ConfigurationError, InputError, UnknownKindError, nearest
from crmcore.replay.amounts import AmountReader, text_reader
from crmcore.replay.cells import Numbers, instant_parser, text_of
from crmcore.replay.columns import Column
from crmcore.replay.conditions import Test
from crmcore.replay.entries import Entry
from crmcore.replay.mapping import HistoryMapping
from crmcore.replay.mapping_parts import KindColumn, LineNumber, Time, Undoing
from crmcore.replay.payloads import Payload, PayloadReader, check_fields
from crmcore.replay.tables import Row, Table, bind, bind_all

TextReader = Callable[[Row], str | None]
_NO_FACTS = {"kind", "time", "amount", "lines", "group_by", "leave_out"}


@frozen(eq=False)
class Sort:
    """What rows of one kind are read with."""

    kind: Kind
    undoing: bool
    subject: TextReader
    payload: PayloadReader


class RowReader:
    """
    Reads the rows of one table as a mapping says.

    Raises:
        ConfigurationError: If the mapping names a kind that is not registered, or a field of a
            payload that its kinds do not have.
    """

    def __init__(self, mapping: HistoryMapping, table: Table, kinds: KindRegistry) -> None:
        self._mapping, self._table, self._kinds = mapping, table, kinds
        self._numbers = Numbers(
            decimal_mark=mapping.decimal_mark, thousands_mark=mapping.thousands_mark
        )

        def cell_of(column: Column) -> Callable[[Row], Any]:
            return bind(table, column)

        self._is_left_out: Test = lambda row: False
        if mapping.leave_out is not None:
            self._is_left_out = mapping.leave_out.bind(cell_of, self._numbers)
        self._undoings = [
            (undoing.when.bind(cell_of, self._numbers), self._sort_of_undoing(undoing, kind, name))
            for undoing, kind, name in (
                (mapping.cancellations, "order.cancelled", "cancellations"),
                (mapping.refunds, "order.refunded", "refunds"),
            )
            if undoing is not None
        ]
        self._sort = self._sort_reader(mapping.kind)
        check_fields(mapping.payload, self._possible_kinds())
        self._at = _time_reader(mapping.time, mapping.zone, table)
        self._identifiers = [
            _identifier_reader(scheme, column, table)
            for scheme, columns in mapping.identifiers.items()
            for column in columns
        ]
        self._currency, self._channel, self._actor, self._thread, self._touch = (
            self._text_or_column(given)
            for given in (
                mapping.currency,
                mapping.channel,
                mapping.actor,
                mapping.thread,
                mapping.touch,
            )
        )
        self._amount = AmountReader(mapping, table, self._numbers)
        self._key: TextReader = lambda row: None
        if mapping.key is not None and not isinstance(mapping.key, LineNumber):
            self._key = _key_reader("key", mapping.key, table)
        self.group: TextReader = _key_reader("group_by", mapping.group_by, table)
        self.facts = bind_all(table, list(self._fact_columns()))

    # ------------------------------------------------------------------------- reading

    def sort(self, row: Row) -> Sort | None:
        """Return what the row is read with, which its kind decides; None if it is left out."""
        if self._is_left_out(row):
            return None
        for holds, sort in self._undoings:
            if holds(row):
                return sort
        return self._sort(row)

    def add(self, entry: Entry, row: Row) -> None:
        """Add the row to an entry of which it says the same but for time, amount and lines."""
        amount, lines = self._amount.read(row, self._currency(row))
        entry.add_amount(amount, lines, self._at(row))

    def entry(self, line: int, row: Row, sort: Sort, payload: Payload) -> Entry:
        """Return all that the row says."""
        currency = self._currency(row)
        amount, lines = self._amount.read(row, currency)
        return Entry(
            line=line,
            kind=sort.kind,
            undoing=sort.undoing,
            at=self._at(row),
            identifiers=tuple([read(row) for read in self._identifiers]),
            amount=amount,
            lines=lines,
            currency=currency,
            channel=self._channel(row),
            actor=self._actor(row),
            thread=self._thread(row),
            touch=self._touch(row),
            subject=sort.subject(row),
            payload=payload,
            key=self._key(row),
        )

    def group_if_any(self, row: Row) -> str | None:
        """Return what the row shares with others of its interaction; None if that is not right."""
        with suppress(InputError):
            return self.group(row)
        return None

    # ----------------------------------------------------------------------- making ready

    def _make_sort(self, kind: Kind, *, undoing: bool, undoes: Column | None = None) -> Sort:
        mapping = self._mapping
        order = undoes or mapping.order
        subject: TextReader = text_reader(None)
        if order is not None:
            number = text_reader(bind(self._table, order))
            subject = lambda row: None if (n := number(row)) is None else f"order:{n}"  # noqa: E731
        elif mapping.subject is not None:
            subject = text_reader(bind(self._table, mapping.subject))
        payload = PayloadReader(
            mapping.payload,
            kind=kind,
            kinds=self._kinds,
            table=self._table,
            numbers=self._numbers,
        )
        return Sort(kind, undoing or kind.sign < 0, subject, payload)

    def _sort_of_undoing(self, undoing: Undoing, default: str, name: str) -> Sort:
        kind = self._known_kind(undoing.kind or default, f"{name}.kind")
        if kind.sign > 0:
            raise ConfigurationError(
                f"the mapping's '{name}.kind': {kind.name!r} adds to revenue, where a kind that "
                f"takes away is expected, such as {default!r}"
            )
        return self._make_sort(kind, undoing=True, undoes=undoing.undoes)

    def _sort_reader(self, given: str | KindColumn) -> Callable[[Row], Sort]:
        if isinstance(given, str):
            only = self._make_sort(self._known_kind(given, "kind"), undoing=False)
            return lambda row: only
        for value, name in given.values.items():
            self._known_kind(name, f"kind.values.{value}")
        get, column = text_reader(bind(self._table, given.column)), given.column.column
        by_kind: dict[str, Sort] = {}
        by_text: dict[str, Sort] = {}

        def read(row: Row) -> Sort:
            text = get(row)
            if text is None:
                raise InputError(f"column {column!r}: the kind is empty")
            sort = by_text.get(text)
            if sort is None:
                try:
                    kind = self._kinds[given.values.get(text, text)]
                except UnknownKindError:
                    hint = nearest(text, [*given.values, *self._kinds.names()])
                    raise InputError(f"column {column!r}: unknown kind {text!r}{hint}") from None
                if kind.name not in by_kind:
                    by_kind[kind.name] = self._make_sort(kind, undoing=False)
                by_text[text] = sort = by_kind[kind.name]
            return sort

        return read

    def _known_kind(self, name: str, key: str) -> Kind:
        try:
            return self._kinds[name]
        except UnknownKindError as error:
            raise ConfigurationError(f"the mapping's {key!r}: {error}") from None

    def _possible_kinds(self) -> Iterator[Kind]:
        if isinstance(self._mapping.kind, str):
            yield self._kinds[self._mapping.kind]
            yield from (sort.kind for _, sort in self._undoings)
        else:
            yield from self._kinds

    def _text_or_column(self, given: str | Column | None) -> TextReader:
        if isinstance(given, Column):
            return text_reader(bind(self._table, given))
        return lambda row: given

    def _fact_columns(self) -> Iterator[Column]:
        """Yield the columns that say more of an interaction than its kind, time and amount."""
        for key, column in self._mapping.file_columns():
            if key.partition(".")[0] not in _NO_FACTS and not key.endswith(".when"):
                yield Column(column.column)  # equal cells are equal with their prefix, too


def _identifier_reader(
    scheme: str, column: Column, table: Table
) -> Callable[[Row], Identifier | None]:
    get, name = bind(table, column), column.column
    known: dict[Any, Identifier | None] = {}

    def read(row: Row) -> Identifier | None:
        cell = get(row)
        try:
            return known[cell]
        except (KeyError, TypeError):
            pass
        try:
            text = text_of(cell)
            found = None if text is None else normalise(scheme, text)
        except InputError as error:
            raise InputError(f"column {name!r}: {error}") from None
        known[cell] = found
        return found

    return read


def _time_reader(time: Time, zone: str | None, table: Table) -> Callable[[Row], Any]:
    parse = instant_parser(time.format, None if zone is None else ZoneInfo(zone))
    names = " and ".join(repr(column.column) for column in time.column)
    if len(time.column) == 1:
        get = bind(table, time.column[0])
    else:
        cells = bind_all(table, time.column)

        def get(row: Row) -> Any:
            return " ".join([text for cell in cells(row) if (text := text_of(cell)) is not None])

    def read(row: Row) -> Any:
        cell = get(row)
        if type(cell) is str:
            cell = cell.strip()
        if cell is None or cell == "":
            return None
        try:
            return parse(cell)
        except InputError as error:
            raise InputError(f"column {names}: {error}") from None

    return read


def _key_reader(setting: str, columns: Sequence[Column], table: Table) -> TextReader:
    """Return what joins the texts of the columns, so that different ones never read the same."""
    if not columns:
        return lambda row: None
    names = " and ".join(repr(column.column) for column in columns)
    empty = f"column {names}, of {setting!r}, is empty"
    if len(columns) == 1:
        get = bind(table, columns[0])

        def read_one(row: Row) -> str:
            text = text_of(get(row))
            if text is None:
                raise InputError(empty)
            return text

        return read_one
    cells = bind_all(table, columns)

    def read(row: Row) -> str:
        texts = [text_of(cell) or "" for cell in cells(row)]
        if not any(texts):
            raise InputError(empty)
        return "/".join([text.replace("%", "%25").replace("/", "%2F") for text in texts])

    return read
