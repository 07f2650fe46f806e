"""The doctor, by records as they may stand in the DNS."""

import base64
from types import MappingProxyType

import pytest
from crmcore_email_link import dmarc, spf
from crmcore_email_link.dns_doctor import examine
from crmcore_email_link.dns_lookup import LookupFailedError, remembering, system_lookup, tags_of
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from crmcore.errors import InputError


def public(bits):
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


KEY = public(2048)
GOOD = MappingProxyType(
    {
        ("example.com", "MX"): ["10 mx.example.com"],
        ("mx.example.com", "A"): ["192.0.2.1"],
        ("mx.example.com", "AAAA"): ["2001:db8::1"],
        ("example.com", "TXT"): ["v=spf1 mx ip4:198.51.100.0/24 -all", "other=1"],
        ("s1._domainkey.example.com", "TXT"): [f"v=DKIM1; k=rsa; p={KEY}"],
        ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=reject; rua=mailto:d@example.com"],
        ("1.2.0.192.in-addr.arpa", "PTR"): ["mx.example.com."],
        ("_mta-sts.example.com", "TXT"): ["v=STSv1; id=1"],
        ("default._bimi.example.com", "TXT"): ["v=BIMI1; l=https://example.com/logo.svg"],
    }
)


def lookup_of(records):
    def lookup(name, kind):
        found = records.get((name, kind), ())
        if isinstance(found, Exception):
            raise found
        return found

    return lookup


def checks(change=(), domain="example.com", **fields):
    records = {**GOOD, **dict(change)}
    given = {"selectors": ["s1"], "addresses": ["192.0.2.1"], **fields}
    return {each.name: each for each in examine(domain, lookup_of(records), **given)}


def test_e13_a_domain_that_has_all_passes_all():
    """Each thing that Gmail, Yahoo and Microsoft ask for, and nothing left to do but TLS."""
    found = checks()
    assert {"pass"} == {each.status for each in found.values()}
    assert [
        "mx example.com",
        "spf",
        "spf 192.0.2.1",
        "dkim s1",
        "dmarc",
        "alignment dkim",
        "alignment spf",
        "reverse dns 192.0.2.1",
        "tls",
        "bimi",
    ] == list(found)
    assert {"tls"} == {name for name, each in found.items() if each.cure}


@pytest.mark.parametrize(
    ("change", "name", "says"),
    [
        ({("example.com", "MX"): ["0 ."]}, "mx example.com", "takes no mail"),
        ({("example.com", "MX"): []}, "mx example.com", "no MX, and no address"),
        ({("example.com", "MX"): ["5 gone.example.com"]}, "mx example.com", "gone.example.com has"),
        ({("example.com", "TXT"): []}, "spf", "has no SPF record"),
        ({("example.com", "TXT"): ["v=spf1 -all", "v=spf1 mx -all"]}, "spf", "2 SPF records"),
        ({("example.com", "TXT"): ["v=spf1 +all"]}, "spf", "everybody"),
        ({("example.com", "TXT"): ["v=spf1 all"]}, "spf", "everybody"),
        ({("example.com", "TXT"): ["v=spf1 includes:x -all"]}, "spf", "no mechanism"),
        ({("example.com", "TXT"): ["v=spf1 ip4:300.1.1.1 -all"]}, "spf", "no network"),
        ({("example.com", "TXT"): ["v=spf1 include:none.example -all"]}, "spf", "0 SPF records"),
        ({("example.com", "TXT"): ["v=spf1 a:x a:y a:z -all"]}, "spf", "3 lookups find nothing"),
        ({("example.com", "TXT"): ["v=spf1 include:example.com -all"]}, "spf", "includes it again"),
        ({("example.com", "TXT"): ["v=spf1 redirect=b.example -all"]}, "spf", "never read"),
        ({("example.com", "TXT"): ["v=spf1 ip4:203.0.113.0/24 -all"]}, "spf 192.0.2.1", "fail of"),
        ({("s1._domainkey.example.com", "TXT"): []}, "dkim s1", "0 keys"),
        (
            {("s1._domainkey.example.com", "TXT"): [f"p={KEY}", f"p={KEY}"]},
            "dkim s1",
            "2 keys",
        ),
        ({("s1._domainkey.example.com", "TXT"): ["v=DKIM1; p="]}, "dkim s1", "revoked"),
        ({("s1._domainkey.example.com", "TXT"): ["v=DKIM1; p=AAAA"]}, "dkim s1", "be read"),
        ({("s1._domainkey.example.com", "TXT"): ["v=DKIM1; k=dsa; p=AA"]}, "dkim s1", "no key of"),
        ({("s1._domainkey.example.com", "TXT"): [f"t=s:y; p={KEY}"]}, "dkim s1", "on trial"),
        ({("_dmarc.example.com", "TXT"): []}, "dmarc", "no DMARC record"),
        ({("_dmarc.example.com", "TXT"): ["v=DMARC1; p=none", "v=DMARC1; p=none"]}, "dmarc", "no"),
        ({("_dmarc.example.com", "TXT"): ["v=DMARC1; p=maybe"]}, "dmarc", "no DMARC record"),
        ({("_dmarc.example.com", "TXT"): ["p=none; v=DMARC1"]}, "dmarc", "no DMARC record"),
        ({("1.2.0.192.in-addr.arpa", "PTR"): []}, "reverse dns 192.0.2.1", "no name"),
        (
            {("1.2.0.192.in-addr.arpa", "PTR"): ["elsewhere.example."]},
            "reverse dns 192.0.2.1",
            "which is not",
        ),
        ({("default._bimi.example.com", "TXT"): ["v=BIMI1; l=http://x"]}, "bimi", "no https"),
        ({("_dmarc.example.com", "TXT"): ["v=DMARC1; p=none"]}, "bimi", "policy is none"),
    ],
)
def test_e13_what_is_wrong_fails_with_its_cure(change, name, says):
    """That one check, in a sentence that names what was found."""
    found = checks(change)[name]
    assert ("fail", True) == (found.status, says in found.found), found
    assert found.cure


def test_e13_what_cannot_be_told_is_unknown():
    """No selector or address was named, there is no MTA-STS, or no name server answers."""
    found = checks({("_mta-sts.example.com", "TXT"): []}, selectors=(), addresses=())
    assert ["unknown"] * 3 == [found[each].status for each in ("dkim", "reverse dns", "tls")]
    failing = {key: LookupFailedError("timeout") for key in GOOD}
    for each in examine("example.com", lookup_of(failing), selectors=["s1"], addresses=["::1"]):
        if each.name != "reverse dns ::1":
            assert "unknown" == each.status, each
    one = {("example.com", "TXT"): LookupFailedError("timeout")}
    found = checks(one)
    assert {"spf"} == {name for name, each in found.items() if each.status == "unknown"}
    with pytest.raises(InputError, match="192"):
        examine("example.com", lookup_of(GOOD), addresses=["x"])


def test_e13_keys_by_their_length():
    """Below 1024 bits nobody takes it; below 2048 it passes with advice; Ed25519 needs company."""

    def of(text):
        found = checks({("s1._domainkey.example.com", "TXT"): [text]})["dkim s1"]
        return found.status, found.found, bool(found.cure)

    # An RSA key of 512 bits, as it could be had once; made by openssl for this test.
    short = (
        "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALZSQKZHWHIcHd0oD3FmJOf0M1JsNaeg4qC8MMkrBeLqe8+DTAQf"
        "oR6R2kOjQyuxjzriXY1Tc1/VkD526ZNiRrMCAwEAAQ=="
    )
    assert ("fail", "rsa, 512 bits", True) == of(f"p={short}")
    assert ("pass", "rsa, 1024 bits", True) == of(f"p={public(1024)}")
    assert ("pass", "rsa, 2048 bits", False) == of(f"v=DKIM1; p={KEY[:50]} {KEY[50:]}")
    raw = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    status, found, _ = of(f"k=ed25519; p={base64.b64encode(raw).decode()}")
    assert ("pass", True) == (status, "an RSA key has to sign too" in found)


def test_e13_spf_may_take_ten_lookups():
    """Those of what it includes count too, matched or not; the eleventh is one too many."""

    def chain(count):
        records = {("example.com", "TXT"): ["v=spf1 include:i1.example -all"]}
        for number in range(1, count):
            records[f"i{number}.example", "TXT"] = [f"v=spf1 include:i{number + 1}.example -all"]
        records[f"i{count}.example", "TXT"] = ["v=spf1 ip4:192.0.2.1 -all"]
        return records

    ten, eleven = checks(chain(10)), checks(chain(11))
    assert ("pass", "pass") == (ten["spf"].status, ten["spf 192.0.2.1"].status)
    assert "11 lookups; 10 are allowed" in eleven["spf"].found
    assert "error" == spf.check("example.com", "192.0.2.1", lookup_of(chain(11)))
    wide = {("example.com", "TXT"): ["v=spf1 " + "exists:%{i}.x " * 11 + "-all"]}
    assert "11 lookups" in checks(wide)["spf"].found
    assert 22 > spf.read("example.com", lookup_of(chain(200))).lookups


@pytest.mark.parametrize(
    ("record", "address", "result"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", "192.0.2.77", "pass"),
        ("v=spf1 ip4:192.0.2.0/24 -all", "192.0.3.1", "fail"),
        ("v=spf1 ip4:192.0.2.0/24 ~all", "192.0.3.1", "softfail"),
        ("v=spf1 ip4:192.0.2.0/24 ?all", "192.0.3.1", "neutral"),
        ("v=spf1 ip4:192.0.2.0/24", "192.0.3.1", "neutral"),
        ("v=spf1 -ip4:192.0.2.7 ip4:192.0.2.0/24 -all", "192.0.2.7", "fail"),
        ("v=spf1 ip6:2001:db8::/32 -all", "2001:db8:1::1", "pass"),
        ("v=spf1 ip6:2001:db8::/32 -all", "192.0.2.1", "fail"),
        ("v=spf1 a:mx.example.com -all", "192.0.2.1", "pass"),
        ("v=spf1 a:mx.example.com/24 -all", "192.0.2.200", "pass"),
        ("v=spf1 a:mx.example.com//32 -all", "2001:db8:ffff::1", "pass"),
        ("v=spf1 a:mx.example.com/24//64 -all", "2001:db8:ffff::1", "fail"),
        ("v=spf1 mx -all", "2001:db8::1", "pass"),
        ("v=spf1 mx/24 exp=e.example.com -all", "192.0.2.9", "pass"),
        ("v=spf1 exp=e.example.com -all", "192.0.2.9", "fail"),
        ("v=spf1 include:other.example -all", "203.0.113.1", "pass"),
        ("v=spf1 include:other.example ~all", "203.0.114.1", "softfail"),
        ("v=spf1 include:none.example -all", "203.0.113.1", "error"),
        ("v=spf1 redirect=other.example", "203.0.113.1", "pass"),
        ("v=spf1 redirect=other.example", "203.0.114.1", "fail"),
        ("v=spf1 redirect=none.example", "203.0.113.1", "error"),
        ("v=spf1 exists:%{i}.x.example -all", "192.0.2.1", "unknown"),
        ("v=spf1 nonsense -all", "192.0.2.1", "error"),
        ("v=spf2 -all", "192.0.2.1", "none"),
    ],
)
def test_e13_spf_says_of_a_machine_what_receivers_say(record, address, result):
    """The results of RFC 7208, 2.6, in the order of the terms."""
    records = {
        **GOOD,
        ("example.com", "TXT"): [record],
        ("other.example", "TXT"): ["v=spf1 ip4:203.0.113.0/24 -all"],
    }
    assert result == spf.check("example.com", address, lookup_of(records))


WALKS = [
    # domain, records at _dmarc., its organisation, by RFC 9989, 4.10
    ("a.mail.example.com", {"example.com": "p=none"}, "example.com"),
    ("a.mail.example.com", {"mail.example.com": "p=none", "example.com": "p=none"}, "example.com"),
    (
        "a.mail.example.com",
        {"mail.example.com": "p=none; psd=n", "example.com": "p=none"},
        "mail.example.com",
    ),
    ("a.example.co.uk", {"co.uk": "p=reject; psd=y"}, "example.co.uk"),
    ("a.example.co.uk", {"co.uk": "psd=y", "a.example.co.uk": "p=none"}, "example.co.uk"),
    ("co.uk", {"co.uk": "p=none; psd=y"}, "co.uk"),
    ("a.example.com", {}, "a.example.com"),
    ("a.example.com", {"com": "p=none; psd=y", "example.com": "p=none"}, "example.com"),
]


@pytest.mark.parametrize(("domain", "policies", "organisation"), WALKS)
def test_e14_the_organisation_follows_from_the_walk(domain, policies, organisation):
    """No list of suffixes is asked; a record with psd ends the walk."""
    records = {(f"_dmarc.{d}", "TXT"): [f"v=DMARC1; {tags}"] for d, tags in policies.items()}
    assert organisation == dmarc.organisation_of(domain, lookup_of(records))


def test_e14_a_walk_asks_eight_questions_at_most():
    """After the name itself, a long one is cut to seven labels; and nothing is asked twice."""
    asked = []

    def lookup(name, kind):
        asked.append((name, kind))
        return ()

    dmarc.walk("a.b.c.d.e.f.g.h.i.j.mail.example.com", lookup)
    assert [
        "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "_dmarc.g.h.i.j.mail.example.com",
        "_dmarc.h.i.j.mail.example.com",
        "_dmarc.i.j.mail.example.com",
        "_dmarc.j.mail.example.com",
        "_dmarc.mail.example.com",
        "_dmarc.example.com",
        "_dmarc.com",
    ] == [name for name, _ in asked]
    asked.clear()
    dmarc.walk("a.example.com", lookup)
    assert ["_dmarc.a.example.com", "_dmarc.example.com", "_dmarc.com"] == [n for n, _ in asked]
    asked.clear()
    memory = remembering(lookup)
    for _ in range(3):
        dmarc.standing_of("A.example.com.", memory)
    assert 3 == len(asked)


@pytest.mark.parametrize(
    ("domain", "policies", "request_", "at"),
    [
        ("example.com", {"example.com": "p=quarantine"}, "quarantine", "example.com"),
        ("a.example.com", {"example.com": "p=reject; sp=none"}, "none", "example.com"),
        ("a.example.com", {"example.com": "p=reject"}, "reject", "example.com"),
        (
            "a.example.com",
            {"example.com": "p=reject", "a.example.com": "p=none"},
            "none",
            "a.example.com",
        ),
        (
            "a.b.example.com",
            {"b.example.com": "p=none", "example.com": "p=reject"},
            "reject",
            "example.com",
        ),
        ("a.example.co.uk", {"co.uk": "p=reject; psd=y"}, "reject", "co.uk"),
        ("example.com", {"example.com": "rua=mailto:a@x"}, "none", "example.com"),
        ("example.com", {"example.com": "p=none; pct=50"}, "none", "example.com"),
    ],
)
def test_e14_whose_policy_counts(domain, policies, request_, at):
    """The domain's own, else its organisation's, else its suffix's; sp is for what is below."""
    records = {(f"_dmarc.{d}", "TXT"): [f"v=DMARC1; {tags}"] for d, tags in policies.items()}
    found = dmarc.standing_of(domain, lookup_of(records))
    assert found.policy is not None
    assert (request_, at) == (found.request, found.policy.domain)


def test_e14_alignment_is_by_organisation_or_exact():
    """Relaxed: the same organisation by the walk; strict: the same name."""
    records = {
        ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=none"],
        ("_dmarc.own.example.com", "TXT"): ["v=DMARC1; p=none; psd=n"],
        ("_dmarc.co.uk", "TXT"): ["v=DMARC1; p=none; psd=y"],
    }
    ask = lookup_of(records)
    for author, other, relaxed, strict in (
        ("news.example.com", "bounce.example.com", True, False),
        ("news.example.com", "example.com", True, False),
        ("News.Example.com.", "news.example.com", True, True),
        ("news.example.com", "own.example.com", False, False),
        ("a.co.uk", "b.co.uk", False, False),
        ("x.a.co.uk", "y.a.co.uk", True, False),
        ("a.test", "b.test", False, False),
    ):
        assert relaxed == dmarc.is_aligned(author, other, ask)
        assert strict == dmarc.is_aligned(author, other, ask, strict=True)


def test_e14_the_doctor_says_who_does_not_speak_for_whom():
    """Another organisation's signature; strict alignment; and what RFC 9989 took away."""
    found = checks(signer="provider.example", return_path="bounce.example.com")
    assert ("fail", "pass") == (found["alignment dkim"].status, found["alignment spf"].status)
    strict = {("_dmarc.example.com", "TXT"): ["v=DMARC1; p=none; aspf=s; adkim=s; pct=10; ri=1"]}
    found = checks(strict, return_path="bounce.example.com")
    assert ("fail", True) == (found["alignment spf"].status, found["alignment spf"].is_optional)
    assert "pass" == found["alignment dkim"].status
    assert "Take out pct, ri" in found["dmarc"].cure
    assert "rua" in found["dmarc"].cure
    trial = {("_dmarc.example.com", "TXT"): ["v=DMARC1; p=reject; t=y; rua=mailto:a@x"]}
    assert "on trial" in checks(trial)["dmarc"].found


def test_a_lookup_of_this_machine_can_be_made():
    """By dnspython, which is asked nothing here: its answers are turned into text."""
    import dns.exception
    import dns.resolver

    ask = system_lookup(seconds=0.1)

    class Text:
        strings = (b"v=spf1 ", b"-all")

    class Mx:
        def to_text(self):
            return "10 mx.example.com."

    answers = {"TXT": [Text()], "MX": [Mx()]}

    def resolve(self, name, kind, search):
        if kind == "A":
            raise dns.resolver.NXDOMAIN
        if kind == "PTR":
            raise dns.exception.Timeout
        return answers[kind]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dns.resolver.Resolver, "resolve", resolve)
        assert ["v=spf1 -all"] == ask("x", "TXT")
        assert ["10 mx.example.com"] == ask("x", "MX")
        assert [] == list(ask("x", "A"))
        with pytest.raises(LookupFailedError):
            ask("x", "PTR")


def test_tags_are_read_however_they_are_spaced():
    """Names in any case, spaces, empty parts, and an equals sign in a value."""
    assert {"v": "DMARC1", "p": "none", "x": "a=b"} == tags_of(" V = DMARC1 ;; p=none ; x=a=b;junk")
