r"""What follows from the curves of pruned machines: the best alpha, widths, what compensation moves; and in words.

Width against dilution tells the scales apart. Curves alike in f have equal widths there; curves alike on p* have widths
in f that grow as :math:`1 / (1 - p_0)`. Between them is an exponent, 0 for the first and 1 for the second: the slope of
the logarithm of the mean width of single machines by :math:`-\ln(1 - p_0)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.evidence.estimates import Estimate, bootstrap_interval, mean_interval, slopes
from rbmbook.evidence.words import DASH, interval_text, joined, number, percent
from rbmbook.studies.digits.drops import MEASURES
from rbmlib.analysis.collapse import Collapse, bootstrap_collapse
from rbmlib.analysis.drops import NEVER, find_crossing, find_drop

from .study import BIASES, STEP

PAPER_ALPHA = 0.5
RESAMPLES = 200
NAMES = {name: measure.label for name, measure in MEASURES.items()}
_Array = NDArray[np.float64]


class Curves(NamedTuple):
    """What is found of one measure with one kind of biases.

    Attributes
    ----------
    collapse : Collapse or None
        Best alpha, step and costs with intervals; None where the mean curve of a dilution has no drop.
    drops : array, (n_replicas, n_dilutions, 2)
        Position in f and width of every machine's drop; 1 where it has none.
    exponent : Estimate or None
        Of the width in f; None where a machine has no drop.
    level : array, (n_replicas, n_dilutions)
        The f at which a machine comes to half of the height of the mean curve that it has as trained; 1 for never.
    """

    collapse: Collapse | None
    drops: _Array
    exponent: Estimate | None
    level: _Array


Derived = Mapping[tuple[str, str], Curves]
"""By biases and measure."""


def derived(machines: xr.Dataset) -> Derived:
    """All of it, of those measures that every machine has at every point.

    Parameters
    ----------
    machines : xarray.Dataset
        What :func:`rbmbook.studies.collapse.study.results` returned, or one of its arms along ``biases``.
    """
    ordered = machines.transpose("biases", "replica", "dilution", "removed")
    p0, f = ordered.dilution.values, ordered.removed.values
    found = {}
    for name, measure in MEASURES.items():
        if not np.isfinite(ordered[name]).all():
            continue
        plain = ordered[name].sel(biases=BIASES[0]).values.mean(axis=0)
        levels = [
            (row[0] + (row[-1] if measure.collapsed is None else measure.collapsed)) / 2 for row in plain
        ]
        for biases in ordered.biases.values:
            curves = ordered[name].sel(biases=biases).values
            drops = np.array([[find_drop(f, row, measure) for row in machine] for machine in curves])
            level = np.array(
                [
                    [find_crossing(f, row, at, measure) for row, at in zip(machine, levels, strict=True)]
                    for machine in curves
                ]
            )
            found[str(biases), name] = Curves(
                _collapse(p0, f, curves, name), drops, _exponent(p0, drops), level
            )
    return found


def _collapse(p0: _Array, f: _Array, curves: _Array, name: str) -> Collapse | None:
    try:
        return bootstrap_collapse(p0, f, curves, MEASURES[name], n_resamples=RESAMPLES)
    except ValueError:
        return None


def _exponent(p0: _Array, drops: _Array) -> Estimate | None:
    if (drops[..., 0] >= NEVER).any() or (drops[..., 1] <= 0).any():
        return None
    return bootstrap_interval(
        drops[..., 1], lambda drawn: float(slopes(-np.log(1 - p0), np.log(drawn.mean(axis=0))))
    )


def shift(found: Derived, name: str) -> Estimate | None:
    """How much later, in f, compensated machines come to half of the height: mean over dilutions, interval over replicas.

    None where a machine never does.
    """
    pair = [found.get((biases, name)) for biases in BIASES]
    if None in pair or any((one.level >= NEVER).any() for one in pair):
        return None
    return mean_interval((pair[1].level - pair[0].level).mean(axis=1))


def repaired(machines: xr.Dataset, removed: float) -> Estimate | None:
    """Share of the rise of E_AAI at one f that compensation takes away: mean over dilutions, interval over replicas.

    None where, over the replicas, it does not clearly rise.
    """
    aai = machines.aai.mean("dilution").transpose("biases", "replica", "removed")
    whole = aai.isel(removed=0).sel(biases=BIASES[0]).values
    plain, other = (aai.sel(biases=biases, removed=removed).values for biases in BIASES)
    if mean_interval(plain - whole).low <= 0:
        return None
    return bootstrap_interval(
        np.stack([whole, plain, other], axis=1),
        lambda drawn: float(1 - (drawn[:, 2] - drawn[:, 0]).mean() / (drawn[:, 1] - drawn[:, 0]).mean()),
    )


def setting(p: Mapping[str, Any]) -> str:
    """What a caption says of the run."""
    return (
        f"{p['n_hidden']} hidden units, {p['n_replicas']} replicas per dilution, PCD-{p['k']}, {p['n_updates']:,} updates, "
        f"{p['n_samples']:,} samples per point after {p['n_steps']:,} steps"
    )


def numbers(machines: xr.Dataset, found: Derived, p: Mapping[str, Any]) -> dict[str, str]:
    """The numbers and sentences by the names that the chapter quotes them under.

    Parameters
    ----------
    machines : xarray.Dataset
        What :func:`rbmbook.studies.collapse.study.results` returned.
    found : Derived
        What :func:`derived` made of it.
    p : mapping
        The parameters that it was given.
    """
    nearest = min(machines.removed.values, key=lambda f: abs(f - 0.6))
    return {
        "setting": setting(p),
        "replicas": str(machines.sizes["replica"]),
        "machines": f"{machines.sizes['replica'] * machines.sizes['dilution']:,}",
        "answer": _answer(found),
        "answer-alpha": _alphas_told(found, BIASES[0]),
        "answer-scale": _scale_told(found, BIASES[0]),
        "answer-width": _widths_told(found, BIASES[0], float(machines.dilution[-1])),
        "answer-compensated": _compensated_told(machines, found, float(nearest)),
        "answer-left": f"{_alphas_told(found, BIASES[1])} {_scale_told(found, BIASES[1])}",
        "identity": _identity_told(found),
        "cost-paper": _cost_told(found),
        "follows": _follows_told(found),
    }


def _answer(found: Derived) -> str:
    one = found.get((BIASES[0], "quality"))
    if one is None or one.collapse is None:
        return "In this run Q does not drop at every dilution, so it has no alpha to put beside the paper's."
    alpha, step = one.collapse.alpha, one.collapse.step
    later = shift(found, "aai")
    rest = (
        ""
        if later is None
        else f"; biases that make up for the removed weights move the drop of {NAMES['aai']} by "
        f"{interval_text(later, '%', '.2g')} of the weights"
    )
    return (
        f"By Q the best alpha is {interval_text(Estimate(*alpha), '', '.2f')} and the step lies at "
        f"{interval_text(Estimate(*step), '%', '.0f')}, where the paper has {PAPER_ALPHA} and {percent(STEP)}{rest}."
    )


def _fitted(found: Derived, biases: str) -> dict[str, Collapse]:
    return {
        name: found[biases, name].collapse
        for name in MEASURES
        if (biases, name) in found and found[biases, name].collapse is not None
    }


def _alphas_told(found: Derived, biases: str) -> str:
    fits = _fitted(found, biases)
    if not fits:
        return "No measure drops at every dilution of this run."
    alphas = joined(f"{number(fit.alpha.value, '', '.2f')} by {NAMES[name]}" for name, fit in fits.items())
    holds = [NAMES[name] for name, fit in fits.items() if fit.alpha.low <= PAPER_ALPHA <= fit.alpha.high]
    inside = f"that of {joined(holds)} alone" if holds else "none"
    if len(holds) == len(fits):
        inside = "every one"
    return f"The best alpha is {alphas}; of the intervals {inside} holds the paper's {PAPER_ALPHA}."


def _scale_told(found: Derived, biases: str) -> str:
    fits = _fitted(found, biases)
    groups: dict[str, list[str]] = {"f": [], "p*": [], "neither": []}
    for name, fit in fits.items():
        low, high = fit.difference.low, fit.difference.high
        groups["p*" if low > 0 else "f" if high < 0 else "neither"].append(NAMES[name])
    texts = []
    if groups["f"]:
        texts.append(f"{joined(groups['f'])} overlap better on f, which has no parameter")
    if groups["p*"]:
        texts.append(f"{joined(groups['p*'])} overlap better on p*, with its parameter fitted")
    if groups["neither"]:
        texts.append(f"for {joined(groups['neither'])} the two cannot be told apart")
    return (
        f"The curves of {'; '.join(texts)}."
        if texts and not texts[0].startswith("for")
        else (f"{texts[0][0].upper()}{texts[0][1:]}." if texts else "")
    )


def _widths_told(found: Derived, biases: str, highest: float) -> str:
    known = {
        name: found[biases, name].exponent
        for name in MEASURES
        if (biases, name) in found and found[biases, name].exponent is not None
    }
    if not known:
        return "In this run no measure drops in every machine."
    listed = joined(f"{interval_text(one, '', '.2f')} for {NAMES[name]}" for name, one in known.items())
    near_f = sum(one.high < 0.5 for one in known.values())
    grown = 1 / (1 - highest)
    return (
        f"The exponent is {listed}: nearer to 0 than to 1 for {near_f} of {len(known)}. With 1, machines of the highest "
        f"dilution would have drops {number(grown, '', '.2g')} times as wide in f as undiluted ones."
    )


def _compensated_told(machines: xr.Dataset, found: Derived, at: float) -> str:
    moved = {name: shift(found, name) for name in MEASURES}
    texts = [
        f"{interval_text(one, '%', '.2g')} ({NAMES[name]})" for name, one in moved.items() if one is not None
    ]
    never = [NAMES[name] for name, one in moved.items() if one is None and (BIASES[1], name) in found]
    first = (
        f"In shares of the weights that training left, half of the height is reached later by {joined(texts)}."
        if texts
        else "No measure comes to half of its height in all machines of both kinds."
    )
    second = f" By {joined(never)} some machines never come there." if never and texts else ""
    share = repaired(machines, at)
    third = (
        f"At f = {percent(at)} {NAMES['aai']} has not clearly risen, so there is nothing to take away."
        if share is None
        else f"At f = {percent(at)} compensation takes away {interval_text(share, '%', '.2g')} of the rise of {NAMES['aai']}."
    )
    return f"{first}{second} {third}"


def _identity_told(found: Derived) -> str:
    fits = _fitted(found, BIASES[0])
    if not fits:
        return DASH
    return joined(
        f"{number(fit.alpha.value, '', '.2f')} beside {number(1 - found[BIASES[0], name].drops[..., 0].mean(), '', '.2f')} "
        f"({NAMES[name]})"
        for name, fit in fits.items()
    )


def _cost_told(found: Derived) -> str:
    fits = _fitted(found, BIASES[0])
    if "quality" not in fits:
        return "In this run Q has no alpha."
    fit = fits["quality"]
    return (
        f"For Q the root of the cost, a typical distance between two curves in units of their height, is "
        f"{percent(fit.cost.value**0.5)} at the best alpha and {percent(fit.cost_remaining.value**0.5)} on f."
    )


def _follows_told(found: Derived) -> str:
    plain, other = (_fitted(found, biases) for biases in BIASES)
    if len(plain) < 2:
        return "In this run fewer than two measures have an alpha that could be compared."
    values = [fit.alpha.value for fit in plain.values()]
    changes = [abs(other[name].alpha.value - fit.alpha.value) for name, fit in plain.items() if name in other]
    biases = f", and on the biases, which change it by up to {max(changes):.2f}" if changes else ""
    return f"The best alpha depends on the measure, from {min(values):.2f} to {max(values):.2f}{biases}."
