"""Small plugins and drafts, made where a test needs one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from attrs import define

from crmcore import Crm, Draft, Identifier, Plugin, hookimpl
from crmcore.hooks import SPECS
from tests.support.histories import START, instant

_HOOKS = {name for spec in SPECS for name in vars(spec) if not name.startswith("_")}


def plugin(name: str, **members: Any) -> Plugin:
    """
    Return a plugin of that name; members named like hooks are its hooks.

    A hook may leave out `self`; a `register_` hook may be the list itself.
    """
    body: dict[str, Any] = {"name": name}
    for member, value in members.items():
        body[member] = hookimpl(_as_hook(member, value)) if member in _HOOKS else value
    made: type[Plugin] = define(eq=False)(type(name.title(), (Plugin,), body))
    return made()


def _as_hook(name: str, value: Any) -> Callable[..., Any]:
    if name.startswith("register_"):

        def register(self: Any) -> Any:
            return value() if callable(value) else value

        register.__name__ = name
        return register

    def hook(self: Any, ctx: Any, event: Any) -> Any:
        return value(ctx, event)

    hook.__name__ = name
    return hook


def raising(ctx: Any, event: Any) -> Any:
    """A hook that fails."""
    raise ValueError("told to fail")


def draft(
    kind: str, at: float = 0, *, key: str | None = None, email: str = "a", **values: Any
) -> Draft:
    """Return a draft for `<email>@example.com`, *at* so many days after the start."""
    return Draft(
        kind,
        identifiers=(Identifier("email", f"{email}@example.com"),),
        occurred_at=moment(at),
        source_key=key,
        **values,
    )


def moment(days: float) -> datetime:
    return START + timedelta(days=days)


def us(days: float) -> int:
    """Return the instant *days* after the start, in microseconds."""
    return instant(moment(days))


def rows(crm: Crm, sql: str) -> list[tuple[Any, ...]]:
    """Return what a query finds."""
    with crm.begin() as tx:
        return [tuple(row) for row in tx.connection.sqlalchemy.exec_driver_sql(sql).fetchall()]


def kinds(crm: Crm) -> list[str]:
    """Return the kinds in the ledger, in the order of their recording."""
    return [k for (k,) in rows(crm, "SELECT kind FROM crm_interaction ORDER BY interaction_id")]
