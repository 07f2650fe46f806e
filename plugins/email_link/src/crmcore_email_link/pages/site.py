"""The site: one function from what is asked to what is answered; only a POST changes anything."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from html import escape
from typing import Final, TypeVar

from attrs import define, evolve, field

from crmcore import Crm, Transaction
from crmcore.errors import CustomerNotFoundError, ErasedError, InputError, StorageError
from crmcore_email_link.campaigns.resolving import VARIANT, variant_content
from crmcore_email_link.composing import BULK
from crmcore_email_link.leaving import purpose_of, withdraw
from crmcore_email_link.links import PATHS, WHY
from crmcore_email_link.locking import locked_message
from crmcore_email_link.pages.drawing import Box, button, choices, draw, link, masked
from crmcore_email_link.pages.exchange import LONGEST_BODY, Request, Response
from crmcore_email_link.pages.following import Following
from crmcore_email_link.pages.reasons import reasons
from crmcore_email_link.pages.words import WORDS, Words, language_of
from crmcore_email_link.plugin import EmailLink
from crmcore_email_link.reading import Sent, find_named
from crmcore_email_link.sign_ups import pending_of
from crmcore_email_link.subscribing import PENDING_DAYS
from crmcore_email_link.templates import HEADERS, anonymous, page
from crmcore_email_link.tokens import Purpose
from crmcore_email_link.tracking.asking import allow_as_asked, ask, asked_of, refuse_by_link
from crmcore_email_link.tracking.consents import allowed_among

T = TypeVar("T")

WORDING: Final = "preferences/1"
"""What who ticks a box in the preference centre saw; a new text gets a new number."""

TRACKING_WORDING: Final = "preferences-tracking/1"
"""The same of who ticks the box about opens and clicks."""

_TRACKING: Final = "tracking"
_ORDER: Final = ("news", "promotion", "care", "survey")
_READS: Final = ("GET", "HEAD")


@define
class _Visit:
    """Somebody who came by a link of ours: to which page, by which message, in which language."""

    request: Request
    sent: Sent
    token: str
    language: str

    @property
    def words(self) -> Words:
        return WORDS[self.language]

    @property
    def address(self) -> str:
        return masked(self.sent.address)

    @property
    def is_post(self) -> bool:
        return self.request.method == "POST"

    def say(self, name: str, rest: str = "", status: int = 200, **values: str) -> Response:
        """Return a page of one sentence and its title."""
        said = self.words[name].format(address=self.address, **values)
        title = self.words[f"{name.removesuffix('_ask')}_title"]
        return Response(status=status, body=draw(self.language, title, [said], rest))


@define
class Pages:
    """
    The pages that mails lead to, of one shop.

    `respond` is all there is; `wsgi_app` and `asgi_app` mount it. GET and HEAD change nothing,
    however many programs follow every link of a mail; that a tracked link was followed is noted,
    where its customer allowed that. No cookie is read or set, and nothing leads elsewhere but those
    links, to where the shop signed them to.

    Attributes:
        crm: The shop.
    """

    crm: Crm
    _plugin: EmailLink = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._plugin = self.crm.plugin(EmailLink)

    def respond(self, request: Request) -> Response:
        """Return the answer to what is asked."""
        language = language_of(request.headers.get("accept-language"), *self._plugin.languages)
        if request.method not in (*_READS, "POST"):
            refused = self._plain(language, "missing", 405)
            return evolve(refused, headers={**refused.headers, "Allow": "GET, HEAD, POST"})
        if len(request.body) > LONGEST_BODY:
            return self._plain(language, "bad", 413)
        try:
            found = self._found(request, language)
        except StorageError:
            found = self._plain(language, "busy", 503)
        except InputError:
            found = self._plain(language, "bad", 400)  # all of it was undone
        return evolve(found, body=b"") if request.method == "HEAD" else found

    def _found(self, request: Request, language: str) -> Response:
        letter, _, token = request.path.removeprefix("/").partition("/")
        if f"{letter}/" in (PATHS["click"], PATHS["open"]):
            return self._follow(request, letter, token) or self._plain(language, "missing", 404)
        for purpose, path, answer in (
            ("unsubscribe", PATHS["unsubscribe"], self._leave),
            ("confirm", PATHS["confirm"], self._confirm),
            ("preferences", PATHS["preferences"], self._prefer),
            ("preferences", WHY, self._explain),
            ("archive", PATHS["archive"], self._archive),
            ("tracking", PATHS["tracking"], self._untrack),
        ):
            if f"{letter}/" == path:
                visit = self._visit(request, purpose, token, language)  # type: ignore[arg-type]
                return self._plain(language, "missing", 404) if visit is None else answer(visit)
        return self._plain(language, "missing", 404)

    def _visit(
        self, request: Request, purpose: Purpose, token: str, language: str
    ) -> _Visit | None:
        tokens, now = self._plugin.composer.links.tokens, self.crm.runtime.clock.now()
        # Only read, so that whoever looks at a page waits for no order, and no order for them.
        with self.crm.runtime.database.begin(read_only=True) as connection:
            sent = find_named(connection.execute, tokens, purpose, token, now)
            if sent is not None and sent.content is not None:
                own = variant_content(connection.execute, sent.content, sent.customer_id)
                sent = evolve(sent, content=own)
        if sent is None:
            return None
        said = sent.content.data.get("language") if sent.content is not None else None
        wish = said if isinstance(said, str) else None
        return _Visit(request, sent, token, language_of(wish, language))

    def _within(self, work: Callable[[Transaction], T]) -> T:
        return self.crm.run_transaction(work)

    def _plain(self, language: str, name: str, status: int) -> Response:
        words = WORDS[language]
        return Response(status=status, body=draw(language, words[f"{name}_title"], [words[name]]))

    def _follow(self, request: Request, letter: str, rest: str) -> Response | None:
        """Lead on by a link, or show the pixel; None: it is no link of ours."""
        if request.method == "POST":
            return None
        following = Following(self.crm, self._plugin.tracker)
        if f"{letter}/" == PATHS["open"]:
            return following.show_pixel(request, rest)
        return following.lead_on(request, rest)

    # -- pages -------------------------------------------------------------------------------

    def _leave(self, visit: _Visit) -> Response:
        """
        Unsubscribe by whatever is posted: what a mail program sends (RFC 8058), or our own form.

        A body that was mangled on its way is still the wish to leave, so it is not looked at.
        """
        what = visit.words[purpose_of(visit.sent)]
        if not visit.is_post:
            return visit.say("leave_ask", button(visit.words["leave_button"]), what=what)
        self._within(lambda tx: self._plugin.unsubscribe(tx, visit.token, mechanism="one_click"))
        return visit.say("left", what=what)

    def _confirm(self, visit: _Visit) -> Response:
        if asked_of(visit.sent) is not None:
            return self._allow_tracking(visit)
        asked = pending_of(visit.sent)
        if asked is None:
            return visit.say("void", status=410)
        what = visit.words[asked["purpose"]]
        if not visit.is_post:
            return visit.say("confirm_ask", button(visit.words["confirm_button"]), what=what)
        found = self._within(lambda tx: self._plugin.confirm(tx, visit.token))
        if found.state == "void":
            return visit.say("void", status=410)
        return visit.say("confirmed", what=what)

    def _prefer(self, visit: _Visit) -> Response:
        """
        Let somebody choose what comes; what is added they confirm by the address itself.

        So who got a forwarded mail can end what comes, as by its other link, and begin nothing.
        """
        allowed = self._allowed(visit.sent)
        shown = self._is_tracked(visit.sent)
        if not visit.is_post:
            boxes = [Box(each, visit.words[each], each in allowed) for each in _ORDER]
            if shown is not None:
                boxes.append(Box(_TRACKING, visit.words["tracking"], shown))
            return visit.say("preferences", choices(boxes, visit.words))
        form = visit.request.form
        if form is None or "save" not in form:
            return visit.say("bad", status=400)
        ticked = form.get("purpose", ())
        wanted = {each for each in ticked if each in BULK}
        self._within(lambda tx: self._choose(tx, visit, allowed, wanted))
        is_tracked = _TRACKING in ticked
        if shown is not None and shown != is_tracked:
            self._within(lambda tx: self._choose_tracking(tx, visit, is_tracked))
        is_more = bool(wanted - allowed) or (shown is False and is_tracked)
        added = visit.words["asked"].format(address=visit.address) if is_more else ""
        return visit.say("saved", f"<p>{escape(added)}</p>" if added else "")

    def _choose(self, tx: Transaction, visit: _Visit, allowed: set[str], wanted: set[str]) -> None:
        with tx.acting(EmailLink) as (_, ctx):
            # Who has been forgotten since the page was asked for is not to be known again by it.
            sent = locked_message(ctx, visit.sent.id)
        if sent is None:
            return
        for purpose in sorted(BULK - wanted):
            if purpose in allowed:
                withdraw(tx, sent, purpose, "preferences")
        for purpose in sorted(wanted - allowed):
            if sent.address is not None:
                self._plugin.sign_up(
                    tx,
                    sent.address,
                    purpose,
                    wording=WORDING,
                    language=visit.language,
                    evidence=f"preference centre by message {visit.sent.key}",
                )

    def _is_tracked(self, sent: Sent) -> bool | None:
        """Return whether somebody allows to be tracked; None: the shop does not ask for it."""
        now = self.crm.runtime.clock.now()
        with self.crm.runtime.database.begin(read_only=True) as connection:
            is_on = bool(allowed_among(connection.execute, [sent.customer_id], now))
        return None if not is_on and self._plugin.tracking == "off" else is_on

    def _choose_tracking(self, tx: Transaction, visit: _Visit, wanted: bool) -> None:
        """End it at once, or ask by the address itself, as who was forwarded a mail is not they."""
        if not wanted:
            with suppress(ErasedError):
                self._plugin.refuse_tracking(tx, visit.sent.customer_id, mechanism="preferences")
            return
        with tx.acting(EmailLink) as (_, ctx):
            ask(
                ctx,
                visit.sent,
                ctx.clock.now(),
                wording=TRACKING_WORDING,
                language=visit.language,
                pending_days=PENDING_DAYS,
            )

    def _allow_tracking(self, visit: _Visit) -> Response:
        if not visit.is_post:
            return visit.say("track_ask", button(visit.words["track_button"]))
        now, sent = self.crm.runtime.clock.now(), visit.sent
        is_done = self._within(lambda tx: allow_as_asked(tx, sent, now, PENDING_DAYS))
        return visit.say("tracked") if is_done else visit.say("void", status=410)

    def _untrack(self, visit: _Visit) -> Response:
        """End it for who got a mail, for those they have as well; told again it is the same."""
        if not visit.is_post:
            return visit.say("untrack_ask", button(visit.words["untrack_button"]))
        self._within(lambda tx: self._refuse_tracking(tx, visit.sent))
        return visit.say("untracked")

    def _refuse_tracking(self, tx: Transaction, sent: Sent) -> None:
        with suppress(ErasedError):
            refuse_by_link(tx, sent, self.crm.runtime.clock.now())

    def _allowed(self, sent: Sent) -> set[str]:
        """Return mail of which purposes consent lets go to where a message went."""
        try:
            consents = self.crm.consents(sent.customer_id)
        except CustomerNotFoundError:
            return set()
        allowed: set[str] = {
            each.purpose
            for each in consents
            if each.allowed and each.point == sent.point and each.channel == "email"
        }
        return allowed & BULK

    def _explain(self, visit: _Visit) -> Response:
        if visit.is_post:
            return visit.say("missing", status=405)
        words, sent = visit.words, visit.sent
        rest = ""
        if sent.purpose in BULK:
            links = self._plugin.composer.links
            rest = link(links.of("unsubscribe", sent.id, sent.planned_at), words["why_now"])
        said = list(reasons(self.crm, sent, visit.address, words))
        return Response(status=200, body=draw(visit.language, words["why_title"], said, rest))

    def _archive(self, visit: _Visit) -> Response:
        """Show what was said to everybody, with nothing of whom it was for."""
        content = visit.sent.content
        if visit.is_post or content is None or not visit.sent.is_shared:
            return visit.say("archive", status=404)
        composer = self._plugin.composer
        html, text = content.html, content.text
        name = content.data.get("template")
        if name is not None:
            # A campaign's variables are laid down for everybody; of a broadcast's nobody says so.
            shared = content.data.get("variables", {}) if VARIANT in content.data else {}
            known = {
                **shared,
                "sender_name": composer.sender.name,
                "postal_address": composer.postal_address,
            }
            try:
                template = composer.catalogue.choose(name, composer.language_of(content))
                shown = anonymous(template, known)
            except InputError:
                return visit.say("archive", status=404)
            html, text = shown.html, shown.text
        if html is None:
            title = content.subject or composer.sender.name
            body = draw(visit.language, title, [], f"<pre>{escape(text)}</pre>")
            return Response(status=200, body=body)
        return Response(status=200, body=page(html, {}).encode(), headers=dict(HEADERS))
