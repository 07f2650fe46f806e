"""The documentation is built without a complaint, and its pages load nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crmcore.cli.settings import settings_of
from docs.building import reference
from docs.reference.kinds import errors_by_name
from docs.reference.subjects import (
    all_hooks,
    commands,
    parts_of,
    public_names,
    settings_classes,
)

ROOT = Path(__file__).parents[2]
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=["']?(https?:|//)|url\(["']?(https?:|//)"""
)
FOREIGN = (
    '<script src="https://cdn.example.com/a.js">',
    '<link rel="stylesheet" href="//fonts.example.com/css">',
    "body { background: url('https://example.com/a.png') }",
)


QUIET = {"NO_MKDOCS_2_WARNING": "1"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **QUIET}
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return folder


def test_reference_is_whole():
    """The reference has a section for every hook, event, public name, error and command."""
    text = "\n".join(page.text for page in reference())
    sections = set(re.findall(r"\{ #([\w.-]+) \}", text))
    wanted = {
        *all_hooks(),
        *(part.__name__ for hook in all_hooks().values() for part in parts_of(hook)),
        *public_names(),
        *errors_by_name(),
        *(words.replace(" ", "-") for words, _ in commands()),
    }

    assert set() == wanted - sections


def test_every_setting_is_there():
    """The reference has a row for every setting there is."""
    text = "\n".join(page.text for page in reference())
    rows = set(re.findall(r"^\| `([\w<>]+)` \|", text, re.MULTILINE))
    names = {each.name for cls in settings_classes().values() for each in settings_of(cls)} - {
        "keep"
    }  # `[retention]` has a setting for each kind instead

    assert set() == names - rows
    assert "<kind>" in rows


@pytest.mark.slow
def test_pages(site):
    """Every page of the source is there, and so are those that are made from the code."""
    sources = {page.relative_to(ROOT / "docs") for page in ROOT.glob("docs/**/*.md")}
    expected = {page.with_suffix(".html") for page in sources if page.name != "README.md"}
    made = {Path("reference/hooks/interaction.html"), Path("reference/plugins/tiering.html")}

    assert set() == {page for page in expected | made if not (site / page).is_file()}


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site):
    """No page and no style sheet of the site fetches a script, a font or a picture elsewhere."""
    files = [*site.glob("**/*.html"), *site.glob("**/*.css")]

    assert len(files) > 50
    assert [] == [
        (file.name, found[0])
        for file in files
        if (found := LOADED.search(file.read_text(encoding="utf-8")))
    ]


@pytest.mark.parametrize("text", FOREIGN)
def test_foreign_is_seen(text):
    """Each way of loading something from elsewhere is found."""
    assert LOADED.search(text)
