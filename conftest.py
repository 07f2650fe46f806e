"""What all tests share: where their helpers are found, how hypothesis explores, the databases."""

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# With import-mode=importlib nothing is put on the path, and the helpers are imported by name.
sys.path.insert(0, str(Path(__file__).parent))

from tests.support.kinds import (  # noqa: F401 - hooks and a fixture
    QUICK,
    _database_under_test,
    pytest_configure,
    pytest_generate_tests,
)

PLUGINS = Path(__file__).parent / "plugins"
CHANNELS = Path(__file__).parent / "tests" / "contract" / "test_channels.py"

# Of the contracts of our own plugins, PostgreSQL has these laws in a run without the slow tests,
# which between them write, read, move and empty every table; and of these plugins all laws.
ON_BOTH = (
    "test_export_and_erasure",
    "test_live_in_batches_of_any_size",
    "test_merge_and_unmerge",
    "test_revisions_make_what_is_declared",
    "test_statements_do_not_grow",
)
ON_BOTH_WHOLLY = ("tiering", "recording")

settings.register_profile(
    "crmcore",
    deadline=None,  # time is measured in bench/, not here
    print_blob=True,  # a failure prints what reproduces it
    suppress_health_check=[HealthCheck.too_slow],
)
# In a run without the slow tests: four tenths of the examples; where a test says how many, half.
settings.register_profile("quick", settings.get_profile("crmcore"), max_examples=40)
settings.load_profile("crmcore")


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Choose before tests are imported, as they keep the profile of that moment."""
    is_quick = session.config.option.markexpr == QUICK
    settings.load_profile("quick" if is_quick else "crmcore")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave some of what holds of plugins of ours to the slow tests: no fault was found by it."""
    for item in items:
        contract: Any = getattr(item, "cls", None)
        if not {PLUGINS, CHANNELS} & {item.path, *item.path.parents}:
            continue
        if not hasattr(contract, "examples"):
            continue
        if config.option.markexpr == QUICK:
            contract.examples = 6
        law, _, kind = item.name.rstrip("]").partition("[")
        if kind != "postgresql":
            continue
        if law == "test_beside_every_other_plugin" or (
            law not in ON_BOTH and contract.plugin.name not in ON_BOTH_WHOLLY
        ):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Escape what a process of the tests cannot tell another: half of a surrogate pair."""
    return _escaped((yield))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(key): _escaped(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_escaped, value))
    return value
