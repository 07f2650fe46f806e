"""Provider APIs: one request over HTTP for each mail, and what an answer says of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from crmcore import Accepted, Deferred, Failed, Outcome, Unknown
from crmcore.errors import ConfigurationError
from crmcore_email_link.transports.envelope import Envelope

# About the account and not about the mail: it is worth trying again once that is mended.
OF_THE_ACCOUNT: Final = frozenset({401, 402, 403, 404, 405})
_TOO_MANY: Final = 429
_OF_THE_MOMENT: Final = frozenset({408, _TOO_MANY, 503})
_LONGEST_ANSWER: Final = 100_000  # octets; more is not read
_LONGEST_WAIT: Final = 86_400.0  # seconds
_SAID: Final = 300  # characters of an explanation that are kept
_NOT_HANDED_OVER: Final = Deferred("it was not handed over", counts=False)


@frozen(kw_only=True)
class Request:
    """
    What is said to a provider.

    Attributes:
        path: Behind its address.
        headers: With the key, so it is not shown.
        body: The mail, as the provider takes it.
    """

    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@frozen(kw_only=True)
class Answer:
    """What a provider answered."""

    status: int
    headers: Message
    body: bytes

    @property
    def fields(self) -> Mapping[str, Any]:
        """What stands in the answer; nothing, if it is not a JSON object."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def retry_after(self) -> float | None:
        """Seconds after which to come again (RFC 9110, 10.2.3), where it says so."""
        said = self.headers.get("Retry-After") or ""
        try:
            return bounded(float(said))
        except ValueError:
            return self.seconds_until(said)

    def seconds_until(self, moment: str | float) -> float | None:
        """Return the seconds from the answer's own date to *moment*: no clock of ours decides."""
        try:
            now = parsedate_to_datetime(self.headers.get("Date") or "").timestamp()
            then = parsedate_to_datetime(moment).timestamp() if isinstance(moment, str) else moment
        except (ValueError, OverflowError):
            return None
        return bounded(then - now)


class Api(Protocol):
    """
    What is particular to one provider.

    Attributes:
        name: As outcomes call it.
        url: Where its API is.
        seconds: How long it may take to answer.
        connections: How many requests there are at once.
        idempotent: Whether it takes a key by which it knows a mail again.
    """

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def connections(self) -> int: ...
    @property
    def idempotent(self) -> bool: ...

    def request(self, envelope: Envelope) -> Request:
        """Return how a mail is handed over; raises `ValueError` if it cannot be."""

    def outcome(self, answer: Answer) -> Outcome:
        """Return what an answer says of the mail."""


def check_url(url: str, example: str) -> None:
    """Raise `ConfigurationError` if an address cannot be called."""
    parsed = urlsplit(url)
    if parsed.scheme not in ("https", "http") or not parsed.hostname:
        raise ConfigurationError(f"{url!r} is no address; one such as {example} is expected")


def carry(api: Api, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
    """
    Hand mails over, and return one outcome for each, in their order.

    Once the provider says that it has had too many, or that it does not know the account, those
    not yet handed over are deferred with what it said.
    """
    outcomes: list[Outcome | None] = [None] * len(envelopes)
    stopped: list[Deferred] = []
    waiting, lock = iter(range(len(envelopes))), threading.Lock()

    def work() -> None:
        talk = _Talk(api)
        try:
            for index in _shared(waiting, lock):
                if stopped:
                    outcomes[index] = stopped[0]
                    continue
                outcome, stops = talk.hand_over(envelopes[index])
                outcomes[index] = outcome
                if stops and isinstance(outcome, Deferred):
                    stopped.append(evolve(outcome, counts=False))
        finally:
            talk.close()

    count = min(api.connections, len(envelopes))
    if count <= 1:
        work()
    else:
        with ThreadPoolExecutor(count) as threads:
            for each in [threads.submit(work) for _ in range(count)]:
                each.result()
    return [each if each is not None else _NOT_HANDED_OVER for each in outcomes]


class _Talk:
    """Requests one after another over one connection."""

    def __init__(self, api: Api) -> None:
        parsed = urlsplit(api.url)
        kind = HTTPSConnection if parsed.scheme == "https" else HTTPConnection
        self._api = api
        self._path = parsed.path.rstrip("/")
        self._connection = kind(parsed.hostname or "", parsed.port, timeout=api.seconds)

    def close(self) -> None:
        self._connection.close()

    def hand_over(self, envelope: Envelope) -> tuple[Outcome, bool]:
        """Return what became of a mail, and whether there is no use in sending another."""
        api, connection = self._api, self._connection
        try:
            request = api.request(envelope)
        except ValueError as error:
            return Failed(f"{api.name} cannot be given it: {error}"), False
        try:
            if connection.sock is None:
                connection.connect()
        except OSError as error:  # nothing has been said yet
            return Deferred(f"{api.name} cannot be reached: {error}", counts=False), True
        try:
            connection.request("POST", self._path + request.path, request.body, {**request.headers})
            said = connection.getresponse()
            answer = Answer(
                status=said.status, headers=said.headers, body=said.read(_LONGEST_ANSWER)
            )
            if not said.isclosed():  # the rest of a long answer would be taken for the next one
                connection.close()
        except (OSError, HTTPException) as error:
            connection.close()
            reason = str(error) or type(error).__name__
            return unsure(api, f"{api.name} was told, and did not answer: {reason}"), False
        stops = answer.status == _TOO_MANY or answer.status in (401, 403)
        return api.outcome(answer), stops


def judge(
    api: Api,
    answer: Answer,
    *,
    reference: object,
    code: object = None,
    said: object = None,
    of_the_account: bool = False,
    wait: float | None = None,
) -> Outcome:
    """
    Return what an answer means, by its status.

    Args:
        api: Whose answer it is.
        answer: What was answered.
        reference: The provider's name for the mail, where it says that it took it.
        code: Its own code of what is wrong.
        said: The same in words.
        of_the_account: Whether that is about the account, and not about the mail.
        wait: Seconds after which to come again, where it said so in a way of its own.
    """
    status = answer.status
    if 200 <= status < 300:
        if isinstance(reference, str) and reference:
            return Accepted(reference)
        return unsure(api, f"{api.name} answered {status}, and not with the mail's id")
    reason = f"{api.name} answered {status}"
    if isinstance(code, int | str) and code != "":
        reason += f", {code}"
    if isinstance(said, str) and said:
        reason += f": {said[:_SAID]}"
    wait = wait if wait is not None else answer.retry_after
    if of_the_account or status < 400 or status in OF_THE_ACCOUNT | _OF_THE_MOMENT:
        is_about_it = not (of_the_account or status in OF_THE_ACCOUNT or status == _TOO_MANY)
        return Deferred(reason, wait, counts=is_about_it)
    if status < 500:
        return Failed(reason)
    # It broke while it had the mail, or somebody in between answered for it.
    return unsure(api, reason)


def unsure(api: Api, reason: str) -> Outcome:
    """Return what it means not to know: with a key it can safely be said again."""
    return (
        Deferred(f"{reason}; its key makes it safe to say again")
        if api.idempotent
        else (Unknown(reason))
    )


def bounded(seconds: float) -> float | None:
    """Return a wait that is one; at most a day."""
    return min(seconds, _LONGEST_WAIT) if seconds > 0 else None


def to_json(value: object) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _shared(waiting: Iterator[int], lock: threading.Lock) -> Iterator[int]:
    """Give out each index once, to several threads."""
    while True:
        with lock:
            index = next(waiting, None)
        if index is None:
            return
        yield index
