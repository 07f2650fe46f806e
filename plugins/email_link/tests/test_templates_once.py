"""Converting a template once gives what converting each mail by itself gives."""

from __future__ import annotations

import re
from typing import Any

import html5lib  # type: ignore[import-untyped]  # it has no annotations
from crmcore_email_link.templates import MailTemplate, TemplateError
from crmcore_email_link.templates.converting import normal
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

SHEET = """
p { color: red } td, th { padding: 4px } .a { margin: 1px } .b .a { margin: 2px }
table .c > td { width: 9px } #x { border: 0 } a[href] { color: blue } div p { color: green }
@media (max-width: 600px) { .a { width: 100% !important } }
"""
RISKY = """
tr:nth-child(2) { color: red } p + p { margin: 0 } li:last-child { margin: 9px }
td:empty { height: 0 } a[title="word"] { color: lime } .word { color: navy }
"""

texts = st.sampled_from(
    [
        "",
        "word",
        "  two  words ",
        "a < b & c > \"d\" 'e'",
        "&amp; &lt;b&gt;",
        "护肤品",
        "x\ny",
        "😀",
    ]
)
values = st.fixed_dictionaries(
    {
        "name": texts,
        "other": texts,
        "yes": st.booleans(),
        "items": st.lists(st.fixed_dictionaries({"name": texts, "new": st.booleans()}), max_size=3),
        "url": st.sampled_from(["https://shop.example/?a=1&b=2", "mailto:ada@example.com"]),
    }
)
puts = st.sampled_from(["{{ name }}", "{{- other -}}", "{{ name ~ other }}", "{{ name|upper }}"])
classes = st.sampled_from(["", ' class="a"', ' class="b"', ' class="c"', ' id="x"', " class=b"])
odd = st.sampled_from(
    [
        '<p class="{{ name }}">',
        "&{{ name }}",
        "<b>{{ name }}<i>",
        "</p>",
        "<tr>",
        "<pre>\n{{ name }}</pre>",
    ]
)


def _inside(blocks: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    rows = st.lists(
        st.builds("<tr{}><td{}>{}</td></tr>".format, classes, classes, blocks), max_size=2
    ).map("".join)
    return st.one_of(
        st.builds("<{0}{1}>{2}</{0}>".format, st.sampled_from(["div", "p", "b"]), classes, blocks),
        st.builds("<table>{}</table>".format, rows),
        st.builds("<table{}>{{% for i in items %}}{}{{% endfor %}}</table>".format, classes, rows),
        st.builds("{{% if yes %}}{}{{% else %}}{}{{% endif %}}".format, blocks, blocks),
        st.builds("{{% if items -%}} {}{{% endif %}}".format, blocks),
        st.builds("{{% for i in items %}}{}{{{{ i.name }}}}{{% endfor %}}".format, blocks),
        st.builds(
            '<a href="{{{{ url }}}}" title="{{{{ name }}}}"{}>{}</a>'.format, classes, blocks
        ),
        st.builds(
            "<ul>{{% for i in items %}}<li{}>{}</li>{{% endfor %}}</ul>".format, classes, blocks
        ),
        st.builds("<ol><li>{}</li>{{% if yes %}}<li>x</li>{{% endif %}}</ol>".format, blocks),
        st.builds("{} {}".format, blocks, blocks),
    )


content = st.recursive(
    st.one_of(st.sampled_from(["text", "a b", "护 肤", "\n", "&nbsp;"]), puts),
    _inside,
    max_leaves=12,
)
documents = st.builds(
    "<html><head><title>{}</title><style>{}</style></head><body>{}{}</body></html>".format,
    puts,
    st.sampled_from([SHEET, SHEET, SHEET + RISKY, ""]),
    content,
    st.one_of(st.just(""), st.just(""), odd),
)


def tree(html: str) -> Any:
    """Return what another parser than the one we use makes of HTML."""
    found = html5lib.parse(html, treebuilder="etree", namespaceHTMLElements=False)

    def walk(element: Any) -> Any:
        return (
            str(element.tag),
            sorted(element.attrib.items()),
            element.text or "",
            [walk(each) for each in element],
            element.tail or "",
        )

    return walk(found)


@settings(max_examples=400, deadline=None)
@given(documents, values)
@example(
    "<table>{% for i in items %}<tr><td>{{ i.name }}</td></tr>{% endfor %}</table>", {"items": []}
)
def test_e8_converting_once_and_each_give_the_same_mail(source: str, variables: Any) -> None:
    """For any template: same elements, styles and text, whether converted before or after."""
    try:
        template = MailTemplate("t", subject="s", html=source)
    except TemplateError as error:
        event(f"refused: {error.problem[:30]}")
        return
    event(template.converts)

    once, each = template.render(variables), template.render_each(variables)

    assert once.html is not None
    assert each.html is not None
    assert normal(each.html) == normal(once.html)
    assert tree(each.html) == tree(once.html)
    assert each.text == once.text


MJML = """<mjml><mj-head><mj-title>{{{{ name }}}}</mj-title><mj-preview>{{{{ other }}}}</mj-preview>
<mj-style>.a {{ color: red }} td .b {{ margin: 1px }}</mj-style></mj-head>
<mj-body>{}</mj-body></mjml>"""
inner = st.one_of(
    st.just("<mj-text>{{ name }} and &amp; {{ other }}</mj-text>"),
    st.just(
        '<mj-text css-class="a"><p class="b">{% if yes %}x{% else %}<b>y</b>{% endif %}</p>'
        "</mj-text>"
    ),
    st.just('<mj-button href="{{ url }}">Go {{ name }}</mj-button>'),
    st.just('<mj-image src="https://cdn.example/a.png" alt="{{ name }}" href="{{ url }}"/>'),
    st.just("<mj-table>{% for i in items %}<tr><td>{{ i.name }}</td></tr>{% endfor %}</mj-table>"),
    st.just(
        '<mj-text>{% for i in items %}<a href="{{ url }}">{{ i.name }}</a>{% endfor %}</mj-text>'
    ),
    st.just('<mj-divider border-color="red"/>'),
)
columns = st.lists(
    st.one_of(
        inner,
        st.builds("{{% if yes %}}{}{{% endif %}}".format, inner),
        st.builds("{{% for i in items %}}{}{{% endfor %}}".format, inner),
    ),
    min_size=1,
    max_size=3,
).map("".join)
sections = st.builds(
    "<mj-section>{}</mj-section>".format,
    st.lists(st.builds("<mj-column>{}</mj-column>".format, columns), min_size=1, max_size=2).map(
        "".join
    ),
)
bodies = st.lists(
    st.one_of(
        sections,
        st.builds("{{% if yes %}}{}{{% else %}}{}{{% endif %}}".format, sections, sections),
        st.builds("{{% for i in items %}}{}{{% endfor %}}".format, sections),
        st.builds(
            "<mj-wrapper>{{% for i in items %}}{}{{% endfor %}}</mj-wrapper>".format, sections
        ),
    ),
    min_size=1,
    max_size=3,
).map("".join)


def without_rules(html: str) -> str:
    """
    Return HTML without stylesheets, and the comments around those that are gone.

    MJML writes rules for those columns and fonts that one mail has.
    """
    html = re.sub(r"<style.*?</style>\s*", "", html, flags=re.DOTALL)
    return html.replace("<!--[if !mso]><!--><!--<![endif]-->", "")


@settings(max_examples=150, deadline=None)
@given(bodies, values)
def test_e8_mjml_converted_once_and_each_give_the_same_mail(body: str, variables: Any) -> None:
    """The same of MJML, but for rules in the head that one mail has no element for."""
    template = MailTemplate("t", subject="s", html=MJML.format(body))
    event(template.converts)

    once, each = template.render(variables), template.render_each(variables)

    assert once.html is not None
    assert each.html is not None
    assert without_rules(normal(each.html)) == without_rules(normal(once.html))
    assert each.text == once.text
