"""Slow, obvious twins of the kernels: one unit, one chain, one operation after the other, in numpy and Python's integers."""

from types import SimpleNamespace

import numpy as np
import pytest

F = np.float32
TRAINING, SAMPLING, SHUFFLE = 1, 2, 4


def philox(counter, key):
    """Philox4x32-10 in Python's integers: four counter words and two key words in, four words out."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 % 2**32, (p0 >> 32) ^ c3 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def key_of(seed):
    return seed % 2**32, seed >> 32


def uniforms(n_units, step, chain, stream, seed):
    """The uniform numbers of one chain's units at one step: 21 bits each, six units from four words."""
    found = []
    for block in range((n_units + 5) // 6):
        w = philox((block, step, chain, stream), key_of(seed))
        bits = [word >> 11 for word in w]
        bits += [(w[0] % 2**11) * 2**10 + w[1] % 2**10, (w[2] % 2**11) * 2**10 + w[3] % 2**10]
        found += [F((2 * k + 1) * 2.0**-22) for k in bits]
    return np.array(found[:n_units], F)


def fused(a, b, c):
    """a * b + c of float32 with one rounding: extended precision holds the product exactly and the sum nearly so."""
    return (
        np.asarray(a, np.longdouble) * np.asarray(b, np.longdouble) + np.asarray(c, np.longdouble)
    ).astype(F)


def exp_negative(x):
    """exp(-x) of float32 as the samplers know it."""
    y = np.clip(x * F(-1.4426950408889634), F(-126), F(126))
    n = np.rint(y)
    r = y - n
    p = np.full_like(r, F(0.001326472731307149))
    for coefficient in (
        0.009671512991189957,
        0.05550733581185341,
        0.24022242426872253,
        0.6931470036506653,
        1.0,
    ):
        p = fused(p, r, F(coefficient))
    return np.ldexp(p, n.astype(int)).astype(F)


def fields(states, weights, bias):
    """Fields (n_chains, n_out), added up in float32 in the order of the units."""
    total = np.tile(bias, (len(states), 1))
    for i in range(states.shape[1]):
        total = total + states[:, i, None].astype(F) * weights[i]
    return total


def draw(field, u):
    e = exp_negative(field)
    return (fused(u, e, u) < F(1)).astype(np.uint8)


def gibbs(weights, visible_bias, hidden_bias, states, steps, first_chain, stream, seed):
    """Visible states after Gibbs steps of the given numbers, one chain a row."""
    states = states.copy()
    n_visible, n_hidden = weights.shape
    for step in steps:
        u = np.array(
            [uniforms(n_visible + n_hidden, step, first_chain + c, stream, seed) for c in range(len(states))]
        )
        hidden = draw(fields(states, weights, hidden_bias), u[:, :n_hidden])
        states = draw(fields(hidden, weights.T, visible_bias), u[:, n_hidden:])
    return states


def shuffled(n, epoch, seed):
    """Fisher-Yates with one 64-bit word a swap."""
    order = list(range(n))
    for last in range(n - 1, 0, -1):
        w0, w1, _, _ = philox((last, epoch, 0, SHUFFLE), key_of(seed))
        other = ((w0 * 2**32 + w1) * (last + 1)) >> 64
        order[last], order[other] = order[other], order[last]
    return np.array(order)


def in_tiles(rows):
    """Rows (n, n_units) as tiles of sixteen lanes, (n_tiles, 16, n_units), zeros where there is no row."""
    n_tiles = (len(rows) + 15) // 16
    padded = np.zeros((16 * n_tiles, rows.shape[1]), F)
    padded[: len(rows)] = rows
    return padded.reshape(n_tiles, 16, -1)


def tree_sum(lanes):
    """Sum over the first axis (16 lanes) by halves."""
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = lanes[:half] + lanes[half:]
    return lanes[0]


def sum_over(tiles):
    total = np.zeros(tiles.shape[1:], F)
    for tile in tiles:
        total = total + tile
    return tree_sum(total)


def contrastive_divergence(rbm, data, epochs, rates, seed, k, batch_size, weight_decay=0.0, chains=None):
    """Parameters and chains after the given epochs; ``chains`` None is plain contrastive divergence."""
    w, b, c = rbm.weights.copy(), rbm.visible_bias.copy(), rbm.hidden_bias.copy()
    update = 0
    for epoch in epochs:
        order, rate = shuffled(len(data), epoch, seed), F(rates[epoch])
        for first in range(0, len(data), batch_size):
            batch = data[order[first : first + batch_size]]
            start = batch if chains is None else chains
            steps = range(update * k, update * k + k)
            end = gibbs(w, b, c, start, steps, 0, TRAINING, seed)
            if chains is not None:
                chains = end
            n, scale = F(len(batch)), -F(len(batch)) / F(len(end))
            positive = in_tiles(F(1) / (F(1) + exp_negative(fields(batch, w, c))))
            negative = in_tiles(scale / (F(1) + exp_negative(fields(end, w, c))))
            hidden = np.concatenate([positive, negative])
            v_positive, v_negative = in_tiles(batch), in_tiles(end)
            visible = np.concatenate([v_positive, v_negative])
            step, shrink = rate / n, rate * F(weight_decay)
            by_weights = sum_over(visible[:, :, :, None] * hidden[:, :, None, :])
            w = np.where(rbm.mask, w + (step * by_weights - shrink * w), F(0))
            b = b + step * (sum_over(v_positive) + scale * sum_over(v_negative))
            c = c + step * sum_over(hidden)
            update += 1
    return w, b, c, chains


@pytest.fixture(scope="session")
def twin():
    """The slow twins of the kernels."""
    return SimpleNamespace(
        philox=philox, uniforms=uniforms, exp_negative=exp_negative, gibbs=gibbs, shuffled=shuffled,
        contrastive_divergence=contrastive_divergence, TRAINING=TRAINING, SAMPLING=SAMPLING,
    )  # fmt: skip
