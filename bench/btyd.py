"""BTYD: predictive models fitted to the customers of the CDNOW purchase log."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from crmcore_tiering.btyd import BgNbd, GammaGamma, ParetoNbd

from bench.sample import compare, timed
from bench.sizes import Sizes
from bench.table import Line
from tests.support.cdnow import cdnow_customers


def measure(sizes: Sizes) -> Iterator[Line]:
    """Yield a line for each model; a ratio is the CPU seconds of a fit to all the customers."""
    known = cdnow_customers(sample=sizes.tenth)
    fits: dict[str, Callable[[], object]] = {
        "BG/NBD": lambda: BgNbd.fit(**known.summaries),
        "Pareto/NBD": lambda: ParetoNbd.fit(**known.summaries),
        "Gamma-Gamma": lambda: GammaGamma.fit(**known.spendings),
    }
    for name, fit in fits.items():
        yield Line(
            title=f"fit, {name}",
            beside="1 CPU second",
            items=known.frequency.size,
            comparison=compare(
                sizes.rounds,
                lambda number: 1.0,
                lambda number, fit=fit: timed(fit),  # type: ignore[misc]
            ),
            goal=1,
        )
