"""Reports: how many are in each group, and how many came and went of late."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, case, func, select

from crmcore import Context, Report, ReportResult
from crmcore_grouping.tables import Whole, history

DAYS: Final = 30
_SINCE: Final = bindparam("since", type_=Whole)
_counts: Final = (
    select(
        history.c.group_name,
        func.count(case((history.c.to_instant.is_(None), 1))),
        func.count(case((history.c.from_instant > _SINCE, 1))),
        func.count(case((history.c.to_instant > _SINCE, 1))),
    )
    .group_by(history.c.group_name)
    .order_by(history.c.group_name)
)


def _run(ctx: Context) -> ReportResult:
    rows = ctx.execute(_counts, since=ctx.clock.now() - DAYS * 86_400_000_000)
    members = {name: present for name, present, _, _ in rows if present}
    largest = max(members, key=lambda name: (members[name], name), default=None)
    return ReportResult(
        figures={
            "members": members,
            "entered": {name: count for name, _, count, _ in rows if count},
            "left": {name: count for name, _, _, count in rows if count},
        },
        captions={
            "members": "Customers in each group",
            "entered": f"Entered within {DAYS} days",
            "left": f"Left within {DAYS} days",
        },
        headline=(
            "Nobody is in any group."
            if largest is None
            else f"{len(members)} {'group has' if len(members) == 1 else 'groups have'} members; "
            f"the largest is {largest}, with {members[largest]:,}."
        ),
    )


REPORT: Final = Report(
    "grouping",
    description="How many customers are in each group, and how many entered and left it of late.",
    run=_run,
)
