"""Application: crmcore assembled over a database in a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from crmcore import Clock, Crm, Plugin


def assembled(
    path: Path, plugins: Iterable[type[Plugin]], clock: Clock, *, durable: bool = False
) -> Crm:
    """Return the application; what a plugin missed that was not there before is made up for."""
    crm = Crm(
        f"sqlite:///{path}",
        plugins=[plugin() for plugin in plugins],
        clock=clock,
        durable=durable,
    )
    crm.pay_debts()
    return crm
