"""Exporting a customer: all that is kept of them, section by section, a page of rows at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from attrs import frozen
from sqlalchemy import select

from crmcore.domain.privacy import Exported
from crmcore.errors import InputError, PluginError
from crmcore.hooks import CustomerExported, Plugin
from crmcore.persistence.catalogue import plugin_table
from crmcore.persistence.connection import Connection
from crmcore.persistence.portable import json_list
from crmcore.services.customers import CustomerService
from crmcore.services.privacy.erased import tree_of
from crmcore.services.privacy.export_page import page_of
from crmcore.services.privacy.export_rows import Asked, rows_in_pages
from crmcore.services.privacy.export_sections import CORE_SECTIONS, LEFT_OUT
from crmcore.services.privacy.personal_rows import PersonalTable
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

INCLUDE: Final = "include"

_tables = select(
    plugin_table.c.plugin, plugin_table.c.table_name, plugin_table.c.export_policy
).order_by(plugin_table.c.plugin, plugin_table.c.table_name)


@frozen(kw_only=True)
class Section:
    """
    One part of an export.

    Attributes:
        columns: What each row has, in order.
        rows: Gives the rows, each time it is called.
    """

    name: str
    title: str
    about: str
    columns: Sequence[str]
    rows: Callable[[], Iterable[Mapping[str, Any]]]


class ExportService:
    """Tells a customer what is kept of them, and nothing of anybody else."""

    def __init__(self, runtime: Runtime, customers: CustomerService) -> None:
        self._runtime = runtime
        self._customers = customers
        self._exports = runtime.assembly.of(Plugin.export_customer)
        self._declared = {
            each.table.name: PersonalTable.of(each.table)
            for plugin in runtime.assembly
            for each in plugin.tables
        }

    def write(self, unit: Unit, customer_id: int, folder: Path) -> Exported:
        """
        Write the export of a customer as JSON and as HTML.

        Each file comes to be there as a whole, or not at all.

        Raises:
            InputError: If nothing can be written there.
            PluginError: If a plugin raises.
        """
        sections = self.sections(unit, customer_id)
        data, page = (folder / f"customer-{customer_id}.{end}" for end in ("json", "html"))
        counts: dict[str, int] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _replace(data, json_of(customer_id, sections, counts))
            _replace(page, page_of(customer_id, sections))
        except OSError as error:
            raise InputError(
                f"nothing can be written to {str(folder)!r}: {error.strerror}; a folder is expected"
            ) from error
        return Exported(customer_id=customer_id, data=data, page=page, sections=counts)

    def sections(self, unit: Unit, customer_id: int) -> list[Section]:
        """Return all sections, whose rows are read when they are asked for."""
        connection = unit.connection
        people = tree_of(connection, customer_id)
        asked = Asked(
            connection=connection,
            customer_id=customer_id,
            people=people,
            listed=json_list(people),
            currency=self._runtime.currency,
        )
        found = [
            Section(
                name=each.name,
                title=each.title,
                about=each.about,
                columns=each.columns,
                rows=lambda each=each: each.rows(asked),  # type: ignore[misc]
            )
            for each in CORE_SECTIONS
        ]
        traits = self._traits(unit, customer_id)
        left_out = [{"what": name, "reason": why} for name, why in LEFT_OUT.items()]
        found.append(_given("traits", "What is concluded about you", ("trait", "value"), traits))
        found += self._plugin_tables(connection, asked.listed, left_out)
        more = self._of_plugins(unit, people)
        found.append(_given("more", "What plugins add", ("plugin", "what", "value"), more))
        found.append(_given("left_out", "What is not listed", ("what", "reason"), left_out))
        return found

    def _traits(self, unit: Unit, customer_id: int) -> list[dict[str, Any]]:
        view = self._customers.view(unit, customer_id, most=0)
        return [{"trait": name, "value": value} for name, value in sorted(view.traits.items())]

    def _plugin_tables(
        self, connection: Connection, listed: str, left_out: list[dict[str, str]]
    ) -> Iterator[Section]:
        """Yield the tables of plugins, of those switched off or uninstalled, too."""
        for plugin, name, policy in connection.execute(_tables):
            table = self._declared.get(name) or PersonalTable.reflected(connection, name)
            if table is None or not table.owners:
                continue
            if policy != INCLUDE:
                reason = f"plugin {plugin} says that its rows are not the customer's to have"
                left_out.append({"what": name, "reason": reason})
                continue
            yield Section(
                name=name,
                title=f"{plugin}: {name.removeprefix(f'crm_{plugin}_').replace('_', ' ')}",
                about=f"What the plugin {plugin} keeps about you.",
                columns=tuple(table.types),
                rows=lambda table=table: rows_in_pages(connection, table, listed),  # type: ignore[misc]
            )

    def _of_plugins(self, unit: Unit, people: Sequence[int]) -> list[dict[str, Any]]:
        """Return what plugins hold beyond their tables; raises a `PluginError` if one raises."""
        found: list[dict[str, Any]] = []
        for plugin, export in self._exports:
            for who in people:
                try:
                    with unit.connection.savepoint():
                        answer = export(unit.context(plugin), CustomerExported(customer_id=who))
                    told = json.loads(json.dumps(dict(answer or {})))
                except Exception as error:
                    raise PluginError(
                        plugin.name, f"export_customer raised {type(error).__name__}: {error}"
                    ) from error
                found += [
                    {"plugin": plugin.name, "what": what, "value": value}
                    for what, value in sorted(told.items())
                ]
        return found


def _given(
    name: str, title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> Section:
    return Section(name=name, title=title, about="", columns=columns, rows=lambda: rows)


def json_of(customer_id: int, sections: Iterable[Section], counts: dict[str, int]) -> Iterator[str]:
    """Yield an export as JSON, a row at a time, and count the rows of each section."""
    yield f'{{\n"customer": "{customer_id}",\n"sections": {{'
    comma = ""
    for section in sections:
        yield f"{comma}\n{json.dumps(section.name)}: ["
        count, comma = 0, ","
        for row in section.rows():
            told = json.dumps({c: row.get(c) for c in section.columns}, ensure_ascii=False)
            yield f"{',' if count else ''}\n{told}"
            count += 1
        yield "\n]"
        counts[section.name] = count
    yield "\n}\n}\n"


def _replace(path: Path, parts: Iterable[str]) -> None:
    """Write a file beside, and put it in the place of another when it is whole."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        beside.unlink(missing_ok=True)
        # Nobody but who wrote it may read it, from the first byte on.
        number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(number, "w", encoding="utf-8", newline="\n") as file:
            _write(file, parts)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _write(file: IO[str], parts: Iterable[str]) -> None:
    for part in parts:
        file.write(part)
