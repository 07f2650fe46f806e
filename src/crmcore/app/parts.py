"""Parts: the services of one application, assembled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from crmcore.services.customers import CustomerService
from crmcore.services.debts import DebtService
from crmcore.services.delivery import Delivery
from crmcore.services.dispatcher import Dispatcher
from crmcore.services.lifecycle import LifecycleService
from crmcore.services.merging import MergeService
from crmcore.services.people import People
from crmcore.services.portion import Begin
from crmcore.services.recorder import Recorder
from crmcore.services.runtime import Runtime
from crmcore.services.scheduler import Scheduler
from crmcore.services.transaction import Transaction
from crmcore.services.unit import Unit
from crmcore.services.why import WhyService


@frozen(kw_only=True, eq=False)
class Parts:
    """The services of one application; none has the state of a transaction."""

    dispatcher: Dispatcher
    lifecycles: Sequence[LifecycleService]
    recorder: Recorder
    debts: DebtService
    scheduler: Scheduler
    delivery: Delivery
    people: People
    customers: CustomerService
    why: WhyService
    transaction: Callable[[Unit], Transaction]
    """Returns a unit of work as the shop sees it."""

    @classmethod
    def of(cls, runtime: Runtime, begin: Begin) -> Parts:
        """Assemble the services; *begin* opens a transaction of their own."""
        dispatcher = Dispatcher(runtime)
        lifecycles = [
            LifecycleService(each, runtime, dispatcher)
            for each in runtime.assembly.lifecycles.values()
        ]
        recorder = Recorder(runtime, dispatcher, lifecycles)
        debts = DebtService(runtime, recorder, begin)
        scheduler = Scheduler(runtime, recorder, lifecycles, begin)
        people = People.of(runtime, MergeService(runtime, dispatcher, debts, lifecycles))
        return cls(
            dispatcher=dispatcher,
            lifecycles=lifecycles,
            recorder=recorder,
            debts=debts,
            scheduler=scheduler,
            delivery=Delivery(runtime, recorder, begin),
            people=people,
            customers=CustomerService(runtime, dispatcher),
            why=WhyService(runtime.ledger),
            transaction=lambda unit: Transaction(unit, recorder, scheduler, people),
        )
