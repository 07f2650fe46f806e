"""What somebody gets who installs the built wheels instead of working in the repository."""

import json
import re
import sys
import zipfile
from pathlib import Path

import pytest
from attrs import frozen
from uv import find_uv_bin

from tests.support.wheels import build_wheel, run


@frozen
class Environment:
    """A virtual environment that holds the wheels and what they require, nothing else."""

    root: Path

    @property
    def scripts(self) -> Path:
        return self.root / ("Scripts" if sys.platform == "win32" else "bin")

    def run(self, program: str, *arguments: str) -> str:
        return run(self.scripts / program, *arguments, cwd=self.root)

    def python(self, source: str) -> str:
        return self.run("python", "-c", source).strip()


@pytest.fixture(scope="module")
def wheels(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    target = tmp_path_factory.mktemp("wheels")
    projects = (repository / "pyproject.toml", *repository.glob("plugins/*/pyproject.toml"))
    return sorted(build_wheel(project.parent, target) for project in projects)


@pytest.fixture(scope="module")
def installed(
    repository: Path, wheels: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("clean") / "venv")
    uv, elsewhere = find_uv_bin(), environment.root.parent
    run(uv, "venv", "--python", sys.executable, environment.root, cwd=elsewhere)
    install = (uv, "pip", "install", "--python", environment.root)
    run(*install, "--constraint", repository / "constraints.txt", *wheels, cwd=elsewhere)
    return environment


def test_contents(wheels):
    """A wheel holds one package, marked as typed, and no tests."""
    assert wheels
    for wheel in wheels:
        package = wheel.name.split("-")[0]
        names = zipfile.ZipFile(wheel).namelist()

        assert {package} == {name.split("/")[0] for name in names if ".dist-info/" not in name}
        assert f"{package}/py.typed" in names
        assert [] == [name for name in names if re.search(r"(^|/)(tests/|test_|conftest)", name)]


def test_entry_point(installed):
    """The plugin is found by its entry point and is a class."""
    found = installed.python(
        "from importlib.metadata import entry_points\n"
        "tiering = entry_points(group='crmcore.plugins')['tiering'].load()\n"
        "print(isinstance(tiering, type), tiering.__module__.partition('.')[0])"
    )

    assert "True crmcore_tiering" == found


def test_plugins_list(installed):
    """The command is installed and lists the plugin."""
    listed = json.loads(installed.run("crm", "plugins", "list", "--json"))

    assert "tiering" in json.dumps(listed)


def test_migrations(installed):
    """The revisions of the core's tables are there, with the source that their checksums are of."""
    found = installed.python(
        "from crmcore.persistence.schema import REVISION\n"
        "from crmcore.services.starting.revisions import core_revisions\n"
        "found = core_revisions()\n"
        "print(REVISION == len(found), {len(each.checksum) for each in found})"
    )

    assert "True {64}" == found


def test_typed(installed):
    """Type checkers of those who install crmcore see its annotations."""
    where = installed.python("import crmcore; print(crmcore.__file__)")

    assert installed.root.resolve() in Path(where).resolve().parents
    assert Path(where).with_name("py.typed").is_file()
