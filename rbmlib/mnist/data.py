"""MNIST from a folder, the user's cache or the network, as binary images.

The four original files are looked for in ``RBMLIB_DATA``, then in the user's cache, where torchvision puts
them if they are nowhere. They are read and verified here, with nothing but NumPy; only a download needs
torchvision. Binary sets are kept prepared in the cache, so that processes that compute read one small file.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import math
import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rbmlib.cache import cache_root

from .images import Images, binarise, binarise_at_random

MNIST = "mnist"
MNIST_FILES = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
"""The original files and their MD5 sums, as published with them."""
MNIST_CHECKSUM = "63119dc5c2f73c62b8c645b9fc6b1e43e732604f667e8771eac4ff01a19f150e"
"""Checksum of MNIST, a pixel on above 127, split as published: 60,000 training and 10,000 test images."""
THRESHOLD = 127

_RAW = Path("MNIST", "raw")  # torchvision's layout


class DataNotFoundError(LookupError):
    """The images are not on this machine and cannot be fetched."""


class DataFileError(ValueError):
    """A file of images is damaged, foreign, or not the one that was asked for."""


def mnist(*, threshold: int = THRESHOLD, random_seed: int | None = None) -> Images:
    """MNIST as binary images, 28 x 28, split as published: 60,000 for training, 10,000 for tests.

    Parameters
    ----------
    threshold : int
        A pixel is 1 where its grey value, 0 to 255, exceeds this.
    random_seed : int, optional
        Given, a pixel is 1 with probability grey / 255 instead, drawn from this seed.

    Returns
    -------
    Images
        With labels.

    Raises
    ------
    DataNotFoundError
        If the files are nowhere and cannot be downloaded; the message says where to put which.
    DataFileError
        If one of them is damaged.
    ValueError
        If an argument is out of range.
    """
    how = f"above-{threshold}" if random_seed is None else f"at-random-{random_seed}"
    prepared = _cache() / f"{MNIST}-{how}.npz"
    if prepared.is_file():
        # A damaged file of our own is simply made again.
        with contextlib.suppress(ValueError):
            return Images.load(prepared)
    folder = find_mnist()
    grey, labels = zip(*(_part(folder, part) for part in ("train", "t10k")), strict=True)
    if random_seed is None:
        train, test = (binarise(part, threshold) for part in grey)
    else:
        both = binarise_at_random(np.concatenate(grey), random_seed)
        train, test = both[: len(grey[0])], both[len(grey[0]) :]
    images = Images(train, test, grey[0].shape[1:], *labels, name=MNIST)
    # Without a cache that can be written everything works, and takes a second longer.
    with contextlib.suppress(OSError):
        prepared.parent.mkdir(parents=True, exist_ok=True)
        images.save(prepared)
    return images


def load(source: str, checksum: str | None = None) -> Images:
    """The images that a computation asks for.

    Parameters
    ----------
    source : str
        ``"mnist"`` (a pixel on above 127), or the path of a file that :meth:`rbmlib.mnist.images.Images.save` wrote.
    checksum : str, optional
        What they must be: their :attr:`rbmlib.mnist.images.Images.checksum`, such as :data:`MNIST_CHECKSUM`.

    Returns
    -------
    Images

    Raises
    ------
    DataNotFoundError
        If they are not there.
    DataFileError
        If they are damaged, or others than `checksum` says.
    """
    if source == MNIST:
        images = mnist()
    else:
        try:
            images = Images.load(source)
        except FileNotFoundError:
            raise DataNotFoundError(
                f"there is no file of images at {source}; name one that Images.save wrote, or {MNIST!r}"
            ) from None
        except ValueError as error:
            raise DataFileError(str(error)) from error
    if checksum is not None and images.checksum != checksum:
        raise DataFileError(
            f"the images of {source} have the checksum {images.checksum[:12]}, not {checksum[:12]} as asked for"
        )
    return images


def find_mnist() -> Path:
    """The folder that holds the four original files; torchvision downloads them where there is none.

    Raises
    ------
    DataNotFoundError
        If they are nowhere and cannot be downloaded; the message says where to put which.
    """
    given = os.environ.get("RBMLIB_DATA")
    cached = _cache() / _RAW
    places = [Path(given) / _RAW] if given else []
    for folder in (*places, cached):
        if all((folder / name).is_file() for name in MNIST_FILES):
            return folder
    try:
        from .download import download

        download(cached, tuple(MNIST_FILES))
    except (ImportError, OSError, RuntimeError) as error:
        *first, last = MNIST_FILES
        looked = " and ".join(str(place) for place in (*places, cached))
        # torchvision's reasons stand in the lines after the first.
        why = " ".join(f"{error}".split()) or type(error).__name__
        if isinstance(error, ImportError):
            why = "that needs torchvision: pip install 'rbmlib[torch]'"
        raise DataNotFoundError(
            f"MNIST is not in {looked} and cannot be downloaded ({why}): put the four original files "
            f"{', '.join(first)} and {last} into {(places or [cached])[0]}"
            + ("" if given else ", or into the folder MNIST/raw of one that RBMLIB_DATA names")
        ) from error
    return cached


def _cache() -> Path:
    return cache_root() / "data"


def _part(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Grey images (n, height, width) and labels (n,) of the training or the test part."""
    names = f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"
    images, labels = (read_idx(folder / name, MNIST_FILES[name]) for name in names)
    if images.ndim != 3 or labels.shape != (len(images),):
        raise DataFileError(
            f"{folder} must hold images (n, height, width) and n labels, not {images.shape} and {labels.shape}"
        )
    return images, labels


def read_idx(path: Path, md5: str | None = None) -> NDArray[np.uint8]:
    """Read an array of unsigned bytes from a gzip-compressed IDX file, the format of MNIST.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    md5 : str, optional
        What the MD5 sum of the compressed file must be.

    Returns
    -------
    array of uint8

    Raises
    ------
    DataFileError
        If it cannot be read, is not such a file, or has another sum.
    """
    try:
        content = path.read_bytes()
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if md5 is not None and found != md5:
            raise DataFileError(
                f"{path} is damaged: its MD5 sum is {found}, not {md5}; replace it by the original"
            )
        data = gzip.decompress(content)
        zeros, kind, n_axes = struct.unpack_from(">HBB", data)
        sides = struct.unpack_from(f">{n_axes}I", data, 4)
    except DataFileError:
        raise
    except Exception as error:  # whatever gzip, zlib and struct raise on bytes that someone else wrote
        raise DataFileError(f"{path} cannot be read as a compressed IDX file: {error}") from error
    if zeros or kind != 8 or len(data) != 4 + 4 * n_axes + math.prod(sides):
        raise DataFileError(f"{path} is not a whole IDX file of unsigned bytes")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * n_axes).reshape(sides)
