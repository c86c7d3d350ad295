"""Every operation on lanes against numpy."""

from fractions import Fraction

import numba
import numpy as np
import pytest

from rbmlib.kernels import lanes
from rbmlib.kernels.lanes import load, splat, store

RNG = np.random.default_rng(5)


@numba.njit(error_model="numpy")
def arithmetic(a, b, c, width, out):
    """Each operation's lanes as a row of ``out``."""
    x, y, z = load(a, 0), load(b, 0), load(c, 0)
    store(out, 0, x + y)
    store(out, width, x - y)
    store(out, 2 * width, x * y)
    store(out, 3 * width, x / y)
    store(out, 4 * width, lanes.fused(x, y, z))
    store(out, 5 * width, lanes.less_than(x, y))
    store(out, 6 * width, lanes.clamp(x, splat(b[0]), splat(c[0])))
    store(out, 7 * width, lanes.absolute(x))
    store(out, 8 * width, lanes.square_root(lanes.absolute(x)))
    return lanes.tree_sum(x)


@numba.njit
def mantissa_and_exponent(a, out):
    m, e = lanes.split_float(load(a, 0))
    store(out, 0, m)
    store(out, 8, e)


@numba.njit
def scaled(a, exponent, magic, out):
    store(out, 0, lanes.scale_by_power_of_two(load(a, 0), load(exponent, 0) + splat(magic)))


@numba.njit
def integers(a, b, base, out64, out32):
    store(out64, 0, lanes.even_chains(base))
    store(out64, 8, lanes.low_product(load(a, 0), load(b, 0)))
    store(out64, 16, lanes.exclusive_or(load(a, 0), load(b, 0), splat(base)))
    store(out64, 24, lanes.high_word(load(a, 0)))
    store(out32, 0, lanes.interleave(load(a, 0), load(b, 0)))


@numba.njit
def from_words(first, second, bit, n, out):
    a, b = load(first, 0), load(second, 0)
    store(out, 0, lanes.bit_of_words(a, bit))
    store(out, 16, lanes.first_lanes(n))
    store(out, 32, lanes.uniform_of_top_bits(a))
    store(out, 48, lanes.uniform_of_low_bits(a, b))


@numba.njit
def three_rows(bias, weights, offset, stride, states, out):
    block = lanes.splat_block(bias, 1, (0, 0, 0))
    block = lanes.fused_block(block, weights, offset, stride, load(states, 0))
    lanes.store_block(out, 0, block)


@numba.njit
def address_of_aligned(n):
    buffer = lanes.aligned_float32(n)
    return buffer.ctypes.data, buffer.size


def exactly_fused(a, b, c):
    """a * b + c rounded once, from exact rationals."""
    exact = [
        Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)) for x, y, z in zip(a, b, c, strict=True)
    ]
    if a.dtype == np.float64:
        return np.array([float(value) for value in exact])
    return np.array([np.float32(float(value)) for value in exact])


@pytest.mark.parametrize(("dtype", "width"), [(np.float32, 16), (np.float64, 8)])
def test_arithmetic_is_numpys_lane_by_lane(dtype, width):
    for _ in range(50):
        a, b, c = (RNG.normal(size=width).astype(dtype) for _ in range(3))
        b[0], c[0] = -0.5, 0.5
        out = np.empty(9 * width, dtype)
        total = arithmetic(a, b, c, width, out)
        expected = [
            a + b, a - b, a * b, a / b, exactly_fused(a, b, c), a < b,
            np.clip(a, dtype(-0.5), dtype(0.5)), np.abs(a), np.sqrt(np.abs(a)),
        ]  # fmt: skip
        for row, (mine, other) in enumerate(zip(out.reshape(9, width), expected, strict=True)):
            np.testing.assert_array_equal(mine, np.asarray(other, dtype), err_msg=f"operation {row}")
        tree = a
        while tree.size > 1:
            tree = tree[: tree.size // 2] + tree[tree.size // 2 :]
        assert total == tree[0]


def test_a_fused_multiply_add_rounds_once():
    a = np.full(8, 1 + 2.0**-30)
    out = np.empty(72)
    arithmetic(a, a, np.full(8, -1.0), 8, out)
    assert (out[32:40] == 2.0**-29 + 2.0**-60).all()
    assert (out[32:40] != a * a - 1.0).all()


@pytest.mark.parametrize(("dtype", "width"), [(np.float32, 16), (np.float64, 8)])
def test_not_a_number_is_less_than_nothing_and_clamps_to_the_lower_bound(dtype, width):
    out = np.empty(9 * width, dtype)
    with np.errstate(invalid="ignore"):
        arithmetic(
            np.full(width, np.nan, dtype), np.full(width, -2, dtype), np.full(width, 2, dtype), width, out
        )
    rows = out.reshape(9, width)
    assert (rows[5] == 0).all()
    assert (rows[6] == -2).all()


def test_an_unaligned_offset_is_read_and_written_in_place():
    @numba.njit
    def move(a, out):
        store(out, 5, load(a, 3))

    a, out = np.arange(32, dtype=np.float32), np.full(32, -1, np.float32)
    move(a, out)
    assert out.tolist() == [-1] * 5 + list(range(3, 19)) + [-1] * 11


def test_a_float_splits_into_mantissa_and_exponent():
    for _ in range(50):
        a = np.exp(RNG.uniform(-700, 700, 8))
        out = np.empty(16)
        mantissa_and_exponent(a, out)
        m, e = out.reshape(2, 8)
        assert (m >= np.sqrt(0.5)).all()
        assert (m < np.sqrt(2)).all()
        np.testing.assert_array_equal(np.ldexp(m, e.astype(int)), a)


@pytest.mark.parametrize(
    ("dtype", "width", "magic", "largest"),
    [(np.float32, 16, 1.5 * 2**23, 120), (np.float64, 8, 1.5 * 2**52, 1000)],
)
def test_scaling_adds_to_the_exponent(dtype, width, magic, largest):
    a = RNG.uniform(0.7, 1.4, width).astype(dtype)
    n = RNG.integers(-largest, largest, width)
    out = np.empty(width, dtype)
    scaled(a, n.astype(dtype), dtype(magic), out)
    np.testing.assert_array_equal(out, np.ldexp(a, n))


def test_integer_lanes_are_pythons_integers():
    for _ in range(20):
        a, b = RNG.integers(0, 2**64, (2, 8), dtype=np.uint64)
        base = RNG.integers(0, 2**63, dtype=np.uint64)
        out64, out32 = np.empty(32, np.uint64), np.empty(16, np.uint32)
        integers(a, b, base, out64, out32)
        low = np.uint64(0xFFFFFFFF)
        rows = out64.reshape(4, 8)
        np.testing.assert_array_equal(rows[0], base + 2 * np.arange(8, dtype=np.uint64))
        np.testing.assert_array_equal(rows[1], (a & low) * (b & low))
        np.testing.assert_array_equal(rows[2], a ^ b ^ base)
        np.testing.assert_array_equal(rows[3] & low, a >> np.uint64(32))
        np.testing.assert_array_equal(out32, np.stack([a & low, b & low], axis=1).ravel().astype(np.uint32))


def test_words_become_bits_factors_and_uniform_numbers():
    for bit in range(32):
        first, second = RNG.integers(0, 2**32, (2, 16), dtype=np.uint32)
        out = np.empty(64, np.float32)
        from_words(first, second, bit, bit - 8, out)
        rows = out.reshape(4, 16)
        np.testing.assert_array_equal(rows[0], (first >> bit) & 1)
        np.testing.assert_array_equal(rows[1], np.arange(16) < bit - 8)
        np.testing.assert_array_equal(rows[2], (2.0 * (first >> 11) + 1) * 2.0**-22)
        k = (first & 0x7FF).astype(np.int64) * 1024 + (second & 0x3FF)
        np.testing.assert_array_equal(rows[3], (2.0 * k + 1) * 2.0**-22)


def test_uniform_numbers_are_never_zero_and_never_one():
    out = np.empty(64, np.float32)
    for word, expected in ((0, 2.0**-22), (2**32 - 1, 1 - 2.0**-22)):
        words = np.full(16, word, np.uint32)
        from_words(words, words, 0, 16, out)
        assert (out[32:] == np.float32(expected)).all()


@pytest.mark.parametrize(("offset", "stride"), [(0, 1), (2, 7)])
def test_a_block_sums_weight_times_lane_row_by_row(offset, stride):
    bias, weights = RNG.normal(size=5).astype(np.float32), RNG.normal(size=30).astype(np.float32)
    states, out = RNG.integers(0, 2, 16).astype(np.float32), np.empty(48, np.float32)
    three_rows(bias, weights, offset, stride, states, out)
    expected = bias[1:4, None] + weights[offset + stride * np.arange(3), None] * states
    np.testing.assert_array_equal(out.reshape(3, 16), expected)


@pytest.mark.parametrize("n", [1, 16, 100])
def test_a_buffer_starts_on_a_cache_line(n):
    for _ in range(20):
        address, size = address_of_aligned(n)
        assert address % 64 == 0
        assert size == n
