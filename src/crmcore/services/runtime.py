"""What all services of one application share, for as long as it lives."""

from __future__ import annotations

from attrs import frozen

from crmcore.domain.clock import Calendar, Clock
from crmcore.persistence.database import Database
from crmcore.services.assembly import Assembly
from crmcore.services.folds import Folds
from crmcore.services.identity import IdentityService
from crmcore.services.ledger import Ledger


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

    @property
    def currency(self) -> str:
        return self.ledger.currency
