import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """
    A folder that everybody may enter.

    PostgreSQL's server runs as another user than root, out of an environment that is made here;
    pytest closes its own folders to others.
    """
    with tempfile.TemporaryDirectory(prefix="crmcore-packaging-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the folder that holds the root pyproject.toml."""
    return Path(__file__).parents[2]
