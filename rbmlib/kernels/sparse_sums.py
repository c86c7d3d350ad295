"""Sparse sums: the weights that exist, one after the other, each added to the chains whose unit is on.

Sixteen chains share a register and their states are the bits of a mask, so that a weight costs one addition for
sixteen chains and nothing where it is zero. The integers are those of :mod:`rbmlib.kernels.fixed_point`, hence the bits of
the result those of the dense sums.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .fixed_point import PANEL, n_panels, n_rows
from .integer_lanes import add_where_bits, aligned_integers, gather_words, store_columns, store_transposed
from .lanes import splat, store
from .options import inline, jit
from .table_sums import state_words

# Chains that are summed side by side, and the registers that they fill.
TILE = 128
_REGISTERS = TILE // 16


class SparseLayer(NamedTuple):
    """The non-zero weights of a :class:`rbmlib.kernels.fixed_point.Layer`: those of output o from ``starts[o]`` on.

    ``places`` says where the bits of the weight's input unit stand in a tile of :func:`find_columns`.
    """

    values: NDArray[np.uint32]
    places: NDArray[np.uint32]
    starts: NDArray[np.int64]
    bias: NDArray[np.uint32]
    grid: NDArray[np.float32]
    n_in: int
    n_out: int


@jit
def sparse_layer(layer):
    """The same layer without its zeros."""
    n_outputs = n_panels(layer.n_out) * PANEL
    starts = np.zeros(n_outputs + 1, np.int64)
    panel_size = n_rows(layer.n_in) * PANEL
    for panel in range(n_panels(layer.n_out)):
        for row in range(layer.n_in):
            for lane in range(PANEL):
                if layer.weights[panel * panel_size + PANEL * row + lane] != 0:
                    starts[panel * PANEL + lane + 1] += 1
    for output in range(n_outputs):
        starts[output + 1] += starts[output]
    values = np.empty(starts[n_outputs], np.uint32)
    places = np.empty(starts[n_outputs], np.uint32)
    for output in range(n_outputs):
        panel, lane = output // PANEL, output % PANEL
        to = starts[output]
        for row in range(layer.n_in):
            value = layer.weights[panel * panel_size + PANEL * row + lane]
            if value != 0:
                values[to] = value
                places[to] = np.uint32(row * _REGISTERS)
                to += 1
    return SparseLayer(values, places, starts, layer.bias, layer.grid, layer.n_in, layer.n_out)


@inline
def column_words(n_in, n_chains):
    """Words of :func:`find_columns`'s result."""
    return (n_chains + TILE - 1) // TILE * n_panels(n_in) * PANEL * _REGISTERS


@jit
def find_columns(states, first_row, n_chains, n_in, columns):
    """States by unit: the bits of a tile's chains in consecutive uint16, unit after unit, tile after tile."""
    stride = state_words(n_in)
    words = n_panels(n_in)
    for first in range(0, n_chains, 16):
        tile, register = first // TILE, first % TILE // 16
        for word in range(words):
            at = (first_row + first) * stride + word
            sixteen = gather_words(states, at, stride, n_chains - first)
            to = (tile * words + word) * PANEL * _REGISTERS + register
            store_columns(columns, to, _REGISTERS, sixteen)


@jit
def sparse_panel_sums(layer, panel, n_chains, columns, scratch, sums, to):
    """The fields of one panel of a layer, in units of its grid: row r goes to ``sums[to + 16 * r]``.

    ``sums`` has room for a whole number of sixteens of rows, ``scratch`` for a panel of one tile.
    """
    for tile in range((n_chains + TILE - 1) // TILE):
        base = tile * n_panels(layer.n_in) * PANEL * _REGISTERS
        for lane in range(PANEL):
            output = panel * PANEL + lane
            start = splat(layer.bias[output])
            totals = (start, start, start, start, start, start, start, start)
            first, last = layer.starts[output], layer.starts[output + 1]
            totals = add_where_bits(totals, layer.values, layer.places, first, last, columns, base)
            for register in range(_REGISTERS):
                store(scratch, lane * TILE + 16 * register, totals[register])
        for row in range(tile * TILE, min((tile + 1) * TILE, n_chains), 16):
            store_transposed(sums, to + row * PANEL, PANEL, scratch, row - tile * TILE, TILE)


@inline
def empty_scratch():
    """Room for the sums of one panel and one tile."""
    return aligned_integers(PANEL * TILE)
