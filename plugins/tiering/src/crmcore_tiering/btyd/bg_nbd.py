"""BG/NBD: customers who may leave for good after any purchase."""

from __future__ import annotations

from typing import Self

import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike
from scipy.special import betaln, digamma, expit, gammaln

from crmcore_tiering.btyd.numeric import Array, Grouped, Summaries, distinct, maximise, positive

_ROWS = 4_096  # worked out at a time, so that the memory needed does not grow with the customers


@frozen(kw_only=True)
class BgNbdParams:
    """
    The parameters of `BgNbd`, all positive.

    Attributes:
        r: Shape of the gamma distribution of customers' purchase rates.
        alpha: Its rate, in the unit of time of the fit; r / alpha is the mean purchase rate.
        a: With b, the beta distribution of the probability to leave after a purchase, whose mean
            is a / (a + b).
        b: See a.
    """

    r: float = field(converter=float, validator=positive)
    alpha: float = field(converter=float, validator=positive)
    a: float = field(converter=float, validator=positive)
    b: float = field(converter=float, validator=positive)


@frozen(kw_only=True)
class BgNbd:
    """
    The beta-geometric / negative binomial model of repeat buying.

    While a customer is alive, they buy at random with a rate of their own; after each purchase but
    the first they leave for good with a probability of their own. Frequency is the number of
    repeat purchases, recency the time of the last one and age the time observed, both since the
    first purchase and in any one unit; all of one shape. Results are float64 of that shape.

    Nobody leaves without a repeat purchase in this story, so `probability_alive` is 1 for everyone
    who bought once, however long ago: a ranking by it puts them before the best customers. To
    tell who is lost or at risk use `expected_purchases`.

    Attributes:
        log_likelihood: Of all customers of the fit, natural logarithm, with the unit of time that
            they were given in; not a number for a model that was not fitted.
        customers: How many it was fitted to.

    Source:
        P. S. Fader, B. G. S. Hardie and K. L. Lee (2005), "'Counting Your Customers' the Easy Way:
        An Alternative to the Pareto/NBD Model", Marketing Science 24(2), 275-284.

    >>> known = BgNbd(params=BgNbdParams(r=0.243, alpha=4.414, a=0.793, b=2.426))
    >>> f"{known.expected_purchases(39, frequency=2, recency=30.43, age=38.86):.3f}"
    '1.226'
    """

    params: BgNbdParams
    log_likelihood: float = float("nan")
    customers: int = 0

    @classmethod
    def fit(cls, *, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Self:
        """
        Return the model under which these customers are likeliest; one value for each customer.

        Raises:
            InputError: If a value is not right, or nobody has bought again.
            FitError: If the customers do not settle the parameters.
        """
        summaries = Summaries.of(frequency, recency, age)
        rows = Grouped.of(summaries)

        def objective(logs: Array) -> tuple[float, Array]:
            values, gradient = likelihoods(np.exp(logs), rows.frequency, rows.recency, rows.age)
            return float(rows.mean(values)), rows.mean(gradient) * np.exp(logs)

        r, alpha, a, b = maximise(objective, (0.5, 0.5 / rows.pace, 1, 2), ("r", "alpha", "a", "b"))
        values = likelihoods(np.array([r, alpha, a, b]), rows.frequency, rows.recency, rows.age)
        return cls(
            params=BgNbdParams(r=r, alpha=alpha * rows.unit, a=a, b=b),
            log_likelihood=rows.total(values[0]),
            customers=int(rows.count.sum()),
        )

    def log_likelihoods(self, *, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Array:
        """Return the log-likelihood of each customer, such as of those not fitted to."""
        summaries = Summaries.of(frequency, recency, age)
        return likelihoods(self._vector(), *summaries.flat())[0].reshape(summaries.shape)

    def probability_alive(
        self, *, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike
    ) -> Array:
        """
        Return the probability, 0 to 1, that a customer has not left by the end of their age.

        It is 1 for everyone who bought once; see the class.
        """
        summaries = Summaries.of(frequency, recency, age)
        return self._alive(*summaries.flat()).reshape(summaries.shape)

    def expected_purchases(
        self, horizon: ArrayLike, *, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike
    ) -> Array:
        """
        Return how many purchases a customer is expected to make within *horizon* after their age.

        Args:
            horizon: One for all, or one for each customer, in the unit of recency and age.
        """
        summaries = Summaries.of(frequency, recency, age)
        shape, times, x, t, end = summaries.ahead(horizon)
        (x_once, ahead), _, which = distinct(x, times / (self.params.alpha + end))
        found = self._if_alive(x_once, ahead)[which] * self._alive(x, t, end)
        return found.reshape(shape)

    def _vector(self) -> Array:
        return np.array([self.params.r, self.params.alpha, self.params.a, self.params.b])

    def _alive(self, x: Array, t: Array, end: Array) -> Array:
        alive, left = _terms(self._vector(), x, t, end)
        result: Array = expit(alive - left)
        return result

    def _if_alive(self, x: Array, ahead: Array) -> Array:
        """
        Return the purchases within *ahead* * (alpha + age), were the customer alive.

        The paper's form (10) subtracts two large numbers, divides by a - 1 and overflows for heavy
        buyers. This is the same expectation before it was integrated: with the probability to
        leave p, which is Beta(a, b + x) for who is alive, they number
        (1 - (1 + p * ahead) ** -(r + x)) / p. All terms are positive.
        """
        r, _, a, b = self._vector()
        # By the log-odds of p, stretched by a sinh, the trapezium rule is exact to rounding.
        furthest = np.arcsinh(45 / np.sqrt(min(a, b, 1.0)))
        steps = np.arange(-furthest, furthest, 0.04)
        found = np.empty_like(x)
        for low in range(0, len(x), _ROWS):
            some = slice(low, low + _ROWS)
            m, stay, u = r + x[some, None], b + x[some, None], ahead[some, None]
            odds = np.log(a / stay) + np.sqrt(1 / a + 1 / stay) * np.sinh(steps)
            log_p, log_stays = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
            weights = a * log_p + stay * log_stays
            weights = np.exp(weights - weights.max(axis=1, keepdims=True)) * np.cosh(steps)
            p = np.exp(np.maximum(log_p, -650))  # below it the number no longer depends on p
            number = -np.expm1(-m * np.log1p(p * u)) / p
            found[some] = (weights * number).sum(axis=1) / weights.sum(axis=1)
        return found


def _terms(params: Array, x: Array, t: Array, end: Array) -> tuple[Array, Array]:
    """Return the logarithms of the terms for who is alive and for who left with the last one."""
    r, alpha, a, b = params
    repeats = x > 0
    safe = np.where(repeats, b + x - 1, 1)
    alive = -(r + x) * np.log(alpha + end)
    left = np.where(repeats, np.log(a / safe) - (r + x) * np.log(alpha + t), -np.inf)
    return alive, left


def likelihoods(params: Array, x: Array, t: Array, end: Array) -> tuple[Array, Array]:
    """
    Return the log-likelihood of each row, and its gradient: four rows, for r, alpha, a, b.

    Source:
        The paper's equation (6), its two terms added as logarithms.
    """
    r, alpha, a, b = params
    alive, left = _terms(params, x, t, end)
    both = np.logaddexp(alive, left)
    values = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + both
    values += betaln(a, b + x) - betaln(a, b)
    is_left = np.exp(left - both)
    is_alive = np.exp(alive - both)
    whole = digamma(a + b) - digamma(a + b + x)
    gradient = np.empty((4, len(x)))
    gradient[0] = digamma(r + x) - digamma(r) + np.log(alpha)
    gradient[0] -= is_alive * np.log(alpha + end) + is_left * np.log(alpha + t)
    gradient[1] = r / alpha - (r + x) * (is_alive / (alpha + end) + is_left / (alpha + t))
    gradient[2] = whole + is_left / a
    gradient[3] = whole + digamma(b + x) - digamma(b)
    gradient[3] -= is_left / np.where(x > 0, b + x - 1, 1)
    return values, gradient
