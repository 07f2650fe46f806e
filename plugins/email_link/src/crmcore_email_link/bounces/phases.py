"""Phases: at which step of the conversation a server refused, where a notice tells it."""

from __future__ import annotations

import re
from typing import Final

_STEP: Final = r"(?:in (?:reply|response) to|after|during)\s+(?:the\s+|end\s+of\s+)*"
_REFUSED: Final = r"[^\n]{0,300}\n[ \t]*<<< [45]\d\d"
_SENDER: Final = re.compile(
    _STEP + r"(?:mail\s*from|ehlo|helo|initial\s+connection|connect\b)"
    r"|>>> (?:mail\s+from|ehlo|helo)" + _REFUSED,
    re.IGNORECASE,
)
_RECIPIENT: Final = re.compile(
    _STEP + r"(?:rcpt|data|message|dot)\b|>>> (?:rcpt\s+to|data)" + _REFUSED, re.IGNORECASE
)


def is_before_recipient(text: str) -> bool:
    """
    Tell whether a server refused before it was told for whom the mail is (RFC 5321, 3.3).

    Whom it does not know then is the sender, or the server that called.
    """
    return _SENDER.search(text) is not None and _RECIPIENT.search(text) is None
