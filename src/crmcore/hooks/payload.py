"""
Payload: the fields of an interaction, read in SQL from the JSON that the ledger holds.

Databases spell it differently, and differ in what they give: SQLite has numbers and 1 for true,
PostgreSQL has text throughout. Here a field has one type on both.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, ColumnElement, Integer, Text, cast
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnClause, literal_column
from sqlalchemy.sql.functions import FunctionElement

from crmcore.errors import InputError

_Whole: Final = BigInteger().with_variant(Integer(), "sqlite")


class _json_text(FunctionElement[str]):  # noqa: N801 - named as functions are called in SQL
    type = Text()
    inherit_cache = True


class _json_truth(FunctionElement[bool]):  # noqa: N801
    type = Boolean()
    inherit_cache = True


def payload_text(column: ColumnElement[Any], field: str) -> ColumnElement[str]:
    """
    Return a field of the JSON in a column, as text; NULL where there is none.

    It is compared byte by byte, whatever the database's collation. A list is its JSON.

    Args:
        column: `interactions.c.payload`, or `interactions.c.personal` for what is personal.
        field: As the class of the payload names it.

    Raises:
        InputError: If *field* is no name of a field.
    """
    return _json_text(column, _named(field))


def payload_whole(column: ColumnElement[Any], field: str) -> ColumnElement[int]:
    """Return a field of the JSON in a column that is a whole number; arguments as in the text."""
    return cast(payload_text(column, field), _Whole)


def payload_truth(column: ColumnElement[Any], field: str) -> ColumnElement[bool]:
    """Return a field of the JSON in a column that is true or false; arguments as in the text."""
    return _json_truth(column, _named(field))


def _named(field: object) -> ColumnClause[str]:
    if not isinstance(field, str) or not field.isidentifier():
        raise InputError(f"{field!r} is no field of a payload; a name such as 'reason' is expected")
    found: ColumnClause[str] = literal_column(field)
    return found


def _parts(element: FunctionElement[Any], compiler: Any, options: Any) -> tuple[str, str]:
    column, field = element.clauses
    return compiler.process(column, **options), field.name


@compiles(_json_text, "sqlite")
def _text_on_sqlite(element: _json_text, compiler: Any, **options: Any) -> str:
    column, field = _parts(element, compiler, options)
    return f"CAST(json_extract({column}, '$.{field}') AS TEXT)"


@compiles(_json_text, "postgresql")
def _text_on_postgresql(element: _json_text, compiler: Any, **options: Any) -> str:
    column, field = _parts(element, compiler, options)
    return f"(({column}::json ->> '{field}') COLLATE \"C\")"


@compiles(_json_truth, "sqlite")
def _truth_on_sqlite(element: _json_truth, compiler: Any, **options: Any) -> str:
    column, field = _parts(element, compiler, options)
    return f"json_extract({column}, '$.{field}')"


@compiles(_json_truth, "postgresql")
def _truth_on_postgresql(element: _json_truth, compiler: Any, **options: Any) -> str:
    column, field = _parts(element, compiler, options)
    return f"({column}::json ->> '{field}')::boolean"
