"""Fields of payloads in SQL: one type on both databases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import pytest
from attrs import define, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from typing_extensions import override

from crmcore import (
    Crm,
    Erased,
    Kind,
    Plugin,
    hookimpl,
    payload_text,
    payload_truth,
    payload_whole,
    personal,
)
from crmcore.domain.structuring import is_storable
from crmcore.errors import InputError
from crmcore.persistence.ledger import interaction
from tests.support.databases import scratch

WORDS = st.text(max_size=20).filter(is_storable)


@frozen(kw_only=True)
class Said:
    """A payload with a field of each sort."""

    word: str
    number: int
    truth: bool
    absent: str | None = None
    words: tuple[str, ...] = ()
    secret: str | Erased | None = personal(default=None)


@define(eq=False)
class Sayings(Plugin):
    """Has a kind of its own."""

    name: ClassVar[str] = "sayings"

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("sayings.said", payload=Said, description="Something was said.")]


def read(crm, *columns):
    with crm.runtime.database.begin(read_only=True) as connection:
        return connection.execute(select(*columns).order_by(interaction.c.interaction_id))


@pytest.mark.each_database(partitioned=False)
@settings(max_examples=15)
@given(
    said=st.lists(
        st.tuples(WORDS, st.integers(-(2**63), 2**63 - 1), st.booleans(), WORDS),
        min_size=1,
        max_size=5,
    )
)
def test_as_it_was_said(said):
    """Text, whole numbers and truth are what was recorded; what is not there is NULL."""
    payload, hidden = interaction.c.payload, interaction.c.personal
    with Crm(scratch(), plugins=[Sayings()], durable=False) as crm:
        for number, (word, whole, truth, secret) in enumerate(said):
            fields = {"word": word, "number": whole, "truth": truth, "secret": secret}
            crm.record("sayings.said", email=f"{number}@example.com", payload=fields)
        found = read(
            crm,
            payload_text(payload, "word"),
            payload_whole(payload, "number"),
            payload_truth(payload, "truth"),
            payload_text(payload, "absent"),
            payload_text(hidden, "secret"),
        )
        of_true = read(crm, payload_text(payload, "word"), payload_truth(payload, "truth"))

    assert [(w, n, t, None, s) for w, n, t, s in said] == [
        (w, n, bool(t), a, s) for w, n, t, a, s in found
    ]
    assert [word for word, _, truth, _ in said if truth] == [w for w, t in of_true if t]


@pytest.mark.each_database(partitioned=False)
def test_as_a_condition():
    """Truth is a condition by itself, a number compares as one, and text byte by byte."""
    payload = interaction.c.payload
    with Crm(scratch(), plugins=[Sayings()]) as crm:
        for word, number, truth in (("b", 9, True), ("B", 10, False), ("ä", 11, True)):
            fields = {"word": word, "number": number, "truth": truth, "words": ["x", "y"]}
            crm.record("sayings.said", email="ada@example.com", payload=fields)

        def words(condition):
            with crm.runtime.database.begin(read_only=True) as connection:
                asked = select(payload_text(payload, "word")).where(condition)
                return {row[0] for row in connection.execute(asked)}

        assert {"b", "ä"} == words(payload_truth(payload, "truth"))
        assert {"B", "ä"} == words(payload_whole(payload, "number") >= 10)
        assert {"b", "ä"} == words(payload_text(payload, "word") >= "a")
        assert [('["x","y"]',)] * 3 == [
            (row[0].replace(" ", ""),) for row in read(crm, payload_text(payload, "words"))
        ]


@pytest.mark.parametrize("name", ["a.b", "x') --", "", "1a", None, 3])
@pytest.mark.parametrize("field", [payload_text, payload_whole, payload_truth])
def test_what_is_no_field(field, name):
    """A name that no field can have is refused, before it gets into a statement."""
    with pytest.raises(InputError, match="is no field of a payload"):
        field(interaction.c.payload, name)
