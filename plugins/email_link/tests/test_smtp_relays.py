"""SMTP: connections that are kept, shared, bounded and protected, and routes."""

import asyncio
import os
import ssl
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from crmcore_email_link.throttle import Limits
from crmcore_email_link.transports.conversation import Relay
from crmcore_email_link.transports.routes import by_mx, by_provider
from crmcore_email_link.transports.smtp import Smtp

from crmcore import Accepted, Deferred, Failed
from crmcore.errors import ConfigurationError
from plugins.email_link.tests.mailing import (
    OFFERS,
    RAW,
    Throttle,
    envelope,
    envelopes,
    sent,
    smtp_to,
)
from plugins.email_link.tests.receivers import (
    SILENCE,
    Receiver,
    certificate,
)


def test_e19_a_connection_is_used_again_and_ends_after_its_mails():
    """Kept between calls; given up after as many mails as its destination allows."""
    throttle = Throttle(limits=Limits(connections=1, mails_per_connection=10))
    with Receiver() as receiver, smtp_to(receiver, throttle=throttle) as smtp:
        smtp.send(envelopes(4))
        smtp.send(envelopes(4))
        assert 1 == receiver.connections
        smtp.send(envelopes(14))
        assert 3 == receiver.connections
        assert 22 == len(receiver.taken)


@pytest.mark.parametrize("words", [None, "421 4.4.2 Idle for too long\r\n"])
@OFFERS
def test_e16_a_server_that_hung_up_meanwhile_costs_no_mail(words, offers):
    """A kept connection that is dead is replaced, and nobody is deferred or slowed for it."""
    with Receiver(offers=offers) as receiver, smtp_to(receiver) as smtp:
        smtp.send(envelopes(2))
        receiver.hang_up(words)
        outcomes = smtp.send(envelopes(2))
        assert [Accepted, Accepted] == [type(each) for each in outcomes]
        assert 4 == len(receiver.taken)


def test_e19_a_slow_receiver_does_not_hold_up_others():
    """Each domain is a destination; the one that says nothing defers its own mails only."""
    with (
        Receiver() as good,
        Receiver(lambda at, _: SILENCE if at == "MAIL" else None) as stuck,
    ):

        def route(domain):
            if domain == "null.example":
                return []
            if domain == "odd.example":
                raise LookupError("no answer from the name server")
            port = stuck.port if domain == "stuck.example" else good.port
            seconds = 0.5 if port == stuck.port else 60.0
            return [Relay(host="127.0.0.1", port=port, tls="never", command_seconds=seconds)]

        those = [envelope(f"p{i}@{d}.example") for i in range(6) for d in ("stuck", "a", "b")]
        those += [envelope("p@null.example"), envelope("p@odd.example")]
        with Smtp(route=route, hello="x", seconds=600.0) as smtp:
            outcomes: Any = smtp.send(those)
        by_domain: dict[str, set[Any]] = {d: set() for d in ("stuck", "a", "b", "null", "odd")}
        for each, outcome in zip(those, outcomes, strict=True):
            by_domain[each.domain.partition(".")[0]].add(type(outcome))
        assert {
            "stuck": {Deferred},
            "a": {Accepted},
            "b": {Accepted},
            "null": {Failed},
            "odd": {Deferred},
        } == by_domain
        assert 12 == len(good.taken)
        assert 1 == stuck.connections  # nobody answered there, so no second one was tried
        assert "no answer from the name server" in outcomes[-1].reason
        assert outcomes[-2].undeliverable


def test_e18_the_next_best_server_takes_over():
    """Where the first one is not there the second is asked."""
    with Receiver() as first:
        pass
    with Receiver() as second:
        relays = [Relay(host="127.0.0.1", port=each.port, tls="never") for each in (first, second)]
        with Smtp(route=lambda _: relays, hello="x", seconds=600.0) as smtp:
            assert {Accepted} == {type(each) for each in smtp.send(envelopes(5))}


def test_e19_who_waits_too_long_for_its_turn_is_deferred_with_the_wait():
    """At one mail in ten seconds the first goes, and the others are told when."""
    throttle = Throttle(limits=Limits(rate=0.1, burst=1))
    outcomes, receiver = sent(envelopes(3), throttle=throttle)
    assert [Accepted, Deferred, Deferred] == [type(each) for each in outcomes]
    assert all(1 < each.retry_after <= 10 and not each.counts for each in outcomes[1:])
    assert ["p0@example.com"] == receiver.recipients()


def test_e19_connections_are_bounded():
    """Never more at once than the destination has."""
    throttle = Throttle(limits=Limits(connections=3))
    outcomes, receiver = sent(envelopes(200), throttle=throttle)
    assert {Accepted} == {type(each) for each in outcomes}
    assert 2 <= receiver.most_open <= 3


def test_e13_tls_as_the_relay_demands(tmp_path):
    """Offered is used; required is required; verified checks the name and who vouches for it."""
    cert, key = certificate(tmp_path)
    other, _ = certificate(tmp_path, "elsewhere.example")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    def outcome(receiver, **fields):
        with smtp_to(receiver, **fields) as smtp:
            return smtp.send([envelope("ada")])[0]

    with Receiver(tls_context=context, require_starttls=True) as receiver:
        assert isinstance(outcome(receiver, tls="offered"), Accepted)
        assert isinstance(outcome(receiver, tls="required"), Accepted)
        assert isinstance(outcome(receiver, tls="verified", authority=str(cert)), Accepted)
        assert "CERTIFICATE_VERIFY_FAILED" in outcome(receiver, tls="verified").reason
        refused = outcome(receiver, tls="verified", authority=str(other))
        assert isinstance(refused, Deferred)
        assert isinstance(outcome(receiver, tls="never"), Failed | Deferred)
    with Receiver() as receiver:
        assert isinstance(outcome(receiver, tls="offered"), Accepted)
        assert "does not offer TLS" in outcome(receiver, tls="required").reason
        assert 1 == len(receiver.taken)
    with Receiver(implicit_tls=context) as receiver:
        long = envelope("ada", raw=RAW + b"long\r\n" * 60_000)
        with smtp_to(receiver, tls="implicit", authority=str(cert)) as smtp:
            assert [Accepted] * 2 == [type(e) for e in smtp.send([long, envelope("bea")])]
        assert long.raw == receiver.taken[0][2]


def test_e13_a_password_goes_over_verified_connections_only(tmp_path):
    """A relay that would be told it in the clear is refused; a wrong one defers."""
    for tls in ("never", "offered", "required"):
        with pytest.raises(ConfigurationError, match="read the password"):
            Relay(host="mail.example.com", username="shop", password="s", tls=tls)
    assert "secret" not in repr(
        Relay(host="mail.example.com", username="shop", password="secret", tls="implicit")
    )
    misspelt: Any = "ofered"
    with pytest.raises(ConfigurationError, match="did you mean 'offered'"):
        Relay(host="x", tls=misspelt)

    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    def authenticate(server, session, envelope, mechanism, data):
        is_right = (b"shop", b"secret") == (data.login, data.password)
        return AuthResult(success=is_right, handled=False)

    with Receiver(
        tls_context=context, require_starttls=True, authenticator=authenticate, auth_required=True
    ) as receiver:
        for password, kind in (("secret", Accepted), ("wrong", Deferred)):
            fields = {"username": "shop", "password": password, "authority": str(cert)}
            with smtp_to(receiver, tls="verified", **fields) as smtp:
                (outcome,) = smtp.send([envelope("ada")])
                assert isinstance(outcome, kind)
        assert "535 5.7.8" in outcome.reason
        assert not outcome.counts


def test_it_can_be_called_from_within_a_loop():
    """From a coroutine too, where a loop cannot run inside another."""
    with Receiver() as receiver, smtp_to(receiver) as smtp:

        async def act():
            return smtp.send(envelopes(3))

        assert {Accepted} == {type(each) for each in asyncio.run(act())}
        assert {Accepted} == {type(each) for each in smtp.send(envelopes(3))}


def test_a_copy_of_the_process_uses_connections_of_its_own():
    """After a fork nobody speaks into a conversation that another one leads."""
    with Receiver() as receiver, smtp_to(receiver) as smtp:
        smtp.send(envelopes(1))
        child = os.fork()
        if child == 0:
            outcomes = smtp.send([envelope("child")])
            os._exit(0 if isinstance(outcomes[0], Accepted) else 1)
        assert (child, 0) == os.waitpid(child, 0)
        assert isinstance(smtp.send(envelopes(1))[0], Accepted)
        assert 2 == receiver.connections
        assert 3 == len(receiver.taken)


def test_an_interrupted_call_leaves_nothing_for_the_next_one():
    """What was waiting is not sent later behind the back of whoever wrote down that it was not."""

    def interrupt():
        raise KeyboardInterrupt

    def fault(at, recipient):
        if recipient == "p3@example.com" and at == "RCPT":
            loops[0].call_soon_threadsafe(interrupt)
            return SILENCE
        return None

    loops: list[Any] = []
    with Receiver(fault) as receiver:
        with smtp_to(receiver, throttle=Throttle(limits=Limits(connections=1))) as smtp:
            smtp._ready()
            loops.append(smtp._loop)
            with pytest.raises(KeyboardInterrupt):
                smtp.send(envelopes(10))
            assert 3 == len(receiver.taken)
            assert [] == list(smtp.throttle.drain())
            assert isinstance(smtp.send([envelope("ada")])[0], Accepted)
        assert 4 == len(receiver.taken)


def test_a_transport_needs_to_know_where_to():
    """Neither a relay nor a route, or both, is refused; nothing to send is nothing to do."""
    with pytest.raises(ConfigurationError):
        Smtp()
    with pytest.raises(ConfigurationError):
        Smtp(relay=Relay(host="x"), route=lambda _: [])
    assert [] == Smtp(relay=Relay(host="x")).send([])
    Smtp(relay=Relay(host="x")).close()


def test_e19_routes_and_providers_follow_from_mx_records():
    """The best first; without one the domain itself; a lone dot, or no such name: nobody."""
    records = {
        ("a.example", "MX"): ["20 Two.example.", "10 one.example", "20 also.example"],
        ("bare.example", "A"): ["192.0.2.1"],
        ("null.example", "MX"): ["0 ."],
        ("shop.example", "MX"): ["1 aspmx.l.google.com"],
        ("gmail.com", "MX"): ["5 gmail-smtp-in.l.google.com", "10 alt1.gmail-smtp-in.l.google.com"],
        ("own.example", "MX"): ["1 own-example.mail.protection.outlook.com"],
        ("short.example", "MX"): ["1 mx.example"],
    }

    def lookup(name, kind):
        return records.get((name, kind), ())

    route = by_mx(lookup, Relay(host="", tls="required"))
    hosts = {
        each: [relay.host for relay in route(f"{each}.example")]
        for each in ("a", "bare", "null", "gone")
    }
    assert {
        "a": ["one.example", "also.example", "two.example"],
        "bare": ["bare.example"],
        "null": [],
        "gone": [],
    } == hosts
    assert {"required"} == {relay.tls for relay in route("a.example")}
    provider = by_provider(lookup)
    assert "l.google.com" == provider("shop.example") == provider("gmail.com")
    assert "mail.protection.outlook.com" == provider("own.example")
    assert "mx.example" == provider("short.example")
    assert [None, None] == [provider(each) for each in ("bare.example", "gone.example")]


@OFFERS
def test_e18_a_421_to_the_first_mail_after_a_rest_is_about_the_rest(offers):
    """A server that was about to hang up gets the mail again, anew, and is not slowed."""
    number = [0]

    def fault(at, recipient):
        if at == "MAIL":
            number[0] += 1
            return "421 4.4.2 Idle for too long" if number[0] == 3 else None
        return None

    with Receiver(fault, offers=offers) as receiver, smtp_to(receiver) as smtp:
        for _ in range(3):
            assert [Accepted, Accepted] == [type(each) for each in smtp.send(envelopes(2))]
        assert 2 == receiver.connections
        assert 6 == len(receiver.taken)
