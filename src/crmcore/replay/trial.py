"""Trials: what a configuration would have made of a history, found out in a scratch database."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import attrs
from attrs import frozen

from crmcore.app import Crm
from crmcore.configuration import Configuration
from crmcore.domain.clock import VirtualClock, to_instant
from crmcore.domain.kind import KindRegistry
from crmcore.domain.relationship import relationship
from crmcore.errors import ConfigurationError, HistoryError
from crmcore.hooks import Plugin, ReportResult
from crmcore.replay.figures import (
    HistoryFigures,
    MessageFigures,
    RelationshipFigures,
    RunFigures,
    find_example,
    message_figures,
    relationship_figures,
    run_figures,
)
from crmcore.replay.history import History
from crmcore.replay.replayer import Progress, Replayed, Replayer
from crmcore.services.customers import CustomerView
from crmcore.services.recording.why import Decision, StageStep
from crmcore.services.starting.assembly import Assembly

OWN_TABLES: Final = ("history", "relationship", "messages", "run")
"""What a trial says itself, beside the reports of plugins."""

_SECRET: Final = "of a scratch database, which keeps nothing that has to be kept from anybody"


@frozen(kw_only=True)
class Example:
    """One customer of a trial: who they are, and why they are treated as they are."""

    view: CustomerView
    stages: tuple[StageStep, ...]
    decisions: tuple[Decision, ...]


@frozen(kw_only=True)
class Trial:
    """
    What a configuration would have made of a history.

    Attributes:
        currency: The shop's, in which amounts are counted.
        reports: What every registered report found, by its name.
        descriptions: What each report is about.
        missing: What reports raised that could not be made, by their names.
        example: A customer about whom the plugins decided something several times, if there is
            one; of the same history always the same.
    """

    currency: str
    history: HistoryFigures
    relationship: RelationshipFigures
    messages: MessageFigures
    run: RunFigures
    descriptions: Mapping[str, str]
    reports: Mapping[str, ReportResult]
    missing: Mapping[str, str]
    example: Example | None

    def to_json(self) -> dict[str, Any]:
        """
        Return a dict that JSON can hold: `history`, `relationship`, `run`, and the reports.

        Each report stands under its own name; ratios are from 0 to 1, unrounded. `messages` is
        there where anything would have been said.
        """
        said = {"messages": self.messages.to_json()} if self.messages.planned else {}
        return {
            "history": self.history.to_json(),
            "relationship": self.relationship.to_json(),
            **said,
            "run": self.run.to_json(),
            **{name: dict(result.figures) for name, result in self.reports.items()},
            **{name: {"missing": error} for name, error in self.missing.items()},
        }


def kinds_of(configuration: Configuration) -> KindRegistry:
    """Return the kinds that can be recorded with a configuration: the core's and its plugins'."""
    return _assembly_of(configuration).kinds


def try_configuration(
    configuration: Configuration,
    history: History,
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
    into: str | None = None,
) -> Trial:
    """
    Replay a history through a configuration, and return what came of it.

    The configuration's own database is never touched, and its plugins are made anew from their
    settings, so that two trials share nothing. The clock starts at the first interaction.

    Args:
        batch_size: The most interactions in one transaction; it changes no result.
        into: The URL of an empty database to be kept; by default a scratch one is made and removed.

    Raises:
        HistoryError: If the history holds no interaction.
        ConfigurationError: If a report has a name that the trial itself needs.
        PluginError: If a plugin is not right.
    """
    if history.first_at is None:
        raise HistoryError("it holds no interaction to replay", source=history.name)
    for name in _assembly_of(configuration).reports:
        if name in OWN_TABLES:
            raise ConfigurationError(f"a report is named {name!r}, which a trial needs for itself")
    began = time.process_time()
    clock = VirtualClock(to_instant(history.first_at))
    with _database(into) as arguments:
        settings = configuration.arguments() | {"plugins": _made_anew(configuration)} | arguments
        with Crm(**settings, clock=clock) as crm:
            crm.rehearse()
            replayer = Replayer(crm, clock, batch_size=batch_size, progress=progress)
            replayed = replayer.run(history.drafts)
            return _look(crm, history, replayed, began)


def _look(crm: Crm, history: History, replayed: Replayed, began: float) -> Trial:
    reports: dict[str, ReportResult] = {}
    missing: dict[str, str] = {}
    for name in crm.assembly.reports:
        try:
            reports[name] = crm.report(name)
        except Exception as error:  # what the other strategies made of it is still worth knowing
            missing[name] = str(error)
    start = to_instant(history.first_at) if history.first_at else 0
    stages = relationship_figures(crm, start)
    return Trial(
        currency=crm.runtime.currency,
        history=HistoryFigures.of(history, replayed, customers=stages.customers),
        relationship=stages,
        messages=message_figures(crm),
        run=run_figures(crm, replayed, cpu_seconds=time.process_time() - began),
        descriptions={name: each.description for name, each in crm.assembly.reports.items()},
        reports=reports,
        missing=missing,
        example=_example(crm),
    )


def _example(crm: Crm) -> Example | None:
    customer_id = find_example(crm)
    if customer_id is None:
        return None
    return Example(
        view=crm.customer(customer_id),
        stages=tuple(crm.why_stages(customer_id)),
        decisions=tuple(crm.why_decisions(customer_id)),
    )


def _made_anew(configuration: Configuration) -> list[Plugin]:
    """Return plugins of the same settings: what one trial leaves in an object harms no other."""
    return [
        attrs.evolve(plugin) if attrs.has(type(plugin)) else plugin  # type: ignore[misc]
        for plugin in configuration.plugins
    ]


def _assembly_of(configuration: Configuration) -> Assembly:
    return Assembly(_made_anew(configuration), [relationship(configuration.relationship)])


@contextmanager
def _database(into: str | None) -> Iterator[dict[str, Any]]:
    """Yield the arguments of `Crm` that say where a trial takes place."""
    if into is not None:
        yield {"url": into, "durable": False}
        return
    with TemporaryDirectory(prefix="crm-try-", ignore_cleanup_errors=True) as folder:
        url = f"sqlite:///{Path(folder, 'try.db')}"
        yield {"url": url, "durable": False, "secret": _SECRET}
