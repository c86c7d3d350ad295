r"""Clusters of large weights on neighbouring visible units (Golubeva & Melko, section III.B).

A weight *stands out* if its magnitude exceeds the root mean square of the weights of its hidden unit. A *cluster*
of a hidden unit is a longest run of adjacent visible units whose weights to it all stand out, two or more of
them; the ends of the chain are not adjacent.

What chance makes of the same weights is known by shuffling: the weights of each hidden unit change places among
themselves, which keeps their values, and hence how many stand out, and forgets where they were.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.arguments import plain_array

SMALLEST_CLUSTER = 2
"""Adjacent weights that stand out make a cluster from this number on."""


class ClusterStatistic(NamedTuple):
    """The clusters of a machine, and what chance would have made of the same weights.

    Attributes
    ----------
    counts : array of int, (n_hidden,)
        Clusters of each hidden unit.
    sizes : array of int, (n_clusters,)
        Visible units in each cluster, hidden unit after hidden unit.
    share_with_one : float
        Share of the hidden units that have exactly one cluster.
    shuffled_share_with_one : float
        The same with shuffled weights, mean over the shuffles.
    """

    counts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    share_with_one: float
    shuffled_share_with_one: float


def standing_out(weights: ArrayLike, mask: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Which weights stand out from those of their hidden unit.

    Parameters
    ----------
    weights : array_like of float, shape (n_visible, n_hidden)
        The weights.
    mask : array_like of bool, shape (n_visible, n_hidden), optional
        Which weights exist; the others enter no mean and never stand out. All of them if not given.

    Returns
    -------
    ndarray of bool, shape (n_visible, n_hidden)
        True where a magnitude exceeds the root mean square of its column.

    Raises
    ------
    ValueError
        If the weights are not a matrix of finite numbers, or the mask has another shape.
    """
    values, alive = _checked(weights, mask)
    squares = np.where(alive, values, 0.0) ** 2
    # fsum rounds once, so a mask made from the marks is the same on every machine.
    mean = np.array([math.fsum(column) for column in squares.T]) / np.maximum(alive.sum(axis=0), 1)
    return squares > mean


def clusters(marks: ArrayLike) -> list[list[range]]:
    """The clusters of every hidden unit.

    Parameters
    ----------
    marks : array_like of bool, shape (n_visible, n_hidden)
        Which weights stand out.

    Returns
    -------
    list of list of range
        For each hidden unit, the visible units of each of its clusters, in their order along the chain.

    Raises
    ------
    ValueError
        If `marks` is not a boolean matrix.
    """
    starts, ends = _runs(_boolean("marks", marks))
    found: list[list[range]] = [[] for _ in range(np.shape(marks)[1])]
    for (hidden, first), (_, last) in zip(np.argwhere(starts.T), np.argwhere(ends.T), strict=True):
        if last + 1 - first >= SMALLEST_CLUSTER:
            found[hidden].append(range(int(first), int(last) + 1))
    return found


def cluster_mask(marks: ArrayLike) -> NDArray[np.bool_]:
    """Which weights belong to a cluster, shape (n_visible, n_hidden); see :func:`clusters`."""
    inside = np.zeros(np.shape(marks), dtype=np.bool_)
    for hidden, found in enumerate(clusters(marks)):
        for cluster in found:
            inside[cluster.start : cluster.stop, hidden] = True
    return inside


def cluster_statistic(
    weights: ArrayLike, mask: ArrayLike | None = None, n_shuffles: int = 400, seed: int = 0
) -> ClusterStatistic:
    """Count the clusters of each hidden unit, beside those of shuffled weights.

    Parameters
    ----------
    weights : array_like of float, shape (n_visible, n_hidden)
        The weights.
    mask : array_like of bool, shape (n_visible, n_hidden), optional
        Which weights exist; only these are shuffled, among their own places. All of them if not given.
    n_shuffles : int
        How often the weights are shuffled, at least once.
    seed : int
        Seed of the shuffles.

    Returns
    -------
    ClusterStatistic

    Raises
    ------
    ValueError
        As :func:`standing_out`, or if `n_shuffles` is not a positive integer.
    """
    if isinstance(n_shuffles, bool) or not isinstance(n_shuffles, int) or n_shuffles < 1:
        raise ValueError(f"n_shuffles must be an integer >= 1, not {n_shuffles!r}")
    _, alive = _checked(weights, mask)
    marks = standing_out(weights, mask)
    found = clusters(marks)
    counts = np.array([len(each) for each in found], dtype=np.int64)
    sizes = np.array([len(cluster) for each in found for cluster in each], dtype=np.int64)
    rng = np.random.default_rng(seed)
    shares = [float((_counts(_shuffled(marks, alive, rng)) == 1).mean()) for _ in range(n_shuffles)]
    return ClusterStatistic(counts, sizes, float((counts == 1).mean()), float(np.mean(shares)))


def _shuffled(
    marks: NDArray[np.bool_], alive: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Marks that changed places within their columns, among the places that are alive."""
    # Whether a weight stands out depends on its column's values alone, so shuffling marks is shuffling weights.
    keys = np.where(alive, rng.random(marks.shape), 2.0)
    places = np.argsort(keys, axis=0)
    in_front = np.arange(marks.shape[0])[:, None] < marks.sum(axis=0)
    shuffled = np.zeros_like(marks)
    np.put_along_axis(shuffled, places, in_front, axis=0)
    return shuffled


def _counts(marks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Clusters of each hidden unit: starts of runs whose next weight stands out as well."""
    starts, _ = _runs(marks)
    return (starts[:-1] & marks[1:]).sum(axis=0)


def _runs(marks: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where runs of marks begin and where they end, along the visible units."""
    outside = np.zeros((1, marks.shape[1]), dtype=np.bool_)
    before = np.concatenate([outside, marks[:-1]])
    after = np.concatenate([marks[1:], outside])
    return marks & ~before, marks & ~after


def _boolean(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    array = plain_array(name, values)
    if array.ndim != 2 or array.dtype != np.bool_:
        raise ValueError(
            f"{name} must be a boolean array of shape (n_visible, n_hidden), not {array.dtype} of shape {array.shape}"
        )
    return array


def _checked(weights: ArrayLike, mask: ArrayLike | None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values = plain_array("weights", weights)
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise ValueError(
            "weights must be finite numbers of shape (n_visible, n_hidden), "
            f"not {values.dtype} of shape {values.shape}"
        )
    alive = np.ones(values.shape, dtype=np.bool_) if mask is None else _boolean("mask", mask)
    if alive.shape != values.shape:
        raise ValueError(f"mask has shape {alive.shape} but weights has {values.shape}; they must agree")
    return values.astype(np.float64), alive
