"""Rules on diluted and pruned RBMs of MNIST: from measures of several replicas to a finding with an interval.

Every threshold stands here and is an effect size in the measure's own units
or a share of the weights; none is a standard error. Replicas of different dilutions share no random numbers,
so replica r of all dilutions together is one independent repetition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbmbook.evidence.estimates import Estimate, bootstrap_interval, mean_interval, paired_difference, slopes
from rbmbook.evidence.rules import (
    Finding,
    Part,
    above,
    below,
    every,
    farthest,
    finding,
    largest,
    last,
    least,
    missing,
    within,
)
from rbmbook.evidence.words import interval_text, percent
from rbmbook.studies.digits.drops import MEASURES, effective_digits, estimate_drops
from rbmbook.studies.digits.standard import FEWEST_REPLICAS, FIG1_REMOVED
from rbmlib.analysis.drops import drops, find_drop, total_removed
from rbmlib.mnist.appearance import Appearance, noise_of_equal_ink

PLAUSIBLE = 0.90
"""Q above this counts as high (the paper's Fig. 2 begins there)."""
FEWER_DIGITS = 0.5
"""A fall of the effective number of digits by more than this is a loss of diversity."""
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
DILUTIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
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
        The measures by the names of :data:`rbmbook.studies.digits.drops.MEASURES`.
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
    removed: Sequence[float] = (0.0, *FIG1_REMOVED),
) -> Finding:
    """Whether undiluted machines, which draw plausible digits, draw fewer kinds of them at 20 and 30 % removed.

    Parameters
    ----------
    quality, imbalance : array, (n_replicas, n_points)
        Q and d_f of undiluted machines with the shares `removed`, 0 first.
    """
    digits = effective_digits(imbalance)
    parts = [above("Q without pruning", mean_interval(quality[:, 0]), PLAUSIBLE)._replace(premise=True)]
    for point, share in enumerate(removed[1:], start=1):
        change = paired_difference(digits[:, point], digits[:, 0])
        parts.append(below(f"change with {percent(share)} removed", change, -FEWER_DIGITS, "digits"))
    return finding(f"effective number of digits, claimed to fall by more than {FEWER_DIGITS:g}", parts, last)


def harmless_rule(quality: Mapping[str, NDArray[np.float64]], dilution: NDArray[np.float64]) -> Finding:
    """Whether Q stays high at every dilution, with a slight downward trend, by each of some judges.

    Parameters
    ----------
    quality : mapping of str to array, (n_replicas, n_dilutions)
        Q of unpruned machines by judge; the first decides the value that is reported.
    dilution : array, (n_dilutions,)
        Their dilutions p0.
    """
    parts = []
    for judge, values in quality.items():
        levels = [
            above(f"p0 = {percent(p0)}", one, PLAUSIBLE)
            for p0, one in zip(dilution, mean_interval(values).each(), strict=True)
        ]
        lowest = least(levels)
        decides = lowest if decide_alike(levels) else every("", levels)
        parts.append(decides._replace(name=f"{judge}, Q, lowest at {lowest.name}"))
        change = mean_interval(slopes(dilution, values) * (dilution[-1] - dilution[0]))
        parts.append(Part(f"{judge}, change over all dilutions", change, -TREND, 0.0))
    return finding("Q of unpruned machines", parts)


def decide_alike(parts: Sequence[Part]) -> bool:
    """Whether all parts come to the same mark."""
    return len({part.mark for part in parts}) == 1


# --- Fig. 3 ---------------------------------------------------------------------------------------------------------


def sharp_rule(curves: Curves, name: str = "quality") -> Finding:
    """Whether each machine's measure stays flat and then drops sharply, at every dilution: means over machines, since
    the mean of their curves is as wide as their positions scatter.

    Flatness is a matter of Q, whose plateau has a scale; for other measures the width decides alone.
    """
    values, measure = curves.values[name], MEASURES[name]
    drop = np.array([[find_drop(curves.removed, curve, measure) for curve in machine] for machine in values])
    width, parts, widths = drop[..., 1] / drop[..., 0], [], []
    for at, p0 in enumerate(curves.dilution):
        place = f"at p0 = {percent(p0)}"
        widths.append(below(f"width over position {place}", mean_interval(width[:, at]), SHARP))
        parts.append(widths[-1])
        if name.startswith("quality"):
            pairs = zip(drop[:, at, 0], values[:, at], strict=True)
            halfway = [np.interp(x / 2, curves.removed, curve) for x, curve in pairs]
            parts.append(
                within(
                    f"change half-way to the drop {place}", paired_difference(halfway, values[:, at, 0]), FLAT
                )
            )
    where = ", ".join(f"{100 * one:.0f}" for one in drop[..., 0].mean(axis=0))
    return finding(
        f"{measure.label} of single machines; drops at f = {where} %", parts, lambda _: largest(widths)
    )


def robust_rule(curves: Curves, name: str = "quality") -> Finding:
    """Whether the drop moves up with dilution, as total share p_c and as share f_c of what training left."""
    measure = MEASURES[name]

    def statistic(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        f_c = drops(curves.removed, drawn, measure)[:, 0]
        both = np.stack([total_removed(curves.dilution, f_c), f_c])
        return slopes(curves.dilution, both)

    of_total, of_rest = bootstrap_interval(curves.values[name], statistic, n_resamples=1000).each()
    parts = [above("as a share of all weights", of_total)]
    fixed = 1 - float(np.mean(drops(curves.removed, curves.values[name], measure)[:, 0]))
    beside = (
        f"As a share of those that training left {interval_text(of_rest, form='+.2f')}; a fixed share of these would give "
        f"{fixed:+.2f} and 0."
    )
    return finding(f"{measure.label}: move of the drop per unit of dilution", parts, beside=beside)


def agree_rule(curves: Curves, names: Sequence[str] = TRANSITION) -> Finding:
    """Whether the drops of other measures lie where that of Q lies, at every dilution."""
    stacked = np.stack([curves.values[name] for name in ("quality", *names)], axis=1)

    def statistic(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        positions = [
            drops(curves.removed, drawn[:, at], MEASURES[name])[:, 0]
            for at, name in enumerate(("quality", *names))
        ]
        return np.stack(positions[1:]) - positions[0]

    found = bootstrap_interval(stacked, statistic, n_resamples=1000).each()
    places = [(MEASURES[name].label, p0) for name in names for p0 in curves.dilution]
    parts = [
        within(f"{label} at p0 = {percent(p0)}", one, AGREE, unit="%")
        for (label, p0), one in zip(places, found, strict=True)
    ]
    lead = "drop of each measure minus that of Q, in points of the weights that training left"
    return finding(lead, parts, farthest)


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

    found = bootstrap_interval(stacked, lambda drawn: -np.diff(positions(drawn)), n_resamples=1000).each()
    parts = [
        above(name, one, unit="%")
        for name, one in zip(("smallest less random", "random less largest"), found, strict=True)
    ]
    at = ", ".join(
        f"{100 * x:.3g} % ({order} first)"
        for x, order in zip(positions(stacked), ("smallest", "any", "largest"), strict=True)
    )
    needs = 1 - positions(stacked)[0]
    return finding(
        f"{measure.label} drops at f = {at}; the {percent(needs)} of largest weights are what it needs", parts
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
        return missing(f"needs at least {FEWEST_REPLICAS} failed machines; there are {len(looks)}")
    drawn = [_contact(one, data, shape) for one in looks if 0 < one.ink < 1]
    contact = mean_interval(drawn) if len(drawn) > 1 else Estimate(0.0, -np.inf, np.inf)
    variation = mean_interval([0.0 if np.isnan(one.variation) else one.variation for one in looks])
    near = np.array([one.off_centre <= CENTRED * min(shape) for one in looks], dtype=float)
    parts = [
        below("ink over the data's", mean_interval([one.ink / data.ink for one in looks]), 1.0),
        above("contact, from noise at 0 to data at 1", contact, STROKES),
        below("variation between samples", variation, data.variation),
        above(
            "machines with the ink in the middle",
            bootstrap_interval(near, lambda share: share.mean()),
            OFTEN,
            "%",
        ),
    ]
    return finding(f"{len(looks)} failed machines", parts)


def _contact(looks: Appearance, data: Appearance, shape: tuple[int, int]) -> float:
    """Contact of ink on the way from noise of the same ink, 0, to the data, 1."""
    noise = noise_of_equal_ink(looks.ink, shape).contact
    return (looks.contact - noise) / (data.contact - noise)


# --- shared ---------------------------------------------------------------------------------------------------------
