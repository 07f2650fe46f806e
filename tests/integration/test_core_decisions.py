"""What plugins decide wrongly, or in vain, harms neither an order nor what else was decided."""

import pytest
from sqlalchemy import text

from crmcore import Crm, CrmError, Draft, Kind
from tests.support.databases import drop_schema, new_schema, scratch, shop_file
from tests.support.making import draft, kinds, plugin, rows
from tests.support.runs import opened

pytestmark = pytest.mark.each_database(partitioned=False)


def cancelling(ctx, event):
    """Cancel an order that nobody knows, without an amount: the ledger cannot take that."""
    for each in (each for each in event if each.kind == "order.placed"):
        ctx.record(
            Draft(
                "order.cancelled",
                customer=each.customer_id,
                subject="no such order",
                source_key=f"cancel:{each.source_key}",
            )
        )


def noting(ctx, event):
    for each in event:
        ctx.record(
            Draft("good.noted", customer=each.customer_id, source_key=f"note:{each.source_key}")
        )


def test_a_decision_that_cannot_be_written_costs_no_order():
    """It is left out, with a fault; the order and what other plugins decide are kept."""
    good = plugin("good", register_kinds=[Kind("good.noted")], on_interactions_recorded=noting)
    with opened([plugin("bad", on_interactions_recorded=cancelling), good]) as (crm, _):
        crm.record(draft("order.placed", 0, key="1"))
        (fault,) = crm.faults("bad")

        assert ["order.placed", "good.noted"] == kinds(crm)
        assert "no such order" in fault.message


def test_an_after_hooks_decision_that_cannot_be_written_holds_nobody_up(tmp_path):
    """Its cursor goes on, and other plugins are told of everything."""
    heard: list[str | None] = []
    bad = plugin("bad", after_interactions_recorded=cancelling)
    ears = plugin(
        "ears",
        after_interactions_recorded=lambda ctx, event: heard.extend(e.source_key for e in event),
    )
    with opened([bad, ears], url=shop_file(tmp_path)) as (crm, _):
        crm.record(draft("order.placed", 0, key="1"))
        crm.worker().once()
        crm.record(draft("order.placed", 0, key="2"))
        crm.worker().once()

        assert ["1", "2"] == heard
        assert 2 == len(crm.faults("bad"))


def test_what_was_decided_before_a_call_that_failed_is_kept():
    """While acting as a plugin, a refused call takes back its own part only."""
    good = plugin("good", register_kinds=[Kind("good.noted")])
    with opened([good]) as (crm, _):
        customer = crm.record(draft("order.placed", 0, key="1")).customer_id
        with crm.begin() as tx, tx.acting(type(good)) as (_, ctx):
            ctx.record(Draft("good.noted", customer=customer, source_key="a"))
            with pytest.raises(CrmError):
                tx.record("order.placd", customer=customer)

        assert ["order.placed", "good.noted"] == kinds(crm)


def test_a_description_that_fails_spoils_no_other():
    """One plugin's refused statement leaves the others' answers, and no fault of theirs."""
    nowhere = text("SELECT * FROM no_such_table")
    count = text("SELECT count(*) FROM crm_customer")
    bad = plugin("abad", describe_customer=lambda ctx, event: ctx.execute(nowhere))
    good = plugin("good", describe_customer=lambda ctx, event: {"n": ctx.execute(count)[0][0]})
    with Crm(scratch(), plugins=[bad, good]) as crm:
        customer = crm.record("order.placed", email="ada@example.com").customer_id
        described = crm.customer(customer).descriptions

        assert {"n": 1} == described["good"]
        assert described["abad"].startswith("missing: ")
        assert ([], 1) == (crm.faults("good"), len(crm.faults("abad")))


class TestMergesMeanwhile:
    """On PostgreSQL a merge may end between two looks of somebody who records."""

    def test_somebody_named_by_id_and_by_identifier_in_one_batch(self, monkeypatch):
        """An unmerge between looking up the names and the ids is noticed."""
        url = new_schema()
        try:
            with Crm(url, durable=False) as crm:
                ada = crm.record(draft("order.placed", key="1", email="a")).customer_id
                bea = crm.record(draft("order.placed", key="2", email="b")).customer_id
                merge = crm.merge(ada, bea)
                identity = crm.runtime.identity
                undone: list[object] = []
                present = identity._present

                def late(connection, given):
                    if not undone:
                        undone.append(crm.unmerge(merge.id))
                    return present(connection, given)

                monkeypatch.setattr(identity, "_present", late)
                crm.record_many(
                    [
                        Draft("order.placed", customer=ada, source_key="3"),
                        draft("order.placed", key="4", email="b"),
                    ]
                )

                owners = rows(
                    crm, "SELECT source_key, customer_id FROM crm_interaction ORDER BY source_key"
                )
                assert [("1", ada), ("2", bea), ("3", ada), ("4", bea)] == owners
        finally:
            drop_schema(url)
