"""Lint finds what is wrong with a template before the first mail goes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from crmcore_email_link.templates import MailTemplate, RenderError, lint
from crmcore_email_link.templates.features import FEATURES
from crmcore_email_link.templates.linting import GMAIL_CLIPS
from crmcore_email_link.templates.needs import needs_of, shown
from hypothesis import given, settings
from hypothesis import strategies as st

FOOTER = (
    "<p>{{ shop.sender_name }}, {{ shop.postal_address }}</p>"
    '<a href="{{ unsubscribe_url }}">Unsubscribe</a>'
)
PLAIN = {
    "shop": {"sender_name": "Tea & Co", "postal_address": "1 Road, Town"},
    "unsubscribe_url": "https://shop.example/u/abc",
}


def codes(html: str, variables: Any = None, *, bulk: bool = True, **named: Any) -> list[str]:
    """Return the codes of what lint finds."""
    template = MailTemplate("news", subject="News", html=html)
    report = lint(template, [(1, {**PLAIN, **(variables or {})})], bulk=bulk, **named)
    return [each.code for each in report.findings]


def test_lint_has_nothing_to_say_of_a_good_newsletter() -> None:
    """With a footer, a way to unsubscribe and secure images and links, a campaign may start."""
    html = f'<img src="https://e.com/a.png" alt=""><a href="https://e.com">x</a>{FOOTER}'
    report = lint(MailTemplate("n", subject="s", html=html), [(1, PLAIN)], bulk=True)

    assert ((), 1, True) == (report.findings, report.recipients, report.may_go)


@pytest.mark.parametrize(
    ("html", "code"),
    [
        ('<img src="https://e.com/a.png">', "image-without-alt"),
        ('<img src="http://e.com/a.png" alt="">', "image-address"),
        ('<img src="logo.png" alt="">', "image-address"),
        ('<a href="http://e.com">x</a>', "http-link"),
        ('<a href="{{ link }}">x</a>', "http-link"),
        ('<a href="javascript:x">x</a>', "link-address"),
        ('<a href="/sale">x</a>', "link-address"),
        ('<a href="">x</a>', "link-address"),
        ('<p style="list-style-image:url(http://e.com/a.png)">x</p>', "image-address"),
        ("<script>x</script>", "removed"),
        ("<p>{{ markup|safe }}</p>", "unescaped"),
        ("<style>a:hover{color:red}</style>", "rule-dropped"),
        ('<p style="display:flex">x</p>', "unknown-css"),
        ("<p class='{{ markup }}'>x</p>", "converts-each"),
        ("<p>" + "x" * 105_000 + "</p>", "size"),
        ("{{ nothing }}", "render"),
    ],
)
def test_lint_finds(html: str, code: str) -> None:
    """Each fault by itself, and no other."""
    variables = {"link": "http://e.com", "markup": "x"}

    assert [code] == codes(html + FOOTER, variables)


def test_lint_e9_bulk_mail_says_who_sends_it_and_how_to_refuse() -> None:
    """Without postal address, sender and unsubscribe link no campaign starts; system mail may."""
    assert ["no-postal-address", "no-sender", "no-unsubscribe"] == codes("<p>x</p>")
    assert [] == codes("<p>x</p>", bulk=False)
    assert ["no-unsubscribe"] == codes(
        "<p>Tea  &amp; Co,\n1 Road</p>", postal_address="1 Road", sender_name="Tea & Co"
    )
    assert ["no-unsubscribe"] == codes(FOOTER.replace("<a href=", "<p title="))
    bare = MailTemplate("n", subject="s", html=FOOTER, text="no way out")
    (found,) = lint(bare, [(1, PLAIN)], bulk=True).findings
    assert ("no-unsubscribe", "text") == (found.code, found.template)


def test_lint_names_the_line_and_the_recipients() -> None:
    """A finding says where in what its author wrote, and for whom it holds."""
    html = f"<p>\n\n{{{{ customer.name }}}}</p>{FOOTER}"
    template = MailTemplate("news", subject="s", html=html)
    people: list[tuple[Any, dict[str, Any]]] = [
        (each, {**PLAIN, "customer": {"name": "Ada"} if each % 3 else {}}) for each in range(9)
    ]

    report = lint(template, people, bulk=True)

    (found,) = report.findings
    assert ("render", 3, (0, 3, 6)) == (found.code, found.line, found.recipients)
    assert (9, frozenset({0, 3, 6}), False) == (report.recipients, report.lacking, report.may_go)
    assert "customer.name" in found.message


def test_lint_counts_what_gmail_clips_in_bytes() -> None:
    """Of all recipients the longest mail is rendered, and those too long for Gmail are named."""
    template = MailTemplate("n", subject="s", html="<p>{{ v }}</p>" + FOOTER)
    long = {**PLAIN, "v": "护" * (GMAIL_CLIPS // 3)}

    report = lint(template, [*((n, {**PLAIN, "v": "x"}) for n in range(50)), (99, long)], bulk=True)

    (found,) = report.findings
    assert ("size", (99,)) == (found.code, found.recipients)


def test_lint_knows_no_fault_in_what_a_template_asks_for_first() -> None:
    """A variable that is only used where it is there may be missing."""
    html = (
        "{% if tier is defined %}{{ tier }}{% endif %}{{ name|default('you') }}"
        "{% for p in products %}{{ p.name }}{% endfor %}" + FOOTER
    )

    assert [] == codes(html, {"products": []})
    assert [] == codes(html, {"products": [{"name": "x"}], "tier": "gold"})
    assert ["render"] == codes(html, {"products": [{"name": "x"}, {}]})


def test_needs_are_told_from_the_syntax() -> None:
    """Paths through loops, filters and names set on the way; and whether these are all."""
    html = (
        "{{ a.b }}{% for p in xs %}{{ p.c }}{% set q = p.d %}{{ q.e }}{% endfor %}"
        "{{ (ys|first).f }}{{ zs|map(attribute='g.h')|join }}"
        "{% with w = a.i %}{{ w['j'] }}{% endwith %}"
        "{{ xs|selectattr('k')|list|length }}{{ maybe.l is defined }}"
    )
    template = MailTemplate("n", subject="{{ s }}", html=html)

    needs = needs_of(each.tree for each in template.programs.values())

    assert needs.is_all
    assert {shown(each) for each in needs.paths} == {
        "s", "a", "a.b", "xs", "xs[]", "xs[].c", "xs[].d", "xs[].d.e", "ys", "ys[].f",
        "zs", "zs[].g.h", "a.i", "a.i.j", "xs[].k", "maybe",
    }  # fmt: skip
    opaque = MailTemplate("n", subject="s", html="{{ prices[size].net }}")
    assert not needs_of(each.tree for each in opaque.programs.values()).is_all


SOURCES = (
    "{{ a.b }}|{{ a.c|default('x') }}|{% if a.d is defined %}{{ a.d.e }}{% endif %}",
    "{% for x in a %}{{ x.b }}{% if x.c %}{{ x.c.d }}{% endif %}{% else %}{{ b }}{% endfor %}",
    "{% set x = a %}{{ x.b ~ b.c }}{{ (a.xs|first).b }}{{ a.xs|map(attribute='c')|join }}",
    "{{ a[b] }}{% for k, v in a.items() %}{{ v.b }}{% endfor %}",
    "{% macro m(x) %}{{ x.b }}{% endmacro %}{{ m(a) }}{{ a.b if a.c else b }}",
    "{{ a.b|upper }}{% with x = a.c %}{{ x }}{% endwith %}{% if a and a.b and b %}{{ b.d }}"
    "{% endif %}",
)
scalars = st.sampled_from(["x", "", 3, None, True])
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e", "xs"]), inner, max_size=4),
        st.lists(inner, max_size=2),
    ),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SOURCES), st.dictionaries(st.sampled_from(["a", "b"]), trees, max_size=2))
def test_needs_tell_whoever_lacks_a_variable_without_rendering(
    source: str, variables: dict[str, Any]
) -> None:
    """Whose mail cannot be rendered for want of a variable is seen by looking the paths up."""
    template = MailTemplate("n", subject="s", text=source)
    needs = needs_of(each.tree for each in template.programs.values())
    fault = None
    try:
        template.render(copy.deepcopy(variables))
    except RenderError as error:
        fault = error.fault

    assert fault != "missing" or not needs.is_all or needs.lacking(variables)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SOURCES), st.dictionaries(st.sampled_from(["a", "b"]), trees, max_size=2))
def test_lint_lets_everybody_pass_whose_mail_can_be_rendered(source: str, variables: Any) -> None:
    """Whoever lint says lacks something cannot be rendered, for one reason or another."""
    template = MailTemplate("n", subject="s", text=source)

    lacking = lint(template, [(1, variables)], bulk=False).lacking

    if lacking:
        with pytest.raises(RenderError):
            template.render(variables)


def test_lint_has_a_date_for_each_feature_and_finds_it() -> None:
    """Each says who does not know it and when that was tested, and its own pattern finds it."""
    examples = {
        "calc()": "p{width:calc(1px + 2px)}",
        "background-image": "p{background: url(x)}",
        "@font-face": "@font-face{}",
        "var()": "p{color:var(--x)}",
        "SVG images": '<img src="https://e.com/a.svg">',
        "WebP images": "<img src=https://e.com/a.webp>",
        "display: flex": '<p style="display:flex">',
        "display: grid": "p{display: inline-grid}",
    }
    for each in FEATURES:
        assert each.unknown_to
        assert "2019" <= each.tested[:4] <= "2026"
        assert each.pattern.search(examples.get(each.name, f"p{{{each.name}: 1}}")), each.name
        assert not each.pattern.search('<p style="color:red;margin-left:3px">flex grid</p>')
