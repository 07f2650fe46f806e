"""`crm tasks` and `crm task`: what staff are to do for customers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from crmcore.cli.answers import id_json, instant_json, interaction_json
from crmcore.cli.customer import known_as
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.domain.clock import to_datetime
from crmcore.domain.task import DONE, DROPPED, Task, TaskView

_WHEN = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


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


def _told(task: Task) -> str:
    """Return a task in a line."""
    due = "" if task.due_at is None else f", due {task.due_at:%Y-%m-%d %H:%M}"
    owner = task.owner or "nobody"
    ended = "" if task.is_open else f" [{task.outcome} by {task.done_by or 'somebody'}]"
    return f"{task.id}  {task.title} (customer {task.customer_id}, {owner}{due}){ended}"


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


@click.command
@click.option("--owner", metavar="NAME", help="Only those of a member of staff, or a team.")
@click.option("--customer", metavar="SCHEME:VALUE|ID", help="Only those of a customer.")
@click.option("--due-before", type=_WHEN, help="Only those due before then (UTC).")
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
    due_before: datetime | None,
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
            due_before=_aware(due_before),
            is_open=None if every else is_open,
            most=most,
        )
    if as_json:
        echo_json({"tasks": [_view_json(each) for each in found]})
        return
    for each in found:
        click.echo(_told(each.task))
        for fact in each.latest:
            click.echo(f"      {to_datetime(fact.occurred_instant):%Y-%m-%d} {fact.kind}")
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
@click.option("--due", type=_WHEN, help="When it is to be done by (UTC).")
@click.option("--escalate-at", type=_WHEN, help="When it goes to --escalate-to, if not done (UTC).")
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
    due: datetime | None,
    escalate_at: datetime | None,
    escalate_to: str | None,
    as_json: bool,
) -> None:
    """Add something to be done for a customer."""
    with shell.open() as crm:
        task = crm.add_task(
            known_as(customer),
            title,
            key=key,
            note=note,
            owner=owner,
            due_at=_aware(due),
            escalate_at=_aware(escalate_at),
            escalate_to=escalate_to,
            actor="cli",
        )
    _answer(task, as_json)


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
    _answer(task, as_json)


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
    _answer(task, as_json)


def _answer(task: Task, as_json: bool) -> None:
    if as_json:
        echo_json(task_json(task))
    else:
        click.echo(_told(task))
