"""Keys: what nobody else may know, from a file or the environment and never from crm.toml."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from crmcore import to_instant
from crmcore.errors import ConfigurationError
from crmcore_email_link.tokens import Key, KeyRing

_HINT = "such as `openssl rand -hex 32` writes"


def secret(what: str, file: str | None, variable: str) -> str:
    """
    Return a secret from its file, or from a variable of the environment; it is repeated nowhere.

    Raises:
        ConfigurationError: If the file cannot be read, or there is neither.
    """
    if file is not None:
        try:
            found = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the {what}'s file {file!r} cannot be read: {error}"
            ) from error
    else:
        found = os.environ.get(variable, "").strip()
    if not found:
        place = f"the file {file!r} is empty" if file is not None else f"{variable} is not set"
        raise ConfigurationError(
            f"the {what} is missing: {place}; name a file that holds it, or set {variable} in the "
            "environment"
        )
    return found


def key_ring(text: str) -> KeyRing:
    """
    Return the keys that tokens are made with, from one line for each.

    A line is a key of 64 hexadecimal digits, and before it the day it is used from where another
    was used until then: `2026-11-01 9f86...`.

    Raises:
        ConfigurationError: If a line is not that; says which.
    """
    return KeyRing(
        [
            _key(number, line)
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip() and not line.startswith("#")
        ]
    )


def _key(number: int, line: str) -> Key:
    day, _, digits = line.strip().rpartition(" ")
    try:
        octets = bytes.fromhex(digits)
    except ValueError:
        raise ConfigurationError(
            f"line {number} of the secret is no key; 64 hexadecimal digits, {_HINT}, are expected"
        ) from None
    if not day:
        return Key(octets, since=0)
    try:
        since = datetime.fromisoformat(day.strip()).replace(tzinfo=UTC)
    except ValueError:
        raise ConfigurationError(
            f"line {number} of the secret begins with {day!r}; a day such as 2026-11-01, or "
            "nothing, is expected before the key"
        ) from None
    return Key(octets, since=to_instant(since))
