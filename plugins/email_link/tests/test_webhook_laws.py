"""Webhooks: whatever comes, in whatever order, the same stands."""

import itertools
from pathlib import Path

import pytest
from crmcore_email_link.webhooks import (
    Feedback,
    FeedbackRefusedError,
    standing,
)
from crmcore_email_link.webhooks.feedback import bounce_kind, status_in
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from plugins.email_link.tests.webhook_senders import mailgun, postmark, resend, sendgrid


def feedback(kind, at, number, recipient="ada@example.com"):
    return Feedback(
        provider="ses",
        event_id=str(number),
        kind=kind,
        reference="m",
        recipient=recipient,
        at=at,
        raw="{}",
    )


KINDS = "unknown deferred delivered opened clicked soft block hard unsubscribed complaint".split()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(KINDS), st.integers(0, 3), st.sampled_from(["a@x", "A@x", "b@x"])
        ),
        max_size=8,
    ),
    st.randoms(),
)
def test_e24_the_order_of_arrival_changes_nothing(events, chance):
    """Shuffled, and told twice: the same stands, and it is the gravest of each recipient."""
    those = [feedback(event[0], event[1], number, event[2]) for number, event in enumerate(events)]
    shuffled = [*those, *those]
    chance.shuffle(shuffled)
    found = standing(shuffled)
    assert standing(those) == found
    for (_, _, recipient), stands in found.items():
        same = [each for each in those if each.recipient.lower() == recipient]
        assert max(KINDS.index(each.kind) for each in same) == KINDS.index(stands.kind)


def test_e24_what_was_delivered_after_a_bounce_does_not_revive():
    """In whatever order they come, and whenever they happened."""
    bounced, delivered = feedback("hard", 1, 1), feedback("delivered", 2, 2)
    for those in itertools.permutations([bounced, delivered]):
        assert [bounced] == list(standing(those).values())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["mail", "bounce", "event", "data", "to", "timestamp", "email"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=10,
    )
)
def test_e24_whatever_a_provider_sends_is_read_or_refused(event):
    """Of any shape: feedback of kinds there are, or `FeedbackRefusedError`; nothing else."""
    key = FUZZED_KEY
    for receive_it in (
        lambda: mailgun(event),
        lambda: resend(event),
        lambda: sendgrid(key, event),
        lambda: postmark(event),
    ):
        try:
            found = receive_it()
        except FeedbackRefusedError:
            continue
        assert all(each.kind in KINDS for each in found)
        assert all(isinstance(each.at, int) for each in found)


FUZZED_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("status", "said", "is_permanent", "kind"),
    [
        ("5.1.1", "blocked as spam", False, "hard"),
        ("5.1.10", None, True, "hard"),
        ("5.7.515", "no such user", True, "block"),
        ("4.7.0", None, False, "block"),
        (None, "No such user", True, "hard"),
        (None, "No such user", False, "soft"),
        (None, "rejected: SPF", True, "block"),
        ("5.0.0", "user unknown", True, "hard"),
        ("5.4.4", None, True, "soft"),
        ("5.1.4", None, True, "soft"),
    ],
)
def test_e21_codes_come_before_words(status, said, is_permanent, kind):
    """A block is never hard, and without a code only the provider's own word makes it so."""
    assert kind == bounce_kind(status, said, is_permanent=is_permanent)


def test_an_enhanced_status_is_found_in_words():
    """It is no part of an address, a version or a date."""
    assert "5.1.1" == status_in(None, "smtp;550 5.1.1 <a@x> no")
    assert "4.4.7" == status_in("smtp; 4.4.7 expired")
    assert "5.1.10" == status_in("550-5.1.10 null MX")
    for text in ("connect to 192.0.2.4.1: refused", "15.1.1", "5.1", "", None, "5.1.1.1 host"):
        assert status_in(text) is None


def test_no_test_here_reaches_for_a_network():
    """Certificates are fetched by what the application gives; no module of webhooks opens one."""
    import crmcore_email_link.webhooks as webhooks

    for path in Path(webhooks.__file__).parent.glob("*.py"):
        text = path.read_text()
        assert "http.client" not in text
        assert "urlopen" not in text
