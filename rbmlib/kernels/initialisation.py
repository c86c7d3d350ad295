"""Initial weights, masks and derived seeds from Philox counters: portable bits.

Each number has a counter of its own, so that it depends on the seed and its place only.
"""

from __future__ import annotations

import numpy as np

from .elementary import exp, log
from .options import inline, jit
from .philox import STREAM_MASK, STREAM_WEIGHTS, philox4x32, split_seed

_32 = np.uint64(32)
_11 = np.uint64(11)


@inline
def _symmetric(high, low):
    """A float64 in (-1, 1) from 53 bits of two words, never 0."""
    bits = ((high << _32) | low) >> _11
    return (np.float64(bits) + 0.5) * 2.0**-52 - 1.0


@jit
def normal_numbers(out, seed):
    """Fill a flat float64 array with standard normal numbers by Marsaglia's polar method.

    Pair m uses the counters (attempt, m, 0, weights stream), attempt = 0, 1, ... until a point falls into the
    unit disc.
    """
    k0, k1 = split_seed(np.uint64(seed))
    for pair in range((out.shape[0] + 1) // 2):
        attempt = np.uint64(0)
        x, y, s = 0.0, 0.0, 2.0
        while s >= 1.0:
            w0, w1, w2, w3 = philox4x32(
                attempt, np.uint64(pair), np.uint64(0), np.uint64(STREAM_WEIGHTS), k0, k1
            )
            x, y = _symmetric(w0, w1), _symmetric(w2, w3)
            s = x * x + y * y
            attempt += np.uint64(1)
        radius = np.sqrt(-2.0 * log(s) / s)
        out[2 * pair] = x * radius
        if 2 * pair + 1 < out.shape[0]:
            out[2 * pair + 1] = y * radius


@jit
def derived_seed(seed, first, second):
    """A 64-bit seed for the part (first, second) of a computation whose seed is ``seed``."""
    k0, k1 = split_seed(np.uint64(seed))
    w0, w1, _, _ = philox4x32(
        np.uint64(first), np.uint64(second), np.uint64(0), np.uint64(STREAM_MASK), k0, k1
    )
    return (w0 << _32) | w1


@jit
def geometric_decay(first, last, fraction):
    """``first * (last / first) ** fraction``."""
    return first * exp(fraction * log(last / first))
