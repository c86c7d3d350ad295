r"""Distances to nearest neighbours between sets of binary images.

For zeros and ones the number of differing pixels is

.. math:: d(a, b) = |a| + |b| - 2\, a \cdot b

with whole numbers throughout, which float32 products hold exactly up to 2**24: so blocks of a matrix product
give the same distances on every processor. The Euclidean distance is the root of d and has the same nearest
neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1024
_FAR = np.float32(2**25)  # beyond every distance


class Nearest(NamedTuple):
    """The two nearest neighbours of each row of a set.

    Attributes
    ----------
    distance : array of int64, (n,)
        Number of pixels in which the nearest differs.
    index : array of int64, (n, 2)
        Rows of the nearest and the next, the earliest of several at the same distance.
    """

    distance: NDArray[np.int64]
    index: NDArray[np.int64]


def nearest(images: NDArray[np.uint8], others: NDArray[np.uint8] | None = None) -> Nearest:
    """Nearest neighbours of every image among others, or among its own set without itself; portable bits.

    Parameters
    ----------
    images : array of uint8, (n, n_pixels)
        Zeros and ones.
    others : array of uint8, (m, n_pixels), optional
        Where to look, at least two; `images` itself, at least three, if not given.

    Returns
    -------
    Nearest
    """
    targets = images if others is None else others
    there = targets.astype(np.float32)
    ink_there = np.count_nonzero(targets, axis=1).astype(np.float32)
    distance = np.empty(len(images), np.int64)
    index = np.empty((len(images), 2), np.int64)
    for start in range(0, len(images), _BLOCK):
        here = images[start : start + _BLOCK]
        rows = np.arange(len(here))
        block = here.astype(np.float32) @ there.T
        block *= -2
        block += ink_there
        block += np.count_nonzero(here, axis=1).astype(np.float32)[:, None]
        if others is None:
            block[rows, start + rows] = _FAR
        index[start + rows, 0] = first = block.argmin(axis=1)
        distance[start + rows] = block[rows, first]
        block[rows, first] = _FAR
        index[start + rows, 1] = block.argmin(axis=1)
    return Nearest(distance, index)
