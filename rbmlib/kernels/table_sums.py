"""Dense sums by tables: all subsets of a few rows of weights are added up once, for all chains.

The states of ``bits`` input units take 2**bits values; for each of them the sum of their weights stands in a table,
and a chain looks its own up: one addition instead of ``bits`` (the "method of the Four Russians", Arlazarov et al. 1970,
Doklady Akademii Nauk SSSR 194, 487). Eight groups of units are looked up at a time, whose tables fit the first-level
cache; integers make the grouping invisible in the result.
"""

from __future__ import annotations

import numpy as np

from .fixed_point import PANEL, n_rows
from .integer_lanes import add, add_entries, aligned_integers, store_places
from .lanes import load, splat, store
from .options import inline, jit

GROUPS = 8
MOST_BITS = 5
SPARE_WORDS = 8


@inline
def group_bits(n_chains):
    """How many units a table should span for this many chains: the least additions a unit."""
    best, least = 1, 1e9
    for bits in range(1, MOST_BITS + 1):
        cost = (n_chains + 2.0**bits) / bits
        if cost < least:
            best, least = bits, cost
    return best


@inline
def n_chunks(n_in, bits):
    """How many times eight groups it takes to span ``n_in`` units."""
    return (n_in + GROUPS * bits - 1) // (GROUPS * bits)


@inline
def empty_table():
    """Room for eight tables."""
    return aligned_integers(GROUPS * 2**MOST_BITS * PANEL)


@inline
def state_words(n_units):
    """Words of a row of states, uint16: sixteen units each, and a few that stay zero, since tables read ahead."""
    return (n_units + 15) // 16 + SPARE_WORDS


@jit
def find_places(states, first_row, n_chains, n_in, bits, places):
    """For every row from ``first_row`` on, where its groups' entries stand in the tables."""
    bytes_a_row = 2 * state_words(n_in)
    for chunk in range(n_chunks(n_in, bits)):
        for row in range(n_chains):
            byte = (first_row + row) * bytes_a_row + chunk * bits
            store_places(places, GROUPS * (chunk * n_chains + row), states, byte, bits)


@inline
def _fill_tables(weights, at, bits, table):
    for group in range(GROUPS):
        base = group * PANEL << bits
        store(table, base, splat(np.uint32(0)))
        for bit in range(bits):
            row = load(weights, at + PANEL * (group * bits + bit))
            half = PANEL << bit
            for entry in range(0, half, PANEL):
                store(table, base + half + entry, add(load(table, base + entry), row))


@jit
def panel_sums(weights, at, n_in, bits, start, n_chains, places, table, sums, to):
    """``start`` plus the weights of the units that are on, for one panel that begins at element ``at``.

    Row r of the result goes to ``sums[to + 16 * r]``.
    """
    for chunk in range(n_chunks(n_in, bits)):
        _fill_tables(weights, at + chunk * GROUPS * bits * PANEL, bits, table)
        place = chunk * n_chains * GROUPS
        if chunk == 0:
            for row in range(n_chains):
                store(sums, to + PANEL * row, add_entries(start, table, places, place + GROUPS * row))
        else:
            for row in range(n_chains):
                total = load(sums, to + PANEL * row)
                store(sums, to + PANEL * row, add_entries(total, table, places, place + GROUPS * row))


@inline
def layer_panel_sums(layer, panel, bits, n_chains, places, table, sums, to):
    """The fields of one panel of a layer, in units of its grid."""
    at = panel * n_rows(layer.n_in) * PANEL
    start = load(layer.bias, panel * PANEL)
    panel_sums(layer.weights, at, layer.n_in, bits, start, n_chains, places, table, sums, to)
