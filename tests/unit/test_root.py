"""The package root is the whole promise."""

import ast
import subprocess
import sys
from pathlib import Path

import crmcore


def test_names():
    """Every public name is listed, sorted, found, and imported for type checkers alike."""
    tree = ast.parse(Path(crmcore.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("crmcore.")
        for alias in node.names
    }

    assert sorted(crmcore.__all__) == sorted(typed)
    assert crmcore._HOME_OF == typed
    assert all(hasattr(crmcore, name) for name in crmcore.__all__)


def test_documented():
    """Every public class and function says what it is."""
    undocumented = [
        name
        for name in crmcore.__all__
        if callable(value := getattr(crmcore, name)) and not value.__doc__
    ]

    assert [] == undocumented


def test_lazy():
    """Importing the root imports no database."""
    script = "import sys, crmcore; print('sqlalchemy' in sys.modules, hasattr(crmcore, 'nothing'))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert "False False" == done.stdout.strip()
