"""Kernels for large machines: the very bits of a slow twin, and the distribution of the machine."""

import numpy as np
import pytest
import scipy.stats

from rbmlib import persistent
from rbmlib.kernels import fixed_point
from rbmlib.persistent import sample_chains, train_persistent
from rbmlib.rbm import RBM

PARAMETERS = ("weights", "visible_bias", "hidden_bias")

# One unit, whole panels, part of a panel, and more panels than are drawn from one block of counters.
SIZES = [(1, 1), (5, 3), (16, 32), (18, 9), (33, 100), (120, 17)]


def machine(n_visible, n_hidden, seed=3, scale=1.0, kept=0.7):
    rng = np.random.default_rng(seed)
    return RBM(
        scale * rng.normal(size=(n_visible, n_hidden)),
        rng.normal(size=n_visible),
        rng.normal(size=n_hidden),
        rng.random((n_visible, n_hidden)) < kept,
    )


@pytest.mark.parametrize("below", [0.0, 1.1])
@pytest.mark.parametrize(("n_visible", "n_hidden"), SIZES)
def test_samples_have_the_bits_of_the_slow_twin(n_visible, n_hidden, below, twin, monkeypatch):
    monkeypatch.setattr(persistent, "SPARSE_BELOW", below)
    rbm = machine(n_visible, n_hidden)
    start = np.random.default_rng(1).integers(0, 2, (19, n_visible)).astype(np.uint8)
    seed = 2**40 + 7
    arguments = rbm.weights, rbm.visible_bias, rbm.hidden_bias, start
    expected = twin.large_gibbs(*arguments, range(2, 5), 5, twin.LARGE_SAMPLING, seed)
    found = sample_chains(rbm, start, 3, seed, first_step=2, first_chain=5)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize(
    ("n_visible", "n_hidden", "n_chains", "batch_size"), [(5, 3, 4, 7), (33, 100, 18, 16), (50, 20, 7, 33)]
)
def test_training_has_the_bits_of_the_slow_twin(n_visible, n_hidden, n_chains, batch_size, centred, twin):
    rbm = machine(n_visible, n_hidden, scale=0.2)
    data = np.random.default_rng(1).integers(0, 2, (40, n_visible)).astype(np.uint8)
    rates = [0.2] * 3
    settings = {"seed": 11, "k": 2, "n_chains": n_chains, "batch_size": batch_size, "centred": centred}
    state = train_persistent(rbm, data, n_updates=3, learning_rate=0.2, **settings)
    found = (
        state.rbm.weights, state.rbm.visible_bias, state.rbm.hidden_bias, state.chains, state.visible_offset,
        state.hidden_offset,
    )  # fmt: skip
    for array, expected in zip(found, twin.centred_pcd(rbm, data, rates, **settings), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_chains_have_the_distribution_of_the_machine():
    rbm = machine(6, 4, scale=1.0)
    n_chains = 40_000
    states = sample_chains(rbm, np.zeros((n_chains, 6)), 60, 3)
    counts = np.bincount(states @ (1 << np.arange(6)), minlength=64)
    assert scipy.stats.chisquare(counts, n_chains * rbm.probabilities()).pvalue > 1e-6


def test_the_mean_update_is_the_gradient_of_the_likelihood():
    """From chains that have the machine's distribution, averaged over seeds: within 5 standard errors everywhere."""
    rbm = machine(6, 4, scale=0.5, kept=1.0)
    data = np.random.default_rng(2).integers(0, 2, (64, 6)).astype(np.uint8)
    n_chains = 256
    steps = []
    for seed in range(60):
        chains = sample_chains(rbm, data[np.arange(n_chains) % 64], 40, seed)
        state = persistent.PersistentState(rbm, 0, chains)
        settings = {"n_chains": n_chains, "batch_size": 64, "k": 1}
        moved = train_persistent(
            state, data, n_updates=1, learning_rate=1.0, seed=seed, centred=False, **settings
        )
        changes = [getattr(moved.rbm, name) - getattr(rbm, name) for name in PARAMETERS]
        steps.append(np.concatenate([change.ravel() for change in changes]))
    steps = np.array(steps)
    codes = (np.arange(64)[:, None] >> np.arange(6)) & 1
    expected = np.zeros(steps.shape[1])
    for states, weight in ((data, np.full(64, 1 / 64)), (codes, -rbm.probabilities())):
        p = rbm.hidden_probabilities(states)
        terms = (states[:, :, None] * p[:, None, :]).reshape(len(states), -1)
        expected += weight @ np.concatenate([terms, states, p], axis=1)
    error = steps.std(axis=0, ddof=1) / np.sqrt(len(steps))
    assert (np.abs(steps.mean(axis=0) - expected) < 5 * error + 1e-6).all()


def test_fields_are_nearer_to_the_exact_ones_than_a_float32_sum_is_bound_to_be(twin):
    rbm = machine(300, 20, scale=0.3)
    hidden, visible = fixed_point.rounded_layers(rbm.weights, rbm.visible_bias, rbm.hidden_bias)
    for layer, weights, bias in (
        (hidden, rbm.weights, rbm.hidden_bias),
        (visible, rbm.weights.T, rbm.visible_bias),
    ):
        rounded, _, grid = twin.rounded(weights, bias)
        n_in, n_out = weights.shape
        panels = layer.weights.view(np.int32).reshape(-(-n_out // 16), -1, 16)
        kept = panels[:, :n_in].transpose(1, 0, 2).reshape(n_in, -1)
        np.testing.assert_array_equal(kept[:, :n_out], rounded)
        assert not kept[:, n_out:].any()
        assert not panels[:, n_in:].any()
        np.testing.assert_array_equal(layer.grid[:n_out], grid)
        bound = np.abs(weights.astype(float)).sum(axis=0) + np.abs(bias)
        assert (np.abs(rounded * grid.astype(float) - weights).sum(axis=0) <= n_in * bound * 2.0**-30).all()
        assert (np.abs(rounded).sum(axis=0) < 2**31).all()
