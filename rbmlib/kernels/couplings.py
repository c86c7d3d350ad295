"""Effective fields and couplings of the visible layer: sums over wave numbers, and over states; portable bits.

:mod:`rbmlib.analysis.couplings` derives the formulas. A hidden unit is a row of reduced weights w = W / 4 and its
reduced bias zeta; it adds to the fields and couplings of the visible units it has weights with, and no others are
looked at.
"""

from __future__ import annotations

import numpy as np

from .elementary import exp, exp_lanes, log
from .lanes import clamp, fused, load, splat, store
from .options import fma, inline, jit

LANES = 8
BLOCK = 64  # wave numbers at a time: the waves of 784 units then stay in the second-level cache
_PI = 3.141592653589793
# pi / 2 in two parts; n * _HALF_PI_HIGH is exact for the few quadrants that occur.
_HALF_PI_HIGH = 1.5707963267341256
_HALF_PI_LOW = 6.077100506506192e-11

# Three errors of the sum over wave numbers, each relative to w_a w_b. Images: sech^2 is below 4 exp(-2 _TAIL) =
# 1.1e-12 beyond _TAIL, and X beyond _DEVIATIONS standard deviations with probability 6e-13. Truncation: the terms
# left out have a factor below exp(-_DECAY) = 3e-14 and sum to less than 7e-13.
_TAIL = 14.5
_DEVIATIONS = 7.1
_DECAY = 31.0
# Products of two such factors are still normal numbers: subnormal ones are slow.
_LEAST_EXPONENT = -300.0


@inline
def _sine_and_cosine(x):
    """Sine and cosine of |x| < 10, by their Taylor series on |r| <= pi / 4."""
    n = np.floor(x * (2.0 / _PI) + 0.5)
    r = fma(-n, _HALF_PI_LOW, fma(-n, _HALF_PI_HIGH, x))
    z = r * r
    s = fma(z, 1 / 355687428096000, -1 / 1307674368000)
    s = fma(z, s, 1 / 6227020800)
    s = fma(z, s, -1 / 39916800)
    s = fma(z, s, 1 / 362880)
    s = fma(z, s, -1 / 5040)
    s = fma(z, s, 1 / 120)
    s = fma(z, s, -1 / 6)
    sine = fma(z * r, s, r)
    c = fma(z, 1 / 20922789888000, -1 / 87178291200)
    c = fma(z, c, 1 / 479001600)
    c = fma(z, c, -1 / 3628800)
    c = fma(z, c, 1 / 40320)
    c = fma(z, c, -1 / 720)
    c = fma(z, c, 1 / 24)
    c = fma(z, c, -0.5)
    cosine = fma(z, c, 1.0)
    quadrant = np.int64(n) & 3
    if quadrant == 1:
        return cosine, -sine
    if quadrant == 2:
        return -sine, -cosine
    if quadrant == 3:
        return -cosine, sine
    return sine, cosine


@inline
def _squared_secant_transform(k):
    """Fourier transform of sech^2 at k > 0: pi k / sinh(pi k / 2)."""
    return 2.0 * _PI * k * exp(-0.5 * _PI * k) / (1.0 - exp(-_PI * k))


@jit
def reduced_parameters(weights, visible_bias, hidden_bias, w, eta, zeta):
    """Parameters for spins -1 and 1 from those for units 0 and 1 (eq. 11), float64.

    ``weights`` is (n_visible, n_hidden), ``w`` its quarter transposed.
    """
    for a in range(weights.shape[0]):
        total = 0.0
        for j in range(weights.shape[1]):
            total += weights[a, j]
        eta[a] = 0.5 * (visible_bias[a] + 0.5 * total)
    for j in range(weights.shape[1]):
        total = 0.0
        for a in range(weights.shape[0]):
            w[j, a] = 0.25 * weights[a, j]
            total += weights[a, j]
        zeta[j] = 0.5 * (hidden_bias[j] + 0.5 * total)


@inline
def _two_largest(w, n):
    """Places of the two largest magnitudes among the first ``n`` (the same place twice if there is one)."""
    first = 0
    for a in range(n):
        if abs(w[a]) > abs(w[first]):
            first = a
    second = 1 if first == 0 and n > 1 else 0
    for a in range(n):
        if a != first and abs(w[a]) > abs(w[second]):
            second = a
    return first, second


@jit
def _coefficients(step, zeta, pair, field):
    """Factors of the m-th term of couplings and fields that depend on the hidden unit alone."""
    pair[0], field[0] = step / _PI, step / _PI * zeta
    sine_step, cosine_step = _sine_and_cosine(step * zeta)
    sine, cosine = sine_step, cosine_step
    for m in range(1, pair.shape[0]):
        k = m * step
        factor = step / _PI * _squared_secant_transform(k)
        pair[m] = factor * cosine
        field[m] = factor * sine / k
        sine, cosine = (
            fma(sine, cosine_step, cosine * sine_step),
            fma(cosine, cosine_step, -(sine * sine_step)),
        )


@jit
def _fill_waves(w, sine_step, cosine_step, sine, cosine, step, first, last, half_variance, waves):
    """sin(k w) / k exp(-k^2 (half_variance - w^2) / 2) for wave numbers ``first`` to ``last``.

    ``waves`` is (n_groups, BLOCK, 8), flat. ``sine`` and ``cosine`` of k w are carried from call to call.
    """
    for group in range(w.shape[0] // LANES):
        at = LANES * group
        here = load(w, at)
        excess = fused(here, here, splat(-half_variance))
        s, c, s1, c1 = load(sine, at), load(cosine, at), load(sine_step, at), load(cosine_step, at)
        for m in range(first, last):
            to = (group * BLOCK + m - first) * LANES
            if m == 0:
                store(waves, to, here)
            else:
                k = m * step
                exponent = clamp(excess * splat(0.5 * k * k), splat(_LEAST_EXPONENT), splat(1.0))
                store(waves, to, s * splat(1.0 / k) * exp_lanes(exponent))
                s, c = fused(s, c1, c * s1), fused(c, c1, splat(0.0) - s * s1)
        store(sine, at, s)
        store(cosine, at, c)


@jit
def _add_products(waves, scaled, n_groups, n_waves, place, n, couplings):
    """Add sum_m scaled[a, m] waves[b, m] to the couplings of all pairs a < b; m runs in order."""
    tile = np.empty(LANES * LANES)
    for rows in range(n_groups):
        for columns in range(rows, n_groups):
            t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = splat(0.0)
            row, column = rows * BLOCK * LANES, columns * BLOCK * LANES
            for _ in range(n_waves):
                wave = load(waves, column)
                t0 = fused(splat(scaled[row]), wave, t0)
                t1 = fused(splat(scaled[row + 1]), wave, t1)
                t2 = fused(splat(scaled[row + 2]), wave, t2)
                t3 = fused(splat(scaled[row + 3]), wave, t3)
                t4 = fused(splat(scaled[row + 4]), wave, t4)
                t5 = fused(splat(scaled[row + 5]), wave, t5)
                t6 = fused(splat(scaled[row + 6]), wave, t6)
                t7 = fused(splat(scaled[row + 7]), wave, t7)
                row += LANES
                column += LANES
            store(tile, 0, t0)
            store(tile, 8, t1)
            store(tile, 16, t2)
            store(tile, 24, t3)
            store(tile, 32, t4)
            store(tile, 40, t5)
            store(tile, 48, t6)
            store(tile, 56, t7)
            for r in range(LANES):
                a = LANES * rows + r
                if a < n:
                    for b in range(max(LANES * columns, a + 1), min(LANES * columns + LANES, n)):
                        couplings[place[a], place[b]] += tile[LANES * r + b - LANES * columns]


@jit
def _add_dominant(w, n, at, rest, step, pair, field, place, fields, couplings):
    """The field and the couplings of the one unit whose w^2 exceeds half of the total variance.

    Its waves would grow with k where all others' decay, so its exponents are formed pair by pair.
    """
    sine_own, cosine_own = _sine_and_cosine(step * w[at])
    own = np.empty(pair.shape[0])
    own[0] = w[at]
    sine, cosine = sine_own, cosine_own
    total = field[0] * w[at]
    for m in range(1, pair.shape[0]):
        k = m * step
        own[m] = sine / k
        total += field[m] * own[m] * exp(-0.5 * k * k * rest)
        sine, cosine = fma(sine, cosine_own, cosine * sine_own), fma(cosine, cosine_own, -(sine * sine_own))
    fields[place[at]] += total
    for b in range(n):
        if b == at:
            continue
        variance = max(rest - w[b] * w[b], 0.0)
        sine_step, cosine_step = _sine_and_cosine(step * w[b])
        sine, cosine = sine_step, cosine_step
        total = pair[0] * own[0] * w[b]
        for m in range(1, pair.shape[0]):
            k = m * step
            total += pair[m] * own[m] * (sine / k) * exp(-0.5 * k * k * variance)
            sine, cosine = (
                fma(sine, cosine_step, cosine * sine_step),
                fma(cosine, cosine_step, -(sine * sine_step)),
            )
        couplings[min(place[at], place[b]), max(place[at], place[b])] += total


@jit
def _add_others(w, n, total_variance, step, pair, field, place, fields, couplings):
    """The fields and couplings of all units that are not dominant, by products of waves."""
    n_waves = pair.shape[0]
    half_variance = 0.5 * total_variance
    for m in range(1, n_waves):
        # A field leaves one spin out, not two: the other half of the variance comes back.
        field[m] *= exp(-0.5 * (m * step) * (m * step) * half_variance)
    size = w.shape[0]
    sine_step, cosine_step, own_field = np.empty(size), np.empty(size), np.zeros(size)
    for a in range(size):
        sine_step[a], cosine_step[a] = _sine_and_cosine(step * w[a])
    sine, cosine = sine_step.copy(), cosine_step.copy()
    waves, scaled = np.empty(size * BLOCK), np.empty(size * BLOCK)
    for begin in range(0, n_waves, BLOCK):
        end = min(begin + BLOCK, n_waves)
        _fill_waves(w, sine_step, cosine_step, sine, cosine, step, begin, end, half_variance, waves)
        for group in range(size // LANES):
            total = load(own_field, LANES * group)
            for m in range(begin, end):
                at = (group * BLOCK + m - begin) * LANES
                wave = load(waves, at)
                store(scaled, at, wave * splat(pair[m]))
                total = fused(wave, splat(field[m]), total)
            store(own_field, LANES * group, total)
        _add_products(waves, scaled, size // LANES, end - begin, place, n, couplings)
    for a in range(n):
        fields[place[a]] += own_field[a]


@jit
def _add_gaussian_unit(w, n, place, zeta, fields, couplings):
    """One hidden unit with ``n`` weights other than zero; ``w`` is padded with zeros to whole registers."""
    first, second = _two_largest(w, n)
    rest = least_variance = 0.0
    for a in range(n):
        if a != first:
            rest += w[a] * w[a]
            if a != second:
                least_variance += w[a] * w[a]
    total_variance = rest + w[first] * w[first]
    reach = abs(w[first]) + abs(w[second]) + _TAIL + _DEVIATIONS * np.sqrt(total_variance)
    if abs(zeta) >= reach:
        # log cosh is straight there: a field, and no coupling above the stated error.
        for a in range(n):
            fields[place[a]] += w[a] if zeta > 0 else -w[a]
        return
    step = 2.0 * _PI / (abs(zeta) + reach)
    largest = 2.0 * _DECAY / (0.5 * _PI + np.sqrt(0.25 * _PI * _PI + 2.0 * least_variance * _DECAY))
    n_waves = np.int64(largest / step) + 2
    pair, field = np.empty(n_waves), np.empty(n_waves)
    _coefficients(step, zeta, pair, field)
    if w[first] * w[first] > 0.5 * total_variance:
        _add_dominant(w, n, first, rest, step, pair, field, place, fields, couplings)
        w[first] = 0.0

    if n > 1:
        _add_others(w, n, total_variance, step, pair, field, place, fields, couplings)


@inline
def _gather(row, w, place):
    """The weights other than zero and where they stand; their number."""
    n = 0
    for a in range(row.shape[0]):
        if row[a] != 0.0:
            w[n], place[n] = row[a], a
            n += 1
    return n


@jit
def _mirror(couplings):
    for a in range(couplings.shape[0]):
        for b in range(a):
            couplings[a, b] = couplings[b, a]


@jit
def add_gaussian_couplings(w, zeta, fields, couplings):
    """Add the fields and couplings of all hidden units, in order, with X Gaussian.

    ``w`` is float64 (n_hidden, n_visible), ``fields`` (n_visible,), ``couplings`` (n_visible, n_visible).
    """
    size = (w.shape[1] + LANES - 1) // LANES * LANES
    reduced, place = np.empty(size), np.empty(size, np.int64)
    for j in range(w.shape[0]):
        n = _gather(w[j], reduced, place)
        if n > 0:
            padded = (n + LANES - 1) // LANES * LANES
            reduced[n:padded] = 0.0
            _add_gaussian_unit(reduced[:padded], n, place, zeta[j], fields, couplings)
    _mirror(couplings)


@jit
def _walsh_hadamard(values):
    """Sums of the values times products of spins, in place: the set bits of a place name the spins."""
    half = 1
    while half < values.shape[0]:
        for start in range(0, values.shape[0], 2 * half):
            for i in range(start, start + half):
                down, up = values[i], values[i + half]
                values[i], values[i + half] = down + up, up - down
        half *= 2


@jit
def add_exact_couplings(w, zeta, fields, couplings):
    """Add the fields and couplings of all hidden units, in order, with X enumerated.

    A unit with n weights other than zero takes 2**n states.
    """
    reduced, place = np.empty(w.shape[1]), np.empty(w.shape[1], np.int64)
    for j in range(w.shape[0]):
        n = _gather(w[j], reduced, place)
        values = np.empty(1 << n)
        values[0] = zeta[j]
        for a in range(n):
            values[0] -= reduced[a]
        for a in range(n):
            for code in range(1 << a):
                values[(1 << a) + code] = values[code] + 2.0 * reduced[a]
        for code in range(1 << n):
            x = abs(values[code])
            values[code] = x + log(1.0 + exp(-2.0 * x))  # log 2 cosh x
        _walsh_hadamard(values)
        for a in range(n):
            fields[place[a]] += values[1 << a] / (1 << n)
            for b in range(a + 1, n):
                couplings[place[a], place[b]] += values[(1 << a) + (1 << b)] / (1 << n)
    _mirror(couplings)
