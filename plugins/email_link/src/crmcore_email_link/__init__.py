"""Email link: capture the address, keep in touch, never twice, never unwanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crmcore_email_link.plugin import EmailLink

__all__ = ["EmailLink"]


def __getattr__(name: str) -> Any:
    """Import the plugin when it is asked for: a list of its commands is to cost nothing."""
    if name != "EmailLink":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from crmcore_email_link.plugin import EmailLink

    return EmailLink
