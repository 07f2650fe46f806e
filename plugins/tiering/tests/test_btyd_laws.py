"""Laws of the predictive models: what holds for any parameters and any customer."""

import numpy as np
import pytest
from attrs import asdict
from crmcore_tiering.btyd import (
    BgNbd,
    BgNbdParams,
    GammaGamma,
    GammaGammaParams,
    ParetoNbd,
    ParetoNbdParams,
    bg_nbd,
    gamma_gamma,
    pareto_nbd,
)
from hypothesis import given
from hypothesis import strategies as st

MOST = 10_000
ROUNDING = 1 + 1e-9

sizes = st.floats(-4, 4).map(lambda power: 10.0**power)
models = st.one_of(
    st.builds(BgNbd, params=st.builds(BgNbdParams, r=sizes, alpha=sizes, a=sizes, b=sizes)),
    st.builds(
        ParetoNbd, params=st.builds(ParetoNbdParams, r=sizes, alpha=sizes, s=sizes, beta=sizes)
    ),
)
ages = st.floats(1e-6, MOST)
shares = st.just(0.0) | st.just(1.0) | st.floats(0, 1)
counts = st.integers(0, 3) | st.integers(0, MOST)


def customer(x, share, age):
    return {"frequency": x, "recency": share * age if x else 0.0, "age": age}


@given(models, counts, shares, ages, sizes)
def test_finite(model, x, share, age, horizon):
    """Every answer is a number, and no more is expected than of who can never leave."""
    asked = customer(x, share, age)
    alive = float(model.probability_alive(**asked))
    expected = float(model.expected_purchases(horizon, **asked))

    assert 0 <= alive <= 1
    assert np.isfinite(model.log_likelihoods(**asked))
    most = (model.params.r + x) / (model.params.alpha + age) * horizon
    assert 0 <= expected <= most * ROUNDING


@given(models, st.integers(1, MOST), shares, shares, ages, sizes)
def test_recency(model, x, one, other, age, horizon):
    """Who bought later is not less likely alive, and not expected to buy less."""
    shares = np.sort([one, other])
    asked = {"frequency": [x, x], "recency": shares * age, "age": [age, age]}

    for earlier, later in (
        model.probability_alive(**asked),
        model.expected_purchases(horizon, **asked),
    ):
        assert earlier <= later * ROUNDING


@given(models, counts, shares, ages, sizes, sizes)
def test_horizon(model, x, share, age, one, other):
    """A longer horizon holds no fewer purchases, and one of nothing holds none."""
    horizons = np.sort([0, one, other])

    nothing, shorter, longer = model.expected_purchases(horizons, **customer(x, share, age))

    assert 0 == nothing <= shorter <= longer * ROUNDING


@given(models, counts, shares, ages, sizes, st.integers(-6, 6))
def test_units(model, x, share, age, horizon, power):
    """No answer depends on the unit of time, so long as everything is told in it."""
    unit = 2.0**power
    times = {"alpha": unit, "beta": unit}
    scaled = {name: value * times.get(name, 1) for name, value in asdict(model.params).items()}
    other = type(model)(params=type(model.params)(**scaled))
    here, there = customer(x, share, age), customer(x, share, age * unit)

    alive, expected = model.probability_alive, model.expected_purchases
    assert alive(**here) == pytest.approx(other.probability_alive(**there), rel=1e-8, abs=1e-300)
    assert expected(horizon, **here) == pytest.approx(
        other.expected_purchases(horizon * unit, **there), rel=1e-8, abs=1e-300
    )


@given(
    st.builds(GammaGamma, params=st.builds(GammaGammaParams, p=sizes, q=sizes, gamma=sizes)),
    st.integers(1, MOST),
    st.just(0.0) | st.floats(1e-6, 1e9),
)
def test_value(model, x, mean):
    """The value expected lies between the customer's own mean and that of all customers."""
    p, q, gamma = asdict(model.params).values()
    found = float(model.expected_value(frequency=x, monetary_value=mean))

    if p * x + q > 1 + 1e-9:
        assert np.isfinite(found)
    if q > 1 + 1e-9:
        low, high = sorted([mean, p * gamma / (q - 1)])
        assert low / ROUNDING <= found <= high * ROUNDING


# ------------------------------------------------------------------ gradients

TIMES = np.array([[0, 0, 39], [0, 0, 1], [1, 0, 12], [1, 12, 12], [3, 8, 20], [900, 30, 39]]).T
SPENT = np.array([[1, 12.5], [7, 0.1], [900, 40]]).T
CASES = [
    (bg_nbd.likelihoods, (0.243, 4.414, 0.793, 2.426), TIMES),
    (bg_nbd.likelihoods, (3, 0.2, 40, 0.1), TIMES),
    (pareto_nbd.likelihoods, (0.553, 10.578, 0.606, 11.669), TIMES),
    (pareto_nbd.likelihoods, (3, 20, 1.4, 0.3), TIMES),
    (gamma_gamma.likelihoods, (6.25, 3.74, 15.44), SPENT),
]


@pytest.mark.parametrize(("likelihoods", "params", "rows"), CASES)
def test_gradient(likelihoods, params, rows):
    """The gradient that a fit follows is that of the likelihood, as differences show it."""
    params, rows = np.array(params, dtype=float), rows.astype(float)
    _, gradient = likelihoods(params, *rows)

    for place, value in enumerate(params):
        step = np.zeros(len(params))
        step[place] = value * 1e-5
        above, below = likelihoods(params + step, *rows)[0], likelihoods(params - step, *rows)[0]
        differences = (above - below) / (2 * step[place])
        assert differences == pytest.approx(gradient[place], rel=1e-5, abs=1e-6 / value)
