"""How the blocks of a page are run; the tests beside this file run them.

- ``python`` blocks run one after the other and share their names within a page.
- ``console`` blocks: each line ``$ crm ...`` has to end with exit code 0; other lines are not run.
- ``toml`` blocks that begin with a line ``# NAME.toml`` are written to that file first.

All blocks of a page share an empty folder.  ``<!-- skip: next -->`` leaves out the next block.
"""

import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser


def run_commands(example: Example) -> None:
    crm = str(Path(sysconfig.get_path("scripts"), "crm"))
    commands = example.parsed.replace("\\\n", " ").splitlines()
    for command in (line for line in commands if line.startswith("$ crm ")):
        words = [crm, *shlex.split(command, comments=True)[2:]]
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert 0 == done.returncode, f"{command}\n{done.stdout}{done.stderr}"


def write_file(example: Example) -> None:
    first, _, _ = example.parsed.partition("\n")
    name = first.removeprefix("# ")
    if name.endswith(".toml") and name == Path(name).name:
        Path(name).write_text(example.parsed, encoding="utf-8")


@pytest.fixture(scope="session")
def sybil() -> Sybil:
    return Sybil(
        [
            PythonCodeBlockParser(),
            CodeBlockParser("console", run_commands),
            CodeBlockParser("toml", write_file),
            SkipParser(),
        ]
    )
