"""Pareto/NBD: customers who may leave for good at any moment."""

from __future__ import annotations

from typing import Self

import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike
from scipy.special import digamma, expit, exprel, gammaln

from crmcore_tiering.btyd.numeric import Array, Grouped, Summaries, maximise, positive

# Nodes and weights of Gauss and Legendre, for the interval from 0 to 1.
_NODES, _WEIGHTS = (each / 2 for each in np.polynomial.legendre.leggauss(32))
_NODES = _NODES + 0.5
_NEGLIGIBLE = 40.0  # e ** -40 of the whole is below the rounding of a float
_ROWS = 1_024  # worked out at a time, so that what is worked on stays near the processor


@frozen(kw_only=True)
class ParetoNbdParams:
    """
    The parameters of `ParetoNbd`, all positive.

    Attributes:
        r: Shape of the gamma distribution of customers' purchase rates.
        alpha: Its rate, in the unit of time of the fit; r / alpha is the mean purchase rate.
        s: Shape of the gamma distribution of customers' rates of leaving.
        beta: Its rate, in the unit of time of the fit; s / beta is the mean rate of leaving.
    """

    r: float = field(converter=float, validator=positive)
    alpha: float = field(converter=float, validator=positive)
    s: float = field(converter=float, validator=positive)
    beta: float = field(converter=float, validator=positive)


@frozen(kw_only=True)
class ParetoNbd:
    """
    The Pareto / negative binomial model of repeat buying.

    While a customer is alive, they buy at random with a rate of their own; they leave for good
    after a lifetime that is exponential with a rate of their own, so those who bought once may have
    left too. Frequency is the number of repeat purchases, recency the time of the last one and age
    the time observed, both since the first purchase and in any one unit; all of one shape. Results
    are float64 of that shape.

    Attributes:
        log_likelihood: Of all customers of the fit, natural logarithm, with the unit of time that
            they were given in; not a number for a model that was not fitted.
        customers: How many it was fitted to.

    Source:
        D. C. Schmittlein, D. G. Morrison and R. Colombo (1987), "Counting Your Customers: Who Are
        They and What Will They Do Next?", Management Science 33(1), 1-24; P. S. Fader, B. G. S.
        Hardie and K. L. Lee (2005), "A Note on Implementing the Pareto/NBD Model in MATLAB",
        http://brucehardie.com/notes/008/; P. S. Fader and B. G. S. Hardie (2005), "A Note on
        Deriving the Pareto/NBD Model and Related Expressions", http://brucehardie.com/notes/009/.

    >>> known = ParetoNbd(params=ParetoNbdParams(r=0.553, alpha=10.578, s=0.606, beta=11.669))
    >>> f"{known.probability_alive(frequency=2, recency=30.43, age=38.86):.3f}"
    '0.871'
    """

    params: ParetoNbdParams
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

        names = ("r", "alpha", "s", "beta")
        r, alpha, s, beta = maximise(objective, (0.5, 0.5 / rows.pace, 0.5, 0.5), names)
        params = ParetoNbdParams(r=r, alpha=alpha * rows.unit, s=s, beta=beta * rows.unit)
        values = likelihoods(np.array([r, alpha, s, beta]), rows.frequency, rows.recency, rows.age)
        return cls(
            params=params,
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
        """Return the probability, 0 to 1, that a customer has not left by the end of their age."""
        summaries = Summaries.of(frequency, recency, age)
        return self._alive(*summaries.flat()).reshape(summaries.shape)

    def expected_purchases(
        self, horizon: ArrayLike, *, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike
    ) -> Array:
        """
        Return how many purchases a customer is expected to make within *horizon* after their age.

        Args:
            horizon: One for all, or one for each customer, in the unit of recency and age.

        Source:
            Equation (41) of the note on deriving the model, in a form that holds for s = 1 too.
        """
        shape, times, x, t, end = Summaries.of(frequency, recency, age).ahead(horizon)
        r, alpha, s, beta = self._vector()
        later = np.log1p(times / (beta + end))
        lifetime = (beta + end) * later * exprel((1 - s) * later)
        found: Array = (r + x) / (alpha + end) * lifetime * self._alive(x, t, end)
        return found.reshape(shape)

    def _vector(self) -> Array:
        return np.array([self.params.r, self.params.alpha, self.params.s, self.params.beta])

    def _alive(self, x: Array, t: Array, end: Array) -> Array:
        alive, left, _ = _terms(self._vector(), x, t, end)
        result: Array = expit(alive - left)
        return result


def _terms(params: Array, x: Array, t: Array, end: Array) -> tuple[Array, Array, Array]:
    """
    Return the logarithms of the terms for who is alive and for who left since their last purchase.

    The third is of four rows: the means, over the times at which they may have left, of what the
    gradient needs; see `_left`.
    """
    r, alpha, s, beta = params
    alive = -(r + x) * np.log(alpha + end) - s * np.log(beta + end)
    left = np.empty_like(x)
    means = np.empty((4, len(x)))
    for low in range(0, len(x), _ROWS):
        some = slice(low, low + _ROWS)
        left[some], means[:, some] = _left(params, x[some, None], t[some, None], end[some, None])
    return alive, left, means


def _left(params: Array, x: Array, t: Array, end: Array) -> tuple[Array, Array]:
    """
    Integrate s * (alpha + u) ** -(r + x) * (beta + u) ** -(s + 1) over u from *t* to *end*.

    The papers write the integral as a difference of two hypergeometric functions, in one form for
    alpha above beta and one for below, which overflow for heavy buyers and have no derivative that
    could be written down. Here it is summed, so the gradient is a sum too. By v, the logarithm of u
    plus the smaller of alpha and beta, the logarithm of what is integrated is concave, so that
    what lies behind the point where it has become negligible can be left out safely.

    Returns:
        Its logarithm, and the means of log(alpha + u), 1 / (alpha + u), log(beta + u) and
        1 / (beta + u), weighted by what is integrated; columns in, rows out.
    """
    r, alpha, s, beta = params
    near, far = min(alpha, beta), max(alpha, beta)
    by_near, by_far = (r + x, s + 1) if alpha <= beta else (s + 1, r + x)

    start = np.log(near + t)
    width = np.log1p((end - t) / (near + t))
    width = _that_matters(start, width, by_near, by_far, far - near)
    v = start + width * _NODES
    to_near = np.exp(v)
    to_far = to_near + (far - near)
    log_far = np.log(to_far)
    heights = (1 - by_near) * v - by_far * log_far
    top = heights.max(axis=1, keepdims=True)
    weights = np.exp(heights - top) * _WEIGHTS
    total = weights.sum(axis=1)
    with np.errstate(divide="ignore"):  # no time has passed since, so nobody has left
        value = np.log(s * width[:, 0]) + top[:, 0] + np.log(total)
    weights /= total[:, None]
    of_near = (weights * v).sum(axis=1), (weights / to_near).sum(axis=1)
    of_far = (weights * log_far).sum(axis=1), (weights / to_far).sum(axis=1)
    ordered = (*of_near, *of_far) if alpha <= beta else (*of_far, *of_near)
    return value, np.array(ordered)


def _that_matters(
    start: Array, width: Array, by_near: Array, by_far: Array, between: float
) -> Array:
    """Return the part of *width* behind which what `_left` integrates has become negligible."""

    def height(v: Array) -> Array:
        found: Array = (1 - by_near) * v - by_far * np.log(np.exp(v) + between)
        return found

    last = height(start + width)
    target = np.maximum(height(start), last) - _NEGLIGIBLE
    for _ in range(8):
        beyond = last < target - 1
        if not beyond.any():
            break
        # A step of Newton's from beyond, on a concave curve, never comes too near.
        at = np.exp(start + width)
        slope = np.where(beyond, (1 - by_near) - by_far * at / (at + between), 1)
        width = np.where(beyond, width + (target - last) / slope, width)
        last = height(start + width)
    return width


def likelihoods(params: Array, x: Array, t: Array, end: Array) -> tuple[Array, Array]:
    """
    Return the log-likelihood of each row, and its gradient: four rows, for r, alpha, s, beta.

    Source:
        The note on deriving the model, its two terms added as logarithms.
    """
    r, alpha, s, beta = params
    alive, left, (log_a, by_a, log_b, by_b) = _terms(params, x, t, end)
    both = np.logaddexp(alive, left)
    values = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta) + both
    is_alive, is_left = np.exp(alive - both), np.exp(left - both)
    gradient = np.empty((4, len(x)))
    gradient[0] = digamma(r + x) - digamma(r) + np.log(alpha)
    gradient[0] -= is_alive * np.log(alpha + end) + is_left * log_a
    gradient[1] = r / alpha - (r + x) * (is_alive / (alpha + end) + is_left * by_a)
    gradient[2] = np.log(beta) - is_alive * np.log(beta + end) + is_left * (1 / s - log_b)
    gradient[3] = s / beta - is_alive * s / (beta + end) - is_left * (s + 1) * by_b
    return values, gradient
