"""Payloads: a quick look never finds other than the closer look would."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain.kind import Kind, KindRegistry
from crmcore.domain.kinds import CORE_KINDS
from crmcore.errors import PayloadError

KINDS = KindRegistry(CORE_KINDS)
FIELDS = sorted(
    {each.name for kind in CORE_KINDS for each in kind.payload.__attrs_attrs__}  # type: ignore[attr-defined]
)

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(10**30), max_value=10**30),
    st.floats(),
    st.text(st.characters(), max_size=6),
    st.sampled_from(["plain", 'ring "twice"', "back\\slash", "\\u0000", "\0", "\ud800", "é", "\n"]),
    st.lists(st.integers(), max_size=2),
)


def encoded(kind: Kind, payload: object) -> tuple[str, str | None] | str:
    try:
        return KINDS.encode(kind, payload)
    except PayloadError as error:
        return str(error)


@st.composite
def payloads(draw: st.DrawFn) -> tuple[Kind, dict[Any, Any]]:
    """Draw a kind, and a payload that fits it in most fields, if not in all."""
    kind = draw(st.sampled_from(CORE_KINDS))
    own = [each.name for each in kind.payload.__attrs_attrs__]  # type: ignore[attr-defined]
    names = st.sampled_from(own) if own else st.nothing()
    others = st.one_of(st.sampled_from(FIELDS), st.integers(0, 2), st.just("order\0"))
    payload = draw(st.dictionaries(names, values, max_size=len(own)))
    return kind, payload | draw(st.dictionaries(others, values, max_size=draw(st.integers(0, 1))))


@given(payloads())
def test_quick_look_agrees_with_the_closer_one(drawn: tuple[Kind, dict[Any, Any]]) -> None:
    """A dict is written, or refused in the same words, as another mapping, which is structured."""
    kind, payload = drawn

    assert encoded(kind, MappingProxyType(payload)) == encoded(kind, payload)
