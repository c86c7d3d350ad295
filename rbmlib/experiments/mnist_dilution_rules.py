"""Rules on diluted and pruned RBMs of MNIST: from measures of several replicas to a finding with an interval.

Every threshold stands here, was written before the results, and is an effect size in the measure's own units
or a share of the weights; none is a standard error. Replicas of different dilutions share no random numbers,
so replica r of all dilutions together is one independent repetition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbmlib.analysis.drops import drops, find_drop, total_removed
from rbmlib.lab.claims import (
    Estimate,
    Outcome,
    bootstrap_interval,
    combine,
    decide_difference,
    decide_equivalence,
    mean_interval,
    paired_difference,
)
from rbmlib.mnist.appearance import Appearance, noise_of_equal_ink

from .quality_drops import MEASURES, estimate_drops
from .tfim_pruning_rules import Finding

PLAUSIBLE = 0.90
"""Q above this counts as high (the paper's Fig. 2 begins there)."""
TREND = 0.05
"""A change of Q over all dilutions by at most this is slight."""
SHARP = 1 / 3
"""A drop is sharp if its width is at most this share of its position; a straight line has 1.6."""
FLAT = 0.05
"""Q has stayed flat if, half-way to the drop, it is within this of its value without pruning."""
AGREE = 0.05
"""Positions of two measures agree within this share of the weights that the machine was trained with."""
STROKES = 0.5
"""Ink is strokes rather than noise if its contact lies more than this share of the way from noise to data."""
CENTRED = 0.10
"""Ink is in the middle if its centre is, on average, within this share of the image's side from the middle."""
OFTEN = 0.5
"""Often: in more than this share of the failed machines."""
CLAIMED_ACCURACY = 0.985
"""An accuracy that rounds to the 99 % of the paper."""
FAILED = 0.5
"""A pruned machine has failed if Q is at most this share of its value without pruning."""
FEWEST_REPLICAS = 5
DILUTIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
FIG1_REMOVED = (0.2, 0.3)
TRANSITION = ("aai", "second_moment", "digits")
"""The measures that Q is compared with."""


@dataclass(frozen=True)
class Curves:
    """Measures of pruned machines.

    Attributes
    ----------
    removed : array, (n_points,)
        Shares f removed of the weights that a machine was trained with, ascending from 0; the same for all
        dilutions.
    dilution : array, (n_dilutions,)
        Shares p0 that were zero in training, ascending.
    values : mapping of str to array, (n_replicas, n_dilutions, n_points)
        The measures by the names of :data:`rbmlib.experiments.quality_drops.MEASURES`.
    """

    removed: NDArray[np.float64]
    dilution: NDArray[np.float64]
    values: Mapping[str, NDArray[np.float64]]

    def drops(self, name: str) -> Estimate:
        """Position and width (n_dilutions, 2) of a measure's drop, with intervals."""
        return estimate_drops(self.removed, self.values[name], MEASURES[name])


# --- Figs 1 and 2 ---------------------------------------------------------------------------------------------------


def diversity_rule(
    quality: NDArray[np.float64],
    imbalance: NDArray[np.float64],
    entropy: NDArray[np.float64],
    removed: Sequence[float] = (0.0, *FIG1_REMOVED),
) -> Finding:
    """Whether undiluted machines draw plausible digits, which become less diverse at 20 and 30 % removed.

    Parameters
    ----------
    quality, imbalance, entropy : array, (n_replicas, n_points)
        Q, d_f and class entropy of undiluted machines with the shares `removed`, 0 first.
    """
    dense = mean_interval(quality[:, 0])
    outcomes, texts, last = [_above(dense, PLAUSIBLE)], [f"Q is {_range(dense)} without pruning"], None
    for point, share in enumerate(removed[1:], start=1):
        rise = paired_difference(imbalance[:, point], imbalance[:, 0])
        fall = paired_difference(entropy[:, point], entropy[:, 0])
        outcomes += [decide_difference(rise, 1), decide_difference(fall, -1)]
        texts.append(
            f"with {100 * share:.0f} % removed d_f changes by {rise.value:+.2g} [{rise.low:+.2g}, {rise.high:+.2g}] and the "
            f"entropy by {fall.value:+.2g} [{fall.low:+.2g}, {fall.high:+.2g}]"
        )
        last = rise
    return Finding(last.value, last.interval, combine(outcomes), "; ".join(texts))


def harmless_rule(quality: Mapping[str, NDArray[np.float64]], dilution: NDArray[np.float64]) -> Finding:
    """Whether Q stays high at every dilution, with a slight downward trend, by every judge.

    Parameters
    ----------
    quality : mapping of str to array, (n_replicas, n_dilutions)
        Q of unpruned machines by judge; the first decides the value that is reported.
    dilution : array, (n_dilutions,)
        Their dilutions p0.
    """
    outcomes, texts, first = [], [], None
    for judge, values in quality.items():
        levels = mean_interval(values)
        high = combine(
            _above(Estimate(*one), PLAUSIBLE)
            for one in zip(levels.value, levels.low, levels.high, strict=True)
        )
        change = mean_interval(_slopes(dilution, values) * (dilution[-1] - dilution[0]))
        slight = decide_equivalence(change, (-TREND, 0.0))
        outcomes += [high, slight]
        lowest = int(np.argmin(levels.value))
        texts.append(
            f"{judge}: Q is lowest at p0 = {100 * dilution[lowest]:.0f} %, {levels.value[lowest]:.3f} "
            f"[{levels.low[lowest]:.3f}, {levels.high[lowest]:.3f}], and changes by {change.value:+.3f} "
            f"[{change.low:+.3f}, {change.high:+.3f}] over all dilutions"
        )
        first = first or Estimate(levels.value[lowest], levels.low[lowest], levels.high[lowest])
    return Finding(float(first.value), _floats(first), combine(outcomes), "; ".join(texts))


# --- Fig. 3 ---------------------------------------------------------------------------------------------------------


def sharp_rule(curves: Curves, name: str = "quality") -> Finding:
    """Whether a measure stays flat and then drops sharply, at every dilution.

    Flatness is a matter of Q, whose plateau has a scale; for other measures the width decides alone.
    """
    values, measure = curves.values[name], MEASURES[name]

    def statistic(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        found = drops(curves.removed, drawn, measure)
        halfway = [
            np.interp(position / 2, curves.removed, mean)
            for position, mean in zip(found[:, 0], drawn.mean(axis=0), strict=True)
        ]
        return np.stack([found[:, 1] / found[:, 0], halfway - drawn.mean(axis=0)[:, 0]])

    estimate = bootstrap_interval(values, statistic, n_resamples=1000)
    position = drops(curves.removed, values, measure)[:, 0]
    outcomes: list[Outcome] = []
    for at in range(len(curves.dilution)):
        ratio, change = (Estimate(*(x[row, at] for x in _three(estimate))) for row in (0, 1))
        sharp: Outcome = (
            "reproduced" if ratio.high <= SHARP else "not reproduced" if ratio.low > SHARP else "not decided"
        )
        outcomes.append(sharp)
        if name.startswith("quality"):
            outcomes.append(decide_equivalence(change, FLAT))
    widest = int(np.argmax(estimate.value[0]))
    text = (
        f"{measure.label} drops at f = {_percents(position)} of the weights that training left (p0 = "
        f"{_percents(curves.dilution)}); its width is at most {estimate.value[0, widest]:.2f} of its position "
        f"[{estimate.low[0, widest]:.2f}, {estimate.high[0, widest]:.2f}], at p0 = "
        f"{100 * curves.dilution[widest]:.0f} %"
    )
    interval = float(estimate.low[0, widest]), float(estimate.high[0, widest])
    return Finding(float(estimate.value[0, widest]), interval, combine(outcomes), text)


def robust_rule(curves: Curves, name: str = "quality") -> Finding:
    """Whether the drop moves up with dilution, as total share p_c and as share f_c of what training left."""
    measure = MEASURES[name]

    def statistic(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        f_c = drops(curves.removed, drawn, measure)[:, 0]
        both = np.stack([total_removed(curves.dilution, f_c), f_c])
        return _slopes(curves.dilution, both)

    found = bootstrap_interval(curves.values[name], statistic, n_resamples=1000)
    of_total, of_rest = (
        decide_difference((low, high), 1) for low, high in zip(found.low, found.high, strict=True)
    )
    # If the total share did not rise there would be nothing in it; the share of what is left is the stronger claim.
    outcome: Outcome = of_total if of_total != "reproduced" else combine([of_total, of_rest])
    text = (
        f"by {measure.label}, per unit of dilution the drop moves by {found.value[0]:+.2f} [{found.low[0]:+.2f}, "
        f"{found.high[0]:+.2f}] as a share of all weights and by {found.value[1]:+.2f} [{found.low[1]:+.2f}, "
        f"{found.high[1]:+.2f}] as a share of those that training left (a fixed share of these would give "
        f"{1 - float(np.mean(drops(curves.removed, curves.values[name], measure)[:, 0])):+.2f} and 0)"
    )
    return Finding(float(found.value[1]), (float(found.low[1]), float(found.high[1])), outcome, text)


def agree_rule(curves: Curves, names: Sequence[str] = TRANSITION) -> Finding:
    """Whether the drops of other measures lie where that of Q lies, at every dilution."""
    stacked = np.stack([curves.values[name] for name in ("quality", *names)], axis=1)

    def statistic(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        positions = [
            drops(curves.removed, drawn[:, at], MEASURES[name])[:, 0]
            for at, name in enumerate(("quality", *names))
        ]
        return np.stack(positions[1:]) - positions[0]

    found = bootstrap_interval(stacked, statistic, n_resamples=1000)
    outcomes = [
        decide_equivalence((low, high), AGREE)
        for low, high in zip(np.ravel(found.low), np.ravel(found.high), strict=True)
    ]
    at = np.unravel_index(int(np.argmax(np.abs(found.value))), found.value.shape)
    listed = "; ".join(
        f"{MEASURES[name].label} {_signed(found.value[row])}" for row, name in enumerate(names)
    )
    text = (
        f"drop of each measure minus that of Q, in points of the weights that training left, for p0 = "
        f"{_percents(curves.dilution)}: {listed}; of these {len(outcomes)} differences {outcomes.count('reproduced')} have their "
        f"interval within the margin of {100 * AGREE:.0f} points, {outcomes.count('not reproduced')} beyond it, "
        f"{outcomes.count('not decided')} across it"
    )
    return Finding(
        float(found.value[at]), (float(found.low[at]), float(found.high[at])), combine(outcomes), text
    )


def crucial_rule(
    removed: NDArray[np.float64], by_order: Mapping[str, NDArray[np.float64]], name: str = "aai"
) -> Finding:
    """Whether machines last longest when their smallest weights go first, and shortest when their largest do.

    Parameters
    ----------
    removed : array, (n_points,)
        Shares f.
    by_order : mapping of str to array, (n_machines, n_points)
        A measure of the same machines pruned in the orders ``magnitude``, ``random`` and ``largest``.
    name : str
        The measure.
    """
    measure = MEASURES[name]
    orders = ("magnitude", "random", "largest")
    stacked = np.stack([by_order[order] for order in orders], axis=1)

    def positions(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([find_drop(removed, curve, measure).position for curve in drawn.mean(axis=0)])

    found = bootstrap_interval(stacked, lambda drawn: -np.diff(positions(drawn)), n_resamples=1000)
    outcomes = [decide_difference((low, high), 1) for low, high in zip(found.low, found.high, strict=True)]
    at = positions(stacked)
    text = (
        f"{measure.label} drops at f = "
        + ", ".join(f"{100 * x:.3g} % ({order} first)" for x, order in zip(at, ("smallest", "any", "largest"), strict=True))
        + f"; the {100 * (1 - at[0]):.0f} % of largest weights are what it needs"
    )  # fmt: skip
    return Finding(
        float(found.value[0]), (float(found.low[0]), float(found.high[0])), combine(outcomes), text
    )


# --- appendix A -----------------------------------------------------------------------------------------------------


def failure_rule(looks: Sequence[Appearance], data: Appearance, shape: tuple[int, int]) -> Finding:
    """Whether failed machines draw a few strokes, often in the middle, and not noise.

    Parameters
    ----------
    looks : sequence of Appearance
        One for each machine that has failed; their samples are independent of one another.
    data : Appearance
        That of the data.
    shape : (int, int)
        Height and width.
    """
    if len(looks) < FEWEST_REPLICAS:
        reason = f"needs at least {FEWEST_REPLICAS} failed machines; there are {len(looks)}"
        return Finding(0.0, (-np.inf, np.inf), "not decided", reason)
    drawn = [one for one in looks if 0 < one.ink < 1]
    ink = mean_interval([one.ink / data.ink for one in looks])
    sparse = decide_difference((ink.low - 1, ink.high - 1), -1)
    contact = mean_interval([_contact(one, data, shape) for one in drawn]) if len(drawn) > 1 else None
    strokes = (
        decide_difference((contact.low - STROKES, contact.high - STROKES), 1) if contact else "not decided"
    )
    varies = [0.0 if np.isnan(one.variation) else one.variation for one in looks]
    variation = mean_interval(varies)
    told_apart = decide_difference((variation.low - data.variation, variation.high - data.variation), -1)
    near = np.array([one.off_centre <= CENTRED * min(shape) for one in looks], dtype=float)
    centred = bootstrap_interval(near, lambda share: share.mean())
    middle = decide_difference((centred.low - OFTEN, centred.high - OFTEN), 1)
    place = f"{contact.value:.2f} [{contact.low:.2f}, {contact.high:.2f}]" if contact else "nowhere"
    text = (
        f"{len(looks)} failed machines have {ink.value:.2f} [{ink.low:.2f}, {ink.high:.2f}] of the data's ink, contact "
        f"at {place} of the way from noise to data, variation {variation.value:.2f} [{variation.low:.2f}, "
        f"{variation.high:.2f}] (data {data.variation:.2f}, noise 1), and {100 * centred.value:.0f} % of them "
        f"have it in the middle"
    )
    return Finding(ink.value, ink.interval, combine([sparse, strokes, told_apart, middle]), text)


def _contact(looks: Appearance, data: Appearance, shape: tuple[int, int]) -> float:
    """Contact of ink on the way from noise of the same ink, 0, to the data, 1."""
    noise = noise_of_equal_ink(looks.ink, shape).contact
    return (looks.contact - noise) / (data.contact - noise)


def judge_rule(
    digits: NDArray[np.float64], seen: NDArray[np.float64], unseen: NDArray[np.float64]
) -> Finding:
    """Whether the judge is right in 99 % of a test set, half digits and half negatives.

    Parameters
    ----------
    digits : array, (n_folds,)
        Share of the test digits that each fold's judge accepts.
    seen : array, (n_machines,)
        Share of each machine's held-out negatives that a judge rejects which was trained on others of them.
    unseen : array, (n_machines,)
        The same by the judge that has never seen the machine.
    """
    right = {}
    for name, rejected in (("images of machines it has seen", seen), ("machines it has never seen", unseen)):
        negative = mean_interval(rejected)
        right[name] = Estimate(*((digits.mean() + x) / 2 for x in _three(negative)))
    outcomes = [_above(one, CLAIMED_ACCURACY) for one in right.values()]
    text = (
        f"accuracy on digits is {100 * digits.mean():.1f} %; together with negatives it is "
        + " and ".join(
            f"{100 * one.value:.1f} % [{100 * one.low:.1f}, {100 * min(one.high, 1.0):.1f}] on new {name}"
            for name, one in right.items()
        )
    )
    found = list(right.values())[1]
    return Finding(found.value, found.interval, combine(outcomes), text)


# --- shared ---------------------------------------------------------------------------------------------------------


def has_failed(quality: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points of curves (..., n_points) are those of a failed machine."""
    return quality <= FAILED * quality[..., :1]


def _above(estimate: Estimate, level: float) -> Outcome:
    return decide_difference((float(estimate.low) - level, float(estimate.high) - level), 1)


def _slopes(x: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares slopes of (..., n) by x."""
    centred = x - x.mean()
    return (values * centred).sum(axis=-1) / (centred**2).sum()


def _three(estimate: Estimate) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    return estimate.value, estimate.low, estimate.high


def _floats(estimate: Estimate) -> tuple[float, float]:
    return float(estimate.low), float(estimate.high)


def _range(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _percents(shares: NDArray[np.float64]) -> str:
    return ", ".join(f"{100 * share:.0f}" for share in shares) + " %"


def _signed(shares: NDArray[np.float64]) -> str:
    return ", ".join(f"{100 * share:+.0f}" for share in shares)
