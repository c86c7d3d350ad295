r"""Matrix product states: perfect sampling, all amplitudes, log-probabilities.

The sampler draws spins from left to right. With the row vector :math:`L` of the spins drawn so far, a
right-canonical tensor :math:`B^s` gives the next spin's probabilities :math:`p(s) \propto |L B^s|^2`. Both
spins cost two products; one is enough where the state is symmetric under the flip of all spins, since then
every bond index has a sign :math:`g` with :math:`B^0_{ab} = g_a g_b B^1_{ab}`: with

.. math:: X_b = \sum_{a: g_a = +1} L_a B^1_{ab}, \qquad Y_b = \sum_{a: g_a = -1} L_a B^1_{ab}

the two products are :math:`X + Y` (up) and :math:`g_b (X - Y)` (down). Any other tensor is brought to the
same form with :math:`X = L (B^1 + B^0) / 2`, :math:`Y = L (B^1 - B^0) / 2`, all :math:`g_b = 1`, at the cost
of two products.

A packed state (made by :mod:`rbmlib.quantum.mps`) is

- ``panels``: one flat float64 array; for each site the matrix whose rows are those of X and then those of Y,
  cut into panels of four columns (padded with zeros), row after row within a panel;
- ``layout``: int64 (n_sites, 5), for each site where its panels start, the number of rows of X, the element
  of L at which the rows of Y start, the number of rows of Y, the number of columns;
- ``signs``: float64 (n_sites, widest bond), the :math:`g_b`.
"""

from __future__ import annotations

import numpy as np

from .elementary import log
from .lanes import fused, fused_block, load, splat, splat_block, store, store_block
from .options import fma, inline, jit
from .philox import STREAM_MPS, split_seed, words_of_sixteen_chains

PANEL = 4
# Samples side by side: two tiles of sixteen, so that a panel in the first-level cache serves both.
TILE = 16
TILES = 2
GROUP = TILE * TILES
_PANEL_SIZE = (0,) * PANEL
_HALF_STEP = 2.0**-33
_SMALLEST_NORMAL = 2.2250738585072014e-308


@inline
def _row_block(panels, at, n_rows, left, left_at, low, high):
    """Add ``n_rows`` rows of a panel times L to the sums of a tile's two halves, in the order of the rows."""
    for row in range(n_rows):
        from_left = left_at + GROUP * row
        low = fused_block(low, panels, at + PANEL * row, 1, load(left, from_left))
        high = fused_block(high, panels, at + PANEL * row, 1, load(left, from_left + 8))
    return low, high


@inline
def _draw_site_words(site, first_sample, k0, k1, words):
    """The words of sites ``site ... site + 3`` for one group of samples: 4 rows of GROUP."""
    block = np.uint64(site // 4)
    for tile in range(TILES):
        drawn = words_of_sixteen_chains(
            block, np.uint64(0), first_sample + np.uint64(TILE * tile), np.uint64(STREAM_MPS), k0, k1
        )
        store(words, TILE * tile, drawn[0])
        store(words, GROUP + TILE * tile, drawn[1])
        store(words, 2 * GROUP + TILE * tile, drawn[2])
        store(words, 3 * GROUP + TILE * tile, drawn[3])


@inline
def _both_spins(panels, layout, site, left, xs, ys, none):
    """X and Y of one site for a group of samples."""
    start, n_x, y_start, n_y, n_columns = layout[site]
    for panel in range((n_columns + PANEL - 1) // PANEL):
        at = start + panel * PANEL * (n_x + n_y)
        for tile in range(TILES):
            for rows in range(2):
                if rows == 0:
                    first, count, row_at, target = at, n_x, TILE * tile, xs
                else:
                    first, count, row_at, target = at + PANEL * n_x, n_y, GROUP * y_start + TILE * tile, ys
                zero = splat_block(none, 0, _PANEL_SIZE)
                low, high = _row_block(panels, first, count, left, row_at, zero, zero)
                to = GROUP * PANEL * panel + TILE * PANEL * tile
                store_block(target, to, low)
                store_block(target, to + 8 * PANEL, high)


@inline
def _place(column, part):
    """Where eight samples of a column stand in X and Y (``part`` counts the eights within a group)."""
    return GROUP * PANEL * (column // PANEL) + 8 * PANEL * part + 8 * (column % PANEL)


@inline
def _spin_weights(xs, ys, n_columns, up_sums, down_sums):
    """|L B^1|^2 and |L B^0|^2 of a group of samples, summed in the order of the columns."""
    for part in range(GROUP // 8):
        up_sum = splat(0.0)
        down_sum = splat(0.0)
        for column in range(n_columns):
            at = _place(column, part)
            x, y = load(xs, at), load(ys, at)
            up, down = x + y, x - y
            up_sum = fused(up, up, up_sum)
            down_sum = fused(down, down, down_sum)
        store(up_sums, 8 * part, up_sum)
        store(down_sums, 8 * part, down_sum)


@inline
def _choose_spins(xs, ys, n_columns, signs, site, up_factors, down_factors, left):
    """The next L: ``up_factor (X + Y)`` or ``down_factor g (X - Y)``; the other spin's factor is zero."""
    for part in range(GROUP // 8):
        up_factor = load(up_factors, 8 * part)
        down_factor = load(down_factors, 8 * part)
        for column in range(n_columns):
            at = _place(column, part)
            x, y = load(xs, at), load(ys, at)
            signed = (x - y) * splat(signs[site, column])
            store(left, GROUP * column + 8 * part, fused(x + y, up_factor, signed * down_factor))


@inline
def _buffer_size(signs):
    return GROUP * ((signs.shape[1] + PANEL - 1) // PANEL * PANEL)


@jit
def sample_states(panels, layout, signs, first_sample, seed, states):
    """Fill ``states`` (uint8, n_samples x n_sites) with independent samples ``first_sample, first_sample + 1,
    ...``.

    Sample i's spin at site j is up iff ``u (p_up + p_down) < p_up`` with ``u = (2 w + 1) 2**-33``, w the word
    ``j % 4`` of Philox's counter ``(j // 4, 0, i, STREAM_MPS)`` under the key ``seed``: no split of the
    samples changes a bit.
    """
    n_samples, n_sites = states.shape
    k0, k1 = split_seed(np.uint64(seed))
    left, xs, ys = np.zeros(_buffer_size(signs)), np.zeros(_buffer_size(signs)), np.zeros(_buffer_size(signs))
    up_sums, down_sums = np.empty(GROUP), np.empty(GROUP)
    up_factors, down_factors = np.empty(GROUP), np.empty(GROUP)
    words = np.empty(4 * GROUP, np.uint32)
    none = np.zeros(PANEL)
    for first in range(0, n_samples, GROUP):
        count = min(GROUP, n_samples - first)
        left[:GROUP] = 1.0
        for site in range(n_sites):
            if site % 4 == 0:
                _draw_site_words(site, np.uint64(first_sample + first), k0, k1, words)
            _both_spins(panels, layout, site, left, xs, ys, none)
            _spin_weights(xs, ys, layout[site, 4], up_sums, down_sums)
            row = GROUP * (site % 4)
            for lane in range(GROUP):
                uniform = np.float64(np.int64(words[row + lane]) * 2 + 1) * _HALF_STEP
                is_up = uniform * (up_sums[lane] + down_sums[lane]) < up_sums[lane]
                scale = 1.0 / np.sqrt(up_sums[lane] if is_up else down_sums[lane])
                up_factors[lane] = scale if is_up else 0.0
                down_factors[lane] = 0.0 if is_up else scale
            for lane in range(count):
                states[first + lane, site] = np.uint8(up_factors[lane] != 0.0)
            _choose_spins(xs, ys, layout[site, 4], signs, site, up_factors, down_factors, left)


@jit
def log_probabilities(panels, layout, signs, states, out):
    """Logarithms of |amplitude|^2 of every row of ``states``.

    L is normalised at every site, so that no length underflows.
    """
    n_samples, n_sites = states.shape
    left, xs, ys = np.zeros(_buffer_size(signs)), np.zeros(_buffer_size(signs)), np.zeros(_buffer_size(signs))
    up_sums, down_sums = np.empty(GROUP), np.empty(GROUP)
    up_factors, down_factors = np.empty(GROUP), np.empty(GROUP)
    none = np.zeros(PANEL)
    for first in range(0, n_samples, GROUP):
        count = min(GROUP, n_samples - first)
        left[:GROUP] = 1.0
        out[first : first + count] = 0.0
        up_factors[:] = 0.0
        down_factors[:] = 0.0
        for site in range(n_sites):
            _both_spins(panels, layout, site, left, xs, ys, none)
            _spin_weights(xs, ys, layout[site, 4], up_sums, down_sums)
            for lane in range(count):
                is_up = states[first + lane, site] != 0
                weight = up_sums[lane] if is_up else down_sums[lane]
                possible = weight >= _SMALLEST_NORMAL
                out[first + lane] += log(weight) if possible else -np.inf
                scale = 1.0 / np.sqrt(weight) if possible else 0.0
                up_factors[lane] = scale if is_up else 0.0
                down_factors[lane] = 0.0 if is_up else scale
            _choose_spins(xs, ys, layout[site, 4], signs, site, up_factors, down_factors, left)


@jit
def extend_amplitudes(left, tensor, out):
    """Append one site: ``out[b, s * n + v] = sum_a left[a, v] tensor[a, s, b]``, v the codes of the spins so
    far.

    ``left`` is (chi_left, n), ``tensor`` (chi_left, 2, chi_right), ``out`` (chi_right, 2 n); the sum runs in
    the order of a.
    """
    chi_left, n = left.shape
    for b in range(tensor.shape[2]):
        for spin in range(2):
            target = out[b, spin * n : (spin + 1) * n]
            first = tensor[0, spin, b]
            for v in range(n):
                target[v] = left[0, v] * first
            for a in range(1, chi_left):
                factor = tensor[a, spin, b]
                for v in range(n):
                    target[v] = fma(left[a, v], factor, target[v])
