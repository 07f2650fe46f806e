"""The plugin under test with some of its hooks changed: they fail, say nothing, or come twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve

from crmcore.hooks import SPECS, Plugin, hookimpl
from crmcore.testing.shop import Shop

Call = Callable[..., Any]
"""Calls the plugin's own hook, with its event, or with another that is given."""

Around = Callable[[Any, Any, Call], Any]
"""Stands in for a hook: is given its context, its event, and what calls the plugin's own."""

HOOKS = tuple(
    name
    for spec in SPECS
    for name, member in vars(spec).items()
    if hasattr(member, "crmcore_spec") and not name.startswith("register_")
)
"""All hooks that have a context and an event."""


def wrapped(shop: Shop, around: Mapping[str, Around]) -> Shop:
    """Return shops in which the plugin's hooks are *around*'s, where the plugin has them."""
    subject = shop.subject
    hooks = {name: _hook(subject.cls, name, each) for name, each in around.items()}
    own = {name: hook for name, hook in hooks.items() if subject.implements(name)}
    cls = type(subject.cls.__name__, (subject.cls,), {"__module__": subject.cls.__module__, **own})
    return evolve(shop, subject=evolve(subject, cls=cls))


def silent(shop: Shop) -> Shop:
    """Return shops in which the plugin brings what it registers, and does nothing at all."""
    quiet = [name for name in HOOKS if name != "deliver_messages"]
    return wrapped(shop, dict.fromkeys(quiet, lambda ctx, event, call: None))


def _hook(cls: type[Plugin], name: str, around: Around) -> Any:
    def hook(self: Plugin, ctx: Any, event: Any) -> Any:
        return around(ctx, event, lambda other=event: getattr(cls, name)(self, ctx, other))

    hook.__name__ = name
    return hookimpl(hook)
