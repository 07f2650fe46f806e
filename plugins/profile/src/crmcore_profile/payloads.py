"""Payloads: how fields of the JSON that stands in the ledger are read in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnClause, literal_column
from sqlalchemy.sql.functions import FunctionElement


class json_field(FunctionElement[str]):  # noqa: N801 - named as it is called in SQL
    """The field of a JSON object that stands in a column of text, as text."""

    type = Text()
    inherit_cache = True


@compiles(json_field, "sqlite")
def _sqlite(element: json_field, compiler: Any, **options: Any) -> str:
    column, name = element.clauses
    field = f"json_extract({compiler.process(column, **options)}, '$.{name.name}')"
    return f"CAST({field} AS TEXT)"


@compiles(json_field, "postgresql")
def _postgresql(element: json_field, compiler: Any, **options: Any) -> str:
    column, name = element.clauses
    field = f"{compiler.process(column, **options)}::json ->> '{name.name}'"
    return f'(({field}) COLLATE "C")'


def field_of(column: ColumnElement[Any], name: str) -> ColumnElement[str]:
    """Return a field of the JSON in a column, as text; NULL where there is none."""
    found: ColumnClause[str] = literal_column(name)
    return json_field(column, found)
