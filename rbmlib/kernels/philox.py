"""Philox4x32-10, the counter-based random number generator of Salmon et al. (SC'11), scalar and in sixteen
lanes.

A draw is a pure function of a 64-bit key (the seed) and a 128-bit counter, so that no state is carried: any
chain's any step can be drawn by any thread, in any order. The counter's words are

====  =========================================================
word  meaning
====  =========================================================
c0    block: four 32-bit words are drawn at once
c1    step of the chain
c2    chain (or sample)
c3    stream: what the number is for, one of the constants below
====  =========================================================
"""

from __future__ import annotations

import numpy as np

from .lanes import even_chains, exclusive_or, high_word, interleave, low_product, splat
from .options import inline, jit

STREAM_TRAINING = np.uint32(1)
STREAM_SAMPLING = np.uint32(2)
STREAM_WEIGHTS = np.uint32(3)
STREAM_SHUFFLE = np.uint32(4)
STREAM_MPS = np.uint32(5)
STREAM_PRUNING = np.uint32(6)
STREAM_MASK = np.uint32(7)
STREAM_ANNEALING = np.uint32(8)
STREAM_REVERSE_ANNEALING = np.uint32(9)
STREAM_LARGE_SAMPLING = np.uint32(10)
STREAM_LARGE_TRAINING = np.uint32(11)

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_1 = np.uint64(1)


@inline
def split_seed(seed):
    """The two 32-bit key words of a 64-bit seed."""
    return seed & _LOW, seed >> _32


@inline
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Four 32-bit words (as uint64) from four counter words and two key words (uint64 below 2**32), in ten
    rounds.
    """
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@inline
def _round_of_lanes(x0, x1, x2, x3, k0, k1):
    p0 = low_product(x0, splat(_M0))
    p1 = low_product(x2, splat(_M1))
    return exclusive_or(high_word(p1), x1, splat(k0)), p1, exclusive_or(high_word(p0), x3, splat(k1)), p0


@inline
def words_of_sixteen_chains(block, step, first_chain, stream, k0, k1):
    """The four words of counter block ``block`` for chains ``first_chain ... + 15``, each a ``u32x16``.

    Even and odd chains run side by side, eight 64-bit lanes each, whose high halves hold garbage: products
    read low words only.
    """
    e0, e1, e2, e3 = splat(block), splat(step), even_chains(first_chain), splat(stream)
    o0, o1, o2, o3 = splat(block), splat(step), even_chains(first_chain + _1), splat(stream)
    for _ in range(10):
        e0, e1, e2, e3 = _round_of_lanes(e0, e1, e2, e3, k0, k1)
        o0, o1, o2, o3 = _round_of_lanes(o0, o1, o2, o3, k0, k1)
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return interleave(e0, o0), interleave(e1, o1), interleave(e2, o2), interleave(e3, o3)


@jit
def fill_words(words, step, chain, stream, seed):
    """Fill a uint32 array with the consecutive words of one chain's stream at one step."""
    k0, k1 = split_seed(np.uint64(seed))
    n = words.shape[0]
    for block in range((n + 3) // 4):
        drawn = philox4x32(np.uint64(block), np.uint64(step), np.uint64(chain), np.uint64(stream), k0, k1)
        for word in range(min(4, n - 4 * block)):
            words[4 * block + word] = np.uint32(drawn[word])
