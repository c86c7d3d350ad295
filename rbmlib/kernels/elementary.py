"""Exponentials and logarithms made of additions, multiplications and explicit fused multiply-adds: portable
bits.

Float64 versions come as scalars and as eight lanes with the same bits; both are within 2 units in the last
place. The float32 version serves the Gibbs samplers, where a probability is compared with 21 random bits.
"""

from __future__ import annotations

import numpy as np

from .lanes import absolute, clamp, fused, scale_by_power_of_two, splat, split_float
from .options import bits_to_float64, float64_to_bits, fma, inline, jit

_LOG2_E = 1.4426950408889634
# ln 2 in two parts; n * _LN2_HIGH is exact for every exponent n.
_LN2_HIGH = 0.6931471803691238
_LN2_LOW = 1.9082149292705877e-10
_MAGIC64 = 1.5 * 2.0**52
_EXP_LIMIT = 708.0
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
_52 = np.int64(52)

# 1 / n!, n = 13 ... 0: the Taylor series of exp on |r| <= ln(2) / 2 errs by less than 5e-18.
_E13, _E12, _E11, _E10 = 1 / 6227020800, 1 / 479001600, 1 / 39916800, 1 / 3628800
_E9, _E8, _E7, _E6, _E5, _E4, _E3 = 1 / 362880, 1 / 40320, 1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6

# 1 / (2 n + 1): the series of atanh(s) / s in s**2 on |s| <= 0.1716 errs by less than 2e-18.
_A11, _A10, _A9, _A8, _A7, _A6 = 1 / 23, 1 / 21, 1 / 19, 1 / 17, 1 / 15, 1 / 13
_A5, _A4, _A3, _A2, _A1 = 1 / 11, 1 / 9, 1 / 7, 1 / 5, 1 / 3

_F32 = np.float32
_NEGATIVE_LOG2_E = _F32(-1.4426950408889634)
_MAGIC32 = _F32(1.5 * 2.0**23)
_EXPONENT_LIMIT = _F32(126.0)
# Minimax polynomial of 2**r on |r| <= 1/2 with constant term 1, relative error 9e-8.
_P5, _P4, _P3 = _F32(0.001326472731307149), _F32(0.009671512991189957), _F32(0.05550733581185341)
_P2, _P1 = _F32(0.24022242426872253), _F32(0.6931470036506653)
_ONE = _F32(1.0)


@inline
def _exp_series(r):
    p = fma(_E13, r, _E12)
    p = fma(p, r, _E11)
    p = fma(p, r, _E10)
    p = fma(p, r, _E9)
    p = fma(p, r, _E8)
    p = fma(p, r, _E7)
    p = fma(p, r, _E6)
    p = fma(p, r, _E5)
    p = fma(p, r, _E4)
    p = fma(p, r, _E3)
    p = fma(p, r, 0.5)
    p = fma(p, r, 1.0)
    return fma(p, r, 1.0)


@inline
def exp(x):
    """exp(x) of a float64 scalar; arguments beyond +-708 are taken as +-708."""
    x = min(max(x, -_EXP_LIMIT), _EXP_LIMIT)
    shifted = fma(x, _LOG2_E, _MAGIC64)
    n = shifted - _MAGIC64
    r = fma(-n, _LN2_LOW, fma(-n, _LN2_HIGH, x))
    return bits_to_float64(float64_to_bits(_exp_series(r)) + (float64_to_bits(shifted) << _52))


@inline
def _log_of_parts(m, e):
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = fma(_A11, z, _A10)
    p = fma(p, z, _A9)
    p = fma(p, z, _A8)
    p = fma(p, z, _A7)
    p = fma(p, z, _A6)
    p = fma(p, z, _A5)
    p = fma(p, z, _A4)
    p = fma(p, z, _A3)
    p = fma(p, z, _A2)
    p = fma(p, z, _A1)
    twice = s + s
    tail = fma(twice * z, p, e * _LN2_LOW)
    return fma(e, _LN2_HIGH, twice + tail)


@inline
def log(x):
    """The natural logarithm of a positive, normal float64 scalar."""
    offset = float64_to_bits(x) - _SQRT_HALF_BITS
    exponent = offset >> _52
    m = bits_to_float64(float64_to_bits(x) - (exponent << _52))
    return _log_of_parts(m, np.float64(exponent))


@inline
def softplus(x):
    """log(1 + exp(x)) of a float64 scalar, without overflow."""
    return max(x, 0.0) + log(1.0 + exp(-abs(x)))


@inline
def logistic(x):
    """1 / (1 + exp(-x)) of a float64 scalar."""
    return 1.0 / (1.0 + exp(-x))


@inline
def exp_lanes(x):
    """exp of eight float64 lanes, with the bits of :func:`exp`."""
    x = clamp(x, splat(-_EXP_LIMIT), splat(_EXP_LIMIT))
    magic = splat(_MAGIC64)
    shifted = fused(x, splat(_LOG2_E), magic)
    n = magic - shifted
    r = fused(n, splat(_LN2_LOW), fused(n, splat(_LN2_HIGH), x))
    p = fused(splat(_E13), r, splat(_E12))
    p = fused(p, r, splat(_E11))
    p = fused(p, r, splat(_E10))
    p = fused(p, r, splat(_E9))
    p = fused(p, r, splat(_E8))
    p = fused(p, r, splat(_E7))
    p = fused(p, r, splat(_E6))
    p = fused(p, r, splat(_E5))
    p = fused(p, r, splat(_E4))
    p = fused(p, r, splat(_E3))
    p = fused(p, r, splat(0.5))
    p = fused(p, r, splat(1.0))
    return scale_by_power_of_two(fused(p, r, splat(1.0)), shifted)


@inline
def log_lanes(x):
    """The natural logarithm of eight positive, normal float64 lanes, with the bits of :func:`log`."""
    m, e = split_float(x)
    s = (m - splat(1.0)) / (m + splat(1.0))
    z = s * s
    p = fused(splat(_A11), z, splat(_A10))
    p = fused(p, z, splat(_A9))
    p = fused(p, z, splat(_A8))
    p = fused(p, z, splat(_A7))
    p = fused(p, z, splat(_A6))
    p = fused(p, z, splat(_A5))
    p = fused(p, z, splat(_A4))
    p = fused(p, z, splat(_A3))
    p = fused(p, z, splat(_A2))
    p = fused(p, z, splat(_A1))
    twice = s + s
    tail = fused(twice * z, p, e * splat(_LN2_LOW))
    return fused(e, splat(_LN2_HIGH), twice + tail)


@inline
def softplus_lanes(x):
    """log(1 + exp(x)) of eight float64 lanes."""
    positive = clamp(x, splat(0.0), splat(np.inf))
    return positive + log_lanes(splat(1.0) + exp_lanes(splat(0.0) - absolute(x)))


@inline
def exp_negative_f32(x):
    """exp(-x) of sixteen float32 lanes, relative error 2e-7 + |x| 7.3e-8; limited to [2**-126, 2**126]."""
    limit = splat(_EXPONENT_LIMIT)
    y = clamp(x * splat(_NEGATIVE_LOG2_E), splat(-_EXPONENT_LIMIT), limit)
    magic = splat(_MAGIC32)
    shifted = y + magic
    r = y - (shifted - magic)
    p = fused(splat(_P5), r, splat(_P4))
    p = fused(p, r, splat(_P3))
    p = fused(p, r, splat(_P2))
    p = fused(p, r, splat(_P1))
    return scale_by_power_of_two(fused(p, r, splat(_ONE)), shifted)


@jit
def exp_array(x, out):
    """exp of every element of a contiguous float64 array."""
    x, out = x.ravel(), out.ravel()
    for i in range(x.size):
        out[i] = exp(x[i])


@jit
def log_array(x, out):
    """The natural logarithm of every element (positive, normal) of a contiguous float64 array."""
    x, out = x.ravel(), out.ravel()
    for i in range(x.size):
        out[i] = log(x[i])
