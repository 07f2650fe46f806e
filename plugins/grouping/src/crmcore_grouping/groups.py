"""Groups: the segments that are kept as groups, and what makes each be looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Self

from attrs import field, frozen

from crmcore.errors import ConfigurationError, nearest
from crmcore.hooks import Segments
from crmcore_grouping.domain import ENTERED, LEFT

ALL: Final = "all"
FLIP: Final = "flip"
OTHER: Final = "other"
_KIND: Final = "kind:"
_STAGE: Final = "stage."
OWN: Final = "grouping."


@frozen(kw_only=True)
class Groups:
    """
    The segments that are kept as groups.

    Attributes:
        rules: A hash of each one's rule, by name.
        moving: Those that may change at any midnight of the shop.
        lifecycles: Of which a stage is asked for.
        looks: Which groups are looked at, by what led to it.
        keys: What interactions of a kind lead to; those of other kinds, to *other_key*.
        other_key: None: no other kind changes any group.
    """

    rules: Mapping[str, str] = field(factory=dict)
    moving: Sequence[str] = ()
    lifecycles: frozenset[str] = frozenset()
    looks: Mapping[str, Sequence[str]] = field(factory=dict)
    keys: Mapping[str, str] = field(factory=dict)
    other_key: str | None = None

    @classmethod
    def of(cls, segments: Segments, wanted: Collection[str]) -> Self:
        """
        Return the groups of *wanted*, or of all named segments where none is.

        Raises:
            ConfigurationError: If there is no such segment, or it follows from groups.
        """
        named = segments.named
        for name in wanted:
            if name not in named:
                raise ConfigurationError(
                    f"groups has {name!r}{nearest(name, named)}, and no segment is named so; there "
                    f"are: {', '.join(named) or 'none'}"
                )
        names = [name for name in named if name in wanted or not wanted]
        _refuse_circles(segments, names)
        asked = {name: named[name].dependencies for name in names}
        # What any interaction may change: it may bring a trait about, and make a customer known.
        strangers = set(segments.of_strangers)
        others = tuple(name for name in names if asked[name].traits or name in strangers)
        looks = {
            ALL: tuple(names),
            FLIP: tuple(name for name in names if asked[name].kinds),
            OTHER: others,
        }
        keys: dict[str, str] = {}
        changed: dict[tuple[str, ...], str] = {}
        for kind in sorted(frozenset[str]().union(*(each.kinds for each in asked.values()))):
            can = {*segments.changed_by([kind]), *others}
            those = tuple(name for name in names if name in can)
            # Kinds that change the same groups share a statement.
            keys[kind] = changed.setdefault(those, f"{_KIND}{kind}")
            looks[keys[kind]] = those
        traits = frozenset[str]().union(*(each.traits for each in asked.values()))
        return cls(
            rules={name: segments.fingerprint(name)[:12] for name in names},
            moving=tuple(name for name in segments.moving if name in names),
            lifecycles=frozenset(
                each.removeprefix(_STAGE) for each in traits if each.startswith(_STAGE)
            ),
            looks=looks,
            keys=keys,
            other_key=OTHER if others else None,
        )

    @property
    def names(self) -> Sequence[str]:
        return self.looks.get(ALL, ())

    def key_of(self, kind: str) -> str | None:
        """Return what an interaction of a kind leads to; None: it can change no group."""
        if kind in (ENTERED, LEFT):
            return None
        return self.keys.get(kind, self.other_key)

    def digest(self) -> str:
        """Return what tells these groups from others, for as long as the database lasts."""
        told = "\n".join(f"{name} {rule}" for name, rule in sorted(self.rules.items()))
        return hashlib.sha256(told.encode()).hexdigest()


def _refuse_circles(segments: Segments, names: Collection[str]) -> None:
    for name in names:
        asked = segments.named[name].dependencies
        circular = [each for each in asked.traits if each.startswith(OWN)]
        circular += sorted(asked.kinds & {ENTERED, LEFT})
        if circular:
            raise ConfigurationError(
                f"segment {name!r} cannot be a group: it asks for {circular[0]}, which follows "
                'from groups; ask for the group itself, as in segment("name"), or name in `groups` '
                "those that are to be kept"
            )
