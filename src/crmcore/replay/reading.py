"""Reading: one pass over a history file, from its rows to drafts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

import attrs
from attrs import Factory, define, field

from crmcore.domain.clock import check_happened
from crmcore.domain.interaction import Draft
from crmcore.domain.kind import KindRegistry
from crmcore.domain.money import Money
from crmcore.errors import HistoryError, InputError
from crmcore.replay.entries import Entry
from crmcore.replay.mapping import HistoryMapping
from crmcore.replay.mapping_parts import LineNumber
from crmcore.replay.rows import RowReader, Sort
from crmcore.replay.tables import Row, Table


@define(eq=False)
class Reading:
    """The reading of one file: the drafts so far, each with its line, and what went wrong."""

    mapping: HistoryMapping
    table: Table
    kinds: KindRegistry
    skips: bool = field(kw_only=True)
    now: int | None = field(default=None, kw_only=True)
    """The present instant, where what is told of has to have happened by it."""
    rows: RowReader = field(init=False)
    drafts: list[Draft | None] = Factory(list)
    lines: list[int] = Factory(list)
    without_amount: set[int] = Factory(set)
    """Places of drafts that take an order back, but do not say how much."""
    problems: list[HistoryError] = Factory(list)
    rows_read: int = 0
    rows_left_out: int = 0
    rows_repeated: int = 0

    def __attrs_post_init__(self) -> None:
        self.rows = RowReader(self.mapping, self.table, self.kinds)

    def read(self) -> None:
        """
        Read the file to its end.

        Raises:
            HistoryError: The first row that is not right, unless these are skipped.
        """
        if self.mapping.group_by:
            self._read_grouped()
        else:
            self._read_singly()
        self._drop_repeated()
        if self.mapping.has_amounts and self.without_amount:
            self._take_amounts_of_orders()

    def report(self, problem: str, line: int) -> None:
        error = HistoryError(problem, source=str(self.table.path), line=line)
        if not self.skips:
            raise error
        self.problems.append(error)

    def _report_row(self, problem: str, line: int) -> None:
        self.rows_read += 1
        self.report(problem, line)

    def _keep(self, draft: Draft, entry: Entry) -> None:
        if self.now is not None and draft.occurred_at is not None:
            check_happened(draft.occurred_at, self.now)
        if entry.undoing and draft.amount is None:
            self.without_amount.add(len(self.drafts))
        self.drafts.append(draft)
        self.lines.append(entry.line)

    # --------------------------------------------------------------------- rows to drafts

    def _read_singly(self) -> None:
        """Make each row an interaction."""
        source, rows, key_of = self.mapping.source, self.rows, self._key_reader()
        for line, row in self.table.rows(self._report_row):
            self.rows_read += 1
            try:
                sort = rows.sort(row)
                if sort is None:
                    self.rows_left_out += 1
                    continue
                entry = rows.entry(line, row, sort, sort.payload.checked(row))
                self._keep(entry.draft(source=source, source_key=key_of(line, row, entry)), entry)
            except InputError as error:
                self.report(str(error), line)

    def _read_grouped(self) -> None:
        """Make the rows of one kind with equal values in the columns of a group one."""
        rows, broken = self.rows, set[tuple[str | None, str | None]]()
        groups: dict[tuple[str, str | None], tuple[Entry, Sort, tuple[object, ...]]] = {}
        for line, row in self.table.rows(self._report_row):
            self.rows_read += 1
            sort = None
            try:
                sort = rows.sort(row)
                if sort is None:
                    self.rows_left_out += 1
                    continue
                name = sort.kind.name, rows.group(row)
                facts, known = rows.facts(row), groups.get(name)
                if known is None:
                    groups[name] = rows.entry(line, row, sort, sort.payload.read(row)), sort, facts
                elif known[1] is sort and known[2] == facts:
                    rows.add(known[0], row)
                else:
                    known[0].add(rows.entry(line, row, sort, sort.payload.read(row)))
            except InputError as error:
                self.report(str(error), line)
                # A part of an order would be a wrong order, so its other rows go as well.
                broken.add((None if sort is None else sort.kind.name, rows.group_if_any(row)))
        for name, (entry, sort, _) in groups.items():
            if not broken.isdisjoint((name, (None, name[1]))):
                continue
            try:
                sort.payload.check(entry.payload)
                key = entry.key or "/".join(filter(None, name))
                self._keep(entry.draft(source=self.mapping.source, source_key=key), entry)
            except InputError as error:
                self.report(str(error), entry.line)

    def _key_reader(self) -> Callable[[int, Row, Entry], str]:
        """Return what names a row for ever, so that importing it again records nothing."""
        if isinstance(self.mapping.key, LineNumber):
            # Padded, so that the order of the texts is that of the lines.
            return lambda line, row, entry: f"{line:09d}"
        if self.mapping.key is not None:
            return lambda line, row, entry: entry.key or ""
        content, equals = self.table.content, Counter[bytes]()

        def of_content(line: int, row: Row, entry: Entry) -> str:
            digest = blake2b(content(row).encode(), digest_size=16).digest()
            earlier = equals[digest]
            equals[digest] = earlier + 1
            return f"{digest.hex()}-{earlier}"

        return of_content

    # -------------------------------------------------------------------- between drafts

    def _drop_repeated(self) -> None:
        """Drop what says again what an earlier row with the same key said."""
        if self.mapping.key is None or isinstance(self.mapping.key, LineNumber):
            return  # no two have the same key
        first: dict[str | None, int] = {}
        for place, draft in self._present():
            earlier = first.setdefault(draft.source_key, place)
            if earlier == place:
                continue
            self.drafts[place] = None
            if draft == self.drafts[earlier]:
                self.rows_repeated += 1
            else:
                self.report(
                    f"its key {draft.source_key!r} is that of line {self.lines[earlier]}, which "
                    "says something else; add a column to key, or group the rows by it",
                    self.lines[place],
                )

    def _take_amounts_of_orders(self) -> None:
        """Give what takes an order back without an amount of its own the amount of the order."""
        wanted = {draft.subject for place, draft in self._present() if place in self.without_amount}
        orders: dict[str | None, list[Draft]] = {}
        for _, draft in self._present():
            if draft.subject in wanted and self.kinds[draft.kind].sign > 0:
                orders.setdefault(draft.subject, []).append(draft)
        for place, draft in self._present():
            if place not in self.without_amount:
                continue
            try:
                undone = None if draft.subject is None else orders.get(draft.subject)
                if undone is None:
                    order = draft.subject or "an order that is not named"
                    raise InputError(
                        f"it takes back {order}, which this file does not hold, and has no "
                        "amount of its own"
                    )
                self.drafts[place] = _with_amount_of(undone, draft)
            except InputError as error:
                self.drafts[place] = None
                self.report(str(error), self.lines[place])

    def _present(self) -> Iterator[tuple[int, Draft]]:
        """Yield the drafts that were not dropped, in the order of the file."""
        for place, draft in enumerate(self.drafts):
            if draft is not None:
                yield place, draft


def _with_amount_of(orders: Sequence[Draft], draft: Draft) -> Draft:
    """Return *draft* with the amount and the lines of the orders, which it takes back whole."""
    amounts = [order.amount for order in orders if order.amount is not None]
    if not amounts:
        return draft
    currencies = {amount.currency for amount in amounts}
    if len(currencies) > 1:
        raise InputError(f"{draft.subject} is in {' and '.join(sorted(currencies))}")
    lines = [
        attrs.evolve(line, key=None, undoes=line.key) for order in orders for line in order.lines
    ]
    total = Money(sum(amount.amount_minor for amount in amounts), currencies.pop())
    return attrs.evolve(draft, amount=total, lines=tuple(lines))
