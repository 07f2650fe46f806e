"""Folder: a directory that comes to be there as a whole, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crmcore.errors import InputError


@contextmanager
def whole(directory: Path) -> Iterator[Path]:
    """
    Give a directory to write to, which becomes *directory* when all went well.

    It is made beside it, so that the file system has only to rename it; if anything is raised, it
    is gone. Nobody but who wrote it may read it.

    Raises:
        InputError: If there is something already, or nothing can be written there.
    """
    name = directory.absolute().name
    if os.path.lexists(directory):
        raise _already(directory)
    try:
        beside = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=directory.parent))
    except OSError as error:
        raise _not_written(directory, error) from error
    try:
        yield beside
        _keep(beside)
        beside.rename(directory)
        _keep(directory.parent)
    except OSError as error:
        if os.path.lexists(directory):  # somebody was quicker
            raise _already(directory) from error
        raise _not_written(directory, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _keep(directory: Path) -> None:
    """Let the names in a directory outlast a failure of power, where that can be asked for."""
    with suppress(OSError):
        number = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _already(directory: Path) -> InputError:
    return InputError(
        f"{str(directory)!r} is there already, and a snapshot overwrites nothing; name another "
        "directory, or remove this one first"
    )


def _not_written(directory: Path, error: OSError) -> InputError:
    return InputError(
        f"no snapshot can be written to {str(directory)!r}: {error.strerror or error}; a "
        "directory that is not there yet, in one that can be written to and has room, is expected"
    )
