r"""How far apart two groups of machines lie, told on machines that had no part in finding the direction.

Points come as their inner products, ``gram_matrix(points)``. Replicas, and not points, are left out: whatever shares its
weights or its mask with a tested point is no part of the training. A replica with points of both groups is a fold; the
others are matched, one of either group to a fold. Both groups are then tested against the same training set, and
whatever shifts all its tested points shifts both alike. Principal axes (:mod:`rbmlib.analysis.principal_axes`) are those
of the training points of the fold, and tested points are projected on them. With u the unit vector between the groups'
centroids in training and c the point half-way, a tested point has the *score* :math:`(z - c) \cdot u`: its sign is the
nearest centroid, and

.. math:: \text{separation} = (\bar s_A - \bar s_B) \big/ s_{\text{within}}

is the distance of the groups over the scatter within them (pooled standard deviation), both of scores of tested points.
Groups that are alike have the expectation 0 in the numerator, whatever the number of coordinates.

*Null.* Groups are exchanged by replica: within a replica that has both, all its points change their group or none does;
replicas with one group only exchange their groups within their fold. The p value (1 + k) / (1 + n), with k of n
permutations at least as far apart, is exact if these exchanges change nothing but names.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.analysis.principal_axes import check_components, check_gram, project
from rbmlib.rbm import check_seed

from .bootstrap import Interval

FEWEST_REPLICAS = 3
_Array = NDArray[np.float64]
_Labels = NDArray[np.bool_]
_Numbers = NDArray[np.int64]


class Separation(NamedTuple):
    """Two groups apart: numbers, or each with its interval.

    Attributes
    ----------
    separation : float or Interval
        Distance of the groups' mean scores over the scatter within groups; below 0 if tested points lie on the other
        group's side.
    accuracy : float or Interval
        Share of tested points nearer to the centroid of their own group, averaged over the two groups; 1/2 is chance.
    """

    separation: Any
    accuracy: Any


class PermutationTest(NamedTuple):
    """The one-sided p value of a separation, and the separations (n_permutations,) after exchange of the groups."""

    p_value: float
    null: _Array


def cross_validated_scores(
    gram: ArrayLike, group: ArrayLike, replica: ArrayLike, n_components: int, *, exclude: bool = True
) -> _Array:
    """Score of every point along the direction that the others give.

    Parameters
    ----------
    gram : array, (n_points, n_points)
        Inner products, see :func:`rbmlib.analysis.principal_axes.gram_matrix`.
    group : array, (n_points,)
        Labels of two groups; scores of the first in sorted order are positive where the groups are told apart.
    replica : array, (n_points,)
        Labels of what shares weights, masks or seeds; either group must be in at least two.
    n_components : int
        Number of principal axes in which the direction is looked for; n_points - 2 takes all that a fold has.
    exclude : bool
        Whether points of the tested replica are left out of the training. If False only the tested points are, and never
        two of a replica at once if that can be avoided, as if all points were independent: for comparison.

    Returns
    -------
    array, (n_points,)
        In units of the points.

    Raises
    ------
    ValueError
        If shapes or labels do not fit, a group is in fewer than two replicas, or n_components is out of range.
    """
    products, first, family = _checked(gram, group, replica, n_components)
    return _scores(products, first[None], _folds(first, family, exclude), n_components)[0]


def separation(
    gram: ArrayLike, group: ArrayLike, replica: ArrayLike, n_components: int, *, exclude: bool = True
) -> Separation:
    """Cross-validated separation of two groups, and the accuracy of the nearest centroid beside it.

    Parameters and errors are those of :func:`cross_validated_scores`.
    """
    products, first, family = _checked(gram, group, replica, n_components)
    found = _separations(products, first[None], _folds(first, family, exclude), n_components)
    return Separation(*(float(values[0]) for values in found))


def permutation_test(
    gram: ArrayLike,
    group: ArrayLike,
    replica: ArrayLike,
    n_components: int,
    *,
    exclude: bool = True,
    n_permutations: int = 999,
    seed: int = 0,
) -> PermutationTest:
    """Whether groups lie farther apart than after exchange of their names by replica.

    Parameters and errors are those of :func:`cross_validated_scores`, and

    Parameters
    ----------
    n_permutations : int
        At least 1. With r folds there are 2^(r - 1) exchanges of different outcome if each has a point of either group.
    seed : int
        Seed in [0, 2**64).

    Returns
    -------
    PermutationTest
    """
    products, first, family = _checked(gram, group, replica, n_components)
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1, not {n_permutations!r}")
    rng = np.random.default_rng(check_seed("seed", seed))
    labels = np.vstack([first, _exchanged(first, family, n_permutations, rng)])
    found = _separations(products, labels, _folds(first, family, exclude), n_components)[0]
    # Exchanges of all names give the same separation up to rounding.
    reached = np.count_nonzero(found[1:] >= found[0] - 1e-9 * abs(found[0]))
    return PermutationTest((1 + reached) / (1 + n_permutations), found[1:])


def bootstrap_separation(
    gram: ArrayLike,
    group: ArrayLike,
    replica: ArrayLike,
    n_components: int,
    *,
    exclude: bool = True,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Separation:
    """Separation and accuracy with percentile bootstrap intervals over replicas.

    Replicas are drawn whole, those with one group or with both among their like; copies of a replica stay in one fold, so
    that none is tested against itself. Axes are fitted anew in each resample.

    Parameters and errors are those of :func:`cross_validated_scores`, and

    Parameters
    ----------
    confidence, n_resamples, seed
        As in :func:`rbmlib.analysis.bootstrap.bootstrap`.

    Returns
    -------
    Separation
        Of :class:`rbmlib.analysis.bootstrap.Interval`.

    Raises
    ------
    ValueError
        If there are fewer than 3 replicas of either group.
    """
    products, first, family = _checked(gram, group, replica, n_components, FEWEST_REPLICAS)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence!r}")
    if n_resamples < 100:
        raise ValueError(f"n_resamples must be at least 100, not {n_resamples!r}")
    rng = np.random.default_rng(check_seed("seed", seed))
    drawn = []
    for _ in range(n_resamples):
        points = _resampled(first, family, rng)
        folds = _folds(first[points], family[points], exclude, points)
        sample = products[np.ix_(points, points)]
        drawn.append([float(v[0]) for v in _separations(sample, first[None, points], folds, n_components)])
    ends = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    values = separation(gram, group, replica, n_components, exclude=exclude)
    return Separation(
        *(Interval(v, float(low), float(high)) for v, low, high in zip(values, *ends, strict=True))
    )


def _kinds(first: _Labels, unit: _Numbers) -> dict[int, int]:
    """Of every unit: 1 if its points are of the first group, 2 of the second, 3 of both."""
    return {int(u): int(first[unit == u].any()) + 2 * int((~first[unit == u]).any()) for u in np.unique(unit)}


def _folds(first: _Labels, family: _Numbers, exclude: bool, points: _Numbers | None = None) -> _Numbers:
    """Fold of every point: each has units of both groups, a unit being a replica, or a point if none is to be excluded."""
    unit = family if exclude else np.arange(len(first)) if points is None else points
    kinds = _kinds(first, unit)
    number = [sum(kind == wanted for kind in kinds.values()) for wanted in (1, 2, 3)]
    n_folds = number[2] + min(number[:2])
    held, families = np.zeros((n_folds, 3), int), [set() for _ in range(n_folds)]
    folds = np.empty(len(first), int)
    for one in sorted(kinds, key=lambda u: kinds[u] != 3):
        groups = {1: [0], 2: [1], 3: [0, 1]}[kinds[one]]
        own = int(family[unit == one][0])
        fold = min(range(n_folds), key=lambda k: (own in families[k], held[k, groups].sum(), k))
        held[fold, groups] += 1
        families[fold].add(own)
        folds[unit == one] = fold
    return folds


def _scores(products: _Array, labels: _Labels, folds: _Numbers, n_components: int) -> _Array:
    """(n_labellings, n_points): the axes of a fold do not depend on labels and are found once."""
    scores = np.empty(labels.shape)
    for fold in np.unique(folds):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        known, tested = project(products, train, test, n_components)
        first = labels[:, train]
        one = first @ known / first.sum(axis=1, keepdims=True)
        other = ~first @ known / (~first).sum(axis=1, keepdims=True)
        length = np.linalg.norm(one - other, axis=1, keepdims=True)
        direction = (one - other) / np.where(length > 0, length, 1.0)
        middle = ((one + other) / 2 * direction).sum(axis=1)
        scores[:, test] = direction @ tested.T - middle[:, None]
    return scores


def _separations(
    products: _Array, labels: _Labels, folds: _Numbers, n_components: int
) -> tuple[_Array, _Array]:
    """Separation and accuracy (n_labellings,) each."""
    scores = _scores(products, labels, folds, n_components)
    means, squares, right = [], [], []
    for members, side in ((labels, 1), (~labels, -1)):
        number = members.sum(axis=1)
        means.append((scores * members).sum(axis=1) / number)
        squares.append(((scores - means[-1][:, None]) ** 2 * members).sum(axis=1))
        right.append(((np.sign(scores * side) + 1) / 2 * members).sum(axis=1) / number)
    distance = means[0] - means[1]
    scatter = np.sqrt((squares[0] + squares[1]) / (labels.shape[1] - 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.where(distance == 0, 0.0, distance / scatter)
    return apart, (right[0] + right[1]) / 2


def _exchanged(first: _Labels, family: _Numbers, n_permutations: int, rng: np.random.Generator) -> _Labels:
    """Labels (n_permutations, n_points) after exchanges by replica."""
    labels, kinds, folds = (
        np.tile(first, (n_permutations, 1)),
        _kinds(first, family),
        _folds(first, family, True),
    )
    for one in (u for u, kind in kinds.items() if kind == 3):
        labels[:, family == one] ^= rng.random((n_permutations, 1)) < 0.5
    for fold in np.unique(folds):
        singles = [u for u in np.unique(family[folds == fold]).tolist() if kinds[u] != 3]
        names = np.tile([kinds[u] == 1 for u in singles], (n_permutations, 1))
        for column, one in zip(rng.permuted(names, axis=1).T, singles, strict=True):
            labels[:, family == one] = column[:, None]
    return labels


def _resampled(first: _Labels, family: _Numbers, rng: np.random.Generator) -> _Numbers:
    """Numbers of the points of replicas drawn among their kind, until either group has two different replicas."""
    kinds = _kinds(first, family)
    alike = [[u for u, kind in kinds.items() if kind == wanted] for wanted in (1, 2, 3)]
    while True:
        drawn = [u for units in alike if units for u in rng.choice(units, len(units))]
        points = np.concatenate([np.flatnonzero(family == u) for u in drawn])
        if min(len(np.unique(family[points][first[points] == g])) for g in (True, False)) >= 2:
            return points


def _checked(
    gram: ArrayLike, group: ArrayLike, replica: ArrayLike, n_components: int, fewest: int = 2
) -> tuple[_Array, _Labels, _Numbers]:
    products = check_gram(gram)
    groups, replicas = np.asarray(group), np.asarray(replica)
    for name, labels in (("group", groups), ("replica", replicas)):
        if labels.shape != (len(products),):
            raise ValueError(
                f"{name} must have a label for each of {len(products)} points, not the shape {labels.shape}"
            )
    names, number = np.unique(groups, return_inverse=True)
    if len(names) != 2:
        raise ValueError(f"group must have two different labels, not {len(names)}")
    first, family = number == 0, np.unique(replicas, return_inverse=True)[1]
    for name, members in zip(names, (first, ~first), strict=True):
        if len(np.unique(family[members])) < fewest:
            raise ValueError(
                f"replica must have at least {fewest} labels in each group, not fewer in {name!s}"
            )
    check_components(n_components, len(products) - 2)
    return products, first, family
