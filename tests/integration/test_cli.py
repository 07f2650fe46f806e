"""The command line as a whole: what it imports, how it helps, how errors end."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from crmcore.cli import crm
from crmcore.cli.lazy import LazyGroup
from crmcore.cli.shell import Shell

HEAVY = ("sqlalchemy", "rich", "crmcore_tiering", "cattrs")


def run(*words, **settings):
    return CliRunner().invoke(crm, list(words), **settings)


def commands(group, *names):
    """Yield the words of every command that is not a group, with its static help."""
    for name, lazy in group.lazy.items():
        command = lazy.load()
        yield (*names, name), lazy.help, command
        if isinstance(command, LazyGroup):
            yield from commands(command, *names, name)


class TestImports:
    @pytest.mark.parametrize(
        "words", [["--help"], ["plugins", "list"], ["plugins", "--help"], ["completion", "zsh"]]
    )
    def test_light(self, words, tmp_path):
        """Neither a database nor a plugin nor rich is imported to list what there is."""
        script = (
            "import sys\n"
            "from crmcore.cli import crm\n"
            f"try: crm({words!r})\n"
            "except SystemExit as end: assert not end.code, end.code\n"
            f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
        )

        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
        )

        assert "[]\n" == done.stderr


class TestHelp:
    def test_sections(self):
        """The help lists every command of the core, under headings."""
        result = run("--help")

        assert 0 == result.exit_code
        assert all(f"\n  {name} " in result.output for name in crm.lazy)
        assert "Ask what is known, and why:" in result.output

    @pytest.mark.parametrize(
        ("words", "said", "command"),
        [pytest.param(*each, id=" ".join(each[0])) for each in commands(crm)],
    )
    def test_lines(self, words, said, command):
        """The line by which a command is listed is the first of its own help."""
        result = run(*words, "--help")

        assert said == command.get_short_help_str(200)
        assert 0 == result.exit_code
        assert words[-1] == command.name

    def test_version(self):
        """The version is that of the package."""
        assert run("--version").output.startswith("crmcore 0.")

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion(self, shell):
        """Each shell is given what asks crm for completions."""
        result = run("completion", shell)

        assert 0 == result.exit_code
        assert "_CRM_COMPLETE" in result.output

    @pytest.mark.parametrize(
        ("typed", "offered"),
        [("rec", ["record", "reconcile"]), ("plugins l", ["list"])],
    )
    def test_completed(self, typed, offered):
        """Commands are completed from what was typed."""
        *before, incomplete = typed.split()
        completion = click.shell_completion.ShellComplete(crm, {}, "crm", "_CRM_COMPLETE")

        found = completion.get_completions(before, incomplete)

        assert offered == [item.value for item in found]


class TestErrors:
    def test_unknown_command(self):
        """A misspelt command is answered with the nearest one."""
        result = run("tri")

        assert 2 == result.exit_code
        assert "there is no command 'tri' (did you mean 'try'?)" in result.output

    def test_unknown_command_of_a_group(self):
        """So is one of a group."""
        result = run("plugins", "lits")

        assert 2 == result.exit_code
        assert "did you mean 'list'?" in result.output

    def test_raised_on_purpose(self, tmp_path, monkeypatch):
        """An error of crmcore is one sentence on standard error, and exit code 2."""
        monkeypatch.chdir(tmp_path)

        result = run("customer", "show", "1")

        assert 2 == result.exit_code
        assert "Error: crm.toml is not there; `crm init` writes one\n" == result.stderr
        assert "" == result.stdout

    def test_unexpected(self, monkeypatch):
        """Any other exception is not hidden."""

        def fail(self):
            raise RuntimeError("a mistake of ours")

        monkeypatch.setattr(Shell, "open", fail)

        result = run("rebuild")

        assert isinstance(result.exception, RuntimeError)

    def test_environment(self, tmp_path):
        """CRM_CONFIG names the configuration; what is written out comes first."""
        named = {"CRM_CONFIG": str(tmp_path / "named.toml")}

        by_name = run("rebuild", env=named)
        first = run("--config", str(tmp_path / "first.toml"), "rebuild", env=named)
        last = run("rebuild", "--config", str(tmp_path / "last.toml"), env=named)

        assert "named.toml is not there" in by_name.stderr
        assert "first.toml is not there" in first.stderr
        assert "last.toml is not there" in last.stderr
