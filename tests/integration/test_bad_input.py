"""Bad input at every public function: an error of ours that says what is wrong, nothing changed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen
from crmcore_tiering import Tiering

from crmcore import (
    Content,
    Crm,
    CrmError,
    Draft,
    Identifier,
    MessageDraft,
    migrate,
    normalise,
    plan_migration,
    to_datetime,
    to_instant,
)
from crmcore.errors import (
    ConfigurationError,
    CustomerNotFoundError,
    IdentifierError,
    InputError,
    InstantError,
    MergeError,
    NotFoundError,
    PluginNotFoundError,
    SegmentError,
    StorageError,
    UnknownKindError,
)
from crmcore.services.transaction import Transaction
from tests.support.databases import scratch
from tests.support.portraits import portrait

pytestmark = pytest.mark.each_database(partitioned=False)

ADA = Identifier("email", "ada@example.com")
MISSPELT = Identifier("emial", "ada@example.com")
HUGE = 2**70
HELLO = MessageDraft(
    key="hello", customer=1, purpose="service", channel="email", content=Content(text="Hello")
)
ALL: dict[str, Any] = {"purpose": "news", "channel": "email", "content": Content(text="Hello")}


@frozen
class Case:
    """A call with something wrong, the error it ends with, and a word of what that says."""

    name: str
    call: Callable[[Any], object]
    error: type[CrmError]
    says: str


def enter(manager: Any) -> None:
    with manager:
        pass


CRM = (
    Case("begin", lambda crm: enter(crm.begin(actor=3)), InputError, "actor is 3"),
    Case("join", lambda crm: enter(crm.join(3)), InputError, "3"),
    Case("join", lambda crm: enter(crm.join(None)), InputError, "None"),
    Case("join_async", lambda crm: asyncio.run(crm.join_async(3, print)), InputError, "3"),
    Case("run_transaction", lambda crm: crm.run_transaction(None), InputError, "work is None"),
    Case("record", lambda crm: crm.record(None), UnknownKindError, "None"),
    Case(
        "record", lambda crm: crm.record("order.placd", email="a@b.cd"), UnknownKindError, "placed"
    ),
    Case("record", lambda crm: crm.record("order.placed"), InputError, "names no customer"),
    Case("record", lambda crm: crm.record("order.placed", emial="x"), InputError, "email"),
    Case("record", lambda crm: crm.record("order.placed", customer=99), NotFoundError, "99"),
    Case("record", lambda crm: crm.record("order.placed", customer="x"), InputError, "'x'"),
    Case("record", lambda crm: crm.record("order.placed", email="a b"), IdentifierError, "a b"),
    Case("record", lambda crm: crm.record("order.placed", email="null"), IdentifierError, "null"),
    Case("record", lambda crm: crm.record("order.placed", account="0"), InputError, "account"),
    Case("record_many", lambda crm: crm.record_many(None), InputError, "drafts is None"),
    Case("record_many", lambda crm: crm.record_many("abc"), InputError, "'abc'"),
    Case(
        "record_many",
        lambda crm: crm.record_many([Draft("order.placed", identifiers=(ADA,)), {"kind": "x"}]),
        InputError,
        r"drafts\[1\]",
    ),
    Case("find_customer", lambda crm: crm.find_customer("ada"), InputError, "'ada'"),
    Case("find_customer", lambda crm: crm.find_customer(MISSPELT), IdentifierError, "email"),
    Case("customer", lambda crm: crm.customer("ada"), InputError, "'ada'"),
    Case("customer", lambda crm: crm.customer(True), InputError, "True"),
    Case("customer", lambda crm: crm.customer(HUGE), CustomerNotFoundError, str(HUGE)),
    Case("customer", lambda crm: crm.customer(1, most=-1), InputError, "most is -1"),
    Case("why_stages", lambda crm: crm.why_stages(None), InputError, "None"),
    Case("why_stages", lambda crm: crm.why_stages(99), CustomerNotFoundError, "99"),
    Case("why_decisions", lambda crm: crm.why_decisions(None), InputError, "None"),
    Case("report", lambda crm: crm.report("teiring"), ConfigurationError, "tiering"),
    Case("plugin", lambda crm: crm.plugin(None), InputError, "None"),
    Case("plugin", lambda crm: crm.plugin(int), InputError, "int"),
    Case("rebuild", lambda crm: crm.rebuild("teiring"), PluginNotFoundError, "'tiering'"),
    Case("rebuild", lambda crm: crm.rebuild(1), PluginNotFoundError, "1"),
    Case("retry_failed", lambda crm: crm.retry_failed("teiring"), PluginNotFoundError, "'tiering'"),
    Case("retry_failed", lambda crm: crm.retry_failed(1), PluginNotFoundError, "1"),
    Case("faults", lambda crm: crm.faults(1), InputError, "1"),
    Case("faults", lambda crm: crm.faults("tiering", most=-1), InputError, "-1"),
    Case("worker", lambda crm: crm.worker(poll=0), ConfigurationError, "poll is 0"),
    Case("start_worker", lambda crm: crm.start_worker(poll="x"), ConfigurationError, "'x'"),
    Case("merge", lambda crm: crm.merge(1, 1), MergeError, "the same customer"),
    Case("merge", lambda crm: crm.merge(1, 99), CustomerNotFoundError, "99"),
    Case("merge", lambda crm: crm.merge(1, "ada"), InputError, "'ada'"),
    Case("merge", lambda crm: crm.merge(1, 2, reason=3), InputError, "reason is 3"),
    Case("unmerge", lambda crm: crm.unmerge(99), NotFoundError, "99"),
    Case("unmerge", lambda crm: crm.unmerge("x"), InputError, "'x'"),
    Case("merges", lambda crm: crm.merges("ada"), InputError, "'ada'"),
    Case("merge_agreed", lambda crm: crm.merge_agreed(actor=3), InputError, "3"),
    Case("reject_duplicate", lambda crm: crm.reject_duplicate(1, 99), NotFoundError, "99"),
    Case("prove", lambda crm: crm.prove(99, ADA), CustomerNotFoundError, "99"),
    Case("prove", lambda crm: crm.prove(1, "ada"), InputError, "'ada'"),
    Case("prove", lambda crm: crm.prove(1, MISSPELT), IdentifierError, "email"),
    Case("identifier", lambda crm: crm.identifier("emial", "x"), IdentifierError, "email"),
    Case("identifier", lambda crm: crm.identifier("email", 3), IdentifierError, "3"),
    Case("relations", lambda crm: crm.relations("ada"), InputError, "'ada'"),
    Case("add_task", lambda crm: crm.add_task("ada", "x"), InputError, "'ada'"),
    Case("add_task", lambda crm: crm.add_task(99, "x"), CustomerNotFoundError, "99"),
    Case("add_task", lambda crm: crm.add_task(1, " "), InputError, "title is ' '"),
    Case("add_task", lambda crm: crm.add_task(1, "a\0b"), InputError, "title"),
    Case("add_task", lambda crm: crm.add_task(1, "x", key=""), InputError, "key is ''"),
    Case("add_task", lambda crm: crm.add_task(1, "x", key="k" * 121), InputError, "121"),
    Case("add_task", lambda crm: crm.add_task(1, "x", due_at="soon"), InputError, "'soon'"),
    Case("add_task", lambda crm: crm.add_task(1, "x", due_at=HUGE), InputError, str(HUGE)),
    Case("add_task", lambda crm: crm.add_task(1, "x", owner=3), InputError, "owner is 3"),
    Case("add_task", lambda crm: crm.add_task(1, "x", escalate_at=1), InputError, "escalate_to"),
    Case("add_task", lambda crm: crm.add_task(1, "x", escalate_to="a"), InputError, "escalate_at"),
    Case("assign_task", lambda crm: crm.assign_task(99, "grace"), NotFoundError, "99"),
    Case("assign_task", lambda crm: crm.assign_task("x", "grace"), InputError, "'x'"),
    Case("finish_task", lambda crm: crm.finish_task(HUGE), InputError, str(HUGE)),
    Case("finish_task", lambda crm: crm.finish_task(1, ""), InputError, "outcome is ''"),
    Case("drop_task", lambda crm: crm.drop_task(1, reason=None), InputError, "reason is None"),
    Case("tasks", lambda crm: crm.tasks(owner=3), InputError, "owner is 3"),
    Case("tasks", lambda crm: crm.tasks(customer="ada"), InputError, "'ada'"),
    Case("tasks", lambda crm: crm.tasks(is_open=3), InputError, "is_open is 3"),
    Case("tasks", lambda crm: crm.tasks(most=-1), InputError, "most is -1"),
    Case("desk", lambda crm: crm.desk("grace"), NotFoundError, "'grace'"),
    Case("desk", lambda crm: crm.desk(3), NotFoundError, "3"),
    Case("who_saw", lambda crm: crm.who_saw("ada"), InputError, "'ada'"),
    Case("who_saw", lambda crm: crm.who_saw(99), CustomerNotFoundError, "99"),
    Case("accesses_of", lambda crm: crm.accesses_of(3), InputError, "3"),
    Case("access_alarms", lambda crm: crm.access_alarms(most="x"), InputError, "'x'"),
    Case("export", lambda crm: crm.export("ada"), InputError, "'ada'"),
    Case("export", lambda crm: crm.export(99), CustomerNotFoundError, "99"),
    Case("export", lambda crm: crm.export(1, 3), InputError, "to is 3"),
    Case("export", lambda crm: crm.export(1, __file__), InputError, "test_bad_input"),
    Case("plan_erasure", lambda crm: crm.plan_erasure("ada"), InputError, "'ada'"),
    Case("plan_erasure", lambda crm: crm.plan_erasure(99), CustomerNotFoundError, "99"),
    Case("erase", lambda crm: crm.erase("ada"), InputError, "'ada'"),
    Case("erase", lambda crm: crm.erase(99), CustomerNotFoundError, "99"),
    Case("erase", lambda crm: crm.erase(1, reason=3), InputError, "reason is 3"),
    Case("erase", lambda crm: crm.erase(1, actor=3), InputError, "actor is 3"),
    Case("erase_again", lambda crm: crm.erase_again(3), InputError, "entries is 3"),
    Case("erase_again", lambda crm: crm.erase_again([{}]), InputError, r"entries\[0\] is {}"),
    Case("hold", lambda crm: crm.hold("ada", "why"), InputError, "'ada'"),
    Case("hold", lambda crm: crm.hold(1, " "), InputError, "reason is ' '"),
    Case("hold", lambda crm: crm.hold(1, None), InputError, "reason is None"),
    Case("hold", lambda crm: crm.hold(99, "why"), CustomerNotFoundError, "99"),
    Case("release_hold", lambda crm: crm.release_hold(1), NotFoundError, "not on hold"),
    Case("release_hold", lambda crm: crm.release_hold("ada"), InputError, "'ada'"),
    Case("give_consent", lambda crm: crm.give_consent("ada", "news", "email"), InputError, "'ada'"),
    Case("give_consent", lambda crm: crm.give_consent(99, "news", "email"), NotFoundError, "99"),
    Case("give_consent", lambda crm: crm.give_consent(1, "nwes", "email"), InputError, "'news'"),
    Case("give_consent", lambda crm: crm.give_consent(1, "news", "sms"), InputError, "sms"),
    Case("give_consent", lambda crm: crm.give_consent(1, 3, "email"), InputError, "3 is not text"),
    Case(
        "request_consent", lambda crm: crm.request_consent(1, "news", "emial"), InputError, "email"
    ),
    Case("confirm_consent", lambda crm: crm.confirm_consent(1, "*", "email"), InputError, "'[*]'"),
    Case("withdraw_consent", lambda crm: crm.withdraw_consent(1, "nwes"), InputError, "'news'"),
    Case(
        "withdraw_consent", lambda crm: crm.withdraw_consent(1, point="x"), IdentifierError, "'x'"
    ),
    Case("consents", lambda crm: crm.consents("ada"), InputError, "'ada'"),
    Case("consents", lambda crm: crm.consents(1, as_of="now"), InstantError, "'now'"),
    Case("set_brake", lambda crm: crm.set_brake(1, "x", until="soon"), InputError, "'soon'"),
    Case("set_brake", lambda crm: crm.set_brake(99, "x"), NotFoundError, "99"),
    Case("lift_brake", lambda crm: crm.lift_brake(1, None), InputError, "brake"),
    Case("set_zone", lambda crm: crm.set_zone(1, "Europe/Berlim"), InputError, "Berlin"),
    Case("withhold", lambda crm: crm.withhold("ada"), InputError, "'ada'"),
    Case("withhold", lambda crm: crm.withhold(ADA, "blokced"), InputError, "'blocked'"),
    Case("withhold", lambda crm: crm.withhold(ADA, until="x"), InstantError, "'x'"),
    Case("withhold", lambda crm: crm.withhold(ADA, channel="emial"), InputError, "'email'"),
    Case("lift_withholding", lambda crm: crm.lift_withholding(3), InputError, "3"),
    Case("lift_withholding", lambda crm: crm.lift_withholding(ADA, 3), InputError, "reason is 3"),
    Case("withheld", lambda crm: crm.withheld("ada"), InputError, "'ada'"),
    Case("explain_send", lambda crm: crm.explain_send(1, "x"), InputError, "no message 'x'"),
    Case("explain_send", lambda crm: crm.explain_send(1, 3), InputError, "key is 3"),
    Case(
        "explain_send",
        lambda crm: crm.explain_send(1, "x", purpose="nwes", channel="email"),
        InputError,
        "'news'",
    ),
    Case("send", lambda crm: crm.send(None), InputError, "None is no message"),
    Case("send", lambda crm: crm.send(HELLO), InputError, "no channel is named 'email'"),
    Case("broadcast", lambda crm: crm.broadcast("", [], **ALL), InputError, "key is ''"),
    Case("broadcast", lambda crm: crm.broadcast("x", [], **ALL), InputError, "'email'"),
    Case("stop_broadcast", lambda crm: crm.stop_broadcast("x"), NotFoundError, "'x'"),
    Case("stop_broadcast", lambda crm: crm.stop_broadcast(3), InputError, "3"),
    Case("pause_broadcast", lambda crm: crm.pause_broadcast("x"), NotFoundError, "'x'"),
    Case("pause_broadcast", lambda crm: crm.pause_broadcast(3), InputError, "3"),
    Case("resume_broadcast", lambda crm: crm.resume_broadcast("x"), NotFoundError, "'x'"),
    Case("edit_broadcast", lambda crm: crm.edit_broadcast("x", Content()), NotFoundError, "'x'"),
    Case("edit_broadcast", lambda crm: crm.edit_broadcast("x", "Hello"), InputError, "'Hello'"),
    Case("find_broadcast", lambda crm: crm.find_broadcast("x"), NotFoundError, "'x'"),
    Case("find_message", lambda crm: crm.find_message(1, 3), InputError, "3"),
    Case("find_message", lambda crm: crm.find_message(99, "x"), NotFoundError, "99"),
    Case("find_message", lambda crm: crm.find_message(1, "x", plugin=3), InputError, "plugin is 3"),
    Case("messages", lambda crm: crm.messages("ada"), InputError, "'ada'"),
    Case("messages", lambda crm: crm.messages(key=3), InputError, "key is 3"),
    Case("messages", lambda crm: crm.messages(most=-1), InputError, "most is -1"),
    Case("segment", lambda crm: crm.segment("ordres.count > 1"), SegmentError, "'orders'"),
    Case("snapshot", lambda crm: crm.snapshot("/nowhere/at/all"), InputError, "/nowhere/at"),
    Case("segment", lambda crm: crm.segment(3), SegmentError, "3 is no condition"),
    Case("members", lambda crm: crm.members("orders.count >"), SegmentError, "column 15"),
    Case("members", lambda crm: crm.members("orders.count > 1", at="x"), InputError, "at is 'x'"),
    Case("measures", lambda crm: crm.measures(["orders"]), SegmentError, "orders.count"),
    Case("measures", lambda crm: crm.measures([]), SegmentError, "a list of measures"),
    Case("measures", lambda crm: crm.measures(["orders.count"], "x >"), SegmentError, "column 4"),
    Case("audience", lambda crm: crm.audience(None), SegmentError, "None is no condition"),
    Case("why_in", lambda crm: crm.why_in("ada", "orders.count > 1"), InputError, "'ada'"),
    Case("why_in", lambda crm: crm.why_in(99, "orders.count > 1"), NotFoundError, "99"),
    Case("why_not", lambda crm: crm.why_not(1, "teir == 1"), SegmentError, "'teir'"),
    Case("why_not", lambda crm: crm.why_not(99, "orders.count > 1"), NotFoundError, "99"),
    Case("from_config", lambda crm: Crm.from_config("nowhere.toml"), ConfigurationError, "nowhere"),
    Case(
        "from_config", lambda crm: Crm.from_config("x", curency=1), ConfigurationError, "currency"
    ),
)

TRANSACTION = (
    Case("record", lambda tx: tx.record(None), UnknownKindError, "None"),
    Case("record_many", lambda tx: tx.record_many([3]), InputError, r"drafts\[0\] is 3"),
    Case("acting", lambda tx: enter(tx.acting(int)), InputError, "int"),
    Case("merge", lambda tx: tx.merge(1, 1), MergeError, "the same"),
    Case("unmerge", lambda tx: tx.unmerge(None), InputError, "None"),
    Case("merge_agreed", lambda tx: tx.merge_agreed(3), InputError, "3"),
    Case("reject_duplicate", lambda tx: tx.reject_duplicate(1, "x"), InputError, "'x'"),
    Case("prove", lambda tx: tx.prove(1, None), InputError, "None"),
    Case("send", lambda tx: tx.send(HELLO), InputError, "no channel is named 'email'"),
    Case("broadcast", lambda tx: tx.broadcast("x", [], **ALL), InputError, "'email'"),
    Case("stop_broadcast", lambda tx: tx.stop_broadcast("x"), NotFoundError, "'x'"),
    Case("pause_broadcast", lambda tx: tx.pause_broadcast("x"), NotFoundError, "'x'"),
    Case("resume_broadcast", lambda tx: tx.resume_broadcast("x"), NotFoundError, "'x'"),
    Case("edit_broadcast", lambda tx: tx.edit_broadcast("x", Content()), NotFoundError, "'x'"),
    Case("relate", lambda tx: tx.relate(1, "child", 2), InputError, "child_of"),
    Case("relate", lambda tx: tx.relate(1, "child_of", 1), InputError, "1"),
    Case("unrelate", lambda tx: tx.unrelate(1, 3, 2), InputError, "3"),
    Case("give_consent", lambda tx: tx.give_consent(1, "nwes", "email"), InputError, "'news'"),
    Case("request_consent", lambda tx: tx.request_consent(1, "news", "x"), InputError, "'x'"),
    Case("confirm_consent", lambda tx: tx.confirm_consent(None, "news", "x"), InputError, "None"),
    Case("withdraw_consent", lambda tx: tx.withdraw_consent(99), NotFoundError, "99"),
    Case("set_brake", lambda tx: tx.set_brake(1, 3), InputError, "brake"),
    Case("lift_brake", lambda tx: tx.lift_brake("ada", "x"), InputError, "'ada'"),
    Case("set_zone", lambda tx: tx.set_zone(1, 3), InputError, "zone"),
    Case("withhold", lambda tx: tx.withhold(MISSPELT), IdentifierError, "email"),
    Case("lift_withholding", lambda tx: tx.lift_withholding(None), InputError, "None"),
    Case("add_task", lambda tx: tx.add_task("x"), InputError, "'x' is no task"),
    Case("assign_task", lambda tx: tx.assign_task(99, None), NotFoundError, "99"),
    Case("finish_task", lambda tx: tx.finish_task(99), NotFoundError, "99"),
    Case("drop_task", lambda tx: tx.drop_task(99, reason=""), InputError, "reason is ''"),
)

FUNCTIONS = (
    Case("Crm", lambda _: Crm(None), ConfigurationError, "None"),  # type: ignore[arg-type]
    Case("Crm", lambda _: Crm("nonsense"), ConfigurationError, "nonsense"),
    Case("Crm", lambda _: Crm("mysql://x/y"), ConfigurationError, "mysql"),
    Case("Crm", lambda _: Crm("postgres://x/y"), ConfigurationError, "postgresql"),
    Case("Crm", lambda _: Crm("sqlite://", plugins=3), InputError, "plugins is 3"),  # type: ignore[arg-type]
    Case("Crm", lambda _: Crm("sqlite://", plugins=[Tiering]), CrmError, r"Tiering\(\)"),  # type: ignore[list-item]
    Case("Crm", lambda _: Crm("sqlite://", currency="EURO"), CrmError, "EURO"),
    Case("Crm", lambda _: Crm("sqlite://", zone="Europe/Berlim"), ConfigurationError, "Berlin"),
    Case("Crm", lambda _: Crm("sqlite://", zone=None), ConfigurationError, "None"),  # type: ignore[arg-type]
    Case("Crm", lambda _: Crm("sqlite://", critical=["x"]), PluginNotFoundError, "'x'"),
    Case("Crm", lambda _: Crm("sqlite://", critical="x"), InputError, "critical"),
    Case("Crm", lambda _: Crm("sqlite://", clock=3), InputError, "3"),  # type: ignore[arg-type]
    Case("Crm", lambda _: Crm("sqlite://", secret=3), InputError, "secret is 3"),  # type: ignore[arg-type]
    Case("Crm", lambda _: Crm("sqlite://", identity=3), InputError, "identity is 3"),  # type: ignore[arg-type]
    Case("Crm", lambda _: Crm("sqlite://", gate=3), InputError, "gate is 3"),  # type: ignore[arg-type]
    Case("Crm", lambda _: Crm("sqlite://", relationship_settings=3), InputError, "is 3"),  # type: ignore[arg-type]
    Case("Crm", lambda _: Crm("sqlite://", partitions=-1), ConfigurationError, "-1"),
    Case("Crm", lambda _: Crm("sqlite://", retention=3), InputError, "retention is 3"),  # type: ignore[arg-type]
    Case("Crm", lambda _: Crm("sqlite://", roles=3), InputError, "roles is 3"),  # type: ignore[arg-type]
    Case("Crm", lambda _: Crm("sqlite://", staff=["grace"]), ConfigurationError, "'grace'"),  # type: ignore[list-item]
    Case("migrate", lambda _: migrate("nonsense"), ConfigurationError, "nonsense"),
    Case("plan_migration", lambda _: plan_migration("nonsense"), ConfigurationError, "nonsense"),
    Case("normalise", lambda _: normalise("emial", "x"), IdentifierError, "email"),
    Case("to_instant", lambda _: to_instant("x"), InstantError, "'x'"),  # type: ignore[arg-type]
    Case("to_datetime", lambda _: to_datetime(HUGE), InstantError, str(HUGE)),
)

# These take nothing that could be wrong.
PLAIN = set(
    "assembly backlog close connection debts deliver duplicates erasure_journal has_sent "
    "holds next_due parked_timers passed pay_debts plan_retention reconcile rehearse retain "
    "run_due runtime segments staff status".split()
)


def ids(cases: tuple[Case, ...]) -> list[str]:
    return [f"{case.name}-{number}" for number, case in enumerate(cases)]


@pytest.fixture
def crm():
    with Crm(scratch(), plugins=[Tiering()]) as opened:
        opened.record("order.placed", email="ada@example.com", amount="1", source_key="1")
        opened.record("order.placed", email="bea@example.com", amount="2", source_key="2")
        yield opened


@pytest.mark.parametrize("case", CRM, ids=ids(CRM))
def test_an_application_refuses_bad_input(case, crm):
    """Every method of `Crm` says what is wrong, and leaves every table as it was."""
    before = portrait(crm)

    with pytest.raises(case.error, match=case.says):
        case.call(crm)

    assert before == portrait(crm)


@pytest.mark.parametrize("case", TRANSACTION, ids=ids(TRANSACTION))
def test_a_transaction_refuses_bad_input(case, crm):
    """Every method of a transaction does, too; caught, the rest of it can be committed."""
    with crm.begin() as tx:
        tx.record("order.placed", email="cleo@example.com", source_key="3")
        with pytest.raises(case.error, match=case.says):
            case.call(tx)
        tx.record("order.placed", email="dora@example.com", source_key="4")

    assert 4 == portrait(crm)["crm_interaction"].total()
    assert 4 == portrait(crm)["crm_customer"].total()


@pytest.mark.parametrize("case", FUNCTIONS, ids=ids(FUNCTIONS))
def test_functions_refuse_bad_input(case):
    """What stands at the root of the package does, too."""
    with pytest.raises(case.error, match=case.says):
        case.call(None)


def test_every_public_method_is_tried():
    """No method of an application or transaction is left out above."""
    tried = {case.name for case in (*CRM, *TRANSACTION)} | PLAIN

    for owner in (Crm, Transaction):
        assert set() == {name for name in dir(owner) if not name.startswith("_")} - tried


def test_what_is_closed_says_so(crm):
    """Neither an application that was closed nor a transaction that has ended does anything."""
    with crm.begin() as tx:
        pass
    with pytest.raises(StorageError, match="the transaction has ended"):
        tx.record("order.placed", email="ada@example.com")
    crm.close()
    with pytest.raises(StorageError, match="has been closed"):
        crm.record("order.placed", email="ada@example.com")
