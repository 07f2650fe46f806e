"""Laws of privacy: an export has everything, and after an erasure nothing is anywhere."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import select

from crmcore.app import Crm
from crmcore.domain.clock import DAY, to_datetime
from crmcore.domain.interaction import Draft
from crmcore.domain.kind import KindRegistry
from crmcore.domain.kinds import CORE_KINDS
from crmcore.domain.message import Content, MessageDraft
from crmcore.domain.money import Money
from crmcore.errors import CrmError
from crmcore.hooks import Keep
from crmcore.persistence.ledger import interaction
from crmcore.testing import dumps
from crmcore.testing.canaries import Person, holders, planted, rows_with
from crmcore.testing.laws.base import Laws
from crmcore.testing.memory import object_name, roots_of
from crmcore.testing.outings import one_of_each
from crmcore.testing.shop import Shop, clock_of, pass_time
from crmcore.testing.strategies import SHOP_KINDS, START

_PEOPLE: Final = 4


class PrivacyLaws(Laws):
    """What a plugin keeps of somebody is theirs to have, and is gone when they are forgotten."""

    def test_erased_at_once(self, shop: Shop) -> None:
        """
        Who wants to be forgotten the moment after is: nothing of them waits for its time.

        Canaries stand in no key of a timer, and in no payload but in fields marked `personal()`.
        """

        def check(history: list[Draft]) -> None:
            with _lived(shop, history, self.held, waits=False) as life:
                _check_payloads(life)
                life.crm.erase(life.id_of(life.gone))
                _check_left(life, "after an erasure")

        shop.over(check, examples=max(2, shop.examples // 4), least=4)

    def test_export_and_erasure(self, shop: Shop) -> None:
        """
        An export holds all canaries of its customer; after the erasure there is none anywhere.

        Planted in names, keys, subjects, payloads, messages and tasks, they get wherever the
        plugin carries them; then time passes. Neither asking what would be erased nor an export
        writes anything, others' exports stay as they are, a rebuild brings nothing back, and
        neither do facts that come late.
        """

        def check(history: list[Draft]) -> None:
            if len({draft.kind for draft in history}) == 1:
                return  # too little happens in it for its time
            with _lived(shop, history, self.held) as life:
                _check_exports(life)
                _check_tables(life)
                _check_files(life)
                _check_erased(life)
                _check_late(life)
                _check_objects(life)

        shop.over(check, examples=max(2, shop.examples // 4), least=8)


@frozen
class Life:
    """A shop in which canaries were planted; *folder* is its own, *outside* is not."""

    shop: Shop
    crm: Crm
    people: Sequence[Person]
    held: Mapping[str, str]
    folder: Path
    outside: Path

    @property
    def gone(self) -> Person:
        """Who is going to be forgotten."""
        return self.people[0]

    def id_of(self, person: Person) -> int:
        found = self.crm.find_customer(person.account)
        assert found is not None
        return found


@contextlib.contextmanager
def _lived(
    shop: Shop, history: Sequence[Draft], held: Mapping[str, str], *, waits: bool = True
) -> Iterator[Life]:
    with (
        tempfile.TemporaryDirectory(dir=shop.folder) as inside,
        tempfile.TemporaryDirectory(dir=shop.folder) as outside,
        contextlib.chdir(inside),  # files that are named without a folder are written there
    ):
        shop = evolve(shop, folder=Path(inside))
        with shop.database() as url, shop.opened(url=url) as crm:
            people = [Person(number) for number in range(1, _PEOPLE + 1)]
            kinds = KindRegistry([*CORE_KINDS, *shop.subject.kinds])
            drafts = [*history, *_more(shop, history, kinds)]
            drafts = [planted(each, n, people, kinds) for n, each in enumerate(drafts)]
            shop.play(crm, drafts, days=0)
            there = [each for each in people if crm.find_customer(each.account) is not None]
            life = Life(shop, crm, there, held, Path(inside), Path(outside))
            for person in there:
                _say(crm, person)
            if waits:
                pass_time(crm)
            yield life


def _more(shop: Shop, history: Sequence[Draft], kinds: KindRegistry) -> Iterator[Draft]:
    """Yield what has a personal part, of two customers, so that there is some of each kind."""
    at = max((each.occurred_at or START for each in history), default=START)
    made_up = {draft.kind: draft.payload or {} for draft in one_of_each(shop)}
    for name in dict.fromkeys([*SHOP_KINDS, *shop.subject.recorded]):
        if not kinds[name].personal_fields or name.startswith("consent."):
            continue
        given = (*shop.subject.payloads.get(name, ()), {}, made_up[name])
        for number in (1, 2):
            person = Person(number)
            plain = Draft(
                name,
                identifiers=(_account(number), person.email),
                occurred_at=at,
                amount=Money(1990, shop.subject.options.get("currency", "EUR"))
                if kinds[name].sign
                else None,
                source_key=f"more-{name}-{number}",
            )
            for payload in given:
                with contextlib.suppress(CrmError):
                    kinds.encode(kinds[name], payload)
                    yield evolve(plain, payload=payload or None)
                    break


def _account(number: int) -> Any:
    return evolve(Person(number).account, value=f"c{number}")


def _say(crm: Crm, person: Person) -> None:
    """Let the shop write to somebody, and its staff note something to do."""
    who = crm.find_customer(person.account)
    assert who is not None
    crm.add_task(who, person.text("a task's title"), note=person.text("a task's note"), key="call")
    if "email" in crm.assembly.channels:
        said = Content(text=person.text("a message"), subject=person.text("a message's subject"))
        draft = MessageDraft(
            key="hello", customer=who, purpose="service", channel="email", content=said
        )
        crm.send(draft)


# -- before --------------------------------------------------------------------------------------


def _check_exports(life: Life) -> None:
    """Raise where an export, or asking what an erasure would do, is not as it has to be."""
    shop, crm = life.shop, life.crm
    before, files = dumps.dump(crm), _files(life)
    try:
        for person in life.people:
            _check_export(life, person)
        crm.plan_erasure(life.id_of(life.gone))
    except CrmError as error:
        raise shop.broken(
            f"it raises where somebody wants to know what is kept of them: {error}; what "
            "export_customer returns has to be what JSON can hold"
        ) from error
    told = dumps.difference(before, dumps.dump(crm))
    if told or files != _files(life):
        raise shop.broken(
            "it changes something while it is only asked what there is, or what would be erased; "
            f"in erase_customer, write nothing where event.planned is true\n{told}"
        )


def _check_export(life: Life, person: Person) -> None:
    shop = life.shop
    exported = life.crm.export(life.id_of(person), life.outside)
    said = exported.data.read_text(encoding="utf-8")
    json.loads(said)
    for other in life.people:
        if other is not person and other.word in said.lower():
            raise shop.broken(
                "the export of one customer holds something of another: "
                f"{_around(said, other.word)!r}; leave out what is about other people, in "
                "export_customer and in rows that are the customer's"
            )
    for made, where in person.planted.items():
        if made not in said:
            raise shop.broken(f"the export of a customer lacks what was given in {where}")


def _check_payloads(life: Life) -> None:
    """Raise where a decision carries something personal in fields that are not marked so."""
    own = f"{life.shop.subject.name}."
    row = interaction.c
    with life.crm.runtime.database.begin(read_only=True) as connection:
        rows = connection.execute(select(row.kind, row.payload, row.source_key))
    for kind, payload, key in rows:
        for where, said in (("payload", payload), ("key", key)):
            said = json.dumps(said, ensure_ascii=False) if isinstance(said, dict) else said or ""
            if kind.startswith(own) and any(m in said for p in life.people for m in p.planted):
                raise life.shop.broken(
                    f"something personal stands in the {where} of a {kind}, {_told(said)}, where "
                    "an erasure finds only what else is known of the person; mark the field "
                    "personal(), and build keys from no names"
                )


def _told(said: str) -> str:
    return repr(said[:79])


def _check_tables(life: Life) -> None:
    """Raise where a table that is left out of exports holds what a customer said."""
    subject = life.shop.subject
    hidden = {kept.table.name for kept in subject.cls.tables if not kept.export} - {*life.held}
    for person in life.people:
        for table, columns in rows_with(life.crm, person.word).items():
            if table in hidden:
                raise life.shop.broken(
                    f"something of a customer stands in {table}, column {', '.join(columns)}, "
                    "which is left out of their export; let it be exported (export=True), or, if "
                    f"export_customer tells it, say so: held = {{{table!r}: '...'}}"
                )


def _check_files(life: Life) -> None:
    if life.shop.subject.implements("erase_customer"):
        return
    for name, content in _files(life).items():
        if any(person.word.encode() in content.lower() for person in life.people):
            raise life.shop.broken(
                f"it writes something of a customer into the file {name}, and has no "
                "erase_customer, which is to remove it; nor would anybody else"
            )


def _around(said: str, word: str) -> str:
    at = said.lower().index(word)
    return said[max(0, at - 40) : at + 40]


# -- after ---------------------------------------------------------------------------------------


def _check_erased(life: Life) -> None:
    """Erase one customer, and raise where anything of them is left, or of others is changed."""
    shop, crm = life.shop, life.crm
    others = [life.id_of(each) for each in life.people[1:]]
    before = _exports(life, others)
    try:
        done = crm.erase(life.id_of(life.gone))
    except CrmError as error:
        raise shop.broken(f"nobody can be erased, as it raises: {error}") from error
    _check_left(life, "after an erasure")
    assert done.verification is not None
    if not done.verification.is_clean:
        left = ", ".join(f"{each.where}: {each.why}" for each in done.verification.left)
        raise shop.broken(f"after an erasure the person's name is left in {left}")
    kept = rows_with(crm, life.gone.word)  # by now, in tables that are kept
    for name, content in _files(life, database=not kept).items():
        if life.gone.word.encode() in content.lower():
            raise shop.broken(
                f"after an erasure something of the person is left in the file {name}; remove it "
                "in erase_customer, and name the folder in Erasure(files=...)"
            )
    if before != _exports(life, others):
        raise shop.broken(
            "an erasure changes what is kept of other customers; erase_customer is about "
            "event.customer_id alone, and rows of one customer must not depend on another"
        )
    rows = dumps.dump(crm)
    crm.rebuild(shop.subject.name)
    told = dumps.difference(rows, dumps.dump(crm))
    if told:
        raise shop.broken(
            "a rebuild after an erasure leaves other rows than the erasure did; derived rows have "
            f"to follow from what is left in the ledger\n{told}"
        )


def _exports(life: Life, people: Sequence[int]) -> list[tuple[bytes, bytes]]:
    made = [life.crm.export(who, life.outside) for who in people]
    return [(each.data.read_bytes(), each.page.read_bytes()) for each in made]


def _check_late(life: Life) -> None:
    """Raise where something of the person comes back as late facts come, and time passes."""
    crm = life.crm
    gone, now = life.gone, clock_of(crm).now()
    at = to_datetime(now - DAY)
    names = (gone.account, gone.email)
    currency = life.shop.subject.options.get("currency", "EUR")
    for kind, amount in (("order.delivered", None), ("order.refunded", Money(990, currency))):
        late = Draft(kind, identifiers=names, occurred_at=at, amount=amount, source_key=f"l-{kind}")
        crm.record(late)
    note = {"note": gone.text("a late order's note")}
    crm.record(evolve(late, kind="order.placed", payload=note, source_key="late order"))
    if len(life.people) > 1:
        bea = life.people[1]
        told = Draft("order.placed", identifiers=(bea.account,), amount=Money(990, currency))
        crm.record(evolve(told, occurred_at=to_datetime(now) + timedelta(0)))
    pass_time(crm)
    crm.retain()  # the day's work of a worker
    _check_left(life, "as the shop goes on after an erasure, and is told late facts,")


def _check_left(life: Life, when: str) -> None:
    """Raise where a row holds something of the person, in a table that is not kept."""
    subject = life.shop.subject
    kept = {
        each.table.name
        for each in subject.cls.tables
        if isinstance(each.erase, Keep) and not each.derived
    }
    beside = {p.name for p in life.crm.assembly} - {subject.name}
    for table, columns in rows_with(life.crm, life.gone.word).items():
        if any(table.startswith(f"crm_{name}_") for name in beside):
            continue
        if table in kept:
            if table in life.held:
                continue
            raise life.shop.broken(
                f"{when} something of the person is left in {table}, column {', '.join(columns)}, "
                "as its erase policy keeps its rows; let the policy be 'anonymise', or copy no "
                f"names there; and if they have to be kept, say why: held = {{{table!r}: '...'}}"
            )
        own = table in subject.tables
        raise life.shop.broken(
            f"{when} something of the person is left in {table}, column {', '.join(columns)}; "
            + (
                "let the table's erase policy be 'delete' or 'anonymise', keep nothing of one "
                "customer in rows of another, and remember nothing elsewhere"
                if own
                else "put personal values into fields that are marked personal(), and neither "
                "into keys, nor into what is said to or of others, nor into undeclared tables"
            )
        )


def _check_objects(life: Life) -> None:
    """Raise where the plugin's object, or a module of it, remembers anything of a customer."""
    shop = life.shop
    plugin = next(each for each in life.crm.assembly if each.name == shop.subject.name)
    skipped = {f"{object_name(plugin)}.{each}" for each in life.held}
    words = [each.word for each in life.people]
    for name in holders(roots_of(plugin), words):
        if not any(name.startswith(each) for each in skipped):
            raise shop.broken(
                f"{name} remembers something of a customer, which no erasure reaches, and another "
                "process does not have; keep what is known of customers in tables"
            )


def _files(life: Life, *, database: bool = False) -> dict[str, bytes]:
    """Return the files below the shop's folder; those of the database only if asked for."""
    found = {
        str(path.relative_to(life.folder)): path.read_bytes()
        for path in sorted(life.folder.rglob("*"))
        if path.is_file() and (database or ".db" not in path.suffix)
    }
    return {name: content for name, content in found.items() if not name.startswith((*life.held,))}
