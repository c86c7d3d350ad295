"""Clusters of large weights against a plain count, and against shuffles counted one by one."""

import itertools
import math

import numpy as np
import pytest

from rbmlib.clusters import (
    SMALLEST_CLUSTER,
    _counts,
    _shuffled,
    cluster_mask,
    cluster_statistic,
    clusters,
    standing_out,
)


def random_marks(seed, n_visible=9, n_hidden=40, share=0.4):
    return np.random.default_rng(seed).random((n_visible, n_hidden)) < share


def plain_clusters(column):
    """Clusters of one hidden unit, by grouping its marks from one end to the other."""
    found, at = [], 0
    for marked, group in itertools.groupby(column):
        length = len(list(group))
        if marked and length >= SMALLEST_CLUSTER:
            found.append(range(at, at + length))
        at += length
    return found


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_clusters_are_those_of_a_plain_count(share):
    marks = random_marks(1, share=share)
    found = clusters(marks)
    assert found == [plain_clusters(column) for column in marks.T]
    assert _counts(marks).tolist() == [len(each) for each in found]
    inside = np.zeros_like(marks)
    for hidden, each in enumerate(found):
        for cluster in each:
            inside[list(cluster), hidden] = True
    np.testing.assert_array_equal(cluster_mask(marks), inside)


def test_the_ends_of_the_chain_are_not_adjacent_and_one_weight_is_no_cluster():
    marks = np.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 1], [1, 0, 0, 1]], dtype=bool)
    assert clusters(marks) == [[], [range(2)], [], [range(1, 4)]]


def test_a_weight_stands_out_above_the_root_mean_square_of_its_hidden_unit():
    weights = np.array([[3.0, 1.0], [-4.0, 1.0], [0.0, -1.0], [0.0, 1.0]])
    # Root mean squares 2.5 and 1: equal magnitudes do not stand out from one another.
    assert standing_out(weights).tolist() == [[True, False], [True, False], [False, False], [False, False]]


def test_weights_that_do_not_exist_neither_stand_out_nor_count_for_the_mean():
    weights = np.array([[3.0], [2.0], [9.0], [0.1]])
    mask = np.array([[True], [True], [False], [True]])
    limit = math.sqrt((9 + 4 + 0.01) / 3)
    assert standing_out(weights, mask).ravel().tolist() == [limit < 3, limit < 2, False, False]
    assert not standing_out(weights, np.zeros((4, 1), dtype=bool)).any()


def test_a_shuffle_keeps_the_number_of_marks_and_stays_where_weights_exist():
    alive = random_marks(2, share=0.7)
    marks = random_marks(3) & alive
    shuffled = _shuffled(marks, alive, np.random.default_rng(4))
    assert (shuffled.sum(axis=0) == marks.sum(axis=0)).all()
    assert not (shuffled & ~alive).any()
    assert (shuffled != marks).any()


def test_shuffled_shares_agree_with_all_arrangements_counted():
    # Three of eight weights stand out in each of 60 hidden units.
    weights = np.full((8, 60), 0.1)
    weights[[0, 3, 6]] = 1.0
    arrangements = list(itertools.combinations(range(8), 3))
    with_one = sum(len(plain_clusters([i in chosen for i in range(8)])) == 1 for chosen in arrangements)
    expected = with_one / len(arrangements)
    n_shuffles = 300
    found = cluster_statistic(weights, n_shuffles=n_shuffles, seed=5)
    error = math.sqrt(expected * (1 - expected) / (60 * n_shuffles))
    assert abs(found.shuffled_share_with_one - expected) < 5 * error
    assert found.share_with_one == 0.0
    assert found.sizes.size == 0


def test_one_cluster_a_unit_is_found_where_it_was_planted():
    weights = np.random.default_rng(6).normal(0, 0.05, (18, 9))
    for hidden in range(9):
        places = slice(2 * hidden, 2 * hidden + 3)
        weights[places, hidden] = [-1.0, 2.0, -1.0][: 18 - 2 * hidden]
    found = cluster_statistic(weights)
    assert found.counts.tolist() == [1] * 9
    # The last hidden unit's cluster is cut off by the end of the chain.
    assert found.sizes.tolist() == [3] * 8 + [2]
    assert found.share_with_one == 1.0
    assert found.shuffled_share_with_one < 0.5
    assert cluster_statistic(weights)[2:] == found[2:]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: standing_out(np.zeros(4)), r"weights must be finite numbers .* not float64 of shape \(4,\)"),
        (lambda: standing_out(np.full((2, 2), np.nan)), "weights must be finite numbers"),
        (lambda: standing_out(np.zeros((2, 2)), np.ones((2, 3), dtype=bool)), r"mask has shape \(2, 3\)"),
        (lambda: standing_out(np.zeros((2, 2)), np.ones((2, 2))), "mask must be a boolean array"),
        (lambda: clusters(np.ones((2, 2))), "marks must be a boolean array"),
        (lambda: cluster_statistic(np.ones((2, 2)), n_shuffles=0), "n_shuffles must be an integer >= 1, not 0"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
