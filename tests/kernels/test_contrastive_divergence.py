"""Contrastive divergence: the very bits of a slow twin, and the exact gradient in the limit of many steps."""

import numpy as np
import pytest
import scipy.stats

from rbmlib.kernels.contrastive_divergence import shuffle
from rbmlib.kernels.initialisation import geometric_decay
from rbmlib.likelihood import ExactLikelihood
from rbmlib.rbm import RBM
from rbmlib.training import LearningRate, train

SEED = 2**33 + 1


def machine(n_visible, n_hidden, share_kept=0.7):
    rng = np.random.default_rng(3)
    mask = rng.random((n_visible, n_hidden)) < share_kept
    return RBM(
        rng.normal(size=(n_visible, n_hidden)), rng.normal(size=n_visible), rng.normal(size=n_hidden), mask
    )


def data_of(n_samples, n_visible):
    return np.random.default_rng(4).integers(0, 2, (n_samples, n_visible)).astype(np.uint8)


def assert_same_bits(state, expected):
    rbm = state.rbm
    for name, mine, other in zip(
        ("W", "b", "c"), (rbm.weights, rbm.visible_bias, rbm.hidden_bias), expected, strict=False
    ):
        np.testing.assert_array_equal(mine, other, err_msg=name)


@pytest.mark.parametrize(
    ("n_visible", "n_hidden", "n_samples", "batch_size", "k"),
    [
        (18, 9, 40, 20, 2),
        (5, 3, 37, 16, 1),
        (1, 1, 5, 2, 3),
        (33, 10, 20, 33, 1),
        (6, 4, 50, 17, 2),
        (4, 6, 3, 1, 1),
    ],
)
def test_training_has_the_bits_of_the_slow_twin(n_visible, n_hidden, n_samples, batch_size, k, twin):
    rbm, data = machine(n_visible, n_hidden), data_of(n_samples, n_visible)
    rate = LearningRate(0.5, 0.1)
    rates = [rate.at(epoch, 2) for epoch in range(2)]
    expected = twin.contrastive_divergence(rbm, data, range(2), rates, SEED, k, batch_size, weight_decay=0.01)
    state = train(
        rbm, data, n_epochs=2, learning_rate=rate, seed=SEED, k=k, batch_size=batch_size, weight_decay=0.01
    )
    assert_same_bits(state, expected)
    assert state.chains is None


@pytest.mark.parametrize("n_chains", [1, 16, 21])
def test_persistent_training_has_the_bits_of_the_slow_twin(n_chains, twin):
    rbm, data = machine(7, 5), data_of(19, 7)
    start = data[np.arange(n_chains) % 19]
    *expected, chains = twin.contrastive_divergence(rbm, data, range(2), [0.3, 0.3], SEED, 2, 8, chains=start)
    state = train(rbm, data, n_epochs=2, learning_rate=0.3, seed=SEED, k=2, batch_size=8, n_chains=n_chains)
    assert_same_bits(state, expected)
    np.testing.assert_array_equal(state.chains, chains)


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_the_order_is_the_permutation_of_the_slow_twin(n, twin):
    order = np.arange(n)
    shuffle(order, 6, np.uint64(SEED))
    np.testing.assert_array_equal(order, twin.shuffled(n, 6, SEED))
    assert sorted(order) == list(range(n))


def shuffle_p_value(seed):
    """All 24 orders of four rows, over many epochs."""
    counts = np.zeros(24)
    for epoch in range(12_000):
        order = np.arange(4)
        shuffle(order, epoch, np.uint64(seed))
        rank = sum(int((order[i + 1 :] < order[i]).sum()) * (6, 2, 1, 1)[i] for i in range(4))
        counts[rank] += 1
    return scipy.stats.chisquare(counts).pvalue


def test_every_order_is_equally_likely():
    assert shuffle_p_value(7) > 5.7e-7


def gradient_scores(seed):
    """Standard scores of CD-100's mean first step of many batches, against the exact gradient of the likelihood."""
    n_visible, n_hidden, batch, n_batches = 4, 3, 100, 400
    rng = np.random.default_rng(8)
    rbm = RBM(
        0.7 * rng.normal(size=(n_visible, n_hidden)), 0.5 * rng.normal(size=4), 0.5 * rng.normal(size=3)
    )
    data = rng.integers(0, 2, (batch, n_visible)).astype(np.uint8)
    data[:, 0] |= data[:, 1]
    steps = []
    for i in range(n_batches):
        # One update, whose batch is the whole data: only the chains are random.
        state = train(rbm, data, n_epochs=1, learning_rate=1.0, seed=1000 * seed + i, k=100, batch_size=batch)
        pairs = ((getattr(state.rbm, n), getattr(rbm, n)) for n in ("weights", "visible_bias", "hidden_bias"))
        steps.append(np.concatenate([(after.astype(float) - before).ravel() for after, before in pairs]))
    exact = ExactLikelihood(data, n_hidden).value_and_gradient(
        *(x.astype(float) for x in (rbm.weights, rbm.visible_bias, rbm.hidden_bias))
    )[1:]
    mean, error = np.mean(steps, axis=0), np.std(steps, axis=0, ddof=1) / np.sqrt(n_batches)
    return (mean - np.concatenate([x.ravel() for x in exact])) / error


def test_many_steps_follow_the_exact_gradient_of_the_likelihood():
    assert np.abs(gradient_scores(1)).max() < 5


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_rates_decay_geometrically(fraction):
    assert geometric_decay(0.1, 0.001, fraction) == pytest.approx(0.1 * 0.01**fraction, rel=1e-14)
