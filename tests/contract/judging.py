"""Judging the kit: the contract, or some of its laws, run on a plugin in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_BROKEN: Final = "ContractBroken: "

# What their authors would tell the kit: kinds that the shop records.
RECORDED: Final[Mapping[str, tuple[str, ...]]] = {
    "tests.contract.faulty.erase_leaves_file:Letters": ("letters.asked",),
    "tests.contract.faulty.export_omits:Sizes": ("sizes.told",),
    "tests.contract.faulty.good:Hopes": ("hopes.told",),
    "tests.contract.faulty.leaks_name_decision:Greetings": ("greetings.called",),
    "tests.contract.faulty.leaks_name_kept:Birthdays": ("birthdays.told",),
    "tests.contract.faulty.leaks_name_timer:Namedays": ("namedays.told",),
}

# The law that is about each fault, so that the others need not be run to see it found.
CAUGHT_BY: Final[Mapping[str, str]] = {
    "raises_on_some": "test_hooks_raise_nothing",
    "sleeps": "test_no_sleeping",
    "quadratic": "test_takes_little_time",
    "forgets_merge": "test_merge_and_unmerge",
    "forgets_merge_owned": "test_merged_as_if_one_from_the_start",
    "leaks_name_kept": "test_export_and_erasure",
    "arrival_order": "test_order_of_arrival",
    "batch_champion": "test_live_in_batches_of_any_size",
    "batch_days": "test_live_in_batches_of_any_size",
    "rebuild_forgets_kind": "test_rebuild_equals_live",
    "rebuild_doubles": "test_rebuild_equals_live",
    "writes_sibling": "test_beside_every_other_plugin",
    "writes_core": "test_writes_its_own_tables_only",
    "socket_at_import": "test_no_network_at_import",
    "socket_swallowed": "test_no_network_in_a_transaction",
    "query_per_row": "test_statements_do_not_grow",
    "state_in_object": "test_merge_and_unmerge",
    "machine_clock": "test_asks_no_clock_and_no_chance",
    "random_rows": "test_asks_no_clock_and_no_chance",
    "private_import": "test_imports_no_private_core",
    "imports_plugin": "test_imports_no_other_plugin",
    "unmarked_hook": "test_hooks_are_marked",
    "misspelt_hook": "test_methods_named_like_hooks",
    "after_counts": "test_told_from_the_beginning",
    "key_at_random": "test_asks_no_clock_and_no_chance",
    "decides_in_rebuild": "test_it_catches_up",
    "setting_any_type": "test_settings_of_another_type_are_refused",
    "setting_not_toml": "test_settings_round_trip",
    "setting_changes_itself": "test_settings_round_trip",
    "table_name": "test_it_starts",
    "kind_name": "test_names_begin_with_the_plugin",
    "trait_name": "test_names_begin_with_the_plugin",
    "own_table": "test_leaves_no_undeclared_tables",
    "trait_null": "test_traits_hold_one_value",
    "trait_database_clock": "test_traits_are_well_formed",
    "export_not_json": "test_export_and_erasure",
    "writes_file": "test_no_files_in_a_transaction",
    "migration_differs": "test_revisions_make_what_is_declared",
    "guard_raises": "test_no_hook_raises",
    "erase_leaves_file": "test_export_and_erasure",
    "started_postpones": "test_a_restart_changes_nothing",
    "key_with_id": "test_order_of_arrival",
    "started_twice": "test_a_restart_changes_nothing",
    "trait_two_rows": "test_traits_hold_one_value",
    "leaks_name_decision": "test_erased_at_once",
    "leaks_name_timer": "test_erased_at_once",
    "state_in_module": "test_remembers_nothing_in_memory",
    "private_import_dynamic": "test_imports_no_private_core_in_hooks",
    "export_omits": "test_export_and_erasure",
    "started_again_owned": "test_a_restart_changes_nothing",
}

# In a process of its own, since some of them do harm by being imported.
_CONTRACT: Final = """
from importlib import import_module

import pytest
from crmcore.testing.contract import PluginContract
from tests.contract.judging import RECORDED


def _load(plugin):
    module, _, name = plugin.partition(":")
    return getattr(import_module(module), name)


class TestContract(PluginContract):
    plugin = _load({plugin!r})
    databases = ("sqlite",)
    shrinks = False
    examples = {examples}
    recorded = RECORDED.get({plugin!r}, ())
"""

_PLUGIN: Final = """
import json


def pytest_runtest_logreport(report):
    if report.failed:
        told = report.longreprtext
        with open({out!r}, "a") as file:
            file.write(json.dumps([report.nodeid.rpartition("::")[2], told]) + "\\n")
"""


def verdicts(
    plugin: str, folder: Path, *, laws: Iterable[str] = (), examples: int = 12
) -> Mapping[str, str]:
    """Return what each law that a plugin breaks says of it; all laws are tried, or *laws*."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "failures"
    out.unlink(missing_ok=True)
    (folder / "conftest.py").write_text(_PLUGIN.format(out=str(out)))
    test = folder / "test_judged.py"
    test.write_text(_CONTRACT.format(plugin=plugin, examples=examples))
    wanted = [f"{test}::TestContract::{law}" for law in laws] or [str(test)]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(folder)]
    options += ["-c", "/dev/null", "--import-mode=importlib", "--tb=short"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *wanted],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}"},
    )
    assert done.returncode in (0, 1, 2), done.stdout + done.stderr
    if done.returncode == 2 and not out.exists():  # it could not be imported at all
        return {"import": done.stdout}
    if not out.exists():
        return {}
    return dict(json.loads(line) for line in out.read_text().splitlines())


def sentences(told: str) -> str:
    """Return what a broken contract says, in lower case, without the trace around it."""
    lines = [line.removeprefix("E").strip() for line in told.splitlines()]
    starts = [n for n, line in enumerate(lines) if _BROKEN in line]
    return "\n".join(lines[starts[0] :] if starts else lines).lower()
