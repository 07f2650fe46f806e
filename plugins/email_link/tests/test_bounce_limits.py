"""Limits: mails that are large, or made to be slow, cost little all the same (1.5)."""

import subprocess
import sys

import pytest

HEAD = """\
From: MAILER-DAEMON@mx.example.net
To: b+aaaqeayeaudaocajbifqydiob4ibceq@shop.example
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
"""
REPORT = f'{HEAD}Content-Type: multipart/report; report-type=delivery-status; boundary="x"\n\n'
STATUS = f"{REPORT}--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; m\n\n"
GROUP = "Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.0.0\n"
ONE = f"{GROUP}Diagnostic-Code: smtp; 550 user unknown\n\n"
DEEPER = "Content-Type: multipart/mixed; boundary=b{0}\n\n--b{0}\n"

LARGE = {
    "10 MB of text": lambda: f"{HEAD}\n" + "user unknown\n" * 800_000,
    "10 MB with CR": lambda: (f"{HEAD}\n" + "user unknown\n" * 800_000).replace("\n", "\r"),
    "10 MB in a line": lambda: f"{HEAD}\n" + "a@" * 5_000_000,
    "10 MB of headers": lambda: HEAD + "X: a\n b\n" * 1_400_000,
    "10 MB in one header": lambda: HEAD + "X: " + "a\n " * 3_300_000,
    "10 MB of recipients": lambda: STATUS + ONE * 120_000,
    "10 MB of a mail": lambda: (
        f"{STATUS}{ONE}--x\nContent-Type: message/rfc822\n\n" + "ab\n" * 3_300_000
    ),
    "10 MB of HTML": lambda: f"{HEAD}Content-Type: text/html\n\n" + "<style>" * 1_400_000,
    "10 MB in base64": lambda: f"{HEAD}Content-Transfer-Encoding: base64\n\n" + "QUJD" * 2_500_000,
    "10,000 parts deep": lambda: HEAD + "".join(DEEPER.format(n) for n in range(10_000)),
    "10,000 parts deep, all alike": lambda: HEAD + DEEPER.format("") * 10_000,
    "10,000 mails deep": lambda: HEAD + "Content-Type: message/rfc822\n\n" * 10_000,
    "10,000 parts wide": lambda: REPORT + "--x\nContent-Type: text/plain\n\nhi\n" * 10_000,
    "almost boundaries": lambda: REPORT + "--xy\n" * 2_000_000,
    "no mail": lambda: "\n" * 10_000_000,
}
WORDS = ["user-", "domain ", "550-", "--", "a.b.", "用户"]
# The process raises its own limit for each mail, so that what is read before costs nothing.
RUN = """
import math, resource, sys
from crmcore_email_link import complaints
from crmcore_email_link.bounces import classify
while size := sys.stdin.buffer.readline():
    raw = sys.stdin.buffer.read(int(size))
    before = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(before.ru_utime + before.ru_stime) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
    found = classify(raw)
    complaints.parse(raw)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before.ru_maxrss
    print(found.kind, len(found.recipients), grown // 1024, flush=True)
"""


@pytest.fixture(scope="module")
def process():
    """Provide a process that is killed once it takes 2 s of CPU, or 3 at the most, for a mail."""
    command = [sys.executable, "-c", RUN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process


@pytest.fixture
def classified(process):
    """Provide a function that has the process classify a mail: its kind and its recipients."""

    def ask(text):
        raw = text.encode()
        process.stdin.write(b"%d\n" % len(raw) + raw)
        process.stdin.flush()
        kind, count, megabytes = process.stdout.readline().split()
        assert int(megabytes) < 64
        return kind.decode(), int(count)

    return ask


@pytest.mark.parametrize("name", LARGE)
def test_1_5_a_large_bounce_costs_little(classified, name):
    """Two seconds of CPU and 64 MB are enough for 10 MB, or for 10,000 parts."""
    kind, count = classified(LARGE[name]())

    assert kind in ("hard", "soft", "unknown")
    assert count <= 64


@pytest.mark.parametrize("word", WORDS)
def test_1_5_words_that_almost_fit_cost_little(classified, word):
    """A hundred recipients with words that every rule begins to match are judged in that time."""
    said = word * (1500 // len(word))
    slow = "".join(f"{GROUP}Diagnostic-Code: smtp; 550 {said} {n}\n\n" for n in range(100))

    assert classified(STATUS + slow)[1] >= 20
    assert classified(f"{HEAD}\n{word * (16_000 // len(word))}")[0]


def test_1_5_the_report_is_found_behind_what_is_large(classified):
    """The size of one part does not hide the next one."""
    large = f"--x\nContent-Type: message/rfc822\n\n{'ab ' * 3_300_000}\n"
    status = STATUS.removeprefix(REPORT)

    assert ("hard", 1) == classified(f"{REPORT}{large}{status}{ONE}--x--\n")
