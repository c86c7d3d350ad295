"""Measures of samples against slow and obvious counterparts, their floors and their error bars."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from rbmlib.mnist import nearest as nearest_module
from rbmlib.mnist.diversity import diversity, expected_entropy, expected_imbalance
from rbmlib.mnist.nearest import nearest
from rbmlib.mnist.quality import (
    Moments,
    adversarial_accuracy,
    dependent_mean_error,
    real_against_real,
    second_moment_error,
    second_moment_standard_error,
)


def draw(n, n_pixels, seed, n_kinds=4, flip=0.15):
    """Images around a few random patterns."""
    kinds = np.random.default_rng(0).integers(0, 2, (n_kinds, n_pixels))
    rng = np.random.default_rng([seed, 1])
    images = kinds[rng.integers(n_kinds, size=n)] ^ (rng.random((n, n_pixels)) < flip)
    return images.astype(np.uint8)


# --- nearest neighbours ---


def slow_distances(images, others):
    return np.array([[int((a != b).sum()) for b in others] for a in images])


def test_nearest_neighbours_are_those_of_all_pairs(monkeypatch):
    monkeypatch.setattr(nearest_module, "_BLOCK", 7)
    a, b = draw(40, 9, 1), draw(30, 9, 2)
    distances = slow_distances(a, b)
    found = nearest(a, b)
    assert np.array_equal(found.distance, distances.min(axis=1))
    assert np.array_equal(found.index, np.argsort(distances, axis=1, kind="stable")[:, :2])


def test_an_image_is_no_neighbour_of_itself_but_of_its_copy(monkeypatch):
    monkeypatch.setattr(nearest_module, "_BLOCK", 7)
    a = draw(40, 30, 1)
    a[17] = a[3]
    distances = slow_distances(a, a)
    np.fill_diagonal(distances, 99)
    found = nearest(a)
    assert np.array_equal(found.distance, distances.min(axis=1))
    assert found.distance[17] == found.distance[3] == 0
    assert (found.index[17, 0], found.index[3, 0]) == (3, 17)


# --- adversarial accuracy ---


def slow_accuracy(own, other):
    total = 0.0
    for m, image in enumerate(own):
        within = min(int((image != x).sum()) for n, x in enumerate(own) if n != m)
        across = min(int((image != x).sum()) for x in other)
        total += 1.0 if across > within else 0.5 if across == within else 0.0
    return total / len(own)


@pytest.mark.parametrize("n_pixels", [6, 40])
def test_adversarial_accuracy_is_that_of_the_definition(n_pixels):
    t, s = draw(50, n_pixels, 1), draw(50, n_pixels, 2, flip=0.25)
    found = adversarial_accuracy(t, s)
    a_t, a_s = slow_accuracy(t, s), slow_accuracy(s, t)
    assert found.generated.value == pytest.approx(a_t, abs=1e-12)
    assert found.data.value == pytest.approx(a_s, abs=1e-12)
    assert found.error.value == pytest.approx(((a_t - 0.5) ** 2 + (a_s - 0.5) ** 2) / 2, abs=1e-12)


def test_copies_of_data_have_accuracy_zero_and_one_image_again_and_again_has_one():
    s = draw(60, 200, 1)
    copied = adversarial_accuracy(s, s)
    assert (copied.generated.value, copied.data.value, copied.error.value) == (0.0, 0.0, 0.25)
    collapsed = adversarial_accuracy(np.tile(s[:1] ^ 1, (60, 1)), s)
    assert (collapsed.generated.value, collapsed.data.value, collapsed.error.value) == (1.0, 1.0, 0.25)
    assert collapsed.error.standard_error == 0


def test_the_error_bar_of_adversarial_accuracy_is_the_spread_between_independent_sets():
    values, errors, sizes = [], [], []
    for seed in range(150):
        found = adversarial_accuracy(draw(80, 60, 2 * seed), draw(80, 60, 2 * seed + 1))
        values.append((found.generated.value, found.data.value, found.error.value))
        errors.append((found.generated.standard_error, found.data.standard_error))
        sizes.append(found.error.standard_error)
    spread = np.std(values, axis=0, ddof=1)
    bar = np.sqrt(np.mean(np.square(errors), axis=0))
    # The spread over 150 sets has itself a relative standard error of 0.06.
    assert (np.abs(bar / spread[:2] - 1) < 0.3).all()
    assert np.abs(np.mean(values, axis=0)[:2] - 0.5).max() < 5 * spread[:2].max() / np.sqrt(150)
    assert 0.5 < np.mean(sizes) / spread[2] < 2.0


def test_the_error_of_a_dependent_mean_is_the_sum_over_linked_pairs():
    rng = np.random.default_rng(3)
    values = rng.integers(0, 3, 25)
    ties = np.stack([rng.integers(0, 25, 25), 25 + rng.integers(0, 5, 25)], axis=1)
    sets = [{m, *ties[m]} for m in range(25)]
    e = values - values.mean()
    total = sum(e[i] * e[j] for i in range(25) for j in range(25) if sets[i] & sets[j])
    expected = math.sqrt(max(total, (e**2).sum())) / 25
    assert dependent_mean_error(values, ties) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("t", "s", "message"),
    [
        (np.zeros((5, 4)), np.zeros((6, 4)), "generated and data must have equally many images, not 5 and 6"),
        (np.zeros((5, 4)), np.zeros((5, 3)), "generated has 4 pixels and data 3; they must be equal"),
        (np.zeros((2, 4)), np.zeros((2, 4)), "generated must have at least three images, not 2"),
        (np.full((5, 4), 0.3), np.zeros((5, 4)), "generated must hold 0 and 1 only, not 0.3"),
    ],
)
def test_sets_that_cannot_be_compared_get_one_sentence(t, s, message):
    with pytest.raises(ValueError, match=message):
        adversarial_accuracy(t, s)


# --- second moments ---


def test_covariances_come_from_exact_counts():
    images = draw(333, 20, 1)
    moments = Moments.of(images)
    assert (moments.n, moments.pairs[3, 7]) == (333, int((images[:, 3] & images[:, 7]).sum()))
    assert np.allclose(moments.covariance, np.cov(images.T, ddof=0), rtol=0, atol=1e-14)


def test_the_second_moment_error_is_the_mean_square_over_all_pairs_of_pixels():
    t, s = draw(200, 15, 1), draw(3000, 15, 2, flip=0.2)
    expected = ((np.cov(t.T, ddof=0) - np.cov(s.T, ddof=0)) ** 2).mean()
    assert second_moment_error(t, s) == pytest.approx(expected, rel=1e-12)
    assert second_moment_error(Moments.of(t), Moments.of(s)) == second_moment_error(t, s)
    assert second_moment_error(s, s) == 0
    with pytest.raises(ValueError, match="generated has 15 pixels and data 14; they must be equal"):
        second_moment_error(t, s[:, 1:])
    with pytest.raises(ValueError, match="images must hold at least one image; it is empty"):
        Moments.of(t[:0])


def test_the_jackknife_of_the_second_moment_error_leaves_out_one_image_at_a_time():
    t, s = draw(40, 12, 1), draw(500, 12, 2, flip=0.3)
    left_out = np.array([second_moment_error(np.delete(t, i, axis=0), s) for i in range(40)])
    expected = math.sqrt(39 / 40 * ((left_out - left_out.mean()) ** 2).sum())
    assert second_moment_standard_error(t, s) == pytest.approx(expected, rel=1e-9)


def test_well_above_the_floor_that_is_the_spread_between_independent_sets():
    s = Moments.of(draw(20_000, 30, 0, flip=0.3))
    sets = [draw(100, 30, seed) for seed in range(150)]
    spread = np.std([second_moment_error(t, s) for t in sets], ddof=1)
    assert np.mean([second_moment_standard_error(t, s) for t in sets]) == pytest.approx(spread, rel=0.3)


# --- floors ---


def test_floors_compare_disjoint_subsets_of_real_images():
    images = draw(1000, 60, 1)
    found = real_against_real(images, 50, 8, seed=3)
    assert {name: values.shape for name, values in found.items()} == {"E_AAI": (8,), "E(2)": (8,)}
    assert all(
        np.array_equal(found[name], values) for name, values in real_against_real(images, 50, 8, 3).items()
    )
    # A pair of the same images would be told by both measures.
    assert (found["E_AAI"] < 0.1).all()
    assert (found["E(2)"] > 0).all()
    with pytest.raises(ValueError, match="22 disjoint sets of 50 images need 1100; there are 1000"):
        real_against_real(images, 50, 11, seed=3)


# --- classes ---


def test_imbalance_and_entropy_are_those_of_the_definitions():
    counts = np.array([30, 0, 50, 20, 10, 10, 10, 10, 30, 30])
    found = diversity(counts)
    f = counts / 200
    assert found.imbalance.value == pytest.approx(sum((x - 0.1) ** 2 for x in f) / 10)
    assert found.entropy.value == pytest.approx(-sum(x * math.log(x) for x in f if x))
    labels = np.repeat(np.arange(10), counts)
    for name, index in (("imbalance", 0), ("entropy", 1)):
        left_out = np.array(
            [diversity(np.bincount(np.delete(labels, i), minlength=10))[index].value for i in range(200)]
        )
        expected = math.sqrt(199 / 200 * ((left_out - left_out.mean()) ** 2).sum())
        assert getattr(found, name).standard_error == pytest.approx(expected, rel=1e-9)


def test_too_few_accepted_images_have_no_diversity():
    few = diversity([50, 49])
    assert math.isnan(few.imbalance.value)
    assert math.isnan(few.entropy.standard_error)
    assert diversity([50, 50]).imbalance.value == 0
    for wrong in ([5], [[1, 2]], [0.5, 0.5], [-1, 200]):
        with pytest.raises(ValueError, match="counts must be two or more whole numbers >= 0, not "):
            diversity(wrong)


def test_floors_of_the_classes_are_the_means_over_finite_samples():
    q = np.array([0.05, 0.15, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    drawn = np.random.default_rng(1).multinomial(400, q, size=4000)
    values = np.array([[m.value for m in diversity(one)] for one in drawn])
    error = values.std(axis=0) / math.sqrt(len(values))
    assert abs(values[:, 0].mean() - expected_imbalance(400, q)) < 5 * error[0]
    assert abs(values[:, 1].mean() - expected_entropy(400, q)) < 5 * error[1] + 1e-4  # the next order
    assert expected_imbalance(1000, np.ones(10)) == pytest.approx(0.09 / 1000)


# --- portable bits ---

_ALL_MEASURES = """
import numpy as np
from rbmlib.mnist.appearance import appearance
from rbmlib.mnist.quality import adversarial_accuracy, second_moment_error

kinds = np.random.default_rng(0).integers(0, 2, (4, 144))
flips = np.random.default_rng(1).random((600, 144)) < 0.15
images = (kinds[np.arange(600) % 4] ^ flips).astype(np.uint8)
t, s = images[:300], images[300:]
measured = [x for pair in adversarial_accuracy(t, s) for x in pair]
measured += [second_moment_error(t, images), *appearance(t, (12, 12))]
print(",".join(float(x).hex() for x in measured))
"""


def test_measures_have_the_same_bits_with_other_instructions_and_threads():
    plain = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL"}
    found = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _ALL_MEASURES],
            env=os.environ | changes,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for changes in ({}, {**plain, "OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "2"})
    }
    assert len(found) == 1
    assert len(found.pop().split(",")) == 13
