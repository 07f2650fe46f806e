"""What all services of one application share, for as long as it lives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from attrs import define, field, frozen

from crmcore.domain.clock import Calendar, Clock
from crmcore.domain.gate import GateSettings
from crmcore.domain.shadow import shadow_of
from crmcore.errors import ModeError
from crmcore.persistence.database import Database
from crmcore.services.checkups.hook_times import HookTimes
from crmcore.services.identities.identity import IdentityService
from crmcore.services.recording.folds import Folds
from crmcore.services.recording.ledger import Ledger
from crmcore.services.starting.assembly import Assembly, Compiled

if TYPE_CHECKING:
    from crmcore.services.messaging.messages import MessageService
    from crmcore.services.segments.segments import SegmentService


P = ParamSpec("P")
R = TypeVar("R")


@define(eq=False)
class Late:
    """Services that hooks reach through their context, and that need the runtime themselves."""

    messages: MessageService | None = None
    segments: SegmentService | None = None


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

    shadow: frozenset[str] = frozenset()
    """Plugins that decide, and whose decisions nobody acts on."""

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
    def segments(self) -> SegmentService:
        """Who is in which segment; it is there as soon as the services are."""
        if self.late.segments is None:
            raise ModeError("segments cannot be asked for before the application was assembled")
        return self.late.segments

    def acting_name(self, plugin: str) -> str:
        """Return the name under which a plugin records, sends and adds tasks."""
        return shadow_of(plugin) if plugin in self.shadow else plugin

    def answering(self, spec: Callable[Concatenate[Any, P], R]) -> Compiled[P, R]:
        """Return the implementations of a hook whose answers count: of plugins not in shadow."""
        compiled = self.assembly.of(spec)
        return Compiled(
            compiled.name, tuple(each for each in compiled if each[0].name not in self.shadow)
        )

    def shadow_owner(self, lifecycle: str) -> str | None:
        """Return the plugin in shadow that brings a lifecycle; nobody else is told of it."""
        owner = self.assembly.lifecycle_owners.get(lifecycle)
        return owner if owner in self.shadow else None

    @property
    def currency(self) -> str:
        return self.ledger.currency
