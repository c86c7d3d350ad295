"""What Golubeva & Melko say of Fig. 3, and what the results say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import binom, norm

from rbmbook.evidence.claims import Rule, Verdict
from rbmbook.evidence.rules import Part
from rbmbook.evidence.words import DASH, MINUS, percent
from rbmbook.lab.profiles import resolve
from rbmbook.studies.ising import fresh_seeds as tfim_machines
from rbmbook.studies.ising.standard import CRITICAL

from . import rules
from . import study as magnetization
from .study import PROFILES


def _resembles_says(parts: Sequence[Part]) -> str:
    told = ", ".join(f"{percent(part.estimate.value, 1)} in {part.name}" for part in parts)
    return f"Dense machines deviate from their data by {told}."


def _training_set_says(parts: Sequence[Part]) -> str:
    order, mean, peaks, zero, ratio, spread = (part.estimate.value for part in parts)
    return (
        f"Training sets have mean |m| {order:.3f}, mean m {mean:.4f}, peaks at {peaks:.2f}, centre at {zero:.2f} of them, "
        f"occurrence ratio {ratio:.2f} \u00b1 {spread:.2f}."
    ).replace("-", MINUS)


def _single_peak_says(parts: Sequence[Part]) -> str:
    dense, pruned = (f"{part.estimate.value:.2f}" for part in parts)
    return f"The highest side peak is {dense} times the centre's bar in dense machines, {pruned} times after the last iteration."


RULES = {
    "A3.resembles": Rule(rules.resembles_rule, _resembles_says),
    "A3.training-set": Rule(rules.training_set_rule, _training_set_says),
    "A3.single-peak": Rule(rules.single_peak_rule, _single_peak_says),
}
CLAIMS = tuple(RULES)


def _objection(p: Mapping[str, Any]) -> str | None:
    """Why a run cannot settle the claims, which are about the paper's setting; None if it can."""
    if p["n_samples"] != 100_000:
        return f"settled for n_samples = 100000; this run has {p['n_samples']}"
    if rules.LEAST_COUNT not in p["min_counts"]:
        return f"needs min_counts with {rules.LEAST_COUNT} among them; this run has {list(p['min_counts'])}"
    return tfim_machines.objection(p, [p["field"]], [CRITICAL])


def settle(results: xr.Dataset, parameters: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    results : xarray.Dataset
        What :func:`rbmbook.studies.magnetization.study.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at another setting, or with too few seeds, decides nothing and says so.
    """
    p = resolve(PROFILES, "book", parameters)
    return tfim_machines.settle(RULES, results, PROFILES, p, _objection(p))


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    parameters = resolve(PROFILES, profile)
    return settle(magnetization.results(**parameters), parameters)


def numbers(results: xr.Dataset) -> dict[str, str]:
    """Numbers that the chapter's sentences quote, as text."""
    exact = results.exact_up_spins.isel(seed=0).values
    m = results.m.values
    data_mean, data_order = rules.moments(results, "data_up_spins")
    mean, order = rules.moments(results, "up_spins")
    ratios = rules.peak_ratios(results)
    merged = rules.merged_stage(ratios)
    below, above = rules.peaks(exact, m)
    differences = np.abs(results.relaxation.isel(step=-1).diff("start"))
    found = {
        "exact-order": f"{np.abs(m) @ exact:.4f}",
        "data-order": f"{data_order.mean().item():.4f}",
        "data-mean": f"{data_mean.mean().item():+.4f}".replace("-", MINUS),
        "exact-peaks": f"{MINUS}{-below:.3f} and {above:.3f}",
        "exact-at-zero": f"{exact[np.abs(m).argmin()]:.3f}",
        "exact-highest": f"{exact.max():.3f}",
        "dense-order": _with_range(order.isel(stage=0).values),
        "last-order": _with_range(order.isel(stage=-1).values),
        "largest-mean": f"{np.abs(mean).max().item():.3f}",
        "ratio-dense": f"{np.exp(np.log(ratios[:, 0]).mean()):.2f}",
        "ratio-last": f"{np.exp(np.log(ratios[:, -1]).mean()):.2f}",
        "merged": "no iteration" if merged is None else percent(float(results.removed[merged])),
        "ratio-independent": f"{1 / rules.share_at_zero(binom.pmf(np.arange(m.size), m.size - 1, 0.5), m):.2f}",
        "differences": f"{differences.size:,}",
        "expected-largest": f"{norm.ppf((1 + 0.5 ** (1 / differences.size)) / 2):.1f}",
        "forgotten": f"{differences.max().item():.4f}",
        "start-noise": f"{_start_noise(results):.4f}",
        "deviations": ", ".join(
            f"{100 * values.mean():.1f} % ({name})" for name, values in rules.deviations(results).items()
        ),
    }
    found |= dict.fromkeys(
        ("ratio-data", "ratio-counting", "ratio-pairs", "ratio-machine-dense", "ratio-machine-counting"),
        DASH,
    )
    if rules.LEAST_COUNT in results.min_count:
        chosen = results.sel(min_count=rules.LEAST_COUNT)
        dense = chosen.isel(stage=0)
        found["ratio-data"] = _plus_minus(chosen.data_ratio_mean, chosen.data_ratio_spread)
        found["ratio-counting"] = _plus_minus(chosen.data_counting_mean, chosen.data_counting_spread)
        found["ratio-pairs"] = f"{chosen.data_n_pairs.mean().item():.0f}"
        found["ratio-machine-dense"] = _plus_minus(dense.ratio_mean, dense.ratio_spread)
        found["ratio-machine-counting"] = _plus_minus(dense.counting_mean, dense.counting_spread)
    return found


def _start_noise(results: xr.Dataset) -> float:
    """Standard error of the difference of two halves' means of m, the largest over stages and seeds."""
    m = results.m.values
    variance = rules.mean_of(m**2, results.up_spins) - rules.mean_of(m, results.up_spins) ** 2
    return float(np.sqrt(4 * variance.max() / results.attrs["n_samples"]))


def _with_range(values: np.ndarray) -> str:
    return f"{values.mean():.4f} ({values.min():.4f} to {values.max():.4f})"


def _plus_minus(mean: xr.DataArray, spread: xr.DataArray) -> str:
    if not np.isfinite([mean.mean().item(), spread.mean().item()]).all():
        return "\u2013"  # no pair occurs often enough in any of them
    return f"{mean.mean().item():.3f} \u00b1 {spread.mean().item():.3f}"
