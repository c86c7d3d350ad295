"""Rules on machines that are sparse from the start: from errors of several seeds to a finding with an interval.

Every threshold stands here. Differences are paired by seed and
given in units of the mean error of the dense machines at the same field, which makes the margins effect sizes.
Where the paper speaks of errors in general, all of ``PLOTTED`` are judged; where one number has to decide, it is the
KL divergence to the exact state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.evidence.estimates import Estimate, bootstrap_interval, paired_difference
from rbmbook.evidence.rules import Finding, Part, above, below, every, finding, largest, least, most, within
from rbmbook.studies.ising.standard import CRITICAL, MEASURE_NAMES, PARAMAGNETIC, at_field

from .study import PLACEMENTS

FIELDS = (CRITICAL, PARAMAGNETIC)
PLOTTED = ("kl", "eroe", "mroe", "correlation_mse")
"""The measures of the paper's Fig. 5."""
SPARSE = ("ss", "os", "sc")

COMPARABLE = 0.5
"""A machine whose error is larger by no more than this share of the dense error is about as good."""
CLOSE = 0.25
"""A machine whose error differs by no more than this share of the dense error is close."""
SMOOTHING = 50
"""Epochs over which an error is averaged before it is asked when it reached a level."""
REACHED = 1.1
"""Multiple of a final value at which it counts as reached."""
SPREAD_RATIO = 1.5
"""How many times wider final errors must scatter over initial weights than over repetitions of the training."""
SPREAD = 0.1
"""Relative scatter of final errors from which it is significant."""


class Errors(NamedTuple):
    """Final errors of one way of training.

    Attributes
    ----------
    final : xarray.DataArray
        Errors (variant, field, seed, measure); NaN where a variant was not run.
    by_value : bool
        Decide by the values alone, as the check with its few seeds does, and not by their intervals.
    """

    final: xr.DataArray
    by_value: bool = False

    def judged(self, estimate: Estimate) -> Estimate:
        """The estimate with the interval that rules look at."""
        return estimate.exact() if self.by_value else estimate

    def of(self, field: float, measure: str, *variants: str) -> list[NDArray[np.float64]]:
        """Errors of each variant over the seeds that all of them have."""
        chosen = self.final.sel(variant=list(variants), field=field, measure=measure).dropna("seed")
        return list(chosen.transpose("variant", "seed").values)

    def difference(self, field: float, measure: str, first: str, second: str) -> Estimate:
        """Error of the first variant minus that of the second, in units of the mean dense error."""
        (dense,) = self.of(field, measure, "dense")
        scale = dense.mean()
        pair = self.of(field, measure, first, second)
        return self.judged(paired_difference(pair[0] / scale, pair[1] / scale))


def no_worse(name: str, one: Estimate, margin: float) -> Part:
    """A difference of errors that is claimed to stay below a margin; a smaller error is never worse."""
    return below(name, one, margin)


UNIT = "in units of the dense error"

# --- final errors ---------------------------------------------------------------------------------------------------


def trainable_rule(errors: Errors) -> Finding:
    """Whether machines that are sparse from the start end no worse than pruned ones, mask by mask and field by field."""
    parts, shown = [], []
    for field in FIELDS:
        for mask in SPARSE:
            each = [
                no_worse(MEASURE_NAMES[name], errors.difference(field, name, mask, "pruned"), COMPARABLE)
                for name in PLOTTED
            ]
            parts.append(every(f"{mask} at {at_field(field)}", each))
            shown += each
    return finding(
        f"errors minus the pruned machine's, {UNIT}, claimed below {COMPARABLE:g}",
        parts,
        lambda _: largest(shown),
    )


def ss_best_rule(errors: Errors) -> Finding:
    """Whether, in the paramagnet, the same-seed mask ends below every other machine, the dense one included."""
    parts, shown = [], []
    for measure in PLOTTED:
        others = ("dense", "pruned", "os", "sc")
        each = [
            below(f"less {other}", errors.difference(PARAMAGNETIC, measure, "ss", other)) for other in others
        ]
        parts.append(every(MEASURE_NAMES[measure], each))
        shown += each
    return finding(f"error of ss at h/J = 2, {UNIT}", parts, lambda _: largest(shown))


def none_beats_pruned_rule(errors: Errors) -> Finding:
    """Whether, at the critical point, no sparse machine ends below the pruned one, and the same-seed one close."""
    parts, shown = [], []
    for measure in PLOTTED:
        each = {mask: errors.difference(CRITICAL, measure, mask, "pruned") for mask in SPARSE}
        beaten = [_not_beaten(mask, one) for mask, one in each.items()]
        parts.append(every(MEASURE_NAMES[measure], [*beaten, within("ss close", each["ss"], CLOSE)]))
        shown += beaten
    return finding(f"errors minus the pruned machine's at h/J = 1, {UNIT}", parts, lambda _: least(shown))


def _not_beaten(mask: str, one: Estimate) -> Part:
    """The pruned machine is beaten by an interval below zero, and is not by one that reaches it above the margin."""
    return above(mask, one, -CLOSE if one.high >= 0 else 0.0)


def worst_differs_rule(errors: Errors) -> Finding:
    """Whether the other-seed mask ends worst in the paramagnet and the constructed one at the critical point."""
    parts, shown = [], []
    for field, worst in ((PARAMAGNETIC, "os"), (CRITICAL, "sc")):
        for measure in PLOTTED:
            others = [other for other in SPARSE if other != worst]
            each = [
                above(f"less {other}", errors.difference(field, measure, worst, other)) for other in others
            ]
            parts.append(every(f"{MEASURE_NAMES[measure]} of {worst} at {at_field(field)}", each))
            shown += each
    return finding(f"errors {UNIT}", parts, lambda _: least(shown))


def ad_hoc_rule(errors: Errors) -> Finding:
    """Whether most placements of constructed clusters end worse than the same-seed mask and than dense machines, by
    the margin.
    """
    parts, shown = [], []
    for field in FIELDS:
        placed = []
        for name in PLACEMENTS:
            each = [
                above(f"less {other}", errors.difference(field, "kl", name, other), COMPARABLE)
                for other in ("ss", "dense")
            ]
            placed.append(every(name, each))
            shown += each
        parts.append(most(f"most placements at {at_field(field)}", placed))
    return finding(f"KL divergences {UNIT}, claimed beyond {COMPARABLE:g}", parts, lambda _: largest(shown))


def transfer_rule(errors: Errors) -> Finding:
    """Whether another seed's mask ends below random masks with as many weights."""
    parts = [below(at_field(field), errors.difference(field, "kl", "os", "random")) for field in FIELDS]
    return finding(f"KL divergence of os minus random, {UNIT}", parts, largest)


def initial_conditions_rule(errors: Errors) -> Finding:
    """Whether the final error under one mask scatters more over initial weights than over repetitions.

    Under the same mask and on the same data, ``ss`` is compared with the machine that starts from other weights,
    and with its own repetition on other minibatches. The spread of a pair is the root mean square of the
    logarithms of their ratio, divided by the square root of two.
    """
    parts, shown = [], []
    for field in FIELDS:
        ratio, spread = scatter(errors, field).each()
        at = at_field(field)
        parts += [
            above(f"over that of repetitions at {at}", ratio, SPREAD_RATIO),
            above(f"relative at {at}", spread, SPREAD, "%"),
        ]
        shown.append(parts[-2])
    return finding(
        "spread of the final KL divergence over initial weights, under one mask",
        parts,
        lambda _: least(shown),
    )


def scatter(errors: Errors, field: float) -> Estimate:
    """Ratio of the spread over initial weights to that over repetitions, and the former: arrays of two."""
    same, other, again = errors.of(field, "kl", "ss", "other weights", "repeat")
    return bootstrap_interval(np.log(np.stack([other / same, again / same], axis=1)), _spreads)


def _spreads(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratio of the two spreads, and the first of them, from logarithms (seed, 2)."""
    weights, repetitions = np.sqrt((logs**2).mean(axis=0) / 2)
    return np.array([weights / repetitions, weights])


# --- speed ----------------------------------------------------------------------------------------------------------


def epochs_to(history: xr.DataArray, level: NDArray[np.float64]) -> NDArray[np.float64]:
    """First epoch at which the mean error over the last ``SMOOTHING`` epochs is at or below a level.

    Parameters
    ----------
    history : xarray.DataArray
        Errors (seed, epoch).
    level : array, (n_seeds,)
        The level of each seed.

    Returns
    -------
    array, (n_seeds,)
        The length of the run where a seed never gets there; NaN if the run is shorter than that window.
    """
    epochs, values = history.epoch.values, history.transpose("seed", "epoch").values
    ends = epochs[epochs >= SMOOTHING]
    if not ends.size:
        return np.full(len(values), np.nan)
    windows = [(epochs > end - SMOOTHING) & (epochs <= end) for end in ends]
    smooth = np.stack([values[:, window].mean(axis=1) for window in windows], axis=1)
    reached = smooth <= np.asarray(level)[:, None]
    return np.where(reached.any(axis=1), ends[reached.argmax(axis=1)], epochs[-1]).astype(float)


def speeds(
    training: xr.DataArray, final: xr.DataArray, field: float
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Epochs that each machine's KL divergence takes to the dense final value and to its own: level -> variant ->
    (seed,).
    """
    kl = training.sel(field=field, measure="kl")
    ends = final.sel(field=field, measure="kl")
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for level in ("dense", "own"):
        found[level] = {}
        for variant in ("dense", *SPARSE):
            history = kl.sel(variant=variant).dropna("epoch").transpose("seed", "epoch")
            target = ends.sel(variant="dense" if level == "dense" else variant).values
            found[level][variant] = epochs_to(history, REACHED * target)
    return found


def fastest_rule(training: xr.DataArray, final: xr.DataArray) -> Finding:
    """Whether the same-seed mask takes fewer epochs than every other machine, to the dense final error and to its own."""
    parts, shown = [], []
    for field in FIELDS:
        each = [
            below(f"{other} to {level} value", paired_difference(epochs["ss"], epochs[other]))
            for level, epochs in speeds(training, final, field).items()
            for other in ("dense", "os", "sc")
        ]
        parts.append(every(f"ss at {at_field(field)}, least favourable against", each))
        shown += each
    return finding("epochs of ss minus those of another machine", parts, lambda _: largest(shown))
