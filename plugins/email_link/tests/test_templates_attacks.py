"""Templates cannot harm whoever renders them; see `attacks.py` for what is tried."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from crmcore_email_link.templates import Limits, MailTemplate, RenderError, TemplateError
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.email_link.tests.attacks import ATTACKS, HEAVY

SECONDS = 1.0
MEGABYTES = 64.0


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Any]]:
    """What became of each attack, rendered in a thread of a process of its own."""
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("attacks.py")), *ATTACKS, *HEAVY],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, dict[str, Any]] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("name", ATTACKS)
def test_e8_an_attack_is_stopped_in_time_and_says_where(
    name: str, outcomes: dict[str, dict[str, Any]]
) -> None:
    """Each is refused within a second of CPU and 64 MB, outside the main thread, with its place."""
    outcome = outcomes[name]

    assert outcome["outcome"] in ("limit", "refused", "missing", "template"), outcome
    assert outcome["seconds"] < SECONDS
    assert outcome["megabytes"] < MEGABYTES
    assert outcome["said"].startswith("template 'attack/html'")


@pytest.mark.parametrize("name", HEAVY)
def test_e8_what_is_large_takes_no_longer_than_an_attack(
    name: str, outcomes: dict[str, dict[str, Any]]
) -> None:
    """Scanning, parsing and turning it into text take time by its size, not by its square."""
    outcome = outcomes[name]

    assert outcome["outcome"] in ("limit", "rendered"), outcome
    assert outcome["seconds"] < SECONDS
    assert outcome["megabytes"] < MEGABYTES


def test_e8_a_limit_fails_one_recipient_and_no_other() -> None:
    """The same template renders for others, and the error says template, line and limit."""
    template = MailTemplate(
        "offer", subject="s", html="<p>Hello</p>\n{% for i in range(n) %}\n<i></i>{% endfor %}"
    )

    assert template.render({"n": 2}).html is not None
    with pytest.raises(RenderError) as caught:
        template.render({"n": 150_000})
    assert template.render({"n": 3}).html is not None

    assert (caught.value.fault, caught.value.exceeded) == ("limit", "steps")
    assert (caught.value.template, caught.value.line) == ("offer/html", 2)
    assert "200,000 steps" in str(caught.value)


def test_e8_output_is_capped_in_bytes() -> None:
    """Characters of three bytes count three times."""
    template = MailTemplate("t", subject="s", text="{{ x }}", limits=Limits(output_bytes=3000))

    assert len(template.render({"x": "护" * 999}).text) == 1000
    with pytest.raises(RenderError, match="more than 3,000 bytes") as caught:
        template.render({"x": "护" * 1001})

    assert caught.value.exceeded == "output_bytes"


def test_e8_an_error_holds_nothing_of_what_was_rendered() -> None:
    """No traceback of the rendering hangs on it, which would keep its values."""
    template = MailTemplate("t", subject="s", text="{{ 'x' * 900000 ~ missing }}")

    with pytest.raises(RenderError) as caught:
        template.render({})

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


atoms = st.sampled_from(
    "x n xs d 'a' 3 10**8 [1,2] (x,n) {'a':x} nothing range(9) range(10**9) d.a x.upper xs[0] "
    "xs[1:] ns m '' '%9999999d' none".split()
)
filters = st.sampled_from(
    "upper list join string length sort first center(10**8) format(1) indent(99) replace('a',x*9) "
    "map('upper') batch(10**8) tojson sum unique reverse title e safe striptags urlencode int abs "
    "round(9) items dictsort groupby('a') select default('y') trim truncate(9) wordcount".split()
)
operators = st.sampled_from(
    ["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and", "or"]
)
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, operators, inner),
        st.builds("({}|{})".format, inner, filters),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}({})".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds(
            "({} is {})".format, inner, st.sampled_from(["odd", "defined", "mapping", "upper"])
        ),
    ),
    max_leaves=8,
)
statements = st.recursive(
    st.builds("{{{{ {} }}}}".format, expressions),
    lambda inner: st.one_of(
        st.builds("{{% for i in {} %}}{}{{% endfor %}}".format, expressions, inner),
        st.builds("{{% if {} %}}{}{{% endif %}}".format, expressions, inner),
        st.builds("{{% set ns.x = {} %}}{}".format, expressions, inner),
        st.builds("{{% set x = {} %}}{}".format, expressions, inner),
        st.builds("{}{}".format, inner, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(statements)
def test_e8_whatever_a_template_says_nothing_but_a_clear_error_comes_out(body: str) -> None:
    """Any combination of what the sandbox has is rendered, or refused by name and line."""
    source = f"{{% set ns = namespace(x=1) %}}{{% macro m(a) %}}{{{{ a }}}}{{% endmacro %}}{body}"
    variables = {"x": "a<b", "n": 5, "xs": ["b", "a"], "d": {"a": 1}}

    try:
        said = MailTemplate("t", subject="s", text=source).render(variables).text
        where: tuple[str, int | None] = ("t/text", 1)
    except TemplateError as error:
        said = str(error)
        where = (error.template, error.line)

    assert where in (("t/text", 1), ("t/text", None))
    assert len(said) <= 1_000_001
