"""The list of pages, and the list of extras, are whole."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs" / "index.md"
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
PAGES = [
    *ROOT.glob("docs/tutorial/*.md"),
    *ROOT.glob("docs/how-to/*.md"),
    *ROOT.glob("docs/discussion/*.md"),
    *ROOT.glob("docs/decisions/0*.md"),
    ROOT / "docs" / "why.md",
]


def title(page):
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: page.stem)
def test_listed(page):
    """Every page stands in the index once, under its title, with a line on it."""
    lines = INDEX.read_text(encoding="utf-8").splitlines()
    link = f"[{title(page)}]({page.relative_to(INDEX.parent).as_posix()}): "

    (line,) = (each for each in lines if link in each)

    assert line.endswith(".")


@pytest.mark.parametrize("page", [INDEX, ROOT / "README.md"], ids=lambda page: page.stem)
def test_links(page):
    """What these pages link to is there."""
    targets = [target for _, target in LINK.findall(page.read_text(encoding="utf-8"))]

    assert targets
    assert [] == [each for each in targets if not (page.parent / each).exists()]


def test_extras():
    """The README lists the extras there are, each with the packages it brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = re.findall(
        r"^\| `(\w+)` \| ([^|]+) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert list(project["optional-dependencies"]) == [name for name, _ in rows]
    for name, brings in rows:
        for wanted in project["optional-dependencies"][name]:
            package = re.sub(r"crmcore\[(\w+)\]", r"\1", wanted)
            assert re.split(r"[\[>]", package)[0] in brings
