"""Asking: what is known of customers, and why."""

from __future__ import annotations

from typing import TypeVar

from crmcore.app.opened import Opened
from crmcore.domain.arguments import check_whole
from crmcore.domain.identity import Identifier, Known
from crmcore.errors import ConfigurationError, InputError, PluginError
from crmcore.hooks import Plugin, ReportResult
from crmcore.services.customers import CustomerView
from crmcore.services.recording.why import Decision, StageStep
from crmcore.services.transaction import find_plugin

PluginT = TypeVar("PluginT", bound=Plugin)


class Asking(Opened):
    """The part of `Crm` that answers."""

    def find_customer(self, identifier: Identifier) -> int | None:
        """
        Return the id of the customer known by *identifier*, or None.

        Raises:
            InputError: If it is no identifier, or of a scheme that there is not.
        """
        if not isinstance(identifier, Identifier):
            raise InputError(
                f"{identifier!r} is no identifier; one such as "
                "Identifier('email', 'ada@example.com') is expected"
            )
        schemes = self._runtime.identity.schemes
        scheme = schemes[identifier.scheme].name
        found = schemes.normalised(identifier)
        key = (scheme, found.value)
        with self._read() as unit:
            return self._runtime.identity.find(unit.connection, [key]).get(key)

    def customer(self, known: Known, *, most: int = 50) -> CustomerView:
        """Return what is known of a customer, with the *most* latest interactions."""
        check_whole("most", most, least=0)
        customer_id = self._id_of(known)
        with self._read() as unit:
            view = self._parts.customers.view(unit, customer_id, most=most)
        self._note_raised(unit)
        return view

    def why_stages(self, known: Known) -> list[StageStep]:
        """Return a customer's way through the stages, each step with its reason and causes."""
        customer_id = self._id_of(known)
        with self._read() as unit:
            return self._parts.why.stages(unit.connection, customer_id)

    def why_decisions(self, known: Known) -> list[Decision]:
        """Return what plugins decided about a customer, each decision with its causes."""
        customer_id = self._id_of(known)
        with self._read() as unit:
            return self._parts.why.decisions(unit.connection, customer_id)

    def report(self, name: str) -> ReportResult:
        """
        Return what the report of that name finds in the present state.

        Raises:
            ConfigurationError: If there is no such report.
            PluginError: If it raises, or finds something else than a `ReportResult`.
        """
        reports = self._runtime.assembly.reports
        if name not in reports:
            raise ConfigurationError(
                f"no report is named {name!r}; there are: {', '.join(sorted(reports)) or 'none'}"
            )
        owner = self._owner_of_report(name)
        found: object = None
        with self._read() as unit:
            try:
                found = reports[name].run(unit.context(owner))
            except Exception as error:
                unit.raised.append((owner.name, "report", error))
        self._note_raised(unit)
        for _, _, cause in unit.raised:
            raise PluginError(
                owner.name, f"report {name!r} raised {type(cause).__name__}: {cause}"
            ) from cause
        if not isinstance(found, ReportResult):
            raise PluginError(owner.name, f"report {name!r} gave {found!r}, ReportResult expected")
        return found

    def plugin(self, wanted: type[PluginT]) -> PluginT:
        """Return the plugin of that class."""
        return find_plugin(self._runtime.assembly, wanted)

    def _owner_of_report(self, name: str) -> Plugin:
        register = self._runtime.assembly.of(Plugin.register_reports)
        return next(
            plugin for plugin, reports in register if name in {report.name for report in reports()}
        )
