"""The application: plugins assembled over a database, and all that a shop can ask of them."""

from crmcore.app.crm import Crm

__all__ = ["Crm"]
