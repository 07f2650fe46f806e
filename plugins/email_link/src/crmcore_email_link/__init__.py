"""Email link: capture the address, keep in touch, never twice, never unwanted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crmcore_email_link.campaigns import Campaign, NewsletterSettings, Variant
    from crmcore_email_link.plugin import EmailLink

__all__ = ["Campaign", "EmailLink", "NewsletterSettings", "Variant"]

_WHERE: Final = {
    "Campaign": "campaigns",
    "EmailLink": "plugin",
    "NewsletterSettings": "campaigns",
    "Variant": "campaigns",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for then: a list of its commands is to cost nothing."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
