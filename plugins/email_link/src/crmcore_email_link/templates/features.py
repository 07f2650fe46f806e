"""Features: what of HTML and CSS which mail programs do not know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen


@frozen
class Feature:
    """
    Something that a mail may use and not all mail programs know.

    Attributes:
        name: As in CSS.
        pattern: Finds it in a stylesheet or a style attribute.
        unknown_to: Which of Apple Mail, Gmail, Outlook and Yahoo do not know it, or in part.
        tested: When that was last tested, as year and month.
        instead: What to do; empty: it does no harm where it is not known.
    """

    name: str
    pattern: re.Pattern[str]
    unknown_to: Sequence[str]
    tested: str
    instead: str = ""


def _property(name: str, value: str = "") -> re.Pattern[str]:
    return re.compile(rf"(?:^|[\s;{{\"'])(?:-webkit-)?{name}\s*:[^;}}]*{value}", re.IGNORECASE)


_WINDOWS: Final = "Outlook for Windows"
_ALL_OUTLOOK: Final = "Outlook"

FEATURES: Final = (
    Feature(
        "animation", _property("animation[a-z-]*"), ("Gmail", _ALL_OUTLOOK, "Yahoo"), "2021-05"
    ),
    Feature(
        "background-image",
        _property("background(?:-image)?", r"url\("),
        (_WINDOWS,),
        "2019-02",
        "give a background colour too",
    ),
    Feature("border-radius", _property("border-radius"), (_WINDOWS,), "2021-03"),
    Feature("box-shadow", _property("box-shadow"), ("Gmail", _WINDOWS, "Yahoo"), "2023-12"),
    Feature(
        "calc()",
        re.compile(r"\bcalc\(", re.IGNORECASE),
        (_ALL_OUTLOOK, "Yahoo"),
        "2020-02",
        "write a plain length before it",
    ),
    Feature(
        "display: flex", _property("display", r"\bflex\b"), (_WINDOWS,), "2021-11", "use a table"
    ),
    Feature(
        "display: grid",
        _property("display", r"\bgrid\b"),
        ("Gmail", _WINDOWS, "Yahoo"),
        "2019-02",
        "use a table",
    ),
    Feature("filter", _property("filter"), ("Gmail", _ALL_OUTLOOK, "Yahoo"), "2019-02"),
    Feature("float", _property("float"), (_WINDOWS,), "2019-02", "use align= or a table"),
    Feature(
        "@font-face",
        re.compile(r"@font-face|@import", re.IGNORECASE),
        ("Gmail", _ALL_OUTLOOK, "Yahoo"),
        "2019-07",
        "name a usual font after it",
    ),
    Feature(
        "gap", _property("(?:row-|column-)?gap"), ("Gmail in part", _WINDOWS, "Yahoo"), "2022-12"
    ),
    Feature(
        "max-width",
        _property("max-width"),
        (f"{_WINDOWS} (to 2016)",),
        "2019-08",
        "give a width= too",
    ),
    Feature("object-fit", _property("object-fit"), (_WINDOWS, "Yahoo"), "2021-07"),
    Feature("opacity", _property("opacity"), (_WINDOWS, "Yahoo"), "2019-02"),
    Feature(
        "position",
        _property("position"),
        ("Gmail", _WINDOWS, "Yahoo in part"),
        "2021-05",
        "use a table",
    ),
    Feature("transform", _property("transform"), ("Gmail", _ALL_OUTLOOK, "Yahoo"), "2019-02"),
    Feature(
        "var()",
        re.compile(r"\bvar\(|(?:^|[\s;{])--[\w-]+\s*:"),
        ("Gmail", _ALL_OUTLOOK, "Yahoo"),
        "2020-02",
        "write the value",
    ),
    Feature(
        "SVG images",
        re.compile(r"src=[\"']?[^\"'>]*\.svg\b", re.IGNORECASE),
        ("Gmail", _WINDOWS),
        "2023-01",
        "use PNG",
    ),
    Feature(
        "WebP images",
        re.compile(r"src=[\"']?[^\"'>]*\.webp\b", re.IGNORECASE),
        (_WINDOWS,),
        "2021-02",
        "use JPEG or PNG",
    ),
)
"""
A few that newsletters often use, each with the date of its last test.

Source:
    Can I email, https://www.caniemail.com/features/, as of November 2026. What is harmless where it
    is not known, and MJML writes into every mail, is not reported for MJML.
"""

_IN_MJML: Final = frozenset({"max-width", "border-radius", "@font-face"})


def unknown_features(markup: str, *, is_mjml: bool) -> Iterator[Feature]:
    """Go through those features that a template uses."""
    for each in FEATURES:
        if not (is_mjml and each.name in _IN_MJML) and each.pattern.search(markup):
            yield each
