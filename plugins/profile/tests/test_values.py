"""Values that fit: in SQL as in Python, and as an independent reading has it."""

from datetime import date

import pytest
from crmcore_profile.attributes import Attribute
from crmcore_profile.tables import Words
from crmcore_profile.values import checked, fits, has_form
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, case, select

from crmcore.errors import InputError

NAMES = ("text", "number", "date", "birthday", "language", "zone", "choice")
ATTRIBUTES = {
    name: Attribute(name=name, type=name, options=("a b", "ü") if name == "choice" else ())
    for name in NAMES
}
GIVEN = bindparam("given", type_=Words)
ASKED = select(*(case((fits(ATTRIBUTES[name], GIVEN), 1), else_=0) for name in NAMES))

dates = st.builds(
    "{:0>4}-{:0>2}-{:0>2}".format, st.integers(1848, 2202), st.integers(0, 13), st.integers(0, 32)
)
days = st.builds("--{:0>2}-{:0>2}".format, st.integers(0, 13), st.integers(0, 32))
pieces = st.lists(
    st.sampled_from(["de", "DE", "Latn", "1994", "-", "--", "/", "Europe", "Berlin", "UTC", "_"]),
    max_size=5,
).map("".join)
likely = st.sampled_from(
    [
        *["", " ", "a b", "ü", "-", "-1", "12", "--1", "1" * 15, "1" * 16, "1984-5-17", "²"],
        *["x" * 500, "x" * 501, "d", "deu", "deut", "de-", "-de", "a/b/c", "/a", "1/a", "UTC"],
        *["1984-05-17\n", "1984-05-1x", "--02-30", "--2-28", f"{'a' * 60}/bbb", f"{'a' * 60}/bbbb"],
        *["".join(chr(0x660 + int(each)) if each.isdigit() else each for each in "1984-05-17")],
    ]
)
texts = st.text(alphabet="aZ09-/_ ü%\\'", max_size=12)


@pytest.mark.each_database(partitioned=False)
@settings(max_examples=100)
@given(value=st.one_of(dates, days, pieces, likely, texts))
def test_sql_says_the_same(request, open_sheet, value):
    """A database finds the same values to fit as Python does, whatever is thrown at it."""
    sheet = request.getfixturevalue("sheet")
    (found,) = sheet.execute(ASKED, given=value)

    assert {name: int(has_form(ATTRIBUTES[name], value)) for name in NAMES} == dict(
        zip(NAMES, found, strict=True)
    )


@given(value=st.one_of(dates, days))
@example("1900-02-29")
@example("2000-02-29")
def test_dates(value):
    """A date fits if there is such a day, in a year in which somebody alive may be born."""
    has_year = not value.startswith("--")
    try:
        found = date.fromisoformat(value if has_year else f"2000{value[1:]}")
    except ValueError:
        found = None
    is_day = found is not None and (not has_year or 1850 <= found.year <= 2199)

    assert (is_day and has_year) == has_form(ATTRIBUTES["date"], value)
    assert is_day == has_form(ATTRIBUTES["birthday"], value)


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        ("choice", "a  b", r"^choice is 'a  b' \(did you mean 'a b'\?\); 'a b' or 'ü' is expected"),
        ("number", "1.5", "^number is '1.5'; a whole number of up to 15 digits is expected$"),
        ("date", "--05-17", "a date such as 2024-05-17 is expected"),
        ("birthday", "17.5.1984", "or --05-17 where the year is not known is expected"),
        ("language", "german!", "a language such as de or pt-BR is expected"),
        ("zone", "Europe/Berln", r"unknown time zone 'Europe/Berln' \(did you mean"),
        ("text", "", "text of up to 500 characters is expected"),
    ],
)
def test_refused(kind, value, told):
    """A value that does not fit is refused with what was found and what is expected."""
    with pytest.raises(InputError, match=told):
        checked(ATTRIBUTES[kind], value)


def test_taken():
    """A value that fits is returned as it is."""
    assert "Europe/Berlin" == checked(ATTRIBUTES["zone"], "Europe/Berlin")
    assert "--02-29" == checked(ATTRIBUTES["birthday"], "--02-29")
