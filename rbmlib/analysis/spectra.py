r"""Spectra of trained weights beside those of a random matrix.

The eigenvalues of :math:`W^T W` are the squared singular values of W, nothing divided out, one for each hidden unit,
in descending order from rank 1 (the paper's Fig. 4b). Those of a random matrix follow the law of
:mod:`rbmlib.analysis.marchenko_pastur`, whose variance is that of all entries, zeros included. A trained W has
both: a bulk that may follow the law, and modes above its upper edge. So the variance is matched to the bulk
(:func:`fit_bulk`), and the same entries without structure (:func:`shuffled_spectra`) tell how many eigenvalues lie
above the edge without any. A mean of the entries other than zero survives the shuffle: it makes a single eigenvalue
near n_visible n_hidden times its square.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.analysis.marchenko_pastur import MarchenkoPastur
from rbmlib.rbm import check_seed

KEPT = ("nothing", "zeros", "rows")
"""What a shuffle of weights may leave in its place."""


def eigenvalues(weights: ArrayLike) -> NDArray[np.float64]:
    """Eigenvalues of W^T W, descending.

    Parameters
    ----------
    weights : array, (n_visible, n_hidden)

    Returns
    -------
    array, (n_hidden,)
        Squared singular values of W; zeros at the end if there are fewer visible units.

    Raises
    ------
    ValueError
        If the weights are no matrix of finite numbers.
    """
    matrix = _matrix(weights)
    found = np.zeros(matrix.shape[1])
    singular = np.linalg.svd(matrix, compute_uv=False)
    found[: len(singular)] = singular**2
    return found


def entry_variance(weights: ArrayLike) -> float:
    """Variance of the entries of W about their mean, over all of them, zeros included."""
    return float(_matrix(weights).var())


def fit_bulk(eigenvalues: ArrayLike, n_visible: int, n_modes: int = 0) -> MarchenkoPastur:
    """The Marchenko-Pastur law of the bulk of a spectrum, by its median.

    The largest `n_modes` eigenvalues are set aside as modes; the median of the others is matched to the median of the law
    of a matrix with as many rows and columns fewer, for modes take these dimensions away from the bulk. However far
    modes stick out, the result stays the same; modes that are not set aside raise the variance (62 of 400, by 15 %).

    A rule that sets aside what lies above the edge, until no more does, has no end on trained machines: their spectra
    fall off so evenly that hardly any bulk remains.

    Parameters
    ----------
    eigenvalues : array, (n_hidden,)
        Of W^T W, in any order; of a wide W only the n_visible largest are looked at.
    n_visible : int
        Number of visible units.
    n_modes : int
        Number of eigenvalues that are no bulk.

    Returns
    -------
    MarchenkoPastur
        For the whole matrix.

    Raises
    ------
    ValueError
        If n_modes is not smaller than both sides, or the median is zero.
    """
    spectrum = _descending("eigenvalues", eigenvalues)
    n_hidden = len(spectrum)
    n_bulk = min(n_visible, n_hidden) - n_modes
    if not (n_modes >= 0 and n_bulk > 0):
        raise ValueError(f"n_modes must lie between 0 and {min(n_visible, n_hidden) - 1}, not {n_modes!r}")
    median = float(np.median(spectrum[n_modes : n_modes + n_bulk]))
    if median <= 0:
        raise ValueError(f"eigenvalues must have a positive median, not {median:g}")
    unit = MarchenkoPastur(1.0, n_visible - n_modes, n_hidden - n_modes)
    return MarchenkoPastur(median / float(unit.quantile((1 + unit.zeros) / 2)), n_visible, n_hidden)


def bulk_distance(eigenvalues: ArrayLike, law: MarchenkoPastur) -> float:
    """Largest difference of two distributions: of the eigenvalues not above the upper edge, and of the law.

    Parameters
    ----------
    eigenvalues : array, (n_hidden,)
    law : MarchenkoPastur

    Returns
    -------
    float
        Kolmogorov's distance, 0 to 1: of a random matrix of the order of 1 / n_hidden.

    Raises
    ------
    ValueError
        If no eigenvalue lies below the edge.
    """
    bulk = _descending("eigenvalues", eigenvalues)[::-1]
    bulk = bulk[bulk <= law.edges[1]]
    if len(bulk) == 0:
        raise ValueError(f"eigenvalues must have a bulk, not all lie above {law.edges[1]:g}")
    wanted, zeros = law.distribution(bulk), bulk <= 0
    before = np.where(zeros, 0.0, np.arange(len(bulk)) / len(bulk))
    after = np.where(zeros, zeros.mean(), np.arange(1, len(bulk) + 1) / len(bulk))
    return float(max(np.abs(after - wanted).max(), np.abs(np.where(zeros, 0.0, wanted) - before).max()))


def count_above(eigenvalues: ArrayLike, law: MarchenkoPastur) -> int:
    """Number of eigenvalues above the upper edge of a law.

    Of a random matrix of finite size about one eigenvalue in six times lies just above it:
    :func:`shuffled_spectra` tells what is usual.
    """
    return int(np.count_nonzero(np.asarray(eigenvalues) > law.edges[1]))


def shuffled_spectra(
    weights: ArrayLike, n_shuffles: int, seed: int, *, keep: str = "nothing"
) -> NDArray[np.float64]:
    """Spectra of W with its entries permuted: same entries, no structure, or only the one that is kept.

    Parameters
    ----------
    weights : array, (n_visible, n_hidden)
    n_shuffles : int
        Number of permutations.
    seed : int
        Seed in [0, 2**64).
    keep : str
        What structure remains: ``"nothing"``; ``"zeros"``, which stay where they are while the others are permuted among
        their places; or ``"rows"``, each permuted in itself, so that every visible unit keeps its weights.

    Returns
    -------
    array, (n_shuffles, n_hidden)
        Eigenvalues of each, descending.

    Raises
    ------
    ValueError
        If the weights are no matrix of finite numbers, or n_shuffles, the seed or what is kept is out of range.
    """
    matrix = _matrix(weights)
    if n_shuffles < 1:
        raise ValueError(f"n_shuffles must be at least 1, not {n_shuffles!r}")
    if keep not in KEPT:
        raise ValueError(f"keep must be one of {', '.join(KEPT)}, not {keep!r}")
    rng = np.random.default_rng(check_seed("seed", seed))
    places = np.flatnonzero(matrix) if keep == "zeros" else np.arange(matrix.size)
    spectra = np.empty((n_shuffles, matrix.shape[1]))
    for shuffle in range(n_shuffles):
        shuffled = matrix.copy()
        if keep == "rows":
            shuffled = rng.permuted(matrix, axis=1)
        else:
            shuffled.flat[places] = rng.permutation(matrix.flat[places])
        spectra[shuffle] = eigenvalues(shuffled)
    return spectra


def crossing_index(first: ArrayLike, second: ArrayLike) -> float:
    """Rank after which the order of two spectra is reversed for good.

    Parameters
    ----------
    first, second : array, (n_hidden,)
        Descending spectra; rank 1 is the largest eigenvalue, as in the paper's Fig. 4b.

    Returns
    -------
    float
        On straight lines between ranks: where the difference last changes its sign away from that of the largest
        eigenvalues. Ranks at which both are equal have the sign before them, and a crossing along a run of them lies
        in its middle. NaN if the spectrum that begins above also ends above, or both are equal.

    Raises
    ------
    ValueError
        If the spectra differ in length or are not descending.
    """
    one, other = _descending("first", first, sort=False), _descending("second", second, sort=False)
    if len(one) != len(other):
        raise ValueError(f"second must have the length {len(one)} of first, not {len(other)}")
    difference = one - other
    unequal = np.flatnonzero(difference)
    if len(unequal) == 0 or difference[unequal[0]] * difference[unequal[-1]] > 0:
        return float("nan")
    before = int(np.flatnonzero(difference * np.sign(difference[unequal[0]]) > 0)[-1])
    after = int(unequal[unequal > before][0])
    if after > before + 1:
        return 1 + (before + after) / 2
    return 1 + before + float(difference[before] / (difference[before] - difference[after]))


def crossing_indices(spectra: ArrayLike) -> NDArray[np.float64]:
    """:func:`crossing_index` of every pair of spectra.

    Parameters
    ----------
    spectra : array, (n_spectra, n_hidden)

    Returns
    -------
    array, (n_spectra, n_spectra)
        Symmetric, NaN on the diagonal and where a pair has no crossing.
    """
    rows = np.asarray(spectra, np.float64)
    found = np.full((len(rows), len(rows)), np.nan)
    for i, j in combinations(range(len(rows)), 2):
        found[i, j] = found[j, i] = crossing_index(rows[i], rows[j])
    return found


def truncate_modes(weights: ArrayLike, n_modes: int) -> NDArray[np.float64]:
    """W made of its largest singular values alone, the closest matrix of that rank.

    Weights that a mask holds at zero are in general no longer zero, and biases that fitted W no longer fit.

    Parameters
    ----------
    weights : array, (n_visible, n_hidden)
    n_modes : int
        Number of singular values kept, 0 to min(n_visible, n_hidden).

    Returns
    -------
    array, (n_visible, n_hidden)

    Raises
    ------
    ValueError
        If the weights are no matrix of finite numbers, or n_modes is out of range.
    """
    matrix = _matrix(weights)
    if not 0 <= n_modes <= min(matrix.shape):
        raise ValueError(f"n_modes must lie between 0 and {min(matrix.shape)}, not {n_modes!r}")
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    return (left[:, :n_modes] * singular[:n_modes]) @ right[:n_modes]


def _matrix(weights: ArrayLike) -> NDArray[np.float64]:
    matrix = np.asarray(weights, np.float64)
    if matrix.ndim != 2 or matrix.size == 0 or not np.isfinite(matrix).all():
        raise ValueError(
            f"weights must be finite numbers of shape (n_visible, n_hidden), not of shape {matrix.shape}"
        )
    return matrix


def _descending(name: str, spectrum: ArrayLike, sort: bool = True) -> NDArray[np.float64]:
    values = np.asarray(spectrum, np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"{name} must be a row of finite eigenvalues, not of shape {values.shape}")
    if sort:
        return np.sort(values)[::-1]
    if (np.diff(values) > 0).any():
        raise ValueError(
            f"{name} must be descending, not rise at rank {int(np.argmax(np.diff(values) > 0)) + 2}"
        )
    return values
