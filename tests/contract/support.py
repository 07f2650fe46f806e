"""Tools to try laws with: shops of a kind of database, and laws that are to be broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crmcore.hooks import Plugin
from crmcore.testing.breach import ContractBroken
from crmcore.testing.shop import Shop
from crmcore.testing.subject import Subject


def shop_with(plugin: type[Plugin], folder: Path, kind: str = "sqlite", **values: Any) -> Shop:
    """Return shops with a plugin; *values* are those of the subject."""
    examples = values.pop("examples", 6)
    return Shop(Subject(cls=plugin, **values), kind, folder, examples=examples, shrinks=False)


def breaks(law: Callable[[Shop], None], shop: Shop) -> str:
    """Return what a law says is wrong with the plugin; fails where the law holds."""
    with pytest.raises(ContractBroken) as caught:
        law(shop)
    return caught.value.wrong
