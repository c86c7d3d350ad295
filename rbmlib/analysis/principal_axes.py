r"""Principal axes of few points with many coordinates, from their inner products.

A machine is a point with as many coordinates as it has weights or couplings, and there are far more of these than
machines. All that is needed is the matrix of inner products :math:`K = X X^T` (Gram matrix). The points T are centred,
their principal axes found, and other points S projected on these,

.. math:: H K_{TT} H = V \Lambda V^T, \qquad Z_T = V \Lambda^{1/2}, \qquad
          Z_S = \bigl(K_{ST} - \bar K_T\bigr) H V \Lambda^{-1/2}, \qquad H = 1 - \tfrac{1}{|T|} 1 1^T ,

with :math:`\bar K_T` the mean of the rows of :math:`K_{TT}`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SMALLEST_AXIS = 1e-10
"""Axes with a smaller share of the largest eigenvalue are rounding."""
_Array = NDArray[np.float64]


class PrincipalCoordinates(NamedTuple):
    """Coordinates on principal axes, for a figure.

    Attributes
    ----------
    coordinates : array, (n_points, n_components)
        About the mean of all points; in the direction that makes the largest coordinate of each axis positive (the first
        of those that are equal up to rounding).
    explained : array, (n_components,)
        Shares of the total variance, descending.
    """

    coordinates: _Array
    explained: _Array


def gram_matrix(points: ArrayLike) -> _Array:
    """Inner products (n_points, n_points) of points (n_points, n_coordinates), in double precision."""
    rows = np.asarray(points, np.float64)
    if rows.ndim != 2:
        raise ValueError(f"points must have the shape (n_points, n_coordinates), not {rows.shape}")
    return rows @ rows.T


def principal_coordinates(gram: ArrayLike, n_components: int) -> PrincipalCoordinates:
    """Principal component analysis of all points from their Gram matrix.

    Parameters
    ----------
    gram : array, (n_points, n_points)
    n_components : int
        1 to n_points - 1; axes without variance have coordinates of zero.

    Returns
    -------
    PrincipalCoordinates

    Raises
    ------
    ValueError
        If the matrix is not square, symmetric and finite, n_components is out of range, or all points coincide.
    """
    products = check_gram(gram)
    check_components(n_components, len(products) - 1)
    everything = np.arange(len(products))
    coordinates, _ = project(products, everything, everything[:0], n_components)
    total = np.trace(products) - products.mean(axis=0).sum()
    if coordinates.shape[1] == 0 or total <= 0:
        raise ValueError("gram must be of points that differ, not all the same")
    sizes = np.abs(coordinates)
    largest = np.argmax(sizes >= sizes.max(axis=0) * (1 - 1e-6), axis=0)
    coordinates = coordinates * np.sign(coordinates[largest, np.arange(coordinates.shape[1])])
    padded = np.zeros((len(products), n_components))
    padded[:, : coordinates.shape[1]] = coordinates
    return PrincipalCoordinates(padded, (padded**2).sum(axis=0) / total)


def project(
    products: _Array, train: NDArray[np.int64], test: NDArray[np.int64], n_components: int
) -> tuple[_Array, _Array]:
    """Points on the principal axes of some of them.

    Parameters
    ----------
    products : array, (n_points, n_points)
        Their Gram matrix.
    train, test : array of int
        Numbers of the points that make the axes and of those that are projected on them; a number may repeat itself.
    n_components : int
        Number of axes; fewer are found if the training points span fewer.

    Returns
    -------
    array, (n_train, n_axes) and (n_test, n_axes)
        Coordinates about the mean of the training points. The sign of an axis is arbitrary.
    """
    own, others = products[np.ix_(train, train)], products[np.ix_(test, train)]
    mean = own.mean(axis=0)
    centred = own - mean - mean[:, None] + mean.mean()
    variances, axes = np.linalg.eigh(centred)
    variances, axes = variances[::-1][:n_components], axes[:, ::-1][:, :n_components]
    wide = variances > max(_SMALLEST_AXIS * variances[0], 0.0)
    roots, axes = np.sqrt(variances[wide]), axes[:, wide]
    tested = others - others.mean(axis=1, keepdims=True) - mean + mean.mean()
    return axes * roots, tested @ axes / roots


def check_gram(gram: ArrayLike) -> _Array:
    """``gram`` as a square, symmetric and finite array of float64, or an error that names the argument."""
    products = np.asarray(gram, np.float64)
    if products.ndim != 2 or products.shape[0] != products.shape[1] or len(products) == 0:
        raise ValueError(f"gram must have the shape (n_points, n_points), not {products.shape}")
    if not np.isfinite(products).all() or not np.allclose(products, products.T, rtol=1e-6, atol=0):
        raise ValueError("gram must be symmetric and finite, not any matrix")
    return products


def check_components(n_components: int, most: int) -> None:
    """Refuse a number of axes outside 1 to ``most``."""
    if not 1 <= n_components <= most:
        raise ValueError(f"n_components must lie between 1 and {most}, not {n_components!r}")
