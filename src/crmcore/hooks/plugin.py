"""Where plugins say what they bring, start, stop, and rebuild what they keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from crmcore.domain.kind import Kind
from crmcore.domain.lifecycle import Lifecycle
from crmcore.domain.trait import Trait
from crmcore.hooks.markers import hookspec
from crmcore.hooks.selection import CustomerList, Everyone

if TYPE_CHECKING:
    from crmcore.hooks.context import Context


@frozen
class Curve:
    """
    A line to be drawn.

    Attributes:
        title: What is seen, in a few words.
        points: The x and y of each point, from left to right.
        x_label: What the horizontal axis shows, with its unit.
        y_label: The same for the vertical one.
    """

    title: str
    points: Sequence[tuple[float, float]]
    x_label: str = ""
    y_label: str = ""


@frozen(kw_only=True)
class ReportResult:
    """
    What a report found.

    Attributes:
        figures: Named values that JSON can hold; ratios from 0 to 1, unrounded.
        curves: What people would rather see than read.
        captions: A readable name, and unit, for a figure's name.
        headline: What was found, in a sentence or two with their numbers, as one would tell it.
    """

    figures: Mapping[str, Any]
    curves: tuple[Curve, ...] = ()
    captions: Mapping[str, str] = field(factory=dict)
    headline: str = ""


@frozen(kw_only=True)
class Report:
    """
    A named report over the present state.

    Attributes:
        name: After the plugin's, such as `tiering.pareto`, by which `crm.report` finds it.
        description: What it finds, in a sentence.
        run: Gets the context of a transaction that only reads, and returns what it found.
    """

    name: str = field(kw_only=False)
    description: str
    run: Callable[[Context], ReportResult]


@frozen
class Started:
    """
    The application has been assembled and its tables are there.

    Attributes:
        has_missed: Whether anything was recorded while the plugin was not there, or acted in
            shadow while it is not now, or the other way round. Its derived tables are made anew
            of it; what it would have decided it has to find out.
    """

    has_missed: bool = False


@frozen
class Stopping:
    """The application is being closed."""


@frozen
class CustomersRecompute:
    """
    Derived rows of some customers are to be made anew from the ledger.

    Attributes:
        selection: Of which customers, and up to which interaction; for `ctx.clear` and `ctx.fold`.
    """

    selection: CustomerList | Everyone


class PluginHooks:
    """Where plugins say what they bring, start, stop, and rebuild what they keep."""

    @hookspec
    def register_kinds(self) -> Iterable[Kind]:
        """Contribute kinds of interactions; called once, at start. Raising stops the start."""

    @hookspec
    def register_lifecycles(self) -> Iterable[Lifecycle]:
        """Contribute lifecycles; called once, at start. Raising stops the start."""

    @hookspec
    def register_traits(self) -> Iterable[Trait[Any]]:
        """Contribute traits; called once, at start. Raising stops the start."""

    @hookspec
    def register_reports(self) -> Iterable[Report]:
        """Contribute reports; called once, at start. Raising stops the start."""

    @hookspec
    def on_started(self, ctx: Context, event: Started) -> None:
        """
        Make ready, such as by setting the first timer; in a transaction of its own.

        Called at every start, so find out whether it was done before. Raising stops the start.
        """

    @hookspec
    def on_stopping(self, ctx: Context, event: Stopping) -> None:
        """
        Make an end, in a transaction of its own.

        Called when the application is closed. If the plugin raises, it leaves a fault and
        the others are called all the same.
        """

    @hookspec
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        """
        Make the plugin's derived rows of these customers anew, from the ledger alone.

        Called when debt is paid and on a rebuild, in the transaction. `ctx.clear`, then the
        same folds as live. Recording and setting timers raise here. If the plugin raises, the
        customers stay in debt.
        """
