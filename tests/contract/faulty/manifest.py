"""The faulty plugins, by name, and how a good message would tell of each."""

from __future__ import annotations

from typing import Final

from attrs import frozen


@frozen
class Fault:
    """
    A plugin with one seeded fault.

    Attributes:
        plugin: Where it is, as `module:Class`; imported only when it is judged.
        what: What is wrong with it.
        words: Of a good message that tells of it; at least one of them is in it.
    """

    name: str
    plugin: str
    what: str
    words: tuple[str, ...]


FAULTS: Final[tuple[Fault, ...]] = (
    Fault(
        name="raises_on_some",
        plugin="tests.contract.faulty.raises_on_some:Gifts",
        what="Raises on an order that does not say how many pieces it has.",
        words=("raise", "raised", "raises", "typeerror", "exception", "debt"),
    ),
    Fault(
        name="sleeps",
        plugin="tests.contract.faulty.sleeps:Referrals",
        what="Sleeps in the transaction, to spare a partner's service.",
        words=("sleep", "sleeps", "slept", "wait", "waits", "slow", "took", "seconds", "blocks"),
    ),
    Fault(
        name="quadratic",
        plugin="tests.contract.faulty.quadratic:Visits",
        what=("Compares every interaction of a batch with all others of it, to leave out doubles."),
        words=(
            "quadratic",
            "cpu",
            "slow",
            "time",
            "took",
            "scales",
            "grows",
            "linear",
            "superlinear",
        ),
    ),
    Fault(
        name="forgets_merge",
        plugin="tests.contract.faulty.forgets_merge:Purchases",
        what=(
            "Counts by whom an interaction was recorded for, so a merged customer's rows "
            "stay behind."
        ),
        words=("merge", "merged", "merges", "merging"),
    ),
    Fault(
        name="forgets_merge_owned",
        plugin="tests.contract.faulty.forgets_merge_owned:Credits",
        what=(
            "Credit notes that it owns stay with the customer who was merged away, as "
            "their policy is keep_both."
        ),
        words=("merge", "merged", "merges", "merging", "keep_both"),
    ),
    Fault(
        name="leaks_name_kept",
        plugin="tests.contract.faulty.leaks_name_kept:Birthdays",
        what="Copies a customer's name into a table that an erasure leaves alone.",
        words=("erase", "erased", "erasure", "canary", "personal", "leak", "leaks"),
    ),
    Fault(
        name="leaks_name_decision",
        plugin="tests.contract.faulty.leaks_name_decision:Greetings",
        what="Copies a customer's name into a field of its own decision that is not personal.",
        words=("erase", "erased", "erasure", "canary", "personal", "leak", "leaks"),
    ),
    Fault(
        name="leaks_name_timer",
        plugin="tests.contract.faulty.leaks_name_timer:Namedays",
        what=(
            "Keeps a customer's name in the key of a timer of the whole shop, which no "
            "erasure finds."
        ),
        words=("erase", "erased", "erasure", "canary", "personal", "leak", "leaks", "timer"),
    ),
    Fault(
        name="arrival_order",
        plugin="tests.contract.faulty.arrival_order:Reach",
        what="Keeps the channel that arrived last, and not the one that was used last.",
        words=("order", "arrival", "arrives", "arrived", "late", "occurred"),
    ),
    Fault(
        name="batch_champion",
        plugin="tests.contract.faulty.batch_champion:Champions",
        what=(
            "Compares the customers of a batch with each other, so what it decides depends "
            "on how large the batch is."
        ),
        words=("batch", "batches"),
    ),
    Fault(
        name="batch_days",
        plugin="tests.contract.faulty.batch_days:Days",
        what=(
            "Adds up the distinct days of each batch, so a day that comes in two batches "
            "counts twice."
        ),
        words=("batch", "batches", "add", "adds", "halves"),
    ),
    Fault(
        name="rebuild_forgets_kind",
        plugin="tests.contract.faulty.rebuild_forgets_kind:Loyalty",
        what="Gives points for a registration, and forgets them when its rows are made anew.",
        words=("rebuild", "rebuilt", "recompute", "live", "anew"),
    ),
    Fault(
        name="rebuild_doubles",
        plugin="tests.contract.faulty.rebuild_doubles:Refunds",
        what="Counts on top of what is there when its rows are made anew.",
        words=("rebuild", "rebuilt", "recompute", "live", "anew", "clear", "twice", "doubles"),
    ),
    Fault(
        name="writes_sibling",
        plugin="tests.contract.faulty.writes_sibling:Patrons",
        what="Writes the tables of another plugin, where that one is there, too.",
        words=("sibling", "another", "other", "table", "crm_tiering_total", "foreign", "own"),
    ),
    Fault(
        name="writes_core",
        plugin="tests.contract.faulty.writes_core:Tidy",
        what="Changes rows of the ledger, which are the core's.",
        words=("core", "ledger", "table", "crm_interaction", "foreign", "own"),
    ),
    Fault(
        name="socket_at_import",
        plugin="tests.contract.faulty.socket_at_import:Telemetry",
        what="Opens a connection to a server when it is imported.",
        words=("network", "socket", "connect", "connection", "import"),
    ),
    Fault(
        name="socket_swallowed",
        plugin="tests.contract.faulty.socket_swallowed:Metrics",
        what="Connects to a server in the shop's transaction, and says nothing if that fails.",
        words=("network", "socket", "connect", "connection", "transaction"),
    ),
    Fault(
        name="query_per_row",
        plugin="tests.contract.faulty.query_per_row:Baskets",
        what="Runs a query, and a write, for each interaction of a batch.",
        words=("query", "queries", "statement", "statements", "batch"),
    ),
    Fault(
        name="state_in_object",
        plugin="tests.contract.faulty.state_in_object:Searches",
        what=(
            "Keeps the counts of customers in the plugin itself, where no rollback, merge "
            "or other process reaches them."
        ),
        words=(
            "state",
            "memory",
            "object",
            "attribute",
            "remember",
            "remembers",
            "rolled",
            "rollback",
            "merge",
        ),
    ),
    Fault(
        name="state_in_module",
        plugin="tests.contract.faulty.state_in_module:Welcomes",
        what=(
            "Remembers in a variable of the module whom it has welcomed, for all shops of "
            "the process and after a rollback."
        ),
        words=(
            "state",
            "memory",
            "module",
            "global",
            "remember",
            "remembers",
            "rolled",
            "rollback",
            "process",
        ),
    ),
    Fault(
        name="machine_clock",
        plugin="tests.contract.faulty.machine_clock:Dormant",
        what="Asks the machine's clock what time it is, and not the one it is given.",
        words=("clock", "time", "now"),
    ),
    Fault(
        name="random_rows",
        plugin="tests.contract.faulty.random_rows:Raffle",
        what=(
            "Draws the codes of its derived rows at random, so they are others when they "
            "are made anew."
        ),
        words=("random", "deterministic", "differs", "rebuild", "rebuilt", "anew", "live"),
    ),
    Fault(
        name="private_import",
        plugin="tests.contract.faulty.private_import:Insight",
        what="Imports a private module of the core.",
        words=("import", "imports", "private"),
    ),
    Fault(
        name="private_import_dynamic",
        plugin="tests.contract.faulty.private_import_dynamic:Habits",
        what=(
            "Imports a private module of the core, by a name that is put together while it runs."
        ),
        words=("import", "imports", "private"),
    ),
    Fault(
        name="imports_plugin",
        plugin="tests.contract.faulty.imports_plugin:Perks",
        what="Imports another plugin's package, which may not be there.",
        words=("import", "imports", "plugin", "crmcore_tiering"),
    ),
    Fault(
        name="unmarked_hook",
        plugin="tests.contract.faulty.unmarked_hook:Stamps",
        what="A hook lacks its mark, so nobody would call it.",
        words=("hookimpl", "marked", "mark", "unmarked"),
    ),
    Fault(
        name="misspelt_hook",
        plugin="tests.contract.faulty.misspelt_hook:Surveys",
        what="The name of a hook is misspelt.",
        words=("hook", "misspelt", "no hook", "did you mean"),
    ),
    Fault(
        name="after_counts",
        plugin="tests.contract.faulty.after_counts:Thanks",
        what=(
            "Numbers what it decides after the commit by what was decided before, so being "
            "told twice decides twice."
        ),
        words=("twice", "idempotent", "again", "after_"),
    ),
    Fault(
        name="key_at_random",
        plugin="tests.contract.faulty.key_at_random:Vouchers",
        what="Draws the key of a decision at random, so deciding it again is another decision.",
        words=("random", "key", "deterministic", "twice", "again", "differs"),
    ),
    Fault(
        name="key_with_id",
        plugin="tests.contract.faulty.key_with_id:Opinions",
        what=(
            "Builds the key of a decision from the number of an interaction, which is "
            "another when facts arrive otherwise."
        ),
        words=("key", "id", "arrival", "order", "deterministic", "differs"),
    ),
    Fault(
        name="decides_in_rebuild",
        plugin="tests.contract.faulty.decides_in_rebuild:Milestones",
        what="Decides while its rows are made anew, which is refused, so they never are.",
        words=(
            "rebuild",
            "rebuilt",
            "recompute",
            "anew",
            "modeerror",
            "record",
            "decide",
            "decides",
        ),
    ),
    Fault(
        name="setting_any_type",
        plugin="tests.contract.faulty.setting_any_type:Regulars",
        what="Takes a setting of any type, and fails by it later.",
        words=("setting", "settings", "type", "wrong"),
    ),
    Fault(
        name="setting_not_toml",
        plugin="tests.contract.faulty.setting_not_toml:Faithful",
        what="Has a setting whose default cannot be written in TOML.",
        words=("setting", "settings", "toml", "default", "round"),
    ),
    Fault(
        name="setting_changes_itself",
        plugin="tests.contract.faulty.setting_changes_itself:Rebates",
        what=("Changes a setting as it is checked, so what was written is not what is read back."),
        words=("setting", "settings", "round", "changed", "changes", "validator", "default"),
    ),
    Fault(
        name="table_name",
        plugin="tests.contract.faulty.table_name:Wallet",
        what="A table is not named after the plugin.",
        words=("name", "named", "crm_wallet_", "table"),
    ),
    Fault(
        name="kind_name",
        plugin="tests.contract.faulty.kind_name:Anniversary",
        what=("A kind is not named after the plugin, so another plugin may have one of that name."),
        words=("name", "named", "kind", "prefix"),
    ),
    Fault(
        name="trait_name",
        plugin="tests.contract.faulty.trait_name:Bonus",
        what="A trait is not named after the plugin.",
        words=("name", "named", "trait", "prefix"),
    ),
    Fault(
        name="own_table",
        plugin="tests.contract.faulty.own_table:Journal",
        what=(
            "Creates a table of its own that it does not declare, so nobody erases or "
            "exports what stands in it."
        ),
        words=("table", "undeclared", "declared", "declare", "declares", "created"),
    ),
    Fault(
        name="trait_null",
        plugin="tests.contract.faulty.trait_null:Lately",
        what="A trait is NULL for a customer who has a row and no order.",
        words=("null", "none", "trait"),
    ),
    Fault(
        name="trait_two_rows",
        plugin="tests.contract.faulty.trait_two_rows:Years",
        what="A trait stands in a table with several rows of a customer, one for each year.",
        words=("two", "several", "more than one", "rows", "one row", "trait"),
    ),
    Fault(
        name="trait_database_clock",
        plugin="tests.contract.faulty.trait_database_clock:Quiet",
        what="A trait asks the database what time it is, and not the instant it is given.",
        words=("clock", "now", "time", "trait"),
    ),
    Fault(
        name="export_omits",
        plugin="tests.contract.faulty.export_omits:Sizes",
        what="Leaves what a customer said of themselves out of the export.",
        words=("export", "exported", "exports"),
    ),
    Fault(
        name="export_not_json",
        plugin="tests.contract.faulty.export_not_json:Diary",
        what="Exports what JSON cannot hold.",
        words=("export", "exported", "json"),
    ),
    Fault(
        name="started_twice",
        plugin="tests.contract.faulty.started_twice:Backfill",
        what="Counts the whole ledger anew at every start, on top of what it has.",
        words=(
            "start",
            "started",
            "starts",
            "twice",
            "again",
            "enable",
            "enabled",
            "idempotent",
            "doubles",
            "doubled",
        ),
    ),
    Fault(
        name="started_again_owned",
        plugin="tests.contract.faulty.started_again_owned:Stars",
        what="Gives every customer it knows another star at each start.",
        words=(
            "start",
            "started",
            "starts",
            "twice",
            "again",
            "enable",
            "enabled",
            "idempotent",
            "doubles",
            "doubled",
        ),
    ),
    Fault(
        name="writes_file",
        plugin="tests.contract.faulty.writes_file:Receipts",
        what="Writes a file in the shop's transaction, which stays when that is rolled back.",
        words=("file", "files", "writes", "open", "disk"),
    ),
    Fault(
        name="migration_differs",
        plugin="tests.contract.faulty.migration_differs.plugin:Tags",
        what="Migrated, its table lacks an index that a table made anew has.",
        words=("migration", "migrations", "migrated", "revision", "schema", "index", "column"),
    ),
    Fault(
        name="guard_raises",
        plugin="tests.contract.faulty.guard_raises:Patience",
        what=("Raises in a guard for stages it does not know, so that customers never reach them."),
        words=("guard", "raise", "raised", "raises", "keyerror", "exception", "refused"),
    ),
    Fault(
        name="erase_leaves_file",
        plugin="tests.contract.faulty.erase_leaves_file:Letters",
        what="Says that it erased a file with a customer's words, and leaves it where it is.",
        words=("file", "files", "erase", "erased", "erasure", "canary", "leak", "leaks", "clean"),
    ),
    Fault(
        name="started_postpones",
        plugin="tests.contract.faulty.started_postpones:Weekly",
        what=("Sets its timer anew at every start, so a shop that starts often never comes to it."),
        words=(
            "start",
            "started",
            "starts",
            "timer",
            "again",
            "enable",
            "enabled",
            "idempotent",
            "postpones",
            "postponed",
        ),
    ),
)

GOOD: Final = ("tests.contract.faulty.good:Steps", "tests.contract.faulty.good:Hopes")
"""Correct plugins, in which nothing is to be found."""
