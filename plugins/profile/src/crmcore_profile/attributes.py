"""Attributes: what a shop wants to know of its customers, as it comes ready-made or is set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from attrs import asdict, evolve, frozen

from crmcore.errors import ConfigurationError, nearest

Type = Literal["text", "choice", "number", "date", "birthday", "language", "zone"]
Policy = Literal["newest", "most_trusted", "most_frequent"]

TYPES: Final[tuple[str, ...]] = get_args(Type)
POLICIES: Final[tuple[str, ...]] = get_args(Policy)

BIRTHDAY: Final = "birthday"
CHILDREN: Final = "children"
PREFERRED_CHANNEL: Final = "preferred_channel"
ZONE: Final = "zone"

FIGURES: Final = frozenset(
    "age_band birthday_next_days category channel completeness contribution_minor hour is_overdue "
    "life_stage oldest_child quiet_days rhythm_days".split()
)
"""Names of traits that are no attributes."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")


@frozen(kw_only=True)
class AttributeSettings:
    """
    `[plugins.profile.attributes.NAME]` in crm.toml; what is left out is as it comes ready-made.

    Attributes:
        type: `text`, `choice` among *options*, `number`, `date`, `birthday` (with or without its
            year), `language` (such as `de-CH`) or `zone` (such as `Europe/Berlin`).
        many: Whether a customer may have several values at once.
        policy: Which of several statements counts: the `newest`, the `most_trusted` or the value
            that was stated as the `most_frequent` one.
        options: The values of a `choice`.
        weight: How much knowing it counts for completeness, and is worth asking for.
        stale_after_days: How old a value may grow before it is to be asked for again; 0: for ever.
        question: What the customer is asked; empty: nobody asks.
        enabled: False does without it.
    """

    type: str | None = None
    many: bool | None = None
    policy: str | None = None
    options: list[str] | None = None
    weight: int | None = None
    stale_after_days: int | None = None
    question: str | None = None
    enabled: bool = True


@frozen(kw_only=True)
class Attribute:
    """An attribute with all that is set of it; see `AttributeSettings`."""

    name: str
    type: str = "text"
    many: bool = False
    policy: str = "newest"
    options: tuple[str, ...] = ()
    weight: int = 5
    stale_after_days: int = 0
    question: str = ""

    def __attrs_post_init__(self) -> None:
        if self.type not in TYPES:
            self._refuse("type", self.type, TYPES)
        if self.policy not in POLICIES:
            self._refuse("policy", self.policy, POLICIES)
        for name in ("weight", "stale_after_days"):
            value: object = getattr(self, name)
            if type(value) is not int or not 0 <= value <= 36_525:
                raise ConfigurationError(
                    f"attributes.{self.name}.{name} is {value!r}; a whole number from 0 to 36525 "
                    "is expected"
                )
        if (self.type == "choice") != bool(self.options) or not all(self.options):
            raise ConfigurationError(
                f"attributes.{self.name} is a {self.type} with the options {list(self.options)!r}; "
                "a choice has options, which are not empty, and nothing else has any"
            )

    def _refuse(self, what: str, found: object, known: tuple[str, ...]) -> None:
        hint = nearest(found, known)
        raise ConfigurationError(
            f"attributes.{self.name}.{what} is {found!r}{hint}; "
            f"{' or '.join(map(repr, known))} is expected"
        )


# Gender and children weigh nothing, so that nobody asks for them unless the shop wants it.
READY_MADE: Final[Mapping[str, Attribute]] = {
    each.name: each
    for each in (
        Attribute(
            name="gender",
            type="choice",
            options=("female", "male", "other"),
            policy="most_trusted",
            weight=0,
        ),
        Attribute(
            name=BIRTHDAY,
            type="birthday",
            policy="most_trusted",
            weight=20,
            question="When is your birthday?",
        ),
        Attribute(
            name="occupation",
            weight=10,
            stale_after_days=730,
            question="What do you do for a living?",
        ),
        Attribute(
            name="interests",
            many=True,
            weight=15,
            stale_after_days=730,
            question="What are you interested in?",
        ),
        Attribute(
            name="hobbies",
            many=True,
            weight=10,
            stale_after_days=730,
            question="What do you like to do in your free time?",
        ),
        Attribute(
            name="language",
            type="language",
            policy="most_trusted",
            weight=10,
            question="In which language may we write to you?",
        ),
        Attribute(name=ZONE, type="zone", weight=5),
        Attribute(name="city", weight=5),
        Attribute(name="postal_address", weight=5),
        Attribute(
            name=PREFERRED_CHANNEL,
            type="choice",
            options=("email", "sms", "phone", "post", "web", "app", "store"),
            policy="most_trusted",
            weight=15,
            question="How do you like to hear from us?",
        ),
        Attribute(name=CHILDREN, type="date", many=True, weight=0),
    )
}
"""What comes with the plugin; each can be changed, or switched off."""


def attributes_of(given: object) -> tuple[Attribute, ...]:
    """
    Return all attributes: those that come ready-made, changed as is *given*, and the shop's own.

    Raises:
        ConfigurationError: If a name, or something set of it, is not right.
    """
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"attributes is {given!r}; a table of tables is expected")
    found = dict(READY_MADE)
    for name, settings in given.items():
        if not isinstance(settings, AttributeSettings):
            raise ConfigurationError(
                f"attributes.{name} is {settings!r}; a table, in code AttributeSettings(...), is "
                "expected"
            )
        _check_name(name)
        if not settings.enabled:
            found.pop(name, None)
            continue
        found[name] = _changed(found.get(name), name, settings)
    return tuple(found.values())


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.match(name):
        raise ConfigurationError(
            f"attributes has {name!r}; a name of up to 40 small letters, digits and _ is expected"
        )
    if name in FIGURES:
        raise ConfigurationError(
            f"attributes has {name!r}, which is a trait of another meaning; another name is "
            "expected"
        )


def _changed(before: Attribute | None, name: str, settings: AttributeSettings) -> Attribute:
    said: dict[str, Any] = asdict(settings, filter=lambda _, value: value is not None)
    del said["enabled"]
    if "options" in said:
        said["options"] = tuple(said["options"])
    if before is None:
        return Attribute(name=name, **said)
    if "type" in said and said["type"] != "choice":
        said = {"options": (), **said}
    return evolve(before, **said)
