"""The command line: the `crm` command."""

from crmcore.cli.root import crm, main

__all__ = ["crm", "main"]
