"""
Predictive models: who will buy again, how often, and for how much, from three numbers a customer.

`BgNbd` and `ParetoNbd` are told of each customer's repeat purchases, of the time of the last one
and of the time observed; `GammaGamma` of the mean value of the repeats. They need numpy and scipy,
which the rest of the plugin does without: install `crmcore-tiering[predict]`.
"""

try:
    import numpy as _numpy  # noqa: F401
    import scipy as _scipy  # noqa: F401
except ImportError as error:
    raise ImportError(
        "crmcore_tiering.btyd needs numpy and scipy; install crmcore-tiering[predict]"
    ) from error

from crmcore_tiering.btyd.bg_nbd import BgNbd, BgNbdParams
from crmcore_tiering.btyd.gamma_gamma import GammaGamma, GammaGammaParams
from crmcore_tiering.btyd.numeric import FitError
from crmcore_tiering.btyd.pareto_nbd import ParetoNbd, ParetoNbdParams

__all__ = [
    "BgNbd",
    "BgNbdParams",
    "FitError",
    "GammaGamma",
    "GammaGammaParams",
    "ParetoNbd",
    "ParetoNbdParams",
]
