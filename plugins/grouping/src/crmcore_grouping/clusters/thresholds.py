"""
Thresholds: clusters told by few thresholds, so that people can read them and databases check them.

Source:
    Dasgupta, Frost, Moshkovitz and Rashtchian, "Explainable k-Means and k-Medians Clustering",
    ICML 2020: a tree of k leaves, each with one of the k centres, that at every node takes the
    threshold by which the fewest points are parted from their centre.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from crmcore_grouping.clusters.features import Numbers


@frozen
class Split:
    """
    A threshold on one feature.

    Attributes:
        feature: Its place.
        at: The threshold; there are points and centres on both sides.
        is_low: Whether the values at or below it are meant, or those above.
    """

    feature: int
    at: float
    is_low: bool


@frozen(eq=False)
class Leaf:
    """
    One cluster.

    Attributes:
        cluster: The place of its centre.
        splits: The way down to it.
        points: Whether each point comes out there.
    """

    cluster: int
    splits: Sequence[Split]
    points: NDArray[np.bool_] = field(repr=False)


def threshold_tree(points: Numbers, labels: NDArray[np.int64], centres: Numbers) -> Sequence[Leaf]:
    """
    Return the leaves, as many as there are centres; every point comes out at one.

    Args:
        points: Of shape (n, d).
        labels: The place of each point's centre, of shape (n,).
        centres: Of shape (k, d), no two of them equal.
    """
    own = centres[labels]
    everything = np.ones(len(points), dtype=bool)
    leaves: list[Leaf] = []

    def grow(here: NDArray[np.int64], inside: NDArray[np.bool_], way: tuple[Split, ...]) -> None:
        if len(here) == 1:
            leaves.append(Leaf(int(here[0]), way, inside))
            return
        # Points that were parted from their centre have no say any more.
        voters = inside & np.isin(labels, here)
        feature, at = _best(points[voters], own[voters], centres[here])
        below = points[:, feature] <= at
        for is_low, side in ((True, below), (False, ~below)):
            chosen = here[(centres[here, feature] <= at) == is_low]
            grow(chosen, inside & side, (*way, Split(feature, at, is_low)))

    grow(np.arange(len(centres)), everything, ())
    return leaves


def _best(points: Numbers, own: Numbers, centres: Numbers) -> tuple[int, float]:
    """Return the feature and the threshold that part the fewest points from their centres."""
    found: list[tuple[int, float, int, float]] = []
    for feature in range(points.shape[1]):
        of_centres = centres[:, feature]
        least, most = of_centres.min(), of_centres.max()
        values, mine = points[:, feature], own[:, feature]
        at = np.unique(np.concatenate([values, of_centres]))
        candidates = at[(at >= least) & (at < most)]
        if not len(candidates):
            continue
        # A threshold parts a point from its centre where it lies between the two.
        begins = np.sort(np.minimum(values, mine))
        ends = np.sort(np.maximum(values, mine))
        parted = np.searchsorted(begins, candidates, side="right") - np.searchsorted(
            ends, candidates, side="right"
        )
        # Of equals, the one with the widest gap after it.
        gaps = at[np.searchsorted(at, candidates) + 1] - candidates
        best = np.lexsort((-gaps, parted))[0]
        found.append((int(parted[best]), -float(gaps[best]), feature, float(candidates[best])))
    _, _, feature, threshold = min(found)
    return feature, threshold
