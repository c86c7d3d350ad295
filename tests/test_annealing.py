"""Estimates of the partition function against its exact value."""

import numpy as np
import pytest
from scipy.special import logsumexp

from rbmlib.annealing import (
    TooFewEffectiveSamples,
    annealed_importance_sampling,
    base_rate_biases,
    effective_sample_size,
    importance_sampling_from,
    partition_from_log_weights,
    reverse_annealed_importance_sampling,
)
from rbmlib.pruning import prune_and_finetune, schedule
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.rbm import RBM
from rbmlib.training import LearningRate, train


def machine(n_visible=12, n_hidden=6, seed=1, scale=0.8):
    rng = np.random.default_rng(seed)
    mask = rng.random((n_visible, n_hidden)) < 0.7
    weights = scale * rng.normal(size=(n_visible, n_hidden))
    return RBM(weights, rng.normal(size=n_visible), rng.normal(size=n_hidden), mask)


def exact_samples(rbm, n, seed):
    p = rbm.probabilities()
    codes = np.random.default_rng(seed).choice(len(p), n, p=p / p.sum())
    return ((codes[:, None] >> np.arange(rbm.n_visible)) & 1).astype(np.uint8)


def product_state(p_up):
    """Independent spins, each up with its own probability."""
    amplitudes = np.sqrt(np.array([[1 - p, p] for p in p_up]))
    return MatrixProductState(tuple(row.reshape(1, 2, 1) for row in amplitudes))


def forward_score(seed):
    rbm = machine()
    found = annealed_importance_sampling(rbm, 500, 200, seed)
    return (found.log_partition - rbm.log_partition()) / found.standard_error


def reverse_score(seed):
    rbm = machine()
    found = reverse_annealed_importance_sampling(rbm, exact_samples(rbm, 500, seed), 200, seed)
    return (found.log_partition - rbm.log_partition()) / found.standard_error


def importance_score(seed):
    rbm = machine(scale=0.3)
    state = product_state(1 / (1 + np.exp(-rbm.visible_bias.astype(float))))
    found = importance_sampling_from(state, rbm, 4000, seed)
    return (found.log_partition - rbm.log_partition()) / found.standard_error


@pytest.mark.parametrize("score", [forward_score, reverse_score, importance_score])
def test_estimates_lie_within_five_standard_errors(score):
    assert abs(score(1)) < 5


def test_intervals_cover_the_exact_value_along_pruning():
    """Five trained machines, a tenth of those in the book; five intervals of 95 % miss twice in a hundred runs."""
    rng = np.random.default_rng(0)
    data = (rng.random((2000, 18)) < 0.5).cumsum(axis=1) % 2
    dense = train(
        RBM.random(18, 9, 1),
        data,
        n_epochs=30,
        learning_rate=LearningRate(0.1, 0.01),
        seed=2,
        k=5,
        batch_size=50,
    ).rbm
    kept = schedule(dense.n_weights, 0.35, 4)
    stages = prune_and_finetune(dense, kept, lambda rbm, _: rbm)
    covered = []
    for stage in stages:
        samples = stage.rbm.sample(256, 3, 500, initial=data[:256])
        low = annealed_importance_sampling(stage.rbm, 256, 1000, 4, base=base_rate_biases(data))
        high = reverse_annealed_importance_sampling(stage.rbm, samples, 1000, 4, base=base_rate_biases(data))
        exact = stage.rbm.log_partition()
        covered += [low.low <= exact <= low.high, high.low <= exact <= high.high]
        assert low.low < exact < high.high
    assert sum(covered) >= 8


def test_short_paths_err_below_forwards_and_above_backwards():
    rbm = machine(scale=2.0)
    exact = rbm.log_partition()
    down = [annealed_importance_sampling(rbm, 1, 3, seed).log_partition for seed in range(200)]
    up = [
        reverse_annealed_importance_sampling(rbm, row[None], 3, seed).log_partition
        for seed, row in enumerate(exact_samples(rbm, 200, 5))
    ]
    assert np.mean(down) < exact - 1
    assert np.mean(up) > exact + 1


def test_one_step_is_importance_sampling_from_the_base():
    rbm, base = machine(), np.linspace(-1, 1, 12).astype(np.float32)
    found = annealed_importance_sampling(rbm, 40, [0.0, 1.0], 3, base=base)
    start = annealed_importance_sampling(RBM(np.zeros((12, 1)), base, [0.0]), 40, 1, 3, base=base)
    assert start.log_weights == pytest.approx(0, abs=1e-6)
    assert start.log_partition == pytest.approx(
        np.logaddexp(0, base.astype(float)).sum() + np.log(2), rel=1e-7
    )
    all_states = ((np.arange(2**12)[:, None] >> np.arange(12)) & 1).astype(np.uint8)
    possible = -rbm.free_energy(all_states) - all_states @ base.astype(float) - 6 * np.log(2)
    assert np.abs(possible[:, None] - found.log_weights).min(axis=0).max() < 1e-4
    expected = (
        np.logaddexp(0, base.astype(float)).sum() + 6 * np.log(2) + logsumexp(found.log_weights) - np.log(40)
    )
    assert found.log_partition == pytest.approx(expected, rel=1e-12)


def test_weighted_ends_of_the_chains_are_samples_of_the_machine():
    rbm = machine(4, 3, scale=1.5)
    found = annealed_importance_sampling(rbm, 20_000, 4, 6)
    weights = np.exp(found.log_weights - found.log_weights.max())
    share = np.bincount(found.states @ (1 << np.arange(4)), weights, minlength=16) / weights.sum()
    error = np.sqrt(rbm.probabilities() / found.effective_sample_size)
    assert (np.abs(share - rbm.probabilities()) / error).max() < 5


def test_a_larger_base_needs_no_weights_to_be_exact():
    rbm = machine(scale=0.0).replace(hidden_bias=np.zeros(6))
    found = annealed_importance_sampling(rbm, 3, 2, 1, base=rbm.visible_bias)
    assert found.log_partition == pytest.approx(rbm.log_partition(), rel=1e-6)
    assert found.effective_sample_size == pytest.approx(3)


def test_base_rates_are_smoothed_means():
    data = np.array([[1, 0, 1], [1, 0, 0]])
    assert base_rate_biases(data) == pytest.approx(np.log([3 / 1, 1 / 3, 1.0]), abs=1e-6)


def test_effective_sample_size_counts_equal_weights():
    assert effective_sample_size([5.0, 5.0, 5.0]) == pytest.approx(3)
    assert effective_sample_size([0.0, -1000.0]) == pytest.approx(1)
    assert effective_sample_size(np.log([1.0, 3.0])) == pytest.approx(16 / 10)


def test_importance_sampling_is_refused_where_the_overlap_is_small():
    rbm = machine().replace(visible_bias=np.full(12, 6.0))
    with pytest.raises(
        TooFewEffectiveSamples, match=r"is refused: the effective sample size is .* below 20 %"
    ) as caught:
        importance_sampling_from(product_state([0.4] * 12), rbm, 1000, 1, smallest_share=0.2)
    assert 1 <= caught.value.effective_sample_size < 200
    assert caught.value.n_samples == 1000
    assert partition_from_log_weights([1.0, 1.0], np.zeros((2, 3))).log_partition == pytest.approx(1.0)


RBM_, ROW = machine(), np.zeros((1, 12), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: annealed_importance_sampling(RBM_, 0, 5, 1), "n_chains must be an integer >= 1, not 0"),
        (lambda: annealed_importance_sampling(RBM_, 5, 0, 1), "temperatures must be an integer >= 1, not 0"),
        (lambda: annealed_importance_sampling(RBM_, 5, [0.0, 0.5], 1), "temperatures must be an integer or rise from 0"),
        (lambda: annealed_importance_sampling(RBM_, 5, [0, 0.6, 0.5, 1], 1), "temperatures must be an integer or rise"),
        (lambda: annealed_importance_sampling(RBM_, 5, 5, -1), "seed must be an integer in"),
        (lambda: annealed_importance_sampling(RBM_, 5, 5, 1, base=[0.0]), r"base must have the shape \(12,\)"),
        (lambda: annealed_importance_sampling(RBM_, 5, 5, 1, base=[np.inf] * 12), "base must be finite"),
        (lambda: annealed_importance_sampling(RBM_, 5, 5, 1, confidence=1.0), "confidence must lie between 0 and 1"),
        (lambda: annealed_importance_sampling(RBM_, 5, 5, 1, first_chain=-1), "first_chain must be an integer >= 0"),
        (
            lambda: annealed_importance_sampling(RBM_.replace(hidden_bias=np.full(6, 500.0)), 5, 2, 1),
            "temperatures must be more: with fields up to",
        ),
        (lambda: reverse_annealed_importance_sampling(RBM_, ROW[:0], 5, 1), "samples must have at least one row"),
        (lambda: reverse_annealed_importance_sampling(RBM_, ROW[:, :3], 5, 1), "samples must have the shape"),
        (lambda: importance_sampling_from(product_state([0.5] * 3), RBM_, 5, 1), "not 3 spins"),
        (
            lambda: importance_sampling_from(product_state([0.5] * 12), RBM_, 5, 1, smallest_share=2),
            r"smallest_share must lie in \[0, 1\]",
        ),
        (lambda: base_rate_biases(np.zeros((0, 3))), "data must have at least one row"),
        (lambda: partition_from_log_weights([np.nan], ROW), "none of them NaN"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
