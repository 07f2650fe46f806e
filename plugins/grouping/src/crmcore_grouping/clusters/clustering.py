"""Clustering: which customers are alike, and the segments that say so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from crmcore.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from crmcore import Crm, Segment

FEWEST: Final = 2
MOST: Final = 20
_TRIED: Final = range(FEWEST, 9)
_SAMPLE: Final = 5_000
_STARTS: Final = 10
_PREFIX: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")


@frozen(kw_only=True)
class Cluster:
    """
    Customers who are alike.

    Attributes:
        name: Of the segment, such as `cluster_1`.
        rule: Its text: whoever it holds for is in the cluster.
        label: What sets them apart from all customers.
        size: How many they are.
        share: How much of all that is, from 0 to 1.
        centre: The median of each number; of each category the share that has it.
    """

    name: str
    rule: str
    label: str
    size: int
    share: float
    centre: Mapping[str, float]


@frozen(kw_only=True)
class Clustering:
    """
    Clusters, the largest first.

    Attributes:
        clusters: Each customer who was looked at is in one of them.
        customers: How many were looked at.
        left_out: How many were not, as something of them is not known, such as a last order.
        agreement: How much of them k-means has in the same cluster as the rules, from 0 to 1.
        price: How much farther from the centres of their clusters they are by the rules than by
            k-means, as the ratio of the squared distances; 1 is no farther, and k-means need not be
            the nearest.
        seed: Of chance; the same numbers and the same seed make the same clusters.
    """

    clusters: Sequence[Cluster]
    customers: int
    left_out: int
    agreement: float
    price: float
    seed: int

    @property
    def segments(self) -> Mapping[str, str]:
        """The rules by name, as `Crm(segments=...)` takes them."""
        return {each.name: each.rule for each in self.clusters}

    def toml(self) -> str:
        """Return them as the table of crm.toml that makes them segments."""
        lines = ["[segments]"]
        for each in self.clusters:
            lines += [f"# {each.label}", f"{each.name} = {_toml_text(each.rule)}"]
        return "\n".join(lines) + "\n"


def find_clusters(
    crm: Crm,
    by: Sequence[str],
    *,
    into: int | None = None,
    among: str = "everyone",
    at: datetime | int | None = None,
    prefix: str = "cluster",
    seed: int = 0,
) -> Clustering:
    """
    Find customers who are alike, by k-means, and rules of segments that say who they are.

    Nothing is written. The rules stay as they are while customers move; look again when you like.

    Args:
        crm: The application.
        by: Measures, as `Crm.measures` takes them: numbers, and traits with few values.
        into: How many clusters, 2 to 20; None: as many, up to 8, as are set apart best by the
            mean silhouette of a sample.
        among: The customers: a segment's name or text.
        at: The instant it is about, as in `Crm.measures`.
        prefix: What their names begin with.
        seed: Of chance.

    Raises:
        SegmentError: If a measure or the segment is not right.
        InputError: If the customers cannot be parted so.
        ConfigurationError: If the extra is not installed.
    """
    check_extra()
    if into is not None and not (type(into) is int and FEWEST <= into <= MOST):
        raise InputError(f"into is {into!r}; a whole number from {FEWEST} to {MOST} is expected")
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed!r}; a whole number from 0 to {2**32 - 1} is expected")
    if not _PREFIX.match(prefix):
        raise InputError(
            f"prefix is {prefix!r}; a letter, and letters, digits, _ and - after it, are expected"
        )
    from crmcore_grouping.clusters.features import features_of

    features = features_of(crm.measures(by, among, at=at))
    within = None if among == "everyone" else _within(crm.segment(among))
    return _clustered(features, within, into=into, prefix=prefix, seed=seed)


def _toml_text(text: str) -> str:
    # Text of JSON is text of TOML, too; with quotes in it, it reads better as it is.
    is_plain = "'" not in text and text.isprintable()
    return f"'{text}'" if '"' in text and is_plain else json.dumps(text, ensure_ascii=False)


def _within(segment: Segment) -> str:
    if segment.name:
        return f"segment({json.dumps(segment.name)})"
    return f"({segment})"


def check_extra() -> None:
    """Refuse where the extra is missing; raises a `ConfigurationError` that names it."""
    try:
        import sklearn  # noqa: F401 - only clusters need it
    except ImportError as error:
        raise ConfigurationError(
            "clusters need scikit-learn, which is not installed; install crmcore-grouping[clusters]"
        ) from error


def _clustered(
    features: Any, among: str | None, *, into: int | None, prefix: str, seed: int
) -> Clustering:
    import numpy as np

    from crmcore_grouping.clusters.rules import centre_of, label_of, rule_of
    from crmcore_grouping.clusters.thresholds import threshold_tree

    points = features.scaled
    labels, centres = _partition(points, into, seed)
    leaves = threshold_tree(points, labels, centres)
    leaves = sorted(leaves, key=lambda leaf: (-int(leaf.points.sum()), leaf.cluster))
    clusters = [
        Cluster(
            name=f"{prefix}_{number}",
            rule=rule_of(leaf, features, among),
            label=label_of(leaf, features),
            size=int(leaf.points.sum()),
            share=float(leaf.points.mean()),
            centre=centre_of(leaf, features.each),
        )
        for number, leaf in enumerate(leaves, 1)
    ]
    told = np.empty(len(points), dtype=np.int64)
    for leaf in leaves:
        told[leaf.points] = leaf.cluster
    by_rules, by_means = (_spread(points, each) for each in (told, labels))
    return Clustering(
        clusters=clusters,
        customers=len(points),
        left_out=features.left_out,
        agreement=float((told == labels).mean()),
        price=by_rules / by_means if by_means else 1.0,
        seed=seed,
    )


def _partition(points: Any, into: int | None, seed: int) -> tuple[Any, Any]:
    """Return the place of each point's centre, and the centres."""
    import numpy as np
    from sklearn.metrics import silhouette_score

    # No more clusters than different points; one per point would say nothing.
    different = len(np.unique(points, axis=0))
    least = into or FEWEST
    if different < least:
        raise InputError(
            f"{len(points):,} customers differ in {different:,} ways only; at least {least} are "
            "expected to be parted so"
        )
    if into is not None:
        return _k_means(points, into, seed)
    if different == FEWEST:
        return _k_means(points, FEWEST, seed)
    chosen = np.random.default_rng(seed).permutation(len(points))[:_SAMPLE]
    best: tuple[float, Any] | None = None
    for number in _TRIED:
        if number > different:
            break
        found = _k_means(points, number, seed)
        of_sample = found[0][chosen]
        if not 1 < len(np.unique(of_sample)) < len(of_sample):
            continue
        score = float(silhouette_score(points[chosen], of_sample))
        if best is None or score > best[0]:
            best = score, found
    return best[1] if best else _k_means(points, FEWEST, seed)


def _k_means(points: Any, into: int, seed: int) -> tuple[Any, Any]:
    from sklearn.cluster import KMeans

    model = KMeans(n_clusters=into, n_init=_STARTS, random_state=seed).fit(points)
    return model.labels_.astype("int64"), model.cluster_centers_


def _spread(points: Any, labels: Any) -> float:
    """Return the sum of the squared distances from the mean of each point's cluster."""
    total = 0.0
    for each in set(labels.tolist()):
        own = points[labels == each]
        total += float(((own - own.mean(axis=0)) ** 2).sum())
    return total
