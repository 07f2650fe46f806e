"""What a shop does with campaigns: starts, pauses, changes, calls off, and looks at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from attrs import frozen

from crmcore import Broadcast, Context, Transaction
from crmcore.errors import InputError
from crmcore_email_link.campaigns import deciding, newsletters
from crmcore_email_link.campaigns.campaign import Campaign
from crmcore_email_link.campaigns.effects import DAY, Effect, compared, outcomes
from crmcore_email_link.campaigns.keeping import Kept, Standing, all_kept, kept_of
from crmcore_email_link.campaigns.newsletters import Newsletter
from crmcore_email_link.composing import Composer


@frozen(kw_only=True)
class CampaignState:
    """
    A campaign as it stands.

    Attributes:
        kept: The campaign, and what was decided of it.
        standing: `scheduled`, `missed`, `sending`, `paused`, `locked`, `cancelled` or `sent`.
        broadcast: What it started, with its figures; None: it has not started.
    """

    kept: Kept
    standing: Standing
    broadcast: Broadcast | None

    @property
    def campaign(self) -> Campaign:
        """The campaign as it is to be sent by now."""
        return self.kept.campaign


class CampaignApi:
    """The part of the plugin that is about campaigns and newsletters."""

    __slots__ = ()

    if TYPE_CHECKING:
        _acting: Callable[[Transaction], AbstractContextManager[Context]]
        _newsletters: Mapping[str, Newsletter]

        @property
        def composer(self) -> Composer: ...

    def start_campaign(self, tx: Transaction, campaign: Campaign) -> CampaignState:
        """
        Start a campaign: whom it is for is frozen now, or when it is to start.

        Told again it changes nothing, and returns it as it stands.

        Raises:
            ConfigurationError: If mails to many lack what the law wants in them.
            InputError: If it is another than the one of its key that there is, or it cannot go.
        """
        with self._acting(tx) as ctx:
            return _state(ctx, deciding.start(ctx, self.composer, campaign))

    def pause_campaign(self, tx: Transaction, key: str, *, why: str | None = None) -> CampaignState:
        """Let nothing more of a campaign be handed over until it is resumed."""
        with self._acting(tx) as ctx:
            return _state(ctx, deciding.pause(ctx, key, why=why))

    def resume_campaign(self, tx: Transaction, key: str) -> CampaignState:
        """Let a campaign that is paused or locked go on with whom it has not reached."""
        with self._acting(tx) as ctx:
            return _state(ctx, deciding.resume(ctx, key))

    def cancel_campaign(
        self, tx: Transaction, key: str, *, why: str | None = None
    ) -> CampaignState:
        """Call a campaign off: whom it has not reached does not get it any more."""
        with self._acting(tx) as ctx:
            return _state(ctx, deciding.cancel(ctx, key, why=why))

    def edit_campaign(self, tx: Transaction, campaign: Campaign) -> CampaignState:
        """
        Change a campaign by its key: all of one that is scheduled, and what a paused one says.

        Raises:
            InputError: If it is on its way or over; or if what is laid down once it has started,
                such as to whom it goes, is another.
        """
        with self._acting(tx) as ctx:
            return _state(ctx, deciding.edit(ctx, self.composer, campaign))

    def find_campaign(self, tx: Transaction, key: str) -> CampaignState:
        """Return a campaign as it stands; raises `NotFoundError` if there is none."""
        with self._acting(tx) as ctx:
            return _state(ctx, kept_of(ctx, key))

    def campaigns(self, tx: Transaction, *, most: int | None = None) -> list[CampaignState]:
        """
        Return campaigns, and the issues of newsletters among them, the latest first.

        With *most* the messages of only so many are counted.
        """
        with self._acting(tx) as ctx:
            return [_state(ctx, each) for each in all_kept(ctx.execute)[:most]]

    def campaign_count(self, tx: Transaction) -> int:
        """Return how many campaigns there are."""
        with self._acting(tx) as ctx:
            return len(all_kept(ctx.execute))

    def campaign_effect(
        self, tx: Transaction, key: str, *, days: int | None = None, level: float = 0.95
    ) -> Effect:
        """
        Return what a campaign brought about, beside those held out of it and between its variants.

        Args:
            tx: The transaction.
            key: The campaign's.
            days: Orders within so many days of its start count; None: as it was laid down.
            level: Of confidence, for each interval by itself.

        Raises:
            InputError: If it has not started.
            NotFoundError: If there is no such campaign.
        """
        with self._acting(tx) as ctx:
            state = _state(ctx, kept_of(ctx, key))
            return effect_of(ctx, state, days, level)

    def add_news(self, tx: Transaction, newsletter: str, item: Mapping[str, Any]) -> int:
        """
        Keep something for the next issue of a newsletter; returns how many items wait for it.

        Args:
            tx: The transaction, such as the one that adds a product.
            newsletter: Its name in the settings.
            item: What the template uses of it, such as `title` and `url`; nothing of a customer.

        Raises:
            InputError: If JSON cannot hold it, or 500 items or 50,000 characters wait already.
            NotFoundError: If there is no such newsletter.
        """
        with self._acting(tx) as ctx:
            return newsletters.add_news(ctx, self._newsletters, newsletter, item)

    def waiting_news(self, tx: Transaction, newsletter: str) -> Sequence[Mapping[str, Any]]:
        """Return the items that wait for the next issue; raises `NotFoundError` as `add_news`."""
        with self._acting(tx) as ctx:
            return newsletters.waiting_news(ctx, self._newsletters, newsletter)

    def next_issues(self, tx: Transaction) -> dict[str, int | None]:
        """Return when the next issue of each newsletter is due, in microseconds, by its name."""
        with self._acting(tx) as ctx:
            return {name: newsletters.next_issue(ctx, name) for name in self._newsletters}


def _state(ctx: Context, kept: Kept) -> CampaignState:
    broadcast = deciding.find_broadcast(ctx, kept.campaign.key) if kept.has_started else None
    standing = kept.standing(ctx.clock.now(), broadcast)
    return CampaignState(kept=kept, standing=standing, broadcast=broadcast)


def effect_of(ctx: Context, state: CampaignState, days: int | None, level: float) -> Effect:
    """Return what a campaign brought about; see `CampaignApi.campaign_effect`."""
    campaign, broadcast = state.campaign, state.broadcast
    if broadcast is None:
        raise InputError(f"campaign {campaign.key!r} has not started; one that has is expected")
    wanted = campaign.effect_days if days is None else days
    if type(wanted) is not int or not 1 <= wanted <= 3650:
        raise InputError(f"days is {wanted!r}; a whole number from 1 to 3650 is expected")
    since = broadcast.planned_at
    split = campaign.split
    is_whole = split.experiment != campaign.key
    arms, left_out = outcomes(ctx.execute, campaign.key, split, since, wanted, is_whole=is_whole)
    return Effect(
        key=campaign.key,
        days=wanted,
        planned_days=campaign.effect_days,
        since=since,
        is_over=not broadcast.pending and ctx.clock.now() >= since + wanted * DAY,
        level=level,
        is_whole=is_whole,
        arms=tuple(arms.values()),
        comparisons=tuple(compared(arms, level=level)),
        left_out=left_out,
    )
