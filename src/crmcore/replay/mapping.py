"""Mappings: what the columns of a shop's file mean, written as TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self

import attrs
from attrs import frozen

from crmcore.domain.clock import Calendar
from crmcore.domain.identity import SCHEMES
from crmcore.domain.money import check_currency
from crmcore.domain.structuring import structuring_problems
from crmcore.errors import ConfigurationError, MoneyError, nearest
from crmcore.replay.cells import Rounding, check_pattern
from crmcore.replay.columns import Column, Constant, Given, columns_in
from crmcore.replay.conditions import AnyOf
from crmcore.replay.mapping_forms import mapping_converter
from crmcore.replay.mapping_parts import (
    Columns,
    KindColumn,
    LineColumns,
    LineNumber,
    Time,
    Undoing,
    UnitPriced,
)

Format = Literal["csv", "jsonl", "parquet"]

_converter = mapping_converter()


@frozen(kw_only=True)
class HistoryMapping:
    """
    What the columns of a file mean. The page "Map a history" explains every key.

    Attributes:
        format: `csv`, `jsonl` or `parquet`; by the file's ending without it.
        delimiter: Of a CSV: one character, or `whitespace` for any run of blanks.
        columns: The names of the columns of a CSV that has no header.
        source: The shop's name for the system that the file comes from.
        identifiers: By scheme, the columns that say who the customer is; empty cells are skipped.
        zone: The IANA zone of times that have none.
        minor: Money stands in minor units (cents).
        round: What to do with money finer than the minor unit.
        amount: Without it, the sum of the lines' amounts.
        payload: The payload's fields, or the one column that holds it whole.
        order: The order's number: the subject is then `order:<number>`. *subject* is taken as is.
        key: What names the interaction in its source for ever. Without it: the values of
            *group_by*, or else a hash of the row and the number of its earlier equals.
        group_by: Rows with equal values here are one interaction.
        leave_out: Rows of which any of these conditions holds are counted, not read.
    """

    source: str
    identifiers: Mapping[str, Columns]
    kind: str | KindColumn
    time: Time
    format: Format | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    zone: str | None = None
    currency: str | Column | None = None
    minor: bool = False
    round: Rounding = "refuse"
    decimal_mark: str = "."
    thousands_mark: str = ""
    amount: Column | UnitPriced | None = None
    lines: LineColumns | None = None
    payload: Mapping[str, Column | Constant] | Column | None = None
    order: Column | None = None
    subject: Column | None = None
    thread: str | Column | None = None
    channel: str | Column | None = None
    actor: str | Column | None = None
    touch: str | Column | None = None
    key: Columns | LineNumber | None = None
    group_by: Columns = ()
    refunds: Undoing | None = None
    cancellations: Undoing | None = None
    leave_out: AnyOf | None = None

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """
        Return the mapping that the file says.

        Raises:
            ConfigurationError: If the file cannot be read or is not right; names file and key.
        """
        try:
            table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror or error}") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"{path}: not TOML: {error}") from error
        return cls.from_table(table, name=str(path))

    @classmethod
    def from_table(cls, table: Mapping[str, Given], *, name: str = "the mapping") -> Self:
        """Return the mapping that a TOML file's *table* says; *name* stands in what is raised."""
        try:
            mapping = _converter.structure(table, cls)
        except Exception as error:
            problems = "; ".join(structuring_problems(error))
            raise ConfigurationError(f"{name}: {problems}") from error
        for problem in mapping.problems():
            raise ConfigurationError(f"{name}: {problem}")
        return mapping

    @property
    def has_amounts(self) -> bool:
        """Whether the rows say how much money moved."""
        return self.amount is not None or (self.lines is not None and self.lines.priced)

    def file_columns(self) -> Iterator[tuple[str, Column]]:
        """Yield every column the file has to have, with the key that mentions it."""
        whole = self
        if self.lines is not None and self.lines.each is not None:
            # The other columns are fields of the items, and no columns of the file.
            items = LineColumns(product=self.lines.each, each=self.lines.each)
            whole = attrs.evolve(self, lines=items)
        yield from columns_in(whole)

    def problems(self) -> Iterator[str]:
        """Yield a sentence for each thing in which the settings do not fit together."""
        if not self.source or self.source.startswith("plugin:"):
            yield "field 'source': the name of the shop's system is expected, not of a plugin"
        if not self.identifiers:
            yield f"field 'identifiers' is empty; one of {', '.join(SCHEMES)} is needed"
        for scheme in self.identifiers:
            if scheme not in SCHEMES:
                hint, known = nearest(scheme, SCHEMES), ", ".join(SCHEMES)
                yield f"field 'identifiers': unknown scheme {scheme!r}{hint}; known: {known}"
        if self.zone is not None:
            try:
                Calendar.named(self.zone)
            except ConfigurationError as error:
                yield f"field 'zone': {error}"
        try:
            check_pattern(self.time.format)
        except ValueError as error:
            yield f"field 'time.format': {error}"
        yield from self._problems_of_the_file()
        yield from self._problems_of_money()
        if self.order is not None and self.subject is not None:
            yield "fields 'order' and 'subject' exclude each other"
        if self.group_by and isinstance(self.key, LineNumber):
            yield "field 'key': an interaction of several rows has no line number; name columns"
        if self.columns and self.format not in (None, "csv"):
            yield f"field 'columns': only a CSV can be without names, not {self.format}"

    def _problems_of_the_file(self) -> Iterator[str]:
        if (
            self.delimiter is not None
            and self.delimiter != "whitespace"
            and len(self.delimiter) != 1
        ):
            yield f"field 'delimiter': {self.delimiter!r} is not one character or 'whitespace'"
        try:
            "".encode(self.encoding)
        except LookupError:
            hint = nearest(self.encoding, ("utf-8", "utf-16", "cp1252", "latin-1"))
            yield f"field 'encoding': unknown encoding {self.encoding!r}{hint}"

    def _problems_of_money(self) -> Iterator[str]:
        lines = self.lines
        if self.currency is None and (self.has_amounts or (lines is not None and lines.cost)):
            yield "field 'currency' is missing; amounts need one, such as currency = \"EUR\""
        if isinstance(self.currency, str):
            try:
                check_currency(self.currency)
            except MoneyError as error:
                yield f"field 'currency': {error}; a column is written {{ column = ... }}"
        if len(self.decimal_mark) != 1 or self.decimal_mark == self.thousands_mark:
            yield "field 'decimal_mark': one character, other than 'thousands_mark', is expected"
        if lines is not None and lines.amount is not None and lines.unit_price is not None:
            yield "fields 'lines.amount' and 'lines.unit_price' exclude each other"
