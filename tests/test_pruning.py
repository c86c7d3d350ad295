"""Pruning against slow twins: long decimals, removal of one weight at a time, flood fill."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbmlib import pruning
from rbmlib.rbm import RBM

TABLE_I = [100.0, 90.0, 81.0, 72.9, 65.6, 59.0, 53.1, 47.8, 43.0, 38.7]
TABLE_I += [34.9, 31.4, 28.2, 25.4, 22.9, 20.6, 18.5, 16.7, 15.0]

masks = st.tuples(st.integers(1, 7), st.integers(1, 6), st.integers(0, 2**42 - 1)).map(
    lambda m: np.array([bool(m[2] >> k & 1) for k in range(m[0] * m[1])]).reshape(m[0], m[1])
)


def machine(seed: int = 3, n_visible: int = 18, n_hidden: int = 9) -> RBM:
    weights = np.random.default_rng(seed).normal(size=(n_visible, n_hidden)).astype(np.float32)
    return RBM(weights, np.ones(n_visible), np.full(n_hidden, -2.0))


# --- slow twins ---


def slow_schedule(n_weights: int, fractions: list[str]) -> list[int]:
    """The same counts through decimals that are long enough to hold every product exactly."""
    with localcontext() as context:
        context.prec = 400
        share, kept = Decimal(1), [n_weights]
        for fraction in fractions:
            share *= 1 - Decimal(fraction)
            kept.append(int((share * n_weights).to_integral_value(ROUND_HALF_EVEN)))
    return kept


def slow_prune(weights: np.ndarray, mask: np.ndarray, n_keep: int, largest: bool) -> np.ndarray:
    """Remove one weight at a time."""
    mask = mask.copy()
    while mask.sum() > n_keep:
        victim, smallest = None, None
        for i in range(mask.shape[0]):
            for j in range(mask.shape[1]):
                if not mask[i, j]:
                    continue
                size = -abs(weights[i, j]) if largest else abs(weights[i, j])
                if victim is None or size < smallest:
                    victim, smallest = (i, j), size
        mask[victim] = False
    return mask


def slow_components(mask: np.ndarray) -> int:
    """Flood fill from every unit not yet seen."""
    n_visible, n_hidden = mask.shape
    unseen, components = set(range(n_visible + n_hidden)), 0
    while unseen:
        components += 1
        frontier = [unseen.pop()]
        while frontier:
            unit = frontier.pop()
            if unit < n_visible:
                near = {n_visible + j for j in range(n_hidden) if mask[unit, j]}
            else:
                near = {i for i in range(n_visible) if mask[i, unit - n_visible]}
            frontier += near & unseen
            unseen -= near
    return components


def slow_philox_words(seed: int, n_words: int, stream: int) -> list[int]:
    """Philox4x32-10 in Python integers, the counter being (block, 0, 0, stream)."""
    words: list[int] = []
    for block in range(-(-n_words // 4)):
        counter, key = [block, 0, 0, stream], [seed & 0xFFFFFFFF, seed >> 32]
        for _ in range(10):
            high0, low0 = divmod(0xD2511F53 * counter[0], 2**32)
            high1, low1 = divmod(0xCD9E8D57 * counter[2], 2**32)
            counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
            key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
        words += counter
    return words[:n_words]


# --- schedules ---


def test_default_schedule_is_table_one():
    kept = pruning.schedule(162)
    assert kept.dtype == np.int64
    assert kept.tolist() == [162, 146, 131, 118, 106, 96, 86, 77, 70, 63, 56, 51, 46, 41, 37, 33, 30, 27, 24]
    assert [round(100 * share, 1) for share in pruning.nominal_remaining([0.1] * 18)] == TABLE_I
    np.testing.assert_array_equal(pruning.actual_remaining(kept), kept / 162)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 10**6),
    st.lists(st.decimals("0", "0.99", places=3, allow_nan=False).map(str), max_size=25),
)
def test_schedule_equals_long_decimals_and_never_rises(n_weights, fractions):
    kept = pruning.schedule_from_fractions(n_weights, [float(fraction) for fraction in fractions])
    assert kept.tolist() == slow_schedule(n_weights, fractions)
    assert np.all(np.diff(kept) <= 0)


def test_exact_halves_go_to_the_even_neighbour():
    assert pruning.schedule(5, 0.1, 1).tolist() == [5, 4]  # 4.5
    assert pruning.schedule(15, 0.1, 1).tolist() == [15, 14]  # 13.5
    assert pruning.schedule(3, Fraction(1, 2), 2).tolist() == [3, 2, 1]  # 1.5, 0.75


@pytest.mark.parametrize("first", [0.1, 0.2, 0.3, 0.4])
def test_a_large_first_step_can_be_followed_by_small_ones(first):
    kept = pruning.schedule_from_fractions(162, [first] + [0.05] * 20)
    assert kept[1] == round(162 * (1 - first))
    assert kept[-1] == round(162 * (1 - first) * 0.95**20)


def test_schedule_without_iterations_keeps_all():
    assert pruning.schedule(162, n_iterations=0).tolist() == [162]


# --- masks ---


@settings(max_examples=100, deadline=None)
@given(masks, st.integers(0, 2**32 - 1), st.floats(0, 1), st.booleans())
def test_mask_equals_removing_one_weight_at_a_time(mask, seed, share, largest):
    # Few different magnitudes, zeros among them, so that ties are common.
    weights = np.random.default_rng(seed).integers(-2, 3, size=mask.shape).astype(np.float32)
    n_keep = int(share * mask.sum())
    pruned = pruning.prune_mask(weights, mask, n_keep, "largest" if largest else "magnitude")
    np.testing.assert_array_equal(pruned, slow_prune(weights, mask, n_keep, largest))


def test_equal_magnitudes_go_in_the_order_of_their_index():
    pruned = pruning.prune_mask(np.array([[1.0, -1.0], [1.0, -1.0]]), None, 2)
    assert pruned.tolist() == [[False, False], [True, True]]


def test_a_live_weight_of_zero_outlives_no_other_but_counts_as_alive():
    weights, mask = np.array([[0.0, 0.0, 3.0]]), np.array([[False, True, True]])
    assert pruning.prune_mask(weights, mask, 2).tolist() == [[False, True, True]]
    assert pruning.prune_mask(weights, mask, 1).tolist() == [[False, False, True]]


def test_pruned_places_play_no_part_whatever_stands_there():
    weights, mask = np.array([[9.0, 1.0, 2.0]]), np.array([[False, True, True]])
    assert pruning.prune_mask(weights, mask, 1).tolist() == [[False, False, True]]


def test_arguments_are_left_as_they_were():
    weights, mask = np.arange(6.0).reshape(2, 3), np.ones((2, 3), bool)
    weights.setflags(write=False)
    mask.setflags(write=False)
    pruned = pruning.prune_mask(weights, mask, 6)
    assert pruned is not mask
    assert not np.shares_memory(pruned, mask)


def test_memory_layout_does_not_matter():
    weights = np.random.default_rng(1).normal(size=(6, 5))
    mask = np.random.default_rng(2).random((6, 5)) < 0.7
    expected = pruning.prune_mask(weights, mask, 7)
    actual = pruning.prune_mask(np.asfortranarray(weights), np.asfortranarray(mask), 7)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 5, 2**64 - 1])
def test_random_order_is_that_of_philox_words(seed):
    words = slow_philox_words(seed, 2 * 30, 6)
    ranks = [words[2 * k] << 32 | words[2 * k + 1] for k in range(30)]
    removed = sorted(range(30), key=ranks.__getitem__)[:18]
    pruned = pruning.prune_mask(np.ones((6, 5)), None, 12, "random", seed)
    assert np.flatnonzero(~pruned).tolist() == sorted(removed)


def test_random_pruning_with_one_seed_walks_down_one_permutation():
    weights = np.random.default_rng(0).normal(size=(18, 9))
    stepwise = np.ones(weights.shape, bool)
    for n_keep in (146, 100, 24):
        stepwise = pruning.prune_mask(weights, stepwise, n_keep, "random", 11)
    np.testing.assert_array_equal(stepwise, pruning.prune_mask(weights, None, 24, "random", 11))


def test_random_pruning_takes_every_weight_equally_often():
    n_seeds, n_weights, n_keep = 4000, 20, 5
    survivals = sum(
        pruning.prune_mask(np.arange(20.0).reshape(5, 4), None, n_keep, "random", seed).astype(int)
        for seed in range(n_seeds)
    )
    probability = n_keep / n_weights
    standard_error = np.sqrt(n_seeds * probability * (1 - probability))
    assert np.max(np.abs(survivals - n_seeds * probability)) < 5 * standard_error


# --- machines ---


def test_pruned_machine_has_exact_zeros_and_its_biases():
    rbm = machine()
    pruned = pruning.prune(rbm, 24)
    assert np.count_nonzero(pruned.weights) == pruned.mask.sum() == 24
    assert pruned.weights.dtype == np.float32
    np.testing.assert_array_equal(pruned.weights[pruned.mask], rbm.weights[pruned.mask])
    np.testing.assert_array_equal(pruned.visible_bias, rbm.visible_bias)
    np.testing.assert_array_equal(pruned.hidden_bias, rbm.hidden_bias)
    assert np.count_nonzero(rbm.weights) == 162
    smallest_kept = np.abs(rbm.weights[pruned.mask]).min()
    assert np.all(np.abs(rbm.weights[~pruned.mask]) <= smallest_kept)


def test_every_stage_is_pruned_from_the_fine_tuned_machine_before_it():
    rng = np.random.default_rng(5)
    iterations = []

    def finetune(rbm, iteration):
        iterations.append(iteration)
        return rbm.replace(weights=rng.normal(size=rbm.mask.shape).astype(np.float32))

    kept = pruning.schedule(162)
    stages = list(pruning.prune_and_finetune(machine(), kept, finetune))
    assert [stage.iteration for stage in stages] == list(range(19))
    assert iterations == list(range(1, 19))
    for before, after, n_keep in zip(stages[:-1], stages[1:], kept[1:], strict=True):
        expected = pruning.prune_mask(before.rbm.weights, before.rbm.mask, int(n_keep))
        np.testing.assert_array_equal(after.rbm.mask, expected)


def test_stage_zero_is_the_machine_itself():
    rbm = machine()
    assert next(pruning.prune_and_finetune(rbm, [162, 10], lambda rbm, iteration: rbm)) == (0, rbm)


def test_fine_tuning_that_changes_the_mask_is_refused():
    stages = pruning.prune_and_finetune(machine(), [162, 100], lambda rbm, iteration: machine())
    with pytest.raises(ValueError, match="finetune must keep the mask"):
        list(stages)


def test_a_schedule_for_another_machine_is_refused():
    with pytest.raises(ValueError, match="kept must start at the machine's 162 live weights, not at 100"):
        list(pruning.prune_and_finetune(machine(), [100, 50], lambda rbm, iteration: rbm))


# --- connectivity ---


@settings(max_examples=200, deadline=None)
@given(masks)
def test_components_equal_flood_fill(mask):
    assert pruning.connected_components(mask) == slow_components(mask)
    assert pruning.is_connected(mask) == (slow_components(mask) == 1)


@settings(max_examples=50, deadline=None)
@given(masks)
def test_too_few_weights_never_connect(mask):
    if mask.sum() < pruning.min_weights_to_connect(*mask.shape):
        assert not pruning.is_connected(mask)


def test_a_spanning_tree_connects_and_loses_that_with_any_edge():
    tree = np.zeros((18, 9), bool)
    tree[0, :] = tree[:, 0] = True
    assert tree.sum() == pruning.min_weights_to_connect(18, 9) == 26
    assert pruning.is_connected(tree)
    for edge in np.argwhere(tree):
        cut = tree.copy()
        cut[tuple(edge)] = False
        assert pruning.connected_components(cut) == 2


def test_units_without_weights_are_components():
    assert pruning.connected_components(np.zeros((18, 9), bool)) == 27


def test_table_one_is_necessarily_disconnected_at_iteration_18():
    kept = pruning.schedule(162)
    assert pruning.first_necessarily_disconnected(kept, 18, 9) == 18
    assert pruning.first_necessarily_disconnected(kept[:18], 18, 9) is None


# --- concentration ---


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60), st.sampled_from(["0.1", "0.2", "0.5", "1"]))
def test_concentration_equals_a_sum_of_rationals(values, share):
    if not any(values):
        return
    ordered = sorted((abs(Fraction(value)) for value in values), reverse=True)
    count = max(1, round(Fraction(share) * len(values)))
    expected = float(sum(ordered[:count]) / sum(ordered))
    assert pruning.weight_concentration(np.array(values), float(share)) == pytest.approx(expected, rel=1e-15)


def test_gaussian_weights_have_concentration_044():
    # Relative spread of the ratio of two sums of n magnitudes is below 1 / sqrt(n).
    n_weights = 200_000
    weights = np.random.default_rng(4).normal(size=n_weights)
    expected = np.exp(-(1.2815515655446004**2) / 2)
    assert expected == pytest.approx(0.44, abs=1e-3)
    assert abs(pruning.weight_concentration(weights) - expected) < 5 / np.sqrt(n_weights)


def test_equal_weights_are_not_concentrated():
    assert pruning.weight_concentration(np.full((10, 5), -3.0)) == pytest.approx(0.2)


# --- bad input ---

WEIGHTS = np.ones((3, 2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pruning.schedule(0), ValueError, "n_weights must be at least 1, not 0"),
        (lambda: pruning.schedule(162.0), TypeError, "n_weights must be an integer, not 162.0"),
        (lambda: pruning.schedule(True), TypeError, "n_weights must be an integer, not True"),
        (lambda: pruning.schedule(162, 1.0), ValueError, r"fraction must lie in \[0, 1\), not 1.0"),
        (lambda: pruning.schedule(162, -0.1), ValueError, r"fraction must lie in \[0, 1\), not -0.1"),
        (lambda: pruning.schedule(162, float("nan")), ValueError, "fraction must be finite, not nan"),
        (lambda: pruning.schedule(162, "0.1"), TypeError, "fraction must be a real number, not '0.1'"),
        (lambda: pruning.schedule(162, 0.1, -1), ValueError, "n_iterations must be at least 0, not -1"),
        (lambda: pruning.actual_remaining([1.5, 1]), ValueError, "kept must be a non-empty list of integers"),
        (lambda: pruning.actual_remaining([3, 4]), ValueError, "never rise"),
        (lambda: pruning.prune_mask(WEIGHTS, None, 7), ValueError, "n_keep is 7 but must be at most 6"),
        (lambda: pruning.prune_mask(WEIGHTS, None, -1), ValueError, "n_keep must be at least 0, not -1"),
        (
            lambda: pruning.prune_mask(WEIGHTS, np.ones((2, 3), bool), 1),
            ValueError,
            r"mask has shape \(2, 3\)",
        ),
        (
            lambda: pruning.prune_mask(WEIGHTS, np.ones((3, 2)), 1),
            ValueError,
            "mask must be boolean of shape",
        ),
        (lambda: pruning.prune_mask(np.ones(3), None, 1), ValueError, r"n_visible, n_hidden\), not \(3,\)"),
        (lambda: pruning.prune_mask(WEIGHTS * np.nan, None, 1), ValueError, "finite; 6 entries are not"),
        (lambda: pruning.prune_mask(WEIGHTS, None, 1, "small"), ValueError, "criterion must be one of"),
        (
            lambda: pruning.prune_mask(WEIGHTS, None, 1, "random"),
            ValueError,
            "seed goes with criterion 'random'",
        ),
        (lambda: pruning.prune_mask(WEIGHTS, None, 1, seed=3), ValueError, "got 3 with 'magnitude'"),
        (
            lambda: pruning.prune_mask(WEIGHTS, None, 1, "random", 2**64),
            ValueError,
            "seed must be an integer in",
        ),
        (
            lambda: pruning.prune_mask(WEIGHTS, None, 1, "random", -1),
            ValueError,
            "seed must be an integer in",
        ),
        (lambda: pruning.connected_components(np.ones((2, 2))), ValueError, "mask must be boolean"),
        (lambda: pruning.min_weights_to_connect(0, 3), ValueError, "n_visible must be at least 1"),
        (lambda: pruning.weight_concentration([0.0, 0.0]), ValueError, "at least one entry other than zero"),
        (lambda: pruning.weight_concentration([]), ValueError, "weights must be one or more numbers"),
        (lambda: pruning.weight_concentration([1.0], 0), ValueError, r"share must lie in \(0, 1\], not 0"),
    ],
)
def test_bad_arguments_get_one_sentence(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
