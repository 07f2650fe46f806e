"""Parts: the services of one application, assembled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import frozen

from crmcore.domain.retention import RetentionSettings
from crmcore.domain.role import Role, Staff
from crmcore.domain.segments.tree import Condition
from crmcore.services.background.debts import DebtService
from crmcore.services.background.delivery import Delivery
from crmcore.services.background.portion import Begin
from crmcore.services.background.scheduler import Scheduler
from crmcore.services.customers import CustomerService
from crmcore.services.dispatcher import Dispatcher
from crmcore.services.identities.people import People
from crmcore.services.merging.merging import MergeService
from crmcore.services.messaging.consent import ConsentService
from crmcore.services.messaging.delivering import Delivering
from crmcore.services.messaging.gate import GateService
from crmcore.services.messaging.messages import MessageService
from crmcore.services.messaging.standings import Standings
from crmcore.services.privacy.erasure import ErasureService
from crmcore.services.privacy.export import ExportService
from crmcore.services.privacy.retention import Retention
from crmcore.services.recording.lifecycle import LifecycleService
from crmcore.services.recording.recorder import Recorder
from crmcore.services.recording.why import WhyService
from crmcore.services.runtime import Runtime
from crmcore.services.segments.segments import SegmentService
from crmcore.services.staff.looking import Looking
from crmcore.services.staff.pages import Pages
from crmcore.services.staff.roles import RoleService
from crmcore.services.staff.tasking import TaskService
from crmcore.services.transaction import Transaction
from crmcore.services.unit import Unit


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
    consents: ConsentService
    gate: GateService
    standings: Standings
    messages: MessageService
    delivering: Delivering
    tasks: TaskService
    roles: RoleService
    looking: Looking
    exports: ExportService
    erasures: ErasureService
    retention: Retention
    pages: Pages
    why: WhyService
    segments: SegmentService
    transaction: Callable[[Unit], Transaction]
    """Returns a unit of work as the shop sees it."""

    @classmethod
    def of(
        cls,
        runtime: Runtime,
        begin: Begin,
        roles: Iterable[Role] = (),
        staff: Iterable[Staff] = (),
        retention: RetentionSettings | None = None,
        segments: Mapping[str, str | Condition] | None = None,
        families: Mapping[str, Iterable[str]] | None = None,
    ) -> Parts:
        """Assemble the services; *begin* opens a transaction of their own."""
        dispatcher = Dispatcher(runtime)
        lifecycles = [
            LifecycleService(each, runtime, dispatcher)
            for each in runtime.assembly.lifecycles.values()
        ]
        named = runtime.late.segments = SegmentService.of(runtime, segments or {}, families or {})
        gate = GateService(runtime, dispatcher)
        messages = runtime.late.messages = MessageService(runtime, gate)
        recorder = Recorder(runtime, dispatcher, lifecycles)
        debts = DebtService(runtime, recorder, begin)
        people = People.of(runtime, MergeService(runtime, dispatcher, debts, lifecycles))
        tasks = TaskService(runtime, recorder, people, begin)
        scheduler = Scheduler(runtime, recorder, lifecycles, begin, tasks)
        customers = CustomerService(runtime, dispatcher)
        rights = RoleService(runtime, roles, staff)
        erasures = ErasureService(runtime, debts, lifecycles)
        return cls(
            dispatcher=dispatcher,
            lifecycles=lifecycles,
            recorder=recorder,
            debts=debts,
            scheduler=scheduler,
            delivery=Delivery(runtime, recorder, begin),
            people=people,
            customers=customers,
            consents=ConsentService(runtime),
            gate=gate,
            standings=Standings(runtime, gate),
            messages=messages,
            delivering=Delivering(runtime, messages, recorder, dispatcher, begin),
            tasks=tasks,
            roles=rights,
            looking=Looking(people, rights),
            exports=ExportService(runtime, customers),
            erasures=erasures,
            retention=Retention(
                runtime, retention or RetentionSettings(), begin, erasures.forget_again
            ),
            pages=Pages(runtime, customers),
            why=WhyService(runtime.ledger),
            segments=named,
            transaction=lambda unit: Transaction(unit, recorder, scheduler, people, tasks),
        )
