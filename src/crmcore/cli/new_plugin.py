"""`crm new-plugin`: a distribution with a plugin that keeps the contract from the first minute."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

import click

from crmcore.cli.installed import COMMANDS, PLUGINS, Installed
from crmcore.cli.shell import echo_json, json_option
from crmcore.errors import InputError

LONGEST: Final = 30
"""PostgreSQL cuts names off after 63 bytes, and tables begin with the plugin's."""

FILES: Final[Mapping[str, str]] = {
    ".gitignore": "gitignore",
    "CHANGELOG.md": "CHANGELOG.md",
    "Makefile": "Makefile",
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    "src/crmcore_{{name}}/__init__.py": "init.py",
    "src/crmcore_{{name}}/commands.py": "commands.py",
    "src/crmcore_{{name}}/domain.py": "domain.py",
    "src/crmcore_{{name}}/plugin.py": "plugin.py",
    "src/crmcore_{{name}}/py.typed": "py.typed",
    "src/crmcore_{{name}}/services.py": "services.py",
    "src/crmcore_{{name}}/tables.py": "tables.py",
    "tests/test_contract.py": "contract_test.py",
    "tests/test_points.py": "points_test.py",
}
"""What is written, and the template each is made from."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")
_STANDS_FOR: Final = re.compile(r"\{\{(\w+)\}\}")


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "--into",
    default=".",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where its folder is made; here by default.",
)
@json_option
def new_plugin(name: str, into: Path, as_json: bool) -> None:
    """
    Write a new plugin, with tests and all.

    NAME is what crm.toml calls it, such as loyalty. It is a plugin that works, to be changed into
    one's own: it counts points for what customers spend. Its tests hold it to the contract.
    """
    _check(name)
    if not into.is_dir():
        raise InputError(f"there is no folder {into} to write the plugin into")
    folder = into / name
    _write(folder, _filled(name))
    written = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    if as_json:
        names = [path.as_posix() for path in written]
        echo_json({"plugin": name, "folder": str(folder), "files": names})
        return
    click.echo(f"Wrote the plugin {name} into {folder}, {len(written)} files:")
    for path in written:
        click.echo(f"  {path.as_posix()}")
    click.echo("\nWhat to do next:")
    for words, what in _next(name, folder):
        click.echo(f"  {words:<36}{what}".rstrip())


def _next(name: str, folder: Path) -> Iterator[tuple[str, str]]:
    yield f"cd {folder}", ""
    yield "make test", "the contract and the plugin's own tests"
    yield f"edit src/crmcore_{name}/domain.py", "what it is about, then outwards"
    yield "pip install --editable .", "beside crmcore, so that crm.toml can name it"


# -- its name ----------------------------------------------------------------------------------


def _check(name: str) -> None:
    """
    Refuse what cannot name a plugin, and say what could.

    Raises:
        InputError: One sentence.
    """
    wrong = _wrong_with(name)
    if wrong is not None:
        other = _nearest_right(name)
        raise InputError(f"{wrong}{f' (did you mean {other!r}?)' if other else ''}")


def _wrong_with(name: str) -> str | None:
    if not _NAME.match(name):
        return (
            f"{name!r} cannot name a plugin; lower-case letters, digits and single underscores "
            "between them, beginning with a letter, are expected"
        )
    if len(name) > LONGEST:
        return f"{name!r} has {len(name)} characters; a plugin's name has {LONGEST} at most"
    if keyword.iskeyword(name):
        return f"{name!r} is a word of Python's own, and cannot name a plugin"
    # Most of a command is what it imports; only here are the core's parts needed.
    from crmcore.services.starting.assembly import RESERVED

    if name in RESERVED:
        return f"{name!r} is reserved for the core"
    for group, what in ((PLUGINS, "plugin"), (COMMANDS, "command")):
        for each in Installed.of(group):
            if each.name in (name, _dashed(name)):
                return f"{each.distribution} is installed, and has the {what} {each.name!r}"
    if _dashed(name) in _core_commands():
        return f"crm has the command {_dashed(name)!r} itself, so the plugin's could not be called"
    return None


def _core_commands() -> Iterable[str]:
    from crmcore.cli.root import CORE  # which names this module, and loads it when it is asked for

    return CORE


def _nearest_right(name: str) -> str | None:
    """Return the nearest name that is right, if there is one near."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain).lower()
    plain = re.sub(r"[^a-z0-9]+", "_", plain).lstrip("_0123456789")[:LONGEST].rstrip("_")
    candidates = (plain, f"{plain}_plugin", f"my_{plain}")
    return next((each for each in candidates if plain and _wrong_with(each) is None), None)


def _dashed(name: str) -> str:
    return name.replace("_", "-")


# -- its files ---------------------------------------------------------------------------------


def _filled(name: str) -> dict[str, str]:
    """Return the text of each file, by its path within the plugin's folder."""
    folder = files("crmcore.cli") / "plugin_template"
    templates = {
        path: (folder / f"{source}.txt").read_text(encoding="utf-8")
        for path, source in FILES.items()
    }
    values = {
        "name": name,
        "dash": _dashed(name),
        "class": "".join(part.capitalize() for part in name.split("_")),
        "crmcore": version("crmcore"),
    }

    def fill(text: str) -> str:
        return _STANDS_FOR.sub(lambda found: values[found[1]], text)

    sources = [text for path, text in templates.items() if path.endswith(".py")]
    if values["class"] in {*dir(builtins), *_names_in(sources)}:
        values["class"] += "Plugin"  # a class called Trait or None would hide what it needs
    return {fill(path): fill(text) for path, text in templates.items()}


def _names_in(sources: Iterable[str]) -> Iterator[str]:
    """Yield the names that modules use."""
    for source in sources:
        for node in ast.walk(ast.parse(_STANDS_FOR.sub("x", source))):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.alias | ast.ClassDef):
                yield node.name


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """
    Write all files, or none.

    Raises:
        InputError: If something is there already, or nothing can be written.
    """
    if folder.is_symlink() or (folder.exists() and not _is_empty(folder)):
        raise InputError(f"{folder} is there already, and not an empty folder; --into says where")
    try:
        with _beside(folder) as unfinished:
            for path, text in texts.items():
                target = unfinished / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8", newline="\n")
            if folder.exists():
                folder.rmdir()
            unfinished.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error}") from error


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give an empty folder that is gone afterwards, unless it has got another name."""
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        unfinished = made / folder.name
        unfinished.mkdir()  # with the permissions that folders have here; the other one is closed
        yield unfinished
    finally:
        shutil.rmtree(made, ignore_errors=True)
