"""Samples: CPU seconds of the library, each paired with those of the bare driver just before."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable, Sequence
from statistics import median

from attrs import frozen

Timed = Callable[[int], float]
"""Does the work of one round and returns its CPU seconds; what it prepares is not counted."""


def cpu_seconds() -> float:
    """Return the CPU seconds used so far, user and system, children included."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds of *work*."""
    gc.collect()  # nobody pays for what was left behind before
    start = cpu_seconds()
    work()
    return cpu_seconds() - start


@frozen
class Spread:
    """The lowest, the median and the highest of some samples."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        return cls(min(samples), median(samples), max(samples))


@frozen(kw_only=True)
class Comparison:
    """
    Pairs of samples.

    Attributes:
        bare: CPU seconds.
        library: CPU seconds.
        ratio: Of each pair; its median is that of the pairs, not the ratio of the medians.
        reference: CPU seconds of the reference loop, run once beside each pair.
    """

    bare: Spread
    library: Spread
    ratio: Spread
    reference: Sequence[float]


def reference_loop() -> int:
    """Work that never changes, so that runs on other machines and days can be compared."""
    total = 0
    words: dict[str, int] = {}
    for number in range(100_000):
        word = str(number % 1000)
        words[word] = words.get(word, 0) + 1
        total += words[word] * 7 % 13
    return total


def compare(rounds: int, bare: Timed, library: Timed) -> Comparison:
    """Run both once for each round, the bare one first."""
    numbers = iter(range(rounds))

    def pair() -> tuple[float, float]:
        number = next(numbers)
        return bare(number), library(number)

    return compare_in_turns(rounds, pair)


def compare_in_turns(rounds: int, pair: Callable[[], tuple[float, float]]) -> Comparison:
    """Run what returns the CPU seconds of both, the bare one's first, once for each round."""
    pairs, references = [], []
    for _ in range(rounds):
        references.append(timed(reference_loop))
        pairs.append(pair())
    return Comparison(
        bare=Spread.of([bare for bare, _ in pairs]),
        library=Spread.of([library for _, library in pairs]),
        ratio=Spread.of([library / bare for bare, library in pairs]),
        reference=references,
    )
