"""Campaigns: what is said once to many, and what it brought about."""

from crmcore_email_link.campaigns.campaign import Campaign, Variant
from crmcore_email_link.campaigns.newsletters import NewsletterSettings

__all__ = ["Campaign", "NewsletterSettings", "Variant"]
