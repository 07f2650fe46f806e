"""Provider APIs against a local server that answers as they document it."""

from typing import Any

import pytest
from crmcore_email_link.transports import (
    Postmark,
    Resend,
    SendGrid,
)

from crmcore import Accepted, Deferred, Failed, Unknown
from crmcore.errors import ConfigurationError
from plugins.email_link.tests.provider_servers import KINDS, TAKEN, envelope, make, sent, serving


@KINDS
def test_e16_what_was_taken_has_the_providers_name_for_it(kind):
    """One connection carries several, and each answer belongs to its mail."""
    outcomes, server = sent(kind, *[TAKEN[kind]] * 3, count=3)
    assert [Accepted("0100-abc")] * 3 == list(outcomes)
    assert 1 == server.connections


@KINDS
def test_e16_what_was_not_answered_is_unknown_unless_a_key_makes_it_safe(kind):
    """No answer, one of a broken server, and a yes without an id."""
    expected = Deferred if kind is Resend else Unknown
    no_id: Any = (TAKEN[kind][0], {}, {})
    answers: list[Any] = [None, (500, {}, {}), (502, b"<html>", {}), no_id, (200, b"no json", {})]
    for answer in answers:
        (outcome,), _ = sent(kind, answer)
        assert expected is type(outcome), answer
    assert (kind is Resend) == make(kind, "http://x").idempotent


@KINDS
def test_e18_what_was_refused_fails_and_the_account_only_defers(kind):
    """400, 413 and 422 are about the mail; 401, 403 and 404 are about us."""
    for status in (400, 413, 422):
        (outcome,), _ = sent(kind, (status, {"message": "Wrong", "Message": "Wrong"}, {}))
        assert (Failed, False) == (type(outcome), outcome.undeliverable)
        assert str(status) in outcome.reason
    for status in (401, 403, 404, 301):
        (outcome,), _ = sent(kind, (status, {}, {}))
        assert Deferred is type(outcome)
        assert (status == 301) == outcome.counts


@KINDS
def test_e18_too_many_is_waited_for_and_the_rest_is_not_tried(kind):
    """The wait in seconds or as a date by the answer's own clock, and at most a day."""
    outcomes, server = sent(kind, (429, {}, {"Retry-After": "7"}), count=5)
    assert [(Deferred, 7.0)] * 5 == [(type(each), each.retry_after) for each in outcomes]
    assert not any(each.counts for each in outcomes)
    assert 1 == len(server.requests)
    for said, wait in (
        ("Mon, 23 Nov 2026 12:01:30 GMT", 90.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", None),
        ("soon", None),
        ("999999999", 86_400.0),
        ("-3", None),
    ):
        (outcome,), _ = sent(kind, (429, {}, {"Retry-After": said}))
        assert wait == outcome.retry_after
    (outcome,), _ = sent(kind, (503, b"", {}))
    assert Deferred is type(outcome)


@KINDS
def test_e16_nobody_at_home_is_deferred(kind):
    """Nothing was said yet, and an address that cannot be called is refused at once."""
    with serving() as (_, url):
        pass
    (outcome,) = make(kind, url).send([envelope()])
    assert (Deferred, False) == (type(outcome), outcome.counts)
    with pytest.raises(ConfigurationError):
        make(kind, "ftp://example.com")
    assert "secret" not in repr(make(kind, url)).lower()
    make(kind, url).close()


@KINDS
def test_several_at_once_keep_their_order(kind):
    """Each mail once, its outcome in its place, over as many connections as are allowed."""
    count = 40
    with serving(always=TAKEN[kind]) as (server, url):
        outcomes = make(kind, url, connections=4).send([envelope(i) for i in range(count)])
    assert [Accepted("0100-abc")] * count == list(outcomes)
    assert count == len(server.requests)
    assert server.connections <= 4


@pytest.mark.parametrize("kind", [Postmark, SendGrid, Resend])
def test_a_mail_without_parts_fails_alone(kind):
    """What cannot be given as fields is about that mail; the next one goes."""
    bad = envelope(raw=b"Subject: x\r\n\r\n")
    with serving(always=TAKEN[kind]) as (server, url):
        outcomes = make(kind, url).send([bad, envelope()])
    assert [Failed, Accepted] == [type(each) for each in outcomes]
    assert "it has no From" in outcomes[0].reason
    assert 1 == len(server.requests)
