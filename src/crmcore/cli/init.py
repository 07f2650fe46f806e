"""`crm init`: a crm.toml that says everything that can be set, and a database that is ready."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from crmcore.cli.installed import PLUGINS, Installed
from crmcore.cli.settings import comment, description_of, toml_table, toml_value
from crmcore.cli.shell import Shell, config_option, pass_shell
from crmcore.configuration import ShopSettings, load_plugin
from crmcore.domain.clock import Calendar
from crmcore.domain.gate import GateSettings
from crmcore.domain.identity import IdentitySettings
from crmcore.domain.money import check_currency
from crmcore.domain.relationship import RelationshipSettings
from crmcore.errors import ConfigurationError, OutdatedSchemaError
from crmcore.hooks import Plugin

_HEAD: Final = """\
# The configuration of crmcore. A setting behind a # is the default: take the # away to change it.
# What stands behind ## is an example, of what has no default.
# `crm try` shows what a configuration makes of a shop's history before it is switched on.
"""

_EXAMPLES: Final = """\
# For how long personal values of interactions are kept, by kind: `service.*` is all kinds that
# begin so, `*` is all; of several that fit, the longest name counts. Without it, until they are
# erased.
[retention]
## "service.*" = "24 months"

# Segments of the shop's own: a sentence by the name that the shop gives it.
[segments]
## regulars = "orders(days=90).count >= 2"

# Kinds that segments know by a name of the shop's own.
[families]
## visits = ["product.viewed", "cart.changed"]

# What staff may do: a table for each role, and one for each member of staff.
## [roles.support]
## grants = [{ actions = ["read", "work"], fields = ["contact", "stages", "tasks"] }]
## [staff.grace]
## roles = ["support"]
"""


@click.command
@click.option(
    "--force",
    is_flag=True,
    help="Write crm.toml anew if there is one, and keep what it said beside it.",
)
@click.option(
    "--database",
    default=ShopSettings().database,
    show_default=True,
    metavar="URL",
    help="Where it is; a relative path begins at the configuration.",
)
@click.option("--currency", default="EUR", show_default=True, help="The shop's own currency.")
@click.option("--zone", default="UTC", show_default=True, help="The shop's time zone, by its name.")
@config_option
@pass_shell
def init(shell: Shell, force: bool, database: str, currency: str, zone: str) -> None:
    """
    Write a crm.toml and make its database ready.

    Every plugin that is installed is switched on, with its default settings, but for those that
    have to be told something first. A database that is there is left as it is, but for tables that
    it lacks.
    """
    path = shell.config
    if path.exists() and not force:
        raise ConfigurationError(f"{path} is there already; `crm init --force` writes it anew")
    if not path.parent.is_dir():
        raise ConfigurationError(f"{path} cannot be written: there is no folder {path.parent}")
    check_currency(currency)
    Calendar.named(zone)
    text = _configuration(database, currency, zone)
    before = path.read_bytes() if path.exists() else None
    if before is not None:
        path.with_name(f"{path.name}.before").write_bytes(before)
    path.write_text(text, encoding="utf-8")
    try:
        with shell.open() as crm:
            plugins = [plugin.name for plugin in crm.assembly]
            opened = str(crm.runtime.database.engine.url.render_as_string())
    except OutdatedSchemaError:
        raise  # the configuration is right, and `crm migrate` needs it
    except BaseException:
        _put_back(path, before)
        raise
    click.echo(f"Wrote {path}, with {', '.join(plugins) or 'no plugin, as none is installed'}.")
    if before is not None:
        click.echo(f"What it said before is in {path.name}.before.")
    click.echo(f"The database {opened} is ready.")


def _configuration(database: str, currency: str, zone: str) -> str:
    given = {
        "database": str(toml_value(database)),
        "currency": str(toml_value(currency)),
        "zone": str(toml_value(zone)),
    }
    lines = [_HEAD, *toml_table("crm", ShopSettings, given)]
    lines += comment(description_of(GateSettings))
    lines += toml_table("gate", GateSettings, {})
    lines += comment(description_of(IdentitySettings))
    lines += toml_table("identity", IdentitySettings, {})
    lines += comment(description_of(RelationshipSettings))
    lines += toml_table("relationship", RelationshipSettings, {})
    lines.append(_EXAMPLES)
    for each in Installed.of(PLUGINS):
        cls = load_plugin(each.name)
        lines += comment(description_of(cls))
        header, *settings = toml_table(f"plugins.{each.name}", cls, {})
        # What ships with the core, such as a channel, is there only if the shop asks for it.
        is_off = each.is_shipped or not _works_by_default(cls)
        lines += [header, *(["enabled = false"] if is_off else []), *settings]
    return "\n".join(lines)


def _works_by_default(cls: type[Plugin]) -> bool:
    """Return whether a plugin can be switched on as it comes, with no setting that is missing."""
    try:
        plugin = cls()
        for name in dir(Plugin):
            if name.startswith("register_"):
                list(getattr(plugin, name)() or ())
    except ConfigurationError:
        return False
    return True


def _put_back(path: Path, before: bytes | None) -> None:
    """Leave no configuration behind that does not work."""
    if before is None:
        path.unlink()
    else:
        path.write_bytes(before)
