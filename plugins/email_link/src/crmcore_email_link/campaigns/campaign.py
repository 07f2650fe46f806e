"""Campaign: something that is written to many once, in one or several variants."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from attrs import asdict, evolve, field, fields, frozen

from crmcore import Content, to_datetime, to_instant
from crmcore.errors import InputError, nearest
from crmcore_email_link.campaigns.arms import HELD_OUT, Split
from crmcore_email_link.campaigns.fitting import check_variables
from crmcore_email_link.composing import BULK

ALL: Final = "all"
"""The name of the only variant there is, where a campaign has but a template."""

LONGEST_KEY: Final = 120
_HOURS: Final = 24
_LONGEST_HOURS: Final = 24 * 60
_LONGEST_DAYS: Final = 365
_KEY: Final = re.compile(r"[\w.:-]+(?:/[\w.:-]+)*")
_NAME: Final = re.compile(r"[^\W\d_][\w-]*")
_HOUR: Final = 3_600_000_000


@frozen(kw_only=True)
class Variant:
    """
    One of the ways in which a campaign is written.

    Attributes:
        name: By which its figures are told: a letter, and letters, digits, `_` and `-` after it.
        template: The one it is written with.
        variables: What that may use, beside the campaign's own.
        weight: How many get it, beside the weights of the others.
    """

    name: str = field(kw_only=False)
    template: str
    variables: Mapping[str, Any] = field(factory=dict)
    weight: int = 1

    def __attrs_post_init__(self) -> None:
        _check_text("a variant's name", self.name)
        if not _NAME.fullmatch(self.name):
            raise InputError(
                f"a variant's name is {self.name!r}; a letter, and letters, digits, '_' and '-' "
                "after it, are expected"
            )
        _check_text(f"the template of variant {self.name!r}", self.template)
        check_variables(f"the variables of variant {self.name!r}", self.variables)
        if type(self.weight) is not int or not 1 <= self.weight <= 10_000:
            raise InputError(
                f"the weight of variant {self.name!r} is {self.weight!r}; a whole number from 1 to "
                "10000 is expected"
            )


@frozen(kw_only=True)
class Campaign:
    """
    Something that is written to many, to each of them once.

    Attributes:
        key: What it is, such as `tea-2026-04`: a customer gets it once.
        template: The one it is written with, where there is one way to write it.
        variants: Several ways, of which each customer gets one; in place of a template.
        segment: Whom it is for: the name of a segment, or its text; frozen when it starts.
        purpose: What it is for: `news`, `promotion`, `survey` or `care`.
        variables: What templates may use, for everybody.
        personal: The same for each one, by name: a measure such as `orders(days=365).count`, or
            a trait. What `language` says is the language they read.
        holdout: The share that does not get it, to see what it brings about; from 0 to 0.9.
        experiment: Whoever has an arm keeps it in all campaigns of one experiment; empty: the key.
        at: When it starts: an aware datetime, or microseconds; None: at once.
        late_hours: For how long after that it may still go; later nobody gets it any more.
        priority: Of several that a cap does not let through together, the highest goes first.
        effect_days: Within how many days an order counts for its effect, as laid down beforehand.
    """

    key: str = field(kw_only=False)
    template: str = ""
    variants: tuple[Variant, ...] = ()
    segment: str = "everyone"
    purpose: str = "news"
    variables: Mapping[str, Any] = field(factory=dict)
    personal: Mapping[str, str] = field(factory=dict)
    holdout: float = 0.0
    experiment: str = ""
    at: datetime | int | None = None
    late_hours: int = _HOURS
    priority: int = 0
    effect_days: int = 14

    def __attrs_post_init__(self) -> None:
        self._check_names()
        self._check_variants()
        check_variables("the variables", self.variables)
        check_variables("personal", self.personal)
        for name, measure in self.personal.items():
            _check_text(f"personal.{name}", measure)
        if type(self.holdout) not in (int, float) or not 0 <= self.holdout <= 0.9:
            raise InputError(
                f"the holdout is {self.holdout!r}; a share from 0 to 0.9 is expected, such as 0.1"
            )
        _check_whole("late_hours", self.late_hours, 1, _LONGEST_HOURS)
        _check_whole("effect_days", self.effect_days, 1, _LONGEST_DAYS)
        _check_whole("priority", self.priority, -1_000_000, 1_000_000)

    def _check_names(self) -> None:
        key: object = self.key
        if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY or not _KEY.fullmatch(key):
            raise InputError(
                f"the campaign's key is {key!r}; 1 to {LONGEST_KEY} letters, digits, '.', '_', ':' "
                "and '-' are expected, such as 'tea-2026-04'"
            )
        _check_text("the segment", self.segment)
        if not isinstance(self.experiment, str):
            raise InputError(f"the experiment is {self.experiment!r}; text is expected")
        purpose: object = self.purpose
        if not isinstance(purpose, str) or purpose not in BULK:
            raise InputError(
                f"the campaign's purpose is {purpose!r}{nearest(str(purpose), BULK)}; "
                f"one of {', '.join(sorted(BULK))} is expected"
            )

    def _check_variants(self) -> None:
        given: object = self.variants
        if not isinstance(given, tuple) or any(not isinstance(each, Variant) for each in given):
            raise InputError(f"the variants are {given!r}; a tuple of Variant(...) is expected")
        if bool(self.template) == bool(self.variants):
            found = "both are" if self.template else "neither is"
            raise InputError(
                f"a campaign has one template, or variants with one each; {found} given"
            )
        names = [each.name for each in self.variants]
        if len(set(names)) < len(names) or HELD_OUT in names:
            raise InputError(f"the variants are called {names}; different names are expected")

    @property
    def arms(self) -> tuple[Variant, ...]:
        """The ways in which it is written."""
        return self.variants or (Variant(ALL, template=self.template),)

    @property
    def split(self) -> Split:
        """Who gets which."""
        weights = tuple((each.name, each.weight) for each in self.arms)
        return Split(self.experiment or self.key, float(self.holdout), weights)

    @property
    def starts_at(self) -> int | None:
        """When it starts, in microseconds; None: at once."""
        if self.at is None:
            return None
        if type(self.at) is int:
            return to_instant(to_datetime(self.at))
        if isinstance(self.at, datetime):
            return to_instant(self.at)
        raise InputError(
            f"at is {self.at!r}; an aware datetime, or microseconds since 1970, is expected"
        )

    def ends_after(self, start: int) -> int:
        """Return after when nobody gets it any more, if it starts at *start*."""
        return start + self.late_hours * _HOUR

    def content(self) -> Content:
        """Return what its broadcast says: how each one's mail is made, and none of it yet."""
        first = self.arms[0]
        return Content(
            data={
                "template": first.template,
                "variables": {**self.variables, **first.variables},
                "campaign": {
                    "experiment": self.split.experiment,
                    "variables": dict(self.variables),
                    "personal": dict(self.personal),
                    "variants": [asdict(each) for each in self.arms],
                },
            }
        )

    def to_table(self) -> dict[str, Any]:
        """Return it as a table that JSON can hold."""
        found = asdict(evolve(self, at=self.starts_at))
        found["variants"] = [asdict(each) for each in self.variants]
        return found

    def to_json(self) -> str:
        """Return it as JSON, the same for the same campaign."""
        return json.dumps(self.to_table(), ensure_ascii=False, sort_keys=True)

    @classmethod
    def of_table(cls, table: Mapping[str, Any]) -> Campaign:
        """
        Return the campaign that a table tells of, as `to_table` writes it and files have it.

        Raises:
            InputError: Names what is wrong.
        """
        values = _known(table, cls, "a campaign")
        variants = values.pop("variants", ())
        if not isinstance(variants, list | tuple):
            raise InputError(f"the variants are {variants!r}; a list of tables is expected")
        key = values.pop("key", None)
        return cls(key, variants=tuple(map(variant_of, variants)), **values)


def variant_of(table: object) -> Variant:
    """Return the variant that a table tells of; raises `InputError` that names what is wrong."""
    if not isinstance(table, Mapping):
        raise InputError(f"a variant is {table!r}; a table is expected")
    values = _known(table, Variant, "a variant")
    if "template" not in values:
        raise InputError(f"the variant {values.get('name')!r} has no template; one is expected")
    return Variant(values.pop("name", None), **values)


def _known(table: Mapping[str, Any], cls: type, what: str) -> dict[str, Any]:
    names = [each.name for each in fields(cls)]
    for name in table:
        if name not in names:
            raise InputError(
                f"{name!r} is nothing of {what}{nearest(str(name), names)}; "
                f"{', '.join(names)} are expected"
            )
    return dict(table)


def _check_text(what: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{what} is {value!r}; text is expected")


def _check_whole(what: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise InputError(f"{what} is {value!r}; a whole number from {least} to {most} is expected")
