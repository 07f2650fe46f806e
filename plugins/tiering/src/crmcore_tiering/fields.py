"""Fields: values of a payload, read in SQL from the JSON that the ledger holds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, cast
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnClause, literal_column
from sqlalchemy.sql.functions import FunctionElement

from crmcore_tiering.tables import Whole


class json_field(FunctionElement[str]):  # noqa: N801 - named as it is called in SQL
    """The field of a JSON object that stands in a column of text, as text or number."""

    type = Text()
    inherit_cache = True


@compiles(json_field, "sqlite")
def _sqlite(element: json_field, compiler: Any, **options: Any) -> str:
    column, name = element.clauses
    return f"json_extract({compiler.process(column, **options)}, '$.{name.name}')"


@compiles(json_field, "postgresql")
def _postgresql(element: json_field, compiler: Any, **options: Any) -> str:
    column, name = element.clauses
    field = f"{compiler.process(column, **options)}::json ->> '{name.name}'"
    return f'(({field}) COLLATE "C")'


def text_field(payload: ColumnElement[str], name: str) -> ColumnElement[str]:
    """Return the field *name* of a payload as text; a list as JSON."""
    field: ColumnClause[str] = literal_column(name)
    return json_field(payload, field)


def whole_field(payload: ColumnElement[str], name: str) -> ColumnElement[int]:
    """Return the field *name* of a payload as a whole number."""
    return cast(text_field(payload, name), Whole)
