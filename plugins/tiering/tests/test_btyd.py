"""The predictive models on real customers, and what they refuse."""

import csv
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
from attrs import asdict
from crmcore_tiering.btyd import (
    BgNbd,
    BgNbdParams,
    FitError,
    GammaGamma,
    GammaGammaParams,
    ParetoNbd,
    ParetoNbdParams,
)
from scipy.stats import rankdata

from crmcore.errors import InputError
from crmcore.replay.history import cdnow_path
from tests.support.cdnow import cdnow_customers

COUNTING: list[Any] = [BgNbd, ParetoNbd]
PUBLISHED: dict[Any, Any] = {
    BgNbd: BgNbd(params=BgNbdParams(r=0.243, alpha=4.414, a=0.793, b=2.426)),
    ParetoNbd: ParetoNbd(params=ParetoNbdParams(r=0.553, alpha=10.578, s=0.606, beta=11.669)),
}

customers = cache(cdnow_customers)


@cache
def fitted(model, *, sample=True):
    """Return the model fitted to the papers' tenth of the customers, or to all of them."""
    return model.fit(**customers(sample=sample).summaries)


def written_tenth():
    """Return the tenth as the summaries that the papers' authors handed out, to two decimals."""
    path = cdnow_path().with_name("cdnow_customers_summary.csv")
    with path.open(encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {"frequency": "frequency", "recency": "recency", "age": "T"}
    return {name: np.array([float(row[column]) for row in rows]) for name, column in names.items()}


# ------------------------------------------------------------------ published values


@pytest.mark.parametrize("model", COUNTING)
def test_published(model):
    """
    The fit to the papers' 2,357 customers has their parameters and likelihood, to every digit.

    Fader, Hardie and Lee (2005), "'Counting Your Customers' the Easy Way", table 2.
    """
    likelihood = {BgNbd: -9582.4, ParetoNbd: -9595.0}[model]

    found = fitted(model)

    rounded = {name: round(value, 3) for name, value in asdict(found.params).items()}
    assert asdict(PUBLISHED[model].params) == rounded
    assert likelihood == round(found.log_likelihood, 1)
    assert 2357 == found.customers


def test_published_spending():
    """
    The fit to the 946 of them who bought again has the note's parameters.

    Fader and Hardie (2013), "The Gamma-Gamma Model of Monetary Value"; the likelihood is that
    which the package CLVTools gives for these parameters, -4055.9177.
    """
    found = GammaGamma.fit(**customers(sample=True).spendings)

    rounded = {name: round(value, 2) for name, value in asdict(found.params).items()}
    assert {"p": 6.25, "q": 3.74, "gamma": 15.44} == rounded
    assert -4055.9177 == round(found.log_likelihood, 4)
    assert 946 == found.customers


def test_summed_up():
    """The customers summed up from the log are those that the papers' authors handed out."""
    found = customers(sample=True).summaries

    for name, column in written_tenth().items():
        assert column.tolist() == found[name].round(2).tolist()


@pytest.mark.parametrize("model", COUNTING)
def test_everyone(model):
    """On all 23,570 customers a fit is a maximum: no parameter can be moved to a better place."""
    summaries = customers(sample=False).summaries
    found = fitted(model, sample=False)

    assert 23_570 == found.customers
    likelihood = found.log_likelihoods(**summaries).sum()
    assert likelihood == pytest.approx(found.log_likelihood, rel=1e-12)
    for name, value in asdict(found.params).items():
        for factor in (0.99, 1.01):
            moved = model(
                params=type(found.params)(**asdict(found.params) | {name: value * factor})
            )
            assert moved.log_likelihoods(**summaries).sum() < likelihood - 0.01


def test_trap():
    """
    Ranked by BG/NBD's probability alive, those who buy later come last: the README's figures.

    An area under the curve of 0.5 is that of drawing lots. The first is of all customers, the
    second of those with repeats.
    """
    everyone = customers(sample=False)
    buys, repeats = everyone.later > 0, everyone.frequency > 0
    found, expected_in_all = {"time since": everyone.recency - everyone.age}, {}
    for model in COUNTING:
        known = fitted(model, sample=False)
        alive = known.probability_alive(**everyone.summaries)
        expected = known.expected_purchases(39, **everyone.summaries)
        found |= {f"{model.__name__} alive": alive, f"{model.__name__} expected": expected}
        expected_in_all[model] = round(expected.sum())
        assert (alive[~repeats] == 1).all() == (model is BgNbd)

    assert {
        "BgNbd alive": (0.32, 0.70),
        "BgNbd expected": (0.76, 0.73),
        "ParetoNbd alive": (0.72, 0.70),
        "ParetoNbd expected": (0.77, 0.73),
        "time since": (0.76, 0.71),
    } == {
        name: (round(area(score, buys), 2), round(area(score[repeats], buys[repeats]), 2))
        for name, score in found.items()
    }
    assert {BgNbd: 16_874, ParetoNbd: 17_153} == expected_in_all
    assert 19_684 == everyone.later.sum()


def area(score, is_one):
    """Return how often one of those scores above one of the others; ties count half."""
    ones = is_one.sum()
    above = rankdata(score)[is_one].sum() - ones * (ones + 1) / 2
    return above / (ones * (len(score) - ones))


# ------------------------------------------------------------------ fits


@pytest.mark.parametrize("model", COUNTING)
def test_units(model):
    """Days instead of weeks change times and likelihood as they must, and nothing else."""
    weeks = customers(sample=True).summaries
    days = {name: column * (1 if name == "frequency" else 7) for name, column in weeks.items()}

    found = model.fit(**days)

    of_weeks = asdict(fitted(model).params)
    times = {name: 7 if name in ("alpha", "beta") else 1 for name in of_weeks}
    expected = {name: value * times[name] for name, value in of_weeks.items()}
    assert expected == pytest.approx(asdict(found.params), rel=1e-5)
    repeats = weeks["frequency"].sum()
    assert fitted(model).log_likelihood - repeats * np.log(7) == pytest.approx(found.log_likelihood)


def test_currencies():
    """Cents instead of dollars change the scale of the spending, and nothing else."""
    known = customers(sample=True)
    dollars = GammaGamma.fit(**known.spendings)

    cents = GammaGamma.fit(frequency=known.frequency, monetary_value=known.monetary_value * 100)

    expected = asdict(dollars.params) | {"gamma": dollars.params.gamma * 100}
    assert expected == pytest.approx(asdict(cents.params), rel=1e-5)
    assert dollars.log_likelihood - 946 * np.log(100) == pytest.approx(cents.log_likelihood)


@pytest.mark.parametrize("model", COUNTING)
def test_equal_customers(model):
    """Customers are weighed, not told apart: each twice and shuffled, they fit the same model."""
    once = customers(sample=True).summaries
    order = np.random.default_rng(1).permutation(2 * 2357)

    twice = model.fit(**{name: np.tile(column, 2)[order] for name, column in once.items()})

    assert asdict(fitted(model).params) == pytest.approx(asdict(twice.params), rel=1e-5)
    assert 2 * fitted(model).log_likelihood == pytest.approx(twice.log_likelihood)


@pytest.mark.parametrize("model", COUNTING)
def test_heavy_buyer(model):
    """One with 10,000 repeats and one whose purchases were all at once can be fitted to."""
    known = customers(sample=True).summaries
    more = {"frequency": [10_000, 5], "recency": [38, 0], "age": [39, 39]}

    found = model.fit(**{name: np.append(column, more[name]) for name, column in known.items()})

    assert 2359 == found.customers
    assert np.isfinite(found.log_likelihoods(**more)).all()


def test_nothing_spent():
    """A repeater who spent nothing is left out of the fit, and expected to spend little."""
    known = customers(sample=True)
    without = GammaGamma.fit(**known.spendings)

    found = GammaGamma.fit(
        frequency=np.append(known.frequency, [3, 0]),
        monetary_value=np.append(known.monetary_value, [0, 0]),
    )

    assert without == found
    nothing, unknown = found.expected_value(frequency=[3, 0], monetary_value=[0, 0])
    assert 0 < nothing < unknown
    p, q, gamma = asdict(found.params).values()
    assert p * gamma / (q - 1) == pytest.approx(unknown)
    likelihoods = found.log_likelihoods(frequency=[3, 0], monetary_value=[0, 0])
    assert [-np.inf, 0] == likelihoods.tolist()


def test_no_mean():
    """Where nobody's mean exists, the value expected without repeats is infinite, not negative."""
    model = GammaGamma(params=GammaGammaParams(p=2, q=0.5, gamma=3))

    assert [np.inf, 2 * (3 + 4) / 1.5] == model.expected_value(
        frequency=[0, 1], monetary_value=[0, 4]
    ).tolist()


# ------------------------------------------------------------------ shapes


@pytest.mark.parametrize("model", COUNTING)
def test_shapes(model):
    """Results have the shape of what was asked, be it a number, a list, a table or nothing."""
    known = PUBLISHED[model]
    one = {"frequency": 2, "recency": 30.43, "age": 38.86}
    alive = known.probability_alive(**one)
    table = {name: np.full((2, 3), value) for name, value in one.items()}
    empty: dict[str, list[float]] = {name: [] for name in one}

    assert () == alive.shape
    assert np.full((2, 3), alive).tolist() == known.probability_alive(**table).tolist()
    assert (0,) == known.expected_purchases(39, **empty).shape
    assert (2, 3) == known.expected_purchases(39, **table).shape
    assert (2, 3) == known.log_likelihoods(**table).shape
    many = known.expected_purchases([1, 10, 39], **one)
    each = [float(known.expected_purchases(horizon, **one)) for horizon in (1, 10, 39)]
    assert each == pytest.approx(many.tolist())
    assert np.float64 == many.dtype == alive.dtype


def test_newcomer():
    """Of somebody who has just come, BG/NBD expects what the paper's equation (9) says."""
    # E(X(39)) of the published model, worked out with the hypergeometric series term by term.
    r, alpha, a, b = 0.243, 4.414, 0.793, 2.426
    z, term, series = 39 / (alpha + 39), 1.0, 0.0
    for n in range(2_000):
        series += term
        term *= (r + n) * (b + n) / ((a + b - 1 + n) * (1 + n)) * z
    expected = (a + b - 1) / (a - 1) * (1 - (alpha / (alpha + 39)) ** r * series)

    found = PUBLISHED[BgNbd].expected_purchases(39, frequency=0, recency=0, age=0)

    assert expected == pytest.approx(float(found), rel=1e-9)


# ------------------------------------------------------------------ what is refused

GOOD = {"frequency": [1, 0], "recency": [3, 0], "age": [9, 9]}


@pytest.mark.parametrize("model", COUNTING)
@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"recency": [3]}, r"one value of each .* frequency \(2,\), recency \(1,\), age \(2,\)"),
        ({"frequency": [-1, 0]}, "frequency must not be negative, got -1 for customer 0 of 2"),
        ({"frequency": [1.5, 0]}, "frequency must be a whole number of repeats, got 1.5"),
        ({"age": [9, np.nan]}, "age must be a finite number, got nan for customer 1 of 2"),
        ({"age": [9, np.inf]}, "age must be a finite number, got inf"),
        ({"recency": [9.1, 0]}, "recency must not exceed age, got 9.1 for customer 0"),
        ({"recency": [3, 1]}, "recency must be 0 where frequency is 0, got 1 for customer 1"),
        ({"age": ["x", 9]}, "age must be an array of numbers"),
        ({"age": [[9], [9, 9]]}, "age must be an array of numbers"),
    ],
)
def test_wrong_customers(model, wrong, problem):
    """A value that cannot be is refused by its place, in a fit and in every question."""
    known = PUBLISHED[model]
    asked = [
        model.fit,
        known.probability_alive,
        known.log_likelihoods,
        lambda **rows: known.expected_purchases(1, **rows),
    ]
    for question in asked:
        with pytest.raises(InputError, match=problem) as caught:
            question(**GOOD | wrong)

        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("horizon", "problem"),
    [
        (-1, "horizon must not be negative, got -1 "),
        (np.nan, "horizon must be a finite number"),
        ([1, 2, 3], r"horizon has the shape \(3,\), which does not go with the customers' \(2,\)"),
    ],
)
def test_wrong_horizon(horizon, problem):
    """A horizon that cannot be is refused."""
    with pytest.raises(InputError, match=problem.strip()):
        PUBLISHED[BgNbd].expected_purchases(horizon, **GOOD)


@pytest.mark.parametrize("model", COUNTING)
@pytest.mark.parametrize(
    ("frequency", "recency", "age", "problem"),
    [
        ([], [], [], "there is no customer to fit to"),
        ([0, 0], [0, 0], [9, 5], "none of the 2 customers has bought again, so nothing is known"),
        ([2, 1], [0, 0], [0, 0], "age is 0 for every customer"),
    ],
)
def test_nothing_known(model, frequency, recency, age, problem):
    """Where nothing is known of repeats there is no model, and the error says so."""
    with pytest.raises(InputError, match=problem):
        model.fit(frequency=frequency, recency=recency, age=age)


@pytest.mark.parametrize("model", COUNTING)
def test_no_top(model):
    """Customers who are all alike settle nothing, and the error names what ran away."""
    with pytest.raises(FitError, match="the fit does not settle"):
        model.fit(frequency=[3] * 50, recency=[7] * 50, age=[9] * 50)


def test_no_top_of_spending():
    """The same for what they spend; and nobody who spent anything is nobody to fit to."""
    with pytest.raises(FitError, match=r"the fit does not settle: [pq] runs to infinity"):
        GammaGamma.fit(frequency=[3] * 50, monetary_value=[7] * 50)
    with pytest.raises(InputError, match="none of the 2 customers has spent anything"):
        GammaGamma.fit(frequency=[0, 3], monetary_value=[5, 0])
    with pytest.raises(InputError, match="none of the 0 customers"):
        GammaGamma.fit(frequency=[], monetary_value=[])
    with pytest.raises(InputError, match="monetary_value must not be negative"):
        GammaGamma.fit(frequency=[1], monetary_value=[-5])


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf])
def test_wrong_parameters(value):
    """Parameters are positive numbers."""
    with pytest.raises(InputError, match="alpha must be a positive number"):
        BgNbdParams(r=1, alpha=value, a=1, b=1)


def test_without_numpy():
    """The plugin does without numpy; asked for a model, it says what to install."""
    source = (
        "import sys; sys.modules['numpy'] = sys.modules['scipy'] = None\n"
        "import crmcore_tiering\n"
        "print(crmcore_tiering.Tiering.__name__)\n"
        "try:\n"
        "    import crmcore_tiering.btyd\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)

    assert (0, "") == (done.returncode, done.stderr)
    assert [
        "Tiering",
        "crmcore_tiering.btyd needs numpy and scipy; install crmcore-tiering[predict]",
    ] == done.stdout.splitlines()
