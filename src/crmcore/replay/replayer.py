"""The replayer: history recorded in order, under a clock that follows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from attrs import define, frozen

from crmcore.app import Crm
from crmcore.domain.clock import VirtualClock, to_instant
from crmcore.domain.interaction import Draft
from crmcore.domain.kinds import RANKS

LARGEST_BATCH = 20_000  # what is held in memory at once; a larger one gains nothing

Progress = Callable[[int, int], None]
"""Told how many drafts of how many are done."""


@frozen(kw_only=True)
class Replayed:
    """What a replay did: *instants* counts those at which something fell due."""

    recorded: int
    repeated: int
    batches: int
    instants: int


class _CutError(Exception):
    """Something falls due within a batch: it is to be recorded up to there only."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


@define
class Replayer:
    """
    Records drafts as if they happened now, and lets what falls due between them happen.

    Batches are cut where something falls due, so their size changes nothing. Drafts come in
    the order given: an earlier one after a later one is a late fact, recorded at the later's time.
    Those of one instant come in the order in which lifecycles fold them: in another one, a guard
    would be asked about steps that nobody took, wherever a batch happens to end between them.

    Attributes:
        crm: Assembled with *clock*.
        batch_size: The most drafts in one transaction; None for as many as possible.
    """

    crm: Crm
    clock: VirtualClock
    batch_size: int | None = None
    progress: Progress | None = None
    _most: int = LARGEST_BATCH
    _recorded: int = 0
    _repeated: int = 0
    _batches: int = 0
    _instants: int = 0

    def run(self, drafts: Sequence[Draft], *, until: int | None = None) -> Replayed:
        """Replay *drafts*, each with its `occurred_at`, and time up to *until*, if given."""
        times = [to_instant(d.occurred_at) if d.occurred_at else 0 for d in drafts]
        drafts = self._in_order(drafts, times)
        done = 0
        due = self.crm.next_due()
        while done < len(drafts):
            now = max(self.clock.now(), times[done])
            if due is not None and due <= now:
                due = self._let_pass(due)
                continue
            end = self._end_of_batch(times, done, due)
            while True:
                try:
                    due = self._record(drafts[done:end], times[done:end], now)
                    self._most = min(2 * self._most, LARGEST_BATCH)
                    break
                except _CutError as cut:
                    end = self._end_of_batch(times, done, cut.at)
                    # What falls due next is as near as this, most likely, and messages are.
                    self._most = max(1, end - done)
            done = end
            if self.progress is not None:
                self.progress(done, len(drafts))
        end_of_time = self.clock.now() if until is None else until
        while due is not None and due <= end_of_time:
            due = self._let_pass(due)
        self.clock.advance_to(end_of_time)
        return Replayed(
            recorded=self._recorded,
            repeated=self._repeated,
            batches=self._batches,
            instants=self._instants,
        )

    def _in_order(self, drafts: Sequence[Draft], times: Sequence[int]) -> Sequence[Draft]:
        """Return *drafts* with those of one instant in the order in which they are folded."""
        ledger, identity = self.crm.runtime.ledger, self.crm.runtime.identity

        def place(number: int) -> tuple[int, str, str]:
            draft = drafts[number]
            name = ledger.kinds[draft.kind].name if draft.kind in ledger.kinds else draft.kind
            key = identity.without_addresses(draft.source_key) or ""
            return RANKS.get(name, len(RANKS)), draft.source, key

        ordered: list[Draft] = []
        for _, numbers in groupby(range(len(drafts)), times.__getitem__):
            several = list(numbers)
            if len(several) > 1:
                several.sort(key=place)
            ordered += [drafts[number] for number in several]
        return ordered

    def _let_pass(self, due: int) -> int | None:
        self.clock.advance_to(due)
        self._instants += self.crm.run_due()
        self.crm.deliver()
        return self.crm.next_due()

    def _end_of_batch(self, times: Sequence[int], start: int, due: int | None) -> int:
        """Return where the batch from *start* ends: before *due*, and no longer than allowed."""
        most = min(len(times), start + min(self.batch_size or LARGEST_BATCH, self._most))
        if due is None:
            return most
        end = start + 1
        while end < most and times[end] < due:
            end += 1
        return end

    def _record(self, drafts: Sequence[Draft], times: Sequence[int], first: int) -> int | None:
        """
        Record a batch, and return what falls due next; a `_CutError` undoes it.

        The clock stands at *first* when the first draft has come, and at the latest of *times*,
        which are the drafts' own, after the last.
        """
        now = max(first, *times)
        before = self.clock.now()
        self.clock.advance_to(now)
        try:
            with self.crm.begin() as tx:
                recorded = tx.record_many(drafts)
                due = tx.next_due()
                # What falls due by the time of the first draft is not to be had by cutting.
                cuts = [at for at in (due, *tx.passed) if at is not None and first < at <= now]
                if cuts:
                    raise _CutError(min(cuts))
                if tx.has_sent and first < now:
                    # It was to be said when something happened, not at the end of the batch.
                    raise _CutError(max(first + 1, times[len(times) // 2]))
        except _CutError:
            self.clock.instant = before
            raise
        self._recorded += recorded.new
        self._repeated += recorded.repeated
        self._batches += 1
        return due
