"""What all services of one application share, for as long as it lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from crmcore.domain.clock import Calendar, Clock
from crmcore.domain.gate import GateSettings
from crmcore.errors import ModeError
from crmcore.persistence.database import Database
from crmcore.services.checkups.hook_times import HookTimes
from crmcore.services.identities.identity import IdentityService
from crmcore.services.recording.folds import Folds
from crmcore.services.recording.ledger import Ledger
from crmcore.services.starting.assembly import Assembly

if TYPE_CHECKING:
    from crmcore.services.messaging.messages import MessageService


@define(eq=False)
class Late:
    """Services that hooks reach through their context, and that need the runtime themselves."""

    messages: MessageService | None = None


@frozen(kw_only=True, eq=False)
class Runtime:
    """The parts of one application that have no state of any customer or transaction."""

    database: Database
    assembly: Assembly
    identity: IdentityService
    ledger: Ledger
    folds: Folds
    calendar: Calendar
    clock: Clock
    critical: frozenset[str] = frozenset()
    """Plugins whose exceptions the shop wants raised, not isolated."""

    gate: GateSettings = field(factory=GateSettings)
    """What the shop has set for the send gate."""
    late: Late = field(factory=Late)
    times: HookTimes = field(factory=HookTimes)
    """What hooks of plugins cost in this process."""

    @property
    def messages(self) -> MessageService:
        """What plans messages; it is there as soon as the services are."""
        if self.late.messages is None:
            raise ModeError("messages cannot be sent before the application has been assembled")
        return self.late.messages

    @property
    def currency(self) -> str:
        return self.ledger.currency
