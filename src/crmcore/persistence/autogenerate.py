"""What a shop's own Alembic leaves alone when it looks for changes: tables of crmcore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PREFIX: Final = "crm_"
"""Tables of the core and of plugins begin with it; a shop's own tables do not."""


def include_name(name: str | None, type_: str, parent_names: Mapping[str, Any]) -> bool:
    """
    Tell Alembic not to look at crmcore's tables; for `context.configure(include_name=...)`.

    Every table whose name begins with `crm_` counts as one, since plugins that are not installed
    keep theirs, and PostgreSQL's partitions are tables, too.
    """
    return not (type_ == "table" and name is not None and name.startswith(PREFIX))


def include_object(
    object: Any, name: str | None, type_: str, reflected: bool, compare_to: Any
) -> bool:
    """
    Tell Alembic to leave crmcore's tables out; for `context.configure(include_object=...)`.

    A shop that declares one of them, so that its own tables can refer to it, needs this as well
    as `include_name`: else Alembic would make the table it was told not to look at.
    """
    return not (type_ == "table" and name is not None and name.startswith(PREFIX))
