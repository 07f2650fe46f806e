"""Taking a snapshot: every table of one state of the database, each as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from crmcore.domain.snapshot import PluginNoted, SnapshotManifest, SnapshotTable, file_of
from crmcore.hooks import Plugin
from crmcore.persistence.catalogue import revision
from crmcore.persistence.connection import Connection
from crmcore.persistence.schema import REVISION
from crmcore.persistence.snapshots import read
from crmcore.services.runtime import Runtime
from crmcore.services.snapshots import parquet
from crmcore.services.snapshots.contents import contents
from crmcore.services.snapshots.folder import whole
from crmcore.services.unit import Unit

MANIFEST: Final = "manifest.json"

_revisions: Final = select(revision.c.component, func.max(revision.c.revision)).group_by(
    revision.c.component
)


def take(runtime: Runtime, unit: Unit, directory: Path, *, with_personal: bool) -> SnapshotManifest:
    """
    Write all tables as the transaction sees them, and return what the snapshot says of itself.

    Raises:
        ConfigurationError: If pyarrow is not installed.
        InputError: If the directory is there already, or cannot be written.
        StorageError: If a table holds what its columns do not say.
    """
    parquet.pyarrow()
    connection = unit.connection
    with whole(directory) as beside:
        tables = {}
        for each in contents(connection, runtime.assembly, with_personal=with_personal):
            name = each.table.name
            tables[name] = SnapshotTable(
                name,
                plugin=each.plugin,
                columns=each.columns,
                left_out=each.left_out,
                rows=parquet.write(
                    beside / file_of(name),
                    name,
                    [each.table.c[column] for column in each.columns],
                    read(connection, each.table, each.columns),
                ),
            )
        manifest = SnapshotManifest(
            taken_at=unit.now,
            crmcore=version("crmcore"),
            revision=REVISION,
            currency=runtime.currency,
            with_personal=with_personal,
            plugins=_plugins(runtime, connection),
            tables=tables,
        )
        text = json.dumps(manifest.as_json(), indent=1, ensure_ascii=False)
        (beside / MANIFEST).write_text(f"{text}\n", encoding="utf-8", newline="\n")
    return manifest


def _plugins(runtime: Runtime, connection: Connection) -> Mapping[str, PluginNoted]:
    revisions: dict[str, int] = dict(tuple(row) for row in connection.execute(_revisions))
    return {
        plugin.name: PluginNoted(
            derives=plugin.version,
            revision=revisions.get(plugin.name, 0),
            distribution=_distribution(plugin),
        )
        for plugin in runtime.assembly
    }


def _distribution(plugin: Plugin) -> str | None:
    """Return the package that brings a plugin, with its version."""
    package = type(plugin).__module__.partition(".")[0]
    for point in entry_points(group="crmcore.plugins", name=plugin.name):
        if point.dist is not None and point.module.partition(".")[0] == package:
            return f"{point.dist.name} {point.dist.version}"
    return None
