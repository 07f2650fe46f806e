"""Laws of links that lead on, and of telling sweeps, for whatever links and hits there are."""

import string
from urllib.parse import urlsplit

import nh3
import pytest
from crmcore_email_link.links import Links
from crmcore_email_link.tokens import Key, KeyRing, Tokens
from crmcore_email_link.tracking.callers import Networks
from crmcore_email_link.tracking.destinations import LONGEST, Destinations
from crmcore_email_link.tracking.measuring import Measure
from crmcore_email_link.tracking.sweeps import Hit, without_sweeps
from crmcore_email_link.tracking.wrapping import attribute_value, links_in_html, links_in_text
from hypothesis import example, given
from hypothesis import strategies as st

from crmcore import Content

RING = KeyRing([Key(b"k" * 32, since=0)])
BASE = "https://shop.example/m/"


def destinations(ring=RING, *domains):
    links = Links(BASE, Tokens(ring), "shop.example")
    return Destinations(links, domains or ("shop.example",))


PRINTED = st.text(st.sampled_from([chr(each) for each in range(0x21, 0x7F)]), max_size=80)
URLS = st.builds(
    "{}://{}shop.example{}{}".format,
    st.sampled_from(["https", "http", "HTTPS"]),
    st.sampled_from(["", "www.", "a-b.c."]),
    st.sampled_from(["", ":8443"]),
    st.builds("{}{}".format, st.sampled_from("/?#"), PRINTED),
)


@given(url=URLS, place=st.integers(1, 255), links=st.integers(1, 255), at=st.integers(0, 2**50))
@example("https://shop.example/%e4%BD%a0?q=%2f&a=1&amp;b=%zz#Frag%20/?#", 1, 1, 0)
def test_e26_unwrapped_it_is_what_was_wrapped_byte_for_byte(url, place, links, at):
    """Fragment, query, case and escapes as they were; and which message and place it was."""
    made = destinations()
    wrapped = made.wrap(4711, place, links, url, at)
    found = made.unwrap(wrapped.removeprefix(BASE + "l/"), at)

    assert made.may_wrap(url) or url.startswith(BASE)
    assert (4711, place, links, url) == (found.message_id, found.place, found.links, found.url)
    assert wrapped.isascii()
    assert not made.may_wrap(wrapped)


@given(url=st.one_of(URLS, st.text()))
def test_e26_what_may_be_wrapped_is_on_the_web_and_of_the_shop_for_every_reader(url):
    """By the standard library's reading too; no control, blank, backslash or user in its host."""
    if not destinations().may_wrap(url):
        return
    parts = urlsplit(url)

    assert parts.scheme in ("https", "http")
    assert parts.hostname == "shop.example" or parts.hostname.endswith(".shop.example")
    assert not set("@\\") & set(parts.netloc)
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/",
        "https://notshop.example/",
        "https://shop.example.evil.example/",
        "https://shop.example@evil.example/",
        "https://evil.example\\@shop.example/",
        "https://shop.example\\.evil.example/",
        "//shop.example/",
        "javascript://shop.example/%0aalert(1)",
        "mailto:ada@shop.example",
        "tel:+4412345",
        "#top",
        "/tea",
        "https://shop.example/a b",
        "https://shop.example/\r\nSet-Cookie: a=b",
        "https://shop.example/grün",
        "https://grün.shop.example/",
        "https://shop.example/m/u/TOKEN",
        "https://shop.example/" + "a" * LONGEST,
    ],
)
def test_e26_no_other_link_is_wrapped(url):
    """Neither one elsewhere, nor one that two programs read differently, nor one of our own."""
    assert not destinations().may_wrap(url)


@given(
    url=URLS,
    other=URLS,
    path=st.one_of(
        st.text(),
        st.builds("{}/{}".format, st.text(string.ascii_letters, min_size=26, max_size=26), PRINTED),
        st.binary(max_size=80),
    ),
    data=st.data(),
)
def test_e26_no_forged_token_leads_anywhere(url, other, path, data):
    """Neither text made up, nor one octet changed, nor a token with what it was not made for."""
    made = destinations()
    rest = made.wrap(7, 1, 2, url, 0).removeprefix(BASE + "l/")
    token, _, written = rest.partition("/")
    at = data.draw(st.integers(0, len(rest) - 1))
    new = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_"))
    changed = rest[:at] + new + rest[at + 1 :]
    elsewhere = made.wrap(7, 1, 2, other, 0).rpartition("/")[2]
    strange = destinations(KeyRing([Key(b"x" * 32, since=0)])).wrap(7, 1, 2, url, 0)

    if isinstance(path, str):
        assert made.unwrap(path, 0) is None
    if changed != rest:
        assert made.unwrap(changed, 0) is None
    if elsewhere != written:
        assert made.unwrap(f"{token}/{elsewhere}", 0) is None
    assert made.unwrap(strange.removeprefix(BASE + "l/"), 0) is None
    for purpose in ("unsubscribe", "open", "verp"):
        own = made.links.tokens.make(purpose, 7, at=0)
        assert made.unwrap(f"{own}/{written}", 0) is None


REFERENCES = st.lists(
    st.sampled_from(
        "&amp; &amp &copy= &copy &copy; &a=1 &notit; &not &#38; &#x26 & ; x = 1 &lt &GT; &ampx "
        "&#0065 &nbsp; &bogus;".split()
    ),
    max_size=8,
).map("".join)


@given(REFERENCES)
def test_e26_an_attribute_is_read_as_browsers_read_it(written):
    """As a parser of HTML 5 reads the same attribute."""
    url = f"https://shop.example/?{written}"
    cleaned = nh3.clean(f'<a href="{url}">x</a>', link_rel=None)
    read = cleaned.removeprefix('<a href="').removesuffix('">x</a>')
    known = read.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')
    known = known.replace("&nbsp;", "\xa0").replace("&amp;", "&")
    ours = attribute_value(url)

    # What is not printable in ASCII is never wrapped, so what stands for it does not matter.
    if known.isascii():
        assert known == ours
    else:
        assert not ours.isascii()


@given(
    urls=st.lists(URLS, max_size=5),
    between=st.text(st.characters(exclude_characters="<>&\"'", codec="utf-8"), max_size=20),
    quote=st.sampled_from("\"'"),
)
def test_e26_nothing_but_links_is_changed(urls, between, quote):
    """Put back, the mail is what it was; each link of the shop's is wrapped, in both parts."""
    made = destinations()
    plain = [url.translate(str.maketrans("", "", "<>\"'&")) for url in urls]
    html = between.join(f"<a class=x href={quote}{url}{quote}>go</a>" for url in plain) + between
    text = "\n".join(f"<{url}>" for url in plain) + "\n"
    content = Content(subject="s", text=text, html=html)
    out = Measure(destinations=made, opens=False).into(content, 9, 0, "en")
    wrapped = out.html or ""
    back_html, back_text = wrapped, out.text
    for spot in (*links_in_html(wrapped), *links_in_text(out.text)):
        if spot.url.startswith(f"{BASE}l/"):
            leads = made.unwrap(spot.url.removeprefix(f"{BASE}l/"), 0).url
            back_html = back_html.replace(spot.url, leads)
            back_text = back_text.replace(spot.url, leads)

    assert back_html.startswith(html)
    assert back_text.startswith(text.rstrip())
    for url in plain:
        assert not made.may_wrap(url) or f"{quote}{url}{quote}" not in wrapped


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("See https://shop.example/tea.", "https://shop.example/tea"),
        ("(https://shop.example/tea)", "https://shop.example/tea"),
        ("https://shop.example/tea_(green)", "https://shop.example/tea_(green)"),
        ("<https://shop.example/a,b>", "https://shop.example/a,b"),
        ("Tea?https://shop.example/?a=1&b=2!", "https://shop.example/?a=1&b=2"),
    ],
)
def test_e26_a_links_end_in_a_text(text, url):
    """Punctuation of the sentence around it is not part of it."""
    assert [url] == [spot.url for spot in links_in_text(text)]


def test_e26_links_in_comments_and_styles_are_none():
    """Nor are images, or what a page is based on."""
    html = (
        "<base href='https://shop.example/'><!-- <a href='https://shop.example/1'> -->"
        "<style>a{background:url(https://shop.example/2)}</style><img src='https://shop.example/3'>"
        "<A HREF=https://shop.example/4/>4</A><a name=x href>5</a><map><area href='"
        "https://shop.example/6'></map>"
    )

    assert ["https://shop.example/4/", "https://shop.example/6"] == [
        spot.url for spot in links_in_html(html)
    ]


# -- sweeps ----------------------------------------------------------------------------------

HITS = st.lists(
    st.builds(
        Hit,
        what=st.just("clicked"),
        at=st.integers(0, 40),
        place=st.integers(1, 3),
        links=st.just(3),
        seen_as=st.sampled_from(["human", "machine", "unknown"]),
        link=st.sampled_from(["a", "b"]),
    ),
    max_size=12,
)


@given(hits=HITS, within=st.integers(0, 12), data=st.data())
def test_e26_a_sweep_is_told_from_the_facts_in_whatever_order_they_came(hits, within, data):
    """Those within some window in which all links were followed, as looking at each tells."""
    found = without_sweeps(hits, within)

    def is_swept(hit):
        starts = {each.at for each in hits}
        windows = [[e for e in hits if s <= e.at <= s + within] for s in starts]
        return any(
            {1, 2, 3} == {each.place for each in window}
            and min(each.at for each in window) <= hit.at <= max(each.at for each in window)
            for window in windows
        )

    assert found == without_sweeps(data.draw(st.permutations(hits)), within)
    assert sorted((h.at, h.place, h.link) for h in hits) == [
        (h.at, h.place, h.link) for h in sorted(found, key=lambda h: (h.at, h.place, h.link))
    ]
    for hit in hits:
        now = [h for h in found if (h.at, h.place, h.link) == (hit.at, hit.place, hit.link)]
        if is_swept(hit):
            assert {"machine"} == {each.seen_as for each in now}
    for hit in found:
        assert is_swept(hit) or hit in hits


def test_e26_a_single_link_is_no_sweep_and_five_of_many_are():
    """Who follows the only link may be anybody; nobody follows five within seconds."""

    def seen(places, links):
        hits = [
            Hit(what="clicked", at=at, place=place, links=links, seen_as="human")
            for at, place in enumerate(places)
        ]
        return {each.seen_as for each in without_sweeps(hits, 10)}

    assert {"human"} == seen([1, 1, 1], 1)
    assert {"human"} == seen([1, 2, 3, 4], 30)
    assert {"machine"} == seen([1, 2, 3, 4, 5], 30)


@given(
    written=st.lists(st.ip_addresses(v=4, network="10.0.0.0/24"), max_size=6),
    size=st.integers(24, 32),
    asked=st.ip_addresses(v=4, network="10.0.0.0/24"),
)
def test_e26_an_address_is_in_a_network_as_looking_at_each_tells(written, size, asked):
    """However they lie within one another."""
    from ipaddress import ip_network

    networks = [ip_network(f"{each}/{size}", strict=False) for each in written]

    assert any(asked in each for each in networks) == (
        str(asked) in Networks(str(each) for each in networks)
    )
