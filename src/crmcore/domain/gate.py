"""The gate's settings: on what basis messages go, how many, when, and to whom on purpose not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, cast, get_args

from attrs import field, frozen

from crmcore.domain.consent import PURPOSES, Basis, Purpose
from crmcore.domain.holdout import PRIME, Arm
from crmcore.domain.quiet import QuietHours, check_among, leaves_no_moment
from crmcore.errors import ConfigurationError, nearest

BASES: Final[tuple[Basis, ...]] = get_args(Basis)
DEFAULT_BASIS: Final[Mapping[Purpose, Basis]] = {
    "service": "contract",
    "care": "opt_in",
    "news": "opt_in",
    "promotion": "opt_in",
    "survey": "opt_in",
}
SERVICE: Final = "service"
_HIGHEST: Final = 1_000_000_000
_LONGEST: Final = 36_525
"""Days, a hundred years: so that every instant that comes of them can be stored."""

Go = Literal["go", "wait", "no"]


@frozen(kw_only=True)
class Answer:
    """
    What one gate says of a message.

    Attributes:
        gate: Which gate, such as `consent`, `cap` or `quiet`.
        answer: `go`, `wait` until *may_go_at*, or `no`.
        reason: In words; None where there is nothing to say.
        may_go_at: In microseconds.
    """

    gate: str
    answer: Go
    reason: str | None = None
    may_go_at: int | None = None


def _purposes_of(given: list[str]) -> tuple[str, ...]:
    """Return the purposes that are meant: those given, or where none is, all but service."""
    return tuple(given) or tuple(each for each in PURPOSES if each != SERVICE)


def _check_purposes(_: object, attribute: object, value: object) -> None:
    check_among("purposes", value, PURPOSES)


def _check_texts(_: object, attribute: object, value: object) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        name = getattr(attribute, "name", "it")
        raise ConfigurationError(f"{name} is {value!r}; a list of text is expected")


@frozen(kw_only=True)
class Cap:
    """
    At most so many messages within some days, or on a day.

    Attributes:
        most: How many; 0 lets none go at all, and without it there is no limit.
        days: Within so many times 24 hours, at any instant.
        per: Instead of *days*: `day`, a day on the customer's own calendar.
        purposes: Of the messages that count, and wait; without any, all but `service`.
        channels: On which; without any, all.
        asks: Whether it is only about messages that ask the customer for something.
    """

    most: int | None = None
    days: int | None = None
    per: str | None = None
    purposes: list[str] = field(factory=list, validator=_check_purposes)
    channels: list[str] = field(factory=list, validator=_check_texts)
    asks: bool = False

    def __attrs_post_init__(self) -> None:
        for name, value, least, highest in (
            ("most", self.most, 0, _HIGHEST),
            ("days", self.days, 1, _LONGEST),
        ):
            if value is not None and (type(value) is not int or value < least):
                raise ConfigurationError(
                    f"{name} is {value!r}; a whole number of at least {least} is expected"
                )
            if value is not None and value > highest:
                raise ConfigurationError(
                    f"{name} is {value!r}; a whole number up to {highest} is expected"
                )
        if self.per not in (None, "day"):
            raise ConfigurationError(
                f"per is {self.per!r}{nearest(self.per, ['day'])}; 'day' is expected"
            )
        if (self.days is None) == (self.per is None):
            raise ConfigurationError(
                "a cap has days, such as days = 7, or per = 'day'; one of the two is expected"
            )

    @property
    def about(self) -> tuple[str, ...]:
        """The purposes it is about."""
        return _purposes_of(self.purposes)

    def __str__(self) -> str:
        what = "asking " if self.asks else ""
        within = "on a day" if self.per else f"within {self.days} days"
        of = f" of {', '.join(self.purposes)}" if self.purposes else ""
        on = f" on {', '.join(self.channels)}" if self.channels else ""
        noun = "message" if self.most == 1 else "messages"
        return f"at most {self.most} {what}{noun}{of}{on} {within}"


@frozen(kw_only=True)
class Holdout:
    """
    A share of the customers who do not get some messages, to see what these bring about.

    Attributes:
        name: Decides who it is: another name leaves out others.
        share: Of the customers, from 0 to 1.
        purposes: Of the messages they do not get; without any, all but `service`.
        plugins: Whose messages; without any, everybody's.
        keys: Of which messages, such as `winter-sale`, or `welcome/*`; without any, of all.
    """

    name: str
    share: float
    purposes: list[str] = field(factory=list, validator=_check_purposes)
    plugins: list[str] = field(factory=list, validator=_check_texts)
    keys: list[str] = field(factory=list, validator=_check_texts)

    def __attrs_post_init__(self) -> None:
        name, share = cast(Any, self.name), cast(Any, self.share)
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"name is {name!r}; the name of a holdout is expected")
        if type(share) not in (int, float) or not 0 <= share <= 1:
            raise ConfigurationError(f"share is {share!r}; a number from 0 to 1 is expected")

    @property
    def about(self) -> tuple[str, ...]:
        """The purposes it is about."""
        return _purposes_of(self.purposes)

    @property
    def arm(self) -> Arm:
        """What decides who is left out: a hash of its name and the customer."""
        return Arm.of(self.name)

    @property
    def below(self) -> int:
        """Who has a place below it is left out."""
        return int(self.share * PRIME)


def _listed(name: str, values: object, wanted: type) -> None:
    if not isinstance(values, list | tuple) or not all(isinstance(v, wanted) for v in values):
        raise ConfigurationError(
            f"{name} is {values!r}; a list of {wanted.__name__}(...) is expected"
        )


@frozen(kw_only=True)
class GateSettings:
    """
    `[gate]` in crm.toml: what the shop may say to whom, how often and when.

    Attributes:
        basis: By purpose: what a message needs to go: `contract` nothing, `opt_out` that nobody
            objected, `opt_in` that they agreed, `double_opt_in` that they confirmed it, too.
        caps: How many messages at most, as tables [[gate.caps]], each with `most`, and `days` or
            `per`; perhaps with `purposes`, `channels` and `asks`.
        quiet: Hours in which none goes, as tables [[gate.quiet]], each with `since` and `until`,
            such as 21:00 and 08:00; perhaps with `weekdays` and `purposes`.
        holdouts: Who is left out on purpose, as tables [[gate.holdouts]], each with a `name` and
            a `share` from 0 to 1; perhaps with `purposes`, `plugins` and `keys`.
    """

    basis: dict[str, str] = field(factory=dict)
    caps: list[Cap] = field(factory=list)
    quiet: list[QuietHours] = field(factory=list)
    holdouts: list[Holdout] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.basis, Mapping):
            raise ConfigurationError(f"basis is {self.basis!r}; a table by purpose is expected")
        check_among("basis", list(self.basis), PURPOSES)
        for purpose, found in self.basis.items():
            if found not in BASES:
                raise ConfigurationError(
                    f"basis.{purpose} is {found!r}{nearest(found, BASES)}; "
                    f"{' or '.join(map(repr, BASES))} is expected"
                )
        _listed("caps", self.caps, Cap)
        _listed("quiet", self.quiet, QuietHours)
        _listed("holdouts", self.holdouts, Holdout)
        for each in self.quiet:
            check_among("quiet.purposes", each.purposes, PURPOSES)
        for purpose in PURPOSES:
            if leaves_no_moment(self.quiet_of(purpose)):
                raise ConfigurationError(
                    f"quiet leaves no moment of a week for {purpose!r}; some is expected"
                )
        names = [each.name for each in self.holdouts]
        for name in names:
            if names.count(name) > 1:
                raise ConfigurationError(f"holdouts has two named {name!r}; another is expected")

    def basis_of(self, purpose: Purpose) -> Basis:
        """Return what messages of a purpose need to go."""
        found: str = self.basis.get(purpose, DEFAULT_BASIS[purpose])
        return found  # type: ignore[return-value]

    def quiet_of(self, purpose: str) -> list[QuietHours]:
        """Return the hours in which messages of a purpose wait."""
        return [each for each in self.quiet if purpose in _purposes_of(each.purposes)]
