"""What a set of images looks like: amount, place and connectedness of its ink, and how its images differ.

All follows from whole numbers and correctly rounded operations: portable bits. Beside each figure stands what
noise would give whose pixels are on independently of one another, in the same share.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .images import check_images


class Appearance(NamedTuple):
    """Looks of a set of images.

    Attributes
    ----------
    ink : float
        Share of the pixels that are on.
    off_centre : float
        Mean distance of an image's centre of ink from the middle of the image, in pixels; NaN if no image
        has ink.
    radius : float
        Mean root-mean-square distance of an image's ink from its own centre, in pixels; NaN likewise.
    contact : float
        Pairs of touching pixels (beside or above one another) that are both on, per pixel that is on. Noise
        of share q has about 2 q, a long line of width one 1, wide strokes up to 2. NaN if there is no ink.
    variation : float
        Variance of a pixel between images, averaged over pixels, in units of q (1 - q) for a share q: 1 for
        noise, 0 where all images are the same. NaN if all pixels are equal.
    blank : float
        Share of images without ink.
    """

    ink: float
    off_centre: float
    radius: float
    contact: float
    variation: float
    blank: float


def appearance(images: ArrayLike, shape: tuple[int, int]) -> Appearance:
    """Measure what images look like; portable bits.

    Parameters
    ----------
    images : array, (n_images, n_pixels) or (n_images, height, width)
        Zeros and ones.
    shape : (int, int)
        Height and width in pixels.

    Returns
    -------
    Appearance

    Raises
    ------
    ValueError
        If the images are not binary, of another shape, or none.
    """
    rows = check_images("images", images, shape)
    n, n_pixels = rows.shape
    ink = np.count_nonzero(rows, axis=1).astype(np.int64)
    total = int(ink.sum())
    inked = ink > 0
    off_centre, radius = _places(rows.reshape(n, *shape)[inked], ink[inked])
    by_pixel = rows.sum(axis=0, dtype=np.int64)
    # n^2 times the summed variances, against n^2 times what noise of the same ink has in all pixels together.
    between = n * total - int((by_pixel * by_pixel).sum())
    noise = total * (n * n_pixels - total)
    square = rows.reshape(n, *shape)
    below, beside = square[:, 1:] & square[:, :-1], square[:, :, 1:] & square[:, :, :-1]
    touching = int(np.count_nonzero(below) + np.count_nonzero(beside))
    return Appearance(
        ink=total / (n * n_pixels),
        off_centre=math.fsum(off_centre) / len(off_centre) if total else math.nan,
        radius=math.fsum(radius) / len(radius) if total else math.nan,
        contact=touching / total if total else math.nan,
        variation=between * n_pixels / noise if noise else math.nan,
        blank=float(np.count_nonzero(~inked)) / n,
    )


def noise_of_equal_ink(ink: float, shape: tuple[int, int]) -> Appearance:
    """What :func:`appearance` gives, nearly, for many images whose pixels are on independently with
    probability `ink`.

    Parameters
    ----------
    ink : float
        Share of the pixels that are on, in (0, 1).
    shape : (int, int)
        Height and width in pixels.

    Returns
    -------
    Appearance
        ``off_centre`` and ``radius`` to leading order in the number of inked pixels.
    """
    if not 0 < ink < 1:
        raise ValueError(f"ink must lie in (0, 1), not {ink!r}")
    height, width = shape
    n_pixels = height * width
    variances = (height**2 - 1) / 12, (width**2 - 1) / 12
    spread = sum(variances)
    # The centre of k pixels drawn without repetition is nearly normal around the middle; the mean distance of an
    # isotropic normal in two dimensions is sqrt(pi / 2) of its deviation along an axis.
    k = ink * n_pixels
    along_axis = math.sqrt(spread / 2 / k * (n_pixels - k) / max(n_pixels - 1, 1))
    pairs = (height - 1) * width + height * (width - 1)
    return Appearance(
        ink=ink,
        off_centre=math.sqrt(math.pi / 2) * along_axis,
        radius=math.sqrt(max(spread - 2 * along_axis**2, 0.0)),
        contact=pairs / n_pixels * ink,
        variation=1.0,
        blank=(1 - ink) ** n_pixels,
    )


def _places(
    square: NDArray[np.uint8], ink: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of each image's centre of ink from the middle, and of its ink from that centre."""
    offsets = np.zeros((2, len(square)))
    spread = np.zeros(len(square))
    for axis, side in enumerate(square.shape[1:]):
        # Twice the coordinate, from the middle: whole numbers for even and odd sides.
        place = 2 * np.arange(side) - (side - 1)
        profile = square.sum(axis=2 - axis, dtype=np.int64)
        first, second = (profile * place).sum(axis=1), (profile * place**2).sum(axis=1)
        offsets[axis] = first / (2 * ink)
        spread += (ink * second - first**2) / (4 * ink**2)
    return np.sqrt(offsets[0] ** 2 + offsets[1] ** 2), np.sqrt(spread)
