r"""Weights as integers: fields whose bits no order of summation can change.

A field ``bias_o + sum_i weight_io * state_i`` is a sum of floats, and floats round differently in every order. So each
output unit o gets a grid of its own, :math:`2^{e_o - 30}` with :math:`|b_o| + \sum_i |w_{io}| < 2^{e_o}`; its weights and
its bias are rounded to the grid once and added up as 32-bit integers, exactly. A field then errs by at most

.. math:: (n + 1)\, 2^{e_o - 31} \qquad\text{against}\qquad \approx n\, 2^{e_o - 24}

for a sum in float32 (n terms, either bound), and dense, sparse, blocked and threaded sums give the same bits.

The outputs of a layer are kept in panels of sixteen, one register wide: ``weights`` of a :class:`Layer` is uint32
(n_panels, n_rows, 16), flat, with a row for every input unit and rows of zeros after them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .integer_lanes import aligned_integers, fixed_point_scales, nearest_integers, store_transposed
from .lanes import absolute, aligned_float32, load, store
from .options import inline, jit

PANEL = 16
# Rows of a layer are rounded up to these: any table of at most this many units' groups fits (see table_sums).
ROW_MULTIPLE = 48
# A unit that does not exist: its field is so low that it is never drawn.
_NEVER = np.uint32(2**32 - 2**30)


class Layer(NamedTuple):
    """What the fields of one layer's units need: see the module's docstring."""

    weights: NDArray[np.uint32]
    bias: NDArray[np.uint32]
    grid: NDArray[np.float32]
    n_in: int
    n_out: int


@inline
def zeros_float32(n):
    """A float32 array of ``n`` zeros that starts on a cache line."""
    zeros = aligned_float32(n)
    for i in range(n):
        zeros[i] = np.float32(0.0)
    return zeros


@inline
def n_panels(n_units):
    """How many panels hold ``n_units`` units."""
    return (n_units + PANEL - 1) // PANEL


@inline
def n_rows(n_in):
    """Rows of a panel, zeros included."""
    return n_in + 2 * ROW_MULTIPLE


@inline
def empty_layer(n_in, n_out):
    """Room for a layer; rows beyond ``n_in`` are zero and stay so."""
    panels = n_panels(n_out)
    return Layer(
        aligned_integers(panels * n_rows(n_in) * PANEL),
        aligned_integers(panels * PANEL),
        aligned_float32(panels * PANEL),
        n_in,
        n_out,
    )


@inline
def _round_panel(layer, panel, bounds, bias, source, source_at, source_stride):
    """Round the rows of one panel, whose bounds are known, to its grid."""
    scale, grid = fixed_point_scales(bounds)
    to = panel * n_rows(layer.n_in) * PANEL
    for row in range(layer.n_in):
        weights = load(source, source_at + row * source_stride)
        store(layer.weights, to + row * PANEL, nearest_integers(weights * scale))
    store(layer.bias, panel * PANEL, nearest_integers(load(bias, panel * PANEL) * scale))
    store(layer.grid, panel * PANEL, grid)
    for unit in range(max(panel * PANEL, layer.n_out), (panel + 1) * PANEL):
        layer.bias[unit] = _NEVER
        layer.grid[unit] = np.float32(1.0)


@jit
def round_to_hidden(weights, stride, bias, first, last, bounds, layer):
    """Fill panels ``first ... last - 1`` of the hidden layer.

    ``weights`` is flat float32 with a row of ``stride`` elements (whole panels) for every visible unit, ``bias``
    is padded to whole panels. ``bounds`` receives ``|b| + sum |w|`` of every unit, which must be below 2**100.
    """
    for panel in range(first, last):
        at = panel * PANEL
        store(bounds, at, absolute(load(bias, at)))
    for row in range(layer.n_in):
        for panel in range(first, last):
            at = panel * PANEL
            store(bounds, at, load(bounds, at) + absolute(load(weights, row * stride + at)))
    for panel in range(first, last):
        _round_panel(layer, panel, load(bounds, panel * PANEL), bias, weights, panel * PANEL, stride)


@jit
def round_to_visible(weights, stride, bias, first, last, bounds, layer):
    """Fill panels ``first ... last - 1`` of the visible layer, from the same weights (rows of whole panels too)."""
    columns = n_panels(layer.n_in) * PANEL
    transposed = aligned_float32(columns * PANEL)
    for panel in range(first, last):
        at = panel * PANEL
        for column in range(0, columns, PANEL):
            store_transposed(transposed, column * PANEL, PANEL, weights, at * stride + column, stride)
        total = absolute(load(bias, at))
        for row in range(layer.n_in):
            total = total + absolute(load(transposed, row * PANEL))
        store(bounds, at, total)
        _round_panel(layer, panel, total, bias, transposed, 0, PANEL)


@jit
def padded_weights(weights):
    """Float32 weights (n_visible, n_hidden) as a flat array of whole panels both ways, zeros at the edges."""
    n_visible, n_hidden = weights.shape
    stride = n_panels(n_hidden) * PANEL
    padded = zeros_float32(n_panels(n_visible) * PANEL * stride)
    for i in range(n_visible):
        for j in range(n_hidden):
            padded[i * stride + j] = weights[i, j]
    return padded


@jit
def padded_bias(bias):
    """A float32 bias rounded up to whole panels by zeros."""
    padded = zeros_float32(n_panels(bias.shape[0]) * PANEL)
    for unit in range(bias.shape[0]):
        padded[unit] = bias[unit]
    return padded


@jit
def rounded_layers(weights, visible_bias, hidden_bias):
    """The hidden and the visible layer of a machine, and the largest bound ``|b| + sum |w|`` of each."""
    n_visible, n_hidden = weights.shape
    padded = padded_weights(weights)
    stride = n_panels(n_hidden) * PANEL
    hidden, visible = empty_layer(n_visible, n_hidden), empty_layer(n_hidden, n_visible)
    bounds = aligned_float32(max(n_panels(n_visible), n_panels(n_hidden)) * PANEL)
    round_to_hidden(padded, stride, padded_bias(hidden_bias), 0, n_panels(n_hidden), bounds, hidden)
    round_to_visible(padded, stride, padded_bias(visible_bias), 0, n_panels(n_visible), bounds, visible)
    return hidden, visible
