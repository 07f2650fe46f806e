"""How mkdocs builds the documentation: what is made on the way, and where links lead."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.reference import commands, contract, kinds, names, settings
from docs.reference.writing import Page as Written

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
_LINK: Final = re.compile(
    r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])+)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)]*)?\)"
)
_TITLE: Final = re.compile(r"^# (.+)$", re.MULTILINE)
_LISTED: Final = re.compile(r"\]\(([\w/-]+\.md)\)")
_SECTIONS: Final = {
    "hooks": "Hooks",
    "api": "What crmcore exports",
    "plugins": "Plugins that are installed",
}
"""Parts of the reference that have several pages, by folder."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the navigation from the pages there are."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    config.site_name = f"crmcore {version['project']['version']}"
    config.nav = list(_navigation())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made: the reference, and what stands outside the folder."""
    for page in reference():
        files.append(File.generated(config, page.path, content=page.text))
    for path, source in outside().items():
        files.append(File.generated(config, path, content=_text_of(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files outside the folder lead to their pages, or else be text."""
    path = page.file.src_uri
    stands_at = outside().get(path, DOCS / path).relative_to(ROOT).as_posix()
    return _LINK.sub(lambda found: _link(found, path, stands_at), markdown)


@cache
def reference() -> Sequence[Written]:
    """Return the pages of the reference, as the code stood when it was imported."""
    described = {
        **contract.homes(),
        **{name: f"reference/errors.md#{name}" for name in kinds.errors_by_name()},
    }
    homes = {**described, **names.homes(described)}
    return [
        *contract.pages(homes),
        *names.pages(homes),
        *settings.pages(homes),
        *kinds.pages(homes),
        commands.page(),
    ]


def outside() -> dict[str, Path]:
    """Return the pages whose source stands outside the folder, by their path in it."""
    return {
        "readme.md": ROOT / "README.md",
        "changelog.md": ROOT / "CHANGELOG.md",
        **{f"plugins/{each.parent.name}.md": each for each in ROOT.glob("plugins/*/README.md")},
        **{f"examples/{each.stem}.md": each for each in ROOT.glob("examples/*.py")},
    }


def _text_of(source: Path) -> str:
    text = source.read_text(encoding="utf-8")
    if source.suffix != ".py":
        return text
    name = source.relative_to(ROOT).as_posix()
    return f"# {name}\n\n```python\n{text}```\n"


def _link(found: re.Match[str], path: str, stands_at: str) -> str:
    text, target, anchor = found[1], found[2], found[3] or ""
    folder = posixpath.dirname(stands_at)
    aimed = posixpath.normpath(posixpath.join(folder, target))
    if path.startswith("reference/"):
        return found[0]
    pages = {each.relative_to(ROOT).as_posix(): page for page, each in outside().items()}
    if aimed.startswith("docs/"):
        page = aimed.removeprefix("docs/")
    elif aimed in pages:
        page = pages[aimed]
    else:
        # Left as it is, mkdocs complains of it; what is there and has no page is text.
        return text if (ROOT / aimed).exists() else found[0]
    return f"[{text}]({posixpath.relpath(page, posixpath.dirname(path))}{anchor})"


def _navigation() -> Iterator[dict[str, Any]]:
    yield {"Contents": "index.md"}
    yield {"Start": "readme.md"}
    yield {"Tutorial": list(_listed("tutorial/"))}
    yield {"How-to": list(_listed("how-to/"))}
    yield {"Discussion": [*_listed("discussion/"), *_listed("why.md")]}
    yield {"Reference": list(_reference())}
    yield {"Decisions": [_entry("decisions/README.md"), *_listed("decisions/0")]}
    yield {"Glossary": "glossary.md"}
    plugins = [{Path(page).stem: page} for page in sorted(outside()) if page.startswith("plugins/")]
    examples = [
        {Path(page).stem: page} for page in sorted(outside()) if page.startswith("examples/")
    ]
    yield {"More": [*plugins, {"Examples": examples}, {"Changes": "changelog.md"}]}


def _listed(beginning: str) -> Iterator[dict[str, Any]]:
    """Yield the pages that the list of contents names, in its order; a test holds it whole."""
    listed = _LISTED.findall((DOCS / "index.md").read_text(encoding="utf-8"))
    yield from (_entry(page) for page in dict.fromkeys(listed) if page.startswith(beginning))


def _reference() -> Iterator[dict[str, Any]]:
    sections: dict[str, list[dict[str, Any]]] = {title: [] for title in (*_SECTIONS.values(), "")}
    for page in reference():
        title = _SECTIONS.get(page.path.split("/")[1], "")
        sections[title].append({page.title: page.path})
    loose = sections.pop("")
    for place, (title, pages) in enumerate(sections.items()):
        yield {title: pages}
        if place == 0:
            yield from loose


def _entry(page: str) -> dict[str, Any]:
    found = _TITLE.search((DOCS / page).read_text(encoding="utf-8"))
    assert found is not None, page
    return {found[1].replace("`", ""): page}
