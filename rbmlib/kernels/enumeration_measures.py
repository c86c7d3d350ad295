"""Measures of a distribution given by the probabilities of all 2**N configurations, in the order of their
codes.

Arrays are contiguous float64, with at least eight elements (shorter ones are padded with zero probabilities).
Sums run over eight lanes, lane l taking the codes l, l + 8, ... in their order, and end in one fixed tree.
"""

from __future__ import annotations

import numpy as np

from .elementary import log_lanes
from .lanes import fused, less_than, load, splat, square_root, store, tree_sum
from .options import jit

# Codes are taken in blocks whose flip sums stay in the first-level cache; a block's low bits are tabulated.
BLOCK_BITS = 12
_SMALLEST_NORMAL = 2.2250738585072014e-308


@jit
def low_tables(n_bits, n_spins, bonds, ups):
    """Tables over the low ``n_bits`` bits: sums of neighbouring products sigma sigma' and numbers of up
    spins.

    ``bonds`` is (2, 2**n_bits): row c takes the bond to the next higher bit, whose value is c, where there is
    one.
    """
    for code in range(ups.shape[0]):
        up = code & 1
        bond = 0
        for bit in range(1, n_bits):
            up += (code >> bit) & 1
            bond += 1 - 2 * (((code >> bit) ^ (code >> (bit - 1))) & 1)
        ups[code] = up
        for above in range(2):
            last = 0 if n_bits == n_spins else 1 - 2 * ((code >> (n_bits - 1)) ^ above)
            bonds[above, code] = bond + last


@jit
def local_energy_moments(probabilities, n_spins, field):
    """Mean and variance of the local energy ``-sum s s' - h sum_i sqrt(p(v^i) / p(v))`` under p.

    ``v^i`` is v with spin i flipped. The variance runs over the states with p > 0.
    """
    size = probabilities.shape[0]
    n_bits = min(BLOCK_BITS, n_spins)
    block = min(size, 1 << BLOCK_BITS)
    bonds = np.zeros((2, block))
    low_tables(n_bits, n_spins, bonds, np.zeros(1 << n_bits, np.int64))
    bonds = bonds.ravel()
    roots = np.empty(size)
    weighted = np.empty(size)  # sqrt(p) times the local energy
    flips = np.empty(block)
    for at in range(0, size, 8):
        store(roots, at, square_root(load(probabilities, at)))
    total = splat(0.0)
    minus_field = splat(-field)
    for start in range(0, size, block):
        for code in range(block):
            flipped = 0.0
            for bit in range(min(3, n_spins)):
                flipped += roots[start + (code ^ (1 << bit))]
            flips[code] = flipped
        for bit in range(3, n_spins):
            if bit < n_bits:
                for at in range(0, block, 8):
                    store(flips, at, load(flips, at) + load(roots, start + (at ^ (1 << bit))))
            else:
                partner = start ^ (1 << bit)
                for at in range(0, block, 8):
                    store(flips, at, load(flips, at) + load(roots, partner + at))
        above = (start >> n_bits) & 1
        high = 0.0
        for bit in range(n_bits, n_spins - 1):
            high += 1 - 2 * (((start >> bit) ^ (start >> (bit + 1))) & 1)
        minus_high = splat(-high)
        for at in range(0, block, 8):
            root = load(roots, start + at)
            diagonal = minus_high - load(bonds, block * above + at)
            energy = fused(minus_field, load(flips, at), diagonal * root)
            store(weighted, start + at, energy)
            total = fused(root, energy, total)
    mean = tree_sum(total)
    square = splat(0.0)
    minus_mean = splat(-mean)
    zero = splat(0.0)
    for at in range(0, size, 8):
        root = load(roots, at)
        deviation = fused(minus_mean, root, load(weighted, at)) * less_than(zero, root)
        square = fused(deviation, deviation, square)
    return mean, tree_sum(square)


@jit
def up_histogram(probabilities, n_spins, histogram):
    """Add the probability of every number of up spins to ``histogram`` (n_spins + 1), code after code."""
    size = probabilities.shape[0]
    n_bits = min(BLOCK_BITS, n_spins)
    block = min(size, 1 << n_bits)
    ups = np.zeros(block, np.int64)
    low_tables(n_bits, n_spins, np.zeros((2, block)), ups)
    for start in range(0, min(size, 1 << n_spins), block):
        high = 0
        for bit in range(n_bits, n_spins):
            high += (start >> bit) & 1
        for code in range(block):
            histogram[high + ups[code]] += probabilities[start + code]


@jit
def marginal_of_high_bits(probabilities, low_bits, marginal):
    """Sum over the low bits: ``marginal[u]`` is the probability that the remaining bits spell u."""
    width = 1 << low_bits
    for code in range(marginal.shape[0]):
        start = code * width
        if width >= 8:
            total = splat(0.0)
            for at in range(start, start + width, 8):
                total = total + load(probabilities, at)
            marginal[code] = tree_sum(total)
        else:
            scalar = 0.0
            for at in range(start, start + width):
                scalar += probabilities[at]
            marginal[code] = scalar


@jit
def correlations_from_lowest_bit(probabilities, products, means):
    """``products[d]`` = <s_0 s_d> and ``means[d]`` = <s_d>, s = 2 bit - 1, for the bits d of the codes."""
    for distance in range(products.shape[0]):
        product = 0.0
        mean = 0.0
        for code in range(probabilities.shape[0]):
            p = probabilities[code]
            bit = (code >> distance) & 1
            product += p if bit == (code & 1) else -p
            mean += p if bit == 1 else -p
        products[distance] = product
        means[distance] = mean


@jit
def kullback_leibler(q, p):
    """Sum of q log(q / p); infinite where q is positive and p is not (or is below the normal numbers)."""
    for i in range(q.shape[0]):
        if q[i] > 0.0 and p[i] < _SMALLEST_NORMAL:
            return np.inf
    zero, one = splat(0.0), splat(1.0)
    total = zero
    for at in range(0, q.shape[0], 8):
        weight = load(q, at)
        seen = less_than(zero, weight)
        # Where q is zero the ratio is 1 / 1, whatever p.
        unseen = one - seen
        ratio = (weight + unseen) / fused(load(p, at), seen, unseen)
        total = fused(weight, log_lanes(ratio), total)
    return tree_sum(total)


@jit
def half_squared_distance(q, p):
    """Half the sum of (sqrt(q) - sqrt(p))**2: one minus the overlap of the two positive states."""
    total = splat(0.0)
    for at in range(0, q.shape[0], 8):
        difference = square_root(load(q, at)) - square_root(load(p, at))
        total = fused(difference, difference, total)
    return 0.5 * tree_sum(total)


@jit
def total_probability(p):
    """The sum of all probabilities and how many of them are negative."""
    zero = splat(0.0)
    total, negative = zero, zero
    for at in range(0, p.shape[0], 8):
        values = load(p, at)
        total = total + values
        negative = negative + less_than(values, zero)
    return tree_sum(total), tree_sum(negative)
