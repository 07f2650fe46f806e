"""`crm why`: the walk from where a customer stands back to what caused it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click
from attrs import frozen

from crmcore.app import Crm
from crmcore.cli.answers import decision_json, id_json, step_json
from crmcore.cli.customer import known_as
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.page import open_page
from crmcore.cli.terminal.walk import Walk
from crmcore.domain.shadow import plugin_of
from crmcore.errors import NotFoundError, nearest
from crmcore.services.recording.why import Decision, StageStep

STAGE: Final = "stage"
CORE: Final = "crmcore"
"""The source of what the core decides itself: that a guard kept somebody in their stage."""


@frozen
class Question:
    """
    What of a customer is asked about.

    Attributes:
        lifecycle: Whose steps are asked for; `""` for those of all, None for none.
        plugin: Whose decisions are asked for; `""` for those of all.
        kinds: Of what kinds the decisions are; empty for all.
    """

    lifecycle: str | None = ""
    plugin: str = ""
    kinds: frozenset[str] = frozenset()

    def steps(self, steps: Sequence[StageStep]) -> list[StageStep]:
        """Return those asked for."""
        return [each for each in steps if self.lifecycle in ("", each.lifecycle)]

    def decisions(self, decisions: Sequence[Decision]) -> list[Decision]:
        """Return those asked for."""
        return [
            each
            for each in decisions
            if self.plugin in ("", plugin_of(each.interaction.source))
            and (not self.kinds or each.interaction.kind in self.kinds)
        ]


def question(crm: Crm, what: str | None) -> Question:
    """
    Return what somebody asks about by a word: a stage, a lifecycle, plugin, trait or kind.

    Raises:
        NotFoundError: If there is nothing of the name; says what there is.
    """
    if what is None:
        return Question()
    assembly = crm.assembly
    plugins = {plugin.name for plugin in assembly}
    by_trait = {name.partition(".")[2]: name for name in assembly.traits}
    if what == STAGE or what in assembly.lifecycles:
        return Question(lifecycle="" if what == STAGE else what, plugin=CORE)
    if what in plugins:
        return Question(lifecycle=None, plugin=what)
    if what in assembly.kinds:
        return Question(lifecycle=None, kinds=frozenset({assembly.kinds[what].name}))
    trait = by_trait.get(what, what)
    if trait in assembly.traits:
        plugin, _, noun = trait.partition(".")
        # What is decided about a trait is named after it, such as `tier.changed`.
        kinds = {kind.name for kind in assembly.kinds if kind.name.startswith(f"{noun}.")}
        return Question(lifecycle=None, plugin=plugin, kinds=frozenset(kinds or {noun}))
    known = {STAGE, *assembly.lifecycles, *plugins, *by_trait, *assembly.traits}
    raise NotFoundError(
        f"nothing is named {what!r}{nearest(what, [*known, *assembly.kinds.names()])}; "
        f"ask for {', '.join(sorted(known))}, or a kind of decision"
    )


@click.command
@click.argument("who", metavar="SCHEME:VALUE|ID")
@click.argument("what", required=False)
@config_option
@json_option
@pass_shell
def why(shell: Shell, who: str, what: str | None, as_json: bool) -> None:
    """
    Tell why a customer is treated as they are.

    WHAT is stage, the name of a plugin or trait such as tier, or a kind such as tier.changed;
    without it everything is told, oldest first.
    """
    known = known_as(who)
    with shell.open() as crm:
        asked = question(crm, what)
        view = crm.customer(known, most=0)
        steps = asked.steps(crm.why_stages(known))
        decisions = asked.decisions(crm.why_decisions(known))
        if as_json:
            answer = {
                "customer": id_json(view.customer.id),
                "stages": [step_json(step) for step in steps],
                "decisions": [decision_json(decision) for decision in decisions],
            }
            echo_json(answer)
            return
        page = open_page()
        walk = Walk(page, crm.runtime.currency, crm.runtime.calendar)
        walk.show_customer(view)
        page.gap()
        walk.show(steps, decisions)
        if not (steps or decisions):
            about = f" about {what}" if what else ""
            page.say(f"Nothing was decided{about}; what stands above follows from the ledger.")
