"""Crm: plugins assembled over a database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import signature
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from crmcore.app.asking import Asking
from crmcore.app.checking import check_critical, make_runtime
from crmcore.app.consenting import ConsentingOfCrm
from crmcore.app.desks import DesksOfCrm
from crmcore.app.messaging import Messaging
from crmcore.app.parts import Parts
from crmcore.app.people import PeopleOfCrm
from crmcore.app.privacy import PrivacyOfCrm
from crmcore.app.recording import Recording
from crmcore.app.segments import SegmentsOfCrm
from crmcore.app.snapshots import SnapshotsOfCrm
from crmcore.app.starting import start
from crmcore.app.tasks import TasksOfCrm
from crmcore.app.upkeep import Upkeep
from crmcore.configuration import load_configuration
from crmcore.domain.arguments import check_callable, check_instance, check_text, listed
from crmcore.domain.clock import Calendar, Clock, SystemClock
from crmcore.domain.gate import GateSettings
from crmcore.domain.identity import IdentitySettings
from crmcore.domain.lifecycle import Lifecycle
from crmcore.domain.relationship import RelationshipSettings, relationship
from crmcore.domain.retention import RetentionSettings
from crmcore.domain.role import Role, Staff
from crmcore.domain.segments.tree import Condition
from crmcore.errors import ConfigurationError, nearest
from crmcore.hooks import Plugin, Stopping
from crmcore.persistence.database import Database
from crmcore.services.starting import catalogue
from crmcore.services.starting.assembly import Assembly
from crmcore.services.starting.shadows import check_shadow


class Crm(
    Recording,
    Asking,
    PeopleOfCrm,
    ConsentingOfCrm,
    TasksOfCrm,
    DesksOfCrm,
    SegmentsOfCrm,
    SnapshotsOfCrm,
    Messaging,
    PrivacyOfCrm,
    Upkeep,
):
    """
    A shop's customer relations: plugins over one database.

    >>> with Crm("sqlite://", currency="EUR") as crm:
    ...     order = crm.record("order.placed", email="ada@example.com", amount="19.90")
    ...     print(crm.customer(order.customer_id).stages[0].stage)
    ordering
    """

    def __init__(
        self,
        url: str,
        *,
        plugins: Iterable[Plugin] = (),
        currency: str = "EUR",
        zone: str = "UTC",
        relationship_settings: RelationshipSettings | None = None,
        identity: IdentitySettings | None = None,
        gate: GateSettings | None = None,
        critical: Iterable[str] = (),
        shadow: Iterable[str] = (),
        clock: Clock | None = None,
        durable: bool = True,
        secret: str | None = None,
        partitions: int = 0,
        roles: Iterable[Role] = (),
        staff: Iterable[Staff] = (),
        retention: RetentionSettings | None = None,
        segments: Mapping[str, str | Condition] | None = None,
        families: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        """
        Assemble plugins over the database at *url*, creating the tables it lacks.

        Args:
            url: As SQLAlchemy takes it, such as `sqlite:///shop.db`.
            plugins: Objects of plugins, each with its settings; their order is found by itself.
            currency: The shop's own; every amount is also counted in it. Fixed with the first use.
            zone: IANA name of the shop's time zone: its days start at midnight there.
            relationship_settings: The numbers of the `relationship` lifecycle.
            identity: What identifiers are blocked, how many one customer may have, and which
                prove that two customers are one.
            gate: What messages need to go, how many go at most, in which hours none does, and
                who is left out to see what they bring about.
            critical: Names of plugins whose exceptions are to abort the shop's transaction.
            shadow: Names of plugins that decide, and whose decisions are kept on record only.
            clock: What tells the time; the machine's own unless something is tried or tested.
            durable: False gives up safety against power failure, for scratch databases.
            secret: Keys the hashes of addresses in keys; by default the database's own.
            partitions: PostgreSQL: how many hash partitions customer tables are created with;
                fixed with the first use. 0 is as many as the database has, or none.
            roles: What staff may do.
            staff: Who has which of the roles; see `desk`.
            retention: For how long personal values are kept, by kind; without it, until erased.
            segments: Texts or trees of segments, by the name the shop gives them.
            families: Kinds that segments know by a name of their own, such as
                `{"purchases": ["order.placed", "till.sold"]}`.

        Raises:
            ConfigurationError: If a value is not right.
            PluginError: If a plugin is not right; names it.
            OutdatedSchemaError: If the database is from an older version; `migrate` it first.
            SchemaError: If the database is from a newer version.
        """
        check_instance("url", url, str, "a URL such as 'sqlite:///shop.db'")
        check_callable(
            "clock.now", getattr(clock or SystemClock(), "now", clock), "SystemClock().now"
        )
        check_instance("identity", identity, IdentitySettings, "IdentitySettings(...)")
        check_instance("gate", gate, GateSettings, "GateSettings(...)")
        check_instance(
            "relationship_settings",
            relationship_settings,
            RelationshipSettings,
            "RelationshipSettings(...)",
        )
        check_instance("retention", retention, RetentionSettings, "RetentionSettings(...)")
        check_text("secret", secret)
        check_instance("segments", segments, Mapping, "a table of texts by name")
        check_instance("families", families, Mapping, "a table of lists of kinds by name")
        plugins = listed("plugins", plugins, "a list of plugins")
        critical = listed("critical", critical, "a list of plugins' names")
        lifecycle: Lifecycle = relationship(relationship_settings)
        assembly = Assembly(plugins, [lifecycle], identity)
        shadow = listed("shadow", shadow, "a list of plugins' names")
        check_shadow(assembly, shadow)
        check_critical(assembly, critical)
        Calendar.named(zone)  # refused before a database is made
        clock = clock or SystemClock()
        database = Database(url, durable=durable)
        try:
            kept = catalogue.open_schema(database, clock.now(), partitions)
        except BaseException:
            database.close()
            raise
        self._runtime = make_runtime(
            database,
            assembly,
            secret or kept,
            currency=currency,
            zone=zone,
            clock=clock,
            critical=critical,
            shadow=shadow,
            gate=gate,
        )
        self._closed = False
        try:
            self._parts = Parts.of(
                self._runtime, self._open_beside, roles, staff, retention, segments, families
            )
            self._retrying(lambda unit: start(self._runtime, self._parts, unit))
        except BaseException:
            database.close()
            raise

    @classmethod
    def from_config(cls, path: str | Path = "crm.toml", **overrides: Any) -> Self:
        """
        Assemble what a crm.toml says; *overrides* are arguments of `Crm` that replace it.

        Plugins are found by entry point, group `crmcore.plugins`. A relative SQLite path is
        relative to the file.

        Raises:
            ConfigurationError: Names the file, the setting and the nearest right name.
        """
        known = [name for name in signature(cls).parameters if name != "self"]
        for name in overrides:
            if name not in known:
                raise ConfigurationError(f"Crm has no argument {name!r}{nearest(name, known)}")
        return cls(**{**load_configuration(Path(path)).arguments(), **overrides})

    def close(self) -> None:
        """Let plugins make an end, and close the database."""
        if self._closed:
            return
        if self._worker is not None:
            self._worker.stop()
        self._closed = True
        try:
            self._stop_plugins()
            self._save_times()
        finally:
            self._runtime.database.close()

    def _stop_plugins(self) -> None:
        stopping = self._runtime.assembly.of(Plugin.on_stopping)
        if stopping:
            with self._begin() as unit:
                for plugin, stop in stopping:
                    self._parts.dispatcher.isolated(
                        unit,
                        plugin,
                        stopping.name,
                        lambda stop=stop, plugin=plugin: stop(unit.context(plugin), Stopping()),  # type: ignore[misc]
                    )
                self._parts.recorder.record_decisions(unit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
