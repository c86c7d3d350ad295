"""Rules on machines that are sparse from the start: from errors of several seeds to a finding with an interval.

Every threshold stands here and was written before the results it judges. Differences are paired by seed and
given in units of the mean error of the dense machines at the same field, which makes the margins effect sizes.
Where the paper speaks of errors in general, all of ``PLOTTED`` are judged; where one number has to decide, it is the
KL divergence to the exact state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmlib.lab.claims import (
    Estimate,
    Outcome,
    bootstrap_interval,
    combine,
    decide_difference,
    decide_equivalence,
    paired_difference,
)

from .sparse_training import PLACEMENTS
from .tfim_pruning_rules import CRITICAL, PARAMAGNETIC, Finding

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
        return Estimate(estimate.value, estimate.value, estimate.value) if self.by_value else estimate

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


def every(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of a claim that all parts must bear out: one that fails refutes it, one open leaves it open."""
    found = set(outcomes)
    for outcome in ("not reproduced", "not decided", "reproduced in part"):
        if outcome in found:
            return outcome
    return "reproduced"


def above(estimate: Estimate, threshold: float) -> Outcome:
    """Whether a quantity lies above a threshold."""
    return decide_difference((estimate.low - threshold, estimate.high - threshold), 1)


def no_worse(estimate: Estimate, margin: float) -> Outcome:
    """Whether a difference of errors stays below a margin; a smaller error is never worse."""
    return decide_equivalence(estimate, (-np.inf, margin))


def extreme(found: Mapping[str, Estimate], largest: bool) -> tuple[str, Estimate]:
    """The largest or the smallest of several quantities, with its name."""
    name = (max if largest else min)(found, key=lambda key: found[key].value)
    return name, found[name]


def _in_words(name: str, one: Estimate) -> str:
    return f"{name} {one.value:+.2f} [{one.low:+.2f}, {one.high:+.2f}]"


# --- final errors ---------------------------------------------------------------------------------------------------


def trainable_rule(errors: Errors) -> Finding:
    """Whether machines that are sparse from the start end no worse than pruned ones, mask by mask and field by
    field.
    """
    outcomes: dict[str, Outcome] = {}
    found: dict[str, Estimate] = {}
    for field in FIELDS:
        for mask in SPARSE:
            each = {name: errors.difference(field, name, mask, "pruned") for name in PLOTTED}
            outcomes[f"{mask} at {field:g}"] = every(no_worse(one, COMPARABLE) for one in each.values())
            found |= {f"{mask} at h/J = {field:g} in {name}": one for name, one in each.items()}
    name, worst = extreme(found, largest=True)
    text = (
        f"errors minus the pruned machine's, in units of the dense error: largest {_in_words(name, worst)}; "
        + "; ".join(f"{mask}: {outcome}" for mask, outcome in outcomes.items())
    )
    return Finding(worst.value, worst.interval, combine(outcomes.values()), text)


def ss_best_rule(errors: Errors) -> Finding:
    """Whether, in the paramagnet, the same-seed mask ends below every other machine, the dense one included."""
    outcomes: dict[str, Outcome] = {}
    found: dict[str, Estimate] = {}
    for measure in PLOTTED:
        each = {
            other: errors.difference(PARAMAGNETIC, measure, "ss", other)
            for other in ("dense", "pruned", "os", "sc")
        }
        outcomes[measure] = every(decide_difference(one, -1) for one in each.values())
        found |= {f"ss minus {other} in {measure}": one for other, one in each.items()}
    name, worst = extreme(found, largest=True)
    dense = errors.difference(PARAMAGNETIC, "kl", "ss", "dense")
    text = (
        f"in units of the dense error, least favourable {_in_words(name, worst)}; "
        f"{_in_words('ss minus dense in kl', dense)}; "
        + "; ".join(f"{measure}: {outcome}" for measure, outcome in outcomes.items())
    )
    return Finding(worst.value, worst.interval, combine(outcomes.values()), text)


def none_beats_pruned_rule(errors: Errors) -> Finding:
    """Whether, at the critical point, no sparse machine ends below the pruned one, and the same-seed one close."""
    outcomes: dict[str, Outcome] = {}
    found: dict[str, Estimate] = {}
    for measure in PLOTTED:
        each = {mask: errors.difference(CRITICAL, measure, mask, "pruned") for mask in SPARSE}
        beaten = [
            "not reproduced" if one.high < 0 else "reproduced" if one.low > -CLOSE else "not decided"
            for one in each.values()
        ]
        outcomes[measure] = every([*beaten, decide_equivalence(each["ss"], CLOSE)])
        found |= {f"{mask} in {measure}": one for mask, one in each.items()}
    name, least = extreme(found, largest=False)
    text = (
        f"errors minus the pruned machine's, in units of the dense error: smallest {_in_words(name, least)}; "
        f"{_in_words('ss in kl', found['ss in kl'])}; "
        + "; ".join(f"{measure}: {outcome}" for measure, outcome in outcomes.items())
    )
    return Finding(least.value, least.interval, combine(outcomes.values()), text)


def worst_differs_rule(errors: Errors) -> Finding:
    """Whether the other-seed mask ends worst in the paramagnet and the constructed one at the critical point."""
    outcomes: dict[str, Outcome] = {}
    found: dict[str, Estimate] = {}
    for field, worst in ((PARAMAGNETIC, "os"), (CRITICAL, "sc")):
        for measure in PLOTTED:
            each = {
                other: errors.difference(field, measure, worst, other) for other in SPARSE if other != worst
            }
            outcomes[f"{measure} at {field:g}"] = every(decide_difference(one, 1) for one in each.values())
            found |= {
                f"{worst} minus {other} at h/J = {field:g} in {measure}": one for other, one in each.items()
            }
    name, least = extreme(found, largest=False)
    text = f"in units of the dense error, least favourable {_in_words(name, least)}; " + "; ".join(
        f"{measure}: {outcome}" for measure, outcome in outcomes.items()
    )
    return Finding(least.value, least.interval, combine(outcomes.values()), text)


def ad_hoc_rule(errors: Errors) -> Finding:
    """Whether most placements of constructed clusters end worse than the same-seed mask and than dense machines,
    by the margin.
    """
    outcomes: list[Outcome] = []
    found: dict[str, Estimate] = {}
    for field in FIELDS:
        placed = []
        for name in PLACEMENTS:
            pair = {
                f"{name} minus {other} at h/J = {field:g}": errors.difference(field, "kl", name, other)
                for other in ("ss", "dense")
            }
            placed.append(every(above(one, COMPARABLE) for one in pair.values()))
            found |= pair
        most = [one for one in ("reproduced", "not reproduced") if 2 * placed.count(one) > len(placed)]
        outcomes.append(most[0] if most else "not decided")
    _, largest = extreme(found, largest=True)
    text = "KL divergences in units of the dense one: " + ", ".join(
        _in_words(each, one) for each, one in found.items()
    )
    return Finding(largest.value, largest.interval, combine(outcomes), text)


def transfer_rule(errors: Errors) -> Finding:
    """Whether another seed's mask ends below random masks with as many weights."""
    found = {
        f"os minus random at h/J = {field:g}": errors.difference(field, "kl", "os", "random")
        for field in FIELDS
    }
    _, largest = extreme(found, largest=True)
    text = "KL divergences in units of the dense one: " + ", ".join(
        _in_words(each, one) for each, one in found.items()
    )
    outcome = combine(decide_difference(one, -1) for one in found.values())
    return Finding(largest.value, largest.interval, outcome, text)


def initial_conditions_rule(errors: Errors) -> Finding:
    """Whether the final error under one mask scatters more over initial weights than over repetitions.

    Under the same mask and on the same data, ``ss`` is compared with the machine that starts from other weights,
    and with its own repetition on other minibatches. The spread of a pair is the root mean square of the
    logarithms of their ratio, divided by the square root of two.
    """
    outcomes, found, texts = [], {}, []
    for field in FIELDS:
        estimate = scatter(errors, field)
        ratio, spread = (
            Estimate(estimate.value[part], estimate.low[part], estimate.high[part]) for part in (0, 1)
        )
        outcomes.append(every([above(ratio, SPREAD_RATIO), above(spread, SPREAD)]))
        found[f"h/J = {field:g}"] = ratio
        texts.append(
            f"at h/J = {field:g} the final KL scatters by {100 * spread.value:.0f} % "
            f"[{100 * spread.low:.0f}, {100 * spread.high:.0f}] over initial weights, {ratio.value:.1f} times "
            f"[{ratio.low:.1f}, {ratio.high:.1f}] as much as over repetitions"
        )
    _, least = extreme(found, largest=False)
    return Finding(least.value, least.interval, combine(outcomes), "; ".join(texts))


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
    """Whether the same-seed mask takes fewer epochs than every other machine, to the dense final error and to its
    own.
    """
    outcomes, found, texts = [], {}, []
    for field in FIELDS:
        taken = speeds(training, final, field)
        each = {
            f"{other} to {level} value at h/J = {field:g}": paired_difference(epochs["ss"], epochs[other])
            for level, epochs in taken.items()
            for other in ("dense", "os", "sc")
        }
        outcomes.append(every(decide_difference(one, -1) for one in each.values()))
        found |= each
        texts.append(
            f"h/J = {field:g}: "
            + ", ".join(f"{name} {values.mean():.0f}" for name, values in taken["dense"].items())
            + " epochs to the dense final value"
        )
    name, worst = extreme(found, largest=True)
    text = (
        f"epochs of ss minus those of another machine, least favourable: {name} {worst.value:+.0f} "
        f"[{worst.low:+.0f}, {worst.high:+.0f}]; " + "; ".join(texts)
    )
    return Finding(worst.value, worst.interval, combine(outcomes), text)
