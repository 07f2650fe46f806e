"""Sweeps: programs that follow all links of a mail within seconds, told from what is on record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from attrs import evolve, frozen

from crmcore_email_link.tracking.callers import SeenAs

_MANY: Final = 5
"""Nobody follows so many links of a mail within seconds, though there are more."""

_FEWEST: Final = 2  # who follows the only link there is may be anybody


@frozen(kw_only=True)
class Hit:
    """
    One link followed, or the pixel loaded.

    Attributes:
        what: `opened` or `clicked`.
        at: When.
        place: Which link of its mail, from 1 on; 0: the pixel, or not known.
        links: How many the mail has.
        seen_as: What the request alone told.
        link: What the link is called; empty: none.
    """

    what: str
    at: int
    place: int
    links: int
    seen_as: SeenAs
    link: str = ""


def without_sweeps(hits: Sequence[Hit], within: int) -> list[Hit]:
    """
    Return the hits of one message in order, those of machines called so.

    All of those are a machine's that lie within as many microseconds in which all links were
    followed, or many. So the first of them counts as one, though nobody could know it then; what
    comes later does not depend on the order in which they were told.
    """
    found = sorted(
        hits, key=lambda hit: (hit.at, hit.what, hit.place, hit.links, hit.seen_as, hit.link)
    )
    wanted = min(_MANY, max((hit.links for hit in found), default=0))
    if wanted < _FEWEST:
        return found
    is_swept = [False] * len(found)
    seen: Counter[int] = Counter()
    first = marked = 0
    for last, hit in enumerate(found):
        if hit.place:
            seen[hit.place] += 1
        while hit.at - found[first].at > within:
            place = found[first].place
            if place:
                seen[place] -= 1
                if not seen[place]:
                    del seen[place]
            first += 1
        if len(seen) >= wanted:
            for place in range(max(first, marked), last + 1):
                is_swept[place] = True
            marked = last + 1
    return [
        evolve(hit, seen_as="machine") if swept else hit
        for hit, swept in zip(found, is_swept, strict=True)
    ]
