"""Templates that attack whoever renders them, and a process that renders them and is measured."""

from __future__ import annotations

import json
import resource
import sys
import threading
import time

from crmcore_email_link.templates import MailTemplate, RenderError, TemplateError

DOUBLING = (
    "{% set ns = namespace(x=START, y=START) %}{% for i in range(60) %}"
    "{% set ns.x = STEP %}{% set ns.y = OTHER %}{% endfor %}"
)


def doubling(start: str, step: str, end: str) -> str:
    """Return a template that doubles a value sixty times, and then does something with it."""
    text = DOUBLING.replace("START", start).replace("STEP", step)
    return text.replace("OTHER", step.replace("ns.x", "ns.y")) + end


LISTS = ("['x']", "[ns.x, ns.x]")
TUPLES = ("('x',)", "(ns.x, ns.x)")

ATTACKS = {
    "text times number": "{{ 'x' * 10**9 }}",
    "number times text": "{{ 10**9 * 'x' }}",
    "list times number": "{{ ([1] * 10**9)|length }}",
    "center": "{{ 'x'|center(10**9) }}",
    "format filter": "{{ '%1000000000d'|format(1) }}",
    "format filter by name": "{{ '%(a)1000000000d'|format(a=1) }}",
    "format filter with a star": "{{ '%*d'|format(1000000000, 1) }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent of markup": "{{ ('%1000000000d'|safe) % 1 }}",
    "ljust": "{{ 'x'.ljust(10**9) }}",
    "zfill": "{{ 'x'.zfill(10**9) }}",
    "format method": "{{ '{:1000000000}'.format(1) }}",
    "format_map method": "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "indent": "{{ 'x'|indent(10**9) }}",
    "indent of many lines": "{{ ('x\n' * 100000)|indent(100) }}",
    "indent with text": "{{ ('x\n' * 100000)|indent('y' * 10000) }}",
    "power": "{{ 9 ** 99999999 }}",
    "tower of powers": "{{ 9 ** (9 ** (9 ** 9)) }}",
    "squaring": doubling("99", "ns.x * ns.x", ""),
    "float overflow": "{{ 1.0e308 * 10 ** 400 }}",
    "round": "{{ 1.5|round(10**9, 'ceil') }}",
    "endless loop": "{% for i in range(10**9) %}{% endfor %}",
    "nested loops": "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "nested loops that let nothing pass": (
        "{% for i in range(99999) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}"
    ),
    "nested loops with text": (
        "{% for i in range(99999) %}{% for j in range(99999) %}"
        + "x" * 999
        + "{% endfor %}{% endfor %}"
    ),
    "text in a loop in a block": (
        "{% set x %}{% for i in range(99999) %}" + "x" * 999 + "{% endfor %}{% endset %}"
    ),
    "loop over text": "{% for a in 'x' * 9000 %}{% for b in 'x' * 9000 %}{% endfor %}{% endfor %}",
    "recursive loop": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "macro calling itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "macro calling itself twice": (
        "{% macro m(x) %}{{ m(x + 1) }}{{ m(x + 1) }}{% endmacro %}{{ m(1) }}"
    ),
    "macros calling each other": (
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}"
    ),
    "macro called by its caller": (
        "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}"
    ),
    "wide macro tree": (
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}"
        "{% endmacro %}{{ m(22) }}"
    ),
    "doubling with ~": doubling("'x' * 999", "ns.x ~ ns.x", ""),
    "doubling with +": doubling("'x' * 999", "ns.x + ns.x", ""),
    "doubling lists": doubling("[1] * 999", "ns.x + ns.x", ""),
    "doubling with replace": doubling("'x'", "ns.x|replace('x', 'xxxxxxxxx')", ""),
    "doubling with join": doubling("'x' * 99", "[ns.x, ns.x]|join(ns.x)", ""),
    "doubling with a block": (
        "{% set x = 'x' * 99 %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 60
    ),
    "doubling with a filter block": (
        "{% set x = 'x' * 99 %}"
        + "{% set x %}{% filter upper %}{{ x }}{{ x }}{% endfilter %}{% endset %}" * 60
    ),
    "shared lists put out": doubling(*LISTS, "{{ ns.x }}"),
    "shared lists as text": doubling(*LISTS, "{{ ns.x|string }}"),
    "shared lists joined": doubling(*LISTS, "{{ ns.x|join }}"),
    "shared lists with ~": doubling(*LISTS, "{{ ns.x ~ '' }}"),
    "shared lists as JSON": doubling(*LISTS, "{{ ns.x|tojson }}"),
    "shared lists upper": doubling(*LISTS, "{{ ns.x|upper }}"),
    "shared lists formatted": doubling(*LISTS, "{{ '%s'|format(ns.x) }}"),
    "shared lists replaced": doubling(*LISTS, "{{ ns.x|replace('x', 'y') }}"),
    "shared lists compared": doubling(*LISTS, "{{ ns.x == ns.y }}"),
    "shared lists less": doubling(*LISTS, "{{ ns.x < ns.y }}"),
    "shared lists in": doubling(*LISTS, "{{ ns.x in [ns.y] }}"),
    "shared lists tested": doubling(*LISTS, "{{ ns.x is eq ns.y }}"),
    "shared lists tested in": doubling(*LISTS, "{{ ns.x is in [ns.y] }}"),
    "shared lists sorted": doubling(*LISTS, "{{ [ns.x, ns.y]|sort|length }}"),
    "shared lists' greatest": doubling(*LISTS, "{{ [ns.x, ns.y]|select|max }}"),
    "shared lists unique": doubling(*TUPLES, "{{ [ns.x, ns.y]|unique|list|length }}"),
    "shared lists grouped": doubling(
        *LISTS, "{{ [{'a': ns.x}, {'a': ns.y}]|groupby('a')|length }}"
    ),
    "shared lists selected": doubling(*LISTS, "{{ [ns.x]|select('eq', ns.y)|list|length }}"),
    "shared lists changed": doubling(
        *LISTS, "{% for i in [1, 2] %}{{ loop.changed([ns.x, ns.y][i - 1]) }}{% endfor %}"
    ),
    "shared tuples as keys": doubling(*TUPLES, "{{ {ns.x: 1} }}"),
    "shared tuples as index": doubling(*TUPLES, "{{ {}[ns.x] }}"),
    "shared tuples got": doubling(*TUPLES, "{{ {}.get(ns.x) }}"),
    "deep lists": (
        "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}"
        "{% endfor %}"
        "{{ ns.l == ns.l }}"
    ),
    "long literals kept": (
        "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}"
        "{% set ns.l = [ns.l, [" + "1," * 5000 + "]] %}{% endfor %}"
    ),
    "slices kept": (
        "{% set s = 'x' * 900000 %}{% set ns = namespace(l=[]) %}{% for i in range(9999) %}"
        "{% set ns.l = [ns.l, s[1:]] %}{% endfor %}"
    ),
    "searching long texts": (
        "{% set s = 'x' * 900000 %}{% for i in 'abcd' %}{% if 'y' in s %}{% endif %}{% endfor %}"
    ),
    "comparing long texts": (
        "{% set s = 'x' * 500000 %}{% set t = s ~ '' %}{% for i in 'ab' %}{{ s == t }}{% endfor %}"
    ),
    "method on long texts": (
        "{% set s = 'x' * 900000 %}{% for i in 'abcdef' %}{% if s.upper() %}{% endif %}{% endfor %}"
    ),
    "splitting": "{{ ('a ' * 900000).split()|length }}",
    "splitting by a letter": "{{ ('ab' * 900000).split('a')|length }}",
    "striptags": "{{ ('<' * 900000)|striptags }}",
    "striptags of comments": "{{ ('<!--' * 200000)|striptags }}",
    "trim": "{{ (' ' * 9999999)|trim }}",
    "truncate": "{{ ('x' * 999999)|truncate(999998, end='y' * 999999) }}",
    "join with long glue": "{{ range(99999)|join('y' * 99999) }}",
    "join of long texts": "{{ (['x' * 99999] * 9999)|join }}",
    "replace nothing by much": "{{ ('x' * 99999)|replace('', 'y' * 99999) }}",
    "batch": "{{ [1]|batch(10**9, 'x')|list }}",
    "slice": "{{ [1]|slice(10**9)|list }}",
    "sum of lists": "{{ ([[1] * 999] * 999)|sum(start=[]) }}",
    "long attribute path": "{{ range(9999)|map(attribute='a.' * 9999)|list }}",
    "many maps": "{{ range(99999)" + "|map('string')" * 40 + "|list|length }}",
    "filter by map": "{{ ['x']|map('center', 10**9)|list }}",
    "test by select": "{{ ['%1000000000d']|select('odd')|list }}",
    "odd": "{{ '%1000000000d' is odd }}",
    "divisibleby": "{{ '%1000000000d' is divisibleby 1 }}",
    "wordcount": "{% set s = 'x ' * 400000 %}{% for i in range(99) %}{{ s|wordcount }}{% endfor %}",
    "wordwrap": "{{ ('x' * 900000)|wordwrap(1) }}",
    "urlize": "{{ ('http://' * 99999)|urlize }}",
    "lipsum": "{{ lipsum(n=10**9) }}",
    "random": "{{ range(10)|random }}",
    "unpacked arguments": "{% macro m() %}{{ varargs }}{% endmacro %}{{ m(*range(99999)) }}",
    "deep markup": "{{ ('<div>' * 99999)|safe }}",
    "deep markup with wrong ends": "{{ ('<div><table></div></table>' * 9999)|safe }}",
    "many formats": (
        "{% for i in range(250) %}{{ ('<b class=' ~ i ~ '>')|safe }}{% endfor %}"
        "{{ ('</p><p>x' * 20000)|safe }}"
    ),
    "many elements": "{{ ('<p>' * 99999)|safe }}",
    "wide emoji": "{{ ('\U0001f600' * 900000)|forceescape ~ ('\U0001f600' * 900000) }}",
    "class of text": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class by index": "{{ ''['__class__'] }}",
    "class by attr": "{{ ''|attr('__class__') }}",
    "class by map": "{{ ['']|map(attribute='__class__')|first }}",
    "globals of range": "{{ range.__globals__ }}",
    "globals of a macro": "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}",
    "environment of a macro": "{% macro m() %}{% endmacro %}{{ m._environment }}",
    "init of namespace": "{{ namespace.__init__.__globals__ }}",
    "dict of namespace": "{{ namespace(a=1).__dict__ }}",
    "self": "{{ self.__init__.__globals__ }}",
    "context of loop": "{% for i in [1] %}{{ loop.__init__ }}{{ loop._iterator }}{% endfor %}",
    "undefined's class": "{{ nothing.__class__ }}",
    "cycler": "{{ cycler.__init__.__globals__ }}",
    "import": "{% import 'os' as os %}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{% extends 'x' %}",
    "autoescape off": "{% autoescape false %}{{ '<script>' }}{% endautoescape %}",
    "changing a list": "{{ [1].append(2) }}",
    "changing a dict": "{{ {}.update({1: 2}) }}",
    "deep parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "deep blocks": "{% if 1 %}" * 2000 + "{% endif %}" * 2000,
    "many minuses": "{{ " + "- " * 20000 + "1 }}",
    "long number": "{{ " + "9" * 100000 + " }}",
    "long template": "x" * 2_000_000,
}

HEAVY = {
    "half tags": "{{ ('<a ' * 99999)|safe }}",
    "half tags with quotes": "{{ ('<a \"b ' * 70000)|safe }}",
    "half tags with either quote": "{{ ('<a \"b <a \\'c ' * 30000)|safe }}",
    "half comments": "{{ ('<!--' * 99999)|safe }}",
    "half declarations": "{{ ('<!' * 99999)|safe }}",
    "wrong ends": "{{ ('<i>' * 250)|safe }}{{ ('</b>' * 9999)|safe }}",
    "many short elements": "{{ ('<p>' * 50000)|safe }}",
    "many tables": "{{ ('<table><tr><td></table>' * 9999)|safe }}",
    "many rows": "{{ ('<table><tr><td>1<td>2</table>' * 9999)|safe }}",
    "many links": "{{ ('<a href=x>y</a>' * 19999)|safe }}",
    "nested tables": "{{ ('<table><tr><td>1<td>' * 70)|safe }}",
    "many styles": "{{ ('<p style=\"color:red\">' * 19999)|safe }}",
    "many attributes": "{{ ('<p ' ~ ('a=b ' * 99999) ~ '>')|safe }}",
    "one long word": "{{ 'x' * 400000 }}",
    "many spaces": "{{ ' \n' * 200000 }}",
    "many breaks": "{{ ('<br>\n' * 50000)|safe }}",
    "many entities": "{{ ('&amp' * 99999)|safe }}",
}
"""What is harmless but large: it may be rendered, as long as that is soon done."""


def measured(source: str) -> dict[str, object]:
    """Return what became of rendering a template, in seconds of CPU and bytes of more memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.thread_time()
    try:
        MailTemplate("attack", subject="s", html=f"<p>{source}</p>").render({})
        outcome, said = "rendered", ""
    except RenderError as error:
        outcome, said = error.fault, str(error)
    except TemplateError as error:
        outcome, said = "template", str(error)
    return {
        "seconds": time.thread_time() - started,
        "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "outcome": outcome,
        "said": said,
    }


def main() -> None:
    """Render one attack in a thread that is not the main one, and print what became of it."""
    MailTemplate("usual", subject="s", html="<p>{{ a }}</p>").render({"a": "b"})
    found: list[dict[str, object]] = []
    for name in sys.argv[1:]:
        thread = threading.Thread(
            target=lambda name=name: found.append(measured({**ATTACKS, **HEAVY}[name]))
        )
        thread.start()
        thread.join()
    sys.stdout.write(json.dumps(dict(zip(sys.argv[1:], found, strict=True))))


if __name__ == "__main__":
    main()
