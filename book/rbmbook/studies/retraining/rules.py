"""Rules on machines that are pruned and trained again (Diaz-Faloh & Mulet, Fig. 5): from results to named parts.

All rules, with their thresholds, were written before the results. A claim is about all pairs (p0, p). The paper's
measure is Q; what needs no judge stands beside it, or is a part of its own where the paper speaks of performance. Positions
of drops are shares of all weights, of every machine by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rbmbook.evidence.claims import Rule
from rbmbook.evidence.rules import (
    Finding,
    Part,
    above,
    below,
    beside_them,
    counted,
    finding,
    missing,
    spanned,
)

from .effects import QUANTITIES, bootstrap_difference, bootstrap_mean, gain, share_explained, values_of

if TYPE_CHECKING:
    from .study import Study

RECOVERED = 0.90
"""Q above this is near 1: the paper's axis of Q for machines that were not pruned begins here (its Fig. 2)."""
FAILED = 0.5
"""A machine has failed if Q is below this share of its base machine's."""
PERFORMANCE = ("quality", "root_aai", "root_second_moment", "log_likelihood", "position")
"""What performance is taken for: four quantities with no further pruning, and the p at which Q drops."""
WITHOUT_JUDGE = ("position_aai", "position_second_moment")
"""Positions by measures that need no judge."""


def recovers_rule(study: Study) -> Finding:
    """Whether retrained machines start with Q near 1, given that the frozen ones have failed."""
    parts, premises, beside = [], [], []
    for pair in _pairs(study):
        base = study.base.quality.sel(pair=pair)
        frozen = values_of(study, "quality", pair, "frozen") / base.where(base > 0).values
        premises.append(
            below(
                f"frozen at {pair}: Q over that of the base machine", bootstrap_mean(frozen), FAILED, "", True
            )
        )
        parts.append(above(pair, bootstrap_mean(values_of(study, "quality", pair, "retrained")), RECOVERED))
        beside.append(above(f"by the other judge at {pair}", bootstrap_mean(_other(study, pair)), RECOVERED))
        beside += [
            above(f"{QUANTITIES[name].label} at {pair}, over the frozen", gain(study, name, pair, *_RETRAINING))
            for name in ("root_aai", "root_second_moment", "log_likelihood")
        ]  # fmt: skip
    return finding(
        "Q of retrained machines with no further pruning", [*parts, *premises], beside=beside_them(beside)
    )


def reference_wins_rule(study: Study) -> Finding:
    """Whether references drop at larger p than retrained machines."""
    parts = [_gain(study, "position", pair, *_FROM_SCRATCH) for pair in _pairs(study)]
    beside = [
        _gain(study, name, pair, *_FROM_SCRATCH) for name in WITHOUT_JUDGE for pair in _pairs(study)
    ] + [
        _gain(study, "position", pair, "same-mask", "retrained", "same mask, ") for pair in _pairs(study)
    ]  # fmt: skip
    return finding("p at the drop of Q, reference minus retrained", parts, beside=beside_them(beside))


def sharper_rule(study: Study) -> Finding:
    """Whether retrained machines drop at smaller p, and over a smaller range of p, than references."""
    sooner = [_gain(study, "position", pair, *_FROM_SCRATCH, "sooner, ") for pair in _pairs(study)]
    sharper = [_gain(study, "width", pair, *_FROM_SCRATCH, "sharper, ") for pair in _pairs(study)]
    return finding(
        "position and width in p of the drop of Q, reference minus retrained",
        [*sooner, *sharper],
        beside=beside_them([_pooled_width(study)]),
    )


def from_scratch_rule(study: Study) -> Finding:
    """Whether references do better than retrained machines of equal sparsity, without and with further pruning."""
    parts = [_gain(study, name, pair, *_FROM_SCRATCH) for name in PERFORMANCE for pair in _pairs(study)]
    beside = [
        _gain(study, name, pair, "reference-2", "retrained", "at equal total updates, ")
        for name in PERFORMANCE
        for pair in _wide_pairs(study)
    ]
    return finding("gain of the reference over the retrained", parts, beside=beside_them(beside))


def not_mask_alone_rule(study: Study) -> Finding:
    """Whether machines of the same mask that inherit no weights drop later, after as many updates in all."""
    wide = _wide_pairs(study)
    if not wide:
        return missing(_NO_WIDE_PAIR)
    parts = [
        *(_gain(study, "position", pair, "same-mask-2", "retrained") for pair in wide),
        *(
            _gain(study, "position", pair, "reference-2", "retrained", "both, ")._replace(premise=True)
            for pair in wide
        ),
    ]
    beside = []
    for pair in _pairs(study):
        beside.append(_gain(study, "position", pair, "same-mask", "retrained", "at single length, "))
        share = share_explained(study, "position", pair, "reference", "same-mask", "retrained")
        beside.append(
            above(f"share of the difference that inherited weights explain, {pair}", share, 0.0, "%")
        )
        beside.append(_gain(study, "quality", pair, "retrained", "biases", "weights as well as biases, "))
    return finding(
        "p at the drop of Q at equal total updates, same mask and fresh weights minus retrained",
        parts,
        beside=beside_them(beside),
    )  # fmt: skip


def dilute_early_rule(study: Study) -> Finding:
    """Whether machines that were sparse from the start do better, at equal sparsity and equal total updates."""
    wide = _wide_pairs(study)
    if not wide:
        return missing(_NO_WIDE_PAIR)
    parts = [_gain(study, name, pair, "reference-2", "retrained") for name in PERFORMANCE for pair in wide]
    beside = [
        _gain(study, name, pair, *_FROM_SCRATCH, "at single length, ")
        for name in PERFORMANCE
        for pair in _pairs(study)
    ]
    return finding(
        "gain of sparse from the start over retrained, at equal total updates",
        parts,
        beside=beside_them(beside),
    )


_FROM_SCRATCH = ("reference", "retrained")
_RETRAINING = ("retrained", "frozen")
_NO_WIDE_PAIR = "needs references that are trained twice as long; no pair has them"


def _pairs(study: Study) -> list[str]:
    return study.machines.pair.values.tolist()


def _wide_pairs(study: Study) -> list[str]:
    """The pairs that have the arms at equal total updates."""
    there = study.machines.quality.sel(arm="reference-2").notnull().any(["replica", "removed"])
    return study.machines.pair.values[there.values].tolist()


def _gain(study: Study, name: str, pair: str, first: str, second: str, lead: str = "") -> Part:
    quantity = QUANTITIES[name]
    plain = "" if name in ("position", "width") else f"{quantity.label}, "
    return above(f"{lead}{plain}{pair}", gain(study, name, pair, first, second), 0.0, quantity.unit)


def _other(study: Study, pair: str) -> np.ndarray:
    return study.machines.quality_other.sel(pair=pair, arm="retrained").isel(removed=0).values


def _pooled_width(study: Study) -> Part:
    """All pairs together, widths in shares of the weights that a machine has: references minus retrained."""
    left = 1 - study.machines.sparsity
    widths = study.drops.width.sel(measure="quality") / left
    both = [widths.sel(arm=arm).values.ravel() for arm in _FROM_SCRATCH]
    return above(
        "sharper, all pairs, of the weights left", bootstrap_difference(*both, paired=False), 0.0, "%"
    )


# --- in words -------------------------------------------------------------------------------------------------------


def _own(parts: Iterable[Part], lead: str = "") -> list[Part]:
    return [part for part in parts if not part.premise and part.name.startswith(lead)]


def _says_recovers(parts: Sequence[Part]) -> str:
    level = f"{RECOVERED:.2f} in {counted(parts)} pairs"
    return (
        f"With no further pruning, Q of retrained machines is {spanned(_own(parts), '.2f')}; above {level}."
    )


def _says_reference_wins(parts: Sequence[Part]) -> str:
    later = f"{spanned(_own(parts), '.2g')} of all weights later"
    return f"References lose Q {later} than retrained machines; clearly in {counted(parts)} pairs."


def _says_sharper(parts: Sequence[Part]) -> str:
    sooner, sharper = _own(parts, "sooner"), _own(parts, "sharper")
    return (
        f"Retrained machines drop sooner in {counted(sooner)} pairs and more sharply in {counted(sharper)}."
    )


def _says_from_scratch(parts: Sequence[Part]) -> str:
    lost = counted(parts, "fails")
    return f"References beat retrained machines of equal sparsity in {counted(parts)} comparisons and lose in {lost}."


def _says_not_mask_alone(parts: Sequence[Part]) -> str:
    return (
        f"At equal updates and masks, fresh weights move the drop of Q by {spanned(_own(parts))}; "
        f"later in {counted(parts)} pairs."
    )


def _says_dilute_early(parts: Sequence[Part]) -> str:
    return f"At equal updates, sparse from the start wins {counted(parts)} comparisons and loses {counted(parts, 'fails')}."


RULES: Mapping[str, Rule] = {
    "B5.retrain-recovers": Rule(recovers_rule, _says_recovers),
    "B5.reference-wins": Rule(reference_wins_rule, _says_reference_wins),
    "B5.sharper": Rule(sharper_rule, _says_sharper),
    "B5.from-scratch-better": Rule(from_scratch_rule, _says_from_scratch),
    "B5.not-mask-alone": Rule(not_mask_alone_rule, _says_not_mask_alone),
    "B5.dilute-early": Rule(dilute_early_rule, _says_dilute_early),
}
"""By the claim's id."""
