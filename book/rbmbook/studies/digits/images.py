"""The images that cells work on, read once a process: a worker computes many cells of the same images.

A checksum says what they are, so that nothing can be out of date.
"""

from __future__ import annotations

from functools import lru_cache

from rbmlib.mnist import data
from rbmlib.mnist.images import Images
from rbmlib.mnist.quality import Moments


@lru_cache(maxsize=1)
def digits_of(images: str, images_checksum: str) -> Images:
    """What :func:`rbmlib.mnist.data.load` gives; not to be written to."""
    return data.load(images, images_checksum)


@lru_cache(maxsize=1)
def moments_of(images: str, images_checksum: str) -> Moments:
    """Counts of the training images."""
    return Moments.of(digits_of(images, images_checksum).train)
