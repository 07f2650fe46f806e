"""Lifecycles: named stages, declared edges, and the fold of facts into a history of stages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final, Literal, NamedTuple

from attrs import define, field, frozen

from crmcore.domain.clock import Calendar
from crmcore.errors import ConfigurationError, nearest

_ENDLESS: Final = 2**63

Phase = Literal["pre-sale", "in-sale", "post-sale"]

PREVIOUS: Final = "<previous>"
"""As the target of an edge: the stage from which the customer came into the present phase."""

ANY: Final = "<any>"
"""As the source of an edge: whatever stage the customer is in."""

MOST_QUIET_DAYS: Final = 36_525
"""A hundred years: from any instant that is accepted, so many days can be counted on."""


def _names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(names)


@frozen
class Stage:
    """A stage by its *name*, the *phase* of the sale it belongs to, and a *description*."""

    name: str
    phase: Phase
    description: str = ""


@frozen
class AtLeast:
    """Holds when *counter*, one of the lifecycle's, is at least *number*."""

    counter: str
    number: int

    def holds(self, count: int) -> bool:
        """Return whether it holds while the counter is *count*."""
        return count >= self.number


@frozen
class AtMost:
    """Holds when *counter*, one of the lifecycle's, is at most *number*."""

    counter: str
    number: int

    def holds(self, count: int) -> bool:
        """Return whether it holds while the counter is *count*."""
        return count <= self.number


@frozen(kw_only=True)
class Edge:
    """
    A way from one stage to another, and the reason recorded when it is taken.

    An edge is taken on a fact, that is an interaction of one of the kinds *on*, or after
    *quiet_days* whole days without any fact of the lifecycle, counted from the last fact or
    from entering the stage, whichever is later, up to the next midnight of the shop's zone.

    Attributes:
        source: The stage it leads from; `ANY`: every one.
        target: The stage it leads to; `PREVIOUS`: the one before.
        reason: In words, such as `placed an order`.
        on: Kinds of interactions on which it is taken.
        quiet_days: After how many quiet days it is taken; None: time does not take it.
        when: What has to hold of a counter; None: nothing.
    """

    source: str
    target: str
    reason: str
    on: frozenset[str] = field(default=frozenset(), converter=_names)
    quiet_days: int | None = None
    when: AtLeast | AtMost | None = None

    def __attrs_post_init__(self) -> None:
        if bool(self.on) == (self.quiet_days is not None):
            raise ConfigurationError(
                f"the edge from {self.source!r} to {self.target!r} needs either kinds in `on` "
                "or a number of `quiet_days`"
            )


@frozen(kw_only=True)
class Lifecycle:
    """
    Stages, and the edges between them; the first edge that fits is taken.

    Attributes:
        name: Such as `relationship`.
        stages: The first is where everyone starts.
        edges: In order of precedence.
        counters: For each counter, what each kind adds to it.
        listens: Kinds that count as a sign of life though no edge names them.
    """

    name: str = field(kw_only=False)
    stages: tuple[Stage, ...]
    edges: tuple[Edge, ...]
    counters: Mapping[str, Mapping[str, int]] = field(factory=dict)
    listens: frozenset[str] = field(default=frozenset(), converter=_names)
    per_subject: bool = False
    """Whether each subject, such as an order, has a stage of its own; others have none."""

    def __attrs_post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        if not names:
            raise ConfigurationError(f"lifecycle {self.name!r} has no stages; one is needed")
        for name in names:
            if name in (ANY, PREVIOUS) or names.count(name) > 1:
                raise ConfigurationError(
                    f"lifecycle {self.name!r} has the stage {name!r} twice, or keeps it for edges; "
                    "each stage has a name of its own"
                )
        for edge in self.edges:
            self._check_ends(edge, names)
            if edge.quiet_days is not None and not 1 <= edge.quiet_days <= MOST_QUIET_DAYS:
                raise ConfigurationError(
                    f"lifecycle {self.name!r}: the edge from {edge.source!r} to {edge.target!r} "
                    f"has quiet_days={edge.quiet_days!r}; 1 to {MOST_QUIET_DAYS} are expected"
                )
            if edge.when is not None and edge.when.counter not in self.counters:
                raise ConfigurationError(
                    f"lifecycle {self.name!r} has no counter {edge.when.counter!r}"
                    f"{nearest(edge.when.counter, self.counters)}"
                )

    def _check_ends(self, edge: Edge, names: Collection[str]) -> None:
        for end, place, known in (
            (edge.source, "leads from", ANY),
            (edge.target, "leads to", PREVIOUS),
        ):
            if end == known or end in names:
                continue
            if end in (ANY, PREVIOUS):
                raise ConfigurationError(
                    f"lifecycle {self.name!r}: an edge {place} {end!r}; a stage, or {known!r}, is "
                    "expected there"
                )
            raise ConfigurationError(
                f"lifecycle {self.name!r} has no stage {end!r}{nearest(end, names)}"
            )

    @property
    def initial(self) -> str:
        """The stage in which everybody begins."""
        return self.stages[0].name

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds whose interactions are facts of this lifecycle."""
        on_edges = frozenset[str]().union(*(edge.on for edge in self.edges))
        return self.listens | on_edges | {k for c in self.counters.values() for k in c}

    def phase_of(self, stage: str) -> Phase:
        """Return the phase of the sale that a stage belongs to."""
        return next(s.phase for s in self.stages if s.name == stage)


class Fact(NamedTuple):
    """An interaction as a lifecycle sees it. Facts compare in the order they are folded in."""

    occurred_at: int
    rank: int  # place of its kind among all kinds: decides between facts of one instant
    source: str
    source_key: str
    interaction_id: int
    kind: str

    @property
    def evidence(self) -> str:
        return f"{self.source}/{self.source_key or self.interaction_id}"


class Change(NamedTuple):
    """One step of a history: from a stage to another, when, why, and what caused it."""

    from_stage: str
    to_stage: str
    effective_at: int
    reason: str
    caused_by: int | None
    evidence: str

    @property
    def step(self) -> Step:
        return self.from_stage, self.to_stage, self.evidence


Step = tuple[str, str, str]
"""What a guard refuses: from, to, and the evidence the step rests on."""


@define
class Position:
    """
    Where a customer stands in one lifecycle, and what is needed to go on from there.

    Not frozen: a fold moves one position through thousands of facts.
    """

    stage: str
    counts: list[int]
    entered_at: int | None = None
    before_phase: str | None = None
    reason: str | None = None
    caused_by: int | None = None
    last_fact: tuple[int, int, str, str] | None = None  # order of the last fact folded
    last_interaction: int | None = None
    changes: int = 0
    next_at: int | None = None  # when a time-driven edge falls due, if nothing happens before

    @property
    def quiet_since(self) -> int:
        """When the days without any fact began: at the last one, or on entering the stage."""
        last = self.last_fact[0] if self.last_fact is not None else None
        if self.entered_at is None:
            return last or 0
        return self.entered_at if last is None or last < self.entered_at else last

    def is_beyond(self, fact: Fact) -> bool:
        """Return whether facts or time have already been folded that come after *fact*."""
        # Of two that are equal as far as the shorter goes, the longer is not the lesser one.
        if self.last_fact is not None and fact < self.last_fact:
            return True
        return self.entered_at is not None and fact.occurred_at < self.entered_at


class _Way(NamedTuple):
    """
    An edge as a fold takes it.

    It fits where the counter at *place*, if any, lies between *low* and *high*.
    """

    target: str
    reason: str
    days: int
    place: int | None
    low: int
    high: int

    @classmethod
    def of(cls, edge: Edge, counters: Sequence[str]) -> _Way:
        when, low, high = edge.when, -_ENDLESS, _ENDLESS
        place = None if when is None else counters.index(when.counter)
        if isinstance(when, AtLeast):
            low = when.number
        elif isinstance(when, AtMost):
            high = when.number
        return cls(edge.target, edge.reason, edge.quiet_days or 0, place, low, high)


class Machine:
    """
    Folds facts into positions and histories.

    The result depends on the facts and on how far time has run, never on the order in which
    facts arrived: whoever has a late fact folds its customer anew.
    """

    def __init__(self, lifecycle: Lifecycle, ranks: Mapping[str, int], calendar: Calendar) -> None:
        self.lifecycle = lifecycle
        self.kinds = lifecycle.kinds
        self.ranks = {kind: ranks.get(kind, len(ranks)) for kind in self.kinds}
        self._calendar = calendar
        self._counters = tuple(lifecycle.counters)
        self._adds = {
            kind: [
                (place, adds[kind])
                for place, adds in enumerate(lifecycle.counters.values())
                if kind in adds
            ]
            for kind in self.kinds
        }
        self._phases = {stage.name: stage.phase for stage in lifecycle.stages}
        self._by_fact: dict[tuple[str, str], list[_Way]] = {}
        by_time: dict[str, list[_Way]] = {}
        for edge in lifecycle.edges:
            way = _Way.of(edge, self._counters)
            for source in self._phases if edge.source == ANY else [edge.source]:
                for kind in edge.on:
                    self._by_fact.setdefault((source, kind), []).append(way)
                if edge.quiet_days is not None:
                    by_time.setdefault(source, []).append(way)
        # Neighbours that differ by their condition fall due together: at one midnight, not each.
        self._by_time = {
            source: [(days, [*same]) for days, same in groupby(ways, lambda way: way.days)]
            for source, ways in by_time.items()
        }

    def start(self) -> Position:
        """Return where everyone starts."""
        return Position(self.lifecycle.initial, [0] * len(self._counters))

    def fold(
        self,
        position: Position,
        facts: Iterable[Fact],
        now: int,
        refused: Collection[Step] = (),
    ) -> list[Change]:
        """
        Move *position* through *facts*, which are in order, and through time up to *now*.

        Returns the changes on the way, oldest first.
        """
        changes: list[Change] = []
        for fact in facts:
            at, _, _, _, interaction_id, kind = fact
            self._run_until(position, at, refused, changes)
            for place, addition in self._adds[kind]:
                position.counts[place] += addition
            position.last_fact = fact[:4]
            position.last_interaction = interaction_id
            ways = self._by_fact.get((position.stage, kind))
            if ways is not None:
                self._go(position, ways, at, fact.evidence, refused, changes)
            position.next_at = self._next(position, at)
        self._run_until(position, now, refused, changes)
        return changes

    def _run_until(
        self,
        position: Position,
        instant: int,
        refused: Collection[Step],
        changes: list[Change],
    ) -> None:
        while (due := position.next_at) is not None and due <= instant:
            since = position.quiet_since
            for days, ways in self._by_time[position.stage]:
                if self._calendar.midnight_after(since, days=days) == due and self._go(
                    position, ways, due, f"time/{due}", refused, changes
                ):
                    position.next_at = self._next(position, due)
                    break
            else:  # refused: the stage stays, and the next edge gets its turn
                position.next_at = self._next(position, since, after=due)

    def _go(
        self,
        position: Position,
        ways: Iterable[_Way],
        at: int,
        evidence: str,
        refused: Collection[Step],
        changes: list[Change],
    ) -> bool:
        """Go the first of these ways that is open and that nobody refused; tell if there is one."""
        stage, counts = position.stage, position.counts
        for target, reason, _, place, low, high in ways:
            if target == PREVIOUS:
                target = position.before_phase or self.lifecycle.initial
            if target == stage or not (place is None or low <= counts[place] <= high):
                continue
            if refused and (stage, target, evidence) in refused:
                continue
            if self._phases[target] != self._phases[stage]:
                position.before_phase = stage
            position.stage = target
            position.entered_at = at
            position.reason = reason
            position.caused_by = cause = position.last_interaction
            position.changes += 1
            changes.append(Change(stage, target, at, reason, cause, evidence))
            return True
        return False

    def _next(self, position: Position, since: int, after: int | None = None) -> int | None:
        """Return when time moves *position* on, which has been quiet since then."""
        counts = position.counts
        found: int | None = None
        for days, ways in self._by_time.get(position.stage, ()):
            for _, _, _, place, low, high in ways:
                if place is None or low <= counts[place] <= high:
                    due = self._calendar.midnight_after(since, days=days)
                    if (found is None or due < found) and (after is None or due > after):
                        found = due
                    break
        return found
