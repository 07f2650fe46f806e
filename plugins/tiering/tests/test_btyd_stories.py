"""
The predictive models against their stories.

Each model is told as a story about one customer and as a way in which customers differ. Here the
formulas for one customer, which are short, are averaged over customers by numeric integration, and
a crowd of customers lives through the story by lot.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest
from attrs import frozen
from crmcore_tiering.btyd import (
    BgNbd,
    BgNbdParams,
    GammaGamma,
    GammaGammaParams,
    ParetoNbd,
    ParetoNbdParams,
)
from scipy.integrate import quad, trapezoid
from scipy.special import betaln, gammaln
from scipy.stats import gamma as gamma_distribution

HORIZON = 26.0
CUSTOMERS = [
    (0, 0, 38.86),
    (0, 0, 2),
    (1, 1.71, 38.86),
    (2, 30.43, 38.86),
    (7, 38, 38),
    (29, 3, 39),
]
ROWS = dict(zip(("frequency", "recency", "age"), np.array(CUSTOMERS, dtype=float).T, strict=True))

MODELS: list[Any] = [
    BgNbd(params=BgNbdParams(r=0.243, alpha=4.414, a=0.793, b=2.426)),
    BgNbd(params=BgNbdParams(r=2.5, alpha=20, a=1, b=0.4)),
    ParetoNbd(params=ParetoNbdParams(r=0.553, alpha=10.578, s=0.606, beta=11.669)),
    ParetoNbd(params=ParetoNbdParams(r=0.4, alpha=15, s=1, beta=2)),
]
SPENDING = GammaGamma(params=GammaGammaParams(p=6.25, q=3.74, gamma=15.44))


# ------------------------------------------------------------------ by integration


def by_gamma(shape, rate):
    """Return a grid by the logarithm of a rate, the rates there, and their density on it."""
    grid = np.linspace(-150, 8, 1_000)
    density = np.exp(shape * (grid + np.log(rate)) - rate * np.exp(grid) - gammaln(shape))
    return grid, np.exp(grid), density


def by_beta(a, b):
    """Return a grid by the log-odds of a probability, the probabilities there, their density."""
    grid = np.linspace(-60, 80, 800)
    log_p, log_q = -np.logaddexp(0, -grid), -np.logaddexp(0, grid)
    return grid, np.exp(log_p), np.exp(a * log_p + b * log_q - betaln(a, b))


def integrated(model, x, t, end):
    """Return likelihood, probability alive and expected purchases, by the story of the model."""
    params = model.params
    grid, rate, density = by_gamma(params.r, params.alpha)
    rate = rate[:, None]
    if isinstance(model, BgNbd):
        across, p, weight = by_beta(params.a, params.b)
        stays = (1 - p) ** x * rate**x * np.exp(-rate * end)
        left = p * (1 - p) ** (x - 1) * rate**x * np.exp(-rate * t) if x else 0 * stays
        ahead = -np.expm1(-rate * p * HORIZON) / p
    else:
        across, mu, weight = by_gamma(params.s, params.beta)
        both = rate + mu
        stays = rate**x * np.exp(-both * end)
        left = rate**x * mu / both * (np.exp(-both * t) - np.exp(-both * end))
        ahead = -rate * np.expm1(-mu * HORIZON) / mu

    def mixed(values):
        return trapezoid(density * trapezoid(values * weight, across, axis=1), grid)

    likelihood = mixed(stays + left)
    return likelihood, mixed(stays) / likelihood, mixed(stays * ahead) / likelihood


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_integrated(model):
    """Likelihood, probability alive and expected purchases are the averages over the story."""
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.array([integrated(model, *customer) for customer in CUSTOMERS]).T

    assert expected[0] == pytest.approx(np.exp(model.log_likelihoods(**ROWS)), rel=1e-6)
    assert expected[1] == pytest.approx(model.probability_alive(**ROWS), rel=1e-6)
    assert expected[2] == pytest.approx(model.expected_purchases(HORIZON, **ROWS), rel=1e-6)


@pytest.mark.parametrize("x", [0, 1, 30, 1_000, 10_000])
@pytest.mark.parametrize("share", [0, 0.3, 0.999])
@pytest.mark.parametrize("end", [0.5, 39, 10_000])
def test_equal_rates(x, share, end):
    """With alpha and beta equal the integral is a power, and agrees for the heaviest buyers too."""
    r, s, rate, t = 0.6, 0.7, 5.0, share * end if x else 0.0
    model = ParetoNbd(params=ParetoNbdParams(r=r, alpha=rate, s=s, beta=rate))
    k = r + x + s
    # In units of the term for who is alive: s / k * (((rate + end) / (rate + t)) ** k - 1).
    power = k * np.log((rate + end) / (rate + t))
    left = np.log(s / k) + (power + np.log(-np.expm1(-power)))
    likelihood = gammaln(r + x) - gammaln(r) + (r + s) * np.log(rate) - k * np.log(rate + end)
    customer = {"frequency": x, "recency": t, "age": end}

    assert likelihood + np.logaddexp(0, left) == pytest.approx(
        float(model.log_likelihoods(**customer)), rel=1e-10
    )
    assert np.exp(-np.logaddexp(0, left)) == pytest.approx(
        float(model.probability_alive(**customer)), rel=1e-7, abs=1e-300
    )


@pytest.mark.parametrize(("x", "mean"), [(1, 12.5), (2, 22.35), (29, 300.0), (4, 0.25)])
def test_integrated_spending(x, mean):
    """Likelihood and expected value are the averages over customers' own means."""
    p, q, rate = SPENDING.params.p, SPENDING.params.q, SPENDING.params.gamma

    def posterior(nu):
        # The mean of x purchases of shape p and rate nu is of shape p * x and rate nu * x.
        of_mean = gamma_distribution.pdf(mean, p * x, scale=1 / (nu * x))
        return of_mean * gamma_distribution.pdf(nu, q, scale=1 / rate)

    middle = (p * x + q) / (rate + mean * x)
    parts = {"epsabs": 0, "epsrel": 1e-10, "limit": 200, "points": [middle]}
    likelihood = quad(posterior, 0, 20 * middle, **parts)[0]
    value = quad(lambda nu: posterior(nu) * p / nu, 0, 20 * middle, **parts)[0] / likelihood
    customer = {"frequency": x, "monetary_value": mean}

    assert likelihood == pytest.approx(np.exp(SPENDING.log_likelihoods(**customer)), rel=1e-8)
    assert value == pytest.approx(float(SPENDING.expected_value(**customer)), rel=1e-8)


# ------------------------------------------------------------------ by lot

CROWD = 100_000
AGE = 39.0


@frozen
class Crowd:
    """What became of a crowd: their summaries, who was alive at the end, who bought how often."""

    summaries: dict[str, np.ndarray]
    alive: np.ndarray
    later: np.ndarray


def lived_through(model, seed):
    """Let a crowd live through the story, purchase by purchase, to the horizon after their age."""
    dice, params = np.random.default_rng(seed), model.params
    rate = dice.gamma(params.r, 1 / params.alpha, CROWD)
    left_at = np.full(CROWD, np.inf)
    if isinstance(model, BgNbd):
        leaves = dice.beta(params.a, params.b, CROWD)
    else:
        left_at = dice.exponential(1 / dice.gamma(params.s, 1 / params.beta, CROWD))
    x, later, last, now = np.zeros((4, CROWD))
    going = np.arange(CROWD)
    while going.size:
        now[going] += dice.exponential(1 / rate[going])
        going = going[now[going] <= np.minimum(left_at[going], AGE + HORIZON)]
        early = now[going] <= AGE
        x[going] += early
        later[going] += ~early
        last[going[early]] = now[going[early]]
        if isinstance(model, BgNbd):
            gone = dice.random(going.size) < leaves[going]
            left_at[going[gone]] = now[going[gone]]
            going = going[~gone]
    summaries = {"frequency": x, "recency": last, "age": np.full(CROWD, AGE)}
    return Crowd(summaries, left_at > AGE, later)


@cache
def crowd_of(number):
    return lived_through(MODELS[number], seed=20 + number)


@pytest.mark.parametrize("number", range(4))
def test_crowd(number):
    """
    In a crowd of 100,000, as many buy and are alive as expected, within four standard errors.

    Counted among those with few and with many repeats, and of recent and of old ones.
    """
    model, crowd = MODELS[number], crowd_of(number)
    x, last = crowd.summaries["frequency"], crowd.summaries["recency"]
    groups = [x == 0, x == 1, x == 2, x > 2, (x > 0) & (last < 10), (x > 0) & (last > 30)]
    found = {
        "alive": (crowd.alive, model.probability_alive(**crowd.summaries)),
        "later": (crowd.later, model.expected_purchases(HORIZON, **crowd.summaries)),
    }

    for name, (happened, expected) in found.items():
        for chosen in groups:
            misses = (happened - expected)[chosen]
            error = misses.std() / np.sqrt(chosen.sum())
            assert chosen.sum() > 500
            assert abs(misses.mean()) <= 4 * error + 1e-12, name


@pytest.mark.parametrize("number", [0, 2])
def test_recovered(number):
    """
    A fit to 20,000 of the crowd finds what they were made with, as near as chance allows.

    Twice the difference of the log-likelihoods follows the chi-squared distribution of four
    degrees of freedom (Wilks 1938), which is above 23.5 once in ten thousand.
    """
    model, crowd = MODELS[number], crowd_of(number)
    some = {name: column[:20_000] for name, column in crowd.summaries.items()}

    found = type(model).fit(**some)

    assert 0 < 2 * (found.log_likelihood - model.log_likelihoods(**some).sum()) < 23.5


def test_crowd_spending():
    """Customers spend later what is expected of them, and a fit finds what they were made with."""
    dice, params = np.random.default_rng(9), SPENDING.params
    x = dice.integers(1, 9, CROWD)
    rate = dice.gamma(params.q, 1 / params.gamma, CROWD)
    mean, later = dice.gamma(params.p * x, 1 / rate) / x, dice.gamma(params.p, 1 / rate)
    expected = SPENDING.expected_value(frequency=x, monetary_value=mean)

    for chosen in (x == 1, x == 8, mean < 20, mean > 60):
        misses = (later - expected)[chosen]
        assert abs(misses.mean()) <= 4 * misses.std() / np.sqrt(chosen.sum())
    found = GammaGamma.fit(frequency=x, monetary_value=mean).params
    for name in ("p", "q", "gamma"):
        assert getattr(params, name) == pytest.approx(getattr(found, name), rel=0.05)
