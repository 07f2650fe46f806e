"""Numeric: what the models share; input that is checked, rows that are grouped, a maximum found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import Attribute, frozen
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from crmcore.errors import InputError

Array = NDArray[np.float64]

Objective = Callable[[Array], tuple[float, Array]]
"""Takes the logarithms of the parameters; returns a mean log-likelihood and its gradient."""

# A parameter further than this factor from the data's own scale is running away, as where all
# customers are alike: the likelihood has no top there, or none that the data can tell.
_FAR = np.log(1e5)
_FURTHEST = np.log(1e7)
# How steep the mean log-likelihood may be at its top, by the logarithm of a parameter.
_WANTED = 1e-7
_FLAT = 1e-6


class FitError(InputError):
    """A model does not settle on these customers; says which parameter ran away, or how far."""


def positive(_instance: object, attribute: Attribute[Any], value: float) -> None:
    """Refuse a parameter that is not a positive, finite number."""
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"{attribute.name} must be a positive number, got {value!r}")


# ------------------------------------------------------------------------------ input


def numbers(name: str, values: ArrayLike) -> Array:
    """Return *values* as finite numbers that are not negative, in their own shape."""
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be an array of numbers: {error}") from error
    _refuse(~np.isfinite(found), name, found, "must be a finite number")
    _refuse(found < 0, name, found, "must not be negative")
    return found


def _refuse(wrong: NDArray[np.bool_], name: str, found: Array, rule: str) -> None:
    if wrong.any():
        where = int(np.flatnonzero(wrong)[0])
        at = f" for customer {where} of {found.size}" if found.ndim else ""
        raise InputError(f"{name} {rule}, got {found.flat[where]:g}{at} (counted from 0)")


def frequencies(values: ArrayLike) -> Array:
    """Return numbers of repeat purchases: whole ones."""
    found = numbers("frequency", values)
    _refuse(found != np.floor(found), "frequency", found, "must be a whole number of repeats")
    return found


def of_one_shape(**columns: Array) -> None:
    """Refuse columns that do not hold one value for each customer."""
    if len({column.shape for column in columns.values()}) > 1:
        shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise InputError(f"one value of each is needed for every customer; the shapes are {shapes}")


@frozen(kw_only=True)
class Summaries:
    """
    What is known of each customer, checked.

    Attributes:
        frequency: Purchases after the first one.
        recency: From the first purchase to the last one; 0 for who bought once.
        age: From the first purchase to the end of the observation, in the same unit.
    """

    frequency: Array
    recency: Array
    age: Array

    @classmethod
    def of(cls, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Summaries:
        x, t, end = frequencies(frequency), numbers("recency", recency), numbers("age", age)
        of_one_shape(frequency=x, recency=t, age=end)
        _refuse(t > end, "recency", t, "must not exceed age")
        _refuse((x == 0) & (t > 0), "recency", t, "must be 0 where frequency is 0")
        return cls(frequency=x, recency=t, age=end)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.frequency.shape

    def flat(self) -> tuple[Array, Array, Array]:
        """Return frequency, recency and age, one row per customer."""
        return self.frequency.ravel(), self.recency.ravel(), self.age.ravel()

    def ahead(self, horizon: ArrayLike) -> tuple[tuple[int, ...], Array, Array, Array, Array]:
        """Return the shape of *horizon* and customers together; then four columns, flat."""
        found = numbers("horizon", horizon)
        try:
            shape = np.broadcast_shapes(found.shape, self.shape)
        except ValueError as error:
            raise InputError(
                f"horizon has the shape {found.shape}, which does not go with the customers' "
                f"{self.shape}; give one number, or one for each customer"
            ) from error
        columns = (found, self.frequency, self.recency, self.age)
        times, x, t, end = (np.broadcast_to(column, shape).ravel() for column in columns)
        return shape, times, x, t, end


@frozen(kw_only=True)
class Grouped:
    """
    Customers to fit to: equal ones once, with their number, times in a unit of their own.

    Attributes:
        unit: The mean age, by which times were divided, so that no unit fits better than another.
    """

    frequency: Array
    recency: Array
    age: Array
    count: Array
    unit: float

    @classmethod
    def of(cls, summaries: Summaries) -> Grouped:
        """
        Return the customers of *summaries*, grouped.

        Raises:
            InputError: If there is nobody, or nobody who bought again or was observed at all.
        """
        x, t, end = summaries.flat()
        if not x.size:
            raise InputError("there is no customer to fit to")
        if not x.any():
            raise InputError(
                f"none of the {x.size} customers has bought again, so nothing is known of repeats; "
                "observe them for longer"
            )
        unit = float(end.mean())
        if not unit:
            raise InputError("age is 0 for every customer, so nothing is known of their pace")
        (x, t, end), count, _ = distinct(x, t, end)
        return cls(frequency=x, recency=t / unit, age=end / unit, count=count, unit=unit)

    @property
    def pace(self) -> float:
        """Repeats in a unit of time, of all customers together."""
        return float((self.count * self.frequency).sum() / (self.count * self.age).sum())

    def mean(self, values: Array) -> Any:
        """Return the mean over customers of what was worked out for each group."""
        return (values * self.count).sum(axis=-1) / self.count.sum()

    def total(self, values: Array) -> float:
        """Return the log-likelihood of all customers, in the unit of time they came in."""
        rescaled = values - self.frequency * np.log(self.unit)
        return float((rescaled * self.count).sum())


def distinct(*columns: Array) -> tuple[list[Array], Array, NDArray[np.intp]]:
    """Return the distinct rows, how many there are of each, and which of them each row is."""
    order = np.lexsort(columns)
    ordered = [column[order] for column in columns]
    starts = np.ones(len(order), dtype=np.bool_)
    if len(order) > 1:
        starts[1:] = np.any([column[1:] != column[:-1] for column in ordered], axis=0)
    first = np.flatnonzero(starts)
    which = np.empty(len(order), dtype=np.intp)
    which[order] = np.cumsum(starts) - 1
    count = np.diff(np.append(first, len(order))).astype(np.float64)
    return [column[first] for column in ordered], count, which


# ------------------------------------------------------------------------------ the maximum


def maximise(objective: Objective, start: Sequence[float], names: Sequence[str]) -> Array:
    """
    Return the positive parameters at which *objective* is greatest.

    Args:
        start: Where to look first, in the order of *names*.

    Raises:
        FitError: If it does not settle.
    """

    def fallen(logs: Array) -> tuple[float, Array]:
        value, gradient = objective(logs)
        return -value, -gradient

    found = _search(fallen, np.log(start))
    logs: Array = found.x
    furthest = int(np.abs(logs).argmax())
    if abs(logs[furthest]) > _FAR:
        end = "infinity" if logs[furthest] > 0 else "0"
        raise FitError(
            f"the fit does not settle: {names[furthest]} runs to {end}, so these customers do not "
            "show how they differ; fit more of them, or observe them for longer"
        )
    steepest = float(np.abs(found.jac).max())
    if not steepest <= _FLAT:
        raise FitError(
            f"the fit does not settle: after {found.nit} steps the likelihood still rises by "
            f"{steepest:.2g} a customer; fit more of them, or observe them for longer"
        )
    result: Array = np.exp(logs)
    return result


def _search(fallen: Objective, start: Array) -> Any:
    """Return what scipy found as the least of *fallen*, whether or not it is one."""
    limits = [(-_FURTHEST, _FURTHEST)] * len(start)
    options = {"maxiter": 1_000, "maxfun": 2_000, "ftol": 0, "gtol": _WANTED / 10}
    found = minimize(fallen, start, jac=True, method="L-BFGS-B", bounds=limits, options=options)
    if np.abs(found.jac).max() <= _WANTED or np.abs(found.x).max() >= _FURTHEST:
        return found
    # A narrow ridge, where only the curvature shows the way.
    return minimize(
        fallen,
        found.x,
        jac=True,
        hess=lambda logs: _curvature(fallen, logs),
        method="trust-exact",
        options={"max_trust_radius": 2, "maxiter": 200, "gtol": _WANTED},
        callback=_stops_far_away,
    )


def _stops_far_away(logs: Array) -> None:
    if np.abs(logs).max() > _FURTHEST:
        raise StopIteration


def _curvature(objective: Objective, logs: Array) -> Array:
    """Return the second derivatives, from differences of the gradient."""
    step = 1e-4
    rows = [
        (objective(logs + move)[1] - objective(logs - move)[1]) / (2 * step)
        for move in step * np.eye(len(logs))
    ]
    found = np.array(rows)
    return (found + found.T) / 2
