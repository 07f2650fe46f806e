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
        if PLUGINS not in item.path.parents or not hasattr(contract, "examples"):
            continue
        if config.option.markexpr == QUICK:
            contract.examples = 6
        if item.name == "test_beside_every_other_plugin[postgresql]":
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
