"""Snapshots: all tables copied to files, for analyses that should not burden the shop."""

from __future__ import annotations

from pathlib import Path

from crmcore.app.opened import Opened
from crmcore.domain.snapshot import SnapshotManifest
from crmcore.errors import InputError
from crmcore.services.background.portion import CONSISTENT
from crmcore.services.snapshots.taking import take
from crmcore.services.unit import Unit


class SnapshotsOfCrm(Opened):
    """The part of `Crm` that copies tables to files."""

    def snapshot(self, path: str | Path, *, with_personal: bool = False) -> SnapshotManifest:
        """
        Copy every table of the core and of plugins to a directory, as one Parquet file each.

        All files have the state of one instant, while the shop goes on. The directory comes to be
        there as a whole, or not at all; `Snapshot` opens it. No erasure reaches it.

        Args:
            path: The directory, which is not there yet.
            with_personal: Whether columns that may hold personal values are copied, too: what
                customers are known by, what they wrote, what was said to them. The database's
                secret never is.

        Raises:
            ConfigurationError: If pyarrow is not installed.
            InputError: If the directory is there already, or cannot be written.
        """
        if not isinstance(path, str | Path):
            raise InputError(f"path is {path!r}; a directory that is not there yet is expected")
        if not isinstance(with_personal, bool):
            raise InputError(f"with_personal is {with_personal!r}; True or False is expected")
        with self._runtime.database.begin(read_only=True, isolation=CONSISTENT) as connection:
            unit = Unit(self._runtime, connection)
            return take(self._runtime, unit, Path(path), with_personal=with_personal)
