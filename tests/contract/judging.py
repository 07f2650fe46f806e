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
CAUGHT_BY: Final[Mapping[str, str]] = {}

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
