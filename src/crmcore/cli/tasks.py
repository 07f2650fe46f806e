"""`crm tasks` and `crm task`: what staff are to do for customers."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from crmcore.cli.answers import id_json, instant_json, interaction_json
from crmcore.cli.consent import instant_of
from crmcore.cli.customer import known_as
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.words import moment
from crmcore.domain.clock import Calendar, to_datetime
from crmcore.domain.task import DONE, DROPPED, Task, TaskView

if TYPE_CHECKING:
    from crmcore.app import Crm

_WHEN: Final = "DAY|INSTANT"


def task_json(task: Task) -> dict[str, Any]:
    return {
        "task": id_json(task.id),
        "customer": id_json(task.customer_id),
        "plugin": task.plugin or None,
        "key": task.key,
        "title": task.title,
        "note": task.note,
        "owner": task.owner,
        "due_at": instant_json(task.due_instant),
        "escalate_at": instant_json(task.escalate_instant),
        "escalate_to": task.escalate_to,
        "escalated_at": instant_json(task.escalated_instant),
        "done_at": instant_json(task.done_instant),
        "done_by": task.done_by,
        "outcome": task.outcome,
        "reason": task.reason,
    }


def _told(task: Task, calendar: Calendar) -> str:
    """Return a task in a line."""
    due = "" if task.due_instant is None else f", due {moment(task.due_instant, calendar)}"
    owner = task.owner or "nobody"
    ended = "" if task.is_open else f" [{task.outcome} by {task.done_by or 'somebody'}]"
    return f"{task.id}  {task.title} (customer {task.customer_id}, {owner}{due}){ended}"


def _instant(option: str, text: str | None, calendar: Calendar) -> datetime | None:
    """Return the instant that an option gives; a day alone is one of the shop's, as it begins."""
    if text is None:
        return None
    try:
        return to_datetime(calendar.start_of(date.fromisoformat(text)))
    except ValueError:
        return instant_of(option, text)


@click.command
@click.option("--owner", metavar="NAME", help="Only those of a member of staff, or a team.")
@click.option("--customer", metavar="SCHEME:VALUE|ID", help="Only those of a customer.")
@click.option("--due-before", metavar=_WHEN, help="Only those due before then.")
@click.option(
    "--open/--done", "is_open", default=True, help="Those to be done, which is the default."
)
@click.option("--all", "every", is_flag=True, help="Those to be done, and those done.")
@click.option(
    "--most", type=click.IntRange(min=0), default=50, show_default=True, help="How many to list."
)
@config_option
@json_option
@pass_shell
def tasks(
    shell: Shell,
    owner: str | None,
    customer: str | None,
    due_before: str | None,
    is_open: bool,
    every: bool,
    most: int,
    as_json: bool,
) -> None:
    """List what staff are to do for customers, those due first."""
    with shell.open() as crm:
        found = crm.tasks(
            owner=owner,
            customer=None if customer is None else known_as(customer),
            due_before=_instant("--due-before", due_before, crm.runtime.calendar),
            is_open=None if every else is_open,
            most=most,
        )
        calendar = crm.runtime.calendar
    if as_json:
        echo_json({"tasks": [_view_json(each) for each in found]})
        return
    for each in found:
        click.echo(_told(each.task, calendar))
        for fact in each.latest:
            day = calendar.day_of(fact.occurred_instant)
            click.echo(f"      {day} {fact.kind}")
    if not found:
        click.echo("There is nothing to do." if is_open and not every else "There are no tasks.")


def _view_json(each: TaskView) -> dict[str, Any]:
    return {**task_json(each.task), "latest": [interaction_json(fact) for fact in each.latest]}


@click.command
@click.argument("customer", metavar="SCHEME:VALUE|ID")
@click.argument("title")
@click.option("--key", metavar="TEXT", help="Adding a task of the same key again changes nothing.")
@click.option("--note", metavar="TEXT", help="More on it.")
@click.option("--owner", metavar="NAME", help="A member of staff, or a team.")
@click.option("--due", metavar=_WHEN, help="When it is to be done by.")
@click.option("--escalate-at", metavar=_WHEN, help="When it goes to --escalate-to, if not done.")
@click.option("--escalate-to", metavar="NAME", help="A member of staff, or a team.")
@config_option
@json_option
@pass_shell
def add(
    shell: Shell,
    customer: str,
    title: str,
    key: str | None,
    note: str | None,
    owner: str | None,
    due: str | None,
    escalate_at: str | None,
    escalate_to: str | None,
    as_json: bool,
) -> None:
    """
    Add something to be done for a customer.

    An INSTANT has its zone, such as 2030-01-02T09:30:00+01:00; a DAY alone is the shop's, and means
    its beginning.
    """
    with shell.open() as crm:
        task = crm.add_task(
            known_as(customer),
            title,
            key=key,
            note=note,
            owner=owner,
            due_at=_instant("--due", due, crm.runtime.calendar),
            escalate_at=_instant("--escalate-at", escalate_at, crm.runtime.calendar),
            escalate_to=escalate_to,
            actor="cli",
        )
        _answer(task, crm, as_json)


@click.command
@click.argument("task_id", type=click.IntRange(min=1))
@click.option("--outcome", default=DONE, show_default=True, help="What came of it.")
@click.option("--reason", metavar="TEXT", help="Why, for whoever looks at it later.")
@click.option("--drop", is_flag=True, help="It is not to be done any more; needs a --reason.")
@click.option("--by", metavar="NAME", default="cli", show_default=True, help="Who did it.")
@config_option
@json_option
@pass_shell
def done(
    shell: Shell,
    task_id: int,
    outcome: str,
    reason: str | None,
    drop: bool,
    by: str,
    as_json: bool,
) -> None:
    """Note that a task is done, or not to be done any more."""
    if drop and reason is None:
        raise click.UsageError("--drop needs a --reason")
    with shell.open() as crm:
        task = crm.finish_task(task_id, DROPPED if drop else outcome, reason=reason, actor=by)
        _answer(task, crm, as_json)


@click.command
@click.argument("task_id", type=click.IntRange(min=1))
@click.argument("owner")
@config_option
@json_option
@pass_shell
def assign(shell: Shell, task_id: int, owner: str, as_json: bool) -> None:
    """Give a task to a member of staff, or a team."""
    with shell.open() as crm:
        task = crm.assign_task(task_id, owner, actor="cli")
        _answer(task, crm, as_json)


def _answer(task: Task, crm: Crm, as_json: bool) -> None:
    if as_json:
        echo_json(task_json(task))
    else:
        click.echo(_told(task, crm.runtime.calendar))
