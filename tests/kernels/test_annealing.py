"""Annealed importance sampling: states with the very bits of a slow twin, weights of the definition in float64."""

from itertools import pairwise

import numpy as np
import pytest

from rbmlib.annealing import annealed_importance_sampling, reverse_annealed_importance_sampling
from rbmlib.kernels import annealing
from rbmlib.rbm import RBM

F = np.float32
ANNEALING, REVERSE = 8, 9
# 10, 9, 6, 4 and 1 are the widths of a block of units; 33 and 50 units need two words.
SIZES = [(1, 1), (5, 3), (4, 4), (6, 2), (18, 9), (33, 10), (50, 25)]


def machine(n_visible, n_hidden, seed=3, scale=1.0):
    rng = np.random.default_rng(seed)
    return RBM(
        scale * rng.normal(size=(n_visible, n_hidden)), rng.normal(size=n_visible), rng.normal(size=n_hidden)
    )


def fused(a, b, c):
    product = np.asarray(a, np.longdouble) * np.asarray(b, np.longdouble)
    return (product + np.asarray(c, np.longdouble)).astype(F)


def exp_minus_one(x):
    """exp(x) - 1 of float32 as the kernel knows it."""
    y = np.clip(x * F(1.4426950408889634), F(-126), F(126))
    n = np.rint(y)
    r = y - n
    p = np.full_like(r, F(0.001326472731307149))
    for coefficient in (0.009671512991189957, 0.05550733581185341, 0.24022242426872253, 0.6931470036506653):
        p = fused(p, r, F(coefficient))
    power = np.ldexp(F(1), n.astype(int)).astype(F)
    return fused(power, p * r, power - F(1))


def fields(states, weights, bias):
    total = np.tile(bias, (len(states), 1))
    for i in range(states.shape[1]):
        total = total + states[:, i, None].astype(F) * weights[i]
    return total


def log_weight(rbm, base, beta, states):
    """log p*_beta(v) in float64, the hidden units summed out."""
    v = states.astype(float)
    x = v @ rbm.weights.astype(float) + rbm.hidden_bias
    biases = (1 - beta) * base.astype(float) + beta * rbm.visible_bias.astype(float)
    return v @ biases + np.logaddexp(0, beta * x).sum(axis=1)


def annealed(rbm, base, betas, states, chains, stream, seed, twin):
    """States at the end of the path and logarithms of the weights, one step and one unit after the other."""
    weights, n_hidden = rbm.weights, rbm.n_hidden
    total = np.zeros(len(states))
    for step, (last, beta) in enumerate(pairwise(betas), start=1):
        total += log_weight(rbm, base, float(beta), states) - log_weight(rbm, base, float(last), states)
        u = np.array([twin.uniforms(rbm.n_visible + n_hidden, step, c, stream, seed) for c in chains])
        x = fields(states, weights, rbm.hidden_bias)
        e, growth = twin.exp_negative(x * min(last, beta)), exp_minus_one(x * abs(beta - last))
        if beta > last:
            hidden = u[:, :n_hidden] * ((F(1) + growth) + e) < F(1) + growth
        else:
            hidden = fused(u[:, :n_hidden], e, u[:, :n_hidden]) < F(1)
        y = fused(beta, fields(hidden, weights.T, rbm.visible_bias), (F(1) - beta) * base)
        states = fused(u[:, n_hidden:], twin.exp_negative(y), u[:, n_hidden:]) < F(1)
    return states.astype(np.uint8), total


@pytest.mark.parametrize(("n_visible", "n_hidden"), SIZES)
def test_paths_have_the_states_and_weights_of_the_slow_twin(n_visible, n_hidden, twin):
    rbm, seed = machine(n_visible, n_hidden), 2**40 + 7
    base = np.linspace(-1, 1, n_visible).astype(F)
    betas = (np.arange(6) / 5).astype(F)
    chains = range(5, 24)
    u = np.array([twin.uniforms(n_visible, 0, c, ANNEALING, seed) for c in chains])
    start = (fused(u, twin.exp_negative(base), u) < F(1)).astype(np.uint8)
    states, weights = annealed(rbm, base, betas, start, chains, ANNEALING, seed, twin)
    found = annealed_importance_sampling(rbm, 19, 5, seed, base=base, first_chain=5)
    np.testing.assert_array_equal(found.states, states)
    np.testing.assert_allclose(found.log_weights, weights, rtol=1e-5, atol=1e-5)

    states, weights = annealed(rbm, base, betas[::-1], start, chains, REVERSE, seed, twin)
    found = reverse_annealed_importance_sampling(rbm, start, 5, seed, base=base, first_chain=5)
    np.testing.assert_array_equal(found.states, states)
    np.testing.assert_allclose(found.log_weights, weights, rtol=1e-5, atol=1e-5)


def test_errors_of_short_steps_do_not_add_up():
    """With no weights the increments along a path of any length add up to the difference of its ends."""
    rbm = RBM(np.zeros((3, 40)), [0.5, -2.0, 0.0], np.linspace(-9, 9, 40))
    exact = np.logaddexp(0, rbm.hidden_bias.astype(float)).sum() - 40 * np.log(2)
    base = rbm.visible_bias
    for n in (1, 100, 20_000):
        found = annealed_importance_sampling(rbm, 2, n, 1, base=base)
        np.testing.assert_allclose(found.log_weights, exact, rtol=2e-6)


@pytest.mark.parametrize("chunk", [1, 3, 25])
def test_where_the_logarithms_are_taken_does_not_matter(chunk):
    rbm, betas = machine(50, 25), (np.arange(21) / 20).astype(F)
    base, weights = np.zeros(50, F), np.empty(40)
    states = np.random.default_rng(1).integers(0, 2, (40, 50)).astype(np.uint8)
    once = weights.copy()
    for n, out in ((25, once), (chunk, weights)):
        annealing.anneal(
            rbm.weights, rbm.visible_bias, rbm.hidden_bias, base, rbm.visible_bias - base, betas, n, 0,
            np.uint32(ANNEALING), np.uint64(4), states.copy(), out,
        )  # fmt: skip
    np.testing.assert_allclose(weights, once, rtol=1e-12)


def test_chains_run_in_parts_have_the_same_bits():
    rbm = machine(18, 9)
    whole = annealed_importance_sampling(rbm, 100, 20, 4)
    back = reverse_annealed_importance_sampling(rbm, whole.states, 20, 4)
    for edges in ([0, 1, 100], [0, 16, 48, 100], [0, 7, 33, 50, 99, 100]):
        for start, end in pairwise(edges):
            part = annealed_importance_sampling(rbm, end - start, 20, 4, first_chain=start)
            np.testing.assert_array_equal(part.states, whole.states[start:end])
            np.testing.assert_array_equal(part.log_weights, whole.log_weights[start:end])
            part = reverse_annealed_importance_sampling(
                rbm, whole.states[start:end], 20, 4, first_chain=start
            )
            np.testing.assert_array_equal(part.log_weights, back.log_weights[start:end])
