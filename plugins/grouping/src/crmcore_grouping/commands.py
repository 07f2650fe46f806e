"""`crm clusters`: customers who are alike, and the segments that say so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from attrs import asdict

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell

if TYPE_CHECKING:
    from crmcore_grouping.clusters.clustering import Clustering


@click.command
@click.option(
    "--by",
    multiple=True,
    metavar="MEASURE",
    default=("orders.count", "orders.sum", "days_since(orders.last)"),
    show_default=True,
    help="What they are alike in: a measure or a trait; may be given several times.",
)
@click.option("--into", type=click.IntRange(2, 20), help="How many; without it, what fits best.")
@click.option("--among", metavar="SEGMENT", default="everyone", help="Of whom: a name or a text.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DAY",
    help="As of the start of another day than now, in UTC.",
)
@click.option("--prefix", default="cluster", show_default=True, help="What names begin with.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Of chance.")
@config_option
@json_option
@pass_shell
def clusters(
    shell: Shell,
    by: tuple[str, ...],
    into: int | None,
    among: str,
    at: datetime | None,
    prefix: str,
    seed: int,
    as_json: bool,
) -> None:
    """
    Find customers who are alike, as segments.

    Nothing is written: what is printed can be put into crm.toml, and is a group from then on.
    """
    from crmcore_grouping.clusters import find_clusters

    with shell.open() as crm:
        moment = None if at is None else at.replace(tzinfo=UTC)
        found = find_clusters(crm, by, into=into, among=among, at=moment, prefix=prefix, seed=seed)
    if as_json:
        echo_json(asdict(found))
    else:
        _tell(found)


def _tell(found: Clustering) -> None:
    click.echo(f"# {found.customers:,} customers in {len(found.clusters)} clusters.")
    if found.left_out:
        click.echo(f"# {found.left_out:,} are left out, as a measure has no value for them.")
    for each in found.clusters:
        click.echo(f"# {each.name}: {each.size:,} ({each.share:.0%})")
    click.echo(
        f"# The rules put {found.agreement:.1%} of them where k-means does, "
        f"at {found.price:.2f} times its distance."
    )
    click.echo()
    click.echo(found.toml(), nl=False)
