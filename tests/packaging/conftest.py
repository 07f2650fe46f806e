from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the folder that holds the root pyproject.toml."""
    return Path(__file__).parents[2]
