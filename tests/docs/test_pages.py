from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")]


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks(page, sybil, tmp_path, monkeypatch):
    """Every block of the page does what the page says."""
    monkeypatch.chdir(tmp_path)
    for example in sybil.parse(page):
        example.evaluate()
