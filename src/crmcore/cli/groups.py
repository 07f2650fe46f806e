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

task: Final = LazyGroup(
    name="task",
    help="Add tasks, give them to somebody, and finish them.",
    lazy={
        "add": Lazy("crmcore.cli.tasks:add", "Add something to be done for a customer."),
        "assign": Lazy("crmcore.cli.tasks:assign", "Give a task to a member of staff, or a team."),
        "done": Lazy(
            "crmcore.cli.tasks:done", "Note that a task is done, or not to be done any more."
        ),
    },
)

access: Final = LazyGroup(
    name="access",
    help="Tell who looked at whom.",
    lazy={
        "who-saw": Lazy("crmcore.cli.access:who_saw", "Tell who looked at a customer, and why."),
        "of": Lazy("crmcore.cli.access:of", "Tell whom a member of staff looked at, and why."),
        "alarms": Lazy(
            "crmcore.cli.access:alarms",
            "Tell who looked at more customers in an hour than their roles expect.",
        ),
    },
)

consent: Final = LazyGroup(
    name="consent",
    help="Look at what customers agreed to, and note it.",
    lazy={
        "show": Lazy(
            "crmcore.cli.consent:show",
            "Show where a customer's consent stands, and what made it so.",
        ),
        "give": Lazy("crmcore.cli.consent:give", "Record that a customer agreed."),
        "request": Lazy(
            "crmcore.cli.consent:request", "Record that a customer asked for something."
        ),
        "confirm": Lazy(
            "crmcore.cli.consent:confirm", "Record that a customer confirmed what they asked for."
        ),
        "withdraw": Lazy("crmcore.cli.consent:withdraw", "Record that a customer said no."),
        "withheld": Lazy(
            "crmcore.cli.consent:withheld", "List contact points that nobody writes to."
        ),
        "withhold": Lazy(
            "crmcore.cli.consent:withhold",
            "Let nobody write to a contact point, whoever has it.",
        ),
        "lift": Lazy(
            "crmcore.cli.consent:lift",
            "Let a contact point be written to again, as far as consent goes.",
        ),
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
        "stats": Lazy(
            "crmcore.cli.plugin_stats:stats", "Show what plugins cost, and how far they are behind."
        ),
    },
)
