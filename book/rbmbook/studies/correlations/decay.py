r"""Rules on the decay of correlations, on how robust it is against the size, and on the graph's part in that.

Every threshold stands here. A *retained share* is the mean over :math:`1 \le d \le
N/4` of C(d) over the exact C(d), divided by the same of the seed's dense machine: 1 is undamaged, 0 uncorrelated. What a
machine removed before it lost a given share is read off by linear interpolation between pruning stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from rbmbook.evidence.estimates import slopes
from rbmlib.pruning import connected_components, min_weights_to_connect

LIGHT, HEAVY = 0.9, 0.5
"""Retained shares at which robustness is compared."""
FIXED_DISTANCE = 4
"""The other reading of equal damage: d <= 4 at every size."""
GAP_MARGIN = 0.1
"""Retained shares closer than this are as good as equal; it is the damage at the light threshold."""
CURVE_MARGIN = 0.5
"""Decades within which rescaled error curves of two sizes count as one."""
SENSITIVITY_STAGES = 6
"""Stages 0 to 5 over which sensitivities are compared, as at N = 18."""
FEWEST_IN_ONE_PIECE = 3
"""Machines in one piece that each of two sizes needs for a comparison among them."""

POWER_LAW, EXPONENTIAL = "power law", "exponential"


class Decay(NamedTuple):
    """A decay fitted to C(d).

    Attributes
    ----------
    amplitude : float
        Value at d = 1.
    rate : float
        Exponent of the power law; inverse correlation length of the exponential.
    chi2 : float
        Squared deviations in units of the sampling variance, summed over d.
    reduced_chi2 : float
        The same per degree of freedom, that is, over the number of distances less two.
    """

    amplitude: float
    rate: float
    chi2: float
    reduced_chi2: float


def largest_distance(n_spins: int) -> int:
    """Largest distance at which the open ends do not decide: N / 4, rounded down."""
    return n_spins // 4


def sampling_error(correlation: ArrayLike, n_samples: int) -> NDArray[np.float64]:
    """Standard error of a correlation of two unbiased spins over independent samples: sqrt((1 - C^2) / n)."""
    squared = np.clip(np.asarray(correlation, dtype=np.float64) ** 2, 0, 1 - 1e-6)
    return np.sqrt((1 - squared) / n_samples)


def fit_decay(correlation: ArrayLike, n_samples: int, form: str, last: int) -> Decay:
    """Weighted least-squares fit of a decay to C(d) for d = 1 ... last.

    Parameters
    ----------
    correlation : array_like, (n_distances,)
        C(d) for d = 0, 1, ...
    n_samples : int
        Samples behind C(d), which set its weights. They ignore that neighbouring distances share samples: chi2
        compares the two forms on equal terms and is no test of either by itself.
    form : {"power law", "exponential"}
        A d^-rate or A exp(-rate (d - 1)).
    last : int
        Largest distance, at least 3.

    Returns
    -------
    Decay
        For an amplitude A that is linear, only the rate is searched for, in [0, 10].

    Raises
    ------
    ValueError
        If the form is neither, or there are fewer than three distances.
    """
    if form not in (POWER_LAW, EXPONENTIAL):
        raise ValueError(f"form must be {POWER_LAW!r} or {EXPONENTIAL!r}, not {form!r}")
    curve = np.asarray(correlation, dtype=np.float64)
    if not 3 <= last < curve.size:
        raise ValueError(f"last must lie between 3 and {curve.size - 1}, the distances there are, not {last}")
    distance, measured = np.arange(1, last + 1), curve[1 : last + 1]
    weights = sampling_error(measured, n_samples) ** -2
    progress = np.log(distance) if form == POWER_LAW else distance - 1.0

    def at(rate: float) -> tuple[float, float]:
        shape = np.exp(-rate * progress)
        amplitude = (weights * measured * shape).sum() / (weights * shape * shape).sum()
        return amplitude, float((weights * (measured - amplitude * shape) ** 2).sum())

    # The misfit may have a second minimum where C(d) is noise: a grid brackets the deepest one.
    grid = np.concatenate([[0.0], np.geomspace(1e-3, 10, 61)])
    best = int(np.argmin([at(rate)[1] for rate in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)])
    rate = float(
        minimize_scalar(lambda r: at(r)[1], bounds=bounds, method="bounded", options={"xatol": 1e-9}).x
    )
    amplitude, chi2 = at(rate)
    return Decay(amplitude, rate, chi2, chi2 / (last - 2))


def preference(correlation: ArrayLike, n_samples: int, last: int) -> float:
    """Logarithm of the exponential's root misfit over that of the power law: positive where the power law fits better.

    Both forms have two parameters, so that their difference in AIC at an unknown scale of the misfit is twice this
    times the number of distances. The scale drops out, which lets an exact curve be judged as one with noise.
    """
    power, exponential = (
        fit_decay(correlation, n_samples, form, last).chi2 for form in (POWER_LAW, EXPONENTIAL)
    )
    return 0.5 * float(np.log(max(exponential, 1e-12) / max(power, 1e-12)))


def preferences(machines: xr.Dataset, n_samples: int, last: int) -> NDArray[np.float64]:
    """Preference of every seed and stage, (n_seeds, n_stages)."""
    curves = machines.correlation.transpose("seed", "stage", "distance").values
    return np.array([[preference(curve, n_samples, last) for curve in seed] for seed in curves])


def retained(machines: xr.Dataset, last: int, of_dense: bool = True) -> NDArray[np.float64]:
    """Retained share of the correlations up to a distance, (n_seeds, n_stages); of the exact ones if not
    ``of_dense``.
    """
    curves = machines.correlation.transpose("seed", "stage", "distance").values[..., 1 : last + 1]
    exact = machines.exact_correlation.isel(seed=0).values[1 : last + 1]
    share = (curves / exact).mean(axis=-1)
    return share / share[:, :1] if of_dense else share


# --- connectivity ---------------------------------------------------------------------------------------------------


def first_disconnected(components: NDArray[np.integer]) -> NDArray[np.int64]:
    """First stage at which a machine's graph is in several pieces, (n_seeds,); the number of stages if never."""
    apart = components > 1
    return np.where(apart.any(axis=1), apart.argmax(axis=1), apart.shape[1])


def removed_when_disconnected(
    components: NDArray[np.integer], removed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the weights removed at the first stage in several pieces, (n_seeds,); the largest share removed if
    that never comes.
    """
    return removed[np.minimum(first_disconnected(components), removed.size - 1)]


def last_common_stage(first: NDArray[np.integer], second: NDArray[np.integer]) -> int:
    """Last stage at which at least ``FEWEST_IN_ONE_PIECE`` machines of each of two sizes are in one piece.

    Arguments are components (n_seeds, n_stages). A size with fewer seeds than that needs all of them.
    """
    enough = [
        (components == 1).sum(axis=0) >= min(FEWEST_IN_ONE_PIECE, len(components))
        for components in (first, second)
    ]
    return int(np.flatnonzero(enough[0] & enough[1])[-1])


def visible_pieces(weights: NDArray[np.floating]) -> int:
    """Components of the graph of a machine, (n_visible, n_hidden), that hold a visible unit: a hidden unit that lost
    all weights is a piece of the graph and yet ties nothing to nothing.
    """
    alive = weights != 0
    return connected_components(alive) - int((~alive.any(axis=0)).sum())


# --- error curves ---------------------------------------------------------------------------------------------------


def sensitivities(machines: xr.Dataset) -> dict[str, NDArray[np.float64]]:
    """Least-squares slopes of bare relative errors by the share removed, per seed, over the first stages.

    All are from samples, at every size. The root of the mean squared error of C over the root mean square of C is a
    relative error, as those of the energy and of the order parameter are.
    """
    errors = machines.sampled.transpose("seed", "stage", "measure").isel(
        stage=slice(None, SENSITIVITY_STAGES)
    )
    exact = machines.exact_correlation.isel(seed=0).values
    columns: Mapping[str, NDArray[np.float64]] = {
        "energy": errors.sel(measure="energy_error").values,
        "order parameter": errors.sel(measure="order_error").values,
        "correlations": np.sqrt(errors.sel(measure="correlation_mse_exact").values / (exact**2).mean()),
    }
    removed = machines.removed.values[:SENSITIVITY_STAGES]
    return {name: slopes(removed, values) for name, values in columns.items()}


def decades(machines: xr.Dataset, measure: str) -> NDArray[np.float64]:
    """Logarithm to base 10 of an error over its mean dense value, (n_seeds, n_stages)."""
    values = machines.sampled.sel(measure=measure).transpose("seed", "stage").values
    return np.log10(values / values[:, 0].mean())


# --- all of it --------------------------------------------------------------------------------------------------------


def derived(machines: xr.Dataset, n_samples: int) -> xr.Dataset:
    """The machines of one length and field with what the rules make of them, for figures and sentences.

    Parameters
    ----------
    machines : xarray.Dataset
        An entry of ``machines`` of :class:`rbmbook.studies.correlations.study.Study`.
    n_samples : int
        Samples behind C(d).

    Returns
    -------
    xarray.Dataset
        The same with ``retained`` and ``retained_near`` (seed, stage), up to N/4 and up to ``FIXED_DISTANCE``;
        ``rescaled`` (seed, stage, measure), errors over their mean dense value; ``visible_pieces`` (seed, stage);
        ``sampling_error`` (seed, stage, distance); ``largest_distance``; ``fewest_weights`` that can connect the
        graph; and, where three distances are there to fit, ``amplitude``, ``rate`` and ``reduced_chi2`` (seed, stage,
        form), ``preference`` (seed, stage) and ``exact_preference``.
    """
    weights = machines.weights.transpose("seed", "stage", "visible", "hidden").values
    n_spins = weights.shape[2]
    last, curves = (
        largest_distance(n_spins),
        machines.correlation.transpose("seed", "stage", "distance").values,
    )
    values = machines.sampled.transpose("seed", "stage", "measure")
    pieces = np.array([[visible_pieces(one) for one in seed] for seed in weights])
    found = machines.assign(
        retained=(("seed", "stage"), retained(machines, last)),
        retained_near=(("seed", "stage"), retained(machines, min(FIXED_DISTANCE, curves.shape[2] - 1))),
        rescaled=values / values.isel(stage=0, drop=True).mean("seed"),
        visible_pieces=(("seed", "stage"), pieces),
        sampling_error=(("seed", "stage", "distance"), sampling_error(curves, n_samples)),
        largest_distance=last,
        fewest_weights=min_weights_to_connect(n_spins, weights.shape[3]),
    )
    if last < 3:
        return found
    forms = (POWER_LAW, EXPONENTIAL)
    fits = np.array(
        [[[fit_decay(curve, n_samples, form, last) for form in forms] for curve in seed] for seed in curves]
    )
    dims = ("seed", "stage", "form")
    return found.assign(
        amplitude=(dims, fits[..., 0]),
        rate=(dims, fits[..., 1]),
        reduced_chi2=(dims, fits[..., 3]),
        preference=(dims[:2], 0.5 * np.log(fits[..., 1, 2] / fits[..., 0, 2])),
        exact_preference=preference(machines.exact_correlation.isel(seed=0).values, n_samples, last),
    ).assign_coords(form=list(forms))
