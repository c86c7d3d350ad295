"""Exponentials and logarithms against extended precision, and lanes against scalars."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbmlib.kernels import elementary
from rbmlib.kernels.lanes import load, store

SMALLEST_NORMAL = np.finfo(np.float64).tiny
LARGEST = np.finfo(np.float64).max


@numba.njit(error_model="numpy")
def in_lanes(x, exp, log, softplus):
    for at in range(0, x.size, 8):
        store(exp, at, elementary.exp_lanes(load(x, at)))
        store(log, at, elementary.log_lanes(load(exp, at)))
        store(softplus, at, elementary.softplus_lanes(load(x, at)))


@numba.njit(error_model="numpy")
def one_by_one(x, exp, log, softplus, logistic):
    for i in range(x.size):
        exp[i] = elementary.exp(x[i])
        log[i] = elementary.log(exp[i])
        softplus[i] = elementary.softplus(x[i])
        logistic[i] = elementary.logistic(x[i])


@numba.njit(error_model="numpy")
def negative_exp_f32(x, out):
    for at in range(0, x.size, 16):
        store(out, at, elementary.exp_negative_f32(load(x, at)))


def exp(x):
    x = np.atleast_1d(np.asarray(x, np.float64))
    out = np.empty_like(x)
    elementary.exp_array(x, out)
    return out


def log(x):
    x = np.atleast_1d(np.asarray(x, np.float64))
    out = np.empty_like(x)
    elementary.log_array(x, out)
    return out


def exp_negative_f32(x):
    x = np.atleast_1d(np.asarray(x, np.float32))
    padded = np.zeros(-(-x.size // 16) * 16, np.float32)
    padded[: x.size] = x
    out = np.empty_like(padded)
    negative_exp_f32(padded, out)
    return out[: x.size]


def arguments():
    rng = np.random.default_rng(1)
    parts = [rng.uniform(-708, 708, 40_000), rng.normal(size=40_000), 1e-3 * rng.normal(size=8_000)]
    return np.concatenate([*parts, rng.normal(size=8_000) * 2.0 ** rng.integers(-60, 0, 8_000)])


def units_in_the_last_place(found, reference):
    return np.abs(found.astype(np.longdouble) - reference) / np.spacing(np.abs(reference).astype(np.float64))


@pytest.fixture(scope="module")
def extended_precision():
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("long double is no more precise than double here")
    return np.longdouble


def test_exp_is_within_two_units_in_the_last_place(extended_precision):
    x = arguments()
    assert units_in_the_last_place(exp(x), np.exp(x.astype(extended_precision))).max() < 2


def test_log_is_within_two_units_in_the_last_place(extended_precision):
    rng = np.random.default_rng(2)
    x = np.concatenate(
        [
            np.exp(rng.uniform(-700, 700, 40_000)),
            1 + rng.normal(size=40_000) * 0.2 ** rng.uniform(1, 20, 40_000),
            np.sqrt(0.5) * (1 + 1e-15 * np.arange(-50, 50)),
            np.sqrt(2) * (1 + 1e-15 * np.arange(-50, 50)),
            [SMALLEST_NORMAL, LARGEST],
        ]
    )
    assert units_in_the_last_place(log(x), np.log(x.astype(extended_precision))).max() < 2


def test_softplus_and_logistic_agree_with_extended_precision(extended_precision):
    x = arguments()
    outs = [np.empty_like(x) for _ in range(4)]
    one_by_one(x, *outs)
    wide = x.astype(extended_precision)
    # Below -36 the sum 1 + exp(x) rounds to 1: the error is absolute there, half a unit of 1.
    error = np.abs(outs[2] - (np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide)))))
    assert (error <= 2 * np.spacing(np.maximum(np.abs(outs[2]), 1.0))).all()
    assert units_in_the_last_place(outs[3], 1 / (1 + np.exp(-wide))).max() < 4


def test_lanes_have_the_bits_of_the_scalars():
    x = arguments()
    lanes, scalars = [np.empty_like(x) for _ in range(3)], [np.empty_like(x) for _ in range(4)]
    in_lanes(x, *lanes)
    one_by_one(x, *scalars)
    for mine, other in zip(lanes, scalars[:3], strict=True):
        np.testing.assert_array_equal(mine.view(np.int64), other.view(np.int64))
    np.testing.assert_array_equal(exp(x), scalars[0])
    np.testing.assert_array_equal(log(scalars[0]), scalars[1])


def test_edge_values_are_exact():
    assert exp([0.0, -0.0]).tolist() == [1.0, 1.0]
    assert log([1.0]).tolist() == [0.0]
    assert (log(2.0 ** np.arange(-1000, 1000)) == np.log(2.0) * np.arange(-1000, 1000)).mean() > 0.5
    limit = exp([708.0])[0]
    assert exp([709.0, 1e300, np.inf]).tolist() == [limit] * 3
    assert np.isfinite(limit)
    assert exp([-709.0, -1e300, -np.inf]).tolist() == [exp([-708.0])[0]] * 3
    assert exp([-708.0])[0] >= SMALLEST_NORMAL
    x = np.array([0.0, 1000.0, -1000.0, 1e300, -1e300, 36.0, -36.0, 0.0])
    outs = [np.empty_like(x) for _ in range(4)]
    one_by_one(x, *outs)
    assert outs[2][:5].tolist() == [np.log(2.0), 1000.0, 0.0, 1e300, 0.0]
    assert outs[3][:2].tolist() == [0.5, 1.0]
    assert 0 <= outs[3][2] < 1e-300


@given(st.floats(-708, 708), st.floats(1e-12, 1.0))
def test_exp_never_falls_where_its_argument_rises_visibly(x, step):
    x, y = min(x, 708 - step), min(x, 708 - step) + step
    assert exp([x])[0] <= exp([y])[0]


@given(st.floats(SMALLEST_NORMAL, LARGEST))
def test_exp_undoes_log(x):
    assert exp(log([x]))[0] == pytest.approx(x if abs(np.log(x)) < 708 else exp(log([x]))[0], rel=3e-13)


def test_the_float32_exponential_keeps_its_stated_error():
    x = np.concatenate([np.linspace(-86, 86, 200_001), np.linspace(-1, 1, 100_001)]).astype(np.float32)
    reference = np.exp(-x.astype(np.float64))
    assert (np.abs(exp_negative_f32(x) / reference - 1) <= 2e-7 + np.abs(x) * 7.3e-8).all()


def test_the_float32_exponential_is_limited_and_never_overflows():
    assert exp_negative_f32([0.0])[0] == 1.0
    assert exp_negative_f32([1e30, np.inf]).tolist() == [2.0**-126] * 2
    assert exp_negative_f32([-1e30, -np.inf]).tolist() == [2.0**126] * 2


def test_the_float32_exponential_has_the_bits_of_its_twin(twin):
    x = np.concatenate([np.linspace(-100, 100, 50_001), np.random.default_rng(3).normal(size=50_000)]).astype(
        np.float32
    )
    np.testing.assert_array_equal(exp_negative_f32(x).view(np.int32), twin.exp_negative(x).view(np.int32))
