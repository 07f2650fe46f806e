"""Why, as people read it: the steps and decisions that led to where a customer stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from attrs import frozen

from crmcore.cli.terminal.page import Page
from crmcore.cli.terminal.words import figure, figures, moment, plural, readable
from crmcore.domain.clock import Calendar
from crmcore.domain.customer import Customer
from crmcore.domain.interaction import Interaction
from crmcore.domain.shadow import is_shadow, plugin_of
from crmcore.services.customers import CustomerView
from crmcore.services.recording.why import Decision, StageStep


@frozen
class Walk:
    """Writes what led to where a customer stands on a page."""

    page: Page
    currency: str
    calendar: Calendar

    def show_customer(self, view: CustomerView) -> None:
        """Write who the customer is, where they stand and what plugins know of them."""
        labelled = [("customer", self._named(view.customer))]
        for stage in view.stages:
            about = f" of {stage.subject}" if stage.subject else ""
            since = f" since {self._when(stage.entered_at)}" if stage.entered_at else ""
            reason = f": {stage.reason}" if stage.reason else ""
            told = f"{readable(stage.stage)} ({stage.phase}){about}{since}{reason}"
            labelled.append((readable(stage.lifecycle), told))
        for plugin, told in self._known(view).items():
            labelled.append((plugin, told))
        counted = plural(view.interactions, "interaction")
        labelled.append(("ledger", f"{counted}, {view.revenue} net, number {view.customer.id}"))
        indent = max(len(label) for label, _ in labelled) + 2
        for label, told in labelled:
            self.page.item(label, told, indent=indent)

    def _named(self, customer: Customer) -> str:
        if customer.erased_instant is not None:
            return f"forgotten {self._when(customer.erased_instant)}"
        return ", ".join(map(str, customer.identifiers)) or "not named"

    def show_latest(self, view: CustomerView) -> None:
        """Write the latest interactions, newest first."""
        if not view.latest:
            return
        self.page.heading("latest", "" if len(view.latest) < view.interactions else "all of them")
        whens = [self._when(fact.occurred_instant) for fact in view.latest]
        indent = max(map(len, whens)) + 2
        for when, fact in zip(whens, view.latest, strict=True):
            self.page.item(when, self.told(fact, seen_at=fact.occurred_instant), indent=indent)

    def _known(self, view: CustomerView) -> dict[str, str]:
        """Return what each plugin knows, in words."""
        known: dict[str, list[str]] = {}
        for name, value in view.traits.items():
            plugin, _, trait = name.partition(".")
            known.setdefault(plugin, []).append(
                f"{readable(trait)} {figure(trait, value, self.currency)}"
            )
        for plugin, told in view.descriptions.items():
            facts = {"": told} if isinstance(told, str) else told
            known.setdefault(plugin, []).extend(
                ": ".join(filter(None, (readable(name), figure(name, value, self.currency))))
                for name, value in facts.items()
            )
        return {plugin: ", ".join(facts) for plugin, facts in known.items()}

    def show(
        self,
        steps: Sequence[StageStep],
        decisions: Sequence[Decision],
        *,
        with_causes: bool = True,
    ) -> None:
        """Write steps and decisions, oldest first; *with_causes* says what each rests on."""
        told: list[tuple[int, int, StageStep | Decision]] = [
            *((step.effective_at, 0, step) for step in steps),
            *((each.interaction.occurred_instant, 1, each) for each in decisions),
        ]
        told.sort(key=lambda item: item[:2])
        whens = [self._when(at) for at, _, _ in told]
        indent = max(map(len, whens), default=0) + 2
        for when, (_, _, each) in zip(whens, told, strict=True):
            if isinstance(each, StageStep):
                self.page.item(when, self._step(each), indent=indent)
                causes = each.because if with_causes else ()
                at = each.effective_at
            else:
                self._show_decision(each, when, indent, with_numbers=with_causes)
                causes, at = each.because, each.interaction.occurred_instant
            self._show_causes(causes, at, indent)

    def _step(self, step: StageStep) -> str:
        about = f" of {step.subject}" if step.subject else ""
        return f"{self._change(step.from_stage, step.to_stage)}{about}: {step.reason}"

    def _show_decision(
        self, decision: Decision, when: str, indent: int, *, with_numbers: bool
    ) -> None:
        made = decision.interaction
        payload = made.payload
        values = attrs.asdict(payload) if attrs.has(type(payload)) else {}
        changes, rest = self._changes(values)
        by = plugin_of(made.source) + (", in shadow" if is_shadow(made.source) else "")
        line = f"{made.kind} by {by}{': ' if changes else ''}{changes}"
        self.page.item(when, line, "bold", indent=indent)
        # A payload that says itself what it means does so better than its fields.
        sentence = str(payload) if "__str__" in vars(type(payload)) else ""
        if sentence:
            self.page.item("", sentence, indent=indent)
        numbers = figures(rest, self.currency)
        if numbers and (with_numbers or not sentence):
            self.page.item("", numbers, "dim", indent=indent)

    def _show_causes(self, because: Sequence[Interaction], at: int, indent: int) -> None:
        for number, cause in enumerate(because):
            word = "because of" if number == 0 else "which came of"
            self.page.item("", f"{word} {self.told(cause, seen_at=at)}", "dim", indent=indent)

    def told(self, fact: Interaction, *, seen_at: int | None = None) -> str:
        """Return an interaction in one line; its time only if it is another than *seen_at*."""
        amount = f" of {fact.amount}" if fact.amount is not None else ""
        on = f" on {self._when(fact.occurred_instant)}" if fact.occurred_instant != seen_at else ""
        subject = f", {fact.subject}" if fact.subject else ""
        key = f" {fact.source_key}" if fact.source_key else ""
        return f"{fact.kind}{amount}{on}{subject} ({fact.source}{key})"

    def _changes(self, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the pairs of `from_x` and `to_x` as changes, and the other values."""
        rest = dict(values)
        changes = []
        for name in values:
            noun = name.removeprefix("from_")
            if name != noun and f"to_{noun}" in rest:
                before, after = rest.pop(name), rest.pop(f"to_{noun}")
                changes.append(f"{readable(noun)} {self._change(str(before), str(after))}")
        return ", ".join(changes), rest

    def _change(self, before: str, after: str) -> str:
        arrow = "→" if self.page.is_unicode else "->"
        return f"{readable(before)} {arrow} {readable(after)}"

    def _when(self, instant: int) -> str:
        return moment(instant, self.calendar)
