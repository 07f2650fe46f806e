"""A trial as people read it: what happened, strategy by strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from crmcore.cli.terminal.charts import bar, curve, sparkline
from crmcore.cli.terminal.page import Page
from crmcore.cli.terminal.walk import Walk
from crmcore.cli.terminal.words import day, figure, plural, readable, share
from crmcore.domain.clock import Calendar
from crmcore.domain.relationship import STAGES
from crmcore.errors import HistoryError
from crmcore.hooks import Curve, ReportResult
from crmcore.replay.figures import (
    HistoryFigures,
    MessageFigures,
    RelationshipFigures,
    RunFigures,
)
from crmcore.replay.trial import Trial

CURVE_ROWS: Final = 12
WIDEST: Final = 100
"""Charts and bars do not grow with a wider terminal."""

_PROBLEMS_SHOWN: Final = 10


def show_trial(page: Page, trial: Trial) -> None:
    """Write what came of a trial."""
    _show_history(page, trial.history)
    _show_relationship(page, trial.relationship)
    _show_messages(page, trial.messages)
    for name, result in trial.reports.items():
        page.heading(name, trial.descriptions.get(name, ""))
        _show_report(page, result, trial.currency)
    for name, error in trial.missing.items():
        page.heading(name, trial.descriptions.get(name, ""))
        page.say(f"The report is missing, as it raised {error}.", "bad")
    _show_faults(page, trial.run)


def show_example(page: Page, trial: Trial, calendar: Calendar) -> None:
    """Write why one customer of the trial is treated as they are."""
    if trial.example is None:
        return
    walk = Walk(page, trial.currency, calendar)
    page.heading("one customer, and why")
    walk.show_customer(trial.example.view)
    page.gap()
    walk.show(trial.example.stages, trial.example.decisions, with_causes=False)


def _show_history(page: Page, history: HistoryFigures) -> None:
    told = (
        f"{plural(history.interactions, 'interaction')} of "
        f"{plural(history.customers, 'customer')}, from {day(history.first_at)} to "
        f"{day(history.last_at)}"
    )
    page.heading("history", history.name)
    page.say(f"{told}.")
    asides = [
        (history.rows_left_out, "left out, as the mapping says"),
        (history.rows_repeated + history.repeated, "said again what was said before"),
    ]
    for count, what in asides:
        if count:
            page.say(f"{plural(count, 'row')} of {history.rows_read:,} {what}.", "dim")
    show_problems(page, history.problems)


def show_problems(page: Page, problems: Sequence[HistoryError]) -> None:
    """Write which rows of a history were skipped, and why."""
    if not problems:
        return
    page.say(f"Not right, and so skipped: {plural(len(problems), 'row')}.", "bad")
    for problem in problems[:_PROBLEMS_SHOWN]:
        page.item(f"  line {problem.line}", problem.problem, indent=14)
    if len(problems) > _PROBLEMS_SHOWN:
        page.say(f"... and {len(problems) - _PROBLEMS_SHOWN:,} more; --json tells of all.")


def _show_messages(page: Page, figures: MessageFigures) -> None:
    if not figures.planned:
        return
    page.heading("messages", "What would have been said; nobody received any of it.")
    sent = figures.states.get("accepted", 0)
    held = sum(figures.withheld.values())
    others = figures.planned - sent - held
    told = f"Of {plural(figures.planned, 'message')} {sent:,} would have gone"
    told += f", and the gate withheld {held:,}"
    page.say(f"{told}; {others:,} still wait." if others else f"{told}.", "bold")
    if figures.withheld:
        page.gap()
        page.table(
            [("withheld by", "left"), ("messages", "right"), ("", "right")],
            [
                (gate, f"{count:,}", share(count, figures.planned))
                for gate, count in sorted(figures.withheld.items(), key=lambda each: -each[1])
            ],
        )


def _show_relationship(page: Page, figures: RelationshipFigures) -> None:
    page.heading("relationship", "Which stage every customer is in, and how they came there.")
    most = max(STAGES, key=lambda stage: figures.stages.get(stage.name, 0))
    phases = ", ".join(f"{name} {count:,}" for name, count in figures.phases.items())
    count = figures.stages[most.name]
    page.say(
        f"At the end the largest stage is {readable(most.name)}, with {count:,} of "
        f"{figures.customers:,} customers ({share(count, figures.customers)}): "
        f"{most.description}.",
        "bold",
    )
    page.say(
        f"Customers by phase: {phases}. They changed stage "
        f"{plural(figures.stage_changes, 'time')}, each time for a reason on record."
    )
    page.gap()
    weeks = figures.weeks
    width = min(page.width, WIDEST) - 46
    rows = [
        (
            readable(name),
            sparkline(counts, width, is_unicode=page.is_unicode),
            f"{max(counts):,}",
            f"{figures.stages[name]:,}",
            share(figures.stages[name], figures.customers),
        )
        for name, counts in weeks.stages.items()
        if any(counts)
    ]
    page.table(
        [
            ("stage", "left"),
            (f"{len(weeks.first_days)} weeks, from {weeks.first_days[0]} on", "left"),
            ("at most", "right"),
            ("at the end", "right"),
            ("share", "right"),
        ],
        rows,
    )


def _show_report(page: Page, result: ReportResult, currency: str) -> None:
    if result.headline:
        page.say(result.headline, "bold")
        page.gap()
    currency = str(result.figures.get("currency", currency))
    single = [
        (_caption(name, result.captions), figure(name, value, currency))
        for name, value in result.figures.items()
        if not isinstance(value, Mapping | list | tuple) and name != "currency"
    ]
    if single:
        page.table([("", "left"), ("", "right")], single)
    for name, value in result.figures.items():
        if isinstance(value, Mapping) and value:
            page.gap()
            _show_groups(page, name, value, result.captions.get(name, ""), currency)
    for each in result.curves:
        page.gap()
        _show_curve(page, each)


def _show_groups(
    page: Page, name: str, groups: Mapping[str, Any], caption: str, currency: str
) -> None:
    """Write a figure of several groups, with its shares where they are counts."""
    what = caption or readable(name)
    if not all(type(value) is int and value >= 0 for value in groups.values()):
        rows = [(str(group), figure(name, value, currency)) for group, value in groups.items()]
        page.table([(readable(name), "left"), (what, "right")], rows)
        return
    total = sum(groups.values())
    width = min(page.width, WIDEST) - len(what) - max(map(len, [name, *groups])) - 15
    page.table(
        [(readable(name), "left"), (what, "right"), ("share", "right"), ("", "left")],
        [
            (
                str(group),
                figure(name, count, currency),
                share(count, total),
                bar(count / total if total else 0, width, is_unicode=page.is_unicode),
            )
            for group, count in groups.items()
        ],
    )


def _show_curve(page: Page, each: Curve) -> None:
    width = min(page.width, WIDEST) - 2
    drawn = curve(each.points, width, CURVE_ROWS, is_unicode=page.is_unicode)
    page.put([(each.title, "bold")])
    if each.y_label:
        page.put([(f"  {each.y_label}", "dim")])
    for line in drawn:
        page.put([(line, "accent")])
    if each.x_label:
        page.put([(f"{each.x_label:>{width}}", "dim")])


def _caption(name: str, captions: Mapping[str, str]) -> str:
    # Money is shown in major units, so what the caption says of its unit does not hold here.
    return captions.get(name, readable(name)).replace(", in minor units", "")


def _show_faults(page: Page, run: RunFigures) -> None:
    if not (run.faults or run.debts or run.parked_timers):
        return
    page.heading("what went wrong")
    for plugin, fault in run.faults.items():
        page.say(f"{plugin} raised {plural(fault.count, 'time')}, last {fault.latest}.", "bad")
    for plugin, count in run.debts.items():
        page.say(f"{plugin} still owes work for {plural(count, 'customer')}.", "bad")
    for plugin, count in run.parked_timers.items():
        page.say(f"{plugin} failed too often on {plural(count, 'timer')}.", "bad")


def show_cost(page: Page, trial: Trial, afterwards: str = "Nothing was kept.") -> None:
    """Write what the trial took, and what is left of it."""
    run = trial.run
    page.gap()
    page.say(
        f"Replayed in {run.cpu_seconds:.1f} CPU seconds: {plural(run.batches, 'batch', 'batches')}"
        f", {plural(run.instants, 'instant')} at which something fell due. {afterwards}",
        "dim",
    )
