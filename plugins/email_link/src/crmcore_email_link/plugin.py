"""The plugin: its settings, and the hooks that call the services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import urlsplit

from attrs import define, evolve, field
from sqlalchemy import select
from typing_extensions import override

from crmcore import (
    Channel,
    Clock,
    Context,
    CustomersRecompute,
    DeliveriesChanged,
    Hold,
    InteractionsRecorded,
    Kind,
    MessagesClaimed,
    MessagesProposed,
    Outcome,
    Plugin,
    PluginTable,
    Started,
    Stopping,
    TimersDue,
    Transaction,
    choice,
    hookimpl,
    to_datetime,
    whole,
)
from crmcore.errors import ConfigurationError
from crmcore_email_link.addresses import parse
from crmcore_email_link.campaigns.api import CampaignApi
from crmcore_email_link.campaigns.deciding import start_due
from crmcore_email_link.campaigns.holding import held_out
from crmcore_email_link.campaigns.newsletters import (
    Newsletter,
    NewsletterSettings,
    issue_due,
    newsletters_of,
    see_to_issues,
)
from crmcore_email_link.campaigns.resolving import Reader, resolved
from crmcore_email_link.campaigns.watching import watch
from crmcore_email_link.capture import KINDS as CAPTURE_KINDS
from crmcore_email_link.carriers import TRANSPORTS, carrier
from crmcore_email_link.catalogue import catalogue
from crmcore_email_link.composing import BULK, Composer
from crmcore_email_link.delivering import deliver, not_yet
from crmcore_email_link.dkim import Signer
from crmcore_email_link.feedback import KINDS as FEEDBACK_KINDS
from crmcore_email_link.hearing import HearingApi
from crmcore_email_link.keys import key_ring, secret
from crmcore_email_link.letters import LANGUAGES
from crmcore_email_link.links import Links
from crmcore_email_link.mime import Mailbox
from crmcore_email_link.received import TIMER as RECEIVED
from crmcore_email_link.received import begin, forget_old
from crmcore_email_link.sign_ups import expire
from crmcore_email_link.subscribing import PENDING_DAYS, SubscribingApi
from crmcore_email_link.tables import TABLES
from crmcore_email_link.tokens import Tokens
from crmcore_email_link.tracking.api import TrackingApi
from crmcore_email_link.tracking.folding import TRACKING_KINDS, fold_tracking, refold_tracking
from crmcore_email_link.tracking.tables import TRACKING_TABLES
from crmcore_email_link.tracking.tracker import Tracker, Tracking, tracker
from crmcore_email_link.transports import Transport

CHANNEL: Final = "email"
# A server may take ten minutes to answer a mail's final dot (RFC 5321, 4.5.3.2.6).
_PATIENCE: Final = 700.0

T = TypeVar("T")


@define
class _Post:
    """What mails are written with and carried by, made once at start."""

    composer: Composer
    transport: Transport
    tracker: Tracker


@define(eq=False)
class EmailLink(SubscribingApi, CampaignApi, HearingApi, TrackingApi, Plugin):
    """
    Writes mails to customers and carries them, and hears what they answer.

    Attributes:
        sender: Whom mails are from, such as `shop@example.com`.
        sender_name: What people call the shop; mails to many need it.
        postal_address: Where the shop is; mails to many need it.
        base_url: Where the pages are mounted, such as `https://shop.example/m/`; at most 42
            characters, as a link in a header is short.
        mail_domain: Of the mailboxes that bounces, and mails to unsubscribe, come to; at most 29
            characters. Empty: that of the sender.
        list_id: What list mails to many belong to, such as `news.shop.example`; empty: `news.` and
            the sender's domain.
        languages: In which the shop writes, the one for everybody else first.
        secret_file: A file with the key that links are made with; see `key_ring`. None: the
            variable of the environment has it.
        secret_variable: Which one that is.
        transport: Who carries mails: `smtp`, `ses`, `postmark`, `mailgun`, `sendgrid`, `resend`.
        host: Of the server, for `smtp`.
        port: The same.
        tls: The same: `verified`, `implicit`, `required`, `offered` or `never`; see `Relay`.
        username: The same; empty: nobody logs in.
        region: Of the account, for `ses`.
        provider_domain: Of the account, for `mailgun`.
        credential_file: A file with the password or key for whoever carries mails; for `ses` both
            keys with a colon between. None: the variable of the environment has it.
        credential_variable: Which one that is.
        dkim_selector: Under which the DNS has the key that mails are signed with; empty: they are
            signed by whoever carries them.
        dkim_domain: Whose signature it is; empty: the sender's domain.
        dkim_key_file: A file with the private key in PEM.
        templates: A folder of templates; see `catalogue`. None: only those given in code.
        at_once: How many mails are handed over in one call.
        sign_up_pause_minutes: Between two mails that ask one address to confirm.
        sign_ups_per_domain: Of how many addresses of a domain sign-ups are taken within an hour.
        sign_ups_per_source: The same of who asks, where the page says who that is.
        sign_ups_in_all: The same of everybody.
        received_days: For how long what came back, such as a bounce, is kept as it came.
        tracking: What is seen of those who allowed it, each for themselves: `off`, `clicks` on
            links, or `opens_and_clicks`.
        tracked_domains: To which links may lead that are tracked, with all below them, beside the
            domains of `base_url` and the sender; all others stay as they are.
        scanner_networks: From where programs follow all links of mails, such as `192.0.2.0/24`.
        tracking_pause_seconds: After a mail arrived, within which whoever opens it is a machine.
        tracking_sweep_seconds: Within which whoever follows all links of a mail is one, too.
        newsletters: What goes regularly, as tables by name; see `NewsletterSettings`.
        lock_percent: A campaign is locked when more than this share of its mails, in percent,
            cannot be written.
        scanners: A function of the `Caller` that tells whether it is such a program; from code.
        recipients: A function of customers' ids that returns, by id, what templates of campaigns
            may use of each, such as a first name; from code.
        news: A function of a newsletter's name, and of two instants in microseconds, that returns
            what is new in between, as tables; from code.
        carrier: A transport of one's own, in place of all of these; from code.
        letters: Templates by name, beside those of the folder; from code.
        ring: The keys that links are made with, in place of the secret; from code.
    """

    name: ClassVar[str] = "email_link"
    tables: ClassVar[tuple[PluginTable, ...]] = (*TABLES, *TRACKING_TABLES)

    sender: str = ""
    sender_name: str = ""
    postal_address: str = ""
    base_url: str = ""
    mail_domain: str = ""
    list_id: str = ""
    languages: list[str] = field(factory=lambda: [LANGUAGES[0]])
    secret_file: str | None = None
    secret_variable: str = "CRM_EMAIL_SECRET"
    transport: str = field(default="smtp", validator=choice(*TRANSPORTS))
    host: str = ""
    port: int = field(default=587, validator=whole(least=1, most=65_535))
    tls: str = field(
        default="verified",
        validator=choice("verified", "implicit", "required", "offered", "never"),
    )
    username: str = ""
    region: str = ""
    provider_domain: str = ""
    credential_file: str | None = None
    credential_variable: str = "CRM_EMAIL_CREDENTIAL"
    dkim_selector: str = ""
    dkim_domain: str = ""
    dkim_key_file: str | None = None
    templates: str | None = None
    at_once: int = field(default=100, validator=whole(least=1, most=1000))
    sign_up_pause_minutes: int = field(default=15, validator=whole(least=1, most=10_000))
    sign_ups_per_domain: int = field(default=200, validator=whole(least=1))
    sign_ups_per_source: int = field(default=10, validator=whole(least=1))
    sign_ups_in_all: int = field(default=2000, validator=whole(least=1))
    received_days: int = field(default=90, validator=whole(least=1, most=3650))
    tracking: Tracking = field(default="off", validator=choice("off", "clicks", "opens_and_clicks"))
    tracked_domains: list[str] = field(factory=list)
    scanner_networks: list[str] = field(factory=list)
    tracking_pause_seconds: int = field(default=10, validator=whole(least=0, most=3600))
    tracking_sweep_seconds: int = field(default=10, validator=whole(least=0, most=3600))
    newsletters: dict[str, NewsletterSettings] = field(factory=dict)
    lock_percent: int = field(default=5, validator=whole(least=0, most=100))
    scanners: Any = field(default=None, repr=False)
    recipients: Any = field(default=None, repr=False)
    news: Any = field(default=None, repr=False)
    carrier: Any = field(default=None, repr=False)
    letters: Any = field(default=None, repr=False)
    ring: Any = field(default=None, repr=False)
    _made: _Post | None = field(default=None, init=False, repr=False)
    _clock: Clock | None = field(default=None, init=False, repr=False)
    _newsletters: Mapping[str, Newsletter] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._newsletters = newsletters_of(self.newsletters)

    # -- for the shop ------------------------------------------------------------------------

    @property
    def composer(self) -> Composer:
        """What mails are written with, the same that writes those that go."""
        return self._post().composer

    @property
    def carrying(self) -> Transport:
        """Who carries mails, the same that carries those that go."""
        return self._post().transport

    @property
    def tracker(self) -> Tracker:
        """What is tracked of whom."""
        return self._post().tracker

    def reader(self, ctx: Context) -> Reader:
        """Return what reads with what each customer's mail of a campaign is made."""
        return Reader(ctx, self.recipients, len(self._post().composer.languages) > 1)

    @contextmanager
    def _acting(self, tx: Transaction) -> Iterator[Context]:
        with tx.acting(type(self)) as (_, ctx):
            yield ctx

    def _now(self, tx: Transaction) -> int:
        with self._acting(tx) as ctx:
            return ctx.clock.now()

    # -- hooks -------------------------------------------------------------------------------

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return (*CAPTURE_KINDS, *FEEDBACK_KINDS, *TRACKING_KINDS)

    @hookimpl
    @override
    def on_started(self, ctx: Context, event: Started) -> None:
        self._clock = ctx.clock
        begin(ctx)
        see_to_issues(ctx, self._newsletters.values())

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        fold_tracking(ctx, event)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        refold_tracking(ctx, event)

    @hookimpl
    @override
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        timers = (*event.timers, *event.skipped)
        if any(timer.customer_id is not None for timer in timers):
            expire(ctx, event)
            return
        if any(timer.key == RECEIVED for timer in timers):
            forget_old(ctx, event, self.received_days)
        start_due(ctx, event, lambda: self.composer)
        issue_due(ctx, event, self._newsletters, lambda: self.composer, self.news)

    @hookimpl
    @override
    def register_channels(self) -> Iterable[Channel]:
        transport = self._post().transport
        return [
            Channel(
                CHANNEL,
                scheme="email",
                idempotent=transport.idempotent,
                on_unknown={"service": "resend"},
                at_once=self.at_once,
                answers_within=_PATIENCE,
            )
        ]

    @hookimpl
    @override
    def guard_message(self, ctx: Context, event: MessagesProposed) -> Iterable[Hold] | None:
        if event.channel != CHANNEL or event.purpose not in BULK:
            return None
        lacks = self._post().composer.lacks
        if lacks is None:
            return held_out(ctx, event)
        rows = ctx.execute(select(event.customers.c.customer_id))
        return [Hold(row[0], reason=lacks) for row in rows]

    @hookimpl
    @override
    def deliver_messages(self, ctx: Context, event: MessagesClaimed) -> Sequence[Outcome]:
        post = self._post()
        now = ctx.clock.now()
        try:
            tracked = post.tracker.allowing(ctx, event.deliveries)
            written = resolved(self.reader(ctx), event.deliveries, now)
        except Exception as error:  # raised here, nobody would know whether they went
            return not_yet(event.deliveries, error)
        return deliver(post.composer, post.transport, written, now, tracked)

    @hookimpl
    @override
    def on_deliveries_changed(self, ctx: Context, event: DeliveriesChanged) -> None:
        watch(ctx, event, self.lock_percent)

    @hookimpl
    @override
    def on_stopping(self, ctx: Context, event: Stopping) -> None:
        if self._made is not None:
            self._made.transport.close()

    # -- made of the settings ----------------------------------------------------------------

    def _post(self) -> _Post:
        if self._made is None:
            composer = self._composer()
            found = self._tracker(composer.links)
            composer = evolve(composer, measure=found.measure)
            self._made = _Post(composer, self._transport(), found)
        return self._made

    def _transport(self) -> Transport:
        if self.carrier is not None:
            return self.carrier  # type: ignore[no-any-return]
        return carrier(
            self,
            lambda: secret("credential", self.credential_file, self.credential_variable),
            self._present,
        )

    def _present(self) -> datetime:
        if self._clock is None:
            raise ConfigurationError("no mail can be carried before the application has started")
        return to_datetime(self._clock.now())

    def _composer(self) -> Composer:
        sender = parse(self._needed("sender", self.sender))
        domain = self.mail_domain or sender.domain
        ring = self.ring
        if ring is None:
            ring = key_ring(secret("secret", self.secret_file, self.secret_variable))
        links = Links(self._needed("base_url", self.base_url), Tokens(ring), domain)
        languages = tuple(self._needed("languages", self.languages))
        return Composer(
            sender=Mailbox(sender.match_key, self.sender_name),
            postal_address=self.postal_address,
            list_id=self.list_id or f"news.{sender.domain}",
            languages=languages,
            links=links,
            catalogue=catalogue(self.templates, languages, self.letters),
            pending_days=PENDING_DAYS,
            signer=self._signer(sender.domain),
        )

    def _tracker(self, links: Links) -> Tracker:
        domains = (urlsplit(links.base).hostname or "", parse(self.sender).domain)
        return tracker(
            links,
            tracking=self.tracking,
            domains=(*domains, *self.tracked_domains),
            networks=self.scanner_networks,
            scanners=self.scanners,
            pause_seconds=self.tracking_pause_seconds,
            sweep_seconds=self.tracking_sweep_seconds,
        )

    def _signer(self, domain: str) -> Signer | None:
        if not self.dkim_selector:
            return None
        if self.dkim_key_file is None:
            raise ConfigurationError(
                "dkim_key_file is missing, and dkim_selector is set; the file with the private "
                "key is expected"
            )
        key = secret("DKIM key", self.dkim_key_file, "")
        return Signer(self.dkim_domain or domain, self.dkim_selector, key)

    def _needed(self, setting: str, value: T) -> T:
        if not value:
            raise ConfigurationError(
                f"the setting {setting} of email_link is missing; set it in crm.toml"
            )
        return value
