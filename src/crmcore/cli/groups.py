"""Commands of commands, which are imported when they are run."""

from __future__ import annotations

from typing import Final

from crmcore.cli.lazy import Lazy, LazyGroup

customer: Final = LazyGroup(
    name="customer",
    help="Look at customers.",
    lazy={
        "show": Lazy(
            "crmcore.cli.customer:show",
            "Show who a customer is, where they stand, and what happened last.",
        )
    },
)

plugins: Final = LazyGroup(
    name="plugins",
    help="Look at plugins.",
    lazy={
        "list": Lazy(
            "crmcore.cli.plugin_list:list_", "List the plugins that are installed and switched on."
        ),
        "show": Lazy(
            "crmcore.cli.plugins:show", "Show what a plugin brings, and how it can be set."
        ),
        "order": Lazy("crmcore.cli.plugins:order", "Show in which order plugins are called."),
    },
)
