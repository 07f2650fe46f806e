"""Holdings: what plugins keep besides their tables, and what of it could not be reached."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Final

from sqlalchemy import bindparam, select, update

from crmcore.hooks import CustomerErased, Erasure, Plugin
from crmcore.persistence.connection import Connection
from crmcore.persistence.privacy import erasure
from crmcore.persistence.settings import ERASING, read_names
from crmcore.services.privacy.fates import Unreached, answers_of, as_told, from_told, told_by
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

_last: Final = (
    select(erasure.c.erasure_id, erasure.c.outcome)
    .where(erasure.c.customer_id == bindparam("who"))
    .order_by(erasure.c.erasure_id.desc())
    .limit(1)
)
_tell: Final = (
    update(erasure)
    .where(erasure.c.erasure_id == bindparam("which"))
    .values(outcome=bindparam("told"))
)


class Holdings:
    """Asks plugins to let go of what they hold; who is switched off cannot be asked."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._erases = runtime.assembly.of(Plugin.erase_customer)

    def absent(self, connection: Connection) -> tuple[str, ...]:
        """Return the plugins that were here, hold something besides tables, and are not here."""
        here = {plugin.name for plugin in self._runtime.assembly}
        return tuple(sorted(read_names(connection, ERASING) - here))

    def asked(
        self,
        unit: Unit,
        people: Sequence[int],
        *,
        planned: bool,
        among: Container[str] | None = None,
    ) -> Iterator[tuple[str, Erasure]]:
        """
        Yield what plugins say becomes of what they hold; of *among* them, if given.

        Raises:
            PluginError: If one raises, or answers something else.
        """
        for plugin, erase in self._erases:
            for who in people if among is None or plugin.name in among else ():
                event = CustomerErased(customer_id=who, planned=planned)
                answers = answers_of(
                    plugin,
                    lambda e=erase, p=plugin, v=event: e(unit.context(p), v),  # type: ignore[misc]
                )
                for each in answers:
                    yield plugin.name, each

    def away(self, connection: Connection, customer_id: int) -> Unreached:
        """Return what is said of those who are not here, where a customer is being erased."""
        return {
            name: [
                f"plugin {name!r} keeps something of its own and is not here; switch it on and "
                f"erase customer {customer_id} again"
            ]
            for name in self.absent(connection)
        }

    def ask_again(self, unit: Unit, customer_id: int) -> Sequence[str]:
        """
        Ask those who could not let go of everything; returns what cannot be reached yet.

        Raises:
            PluginError: If one raises; nothing is changed then.
        """
        ((erasure_id, told),) = unit.connection.execute(_last, who=customer_id)
        merged, outcomes, before = from_told(told)
        if not before:
            return ()
        away = self.away(unit.connection, customer_id)
        left: Unreached = {name: said for name, said in away.items() if name in before}
        for plugin, each in self.asked(unit, [customer_id, *merged], planned=False, among=before):
            if each.count:
                outcomes.append(told_by(plugin, each))
            if each.unverified:
                left.setdefault(plugin, []).extend(each.unverified)
        unit.connection.change(_tell, which=erasure_id, told=as_told(merged, outcomes, left))
        return [sentence for said in left.values() for sentence in said]
