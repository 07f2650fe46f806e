"""Trials with messages: they pass the gate, nobody receives them, and batches change nothing."""

from datetime import timedelta
from pathlib import Path

from attrs import define

from crmcore import Draft, Identifier, Kind, hookimpl
from crmcore.configuration import Configuration, ShopSettings
from crmcore.domain.message import Content
from crmcore.domain.relationship import RelationshipSettings
from crmcore.hooks import Plugin
from crmcore.replay.history import History
from crmcore.replay.trial import try_configuration
from tests.support.histories import START
from tests.support.making import rows
from tests.support.sending import Post, message

NEWS = {"purpose": "news", "channel": "email"}


@define(eq=False)
class Thanks(Plugin):
    """Thanks for every order at once, and writes news a day later."""

    name = "thanks"

    @hookimpl
    def register_kinds(self):
        return [Kind("thanks.noted")]

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        for each in event:
            if each.kind == "order.placed":
                ctx.send(message(each.customer_id, f"thanks/{each.source_key}"))
                ctx.set_timer(
                    f"news/{each.source_key}",
                    each.occurred_instant + 86_400_000_000,
                    each.customer_id,
                )

    @hookimpl
    def on_timers_due(self, ctx, event):
        for timer in event:
            ctx.send(
                message(timer.customer_id, timer.key, purpose="news", content=Content(text="News"))
            )


def history():
    """Twenty customers, each with some orders; every other one agreed to news."""
    drafts = []
    for number in range(60):
        who = (Identifier("email", f"p{number % 20}@example.com"),)
        at = START + timedelta(hours=7 * number)
        if number < 20 and number % 2:
            drafts.append(
                Draft(
                    "consent.given",
                    identifiers=who,
                    occurred_at=at,
                    payload=NEWS,
                    source_key=f"c{number}",
                )
            )
        drafts.append(
            Draft(
                "order.placed", identifiers=who, occurred_at=at, source_key=f"o{number}", payload={}
            )
        )
    return History(name="made", drafts=tuple(drafts), rows_read=len(drafts))


def configuration(*plugins):
    return Configuration(
        path=Path("crm.toml"),
        shop=ShopSettings(),
        relationship=RelationshipSettings(),
        plugins=plugins,
    )


def test_a_trial_says_how_many_would_have_gone_and_nobody_receives_any():
    """Every message passes the gate; the channel is never called."""
    handed = []

    @define(eq=False)
    class Watched(Post):
        @hookimpl
        def deliver_messages(self, ctx, event):
            handed.extend(event.deliveries)
            return super().deliver_messages(ctx, event)

    trial = try_configuration(configuration(Watched(), Thanks()), history())

    # The news of the last orders fall due after the history has ended.
    late = sum(hours > 7 * 59 - 24 for hours in (7 * n for n in range(60)))
    news = 60 - late
    assert 60 + news == trial.messages.planned
    odd = sum(n % 2 for n in range(news))
    assert {"accepted": 60 + odd, "withheld": news - odd} == dict(trial.messages.states)
    assert {"consent": news - odd} == dict(trial.messages.withheld)
    assert [] == handed
    assert {} == dict(trial.run.faults)
    assert trial.messages.to_json() == trial.to_json()["messages"]


def test_batches_change_no_message(tmp_path):
    """Planned, judged and handed over at the same instants, however the history is cut."""
    found = []
    for size in (1, 7, None):
        url = f"sqlite:///{tmp_path}/{size}.db"
        trial = try_configuration(
            configuration(Post(), Thanks()), history(), batch_size=size, into=url
        )
        from crmcore import Crm

        with Crm(url, plugins=[Post(), Thanks()]) as crm:
            found.append(
                rows(
                    crm,
                    "SELECT message_key, state, gate, planned_at, handed_at, not_before "
                    "FROM crm_message ORDER BY message_key",
                )
            )
        assert trial.messages.planned == len(found[-1])

    assert found[0] == found[1] == found[2]
    # Thanks go out when the order is placed, not when its batch ends.
    planned = {row[0]: row[3] for row in found[2]}
    first = planned["thanks/o0"]
    assert [first + n * 7 * 3_600_000_000 for n in range(60)] == [
        planned[f"thanks/o{n}"] for n in range(60)
    ]
