"""Laws: what changes nothing about a bounce (E21, 1.5)."""

import base64
import quopri

import pytest
from crmcore_email_link import complaints
from crmcore_email_link.bounces import classify
from hypothesis import given, settings
from hypothesis import strategies as st

TOKEN = "aaaqeayeaudaocajbifqydiob4ibceq"
HEAD = f"""\
From: MAILER-DAEMON@mx.example.net
To: b+{TOKEN}@shop.example
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
"""
REPORT = f'{HEAD}Content-Type: multipart/report; report-type=delivery-status; boundary="x"\n\n'
RETURNED = "--x\nContent-Type: text/rfc822-headers\n\nMessage-ID: <news-1@shop.example>\n\n"
ENDS = {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}

groups = st.lists(
    st.sampled_from(
        [
            ("Final-Recipient", "rfc822; ada@example.com"),
            ("Original-Recipient", "rfc822; ada@example.com"),
            ("Remote-MTA", "dns; mx.example.com"),
            ("Last-Attempt-Date", "Mon, 2 Nov 2026 10:00:00 +0000"),
            ("X-Postfix-Queue-ID", "4XYZ"),
        ]
    ),
    unique=True,
)
needed = [
    ("Final-Recipient", "rfc822; ada@example.com"),
    ("Action", "failed"),
    ("Status", "5.0.0"),
]
replies = st.sampled_from(
    [
        ("hard", "550 5.1.1 <ada@example.com>: Recipient address rejected: User unknown"),
        ("hard", "550 Host or domain name not found for this address; no such domain"),
        ("soft", "552 5.2.2 The mailbox of the recipient is over quota and full, try again later"),
        ("soft", "connect to mx.example.com: Connection timed out after several attempts"),
        ("block", "554 5.7.1 Service unavailable; client host [192.0.2.1] blocked using a list"),
        ("block", "550 Your message was rejected as spam by the content filter of this server"),
    ]
)


def of(fields, order=("report", "text"), end="\n"):
    """Return a report of these fields, in which the parts stand in this order."""
    lines = "\n".join(f"{name}: {value}" for name, value in fields)
    parts = {
        "text": "--x\nContent-Type: text/plain\n\nIt failed.\n",
        "report": "--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; "
        "mx.example.net\n\n"
        f"{lines}\n\n",
        "returned": RETURNED,
    }
    whole = REPORT + "".join(parts[each] for each in order) + "--x--\n"
    return whole.replace("\n", end).encode()


def seen(raw):
    """Return what counts of a report."""
    found = classify(raw)
    return found.kind, [(each.kind, each.address) for each in found.recipients], found.message_id


@settings(max_examples=150)
@given(
    reply=replies,
    more=groups,
    order=st.permutations(["text", "report", "returned"]),
    mixed=st.randoms(use_true_random=False),
    end=st.sampled_from(list(ENDS.values())),
    folds=st.lists(st.integers(0, 10), max_size=4),
    fold=st.sampled_from(["\n ", "\n\t", "\n    "]),
)
def test_e21_form_changes_nothing(reply, more, order, mixed, end, folds, fold):
    """The order of parts and fields, how they are folded, and how lines end are of no account."""
    kind, words = reply
    pieces = words.split(" ")
    for at in folds:
        place = 1 + at % (len(pieces) - 1)
        pieces[place] = pieces[place] if fold in pieces[place] else f"{fold}{pieces[place].strip()}"
    words = " ".join(pieces)
    others = [each for each in more if each[0] != "Final-Recipient"]
    fields = [*needed, *others, ("Diagnostic-Code", f"smtp; {words}")]
    mixed.shuffle(fields)

    assert (kind, [(kind, "ada@example.com")], "news-1@shop.example") == seen(
        of(fields, order, end)
    )


@settings(max_examples=60)
@given(
    word=st.sampled_from(
        [
            ("hard", "收件人邮箱不存在", ("utf-8", "gb18030", "gb2312", "gbk", "big5hkscs")),
            ("hard", "такой пользователь не найден", ("utf-8", "koi8-r", "windows-1251")),
            ("soft", "La boîte du destinataire est pleine", ("utf-8", "iso-8859-1", "utf-7")),
            ("hard", "宛先不明です", ("utf-8", "iso-2022-jp", "shift_jis", "euc-jp")),
        ]
    ),
    data=st.data(),
    encoding=st.sampled_from(["8bit", "base64", "quoted-printable"]),
    end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_e21_the_character_set_changes_nothing(word, data, encoding, end):
    """A notice is read in the character set and the encoding that it claims."""
    kind, words, charsets = word
    charset = data.draw(st.sampled_from(charsets))
    try:
        body = f"{words}\nada@example.com\n".encode(charset)
    except UnicodeEncodeError:
        return
    if encoding == "base64":
        body = base64.encodebytes(body)
    elif encoding == "quoted-printable":
        body = quopri.encodestring(body)
    head = f"{HEAD}Content-Type: text/plain; charset={charset}\n".encode()
    raw = head + b"Content-Transfer-Encoding: " + encoding.encode() + b"\n\n"
    raw = (raw + body).replace(b"\r\n", b"\n").replace(b"\n", end)

    assert kind == classify(raw).kind


@pytest.mark.parametrize(("charset", "wrong"), [("gb18030", "us-ascii"), ("utf-8", "x-unknown")])
def test_e21_a_wrong_character_set_is_no_obstacle(charset, wrong):
    """Many claim US-ASCII, or nothing that there is, and write something else."""
    head = f"{HEAD}Content-Type: text/plain; charset={wrong}\n\n"

    assert "soft" == classify(head.encode() + "收件人邮箱空间已满".encode(charset)).kind


@settings(max_examples=300)
@given(cut=st.integers(0, 2000), gone=st.integers(0, 200), noise=st.binary(max_size=80))
def test_e21_broken_bounces_are_no_error(cut, gone, noise):
    """A report that was cut, or into which bytes fell, is read as far as it goes."""
    raw = of(
        [*needed, ("Diagnostic-Code", "smtp; 550 user unknown")], ("text", "report", "returned")
    )
    cut = min(cut, len(raw))
    found = classify(raw[:cut] + noise + raw[cut + gone :])

    assert found.kind
    assert all(each.kind for each in found.recipients)


@settings(max_examples=200)
@given(raw=st.binary(max_size=2000))
def test_e21_bytes_of_any_kind_are_no_error(raw):
    """Bytes that are no mail at all are unknown, or what a bounce they happen to be."""
    assert classify(raw).kind
    complaints.parse(raw)


@pytest.mark.parametrize(
    "charset", ["punycode", "idna", "unicode_escape", "hex", "rot13", "undefined", "'"]
)
def test_e21_no_odd_codec_is_used(charset):
    """Python has codecs that are no character sets; some are slow, and some warn."""
    head = f"{HEAD}Content-Type: text/plain; charset={charset}\n\n"

    assert "hard" == classify(f"{head}no such user {'a-' * 60_000}".encode()).kind
