"""Rights: what each member of staff may do; what no role grants is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen
from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    case,
    false,
    literal_column,
    or_,
    select,
    true,
)

from crmcore.domain.arguments import check_whole, listed
from crmcore.domain.identity import parse_identifier
from crmcore.domain.role import (
    ACTIONS,
    ALL,
    CONTACT,
    ME,
    MY_TEAMS,
    PLAIN_FIELDS,
    TEXT_FIELDS,
    Role,
    Staff,
)
from crmcore.domain.task import Task, needed_text
from crmcore.errors import ConfigurationError, CrmError, NotFoundError, nearest
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer, identifier
from crmcore.persistence.merges import relation
from crmcore.persistence.portable import json_list
from crmcore.persistence.schema import Whole
from crmcore.persistence.tasks import task
from crmcore.services.runtime import Runtime
from crmcore.services.staff.access import Looker
from crmcore.services.staff.rules import Reader
from crmcore.services.staff.tasks import Rule

_NOW: Final[ColumnElement[int]] = bindparam("now", type_=Whole)


@frozen(kw_only=True)
class Granted:
    """A grant as it is asked: its fields one by one, and the place of its rule, if it has one."""

    actions: frozenset[str]
    fields: frozenset[str]
    rule: int | None


@frozen(kw_only=True)
class Rights:
    """
    What one member of staff may do.

    Attributes:
        rules: The conditions that grants name by their place.
        points: Keyed hashes of their own identifiers.
    """

    staff: Staff
    looker: Looker
    bulk_above: int
    granted: Sequence[Granted]
    rules: Sequence[ColumnElement[bool]]
    points: tuple[str, ...]
    _about: Select[Any] = field(eq=False, repr=False)
    _page: Select[Any] = field(eq=False, repr=False)
    _own: Select[Any] = field(eq=False, repr=False)

    @property
    def name(self) -> str:
        return self.staff.name

    def may(self, action: str) -> bool:
        """Return whether any grant has the action, for whatever fields and customers."""
        return any(action in each.actions for each in self.granted)

    def is_unlimited(self, action: str, name: str | None = None) -> bool:
        """Return whether some grant has the action for all customers, on the field if one is."""
        return any(
            action in each.actions and each.rule is None and (name is None or name in each.fields)
            for each in self.granted
        )

    def has(self, each: Task) -> bool:
        """Return whether a task is the member's, or one of their teams'."""
        return each.owner == self.name or each.owner in self.staff.teams

    def fields_of(
        self, connection: Connection, action: str, customers: Iterable[int], now: int
    ) -> dict[int, frozenset[str]]:
        """Return for each customer the fields for which the member may do *action*."""
        wanted = set(customers)
        closed = self.own(connection)
        found = dict.fromkeys(wanted, frozenset[str]())
        rows = connection.execute(self._about, customers=json_list(sorted(wanted)), now=now)
        for customer_id, *holds in rows:
            if customer_id not in closed:
                found[customer_id] = frozenset(
                    name
                    for each in self.granted
                    if action in each.actions and (each.rule is None or holds[each.rule])
                    for name in each.fields
                )
        return found

    def all_of(self, connection: Connection, customer_id: int, now: int) -> set[tuple[str, str]]:
        """Return every action and field the member has of a customer."""
        return {
            (action, name)
            for action in ACTIONS
            for name in self.fields_of(connection, action, [customer_id], now)[customer_id]
        }

    def own(self, connection: Connection) -> set[int]:
        """
        Return the records that are closed to the member: their own, and their family's.

        These are the household, whoever of it is named as whose, and children and parents of it.
        """
        if not self.points:
            return set()
        found: set[int] = set()
        newest = {row[0] for row in connection.execute(self._own)}
        while newest:  # a household of two steps is asked for three times
            found |= newest
            newest = _ends(connection, "household_of", newest) - found
        return found | _ends(connection, "child_of", found)

    def page(self, connection: Connection, *, after: int, most: int, now: int) -> list[int]:
        """Return the next customers the member may list, by id."""
        closed = json_list(sorted(self.own(connection)))
        rows = connection.execute(self._page, after=after, most=most, now=now, closed=closed)
        return [row[0] for row in rows]

    def rule_on_tasks(self, connection: Connection) -> Rule:
        """Return the condition that a task is of a customer whose tasks the member may read."""
        holds = _any_of(self, "read", "tasks")
        own = self.own(connection)
        of_them = (
            select(literal_column("1"))
            .select_from(customer)
            .where(customer.c.customer_id == task.c.customer_id, holds)
            .correlate(task)
            .exists()
        )
        closed = task.c.customer_id.not_in(sorted(own)) if own else true()
        return Rule(f"{self.name} {sorted(own)}", of_them & closed)


class RoleService:
    """The roles and the staff of one application."""

    def __init__(
        self, runtime: Runtime, roles: Iterable[Role] = (), staff: Iterable[Staff] = ()
    ) -> None:
        """
        Take what the configuration says.

        Raises:
            ConfigurationError: If a name is not right; says which, and the nearest right one.
        """
        self._runtime = runtime
        self.fields = (
            *(scheme.name for scheme in runtime.identity.schemes),
            *PLAIN_FIELDS,
            *TEXT_FIELDS,
        )
        self._roles: Mapping[str, Role] = _by_name("roles", roles, Role)
        self._members: dict[str, Rights] = {}
        of_point: dict[str, str] = {}
        for each in self._roles.values():
            check_whole(f"roles.{each.name}.bulk_above", each.bulk_above, least=0)
            check_whole(f"roles.{each.name}.alarm_above", each.alarm_above, least=0)
            try:
                # Whether anybody has it or not: a mistake would wait for whoever gets it.
                self._granted([each], self._reader())
            except CrmError as error:
                raise ConfigurationError(f"roles.{each.name}: {error}") from error
        for name, member in _by_name("staff", staff, Staff).items():
            try:
                self._members[name] = self._rights_of(member)
            except CrmError as error:
                raise ConfigurationError(f"staff.{name}: {error}") from error
            for point in self._members[name].points:
                if point in of_point:
                    raise ConfigurationError(
                        f"staff.{name} and staff.{of_point[point]} have an identifier in common, "
                        "as if they were one person; each has their own"
                    )
                of_point[point] = name

    def __iter__(self) -> Any:
        return iter(self._members.values())

    def rights(self, name: object) -> Rights:
        """Return what a member of staff may do; raises `NotFoundError` if there is none."""
        if not isinstance(name, str) or name not in self._members:
            raise NotFoundError(
                f"no member of staff is named {name!r}{nearest(name, self._members)}; there are: "
                f"{', '.join(sorted(self._members)) or 'none'}"
            )
        return self._members[name]

    def _rights_of(self, member: Staff) -> Rights:
        roles = [self._role(name) for name in dict.fromkeys(member.roles)]
        identity = self._runtime.identity
        granted, rules = self._granted(roles, self._reader(member.name, member.teams))
        named = [identity.schemes.normalised(parse_identifier(i)) for i in member.identifiers]
        points = tuple(dict.fromkeys(identity.point_of(i.scheme, i.value) for i in named))
        return Rights(
            staff=member,
            looker=Looker(
                actor=f"staff:{member.name}",
                role=",".join(role.name for role in roles),
                alarm_above=max((role.alarm_above for role in roles), default=0),
            ),
            bulk_above=max((role.bulk_above for role in roles), default=0),
            granted=granted,
            rules=rules,
            points=points,
            about=self._about(rules),
            page=self._page(granted, rules),
            own=select(identifier.c.customer_id).where(identifier.c.point.in_(points)).distinct(),
        )

    def _reader(self, name: str = "", teams: tuple[str, ...] = ()) -> Reader:
        """Return who rules are read for; nobody, where it is only asked whether they can be."""
        assembly = self._runtime.assembly
        return Reader(
            name=name, teams=teams, traits=assembly.traits, lifecycles=assembly.lifecycles
        )

    def _granted(
        self, roles: Iterable[Role], reader: Reader
    ) -> tuple[list[Granted], list[ColumnElement[bool]]]:
        """Return what roles grant, and the conditions that grants name by their place."""
        granted: list[Granted] = []
        rules: list[ColumnElement[bool]] = []
        for role in roles:
            for grant in role.grants:
                place = None
                if grant.rows is not None:
                    place = len(rules)
                    rules.append(reader.compile(grant.rows, _NOW))
                granted.append(
                    Granted(
                        actions=frozenset(_known("action", grant.actions, ACTIONS)),
                        fields=frozenset(self._fields(grant.fields)),
                        rule=place,
                    )
                )
        return granted, rules

    def _role(self, name: str) -> Role:
        if name not in self._roles:
            raise ConfigurationError(
                f"no role is named {name!r}{nearest(name, self._roles)}; there are: "
                f"{', '.join(sorted(self._roles)) or 'none'}"
            )
        return self._roles[name]

    def _fields(self, names: Sequence[str]) -> Iterable[str]:
        schemes = [scheme.name for scheme in self._runtime.identity.schemes]
        groups = {ALL: self.fields, "identifiers": schemes, "contact": CONTACT}
        for name in _known("field", names, [*groups, *self.fields]):
            yield from groups.get(name, (name,))

    def _about(self, rules: Sequence[ColumnElement[bool]]) -> Select[Any]:
        holds = [case((each, literal_column("1")), else_=literal_column("0")) for each in rules]
        among = self._runtime.database.portable.is_in(customer.c.customer_id, "customers")
        return select(customer.c.customer_id, *holds).where(among)

    def _page(
        self, granted: Sequence[Granted], rules: Sequence[ColumnElement[bool]]
    ) -> Select[Any]:
        is_in = self._runtime.database.portable.is_in
        return (
            select(customer.c.customer_id)
            .where(
                customer.c.customer_id > bindparam("after"),
                customer.c.merged_into.is_(None),
                customer.c.erased_at.is_(None),
                ~is_in(customer.c.customer_id, "closed"),
                _union(granted, rules, "list"),
            )
            .order_by(customer.c.customer_id)
            .limit(bindparam("most"))
        )


def _union(
    granted: Sequence[Granted],
    rules: Sequence[ColumnElement[bool]],
    action: str,
    name: str | None = None,
) -> ColumnElement[bool]:
    """Return the condition that one of the grants has *action*, for the field if one is named."""
    fitting = [g for g in granted if action in g.actions and (name is None or name in g.fields)]
    return or_(false(), *(true() if g.rule is None else rules[g.rule] for g in fitting))


def _any_of(rights: Rights, action: str, name: str) -> ColumnElement[bool]:
    return _union(rights.granted, rights.rules, action, name)


def _ends(connection: Connection, name: str, customers: Collection[int]) -> set[int]:
    """Return whom a relation ties to one of the customers, and those of them it ties."""
    statement = connection.database.once("related to many", lambda: _related(connection))
    rows = connection.execute(statement, name=name, these=json_list(sorted(customers)))
    return {end for row in rows for end in row}


def _related(connection: Connection) -> Select[Any]:
    is_in = connection.database.portable.is_in
    theirs = or_(is_in(relation.c.customer_id, "these"), is_in(relation.c.other_id, "these"))
    ends = select(relation.c.customer_id, relation.c.other_id)
    return ends.where(relation.c.relation == bindparam("name"), theirs)


def _known(what: str, names: Iterable[str], known: Collection[str]) -> list[str]:
    found = list(names)
    for name in found:
        if name not in known:
            raise ConfigurationError(
                f"there is no {what} {name!r}{nearest(name, known)}; there are: {', '.join(known)}"
            )
    return found


def _by_name(what: str, values: Iterable[Any], wanted: type[Any]) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for each in listed(what, values, f"a list of {wanted.__name__}"):
        if not isinstance(each, wanted):
            raise ConfigurationError(f"{what} has {each!r}; {wanted.__name__}(...) is expected")
        needed_text(f"the name of one of {what}", each.name, most=100)
        if each.name in found:
            raise ConfigurationError(f"{what} has {each.name!r} twice; once is expected")
        if each.name in (ME, MY_TEAMS) or "," in each.name:
            raise ConfigurationError(f"{what} has the name {each.name!r}; another is expected")
        found[each.name] = each
    return found
