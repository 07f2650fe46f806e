"""Grouping: who is in which group of customers, since when, and who was."""

from crmcore_grouping.domain import GroupEntered, GroupLeft
from crmcore_grouping.plugin import Grouping

__all__ = ["GroupEntered", "GroupLeft", "Grouping"]
