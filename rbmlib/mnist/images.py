"""A set of binary images with its split into training and test part, and the checksum that stands for it in
keys.

Pixels are 0 or 1, images are rows. Orders and random binarisations come from Philox counters: portable bits.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.arguments import plain_array
from rbmlib.files import missing_arrays, reading_arrays, write_whole
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.kernels.philox import STREAM_SAMPLING, STREAM_SHUFFLE, fill_words
from rbmlib.rbm import check_binary, check_seed

_BINARISING = 1  # parts of a seed, so that what is drawn from it is independent
_SPLITTING = 2


@dataclass(frozen=True, eq=False)
class Images:
    """Binary images, split into a training and a test part.

    Parameters
    ----------
    train, test : array, (n_images, n_pixels)
        The images, 0 or 1, row-major; kept as uint8.
    shape : (int, int)
        Height and width in pixels.
    train_labels, test_labels : array of int, (n_images,), optional
        Class of each image, 0 to 255; both or neither.
    name : str
        What the set is called.

    Raises
    ------
    ValueError
        If a part is empty or holds other values than 0 and 1, all training images are the same, or shapes or
        labels do not fit; the message names the argument.
    """

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]
    shape: tuple[int, int]
    train_labels: NDArray[np.uint8] | None = None
    test_labels: NDArray[np.uint8] | None = None
    name: str = "images"

    def __post_init__(self) -> None:
        shape = _checked_shape(self.shape)
        if (self.train_labels is None) != (self.test_labels is None):
            raise ValueError("train_labels and test_labels must be given together or not at all")
        object.__setattr__(self, "shape", shape)
        for part in ("train", "test"):
            images = check_images(part, getattr(self, part), shape)
            labels = getattr(self, f"{part}_labels")
            if labels is not None:
                labels = _checked_labels(f"{part}_labels", labels, len(images))
                object.__setattr__(self, f"{part}_labels", labels)
            object.__setattr__(self, part, images)
        if not (self.train != self.train[0]).any():
            raise ValueError(
                f"train must hold at least two different images; its {len(self.train)} are all the same"
            )

    @property
    def n_pixels(self) -> int:
        """Pixels of an image."""
        return self.shape[0] * self.shape[1]

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of shape, pixels and labels of both parts (the name does not count)."""
        total = hashlib.sha256()
        for part in (self.train, self.test):
            total.update(json.dumps([len(part), *self.shape]).encode())
            total.update(np.packbits(part, axis=1).tobytes())
        for labels in (self.train_labels, self.test_labels):
            total.update(b"-" if labels is None else labels.tobytes())
        return total.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the set to a ``.npz`` file of plain arrays, pixels packed to bits, whole or not at all."""
        arrays = {
            "shape": np.array(self.shape),
            "name": np.array(self.name),
            "checksum": np.array(self.checksum),
        }
        for part in ("train", "test"):
            arrays[part] = np.packbits(getattr(self, part), axis=1)
            if getattr(self, f"{part}_labels") is not None:
                arrays[f"{part}_labels"] = getattr(self, f"{part}_labels")
        write_whole(path, lambda file: np.savez(file, **arrays))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Images:
        """Read what :meth:`save` wrote; nothing in the file can run.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is damaged or holds something else.
        """
        with reading_arrays(path, "a complete set of images", ValueError) as archive:
            if missing := missing_arrays(archive, "shape", "train", "test", "name", "checksum"):
                raise ValueError(missing)
            shape = _checked_shape(archive["shape"])
            parts = {
                part: np.unpackbits(archive[part], axis=1, count=shape[0] * shape[1])
                for part in ("train", "test")
            }
            labels = {
                f"{part}_labels": archive[f"{part}_labels"]
                for part in ("train", "test")
                if f"{part}_labels" in archive.files
            }
            images = cls(**parts, shape=shape, **labels, name=str(archive["name"]))
            if images.checksum != str(archive["checksum"]):
                raise ValueError("its images are not those that were written")
            return images


def check_images(name: str, images: ArrayLike, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """``images`` as a contiguous uint8 array (n_images, n_pixels) of zeros and ones.

    Parameters
    ----------
    name : str
        What an error calls them.
    images : array, (n_images, n_pixels) or (n_images, height, width)
        The images.
    shape : (int, int)
        Height and width that they must have.

    Raises
    ------
    ValueError
        If there are none, they have another shape, or hold other values than 0 and 1.
    """
    array = plain_array(name, images)
    height, width = shape
    if array.ndim == 3 and array.shape[1:] == (height, width):
        array = array.reshape(len(array), -1)
    if array.ndim != 2 or array.shape[1] != height * width:
        raise ValueError(
            f"{name} must have the shape (n_images, {height * width}) or (n_images, {height}, {width}), "
            f"not {array.shape}"
        )
    if len(array) == 0:
        raise ValueError(f"{name} must hold at least one image; it is empty")
    return check_binary(name, array, height * width)


def split(
    images: ArrayLike,
    n_test: int,
    seed: int,
    *,
    shape: tuple[int, int] | None = None,
    labels: ArrayLike | None = None,
    name: str = "images",
) -> Images:
    """Split binary images at random into a training and a test part.

    Parameters
    ----------
    images : array, (n_images, height, width), or (n_images, n_pixels) with `shape`
        Zeros and ones.
    n_test : int
        Images of the test part; at least one remains for training.
    seed : int
        Seed of the order, in [0, 2**64).
    shape : (int, int), optional
        Height and width, needed where images are rows.
    labels : array of int, (n_images,), optional
        Class of each image.
    name : str
        What the set is called.

    Returns
    -------
    Images

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    """
    array = plain_array("images", images)
    if shape is None:
        if array.ndim != 3:
            raise ValueError(
                f"images must have the shape (n_images, height, width), not {array.shape}, or come with a shape"
            )
        shape = array.shape[1:]
    array = check_images("images", array, _checked_shape(shape))
    if isinstance(n_test, bool) or not isinstance(n_test, (int, np.integer)) or not 0 < n_test < len(array):
        raise ValueError(f"n_test must be an integer from 1 to {len(array) - 1}, not {n_test!r}")
    order = permutation(len(array), int(derived_seed(np.uint64(check_seed("seed", seed)), _SPLITTING, 0)))
    test, train = order[:n_test], order[n_test:]
    parts: dict[str, NDArray[np.uint8]] = {}
    if labels is not None:
        checked = _checked_labels("labels", labels, len(array))
        parts = {"train_labels": checked[train], "test_labels": checked[test]}
    return Images(array[train], array[test], shape, **parts, name=name)


def binarise(grey: ArrayLike, threshold: int = 127) -> NDArray[np.uint8]:
    """1 where a grey value (0 to 255, uint8) exceeds the threshold, else 0."""
    values = _checked_grey(grey)
    if (
        isinstance(threshold, bool)
        or not isinstance(threshold, (int, np.integer))
        or not 0 <= threshold < 255
    ):
        raise ValueError(f"threshold must be an integer from 0 to 254, not {threshold!r}")
    return (values > threshold).astype(np.uint8)


def binarise_at_random(grey: ArrayLike, seed: int) -> NDArray[np.uint8]:
    """1 with probability grey / 255, each pixel on its own; portable bits.

    Parameters
    ----------
    grey : array of uint8, (n_images, ...)
        Grey values.
    seed : int
        In [0, 2**64); image m depends on the seed and m alone.

    Returns
    -------
    array of uint8, the shape of `grey`
    """
    values = _checked_grey(grey)
    key = np.uint64(derived_seed(np.uint64(check_seed("seed", seed)), _BINARISING, 0))
    # So many of a word's 2**32 values are below the probability: none for 0, all for 255.
    below = (np.arange(256, dtype=np.uint64) << np.uint64(32)) // np.uint64(255)
    flat = values.reshape(len(values), -1)
    out = np.empty(flat.shape, np.uint8)
    words = np.empty(flat.shape[1], np.uint32)
    for image, row in enumerate(flat):
        fill_words(words, 0, image, STREAM_SAMPLING, key)
        out[image] = words < below[row]
    return out.reshape(values.shape)


def permutation(n: int, seed: int) -> NDArray[np.int64]:
    """The numbers 0 ... n - 1 in random order; portable bits."""
    words = np.empty(2 * n, np.uint32)
    fill_words(words, 0, 0, STREAM_SHUFFLE, np.uint64(check_seed("seed", seed)))
    return np.argsort(words[0::2].astype(np.uint64) << np.uint64(32) | words[1::2], kind="stable")


def disjoint_subsets(n: int, size: int, n_sets: int, seed: int) -> NDArray[np.int64]:
    """Row numbers of random subsets that share no row: (n_sets, size).

    Raises
    ------
    ValueError
        If `n` rows are too few.
    """
    if size < 1 or n_sets < 1 or size * n_sets > n:
        raise ValueError(f"{n_sets} disjoint sets of {size} images need {n_sets * size}; there are {n}")
    return permutation(n, seed)[: size * n_sets].reshape(n_sets, size)


def _checked_shape(shape: ArrayLike) -> tuple[int, int]:
    sides = np.asarray(shape)
    if sides.shape != (2,) or sides.dtype.kind not in "iu" or sides.min() < 1:
        raise ValueError(f"shape must be two positive integers (height, width), not {shape!r}")
    return int(sides[0]), int(sides[1])


def _checked_labels(name: str, labels: ArrayLike, n: int) -> NDArray[np.uint8]:
    array = plain_array(name, labels)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be {n} integers, one an image, not {array.dtype} of shape {array.shape}"
        )
    if array.min() < 0 or array.max() > 255:
        raise ValueError(f"{name} must lie from 0 to 255, not {array.min()} to {array.max()}")
    return np.ascontiguousarray(array, np.uint8)


def _checked_grey(grey: ArrayLike) -> NDArray[np.uint8]:
    values = plain_array("grey", grey)
    if values.dtype != np.uint8 or values.ndim < 2 or values.size == 0:
        raise ValueError(
            f"grey must be images of uint8, 0 to 255, not {values.dtype} of shape {values.shape}"
        )
    return values
