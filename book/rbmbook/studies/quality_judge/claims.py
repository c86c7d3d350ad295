"""What Diaz-Faloh & Mulet say of their classifier in appendix A, and what the results say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.evidence.claims import Rule, Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.evidence.rules import Finding, Part
from rbmbook.evidence.words import DASH, percent
from rbmbook.lab.profiles import label, resolve
from rbmbook.studies.digits.drops import MEASURES
from rbmbook.studies.digits.judge_cells import BOTH, OVER_PRUNED, SYNTHETIC
from rbmbook.studies.digits.standard import FEWEST_REPLICAS, other_machines
from rbmlib.analysis.drops import find_drop

from . import study as quality_judge
from .rules import CLAIMED_ACCURACY, judge_rule
from .study import PROFILES, Study


def _objection(p: Mapping[str, Any]) -> str | None:
    """Why a run cannot settle the claim, which is about the paper's setting; None if it can."""
    if differs := other_machines(p):
        return differs
    if p["n_replicas"] < FEWEST_REPLICAS:
        return f"needs at least {FEWEST_REPLICAS} replicas; this run has {p['n_replicas']}"
    return None


def judge_finding(results: Study) -> Finding:
    """The judges that learnt from over-pruned machines, on new images of machines that they have seen and have not."""
    seen, unseen = (
        by_machine(results.accuracy, OVER_PRUNED, seen=one).mean("removed").values.ravel()
        for one in (True, False)
    )
    return judge_rule(results.accuracy.digits.sel(recipe=OVER_PRUNED).values, seen, unseen)


def _says(parts: Sequence[Part]) -> str:
    seen, unseen = (percent(part.estimate.value, 1) for part in parts)
    return f"The classifier is right in {seen} on new images of machines it has seen, in {unseen} on machines it has never seen."


RULES = {"B7.judge": Rule(judge_finding, _says)}
CLAIMS = tuple(RULES)


def settle(results: Study, parameters: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    results : Study
        What :func:`rbmbook.studies.quality_judge.study.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at another setting, or with too few replicas, decides nothing and says so.
    """
    p = resolve(PROFILES, "book", parameters)
    return settle_by(RULES, results, label(PROFILES, p), p["n_replicas"], _objection(p))


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    parameters = resolve(PROFILES, profile)
    return settle(quality_judge.results(**parameters), parameters)


def by_machine(accuracy: xr.Dataset, recipe: str, *, seen: bool) -> xr.DataArray:
    """Share of each machine's negatives that judges of a recipe reject, mean over those that have seen it or have not.

    Parameters
    ----------
    accuracy : xarray.Dataset
        As in :class:`rbmbook.studies.quality_judge.study.Study`.
    recipe : str
        The recipe.
    seen : bool
        Whether judges count that have learnt from other images of the machine, or those that have not.

    Returns
    -------
    xarray.DataArray
        (dilution, replica, removed); NaN where there is no such judge.
    """
    of = accuracy.sel(recipe=recipe)
    return of.rejected.where(of.seen == seen).mean("fold").transpose("dilution", "replica", "removed")


def rejected(accuracy: xr.Dataset, *, seen: bool) -> xr.DataArray:
    """Mean of :func:`by_machine` over machines, (recipe)."""
    recipes = xr.DataArray(accuracy.recipe.values, dims="recipe", name="recipe")
    return xr.concat(
        [by_machine(accuracy, name, seen=seen).mean() for name in accuracy.recipe.values], recipes
    )


def digits_by_recipe(accuracy: xr.Dataset) -> dict[str, float]:
    """Share of the test digits that judges accept, mean over the judges of a recipe."""
    means = accuracy.digits.mean("fold")
    return {str(name): float(value) for name, value in zip(means.recipe.values, means.values, strict=True)}


def cross_fitted_by_recipe(curves: xr.Dataset) -> dict[str, NDArray[np.float64]]:
    """:func:`cross_fitted` of every recipe."""
    return {str(recipe): cross_fitted(curves, recipe) for recipe in curves.recipe.values}


def numbers(results: Study, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Numbers that the chapter's sentences quote, as text."""
    accuracy, curves = results.accuracy, results.curves
    unseen = by_machine(accuracy, OVER_PRUNED, seen=False)
    worst = unseen.mean("removed")
    at = np.unravel_index(int(np.argmin(worst.values)), worst.shape)
    found = {
        "machines": f"{worst.size}",
        "learnt-from": f"{int(accuracy.seen.sel(recipe=OVER_PRUNED).sum('replica').max()) * worst.sizes['dilution']}",
        "folds": f"{accuracy.sizes['fold']}",
        "negatives-at": " and ".join(percent(f) for f in accuracy.removed.values),
        "digits-range": _range(accuracy.digits.sel(recipe=OVER_PRUNED).values),
        "classes-range": _range(accuracy.classes.sel(recipe=OVER_PRUNED).values),
        "seen": percent(by_machine(accuracy, OVER_PRUNED, seen=True).mean().item(), 1),
        "unseen": percent(unseen.mean().item(), 1),
        "worst": percent(worst.values[at], 1),
        "worst-dilution": percent(float(worst.dilution[at[0]])),
        "below-claim": f"{int((worst < CLAIMED_ACCURACY).sum())}",
        "families-by-over-pruned": percent(accuracy.families.sel(recipe=OVER_PRUNED).mean().item()),
        "machines-by-synthetic": percent(by_machine(accuracy, SYNTHETIC, seen=False).mean().item()),
        "digits-by-synthetic": percent(accuracy.digits.sel(recipe=SYNTHETIC).mean().item(), 1),
        "families-by-synthetic": percent(accuracy.families.sel(recipe=SYNTHETIC).mean().item(), 1),
        "machines-by-both": DASH,
        "families-by-both": DASH,
    }
    if BOTH in accuracy.recipe:
        found["machines-by-both"] = percent(by_machine(accuracy, BOTH, seen=False).mean().item(), 1)
        found["families-by-both"] = percent(accuracy.families.sel(recipe=BOTH).mean().item(), 1)
    dense, position = {}, {}
    for recipe, rows in cross_fitted_by_recipe(curves).items():
        mean = rows.mean(axis=0)
        dense[recipe] = mean[0]
        position[recipe] = find_drop(curves.removed.values, mean, MEASURES["quality"]).position
    for text, values in (("dense", dense), ("drop", position)):
        found[f"{text}-by-over-pruned"] = percent(values[OVER_PRUNED])
        found[f"{text}-by-synthetic"] = percent(values[SYNTHETIC])
        found[f"{text}-by-both"] = percent(values[BOTH]) if BOTH in values else DASH
        found[f"{text}-apart"] = f"{100 * (max(values.values()) - min(values.values())):.1f}"
    found["folds-apart"] = f"{100 * folds_apart(curves):.1f}"
    found["compared"] = percent(float(parameters["compared_dilution"]))
    return found


def cross_fitted(curves: xr.Dataset, recipe: str) -> NDArray[np.float64]:
    """Q of each replica by the judges of a recipe that have not seen its machine, mean over these: (replica, removed)."""
    of = curves.sel(recipe=recipe)
    return of.quality.where(~of.seen).mean("fold").transpose("replica", "removed").values


def folds_apart(curves: xr.Dataset) -> float:
    """Largest difference in mean Q without pruning between judges that follow the same recipe."""
    dense = curves.quality.isel(removed=0).mean("replica")
    return float((dense.max("fold") - dense.min("fold")).max())


def _range(shares: NDArray[np.float64]) -> str:
    low, high = (f"{100 * one:.1f}" for one in (np.nanmin(shares), np.nanmax(shares)))
    return f"{low} %" if low == high else f"{low} to {high} %"
