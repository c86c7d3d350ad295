"""Groups that differ are told apart, groups that do not are not, whatever shares its weights with what."""

import numpy as np
import pytest
from scipy.stats import kstest

from rbmlib.analysis.principal_axes import gram_matrix, principal_coordinates
from rbmlib.analysis.separation import (
    bootstrap_separation,
    cross_validated_scores,
    permutation_test,
    separation,
)

REPLICAS = 10


def paired(seed, shift=0.0, n_coordinates=40, shared=1.0):
    """A point of either group in each replica, with a part that the two share."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(2, REPLICAS, n_coordinates)) + shared * rng.normal(size=(REPLICAS, n_coordinates))
    own[0, :, 0] += shift
    return own.reshape(-1, n_coordinates), np.repeat(["a", "b"], REPLICAS), np.tile(np.arange(REPLICAS), 2)


def unpaired(seed, shift=0.0, n_coordinates=40):
    """Independent points, each a replica of its own."""
    points, group, _ = paired(seed, shift, n_coordinates, shared=0.0)
    return points, group, np.arange(2 * REPLICAS)


def twins(seed, n_coordinates=40):
    """Of the first group two almost equal points in each replica, of the second single ones; otherwise alike."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(2 * REPLICAS, n_coordinates))
    second = weights[:REPLICAS] + 0.2 * rng.normal(size=(REPLICAS, n_coordinates))
    numbers = np.arange(2 * REPLICAS)
    return (
        np.concatenate([weights, second]),
        np.repeat(["twin", "single", "twin"], REPLICAS),
        np.concatenate([numbers, numbers[:REPLICAS]]),
    )


def scores_by_points(points, group, replica, n_components):
    """The slow twin: explicit principal component analysis of each fold, a point at a time, pairs matched in order."""
    first = group == np.unique(group)[0]
    fold = {}
    both = [r for r in np.unique(replica) if len(set(group[replica == r])) == 2]
    for members in (first, ~first):
        single = [r for r in np.unique(replica[members]) if r not in both]
        fold.update({r: ("single", i) for i, r in enumerate(single)})
    folds = [fold.get(r, ("both", r)) for r in replica]
    scores = []
    for point, own in zip(points, folds, strict=True):
        train = np.array([other != own for other in folds])
        mean = points[train].mean(axis=0)
        axes = np.linalg.svd(points[train] - mean, full_matrices=False)[2][:n_components]
        one, other = (((points[train & m] - mean) @ axes.T).mean(axis=0) for m in (first, ~first))
        direction = (one - other) / np.linalg.norm(one - other)
        scores.append(((point - mean) @ axes.T - (one + other) / 2) @ direction)
    return np.array(scores)


@pytest.mark.parametrize("make", [paired, unpaired])
@pytest.mark.parametrize("n_components", [1, 3, 15])
def test_scores_from_the_gram_matrix_are_those_of_explicit_axes(make, n_components):
    points, group, replica = make(1, shift=2.0)
    points += 5.0
    found = cross_validated_scores(gram_matrix(points), group, replica, n_components)
    assert found == pytest.approx(scores_by_points(points, group, replica, n_components), abs=1e-10)


def test_the_separation_is_the_distance_of_the_scores_over_their_scatter():
    points, group, replica = twins(2)
    scores = cross_validated_scores(gram_matrix(points), group, replica, 4)
    single, twin = scores[group == "single"], scores[group == "twin"]
    squares = ((single - single.mean()) ** 2).sum() + ((twin - twin.mean()) ** 2).sum()
    found = separation(gram_matrix(points), group, replica, 4)
    assert found.separation == pytest.approx(
        (single.mean() - twin.mean()) / np.sqrt(squares / (len(scores) - 2))
    )
    assert found.accuracy == pytest.approx(((single > 0).mean() + (twin < 0).mean()) / 2)


def test_nothing_depends_on_order_names_origin_or_units():
    points, group, replica = paired(3, shift=1.0)
    found = separation(gram_matrix(points), group, replica, 3)
    order = np.random.default_rng(0).permutation(len(points))
    others = 7 + 3 * points[order]
    names = np.where(group[order] == "a", "z", "y")
    again = separation(gram_matrix(others), names, replica[order], 3)
    assert again == pytest.approx(found)


@pytest.mark.parametrize("make", [paired, unpaired])
def test_a_planted_shift_is_found(make):
    points, group, replica = make(4, shift=5.0)
    gram = gram_matrix(points)
    found = separation(gram, group, replica, 3)
    assert found.separation > 1.5
    assert found.accuracy > 0.8
    assert permutation_test(gram, group, replica, 3, n_permutations=199).p_value < 0.02


def p_values(make, seed, n_draws=200, n_permutations=99):
    found = []
    for draw in range(n_draws):
        points, group, replica = make(1000 * seed + draw)
        test = permutation_test(
            gram_matrix(points), group, replica, 3, n_permutations=n_permutations, seed=draw
        )
        found.append(test.p_value)
    return np.array(found)


def kolmogorov(values, n_permutations=99):
    """The p value of uniformity; steps of the permutations are smoothed."""
    jitter = np.random.default_rng(0).random(len(values))
    return kstest(values - jitter / (1 + n_permutations), "uniform").pvalue


# Seen to pass with the seeds 1 to 20 as well.
@pytest.mark.parametrize("make", [paired, unpaired, twins])
def test_groups_that_are_alike_have_uniform_p_values(make):
    assert kolmogorov(p_values(make, 0)) > 6e-7  # five standard deviations


@pytest.mark.parametrize("n_components", [3, 18])
def test_groups_that_are_alike_are_at_no_distance_on_average(n_components):
    for make in (paired, unpaired, twins):
        values = []
        for seed in range(60):
            points, group, replica = make(seed, n_coordinates=400)
            values.append(separation(gram_matrix(points), group, replica, n_components).separation)
        assert abs(np.mean(values)) < 5 * np.std(values) / np.sqrt(len(values))


def test_twins_separate_by_being_twins_unless_they_are_left_out_together():
    together, apart = [], []
    for seed in range(20):
        points, group, replica = twins(seed, n_coordinates=400)
        gram = gram_matrix(points)
        # All axes: the largest alone are those of complete pairs and miss the tested twin.
        together.append(separation(gram, group, replica, 28))
        apart.append(separation(gram, group, replica, 28, exclude=False))
    assert min(one.separation for one in apart) > 0.5
    assert np.mean([one.separation for one in apart]) > 1.5
    assert np.mean([one.accuracy for one in apart]) > 0.65
    values = [one.separation for one in together]
    assert abs(np.mean(values)) < 5 * np.std(values) / np.sqrt(len(values))
    assert abs(np.mean([one.accuracy for one in together]) - 0.5) < 0.1


def test_points_of_a_replica_stay_in_the_training_if_they_are_not_excluded():
    points, group, replica = paired(5)
    points[replica == 0] += 1000 * (2 * (group == "a")[replica == 0, None] - 1)
    gram = gram_matrix(points)
    # The two of replica 0 decide on the axis wherever one of them is in the training.
    kept = cross_validated_scores(gram, group, replica, 1, exclude=False)
    out = cross_validated_scores(gram, group, replica, 1)
    assert np.abs(kept[replica == 0]).min() > 100
    assert not np.allclose(kept, out)


def test_exchanges_swap_whole_replicas_and_a_seed_repeats_them():
    points, group, replica = paired(6, shift=1.0)
    gram = gram_matrix(points)
    test = permutation_test(gram, group, replica, 3, n_permutations=50, seed=3)
    again = permutation_test(gram, group, replica, 3, n_permutations=50, seed=3)
    assert np.array_equal(test.null, again.null)
    assert not np.array_equal(
        test.null, permutation_test(gram, group, replica, 3, n_permutations=50, seed=4).null
    )
    observed = separation(gram, group, replica, 3).separation
    assert test.p_value == (1 + (test.null >= observed - 1e-9).sum()) / 51
    # Every value of the null is the separation of some choice of swapped replicas.
    few = np.flatnonzero(replica < 4)
    small = gram[np.ix_(few, few)]
    null = permutation_test(small, group[few], replica[few], 2, n_permutations=40).null
    choices = []
    for swapped in range(16):
        swap = (swapped >> replica[few]) & 1 == 1
        names = np.where((group[few] == "a") ^ swap, "a", "b")
        choices.append(separation(small, names, replica[few], 2).separation)
    assert np.abs(null[:, None] - choices).min(axis=1).max() < 1e-8


@pytest.mark.parametrize("make", [paired, unpaired])
def test_intervals_over_replicas_hold_the_estimate_and_tell_a_shift_from_none(make):
    points, group, replica = make(7, shift=6.0)
    gram = gram_matrix(points)
    found = bootstrap_separation(gram, group, replica, 3, n_resamples=100)
    assert found.separation.value == separation(gram, group, replica, 3).separation
    assert 0.5 < found.separation.low < found.separation.high
    assert found.accuracy.low > 0.6
    assert found == bootstrap_separation(gram, group, replica, 3, n_resamples=100)
    points, group, replica = make(8)
    none = bootstrap_separation(gram_matrix(points), group, replica, 3, n_resamples=100)
    assert none.separation.low < 0 < none.separation.high


def test_copies_of_a_replica_are_never_tested_against_each_other():
    # Every point far from all others, in its own direction: told apart only if its copy is in the training.
    points, group, replica = unpaired(9, n_coordinates=2000)
    found = bootstrap_separation(gram_matrix(points), group, replica, 5, n_resamples=100)
    assert found.accuracy.low < 0.55


# --- axes -----------------------------------------------------------------------------------------------------------


def test_principal_coordinates_are_those_of_a_singular_value_decomposition():
    points = np.random.default_rng(1).normal(size=(12, 30)) * np.geomspace(5, 0.1, 30) + 3
    found = principal_coordinates(gram_matrix(points), 4)
    left, singular, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    slow = left * singular
    slow *= np.sign(slow[np.abs(slow).argmax(axis=0), np.arange(12)])
    assert found.coordinates == pytest.approx(slow[:, :4], abs=1e-10)
    assert found.explained == pytest.approx(singular[:4] ** 2 / (singular**2).sum())
    assert (found.coordinates[np.abs(found.coordinates).argmax(axis=0), range(4)] > 0).all()


def test_axes_without_variance_have_zero_coordinates():
    found = principal_coordinates(gram_matrix(np.outer([1.0, -1.0, 0.5], [3.0, 4.0])), 2)
    assert found.explained == pytest.approx([1, 0])
    assert (found.coordinates[:, 1] == 0).all()


POINTS, GROUP, REPLICA = paired(0)
GRAM = gram_matrix(POINTS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: gram_matrix(np.ones(3)),
            r"points must have the shape \(n_points, n_coordinates\), not \(3,\)",
        ),
        (
            lambda: separation(POINTS, GROUP, REPLICA, 3),
            r"gram must have the shape \(n_points, n_points\), not",
        ),
        (lambda: separation(np.triu(GRAM), GROUP, REPLICA, 3), "gram must be symmetric and finite"),
        (lambda: separation(GRAM * np.nan, GROUP, REPLICA, 3), "gram must be symmetric and finite"),
        (
            lambda: separation(GRAM, GROUP[1:], REPLICA, 3),
            r"group must have a label .* 20 points, not .* \(19,\)",
        ),
        (lambda: separation(GRAM, REPLICA, REPLICA, 3), "group must have two different labels, not 10"),
        (lambda: separation(GRAM, GROUP, GROUP, 3), "replica must have at least 2 labels .* fewer in a"),
        (lambda: separation(GRAM, GROUP, REPLICA, 19), "n_components must lie between 1 and 18, not 19"),
        (lambda: bootstrap_separation(GRAM, GROUP, REPLICA % 2, 3), "replica must have at least 3 labels"),
        (
            lambda: bootstrap_separation(GRAM, GROUP, REPLICA, 3, n_resamples=9),
            "n_resamples must be at least 100",
        ),
        (lambda: bootstrap_separation(GRAM, GROUP, REPLICA, 3, confidence=1), "confidence must lie between"),
        (
            lambda: permutation_test(GRAM, GROUP, REPLICA, 3, n_permutations=0),
            "n_permutations must be at least 1",
        ),
        (lambda: permutation_test(GRAM, GROUP, REPLICA, 3, seed=-1), "seed must be an integer in"),
        (lambda: principal_coordinates(GRAM, 20), "n_components must lie between 1 and 19, not 20"),
        (lambda: principal_coordinates(np.ones((3, 3)), 1), "gram must be of points that differ"),
    ],
)
def test_what_cannot_be_separated_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
