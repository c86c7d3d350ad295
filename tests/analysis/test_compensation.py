"""Compensated biases: mean fields stay, what does not fluctuate is lost without loss, and pruned machines come nearer."""

import numpy as np
import pytest

from rbmlib.analysis.compensation import Activities, compensate, mean_activities
from rbmlib.pruning import prune
from rbmlib.rbm import RBM


def machine(n_visible=8, n_hidden=5, seed=0, scale=0.8) -> RBM:
    rng = np.random.default_rng(seed)
    mask = rng.random((n_visible, n_hidden)) < 0.8
    biases = rng.normal(0, 0.5, n_visible), rng.normal(0, 0.5, n_hidden)
    return RBM(rng.normal(0, scale, (n_visible, n_hidden)), *biases, mask)


def states_of(rbm: RBM, n=300, seed=1) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, rbm.n_visible)) < 0.4).astype(np.uint8)


def divergence(rbm: RBM, other: RBM) -> float:
    p, log_p, log_q = rbm.probabilities(), rbm.log_probabilities(), other.log_probabilities()
    return float((p * (log_p - log_q)).sum())


@pytest.mark.parametrize("shape", [(8, 5), (1, 1), (17, 33)])
def test_means_and_biases_equal_those_of_plain_sums(shape):
    rbm = machine(*shape)
    visible = states_of(rbm)
    found = mean_activities(rbm, visible)
    hidden = 1 / (1 + np.exp(-(visible @ rbm.weights.astype(float) + rbm.hidden_bias)))
    np.testing.assert_allclose(found.visible, visible.mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(found.hidden, hidden.mean(axis=0), rtol=1e-13)
    pruned = prune(rbm, rbm.n_weights // 2)
    removed = rbm.weights.astype(float) - pruned.weights
    after = compensate(rbm, pruned, found)
    np.testing.assert_allclose(
        after.visible_bias, rbm.visible_bias + removed @ hidden.mean(axis=0), rtol=1e-6
    )
    np.testing.assert_allclose(after.hidden_bias, rbm.hidden_bias + visible.mean(axis=0) @ removed, rtol=1e-6)
    np.testing.assert_array_equal(after.weights, pruned.weights)
    np.testing.assert_array_equal(after.mask, pruned.mask)


def test_every_unit_keeps_its_mean_field():
    rbm = machine()
    means = mean_activities(rbm, states_of(rbm))
    after = compensate(rbm, prune(rbm, 4), means)
    for weights, before, bias, mean in (
        (after.weights.T, rbm.weights.T @ means.visible + rbm.hidden_bias, after.hidden_bias, means.visible),
        (after.weights, rbm.weights @ means.hidden + rbm.visible_bias, after.visible_bias, means.hidden),
    ):
        np.testing.assert_allclose(weights @ mean + bias, before, atol=1e-6)


def test_weights_of_a_unit_that_never_changes_go_without_a_trace():
    rbm = machine(scale=2.0)
    frozen = rbm.replace(visible_bias=np.where(np.arange(8) == 3, 60.0, rbm.visible_bias))
    mask = frozen.mask.copy()
    mask[3] = False
    pruned = frozen.replace(mask=mask)
    states = np.ones((50, 8), np.uint8)
    states[:, :3] = states_of(rbm, 50)[:, :3]
    # Over states in which unit 3 is on, which are all that the machine shows.
    after = compensate(frozen, pruned, mean_activities(frozen, states))
    assert divergence(frozen, after) < 1e-10 < 1e-2 < divergence(frozen, pruned)


def test_compensated_machines_are_nearer_to_the_whole_ones():
    gains = []
    for seed in range(40):
        rbm = machine(seed=seed)
        pruned = prune(rbm, rbm.n_weights // 2)
        samples = rbm.sample(400, seed)
        after = compensate(rbm, pruned, mean_activities(rbm, samples))
        gains.append(np.log(divergence(rbm, pruned) / divergence(rbm, after)))
    assert np.mean(gains) > 5 * np.std(gains, ddof=1) / np.sqrt(len(gains)) > 0


def test_nothing_removed_changes_nothing():
    rbm = machine()
    after = compensate(rbm, rbm, mean_activities(rbm, states_of(rbm)))
    np.testing.assert_array_equal(after.visible_bias, rbm.visible_bias)
    np.testing.assert_array_equal(after.hidden_bias, rbm.hidden_bias)


def test_what_does_not_fit_is_refused():
    rbm = machine()
    means = mean_activities(rbm, states_of(rbm))
    with pytest.raises(ValueError, match=r"visible must have at least one row"):
        mean_activities(rbm, np.empty((0, 8), np.uint8))
    with pytest.raises(ValueError, match=r"visible must"):
        mean_activities(rbm, np.full((2, 8), 0.5))
    with pytest.raises(ValueError, match=r"pruned must have the units of whole, \(8, 5\), not \(8, 4\)"):
        compensate(rbm, machine(8, 4), means)
    with pytest.raises(
        ValueError, match=r"activities must be those of the machine's units, \(8, 5\), not \(5, 8\)"
    ):
        compensate(rbm, rbm, Activities(means.hidden, means.visible))
