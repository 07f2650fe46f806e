"""What may not be in git: lock files, hosts of registries, paths of somebody's machine."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

LOCK_FILES = {
    "Cargo.lock",
    "Pipfile.lock",
    "package-lock.json",
    "pdm.lock",
    "pnpm-lock.yaml",
    "poetry.lock",
    "pylock.toml",
    "uv.lock",
    "yarn.lock",
}
FORBIDDEN = {
    "the host of a registry": re.compile(
        r"pypi\.(?:org|python\.org)|pythonhosted\.org|registry\.(?:npmjs|yarnpkg)|npmjs\.(?:com|org)"
        r"|https?://[^\s/]*(?:artifactory|devpi|nexus|pypi|registry)"
    ),
    "the setting of a registry": re.compile(r"index[-]url|find[-]links|trusted[-]host"),
    "a path of one machine": re.compile(r"(?<![\w.-])/(?:Users|home|opt|root|work)/\w"),
}


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[str]:
    """Return the files that are in git, or would be after ``git add .``."""
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout")
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    names = sorted(set(listed.stdout.split("\0")) - {""})
    return [name for name in names if (repository / name).is_file()]


def mistakes(text: str) -> Iterator[str]:
    """Yield a sentence for each line of *text* that holds what it should not."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN.items():
            if found := pattern.search(line):
                yield f"line {number} holds {what}: {found.group()}"


def test_no_lock_files(tracked):
    """The versions in use are in constraints.txt; lock files name hosts and stay out."""
    assert [] == [name for name in tracked if PurePosixPath(name).name in LOCK_FILES]


def test_no_hosts_or_machine_paths(repository, tracked):
    """Nothing in git depends on where it was written."""
    found = [
        f"{name}: {mistake}"
        for name in tracked
        for mistake in mistakes((repository / name).read_text(encoding="utf-8", errors="replace"))
    ]

    assert [] == found


@pytest.mark.parametrize(
    "line",
    [
        "see " + "pypi" + ".org/project/crmcore",
        "https://" + "registry.example.com/simple",
        "--index" + "-url elsewhere",
        "cd " + "/" + "home/ada/crm",
        "sqlite:///" + "/" + "root/crm.db",
    ],
)
def test_mistakes_are_seen(line):
    """Each sort of mistake is found, and the line is named."""
    assert [True] == [sentence.startswith("line 2 ") for sentence in mistakes(f"fine\n{line}")]


def test_constraints_are_names_and_versions(repository):
    """constraints.txt has one ``name==version`` a line and nothing else."""
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()

    assert [] == [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line)]
