"""A new plugin where nothing else is: built, set up and tested by its own Makefile."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from crmcore.cli import crm
from tests.support.wheels import ROOT, bare_environment, build_wheel, run

PAGE = ROOT / "docs" / "tutorial" / "a-plugin-in-thirty-minutes.md"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("make") is None, reason="there is no make"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def bare(tmp_path):
    """The variables of a machine on which nothing is set."""
    (tmp_path / "home").mkdir()
    return bare_environment(tmp_path / "home")


def write(name, folder):
    result = CliRunner().invoke(crm, ["new-plugin", name, "--into", str(folder)])
    assert 0 == result.exit_code, result.output
    return folder / name


def test_make_test(wheel, bare, tmp_path):
    """`make test` sets all up, and the contract holds on SQLite and on a PostgreSQL of its own."""
    plugin = write("loyalty", tmp_path)
    shown = {"PYTEST_ADDOPTS": "-rA", "CRMCORE": str(wheel)}

    said = run("make", "test", cwd=plugin, env=bare | shown)

    held = re.findall(r"^PASSED tests/test_contract\.py::TestContract::(\S+)", said, re.MULTILINE)
    own = re.findall(r"^PASSED tests/test_points\.py::(\S+)", said, re.MULTILINE)
    on_sqlite = {each.removesuffix("[sqlite]") for each in held if each.endswith("[sqlite]")}
    on_postgresql = {each.removesuffix("[postgresql]") for each in held if "[postgresql]" in each}
    assert "test_rebuild_equals_live" in on_sqlite
    assert on_sqlite == on_postgresql
    assert len(own) >= 3
    assert re.search(rf"\b{len(held) + len(own)} passed in ", said), said[-2000:]  # none skipped


def test_make_check(wheel, bare, tmp_path):
    """`make check` finds nothing in the new plugin, with the tools it sets up."""
    plugin = write("my_plugin", tmp_path)

    said = run("make", "check", cwd=plugin, env=bare | {"CRMCORE": str(wheel)})

    assert "All checks passed!" in said
    assert "Success: no issues found" in said


def test_installed(wheel, bare, tmp_path):
    """Built and installed beside the core, the plugin and its command are found."""
    plugin = write("loyalty", tmp_path)
    own = build_wheel(plugin, tmp_path)
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path, env=bare)
    scripts = tmp_path / "venv" / "bin"
    install = (scripts / "python", "-m", "pip", "install", "--quiet")
    run(*install, wheel, own, cwd=tmp_path, env=bare)
    crm_ = scripts / "crm"

    run(crm_, "init", cwd=tmp_path, env=bare)
    words = ("--id", "email:ada@example.com", "--amount", "42.00")
    run(crm_, "record", "order.placed", *words, cwd=tmp_path, env=bare)

    assert "[plugins.loyalty]" in (tmp_path / "crm.toml").read_text()
    top = run(crm_, "loyalty", "top", cwd=tmp_path, env=bare)
    assert "customer 1: 42 points\n" == top


# -- the tutorial ------------------------------------------------------------------------------

_BLOCK = re.compile(r"^```(console|text|diff|toml|csv)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_tutorial(wheel, bare, tmp_path):
    """Followed to the letter, the tutorial does what it says."""
    folder, said = tmp_path, ""
    scripts = Path(sys.executable).parent
    for sort, block in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if sort == "console":
            said = ""
            for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
                if command.startswith("cd "):
                    folder = (folder / command.removeprefix("cd ")).resolve()
                    continue
                path = f"{scripts}:{bare['PATH']}"
                said += _shell(command, folder, bare | {"CRMCORE": str(wheel), "PATH": path})
        elif sort == "text":
            missing = [line for line in _lines(block) if line not in _lines(said)]
            assert [] == missing, said
        elif sort == "diff":
            _apply(block, folder)
        elif sort == "csv":  # a row of names is its first line, so that it can be copied
            (folder / "orders.csv").write_text(block)
        else:
            name = block.partition("\n")[0]
            (folder / name.removeprefix("# ")).write_text(block)


def _shell(command, folder, env):
    """Run a line of the tutorial; one that ends in `# fails` has to."""
    words = ("sh", "-c", f"{{ {command.partition('  #')[0]}\n}} 2>&1; echo ended with $?")
    said, _, ended = run(*words, cwd=folder, env=env).rpartition("ended with ")
    assert command.endswith("# fails") == (ended.strip() != "0"), f"{command}\n{said}"
    return said


def _lines(text):
    """Return lines as they are compared: without what differs from run to run, and dots."""
    lines = (re.sub(r"\d+\.\d+s.*|=+", "", line).strip() for line in text.splitlines())
    return [line.removeprefix("E ").strip() for line in lines if line not in ("", "...")]


def _apply(diff, folder):
    """Change a file as a block of the tutorial shows."""
    first, *lines = diff.splitlines()
    path = folder / first.removeprefix("--- ")
    for hunk in "\n".join(lines).split("\n@@\n"):
        rows = [line for line in hunk.splitlines() if line != "@@"]
        before = "\n".join(row[1:] for row in rows if not row.startswith("+"))
        after = "\n".join(row[1:] for row in rows if not row.startswith("-"))
        text = path.read_text(encoding="utf-8")
        assert 1 == text.count(before), f"{path.name} has not, or more than once:\n{before}"
        path.write_text(text.replace(before, after), encoding="utf-8")
