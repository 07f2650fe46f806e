"""Tables by which a database knows what it holds: settings, revisions, plugins' tables."""

from __future__ import annotations

from sqlalchemy import PrimaryKeyConstraint, Table

from crmcore.persistence.schema import metadata, text, whole

setting = Table(
    "crm_setting",
    metadata,
    text("setting", primary_key=True),
    text("setting_value"),
)

revision = Table(
    "crm_revision",
    metadata,
    text("component"),
    whole("revision"),
    text("checksum"),
    whole("applied_at"),
    PrimaryKeyConstraint("component", "revision"),
)

# Kept while a plugin is disabled or uninstalled, so that the core can still apply its policies.
plugin_table = Table(
    "crm_plugin_table",
    metadata,
    text("plugin"),
    text("table_name"),
    whole("derived"),
    text("merge_policy"),
    text("export_policy"),
    text("erase_policy"),
    text("shape"),
    PrimaryKeyConstraint("plugin", "table_name"),
)
