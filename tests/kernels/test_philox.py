"""Random numbers: the published vectors, and sixteen lanes that draw what sixteen scalars draw."""

import numba
import numpy as np
import pytest

from rbmlib.kernels import philox
from rbmlib.kernels.lanes import store

ONES = 0xFFFFFFFF
# Known answers of Random123 for philox4x32-10: counter, key, output.
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@numba.njit
def scalar(c0, c1, c2, c3, k0, k1):
    return philox.philox4x32(c0, c1, c2, c3, k0, k1)


@numba.njit
def sixteen(block, step, chain, stream, seed, out):
    k0, k1 = philox.split_seed(seed)
    w0, w1, w2, w3 = philox.words_of_sixteen_chains(block, step, chain, stream, k0, k1)
    store(out, 0, w0)
    store(out, 16, w1)
    store(out, 32, w2)
    store(out, 48, w3)


def words(n, step, chain, stream, seed):
    out = np.empty(n, np.uint32)
    philox.fill_words(out, step, chain, stream, np.uint64(seed))
    return out


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_the_scalar_generator_gives_the_published_vectors(counter, key, expected):
    assert scalar(*(np.uint64(x) for x in (*counter, *key))) == expected


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_the_twin_gives_the_published_vectors(counter, key, expected, twin):
    assert twin.philox(counter, key) == expected


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 0x9E3779B97F4A7C15, 2**64 - 1])
@pytest.mark.parametrize("chain", [0, 1, 15, 1000, 2**32 - 16])
def test_every_lane_equals_the_scalar_generator_of_its_chain(seed, chain, twin):
    for block, step, stream in ((0, 0, 1), (3, 2**31, 2), (2**32 - 1, 2**32 - 1, 5)):
        out = np.empty(64, np.uint32)
        sixteen(*(np.uint64(x) for x in (block, step, chain, stream, seed)), out)
        expected = [
            twin.philox((block, step, chain + lane, stream), (seed % 2**32, seed >> 32)) for lane in range(16)
        ]
        np.testing.assert_array_equal(out.reshape(4, 16).T, expected)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 11, 64])
def test_a_row_of_words_is_the_blocks_one_after_the_other(n, twin):
    seed = 0x0123456789ABCDEF
    expected = [w for block in range(16) for w in twin.philox((block, 7, 9, 6), (seed % 2**32, seed >> 32))]
    assert words(n, 7, 9, 6, seed).tolist() == expected[:n]


def test_streams_of_different_purposes_are_different_numbers():
    streams = [value for name, value in vars(philox).items() if name.startswith("STREAM_")]
    assert len(streams) == len(set(streams)) == 11
    drawn = {tuple(words(4, 0, 0, stream, 1)) for stream in streams}
    assert len(drawn) == 11


def bit_scores(seed):
    """Standard scores of the counts of each of the 32 bits over 2**14 words, and of neighbouring bits that agree."""
    drawn = words(2**14, 1, 2, 3, seed)
    bits = (drawn[:, None] >> np.arange(32)) & 1
    agree = bits[1:] == bits[:-1]
    return np.concatenate([(x.sum(axis=0) - len(x) / 2) / np.sqrt(len(x) / 4) for x in (bits, agree)])


def test_every_bit_is_fair_and_independent_of_the_word_before():
    assert np.abs(bit_scores(20)).max() < 5
