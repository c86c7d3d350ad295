r"""What each step from a broken machine to one trained from scratch is worth: gains between arms, with intervals.

A *gain* is the mean over replicas of a quantity of one arm minus that of another, in the direction that makes more of it
better. Arms that come of the same base machine share its weights or its mask and are paired by replica; references of
either length share mask and initial weights and are paired, too; a reference and any other arm share nothing, and their
replicas are drawn apart. Errors that are squares of a distance enter by their root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from rbmbook.evidence.estimates import Estimate
from rbmbook.studies.digits.arms import FEWEST_REPLICAS

if TYPE_CHECKING:
    from .study import Study

UNKNOWN = Estimate(0.0, -np.inf, np.inf)
_Array = NDArray[np.float64]


class Quantity(NamedTuple):
    """What arms are compared by.

    Attributes
    ----------
    label : str
        What it is called in a table.
    unit : str
        Of gains; ``"%"`` for shares, which are kept as parts of 1.
    measure : str
        The measure that it is taken of.
    kind : str
        ``"level"`` or ``"root"`` with no further pruning, or ``"position"`` or ``"width"`` of the drop in p.
    better : int
        1 if more is better, -1 if less is.
    """

    label: str
    unit: str
    measure: str
    kind: str
    better: int


QUANTITIES: Mapping[str, Quantity] = {
    "quality": Quantity("Q", "", "quality", "level", 1),
    "root_aai": Quantity("root of E_AAI", "", "aai", "root", -1),
    "root_second_moment": Quantity("root of E(2)", "", "second_moment", "root", -1),
    "log_likelihood": Quantity("log-likelihood of test images", "nats", "log_likelihood", "level", 1),
    "position": Quantity("p at the drop of Q", "%", "quality", "position", 1),
    "position_aai": Quantity("p at the rise of E_AAI", "%", "aai", "position", 1),
    "position_second_moment": Quantity("p at the rise of E(2)", "%", "second_moment", "position", 1),
    "width": Quantity("width in p of the drop of Q", "%", "quality", "width", 1),
}
"""By the names that rules and tables use. A wider drop is a gentler one."""


class Step(NamedTuple):
    """Two arms, and what tells the first from the second."""

    label: str
    first: str
    second: str


STEPS: tuple[Step, ...] = (
    Step("biases: made up for in mean field", "compensated", "frozen"),
    Step("biases: trained alone", "biases", "frozen"),
    Step("weights: trained as well as biases", "retrained", "biases"),
    Step("all of retraining", "retrained", "frozen"),
    Step("weights: fresh, not inherited", "same-mask", "retrained"),
    Step("mask: random, not from magnitudes", "reference", "same-mask"),
    Step("both: from scratch, not retrained", "reference", "retrained"),
    Step("start: the base's initial weights, not fresh ones", "rewound", "same-mask"),
    Step("mask after training: largest, not any", "retrained", "random-kept"),
    Step("updates: twice as many, same mask", "same-mask-2", "same-mask"),
    Step("updates: twice as many, random mask", "reference-2", "reference"),
    Step("weights: fresh, at equal total updates", "same-mask-2", "retrained"),
    Step("mask: random, at equal total updates", "reference-2", "same-mask-2"),
    Step("both: from scratch, at equal total updates", "reference-2", "retrained"),
)
"""From what is broken to what is trained from scratch; in each the first arm is told from the second by what the label names."""

_REFERENCES = ("reference", "reference-2")


def share_randomness(first: str, second: str) -> bool:
    """Whether equal replicas of two arms share a base machine, or a mask and initial weights."""
    return (first in _REFERENCES) == (second in _REFERENCES)


def values_of(study: Study, name: str, pair: str, arm: str) -> _Array:
    """A quantity of the machines of an arm (replica,), by its name in :data:`QUANTITIES`; NaN where it has none."""
    quantity = QUANTITIES[name]
    here = {"pair": pair, "arm": arm}
    if quantity.kind in ("position", "width"):
        return study.drops[quantity.kind].sel({**here, "measure": quantity.measure}).values
    found = study.machines[quantity.measure].sel(here)
    if "part" in found.dims:
        return found.sel(part="test").values
    values = found.isel(removed=0).values
    return np.sqrt(values) if quantity.kind == "root" else values


def gain(study: Study, name: str, pair: str, first: str, second: str) -> Estimate:
    """How much better one arm is than another by a quantity, with its bootstrap interval over replicas.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.retraining.study.results` returned.
    name : str
        One of :data:`QUANTITIES`.
    pair : str
        The pair's label.
    first, second : str
        Arms.

    Returns
    -------
    Estimate
        ``UNKNOWN`` where fewer than three machines of either arm have the quantity.
    """
    better = QUANTITIES[name].better
    sides = [better * values_of(study, name, pair, arm) for arm in (first, second)]
    return bootstrap_difference(*sides, paired=share_randomness(first, second))


def bootstrap_mean(values: ArrayLike) -> Estimate:
    """Mean over replicas, those without a value left out, with its percentile bootstrap interval."""
    return bootstrap_difference(values, np.zeros(np.shape(values)), paired=True)


def bootstrap_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    paired: bool,
    confidence: float = 0.95,
    n_resamples: int = 4000,
    seed: int = 0,
) -> Estimate:
    """Mean of the first minus mean of the second with a percentile bootstrap interval.

    Parameters
    ----------
    first, second : array, (n_replicas,)
        NaN where a replica has no value: it is left out, and its partner with it if they are paired.
    paired : bool
        Whether replicas are drawn together or apart.

    Returns
    -------
    Estimate
        ``UNKNOWN`` for fewer than ``FEWEST_REPLICAS`` values on either side.
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if paired:
        known = np.isfinite(one) & np.isfinite(other)
        sides = [one[known] - other[known]]
    else:
        sides = [one[np.isfinite(one)], -other[np.isfinite(other)]]
    if min(map(len, sides)) < FEWEST_REPLICAS:
        return UNKNOWN
    rng = np.random.default_rng(seed)
    drawn = sum(side[rng.integers(0, len(side), (n_resamples, len(side)))].mean(axis=1) for side in sides)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(sum(side.mean() for side in sides)), float(low), float(high))


def decomposition(study: Study, names: Sequence[str] = tuple(QUANTITIES)) -> xr.Dataset:
    """The gain of every step, pair and quantity.

    Returns
    -------
    xarray.Dataset
        ``value``, ``low`` and ``high`` (quantity, step, pair), NaN where a pair lacks an arm or too few machines have the
        quantity; coordinate ``paired`` (step).
    """
    pairs = study.machines.pair.values.tolist()
    gains = [
        [[gain(study, name, pair, step.first, step.second) for pair in pairs] for step in STEPS]
        for name in names
    ]
    table = np.array([[[(e.value, e.low, e.high) for e in row] for row in rows] for rows in gains])
    table = np.where(np.isfinite(table).all(axis=-1, keepdims=True), table, np.nan)
    dims = ("quantity", "step", "pair")
    return xr.Dataset(
        {end: (dims, table[..., at]) for at, end in enumerate(("value", "low", "high"))},
        {
            "quantity": list(names),
            "step": [step.label for step in STEPS],
            "pair": pairs,
            "paired": ("step", [share_randomness(step.first, step.second) for step in STEPS]),
        },
    )


def share_explained(study: Study, name: str, pair: str, whole: str, between: str, start: str) -> Estimate:
    """Share of the way from one arm to another that a third lies along, with its bootstrap interval.

    Parameters
    ----------
    study, name, pair
        As for :func:`gain`.
    whole, between, start : str
        ``(between - start) / (whole - start)``: `whole` is a reference, drawn apart; the other two are drawn together.

    Returns
    -------
    Estimate
        ``UNKNOWN`` unless the whole way has an interval on one side of zero.
    """
    way = gain(study, name, pair, whole, start)
    if not way.low * way.high > 0:
        return UNKNOWN
    far, near, at = (values_of(study, name, pair, arm) for arm in (whole, between, start))
    both, far = np.isfinite(near) & np.isfinite(at), far[np.isfinite(far)]
    near, at = near[both], at[both]
    if min(len(far), len(near)) < FEWEST_REPLICAS:
        return UNKNOWN
    rng = np.random.default_rng(0)
    apart = rng.integers(0, len(far), (4000, len(far)))
    together = rng.integers(0, len(near), (4000, len(near)))
    start_means = at[together].mean(axis=1)
    shares = (near[together].mean(axis=1) - start_means) / (far[apart].mean(axis=1) - start_means)
    low, high = np.quantile(shares, [0.025, 0.975])
    return Estimate(float((near.mean() - at.mean()) / (far.mean() - at.mean())), float(low), float(high))
