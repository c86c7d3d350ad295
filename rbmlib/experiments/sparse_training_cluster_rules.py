"""Rules on clusters of large weights and on the two ablations that take them away (Golubeva & Melko, section
III.B); thresholds and differences as in :mod:`rbmlib.experiments.sparse_training_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmlib.clusters import cluster_statistic
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

from .sparse_training import SHARES, shuffled
from .sparse_training_rules import COMPARABLE, FIELDS, Errors, above, every, extreme, no_worse
from .tfim_pruning_rules import Finding

ONE_CLUSTER = 0.75
"""Share of the hidden units that must have exactly one cluster for each to have one."""
CLUSTER_SIZE, SIZE_MARGIN = 3.0, 0.5
"""Mean size of a cluster of three, and how far from it still rounds to three."""
FEWER = 0.25
"""Share of the hidden units by which an ablation may lower the number of those with one cluster."""
LARGEST_STEP = 0.5
"""A rise is gradual if no step of it makes up more than this share."""


class Clusters(NamedTuple):
    """Cluster statistics of the machines of several seeds, each of shape (seed,): share of hidden units with exactly
    one cluster, the same with shuffled weights, mean size of a cluster.
    """

    share: NDArray[np.float64]
    shuffled: NDArray[np.float64]
    size: NDArray[np.float64]


def cluster_statistics(weights: xr.DataArray) -> Clusters:
    """The clusters of machines (seed, visible, hidden); a weight of exactly zero does not exist."""
    rows = []
    for one in weights.dropna("seed").transpose("seed", "visible", "hidden").values:
        found = cluster_statistic(one, one != 0)
        size = found.sizes.mean() if found.sizes.size else 0.0
        rows.append((found.share_with_one, found.shuffled_share_with_one, size))
    return Clusters(*np.array(rows).T)


def one_cluster_rule(machines: Mapping[str, xr.DataArray]) -> Finding:
    """Whether each hidden unit has exactly one cluster, and it has three weights.

    ``machines`` are weights (seed, visible, hidden) by a name for their size and field.
    """
    outcomes: list[Outcome] = []
    found: dict[str, Estimate] = {}
    texts = []
    for name, weights in machines.items():
        these = cluster_statistics(weights)
        share = mean_interval(these.share)
        excess = paired_difference(these.share, these.shuffled)
        size = mean_interval(these.size)
        outcomes.append(every([above(share, ONE_CLUSTER), decide_difference(excess, 1)]))
        outcomes.append(decide_equivalence((size.low - CLUSTER_SIZE, size.high - CLUSTER_SIZE), SIZE_MARGIN))
        found[name] = share
        texts.append(
            f"{name}: {100 * share.value:.0f} % of hidden units have one cluster ({100 * these.shuffled.mean():.0f} % "
            f"when shuffled), of {size.value:.1f} weights [{size.low:.1f}, {size.high:.1f}]"
        )
    _, least = extreme(found, largest=False)
    return Finding(least.value, least.interval, combine(outcomes), "; ".join(texts))


def breaking_curve(errors: Errors, field: float, measure: str = "kl") -> NDArray[np.float64]:
    """Final errors (seed, share) against the share of mask entries moved, from none to all."""
    return np.stack(errors.of(field, measure, "ss", *map(shuffled, SHARES)), axis=1)


def breaking_rule(errors: Errors) -> Finding:
    """Whether the error rises with the share of mask entries that have moved, and by no single step."""
    shares = np.array([0.0, *SHARES])
    centred = shares - shares.mean()
    outcomes, found, texts = [], {}, []
    for field in FIELDS:
        (dense,) = errors.of(field, "kl", "dense")
        values = breaking_curve(errors, field) / dense.mean()
        slope = errors.judged(mean_interval((values * centred).sum(axis=1) / (centred**2).sum()))
        step = bootstrap_interval(values, _largest_step)
        outcomes.append(every([decide_difference(slope, 1), no_worse(step, LARGEST_STEP)]))
        found[f"h/J = {field:g}"] = slope
        texts.append(
            f"at h/J = {field:g} KL in units of the dense one "
            + ", ".join(f"{value:.1f}" for value in values.mean(axis=0))
            + f" with {', '.join(f'{100 * share:.0f}' for share in shares)} % moved; largest step "
            f"{100 * step.value:.0f} % [{100 * step.low:.0f}, {100 * step.high:.0f}] of the rise"
        )
    _, least = extreme(found, largest=False)
    return Finding(least.value, least.interval, combine(outcomes), "; ".join(texts))


def _largest_step(values: NDArray[np.float64]) -> float:
    """Largest step of the seed mean, as a share of the whole rise."""
    mean = values.mean(axis=0)
    rise = mean[-1] - mean[0]
    return float(np.diff(mean).max() / rise) if rise > 0 else 1.0


def relocate_rule(errors: Errors, weights: xr.DataArray) -> Finding:
    """Whether machines without the weights that had formed clusters end no worse, and form clusters elsewhere.

    ``weights`` are those of all variants (variant, field, seed, visible, hidden).
    """
    outcomes, found, texts = [], {}, []
    for field in FIELDS:
        worse = errors.difference(field, "kl", "relocated", "dense")
        pair = weights.sel(variant=["dense", "relocated"], field=field).dropna("seed")
        before, after = (cluster_statistics(pair.sel(variant=name)) for name in ("dense", "relocated"))
        excess = paired_difference(after.share, after.shuffled)
        change = paired_difference(after.share, before.share)
        outcomes.append(
            every(
                [
                    no_worse(worse, COMPARABLE),
                    decide_difference(excess, 1),
                    decide_equivalence(change, (-FEWER, np.inf)),
                ]
            )
        )
        found[f"h/J = {field:g}"] = worse
        texts.append(
            f"at h/J = {field:g} KL minus the dense machine's, in units of it, {worse.value:+.2f} "
            f"[{worse.low:+.2f}, {worse.high:+.2f}]; {100 * after.share.mean():.0f} % of hidden units have one cluster, "
            f"{100 * before.share.mean():.0f} % in the dense machine, {100 * after.shuffled.mean():.0f} % when shuffled"
        )
    _, worst = extreme(found, largest=True)
    return Finding(worst.value, worst.interval, combine(outcomes), "; ".join(texts))
