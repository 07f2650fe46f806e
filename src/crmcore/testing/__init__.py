"""The kit that holds plugins to their contract, and tools to test them with."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crmcore.testing.breach import ContractBroken
    from crmcore.testing.contract import PluginContract
    from crmcore.testing.databases import fresh
    from crmcore.testing.shop import Shop, pass_time, settle
    from crmcore.testing.snapshots import difference, snapshot
    from crmcore.testing.strategies import START, customers, drafts, histories, payloads
    from crmcore.testing.subject import Subject

__all__ = [
    "START",
    "ContractBroken",
    "PluginContract",
    "Shop",
    "Subject",
    "customers",
    "difference",
    "drafts",
    "fresh",
    "histories",
    "pass_time",
    "payloads",
    "settle",
    "snapshot",
]

_HOMES = {
    "breach": ("ContractBroken",),
    "contract": ("PluginContract",),
    "databases": ("fresh",),
    "shop": ("Shop", "pass_time", "settle"),
    "snapshots": ("difference", "snapshot"),
    "strategies": ("START", "customers", "drafts", "histories", "payloads"),
    "subject": ("Subject",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
