"""A new plugin on the command line: what is written, for which names, and that it works."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from crmcore.cli import crm
from crmcore.cli.new_plugin import LONGEST

ROOT = Path(__file__).parents[2]
FILES = """
    .gitignore
    CHANGELOG.md
    Makefile
    README.md
    pyproject.toml
    src/crmcore_loyalty/__init__.py
    src/crmcore_loyalty/commands.py
    src/crmcore_loyalty/domain.py
    src/crmcore_loyalty/plugin.py
    src/crmcore_loyalty/py.typed
    src/crmcore_loyalty/services.py
    src/crmcore_loyalty/tables.py
    tests/test_contract.py
    tests/test_points.py
""".split()
# A short one and a long one, one of several words, and those whose class would hide another.
NAMES = ["a", "a1", "class_x", "loyalty", "my_plugin", "none", "trait", "x" * LONGEST]


def run(*words, **settings):
    return CliRunner().invoke(crm, list(words), **settings)


def below(folder):
    """Return all files below a folder, as they are called there."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files(folder):
    """A folder with the plugin's name is written, nothing beside it, and it is told what next."""
    result = run("new-plugin", "loyalty")

    assert 0 == result.exit_code, result.output
    assert FILES == below(folder / "loyalty")
    assert ["loyalty"] == os.listdir(folder)
    assert "cd loyalty\n" in result.output
    assert "make test" in result.output


def test_json(folder):
    """The answer as JSON names the folder and the files."""
    (folder / "plugins").mkdir()

    result = run("new-plugin", "loyalty", "--into", "plugins", "--json")

    told = {"plugin": "loyalty", "folder": str(Path("plugins", "loyalty")), "files": FILES}
    assert told == json.loads(result.output)
    assert FILES == below(folder / "plugins" / "loyalty")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Loyalty-Points", "(did you mean 'loyalty_points'?)"),
        ("loyaltyPoints", "(did you mean 'loyalty_points'?)"),
        ("9lives", "(did you mean 'lives'?)"),
        ("_loyalty", "(did you mean 'loyalty'?)"),
        ("loyalty__points", "(did you mean 'loyalty_points'?)"),
        ("fidélité", "(did you mean 'fidelite'?)"),
        ("x" * (LONGEST + 1), f"{LONGEST + 1} characters; a plugin's name has {LONGEST} at most"),
        ("class", "is a word of Python's own, and cannot name a plugin (did you mean 'class_p"),
        ("consent", "'consent' is reserved for the core"),
        ("tiering", "crmcore-tiering is installed, and has the plugin 'tiering'"),
        ("recording", "crmcore is installed, and has the plugin 'recording'"),
        ("status", "crm has the command 'status' itself"),
        ("new_plugin", "crm has the command 'new-plugin' itself"),
        ("", "'' cannot name a plugin"),
        ("../loyalty", "(did you mean 'loyalty'?)"),
    ],
)
def test_names_refused(folder, name, said):
    """A name that cannot be is refused in one sentence with the nearest that can."""
    result = run("new-plugin", name)

    assert 2 == result.exit_code
    assert said in result.output
    assert 1 == len(result.output.splitlines())
    assert [] == list(folder.iterdir())


def test_nearest_right(folder):
    """What is said to be the nearest right name is one."""
    for name in ("Loyalty-Points", "class", "consent", "status", "x" * 99, "9 lives", "İ!"):
        said = run("new-plugin", name).output
        near = re.search(r"did you mean '(\w+)'", said)
        if near is not None:
            assert 0 == run("new-plugin", near[1]).exit_code, said


def test_folder_taken(folder):
    """A folder with anything in it, and a file, stay as they are; an empty folder is taken."""
    (folder / "loyalty").mkdir()
    (folder / "loyalty" / "mine.txt").write_text("mine")
    (folder / "points").write_text("mine")
    (folder / "empty").mkdir()

    for name in ("loyalty", "points"):
        result = run("new-plugin", name)
        assert 2 == result.exit_code
        assert f"{name} is there already" in result.output
    assert ["loyalty/mine.txt", "points"] == below(folder)
    assert 0 == run("new-plugin", "empty").exit_code
    assert ["empty", "loyalty", "points"] == sorted(os.listdir(folder))


def test_into_nowhere(folder):
    """A folder to write into that is not there is named, and not made."""
    result = run("new-plugin", "loyalty", "--into", "nowhere")

    assert 2 == result.exit_code
    assert "there is no folder nowhere to write the plugin into" in result.output
    assert [] == list(folder.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are POSIX's")
def test_nothing_half(folder):
    """Where no more can be written in the middle, nothing is left."""
    done = subprocess.run(
        [sys.executable, "-c", "from crmcore.cli import main; main()", "new-plugin", "loyalty"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000)),
        capture_output=True,
        text=True,
    )

    assert 2 == done.returncode
    assert "loyalty cannot be written: " in done.stderr
    assert [] == list(folder.iterdir())


def test_clean(folder):
    """Whatever its name, what is written compiles, is typed, and as ruff wants it."""
    for name in NAMES:
        assert 0 == run("new-plugin", name).exit_code
    for path in folder.rglob("*.*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert "{{" not in text, path
            if path.suffix == ".py":
                compile(text, path, "exec")
    for name in NAMES:  # each by its own settings
        for check in (("format", "--check"), ("check",)):
            tool(folder / name, "ruff", *check, "--no-cache", ".")
    packages = [f"{name}/src" for name in NAMES]
    settings = ("--config-file", "loyalty/pyproject.toml", "--cache-dir", "cache")
    tool(folder, "mypy", *settings, *packages, "loyalty/tests", path=os.pathsep.join(packages))


def tool(folder, name, *arguments, path=""):
    """Run a tool, which has to find nothing."""
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments],
        cwd=folder,
        env=os.environ | {"MYPYPATH": path, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_requirements(folder):
    """It requires of others what crmcore itself does, and the crmcore that wrote it."""
    run("new-plugin", "loyalty")
    core = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    project = tomllib.loads((folder / "loyalty" / "pyproject.toml").read_text(encoding="utf-8"))

    own = {*project["project"]["dependencies"]} - {*core["dependencies"]}

    assert {f"crmcore>={core['version']}"} == own
    assert project["project"]["requires-python"] == core["requires-python"]


def test_its_tests(folder):
    """The plugin's own tests pass, and those of the contract that take no time."""
    run("new-plugin", "my_plugin")

    quick = "settings or name or mark or columns or policy or starts or points"
    tool(
        folder / "my_plugin",
        *("pytest", "-q", "-p", "no:cacheprovider", "-k", quick),
        path=str(folder / "my_plugin" / "src"),
    )


@pytest.fixture
def installed(folder, monkeypatch):
    """A plugin that was written, and is found by its entry points."""
    run("new-plugin", "my_points")
    project = tomllib.loads((folder / "my_points/pyproject.toml").read_text(encoding="utf-8"))
    source = folder / "my_points" / "src"
    about = source / "crmcore_my_points-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: crmcore-my-points\nVersion: 1\n")
    groups = project["project"]["entry-points"].items()
    (about / "entry_points.txt").write_text(
        "\n".join(f"[{g}]\n" + "\n".join(f"{k} = {v}" for k, v in p.items()) for g, p in groups)
    )
    monkeypatch.syspath_prepend(str(source))
    yield
    for name in [each for each in sys.modules if each.startswith("crmcore_my_points")]:
        del sys.modules[name]


@pytest.mark.usefixtures("installed")
def test_its_command(folder):
    """Its command is listed, and tells who has the most points; its trait and kind are there."""
    (folder / "crm.toml").write_text("[plugins.my_points]\ngoal = 40\n")
    for who, amount in (("ada", "30.50"), ("bob", "55"), ("ada", "19.60"), ("cleo", "0.99")):
        words = ("--id", f"email:{who}@example.com", "--amount", amount)
        assert 0 == run("record", "order.placed", *words).exit_code

    listed = run("my-points", "top", "--most", "2", "--json")
    said = run("my-points", "top", "--most", "1")
    shown = json.loads(run("customer", "show", "email:ada@example.com", "--json").output)

    assert 0 == listed.exit_code, listed.output
    assert [55, 50] == [row["points"] for row in json.loads(listed.output)]
    assert "55 points" in said.output
    assert "my-points" in run("--help").output
    assert 50 == shown["traits"]["my_points.points"]
    assert {"goal": "50 of 40 points, 0 to go"} == shown["descriptions"]["my_points"]
