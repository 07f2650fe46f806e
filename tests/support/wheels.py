"""What is built of this repository, and environments that hold nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_NOT_OURS = ("PYTHONPATH", "UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV")
_INDEX = ("CURL_CA", "PIP_", "REQUESTS_", "SSL_", "UV_")


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run *command* as somebody would who never saw this repository; return what it prints."""
    if env is None:
        env = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert 0 == done.returncode, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


def bare_environment(home: Path) -> dict[str, str]:
    """Return the variables of a machine where nothing is set, but for where packages are."""
    kept = {n: v for n, v in os.environ.items() if n.startswith(_INDEX) and n not in _NOT_OURS}
    named = os.environ.get("PIP_CONFIG_FILE") or _pip_settings()
    kept |= {"PIP_CONFIG_FILE": named} if named else {}
    path = os.pathsep.join((str(Path(sys.base_prefix) / "bin"), "/usr/bin", "/bin"))
    return {**kept, "HOME": str(home), "PATH": path, "LANG": "C.UTF-8"}


def _pip_settings() -> str | None:
    """Return the file in which somebody says at home where packages are, if there is one."""
    for name in (".config/pip/pip.conf", ".pip/pip.conf", "Library/Application Support/pip"):
        if (Path.home() / name).is_file():
            return str(Path.home() / name)
    return None


def build_wheel(project: Path, target: Path) -> Path:
    """Build the wheel of the project in a folder."""
    before = {*target.glob("*.whl")}
    build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel")
    run(*build, "--directory", target, cwd=project)
    (built,) = {*target.glob("*.whl")} - before
    return built


def project_of(folder: Path) -> dict[str, Any]:
    """Return what a project's pyproject.toml says of it."""
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    found: dict[str, Any] = tomllib.loads(text)["project"]
    return found
