"""Messages: whether their sums come out, and somebody delivers them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from crmcore.services.checkups.finding import Finding, Patient
from crmcore.services.messaging.reconcile import differences

_CURES: Final = {
    "lease": "run `crm worker`: it finds out what became of them",
    "plugin": "switch the plugin on: what it planned waits for it",
    "channel": "switch on a plugin that delivers on it, such as [plugins.files]",
}
_MISTAKE: Final = "somebody wrote to these tables by hand, or it is a mistake of ours: report it"


def check_messages(patient: Patient) -> Iterable[Finding]:
    """Find messages that do not fit together, or that nobody delivers."""
    for each in differences(patient.connection, patient.assembly, patient.now):
        yield Finding(
            "warning" if each.sort in _CURES else "fault",
            check="messages",
            found=each.sentence,
            cure=_CURES.get(each.sort, _MISTAKE),
        )
