"""Gibbs sampling: the very bits of a slow twin, and the distribution of the machine."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats

from rbmlib.kernels import gibbs
from rbmlib.rbm import RBM

# 10, 9, 6, 4 and 1 are the widths of a block of units; 33 and 50 units need two words.
SIZES = [(1, 1), (5, 3), (4, 4), (6, 2), (18, 9), (33, 10), (50, 25)]


def machine(n_visible, n_hidden, seed=3, scale=1.0):
    rng = np.random.default_rng(seed)
    return RBM(
        scale * rng.normal(size=(n_visible, n_hidden)), rng.normal(size=n_visible), rng.normal(size=n_hidden)
    )


def codes(states):
    return states @ (1 << np.arange(states.shape[1]))


@pytest.mark.parametrize(("n_visible", "n_hidden"), SIZES)
def test_samples_have_the_bits_of_the_slow_twin(n_visible, n_hidden, twin):
    rbm = machine(n_visible, n_hidden)
    start = np.random.default_rng(1).integers(0, 2, (19, n_visible)).astype(np.uint8)
    seed = 2**40 + 7
    expected = twin.gibbs(
        rbm.weights, rbm.visible_bias, rbm.hidden_bias, start, range(4), 5, twin.SAMPLING, seed
    )
    found = rbm.sample(19, seed, 4, initial=start, first_chain=5)
    np.testing.assert_array_equal(found, expected)


def test_a_run_goes_on_from_any_step_with_the_same_bits():
    rbm = machine(18, 9)
    whole = np.zeros((33, 18), np.uint8)
    parts = whole.copy()
    arguments = (rbm.weights, rbm.visible_bias, rbm.hidden_bias)
    gibbs.gibbs_sample(*arguments, whole, 30, 0, 0, np.uint32(2), np.uint64(8))
    for first, n in ((0, 1), (1, 20), (21, 9)):
        gibbs.gibbs_sample(*arguments, parts, n, first, 0, np.uint32(2), np.uint64(8))
    np.testing.assert_array_equal(whole, parts)


@pytest.mark.parametrize("edges", [[0, 1, 100], [0, 16, 48, 100], [0, 7, 33, 50, 99, 100]])
def test_chains_drawn_in_parts_have_the_same_bits(edges):
    rbm = machine(18, 9)
    start = np.random.default_rng(2).integers(0, 2, (100, 18))
    whole = rbm.sample(100, 4, 10, initial=start)
    parts = [rbm.sample(b - a, 4, 10, initial=start[a:b], first_chain=a) for a, b in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_threads_do_not_change_the_bits():
    rbm = machine(18, 9)
    whole = rbm.sample(400, 4, 20)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda first: rbm.sample(25, 4, 20, first_chain=first), range(0, 400, 25)))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_the_start_is_left_alone_and_no_steps_return_it():
    rbm, start = machine(5, 3), np.eye(5, dtype=np.uint8)
    kept = start.copy()
    np.testing.assert_array_equal(rbm.sample(5, 1, 0, initial=start), kept)
    rbm.sample(5, 1, 3, initial=start)
    np.testing.assert_array_equal(start, kept)
    np.testing.assert_array_equal(rbm.sample(3, 1, 2), rbm.sample(3, 1, 2, initial=np.zeros((3, 5))))


def test_other_seeds_and_chains_draw_other_samples():
    rbm = machine(18, 9, scale=0.1)
    drawn = [
        rbm.sample(50, 1, 3),
        rbm.sample(50, 2, 3),
        rbm.sample(50, 1, 3, first_chain=50),
        rbm.sample(50, 1, 4),
    ]
    for a in range(4):
        for b in range(a):
            assert (drawn[a] != drawn[b]).mean() > 0.3


def stationary_p_value(seed):
    rbm = machine(4, 3, seed=11, scale=0.8)
    counts = np.bincount(codes(rbm.sample(40_000, seed, 60)), minlength=16)
    return scipy.stats.chisquare(counts, 40_000 * rbm.probabilities()).pvalue


def one_step_p_value(seed):
    """One step from a given state, against the sum over all hidden states."""
    rbm, start = machine(4, 3, seed=12), np.array([[1, 0, 1, 1]])
    hidden = (np.arange(8)[:, None] >> np.arange(3)) & 1
    p_hidden = rbm.hidden_probabilities(start)[0]
    weight = np.where(hidden, p_hidden, 1 - p_hidden).prod(axis=1)
    visible = (np.arange(16)[:, None] >> np.arange(4)) & 1
    p_visible = rbm.visible_probabilities(hidden)
    exact = weight @ np.where(visible, p_visible[:, None], 1 - p_visible[:, None]).prod(axis=2)
    counts = np.bincount(
        codes(rbm.sample(40_000, seed, 1, initial=start.repeat(40_000, axis=0))), minlength=16
    )
    return scipy.stats.chisquare(counts, 40_000 * exact).pvalue


# A p-value of 5.7e-7 is that of five standard deviations of a normal variable.
def test_long_chains_follow_the_distribution_of_the_machine():
    assert stationary_p_value(1) > 5.7e-7


def test_one_step_follows_the_conditional_distributions():
    assert one_step_p_value(1) > 5.7e-7


def test_a_strong_field_decides_a_unit():
    rbm = RBM(np.zeros((3, 2)), [300.0, -300.0, 0.0], [0.0, 0.0])
    drawn = rbm.sample(2000, 5, 1)
    assert drawn[:, 0].all()
    assert not drawn[:, 1].any()
    assert 800 < drawn[:, 2].sum() < 1200


@pytest.mark.parametrize("n_units", [1, 31, 32, 33, 64, 65])
def test_packed_rows_unpack_to_themselves(n_units):
    rows = np.random.default_rng(3).integers(0, 2, (7, n_units)).astype(np.uint8)
    packed, back = np.empty((7, -(-n_units // 32)), np.uint32), np.empty_like(rows)
    gibbs.pack_rows(rows, packed)
    gibbs.unpack_rows(packed, back)
    np.testing.assert_array_equal(back, rows)
    first = (rows[:, :32].astype(np.int64) << np.arange(min(n_units, 32))).sum(axis=1)
    np.testing.assert_array_equal(packed[:, 0], first)
