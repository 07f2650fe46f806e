"""Gamma-Gamma: what a customer spends on a purchase."""

from __future__ import annotations

from typing import Self

import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike
from scipy.special import digamma, gammaln

from crmcore.errors import InputError
from crmcore_tiering.btyd.numeric import (
    Array,
    frequencies,
    maximise,
    numbers,
    of_one_shape,
    positive,
)


@frozen(kw_only=True)
class GammaGammaParams:
    """
    The parameters of `GammaGamma`, all positive.

    Attributes:
        p: Shape of the gamma distribution of the values of one customer's purchases.
        q: Shape of the gamma distribution of its rate among customers.
        gamma: The rate of that distribution, in the unit of money of the fit; where q is above 1,
            p * gamma / (q - 1) is the mean value over customers.
    """

    p: float = field(converter=float, validator=positive)
    q: float = field(converter=float, validator=positive)
    gamma: float = field(converter=float, validator=positive)


@frozen(kw_only=True)
class GammaGamma:
    """
    The gamma-gamma model of monetary value.

    The values of a customer's purchases vary around a mean of their own, which does not depend on
    how often they buy. Frequency is the number of purchases that the mean was taken over: repeat
    purchases, where this goes with `BgNbd` or `ParetoNbd`. Monetary value is that mean, in any unit
    of money; both of one shape. Results are float64 of that shape.

    Attributes:
        log_likelihood: Of the customers of the fit, natural logarithm, with the unit of money that
            they were given in; not a number for a model that was not fitted.
        customers: How many it was fitted to: those with repeats who spent anything on them.

    Source:
        P. S. Fader and B. G. S. Hardie (2013), "The Gamma-Gamma Model of Monetary Value",
        http://brucehardie.com/notes/025/; P. S. Fader, B. G. S. Hardie and K. L. Lee (2005), "RFM
        and CLV: Using Iso-Value Curves for Customer Base Analysis", Journal of Marketing Research
        42(4), 415-430.

    >>> known = GammaGamma(params=GammaGammaParams(p=6.25, q=3.74, gamma=15.44))
    >>> f"{known.expected_value(frequency=2, monetary_value=22.35):.2f}"
    '24.65'
    """

    params: GammaGammaParams
    log_likelihood: float = float("nan")
    customers: int = 0

    @classmethod
    def fit(cls, *, frequency: ArrayLike, monetary_value: ArrayLike) -> Self:
        """
        Return the model under which these mean values are likeliest; one value for each customer.

        Customers without repeats say nothing here, and the model gives no density to a mean of
        exactly 0, so who spent nothing on their repeats is left out too.

        Raises:
            InputError: If a value is not right, or nobody is left.
            FitError: If the customers do not settle the parameters.
        """
        x, mean = _spendings(frequency, monetary_value)
        spent = (x > 0) & (mean > 0)
        if not spent.any():
            raise InputError(
                f"none of the {x.size} customers has spent anything on a repeat purchase, so "
                "nothing is known of its value"
            )
        x, mean = x[spent], mean[spent]
        unit = float(mean.mean())  # so that no currency fits better than another

        def objective(logs: Array) -> tuple[float, Array]:
            values, gradient = likelihoods(np.exp(logs), x, mean / unit)
            return float(values.mean()), gradient.mean(axis=1) * np.exp(logs)

        p, q, gamma = maximise(objective, (2, 2, 1), ("p", "q", "gamma"))
        values = likelihoods(np.array([p, q, gamma * unit]), x, mean)[0]
        return cls(
            params=GammaGammaParams(p=p, q=q, gamma=gamma * unit),
            log_likelihood=float(values.sum()),
            customers=values.size,
        )

    def log_likelihoods(self, *, frequency: ArrayLike, monetary_value: ArrayLike) -> Array:
        """
        Return the log-likelihood of each customer, such as of those not fitted to.

        It is 0 without repeats, which say nothing, and minus infinity for a mean of exactly 0.
        """
        x, mean = _spendings(frequency, monetary_value)
        found = np.where(x > 0, -np.inf, 0.0)
        spent = (x > 0) & (mean > 0)
        found[spent] = likelihoods(self._vector(), x[spent], mean[spent])[0]
        return found

    def expected_value(self, *, frequency: ArrayLike, monetary_value: ArrayLike) -> Array:
        """
        Return the value expected of a customer's next purchases, in the unit of the fit.

        It lies between the customer's own mean and that of all, nearer to their own the more they
        bought; without repeats it is that of all. Where the model has no mean, which takes a q of
        1 or less and nobody's purchases, it is infinite.
        """
        x, mean = _spendings(frequency, monetary_value)
        p, q, gamma = self._vector()
        below = p * x + q - 1
        known = below > 0
        found = p * (gamma + x * mean) / np.where(known, below, 1)
        return np.where(known, found, np.inf)

    def _vector(self) -> Array:
        return np.array([self.params.p, self.params.q, self.params.gamma])


def _spendings(frequency: ArrayLike, monetary_value: ArrayLike) -> tuple[Array, Array]:
    x, mean = frequencies(frequency), numbers("monetary_value", monetary_value)
    of_one_shape(frequency=x, monetary_value=mean)
    return x, mean


def likelihoods(params: Array, x: Array, mean: Array) -> tuple[Array, Array]:
    """
    Return the log-likelihood of each row, and its gradient: three rows, for p, q, gamma.

    Source:
        The note's equation (1a), with x and mean above 0.
    """
    p, q, gamma = params
    total = x * mean
    everything = np.log(gamma + total)
    log_share, log_rest = np.log(total) - everything, np.log(gamma) - everything
    values = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) - np.log(mean)
    values += p * x * log_share + q * log_rest
    shape = digamma(p * x + q)
    gradient = np.empty((3, len(x)))
    gradient[0] = x * (shape - digamma(p * x) + log_share)
    gradient[1] = shape - digamma(q) + log_rest
    gradient[2] = q / gamma - (p * x + q) / (gamma + total)
    return values, gradient
