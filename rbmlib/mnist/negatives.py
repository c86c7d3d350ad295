"""Images that are no digits, made from digits without any machine: the second recipe of a judge's negatives.

Each family is a source of its own for :func:`rbmlib.mnist.judge.train_judge`. Most have the ink of digits, so that
a judge cannot go by ink alone; portable bits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.kernels.initialisation import derived_seed
from rbmlib.kernels.philox import STREAM_SHUFFLE, fill_words
from rbmlib.rbm import check_seed

from .images import check_images, permutation

N_WINDOWS = 3


def shuffled_pixels(images: ArrayLike, shape: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Every image with its pixels in random order: noise of equal ink."""
    rows = check_images("images", images, shape)
    return np.take_along_axis(rows, _orders(*rows.shape, seed), axis=1)


def shuffled_blocks(images: ArrayLike, shape: tuple[int, int], seed: int, side: int = 7) -> NDArray[np.uint8]:
    """Every image with its square blocks in random order: strokes that do not join.

    Raises
    ------
    ValueError
        If the sides of the images are no multiples of the blocks'.
    """
    rows = check_images("images", images, shape)
    blocks = _blocks(rows, shape, side)
    mixed = np.take_along_axis(blocks, _orders(len(rows), blocks.shape[1], seed)[:, :, None], axis=1)
    return _unblocked(mixed, shape, side)


def superposed(images: ArrayLike, shape: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Pairs of images, one over the other upside down: strokes in the middle that are no digit."""
    rows = check_images("images", images, shape)
    other = rows[permutation(len(rows), seed)].reshape(-1, *shape)
    return rows | np.ascontiguousarray(other[:, ::-1]).reshape(rows.shape)


def fragments(images: ArrayLike, shape: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Every image cut down to a horizontal or vertical band of a third of it: a few strokes."""
    rows = check_images("images", images, shape)
    square = rows.reshape(-1, *shape)
    words = _words(len(rows), 2, seed)
    vertical = words[:, 0] % 2 == 1
    window = words[:, 1] % N_WINDOWS
    out = np.zeros_like(square)
    for axis, turned in ((1, False), (2, True)):
        bounds = np.linspace(0, shape[axis - 1], N_WINDOWS + 1).round().astype(np.int64)
        for k in range(N_WINDOWS):
            chosen = np.flatnonzero((vertical == turned) & (window == k))
            band = slice(bounds[k], bounds[k + 1])
            where = (chosen, band) if axis == 1 else (chosen, slice(None), band)
            out[where] = square[where]
    return out.reshape(rows.shape)


def independent_pixels(images: ArrayLike, shape: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Images whose every pixel comes from an image of its own: noise with the data's mean at every place, which
    is what a machine draws that keeps its visible biases alone.
    """
    rows = check_images("images", images, shape)
    source = _words(*rows.shape, seed) % np.uint32(len(rows))
    return np.take_along_axis(rows, source.astype(np.int64), axis=0)


def patchwork(images: ArrayLike, shape: tuple[int, int], seed: int, side: int = 7) -> NDArray[np.uint8]:
    """Images whose every square block comes from an image of its own: strokes in their usual places that do not
    belong together.

    Raises
    ------
    ValueError
        If the sides of the images are no multiples of the blocks'.
    """
    rows = check_images("images", images, shape)
    blocks = _blocks(rows, shape, side)
    source = _words(len(rows), blocks.shape[1], seed) % np.uint32(len(rows))
    mixed = np.take_along_axis(blocks, source.astype(np.int64)[:, :, None], axis=0)
    return _unblocked(mixed, shape, side)


FAMILIES: dict[str, Callable[..., NDArray[np.uint8]]] = {
    "noise of equal ink": shuffled_pixels,
    "shuffled blocks": shuffled_blocks,
    "independent pixels": independent_pixels,
    "patchwork": patchwork,
    "superposed digits": superposed,
    "fragments": fragments,
}
"""The families by name."""

_IN_BLOCKS = (shuffled_blocks, patchwork)


def make(name: str, images: ArrayLike, shape: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Negatives of a family, in blocks of a quarter of the shorter side or the next smaller that fit.

    Parameters
    ----------
    name : str
        One of :data:`FAMILIES`.
    images : array, (n_images, n_pixels) or (n_images, height, width)
        Digits that they are made from.
    shape : (int, int)
        Height and width.
    seed : int
        In [0, 2**64).

    Returns
    -------
    array of uint8, (n_images, n_pixels)

    Raises
    ------
    ValueError
        If there is no such family, and as :func:`rbmlib.mnist.images.check_images`.
    """
    if name not in FAMILIES:
        raise ValueError(f"name must be one of {', '.join(FAMILIES)}, not {name!r}")
    family = FAMILIES[name]
    if family in _IN_BLOCKS:
        height, width = shape
        fitting = (
            side for side in range(1, max(1, min(shape) // 4) + 1) if not (height % side or width % side)
        )
        return family(images, shape, seed, side=max(fitting))
    return family(images, shape, seed)


def _blocks(rows: NDArray[np.uint8], shape: tuple[int, int], side: int) -> NDArray[np.uint8]:
    """Square blocks of images: (n, n_blocks, side * side)."""
    height, width = shape
    if side < 1 or height % side or width % side:
        raise ValueError(f"side must divide {height} and {width}, not {side!r}")
    tiled = rows.reshape(-1, height // side, side, width // side, side).transpose(0, 1, 3, 2, 4)
    return tiled.reshape(len(rows), -1, side * side)


def _unblocked(blocks: NDArray[np.uint8], shape: tuple[int, int], side: int) -> NDArray[np.uint8]:
    height, width = shape
    tiled = blocks.reshape(-1, height // side, width // side, side, side).transpose(0, 1, 3, 2, 4)
    return np.ascontiguousarray(tiled.reshape(len(blocks), height * width))


def _orders(n: int, length: int, seed: int) -> NDArray[np.int64]:
    """A random order of `length` things for each of n images."""
    return np.argsort(_words(n, length, seed), axis=1, kind="stable")


def _words(n: int, length: int, seed: int) -> NDArray[np.uint32]:
    words = np.empty((n, length), np.uint32)
    key = np.uint64(derived_seed(np.uint64(check_seed("seed", seed)), 0, 0))
    for image, row in enumerate(words):
        fill_words(row, 0, image, STREAM_SHUFFLE, key)
    return words
