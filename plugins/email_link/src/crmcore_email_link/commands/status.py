"""`crm email status`: what was sent, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from crmcore.cli.shell import (
    Page,
    Shell,
    config_option,
    echo_json,
    json_option,
    open_page,
    pass_shell,
)
from crmcore_email_link.commands.opening import counted, open_post

if TYPE_CHECKING:
    from crmcore_email_link.figures import Figures, Line, Trouble

_SHOWN: Final = 15
_COLUMNS: Final = (
    "purpose",
    "all",
    "taken",
    "to come",
    "withheld",
    "failed",
    "unknown",
    "bounced",
    "complained",
    "left",
)


@click.command
@click.argument("key", required=False)
@click.option(
    "--days",
    type=click.IntRange(min=0),
    default=28,
    show_default=True,
    help="How far back rates reach; 0 is to the first mail.",
)
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=_SHOWN,
    show_default=True,
    help="How many broadcasts, and domains, to show.",
)
@config_option
@json_option
@pass_shell
def status(shell: Shell, key: str | None, days: int, most: int, as_json: bool) -> None:
    """
    Show what was sent, and what came of it.

    For each broadcast, and for messages that were planned one by one: how many stand where, what
    came back, and who left. Complaints stand beside what Gmail and Yahoo bear: they want less
    than 0.1 % of what arrived, and take no more mail from 0.3 % on. KEY shows one broadcast, or
    the messages of one key.
    """
    from crmcore_email_link.figures import figures_of, line_json

    with open_post(shell) as (crm, _):
        found = figures_of(crm, key, days=days)
    if as_json:
        echo_json(
            {
                "latest": {"days": found.days, **line_json(found.latest)},
                "broadcasts": [line_json(each) for each in found.broadcasts],
                "single": [line_json(each) for each in found.single],
                "troubles": [_trouble_json(each) for each in found.troubles],
            }
        )
        return
    page = open_page()
    if key is None:
        _tell_latest(page, found)
    for each in found.broadcasts if key is not None else ():
        tell_one(page, each)
    _tell_all(page, found, most, alone=key is not None)
    _tell_troubles(page, found.troubles, most)


def _tell_latest(page: Page, found: Figures) -> None:
    line = found.latest
    when = f"of the last {counted(found.days, 'day')}" if found.days else "all there ever was"
    page.heading("mail", when)
    if not line.total:
        page.say("None.")
        return
    page.say(
        f"{counted(line.states['accepted'], 'mail was', 'mails were')} taken, "
        f"{line.to_come:,} are to come, {line.states['withheld']:,} withheld, "
        f"{line.states['failed']:,} failed; of {line.states['unknown']:,} nobody knows.",
        "bold",
    )
    page.gap()
    _tell_rates(page, line)


def _tell_rates(page: Page, line: Line) -> None:
    verdicts = {
        "good": "below 0.1 %, as Gmail and Yahoo want",
        "high": "Gmail and Yahoo want less than 0.1 %",
        "too high": "Gmail and Yahoo take no more mail from 0.3 % on",
        "none": "",
    }
    taken = line.states["accepted"]
    rows = [
        ("complaints", line.complained, line.arrived, verdicts[line.verdict]),
        ("left by a mail", line.unsubscribed, line.arrived, ""),
        ("hard bounces", line.hard, taken, "the address is gone; nothing goes there any more"),
        ("soft bounces", line.soft, taken, "the address does not work for now"),
        ("blocked", line.blocked, taken, "refused for what we are or say; no address is at fault"),
    ]
    for name, count, whole, aside in rows:
        style: Any = ""
        if name == "complaints":
            style = {"good": "good", "none": ""}.get(line.verdict, "bad")
        aside = aside if count or name == "complaints" else ""
        shown = f"{name:<15}{count:>8,}  {_rate(count, whole):>8}"
        page.put([("  ", ""), (shown, style), (f"   {aside}" if aside else "", "dim")])


def _rate(count: int, whole: int) -> str:
    return f"{count / whole * 100:.2f} %" if whole else ""


def tell_one(page: Page, line: Line) -> None:
    """Write one broadcast in full."""
    page.heading("broadcast", line.standing)
    audience = line.audience if line.audience is not None else line.total
    whom = counted(audience, "customer")
    page.say(f"{line.key} was planned for {whom}, for {line.purpose}.", "bold")
    page.gap()
    for state, count in sorted(line.states.items(), key=lambda each: -each[1]):
        gates = ", ".join(f"{gate} {number:,}" for gate, number in line.gates.most_common())
        aside = f"   {gates}" if state == "withheld" and gates else ""
        page.put([(f"  {state:<15}{count:>8,}  {_rate(count, audience):>8}", ""), (aside, "dim")])
    page.gap()
    _tell_rates(page, line)


def _tell_all(page: Page, found: Figures, most: int, *, alone: bool) -> None:
    for name, lines in (("broadcasts", found.broadcasts), ("one by one", found.single)):
        if not lines or (alone and name == "broadcasts"):
            continue
        page.heading(name)
        named = name == "broadcasts" or any(each.plugin for each in lines)
        rows = [_row(each, named=named) for each in lines[:most]]
        first = [("key" if name == "broadcasts" else "whose", "left")] if named else []
        page.table(
            [*first, (_COLUMNS[0], "left"), *((each, "right") for each in _COLUMNS[1:])],  # type: ignore[list-item]
            rows,
        )
        if len(lines) > most:
            page.say(f"... and {len(lines) - most:,} more; --most shows more of them.", "dim")


def _row(line: Line, *, named: bool) -> list[str]:
    states = line.states
    who = line.key or line.plugin or "the shop"
    first = [f"{who} ({line.standing})" if line.standing else who] if named else []
    counts = (
        line.audience if line.audience is not None else line.total,
        states["accepted"],
        line.to_come,
        states["withheld"],
        states["failed"],
        states["unknown"],
        line.hard + line.soft,
        line.complained,
        line.unsubscribed,
    )
    return [*first, line.purpose, *(f"{each:,}" if each else "-" for each in counts)]


def _tell_troubles(page: Page, troubles: list[Trouble] | Any, most: int) -> None:
    if not troubles:
        return
    page.heading("not taken", "by where it was to go")
    page.table(
        [("domain", "left"), ("state", "left"), ("mails", "right"), ("most often", "left")],
        [(each.domain, each.state, f"{each.count:,}", each.reason) for each in troubles[:most]],
    )
    if len(troubles) > most:
        page.say(f"... and {len(troubles) - most:,} more; --most shows more of them.", "dim")


def _trouble_json(each: Trouble) -> dict[str, Any]:
    return {
        "domain": each.domain,
        "state": each.state,
        "count": each.count,
        "reason": each.reason,
    }
