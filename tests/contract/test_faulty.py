"""Plugins with a seeded fault each, written by somebody who had not read the kit, are found out."""

import importlib.util

import pytest

from tests.contract.faulty.manifest import FAULTS, GOOD
from tests.contract.judging import CAUGHT_BY, sentences, verdicts

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("crmcore_tiering") is None, reason="some of them are found beside it"
)


def names(told, fault):
    """Return whether what a law says has one of the words by which the fault would be told."""
    return any(word in sentences(told) for word in fault.words)


# One of each sort in every run: the start of a process for each takes a while.
QUICK = {
    "raises_on_some",
    "sleeps",
    "quadratic",
    "forgets_merge",
    "leaks_name_kept",
    "leaks_name_timer",
    "arrival_order",
    "batch_days",
    "rebuild_doubles",
    "writes_sibling",
    "socket_swallowed",
    "query_per_row",
    "state_in_module",
    "machine_clock",
    "private_import",
    "imports_plugin",
    "misspelt_hook",
    "setting_not_toml",
    "table_name",
    "trait_null",
    "export_omits",
    "migration_differs",
}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.name, marks=() if fault.name in QUICK else [pytest.mark.slow])
        for fault in FAULTS
    ],
)
def test_a_fault_is_found(tmp_path, fault):
    """The law that is about it fails, and its message names the fault."""
    found = verdicts(fault.plugin, tmp_path / "judged", laws=[CAUGHT_BY[fault.name]])

    assert any(names(told, fault) for told in found.values()), (fault.what, found)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_whole_contract_finds_it(tmp_path, fault):
    """Of all laws together at least one names the fault."""
    found = verdicts(fault.plugin, tmp_path / "judged")

    assert any(names(told, fault) for told in found.values()), (fault.what, found)


@pytest.mark.slow
@pytest.mark.parametrize("plugin", GOOD)
def test_nothing_is_found_where_nothing_is(tmp_path, plugin):
    """Plugins that are right keep the whole contract."""
    assert {} == verdicts(plugin, tmp_path / "judged")
