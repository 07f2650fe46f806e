"""Portable: what the databases write differently."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Boolean, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class is_listed(FunctionElement[bool]):  # noqa: N801 - named as it is called in SQL
    """Whether a column is among the whole numbers of a text, as `listed` makes it."""

    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        """Return it as it stands: compared with true, no index would be used."""
        return self


@compiles(is_listed, "sqlite")
def _listed_on_sqlite(element: is_listed, compiler: Any, **options: Any) -> str:
    column, numbers = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({numbers}))"


@compiles(is_listed, "postgresql")
def _listed_on_postgresql(element: is_listed, compiler: Any, **options: Any) -> str:
    column, numbers = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT unnest(translate({numbers}, '[]', '{{}}')::bigint[]))"


def listed(numbers: Iterable[int]) -> str:
    """Return whole numbers as `is_listed` takes them."""
    return f"[{','.join(map(str, sorted(numbers)))}]"


class texts_joined(FunctionElement[str]):  # noqa: N801 - named as it is called in SQL
    """The texts of a partition, in their order: as a window, as not all databases order sums."""

    type = Text()
    inherit_cache = True


def _over(name: str, element: texts_joined, compiler: Any, **options: Any) -> str:
    column, whose = (compiler.process(each, **options) for each in element.clauses)
    return (
        f"{name}({column}, ',') OVER (PARTITION BY {whose} ORDER BY {column} "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"
    )


@compiles(texts_joined, "sqlite")
def _joined_on_sqlite(element: texts_joined, compiler: Any, **options: Any) -> str:
    return _over("group_concat", element, compiler, **options)


@compiles(texts_joined, "postgresql")
def _joined_on_postgresql(element: texts_joined, compiler: Any, **options: Any) -> str:
    return _over("string_agg", element, compiler, **options)
