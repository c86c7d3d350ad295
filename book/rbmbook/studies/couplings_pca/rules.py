"""Rules on classes of machines by weights and couplings (Diaz-Faloh & Mulet, Fig. 6): from separations to named parts.

All rules, with their thresholds, were written before the results. Separations are in units of the scatter within
classes, cross-validated, with whatever shares weights or a mask with a tested machine left out. The ten leading
principal axes decide; the plane that the paper shows, J(2) of unit length and permutations stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rbmbook.evidence.claims import Rule
from rbmbook.evidence.estimates import Estimate
from rbmbook.evidence.rules import (
    Finding,
    Part,
    above,
    beside_them,
    counted,
    finding,
    missing,
    spanned,
    within,
)

from .classes import difference, kinship

if TYPE_CHECKING:
    from .study import Study

VANISHES = 1.0
"""Classes nearer than one scatter are not apart: the best line between two normal clouds then errs on 31 % of them. Two
clouds of equal size have two summits from two scatters on."""


def weights_rule(study: Study) -> Finding:
    """Whether weights tell references from frozen and retrained machines (a)."""
    return _apart(study, "weights", "reference")


def mask_rule(study: Study) -> Finding:
    """Whether weights do not, if the references have the same masks (b)."""
    parts = [
        within(pair, _separation(study, pair, "weights", "same-mask"), VANISHES) for pair in _pairs(study)
    ]
    premises = [
        above(f"masks of their own, {pair}", _separation(study, pair, "weights", "reference"), premise=True)
        for pair in _pairs(study)
    ]
    beside = [
        within(f"in the plane, {pair}", _separation(study, pair, "weights", "same-mask", "plane"), VANISHES)
        for pair in _pairs(study)
    ]
    return finding("separation by weights under equal masks", [*parts, *premises], beside=beside_them(beside))


def couplings_rule(study: Study) -> Finding:
    """Whether couplings tell references from frozen and retrained machines (c)."""
    return _apart(study, "couplings", "reference")


def persist_rule(study: Study) -> Finding:
    """Whether couplings still do, if the references have the same masks, and less (d)."""
    parts, beside = [], []
    for space, into in (("couplings", parts), ("cosines", beside)):
        lead = "" if space == "couplings" else "unit length, "
        for pair in _pairs(study):
            equal, own = (
                _separation(study, pair, space, contrast) for contrast in ("same-mask", "reference")
            )
            into += [
                above(f"{lead}apart, {pair}", equal),
                above(f"{lead}weaker, {pair}", difference(own, equal)),
            ]
    beside += [
        above(f"in the plane, {pair}", _separation(study, pair, "couplings", "same-mask", "plane"))
        for pair in _pairs(study)
    ]
    return finding(
        "separation by J(2) under equal masks, and how much larger it is under different ones",
        parts,
        beside=beside_them(beside),
    )


def beyond_pairs_rule(study: Study) -> Finding:
    """Whether frozen and retrained machines are a class: apart from references, and near each other across replicas."""
    parts = []
    for space, told in (("weights", "weights"), ("couplings", "J(2)")):
        for pair in _pairs(study):
            parts.append(above(f"apart, {told}, {pair}", _separation(study, pair, space, "reference")))
            parts.append(above(f"nearer, {told}, {pair}", kinship(study.comparisons[pair], space)))
    beside = [
        above(f"unit length, nearer, {pair}", kinship(study.comparisons[pair], "cosines"))
        for pair in _pairs(study)
    ]
    return finding(
        "separation from references without the pair's other member, and how much nearer frozen machines are to the "
        "retrained of other replicas than to references",
        parts,
        beside=beside_them(beside),
    )


def targeted_rule(study: Study) -> Finding:
    """Whether retrained machines are less apart from references if any of their weights were kept, not the largest."""
    wide = [pair for pair in _pairs(study) if np.isfinite(_value(study, pair, "couplings", "random-kept"))]
    if not wide:
        return missing("needs machines that keep any of their weights and are retrained; no pair has them")
    parts, premises, beside = [], [], []
    for space, into in (("couplings", parts), ("weights", beside), ("cosines", beside)):
        for pair in wide:
            largest, kept = (_separation(study, pair, space, one) for one in ("retrained", "random-kept"))
            lead = "" if space == "couplings" else f"{_SPACES[space]}, "
            into.append(above(f"{lead}{pair}", difference(largest, kept)))
            if space == "couplings":
                premises.append(above(f"largest weights kept, {pair}", largest, premise=True))
    beside += [
        within(f"any weights kept, {pair}", _separation(study, pair, "couplings", "random-kept"), VANISHES)
        for pair in wide
    ]
    return finding(
        "separation by J(2) of retrained machines from references, the largest weights kept minus any kept",
        [*parts, *premises],
        beside=beside_them(beside),
    )


_SPACES = {"weights": "weights", "couplings": "J(2)", "cosines": "J(2) of unit length"}


def _pairs(study: Study) -> list[str]:
    return study.separations.pair.values.tolist()


def _value(study: Study, pair: str, space: str, contrast: str) -> float:
    return float(study.separations.separation.sel(pair=pair, space=space, contrast=contrast, axes="leading"))


def _separation(study: Study, pair: str, space: str, contrast: str, axes: str = "leading") -> Estimate:
    here = study.separations.sel(pair=pair, space=space, contrast=contrast, axes=axes)
    return Estimate(*(float(here[name]) for name in ("separation", "low", "high")))


def _apart(study: Study, space: str, contrast: str) -> Finding:
    parts = [above(pair, _separation(study, pair, space, contrast)) for pair in _pairs(study)]
    beside = [
        above(f"in the plane, {pair}", _separation(study, pair, space, contrast, "plane"))
        for pair in _pairs(study)
    ]
    if space == "couplings":
        beside += [
            above(f"unit length, {pair}", _separation(study, pair, "cosines", contrast))
            for pair in _pairs(study)
        ]
    return finding(f"separation by {_SPACES[space]}", parts, beside=beside_them(beside))


# --- in words -------------------------------------------------------------------------------------------------------


def _own(parts: Sequence[Part], lead: str = "") -> list[Part]:
    return [part for part in parts if not part.premise and part.name.startswith(lead)]


def _says_apart(space: str) -> str:
    def says(parts: Sequence[Part]) -> str:
        return f"{space} lie {spanned(_own(parts), '.2g')} scatters from those of references; apart in {counted(parts)} pairs."

    return says


def _says_mask(parts: Sequence[Part]) -> str:
    apart = spanned(_own(parts), ".2g")
    return (
        f"Under equal masks weights lie {apart} scatters apart; within one scatter in {counted(parts)} pairs."
    )


def _says_persist(parts: Sequence[Part]) -> str:
    apart, weaker = _own(parts, "apart"), _own(parts, "weaker")
    return (
        f"Under equal masks couplings lie {spanned(apart, '.2g')} scatters apart, clearly in {counted(apart)} pairs; "
        f"weaker in {counted(weaker)}."
    )


def _says_beyond(parts: Sequence[Part]) -> str:
    apart, nearer = _own(parts, "apart"), _own(parts, "nearer")
    return (
        f"Pairs left out, the class is apart in {counted(apart)} comparisons; frozen are nearer to retrained than to "
        f"references in {counted(nearer)}."
    )


def _says_targeted(parts: Sequence[Part]) -> str:
    added = f"adds {spanned(_own(parts))} scatters to the separation"
    return f"Keeping the largest weights, not any, {added}; clearly in {counted(parts)} pairs."


RULES: Mapping[str, Rule] = {
    "B6.weights-cluster": Rule(weights_rule, _says_apart("Weights of frozen and retrained machines")),
    "B6.mask-explains": Rule(mask_rule, _says_mask),
    "B6.couplings-cluster": Rule(couplings_rule, _says_apart("Couplings of frozen and retrained machines")),
    "B6.couplings-persist": Rule(persist_rule, _says_persist),
    "B6.beyond-pairs": Rule(beyond_pairs_rule, _says_beyond),
    "B6.targeted-pruning": Rule(targeted_rule, _says_targeted),
}
"""By the claim's id."""
