"""Sizes: how much each benchmark does."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Sizes:
    """
    How much each benchmark does.

    Attributes:
        rounds: Pairs of samples.
        bulk: Customers, interactions and interactions in a batch, when recording in bulk.
        single: Customers and interactions of the ledger into which single ones are recorded.
        commits: Single interactions in a sample, each committed.
        postgres: Customers, interactions and interactions in a batch, on PostgreSQL.
        view: Customers and interactions of the ledger whose customers are looked at.
        views: Customers looked at in a sample.
        dispatches: Batches of one interaction that ten plugins are told of, in a sample.
        selects: How often a sample runs the statement of a review or report.
        recipients: Customers a message is planned for in a sample.
        ledgers: Customers and interactions of each ledger that segments and reviews are asked of,
            the largest last.
        reevaluated: Customers whose segments are looked at again, one by one, in a sample.
        mails: Recipients of a newsletter in a sample.
        tenth: Whether models are fitted to a tenth of the customers of the CDNOW purchase log.
    """

    rounds: int
    bulk: tuple[int, int, int]
    single: tuple[int, int]
    commits: int
    postgres: tuple[int, int, int]
    view: tuple[int, int]
    views: int
    dispatches: int
    selects: int
    recipients: int
    ledgers: tuple[tuple[int, int], ...]
    reevaluated: int
    mails: int
    tenth: bool


FULL = Sizes(
    rounds=5,
    bulk=(20_000, 200_000, 5_000),
    single=(10_000, 100_000),
    commits=1_000,
    postgres=(4_000, 40_000, 5_000),
    view=(1_500, 100_000),
    views=500,
    dispatches=5_000,
    selects=5,
    recipients=100_000,
    ledgers=((10_000, 200_000), (100_000, 2_000_000)),
    reevaluated=50,
    mails=1_000,
    tenth=False,
)
QUICK = Sizes(
    rounds=3,
    bulk=(500, 5_000, 1_000),
    single=(200, 2_000),
    commits=100,
    postgres=(200, 2_000, 1_000),
    view=(20, 1_400),
    views=50,
    dispatches=500,
    selects=5,
    recipients=2_000,
    ledgers=((200, 4_000),),
    reevaluated=5,
    mails=50,
    tenth=True,
)
