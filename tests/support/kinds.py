"""
Which tests run on which kinds of database: the hooks of pytest that bring this about.

A test, class or module marked `each_database` runs on SQLite, on PostgreSQL, and on PostgreSQL
with partitioned tables, each time with the kind in its id. The last one is slow, unless the mark
says `partitioned=True` or the environment says `CRM_TEST_PARTITIONED=1`; with `partitioned=False`
it is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings

from tests.support.databases import KINDS, PARTITIONED, making

MARK = "each_database"

# There is no other way to change them for one run of a test; if it should go away, tests run
# more examples than they need.
_SETTINGS = "_hypothesis_internal_use_settings"
_FEWER = {KINDS[1]: 5, PARTITIONED: 20}  # opening one takes ten times as long, or fifty times
_FEWEST, _FEWEST_QUICKLY = 3, 2
QUICK = "not slow"
_WITHOUT_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{MARK}(partitioned=None): runs once on each kind of database"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None:
        return
    wanted = mark.kwargs.get("partitioned")
    always = wanted or os.environ.get("CRM_TEST_PARTITIONED")
    partitioned = pytest.param(PARTITIONED, marks=() if always else pytest.mark.slow)
    kinds = KINDS if wanted is False else (*KINDS, partitioned)
    metafunc.parametrize(_database_under_test.__name__, kinds, indirect=True)


@pytest.fixture(autouse=True)
def _database_under_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make databases of the kind that the test's id names; SQLite where it names none."""
    kind = getattr(request, "param", KINDS[0])
    test = getattr(request, "function", None)
    usual = getattr(test, _SETTINGS, None)
    is_quick = request.config.option.markexpr == QUICK
    if usual is not None and (is_quick or kind != KINDS[0]):
        fewer = usual.max_examples // _FEWER.get(kind, 1)
        if is_quick and usual.max_examples != settings().max_examples:
            fewer //= 2  # where a test says how many, the quick profile does not
        fewest = _FEWEST_QUICKLY if is_quick else _FEWEST
        phases = usual.phases if kind == KINDS[0] else _WITHOUT_SHRINKING
        fewer = max(min(fewest, usual.max_examples), fewer)
        setattr(test, _SETTINGS, settings(usual, max_examples=fewer, phases=phases))
    with making(kind):
        yield
    if usual is not None:
        setattr(test, _SETTINGS, usual)
