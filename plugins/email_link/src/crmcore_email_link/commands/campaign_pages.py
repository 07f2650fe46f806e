"""Pages of campaigns: what they are, where they stand, and what they brought about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import asdict

from crmcore import Money, to_datetime
from crmcore.cli.shell import Page
from crmcore_email_link.campaigns.deciding import CANNOT_START
from crmcore_email_link.commands.opening import counted

if TYPE_CHECKING:
    from crmcore_email_link.campaigns.api import CampaignState
    from crmcore_email_link.campaigns.effects import Comparison, Effect
    from crmcore_email_link.campaigns.intervals import Interval
    from crmcore_email_link.figures import Line

_GOOD: Final = {"sent": "good", "sending": "good", "locked": "bad", "missed": "bad"}
_SAID: Final = {
    "scheduled": "It starts at {due}.",
    "missed": "It was to start at {due}, and never will: {why}.",
    "sending": "It is on its way to {audience}; a worker, or `crm deliver`, sends it.",
    "paused": "It is paused; {pending} wait for `crm email campaign resume {key}`.",
    "locked": "It is locked: {why}. Mend it with `crm email campaign edit {key}`, and resume it.",
    "cancelled": "It was called off.",
    "sent": "It has gone to whom it may.",
}


def said_of(state: CampaignState) -> str:
    """Return where a campaign stands, in a line."""
    broadcast, last = state.broadcast, state.kept.last
    why = last.why or ""
    if state.standing == "missed" and last.what != "missed" and not why.startswith(CANNOT_START):
        why = "no worker ran in time"
    words = _SAID[state.standing].format(
        due=shown(state.kept.due),
        key=state.campaign.key,
        why=why,
        audience=counted(broadcast.audience, "customer") if broadcast else "",
        pending=counted(broadcast.pending, "mail") if broadcast else "",
    )
    if state.standing == "scheduled" and why.startswith(CANNOT_START):
        words = f"It was to start at {shown(state.kept.due)}, and is tried again, but {why}."
    return f"{state.campaign.key}: {state.standing}. {words}"


def state_json(state: CampaignState) -> dict[str, Any]:
    """Return a campaign as JSON has it."""
    broadcast = state.broadcast
    return {
        "key": state.campaign.key,
        "standing": state.standing,
        "due": state.kept.due,
        "campaign": state.campaign.to_table(),
        "entries": [asdict(each) for each in state.kept.entries],
        "unwritten": state.kept.unwritten,
        "audience": None if broadcast is None else broadcast.audience,
        "states": None if broadcast is None else dict(broadcast.states),
    }


def tell_all(
    page: Page, found: Sequence[CampaignState], issues: Mapping[str, int | None], left: int
) -> None:
    """Write campaigns, how many are left out, and when newsletters come next."""
    page.heading("campaigns")
    if not found:
        page.say("There is none; `crm email campaign start KEY --template NAME` starts one.")
    else:
        columns = ("key", "standing", "start", "purpose", "for", "to come", "arms")
        aligns = ("left", "left", "left", "left", "right", "right", "left")
        rows = [_row(each) for each in found]
        page.table(list(zip(columns, aligns, strict=True)), rows)  # type: ignore[arg-type]
    if left:
        page.say(f"... and {left:,} more; --most shows more of them.", "dim")
    if issues:
        page.heading("newsletters")
        page.table(
            [("name", "left"), ("next issue", "left")],
            [[name, "-" if due is None else shown(due)] for name, due in issues.items()],
        )


def _row(state: CampaignState) -> list[str]:
    broadcast, campaign = state.broadcast, state.campaign
    arms = ", ".join(each.name for each in campaign.arms)
    held = f", held out {campaign.holdout:.0%}" if campaign.holdout else ""
    return [
        campaign.key,
        state.standing,
        shown(state.kept.due),
        campaign.purpose,
        "-" if broadcast is None else f"{broadcast.audience:,}",
        "-" if broadcast is None else f"{broadcast.pending:,}",
        f"{arms}{held}",
    ]


def tell_state(page: Page, state: CampaignState, line: Line | None) -> None:
    """Write one campaign in full."""
    from crmcore_email_link.commands.status import tell_one

    campaign = state.campaign
    page.heading("campaign", f"{campaign.key}, {state.standing}")
    page.say(
        said_of(state).partition(" ")[2].partition(" ")[2],
        _GOOD.get(state.standing, ""),  # type: ignore[arg-type]
    )
    page.gap()
    page.item("for", f"{campaign.segment}, {campaign.purpose}")
    for each in campaign.arms:
        share = each.weight / sum(one.weight for one in campaign.arms)
        page.item("variant", f"{each.name}: template {each.template}, {share:.0%}")
    if campaign.holdout:
        page.item("held out", f"{campaign.holdout:.1%} of experiment {campaign.split.experiment}")
    for name, measure in campaign.personal.items():
        page.item("personal", f"{name} is {measure}")
    page.heading("decided")
    for entry in state.kept.entries:
        who = f" by {entry.actor}" if entry.actor else ""
        why = f": {entry.why}" if entry.why else ""
        page.put([(f"{shown(entry.at)}  ", "dim"), (f"{entry.what}{who}{why}", "")])
    if line is not None:
        tell_one(page, line)


def tell_effect(page: Page, found: Effect, currency: str) -> None:
    """Write what a campaign brought about."""
    aside = "as laid down" if found.days == found.planned_days else "asked afterwards"
    page.heading("effect", f"of {found.key}: orders within {found.days} days, {aside}")
    if not found.is_over:
        page.say("It is not over: more may be ordered, and more mails may go.", "bad")
        page.gap()
    page.table(
        [
            ("arm", "left"),
            ("customers", "right"),
            ("ordered", "right"),
            ("share", "right"),
            ("each brought", "right"),
        ],
        [
            [
                each.name,
                f"{each.size:,}",
                f"{each.ordered:,}",
                f"{each.counted.share:.2%}",
                _money(each.summed.mean, currency) if each.size else "-",
            ]
            for each in found.arms
        ],
    )
    if found.is_whole:
        page.say(
            "An arm is all whom it was planned for, as its experiment has other campaigns.", "dim"
        )
    if found.left_out:
        page.say(
            f"{counted(found.left_out, 'customer')} are in no arm, as they turned out to be "
            "somebody else since.",
            "dim",
        )
    page.gap()
    if not any(each.size for each in found.arms):
        page.say("Nothing has been handed over yet.")
    elif not found.comparisons:
        page.say("There is nobody to compare with: give a campaign a holdout, or variants.")
    for each in found.comparisons:
        _tell_comparison(page, each, currency, found.level)


def _tell_comparison(page: Page, found: Comparison, currency: str, level: float) -> None:
    page.say(f"{found.arm.name} beside {found.beside.name}", "bold")
    orders = found.orders
    share = (
        f"{_points(orders.difference)} ({_points(orders.low)} to {_points(orders.high)} with "
        f"{level:.0%} confidence). {_verdict(orders)}"
    )
    page.item("ordered", share)
    revenue = found.revenue_minor
    if revenue is None:
        page.item("brought", "too few orders to tell; 30 who ordered in each arm are wanted.")
        return
    low, high = _money(revenue.low, currency), _money(revenue.high, currency)
    page.item(
        "brought",
        f"{_money(revenue.difference, currency, signed=True)} a customer ({low} to {high}). "
        f"{_verdict(revenue)}",
    )


def _verdict(found: Interval) -> str:
    if not found.tells:
        return "It may be chance: nought lies between the bounds."
    return "More than chance." if found.low > 0 else "Less, and more than chance."


def _points(value: float) -> str:
    return f"{value * 100:+.2f} points"


def _money(minor: float, currency: str, *, signed: bool = False) -> str:
    text = str(Money(round(minor), currency))
    return f"+{text}" if signed and round(minor) > 0 else text


def shown(instant: int) -> str:
    """Return an instant as people read it."""
    return f"{to_datetime(instant):%Y-%m-%d %H:%M} UTC"
