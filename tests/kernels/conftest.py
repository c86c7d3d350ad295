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


# --- large machines: exact sums of integers -------------------------------------------------------------------------

LARGE_SAMPLING, LARGE_TRAINING = 10, 11


def panel_uniforms(n_units, first_block, step, chain, stream, seed):
    """The uniform numbers of one layer of one chain: panel 6 s + r takes number r of counters 16 (first_block + s) + lane."""
    n_sixes = -(-n_units // 96)
    found = np.empty((n_sixes, 6, 16), F)
    for s in range(n_sixes):
        for lane in range(16):
            w = philox((16 * (first_block + s) + lane, step, chain, stream), key_of(seed))
            bits = [word >> 11 for word in w]
            bits += [(w[0] % 2**11) * 2**10 + w[1] % 2**10, (w[2] % 2**11) * 2**10 + w[3] % 2**10]
            found[s, :, lane] = [(2 * b + 1) * 2.0**-22 for b in bits]
    return found.reshape(-1)[:n_units]


def rounded(weights, bias):
    """Weights (n_in, n_out) and bias in integers, and the grid of every output."""
    bound = np.abs(bias)
    for row in weights:
        bound = bound + np.abs(row)
    exponent = np.maximum(np.frexp(bound)[1], -29)
    grid = np.ldexp(F(1), exponent - 30).astype(F)
    return np.rint(weights / grid).astype(np.int64), np.rint(bias / grid).astype(np.int64), grid


def exact_fields(states, weights, bias):
    weights, bias, grid = rounded(weights, bias)
    return (states.astype(np.int64) @ weights + bias).astype(F) * grid


def large_gibbs(weights, visible_bias, hidden_bias, states, steps, first_chain, stream, seed):
    """Visible states of a large machine after Gibbs steps of the given numbers, one chain a row."""
    n_visible, n_hidden = weights.shape
    for step in steps:
        chains = range(first_chain, first_chain + len(states))
        u = np.array([panel_uniforms(n_hidden, 0, step, c, stream, seed) for c in chains])
        hidden = draw(exact_fields(states, weights, hidden_bias), u)
        u = np.array([panel_uniforms(n_visible, -(-n_hidden // 96), step, c, stream, seed) for c in chains])
        states = draw(exact_fields(hidden, weights.T, visible_bias), u)
    return states


def batches(n_samples, batch_size, n_batches, seed):
    """Mini-batches from one random order of the samples after the other."""
    n_orders = -(-batch_size * n_batches // n_samples)
    endless = np.concatenate([shuffled(n_samples, epoch, seed) for epoch in range(n_orders)])
    return endless[: batch_size * n_batches].reshape(n_batches, batch_size)


def centred_pcd(rbm, data, rates, seed, k, n_chains, batch_size, offset_rate=0.01, centred=True):
    """Parameters, chains and offsets after one update for every rate."""
    w, b, c = rbm.weights.copy(), rbm.visible_bias.copy(), rbm.hidden_bias.copy()
    n_visible, n_hidden = w.shape
    chains = data[np.arange(n_chains) % len(data)]
    mu, lam = np.zeros(n_visible, F), np.zeros(n_hidden, F)
    panels = -(-n_hidden // 16)
    edges = [panels * block // 4 * 16 for block in range(5)]
    for update, rows in enumerate(batches(len(data), batch_size, len(rates), seed)):
        rate, batch = F(rates[update]), data[rows]
        nu = F((offset_rate if update else 1.0) * centred)
        chains = large_gibbs(w, b, c, chains, range(update * k, update * k + k), 0, LARGE_TRAINING, seed)
        means = []
        for states, factor in ((batch, F(2**30) / F(batch_size)), (chains, -F(2**30) / F(n_chains))):
            e = exp_negative(exact_fields(states, w, c))
            means.append(np.rint(factor / (F(1) + e)).astype(np.int64))
        v_data = batch.sum(0, dtype=np.int64).astype(F) / F(batch_size)
        dv = v_data - chains.sum(0, dtype=np.int64).astype(F) / F(n_chains)
        mu = mu + nu * (v_data - mu)
        unit = F(2.0**-30)
        dp = (means[0].sum(0) + means[1].sum(0)).astype(F) * unit
        lam = fused(nu, means[0].sum(0).astype(F) * unit - lam, lam)
        gradient = (batch.T.astype(np.int64) @ means[0] + chains.T.astype(np.int64) @ means[1]).astype(
            F
        ) * unit
        gradient = fused(-mu[:, None], dp, gradient)
        gradient = np.where(rbm.mask, fused(-dv[:, None], lam, gradient), F(0))
        w = fused(rate, gradient, w)
        by_mu = np.zeros(n_hidden, F)
        for i in range(n_visible):
            by_mu = fused(mu[i], gradient[i], by_mu)
        c = fused(rate, dp - by_mu, c)
        padded = np.zeros((n_visible, 16 * panels), F)
        padded[:, :n_hidden] = gradient
        lam_padded = np.zeros(16 * panels, F)
        lam_padded[:n_hidden] = lam
        by_lam = np.zeros((16, n_visible), F)
        for block in range(4):
            total = np.zeros((16, n_visible), F)
            for at in range(edges[block], edges[block + 1], 16):
                total = fused(padded[:, at : at + 16].T, lam_padded[at : at + 16, None], total)
            by_lam = by_lam + total
        b = b + rate * (dv - tree_sum(by_lam))
    return w, b, c, chains, mu, lam


@pytest.fixture(scope="session")
def twin():
    """The slow twins of the kernels."""
    return SimpleNamespace(
        philox=philox, uniforms=uniforms, exp_negative=exp_negative, gibbs=gibbs, shuffled=shuffled,
        contrastive_divergence=contrastive_divergence, TRAINING=TRAINING, SAMPLING=SAMPLING,
        large_gibbs=large_gibbs, centred_pcd=centred_pcd, rounded=rounded, LARGE_SAMPLING=LARGE_SAMPLING,
    )  # fmt: skip
