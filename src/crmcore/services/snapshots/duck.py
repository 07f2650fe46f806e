"""Duck: statements written in Core, as DuckDB takes them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BinaryExpression
from sqlalchemy.dialects.postgresql.psycopg import PGCompiler_psycopg, PGDialect_psycopg


class _Compiler(PGCompiler_psycopg):
    def visit_floordiv_binary(
        self, binary: BinaryExpression[Any], operator: Any, **options: Any
    ) -> str:
        # Its `/` gives fractions; this one cuts them off, as the two databases do.
        left, right = (self.process(each, **options) for each in (binary.left, binary.right))
        return f"{left} // {right}"


class DuckDialect(PGDialect_psycopg):
    """
    PostgreSQL's, with numbered parameters, and what DuckDB writes differently.

    By its own name, types that are told apart by database are what they are for any other.
    """

    name = "duckdb"
    statement_compiler = _Compiler
    supports_statement_cache = True

    def __init__(self) -> None:
        super().__init__(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
