"""Templates: what is rendered, by one function for recipients and previews."""

from __future__ import annotations

import html as markup
import re
import threading
from typing import Any

import jinja2
import pytest
from crmcore_email_link.templates import (
    LocalisedTemplate,
    MailTemplate,
    RenderError,
    TemplateError,
    anonymous,
    content_ids,
    page,
    text_of_html,
)
from hypothesis import given, settings
from hypothesis import strategies as st

LINK = "https://shop.example/u/abc"


def body(html: str | None) -> str:
    """Return what stands in a mail's `<body>`."""
    assert html is not None
    found = re.search(r"<body[^>]*>(.*)</body>", html, re.DOTALL)
    assert found is not None
    return found[1]


def mail(html: str, **named: Any) -> MailTemplate:
    return MailTemplate("m", subject=named.pop("subject", "s"), html=html, **named)


# ---------------------------------------------------------------- escaping


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Co"])))
@settings(deadline=None)
def test_e8_values_are_escaped_in_html_and_nowhere_else(value: str) -> None:
    """A value is the same text in every part, whatever is in it, and is never markup."""
    template = MailTemplate(
        "m", subject="{{ v }}", html='<p title="{{ v }}">{{ v }}</p>', text="{{ v }}"
    )

    rendered = template.render({"v": value})

    inside = body(rendered.html)
    assert inside.count("<") == 2
    title, shown = re.fullmatch(r'<p title="([^"]*)">([^<]*)</p>', inside, re.DOTALL).groups()  # type: ignore[union-attr]
    escaped = [value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")]
    escaped.append(escaped[0].replace('"', "&#34;").replace("'", "&#39;"))
    assert title == shown == escaped[1]
    assert rendered.text == value.replace("\r\n", "\n").strip("\n") + "\n"


@given(st.text())
@settings(deadline=None)
def test_e7_a_subject_has_no_line_break(value: str) -> None:
    """Whatever a value holds, the subject is one line without control characters."""
    subject = MailTemplate("m", subject="For {{ v }}", text="x").render({"v": value}).subject

    assert subject.splitlines() == [subject]
    assert not re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029]", subject)
    assert subject.startswith("For")


def test_e8_a_link_of_a_customer_cannot_run_anything() -> None:
    """A value that begins an address is a link that mail programs open, or fails its recipient."""
    template = mail('<a href="{{ u }}">x</a><a href="https://e.com/{{ u }}">y</a>')

    assert 'href="mailto:a@b.example"' in body(template.render({"u": "mailto:a@b.example"}).html)
    for bad in (
        "javascript:alert(1)",
        "data:text/html,x",
        " vbscript:x",
        "/relative",
        "",
        "www.e.com",
    ):
        with pytest.raises(RenderError, match="a link goes to") as caught:
            template.render({"u": bad})
        assert caught.value.fault == "refused"


@pytest.mark.parametrize(
    "bad", ["http://e.com/a.png", "a.png", "data:image/png;base64,x", "//e.com/a"]
)
def test_e8_an_image_is_in_the_mail_or_at_an_https_address(bad: str) -> None:
    """Nothing else is shown by mail programs, or without telling others who reads."""
    template = mail('<img src="{{ u }}" alt="">')

    for good in ("https://e.com/a.png", "cid:logo@shop.example"):
        assert f'src="{good}"' in body(template.render({"u": good}).html)
    with pytest.raises(RenderError, match="an image is at"):
        template.render({"u": bad})


def test_e8_a_value_in_a_tag_is_in_quotes() -> None:
    """Escaping keeps a value within quotes only, so a template without them is refused."""
    with pytest.raises(
        TemplateError, match=r"line 2: \{\{ x \}\} stands in the tag <p> without quotes"
    ):
        mail("<div>\n<p title={{ x }}>y</p></div>")


def test_e8_what_is_missing_or_none_fails_and_is_named() -> None:
    """Neither an empty place nor the word None reaches a customer."""
    template = mail("<p>\n{{ customer.name }}</p>")

    with pytest.raises(RenderError, match=r"'m/html', line 2: .*'name'") as caught:
        template.render({"customer": {}})
    with pytest.raises(RenderError, match="line 2: the value is None"):
        template.render({"customer": {"name": None}})

    assert caught.value.fault == "missing"


def test_e8_a_key_comes_before_a_method() -> None:
    """`order.items` are the items of an order, not the method of a dict."""
    template = mail("{% for i in order.items %}{{ i }},{% endfor %}{{ order.keys()|list|length }}")

    assert "a,b,1" == body(template.render({"order": {"items": ["a", "b"]}}).html)


# ------------------------------------------------------- the same as Jinja

expressions = st.sampled_from(
    "a b n xs|join(',') a|upper a~b n+1 n*2 n-1 n/2 n//2 n%2 n**2 xs|length xs|first xs[0] "
    "xs[1:]|join a|replace('a','b') d.k d['k'] a|default('x') xs|sort|join a|length "
    "n|round(1) a|title a|trim "
    "xs|map('upper')|join xs|reverse|join '%s-%d'|format(a,n) a|truncate(3) [1,2,n]|sum [n,1]|max "
    "a|center(9) a|indent(2) xs|unique|join (a,b)|join {'q':a}.q not(n) n==3 n<5 a!=b 'a'in(a) "
    "n|abs xs|batch(2)|list|length a|urlencode a|e a|wordcount a.upper() d.get('k') "
    "d|dictsort|length "
    "xs|select('eq','x')|list|length a|striptags a|capitalize xs|tojson n|string|length -n".split()
)
pieces = st.recursive(
    st.one_of(
        st.sampled_from(
            ["text", " ", "\n", "{", "}", "{ {", "<b>", "&amp;", "{# no #}", "'", "\\"]
        ),
        st.sampled_from(
            ["{% raw %}{{ a }}{%{% endraw %}", "{{ '{{' }}", "{%- set z = n -%}{{ z }}"]
        ),
        st.builds("{{{{ {} }}}}".format, expressions),
        st.builds("{{{{- {} -}}}}".format, expressions),
    ),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, expressions, inner, inner),
        st.builds("{{% for i in xs %}}{}{{{{ loop.index }}}}{{% endfor %}}".format, inner),
        st.builds("{{% for i in xs if i != 'x' %}}{}{{{{ i }}}}{{% endfor %}}".format, inner),
        st.builds("{{% macro m(q) %}}{}{{{{ q }}}}{{% endmacro %}}{{{{ m(a) }}}}".format, inner),
        st.builds("{{% set y %}}{}{{% endset %}}{{{{ y }}}}".format, inner),
        st.builds("{{% filter upper %}}{}{{% endfilter %}}".format, inner),
        st.builds("{{% with q = {} %}}{}{{{{ q }}}}{{% endwith %}}".format, expressions, inner),
        st.builds(
            (
                "{{% macro w() %}}[{{{{ caller() }}}}]{{% endmacro %}}"
                "{{% call w() %}}{}{{% endcall %}}"
            ).format,
            inner,
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(pieces, st.booleans())
def test_e8_the_sandbox_renders_what_jinja_renders(source: str, autoescape: bool) -> None:
    """Guards take nothing away: with the same escaping, the same text comes out."""
    variables = {"a": "ab <&> c", "b": "it's", "n": 3, "xs": ["x", "y", "<z>"], "d": {"k": "v"}}
    usual = jinja2.Environment(autoescape=autoescape, undefined=jinja2.StrictUndefined)
    try:
        expected = usual.from_string(source).render(variables)
    except jinja2.TemplateSyntaxError:  # such as a brace before a statement
        with pytest.raises(TemplateError):
            MailTemplate("m", subject="s", text=source)
        return

    if autoescape:
        # As raw text of a title nothing is parsed, and characters are written as they are.
        found = (
            mail(f"<html><head><title>{source}</title></head></html>").render_each(variables).html
        )
        assert found is not None
        inside = found[found.index("<title>") + 7 : found.rindex("</title>")]
        assert markup.unescape(expected) == markup.unescape(inside)
    else:
        found = MailTemplate("m", subject="s", text=source).render(variables).text
        assert expected.strip("\n") + "\n" == found


# ------------------------------------------------------------ conversion


def test_e8_styles_are_inlined_and_media_rules_kept() -> None:
    """Styles stand at their elements; what is for small screens or print stays in the head."""
    html = (
        mail(
            "<style>p{color:red}@media (max-width:9px){p{color:blue}}</style>"
            '<style media="print">p{color:black}</style><p>x</p>'
        )
        .render({})
        .html
    )

    assert html is not None
    assert '<p style="color: red;">x</p>' == body(html)
    assert "@media (max-width:9px){p{color:blue}}" in html
    assert "@media print {p{color:black}}" in html


def test_e8_no_address_is_fetched_for_a_stylesheet() -> None:
    """A link to a stylesheet is dropped, whether it is a file or elsewhere."""
    html = mail('<link rel="stylesheet" href="file:///etc/passwd"><p>x</p>').render({}).html

    assert "<p>x</p>" == body(html)
    assert "passwd" not in str(html)


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ('<p class="{{ c }}">x</p>', "class= has {{ c }} in it"),
        ('<p style="color: {{ c }}">x</p>', "style= has {{ c }} in it"),
        ("<style>p{color:{{ c }}}</style><p>x</p>", "a stylesheet has values in it"),
        ("<style>p:first-child{color:red}</style><p>{{ c }}</p>", "depends on what stands beside"),
        ("<style>b+b{color:red}</style>{% for i in c %}<b>x</b>{% endfor %}", "depends on what"),
        (
            "<style>a[title=x]{color:red}</style><a title='{{ c }}'>x</a>",
            "title= has {{ c }} in it",
        ),
        ("{% if c %}<div>{% endif %}x{% if c %}</div>{% endif %}", "begins in another element"),
        ("<p>{% if c %}<div>x</div>{% endif %}</p>", "begins in another element"),
        ("<table>{{ c }}</table>", "where HTML allows no text"),
        ("<p>&{{ c }};</p>", "half a tag or character"),
        ("{% macro m() %}<b>x</b>{% endmacro %}{{ m() }}", "{% macro %} in line 1"),
        (
            "<html><head>{% if c %}<style>p{color:red}</style>{% endif %}</head><p>x</p>",
            "is left out",
        ),
    ],
)
def test_e8_what_cannot_be_converted_once_is_told(html: str, reason: str) -> None:
    """Where the values decide how it looks, each mail is converted by itself, and it says why."""
    template = mail(html)

    assert "each" == template.converts
    assert reason in str(template.reason)


@pytest.mark.parametrize(
    "html",
    [
        "<style>td{color:red}</style><table>{% for i in c %}<tr><td>{{ i }}</td></tr>{% endfor %}"
        "</table>",
        "<style>p{color:red}</style>{% if c %}<p>{{ c }}</p>{% else %}<p>none</p>{% endif %}",
        '<a href="{{ c }}">{{ c }}</a><!--[if mso]>{% if c %}<td>{% endif %}<![endif]-->',
        "<mjml><mj-body>{% for i in c %}<mj-section><mj-column><mj-text>{{ i }}</mj-text>"
        "</mj-column></mj-section>{% endfor %}</mj-body></mjml>",
    ],
)
def test_e8_what_newsletters_do_is_converted_once(html: str) -> None:
    """Loops around rows and sections, and conditions around whole elements."""
    template = mail(html)

    assert ("once", None) == (template.converts, template.reason)


def test_e8_a_value_that_is_markup_is_converted_with_its_mail() -> None:
    """Elements within a value get their styles too, though the rest was converted before."""
    template = mail("<style>b{color:red}</style><p>{{ v|safe }}</p>")

    assert "once" == template.converts
    assert "once" == template.render({"v": "x"}).converted
    rendered = template.render({"v": "<b>x</b>"})
    assert "each" == rendered.converted
    assert '<p><b style="color: red;">x</b></p>' == body(rendered.html)


def test_e8_mjml_is_rendered_and_its_mistakes_named() -> None:
    """MJML becomes tables; an element that it has not is an error."""
    start, end = (
        "<mjml><mj-body><mj-section><mj-column>",
        "</mj-column></mj-section></mj-body></mjml>",
    )
    html = mail(f"{start}<mj-text>Hello {{{{ n }}}}</mj-text>{end}").render({"n": "A & B"}).html

    assert ">Hello A &amp; B</div>" in body(html)
    assert "mj-" not in re.sub(r"mj-(column|outlook)[\w-]*", "", body(html))
    with pytest.raises(TemplateError, match="MJML has no element <mj-txt>"):
        mail(f"{start}<mj-txt>x</mj-txt>{end}")
    with pytest.raises(TemplateError, match="it is no MJML"):
        mail("<mjml><mj-body><mj-include path='/etc/passwd'/></mj-body></mjml>")


def test_e8_parts_are_included_and_errors_name_them() -> None:
    """A part stands where it is included; a mistake in it says its name and line."""
    parts = {"footer": "<p>\n{{ shop.name }}</p>", "all": '{% include "footer" %}'}
    template = mail('<p>x</p>{% include "all" %}', parts=parts)

    assert "<p>x</p><p>\nTea</p>" == body(template.render({"shop": {"name": "Tea"}}).html)
    with pytest.raises(RenderError) as caught:
        template.render({})
    assert ("footer", 2) == (caught.value.template, caught.value.line)
    with pytest.raises(TemplateError, match=r"no part 'fotter' \(did you mean 'footer'\?\)"):
        mail('{% include "fotter" %}', parts=parts)
    with pytest.raises(TemplateError, match="'me' includes itself"):
        mail('{% include "me" %}', parts={"me": '{% include "me" %}'})


def test_e8_one_template_renders_in_many_threads() -> None:
    """Nothing is shared between renderings but what was compiled."""
    template = mail(
        "{% set ns = namespace(t=0) %}{% for i in xs %}{% set ns.t = ns.t + i %}{% endfor %}"
        "{{ ns.t }}"
    )
    found: dict[int, set[str]] = {}

    def work(which: int) -> None:
        variables = {"xs": [which] * 50}
        found[which] = {body(template.render(variables).html) for _ in range(50)}

    threads = [threading.Thread(target=work, args=(each,)) for each in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert {which: {str(which * 50)} for which in range(8)} == found


# ------------------------------------------------------------- plain text


def test_e7_the_text_part_says_what_the_html_says() -> None:
    """Links keep their addresses, lists and rows are lines, styles and hidden text are gone."""
    html = (
        "<html><head><title>t</title><style>p{color:red}</style></head><body>"
        '<div style="display:none">preheader</div><h1>Hello  <b>Ada</b>!</h1>'
        '<p>We have<br>news &amp; <a href="https://e.com/?a=1&amp;b=2">more\n here</a>.</p>'
        "<ul><li>one<ul><li>in</li></ul></li><li>two</li></ul><ol start=3><li>x</li><li>y</li></ol>"
        "<table><tr><th>Name</th><th>Price</th></tr><tr><td>Tea</td><td>3 €</td></tr></table>"
        '<a href="mailto:a@b.example">a@b.example</a> <a href="https://x.example"><img alt=""></a>'
        '<img src="cid:a" alt="A cup"><hr><pre>a  b\n  c</pre><script>no</script></body></html>'
    )

    assert text_of_html(html) == (
        "Hello Ada!\n\nWe have\nnews & more here <https://e.com/?a=1&b=2>.\n\n"
        "- one\n  - in\n- two\n\n3. x\n4. y\n\nName | Price\nTea | 3 €\n"
        "a@b.example https://x.exampleA cup\n\n----------\n\na  b\n  c\n"
    )


def test_e7_a_break_in_the_source_is_no_space_between_chinese_characters() -> None:
    """Chinese and Japanese are written without spaces, and other scripts with them."""
    assert "护肤品。秋天 news here\n" == text_of_html("<p>护肤\n  品。\n秋天\nnews\nhere</p>")


words = st.sampled_from(["a", "<", "&", "护", "\n", "x y", "|", "- ", "https://e.com"])
elements = st.recursive(
    words.map(markup.escape),
    lambda inner: st.one_of(
        st.builds(
            "<{0}>{1}</{0}>".format,
            st.sampled_from("p div b ul li td tr table h1 a".split()),
            inner,
        ),
        st.builds('<a href="https://e.com/{}">{}</a>'.format, st.integers(0, 9), inner),
        st.builds("<style>{}</style><br>{}".format, st.just("p{color:red}"), inner),
        st.builds("{}{}".format, inner, inner),
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(elements)
def test_e7_text_keeps_every_word_and_no_style(source: str) -> None:
    """All that is not whitespace stays in its order; no mark, style or wide gap is left."""
    found = text_of_html(mail(source).render({}).html or "")
    shown = re.sub(r"<style>.*?</style>|<[^>]*>", "", source)

    assert not re.search("[\ue000-\uf8ff]|color:red|\n\n\n|[ \t]\n", found)
    letters = iter(re.sub(r"\s", "", found))
    assert all(each in letters for each in re.sub(r"\s", "", markup.unescape(shown)))


# ---------------------------------------------- languages, previews, pages


def test_e8_a_language_falls_back_to_wider_ones_and_then_to_the_fallbacks() -> None:
    """As RFC 4647, 3.4 looks up: narrower first, and a lone letter goes with what follows it."""
    made = {each: mail(f"<p>{each}</p>") for each in ("en", "de", "zh-Hant", "pt_BR")}
    news = LocalisedTemplate("news", made, fallbacks=("en", "de"))
    wanted = {
        "de-AT": "de",
        "DE": "de",
        "zh-Hant-TW": "zh-hant",
        "zh-Hant-x-private": "zh-hant",
        "zh": "en",
        "pt-BR": "pt-br",
        "de_CH.UTF-8": "de",
        "fr": "en",
        "": "en",
        None: "en",
    }

    assert wanted == {each: news.language_for(each) for each in wanted}
    assert made["de"] is news.choose("de-AT")
    with pytest.raises(TemplateError, match=r"falls back to 'eng'.*did you mean 'en'"):
        LocalisedTemplate("news", made, fallbacks=("eng",))


def test_e8_a_preview_is_the_mail() -> None:
    """Rendering is one function without time or chance, so it gives the same bytes each time."""
    template = mail("<p>{{ name }}</p>{% for p in products %}<b>{{ p.name }}</b>{% endfor %}")
    variables = {"name": "Ada", "products": [{"name": "Tea"}]}

    assert template.render(variables) == template.render(dict(variables))


def test_e8_a_shared_page_has_nothing_of_anybody() -> None:
    """Where a person's values would be, it says what they are; what is the shop's is there."""
    template = mail(
        "<p>{{ customer.first_name }}, {{ shop.name }}</p>{% for p in products %}{{ p.name }}"
        '{% endfor %}<a href="{{ unsubscribe_url }}">bye</a>',
        subject="{{ customer.first_name }}",
    )

    rendered = anonymous(template, {"shop": {"name": "Tea"}})

    assert "first name" == rendered.subject
    assert (
        "<p>first name, Tea</p>name"
        '<a href="https://example.invalid/unsubscribe_url">bye</a>' == body(rendered.html)
    )


def test_e8_a_page_brings_its_images_along() -> None:
    """An image within the mail is shown in a browser; one that is not there stays as it was."""
    html = (
        '<img src="cid:logo"><td background="cid:logo" style="x: url(cid:logo)"><img src="cid:no">'
    )

    assert ("logo", "no") == content_ids(html)
    assert page(html, {"logo": ("image/png", b"\x00\x01")}) == (
        '<img src="data:image/png;base64,AAE="><td background="data:image/png;base64,AAE=" '
        'style="x: url(data:image/png;base64,AAE=)"><img src="cid:no">'
    )
