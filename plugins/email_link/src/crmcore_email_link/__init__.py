"""Email link: capture the address, keep in touch, never twice, never unwanted."""

from crmcore_email_link.plugin import EmailLink

__all__ = ["EmailLink"]
