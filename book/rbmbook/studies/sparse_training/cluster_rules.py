"""Rules on clusters of large weights and on the two ablations that take them away (Golubeva & Melko, section
III.B); thresholds and differences as in :mod:`rbmbook.studies.sparse_training.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.evidence.estimates import bootstrap_interval, mean_interval, paired_difference, slopes
from rbmbook.evidence.rules import Finding, above, every, finding, largest, least, within
from rbmbook.studies.ising.standard import at_field
from rbmlib.clusters import cluster_statistic

from .rules import COMPARABLE, FIELDS, UNIT, Errors, no_worse
from .study import SHARES, shuffled

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
    parts, shown = [], []
    for name, weights in machines.items():
        these = cluster_statistics(weights)
        share = above("share of hidden units with one cluster", mean_interval(these.share), ONE_CLUSTER, "%")
        excess = above(
            "excess over shuffled weights", paired_difference(these.share, these.shuffled), unit="%"
        )
        parts.append(
            share._replace(name=f"{share.name}, {name}")
            if excess.mark == "holds"
            else every(name, [share, excess])
        )
        parts.append(
            within(f"size of a cluster, {name}", mean_interval(these.size), SIZE_MARGIN, CLUSTER_SIZE)
        )
        shown.append(share)
    return finding("clusters of large weights", parts, lambda _: least(shown))


def breaking_curve(errors: Errors, field: float, measure: str = "kl") -> NDArray[np.float64]:
    """Final errors (seed, share) against the share of mask entries moved, from none to all."""
    return np.stack(errors.of(field, measure, "ss", *map(shuffled, SHARES)), axis=1)


def breaking_rule(errors: Errors) -> Finding:
    """Whether the error rises with the share of mask entries that have moved, and by no single step."""
    shares = [0.0, *SHARES]
    parts, shown, told = [], [], []
    for field in FIELDS:
        (dense,) = errors.of(field, "kl", "dense")
        values = breaking_curve(errors, field) / dense.mean()
        rise = above("slope", errors.judged(mean_interval(slopes(shares, values))))
        step = no_worse("largest step over the rise", bootstrap_interval(values, _largest_step), LARGEST_STEP)
        parts.append(every(at_field(field), [rise, step]))
        shown.append(rise)
        told.append(", ".join(f"{value:.1f}" for value in values.mean(axis=0)))
    moved = ", ".join(f"{100 * share:.0f}" for share in shares)
    return finding(
        f"KL divergence {UNIT}", parts, lambda _: least(shown), f"With {moved} % moved {'; '.join(told)}."
    )


def _largest_step(values: NDArray[np.float64]) -> float:
    """Largest step of the seed mean, as a share of the whole rise."""
    mean = values.mean(axis=0)
    rise = mean[-1] - mean[0]
    return float(np.diff(mean).max() / rise) if rise > 0 else 1.0


def relocate_rule(errors: Errors, weights: xr.DataArray) -> Finding:
    """Whether machines without the weights that had formed clusters end no worse, and form clusters elsewhere.

    ``weights`` are those of all variants (variant, field, seed, visible, hidden).
    """
    parts, shown = [], []
    for field in FIELDS:
        pair = weights.sel(variant=["dense", "relocated"], field=field).dropna("seed")
        before, after = (cluster_statistics(pair.sel(variant=name)) for name in ("dense", "relocated"))
        worse = no_worse(
            "KL less the dense one", errors.difference(field, "kl", "relocated", "dense"), COMPARABLE
        )
        excess = above(
            "hidden units with one cluster, excess over shuffled",
            paired_difference(after.share, after.shuffled),
            unit="%",
        )
        change = above(
            "hidden units with one cluster, less dense",
            paired_difference(after.share, before.share),
            -FEWER,
            "%",
        )
        parts.append(every(at_field(field), [worse, excess, change]))
        shown.append(worse)
    return finding(f"without the weights that had formed clusters, {UNIT}", parts, lambda _: largest(shown))
