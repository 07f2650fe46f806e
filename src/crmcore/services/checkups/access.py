"""Check-ups of access: who looked at more customers than their roles expect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from crmcore.domain.clock import DAY
from crmcore.services.checkups.finding import Finding, Patient, counted
from crmcore.services.staff import access

_RECENT: Final = 7 * DAY
_MOST: Final = 1000


def check_looks(patient: Patient) -> Iterable[Finding]:
    """Look for members of staff who looked at many customers in an hour, within a week."""
    found: dict[str, list[access.Access]] = {}
    for each in access.alarms(patient.connection, most=_MOST):
        if each.recorded_instant > patient.now - _RECENT:
            found.setdefault(each.actor, []).append(each)
    for actor, alarms in sorted(found.items()):
        name = actor.removeprefix("staff:")
        yield Finding(
            "warning",
            check="access",
            found=(
                f"{name} looked at more customers in an hour than their roles expect, "
                f"{counted(len(alarms), 'time')} in a week; the last time {alarms[0].reason}"
            ),
            cure=f"see what they looked at, with `crm access of {name}`, and ask them why",
        )
