"""What Diaz-Faloh & Mulet say of their Fig. 4b, and what the results say of it.

The rules were written before any result of the profile ``book``. What was known from trials on other machines is that spectra
cross near ranks 59 to 62.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.evidence.claims import Rule, Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.evidence.estimates import Estimate, bootstrap_interval, mean_interval
from rbmbook.evidence.rules import Finding, Part, above, below, every, finding, missing, within
from rbmbook.evidence.words import percent
from rbmbook.lab.profiles import label, resolve
from rbmbook.studies.digits.standard import other_machines
from rbmlib.analysis.marchenko_pastur import MarchenkoPastur
from rbmlib.analysis.spectra import bulk_distance, count_above, crossing_index, fit_bulk

from . import study as spectra
from .study import BIASES, PROFILES, Study

PAPER_RANK = 62
"""Where the paper's curves meet."""
RANK_MARGIN = 6.0
"""Of the crossing, and the most that pairs of dilutions may scatter about it: a tenth of the paper's rank."""
FEWEST_CROSSINGS = 0.9
FEWEST_ABOVE = 5.0
"""Eigenvalues above the edge beyond those of shuffled weights: more than one in a hundred."""
BULK_MARGIN = 0.05
"""Largest difference between the distributions of a bulk and of the law that it follows."""
FEW_MODES = 20
QUALITY_MARGIN = 0.1
ROOT_MARGIN = 1.5
"""The root of E_AAI may be so many times that of the machine of all modes."""
FEWEST_REPLICAS = 5
_Array = NDArray[np.float64]


def bulk_law(spectrum: _Array, n_visible: int, set_aside: int = PAPER_RANK) -> MarchenkoPastur:
    """The law of a spectrum's bulk, the paper's number of modes set aside, as far as that leaves half of them."""
    return fit_bulk(spectrum, n_visible, min(set_aside, min(n_visible, len(spectrum)) // 2))


def above_edge(found: xr.Dataset) -> tuple[_Array, _Array]:
    """Number of eigenvalues above the edge (replica, dilution), and that of the weights shuffled, by laws of their own."""
    n_visible = found.attrs["n_visible"]
    ordered = found.transpose("replica", "dilution", "null", "rank", ...)
    trained = _each(ordered.eigenvalues.values, lambda row: count_above(row, bulk_law(row, n_visible)))
    shuffled = ordered.shuffled.sel(null="nothing").values.astype(np.float64)
    return trained, _each(shuffled, lambda row: count_above(row, bulk_law(row, n_visible, 0)))


def bulk_distances(found: xr.Dataset) -> _Array:
    """Distance of every bulk from its law (replica, dilution)."""
    n_visible = found.attrs["n_visible"]
    return _each(
        found.transpose("replica", "dilution", "null", "rank", ...).eigenvalues.values,
        lambda row: bulk_distance(row, bulk_law(row, n_visible)),
    )


def pairs_of(n_dilutions: int) -> list[tuple[int, int]]:
    """Pairs of dilutions that are no neighbours; all pairs where there are none."""
    pairs = list(combinations(range(n_dilutions), 2))
    return [(i, j) for i, j in pairs if j > i + 1] or pairs


def crossings(eigenvalues: _Array) -> _Array:
    """Ranks at which spectra (n_replicas, n_dilutions, n_hidden) cross: (n_replicas, n_pairs), NaN where they do not."""
    pairs = pairs_of(eigenvalues.shape[1])
    return np.array([[crossing_index(machine[i], machine[j]) for i, j in pairs] for machine in eigenvalues])


def _each(rows: _Array, function: Any) -> _Array:
    return np.array([[function(row) for row in machine] for machine in rows], dtype=np.float64)


def _by_dilution(values: _Array, dilution: Sequence[float]) -> list[tuple[str, Estimate]]:
    return [
        (f"p0 = {percent(p0)}", one) for p0, one in zip(dilution, mean_interval(values).each(), strict=True)
    ]


def departs_rule(study: Study) -> Finding:
    """Eigenvalues above the edge beside shuffled weights, and the bulk beside the law."""
    dilution = study.spectra.dilution.values
    trained, shuffled = above_edge(study.spectra)
    top = [above(name, one, FEWEST_ABOVE) for name, one in _by_dilution(trained - shuffled, dilution)]
    bulk = [
        below(name, one, BULK_MARGIN)
        for (name, one), p0 in zip(
            _by_dilution(bulk_distances(study.spectra), dilution), dilution, strict=True
        )
        if p0 > 0
    ]
    return finding(
        "eigenvalues above the edge beyond those of shuffled weights, and distance of diluted bulks from the law",
        [every("fewest above the edge", top), every("bulk farthest from the law", bulk)],
    )


def crossing_rule(study: Study) -> Finding:
    """Where the spectra of two dilutions cross."""
    ranks = crossings(study.spectra.eigenvalues.transpose("replica", "dilution", "rank").values)
    crossed = np.isfinite(ranks)
    if not crossed.any(axis=0).all():
        return missing("spectra of some dilutions do not cross in any replica")
    if ranks.shape[1] < 2:
        return missing("needs more than one pair of dilutions")
    mean = bootstrap_interval(np.arange(len(ranks)), lambda drawn: np.nanmean(ranks[drawn.astype(int)]))
    spread = bootstrap_interval(
        np.arange(len(ranks)),
        lambda drawn: float(np.nanstd(_pair_means(ranks[drawn.astype(int)]), ddof=1)),
    )
    share = mean_interval(crossed.mean(axis=1))
    return finding(
        f"{ranks.shape[1]} pairs of dilutions",
        [
            within("mean rank", mean, RANK_MARGIN, PAPER_RANK),
            below("standard deviation over pairs", spread, RANK_MARGIN),
            above("share that crosses", share, FEWEST_CROSSINGS, "%"),
        ],
    )


def _pair_means(ranks: _Array) -> _Array:
    known = np.isfinite(ranks)
    return np.where(
        known.any(axis=0), np.where(known, ranks, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan
    )


def modes_parts(truncated: xr.Dataset, biases: str) -> list[Part]:
    """What machines of 62 and of 20 modes lack of the machine of all modes, at every dilution."""
    chosen = truncated.sel(biases=biases).transpose("replica", "dilution", "modes")
    whole = chosen.isel(modes=-1)
    parts = []
    for modes in (PAPER_RANK, FEW_MODES):
        few = chosen.sel(modes=modes)
        lost = _by_dilution((whole.quality - few.quality).values, chosen.dilution.values)
        # Two machines of one replica are compared: the mean of logarithms, taken back.
        logs = 0.5 * np.log(few.aai.values / whole.aai.values)
        grown = [(name, one.map(np.exp)) for name, one in _by_dilution(logs, chosen.dilution.values)]
        if modes == PAPER_RANK:
            parts.append(every("62 modes, Q lost", [within(name, one, QUALITY_MARGIN) for name, one in lost]))
            parts.append(
                every("62 modes, root of E_AAI", [below(name, one, ROOT_MARGIN) for name, one in grown])
            )
        else:
            parts.append(every("20 modes, Q lost", [above(name, one, QUALITY_MARGIN) for name, one in lost]))
            parts.append(
                every("20 modes, root of E_AAI", [above(name, one, ROOT_MARGIN) for name, one in grown])
            )
    return parts


def modes_rule(study: Study) -> Finding:
    """Whether 62 modes suffice and 20 do not, with biases that make up for the change; as trained beside."""
    modes = study.truncated.modes.values
    if not {FEW_MODES, PAPER_RANK} <= set(modes.tolist()):
        return missing(f"needs {FEW_MODES} and {PAPER_RANK} among modes")
    text = "; ".join(f"{part.told}, {part.mark}" for part in modes_parts(study.truncated, BIASES[0]))
    return finding(
        "compensated biases, against all modes",
        modes_parts(study.truncated, BIASES[1]),
        beside=f"With biases as trained: {text}.",
    )


def _departs_says(parts: Sequence[Part]) -> str:
    top, bulk = parts
    return (
        f"At every dilution {top.estimate.value:.0f} eigenvalues or more lie above the edge, shuffled weights' taken off; "
        f"diluted bulks miss the law by up to {bulk.estimate.value:.2f}."
    )


def _crossing_says(parts: Sequence[Part]) -> str:
    mean, spread, _ = parts
    return (
        f"Spectra of dilutions that are not neighbours cross at rank {mean.estimate.value:.0f} on average, with a standard "
        f"deviation of {spread.estimate.value:.1f} over pairs."
    )


def _modes_says(parts: Sequence[Part]) -> str:
    quality, root, *_ = parts
    return (
        f"With 62 modes and compensated biases Q loses up to {quality.estimate.value:.2f}; the root of E_AAI grows up to "
        f"{root.estimate.value:.1f} times."
    )


RULES: dict[str, Rule] = {
    "B4.spectrum-departs": Rule(departs_rule, _departs_says),
    "B4.crossing-62": Rule(crossing_rule, _crossing_says),
    "B4.modes-suffice": Rule(modes_rule, _modes_says),
}
CLAIMS = tuple(RULES)


def _objections(p: Mapping[str, Any]) -> dict[str, str | None]:
    """Why a run cannot settle the claims, which are about the paper's setting."""
    common = other_machines(p)
    if common is None and p["n_replicas"] < FEWEST_REPLICAS:
        common = f"settled for n_replicas of at least {FEWEST_REPLICAS}; this run has {p['n_replicas']}"
    found: dict[str, str | None] = dict.fromkeys(RULES, common)
    if common is None:
        wanted = [p0 for p0 in (0.0, 0.8) if p0 not in list(p["dilutions"])]
        if wanted:
            found["B4.spectrum-departs"] = found["B4.crossing-62"] = (
                f"needs {wanted} among dilutions; this run has {list(p['dilutions'])}"
            )
        if p["modes"][-1] != p["n_hidden"]:
            found["B4.modes-suffice"] = (
                f"needs all {p['n_hidden']} modes to compare with; this run ends at {p['modes'][-1]}"
            )
        elif p["mode_replicas"] < FEWEST_REPLICAS:
            found["B4.modes-suffice"] = (
                f"settled for mode_replicas of at least {FEWEST_REPLICAS}; this run has {p['mode_replicas']}"
            )
    return found


def settle(study: Study, parameters: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on the claims.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.spectra.study.results` returned.
    parameters : mapping
        The parameters that it was given.
    """
    p = resolve(PROFILES, "book", parameters)
    seeds = {name: p["mode_replicas" if name == "B4.modes-suffice" else "n_replicas"] for name in RULES}
    return settle_by(RULES, study, label(PROFILES, p), seeds, _objections(p))


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts from the stored results of a profile."""
    p = resolve(PROFILES, profile)
    return settle(spectra.results(**p), p)
