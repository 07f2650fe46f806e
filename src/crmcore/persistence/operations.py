"""Alembic's operations, by which revisions change tables; nothing else imports Alembic."""

from __future__ import annotations

from io import StringIO

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.engine import Dialect

from crmcore.persistence.connection import Connection
from crmcore.persistence.revisions import Revision


def apply(connection: Connection, revision: Revision) -> None:
    """Run a revision in the open transaction; nothing is committed."""
    context = MigrationContext.configure(connection.sqlalchemy)
    revision.load().upgrade(Operations(context))


def sql_of(revision: Revision, dialect: Dialect) -> str | None:
    """
    Return the statements that a revision would run, or None if it cannot say.

    One that looks at the database first, such as Alembic's copying of a table on SQLite without
    `copy_from`, cannot.
    """
    written = StringIO()
    context = MigrationContext.configure(
        dialect=dialect, opts={"as_sql": True, "literal_binds": True, "output_buffer": written}
    )
    try:
        revision.load().upgrade(Operations(context))
    except Exception:  # it asked a connection that is not there; run for real, it will say so
        return None
    return written.getvalue().strip()
