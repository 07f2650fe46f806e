"""Bounces: what a mail that came back says, and whether its address is gone."""

from crmcore_email_link.bounces.classifier import classify
from crmcore_email_link.bounces.report import BouncedRecipient, BounceReport, Evidence, Kind

__all__ = ["BounceReport", "BouncedRecipient", "Evidence", "Kind", "classify"]
