"""Spectra of random matrices follow their law, and what is planted in them sticks out."""

import numpy as np
import pytest
from scipy.integrate import quad

from rbmlib.analysis.marchenko_pastur import MarchenkoPastur
from rbmlib.analysis.spectra import (
    bulk_distance,
    count_above,
    crossing_index,
    crossing_indices,
    eigenvalues,
    entry_variance,
    fit_bulk,
    shuffled_spectra,
    truncate_modes,
)

SHAPES = [(784, 400), (400, 784), (300, 300), (1000, 3), (3, 1000), (1, 1)]


def gaussian(n_visible, n_hidden, variance=1.0, seed=0):
    return np.random.default_rng(seed).normal(0, np.sqrt(variance), (n_visible, n_hidden))


def spiked(n_spikes, n_visible=200, n_hidden=100, seed=0):
    """Noise of variance 1 with equal modes far above its edge."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(n, n_spikes)))[0] for n in (n_visible, n_hidden))
    return gaussian(n_visible, n_hidden, seed=seed) + 60 * left @ right.T


# --- the law --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_visible", "n_hidden"), SHAPES)
def test_the_distribution_is_the_integral_of_the_density(n_visible, n_hidden):
    law = MarchenkoPastur(0.3, n_visible, n_hidden)
    lower, upper = law.edges
    for share in (0.01, 0.3, 0.5, 0.9, 1.0):
        # The square root at the lower edge (or its inverse, for square W) is smooth in the root of the distance.
        end = np.sqrt(share * (upper - lower))
        area, _ = quad(lambda r: 2 * r * law.density(lower + r * r), 0, end, limit=200)
        assert law.distribution(lower + end**2) == pytest.approx(law.zeros + area, abs=1e-7)


@pytest.mark.parametrize(("n_visible", "n_hidden"), SHAPES)
def test_the_mean_eigenvalue_is_the_variance_times_the_number_of_visible_units(n_visible, n_hidden):
    law = MarchenkoPastur(0.3, n_visible, n_hidden)
    lower, upper = law.edges
    mean, _ = quad(lambda x: x * law.density(x), lower, upper, limit=400)
    square, _ = quad(lambda x: x * x * law.density(x), lower, upper, limit=400)
    assert mean == pytest.approx(0.3 * n_visible, rel=1e-6)
    assert square == pytest.approx(0.3**2 * n_visible * (n_visible + n_hidden), rel=1e-6)


@pytest.mark.parametrize(("n_visible", "n_hidden"), SHAPES)
def test_quantiles_and_shares_are_each_others_inverse(n_visible, n_hidden):
    law = MarchenkoPastur(2.0, n_visible, n_hidden)
    shares = law.zeros + (1 - law.zeros) * np.linspace(1e-3, 1, 50)
    values = law.quantile(shares)
    assert (np.diff(values) > 0).all()
    assert law.distribution(values) == pytest.approx(shares, abs=1e-10)
    assert values[-1] == pytest.approx(law.edges[1], rel=1e-8)


def test_more_hidden_than_visible_units_leave_a_share_of_exact_zeros():
    law = MarchenkoPastur(1.0, 100, 400)
    assert law.zeros == 0.75
    assert law.distribution([-1e-9, 0.0, law.edges[0], law.edges[1], 1e9]) == pytest.approx(
        [0, 0.75, 0.75, 1, 1]
    )
    assert law.quantile(0.7) == 0
    expected = law.expected_spectrum()
    assert (expected[:100] > law.edges[0]).all()
    assert (expected[100:] == 0).all()
    assert np.count_nonzero(eigenvalues(gaussian(100, 400))) == 100


def test_the_edges_do_not_depend_on_which_side_is_which():
    law, turned = MarchenkoPastur(0.5, 784, 400), MarchenkoPastur(0.5, 400, 784)
    assert law.edges == turned.edges
    assert law.edges == pytest.approx((0.5 * (28 - 20) ** 2, 0.5 * (28 + 20) ** 2))
    assert turned.density(900.0) == pytest.approx(law.density(900.0) * 400 / 784)


@pytest.mark.parametrize(("n_visible", "n_hidden"), [(1200, 600), (600, 1200), (800, 800)])
def test_a_large_random_matrix_has_the_expected_spectrum(n_visible, n_hidden):
    law = MarchenkoPastur(0.01, n_visible, n_hidden)
    found = eigenvalues(gaussian(n_visible, n_hidden, 0.01))
    # Eigenvalues repel each other: each lies within a few spacings of its expected place.
    assert np.abs(found - law.expected_spectrum()).max() < 0.02 * law.edges[1]
    ranks = np.arange(n_hidden, 0, -1) / n_hidden
    assert np.abs(law.distribution(found) - ranks)[found > 0].max() < 0.005


def test_diluted_entries_follow_the_law_of_their_variance_with_the_zeros_in_it():
    rng = np.random.default_rng(1)
    weights = gaussian(1200, 600, 4.0) * (rng.random((1200, 600)) > 0.8)
    variance = entry_variance(weights)
    assert variance == pytest.approx(0.2 * 4, rel=0.02)
    law = MarchenkoPastur(variance, 1200, 600)
    # Entries with heavy tails (kurtosis 15) reach their law more slowly.
    assert np.abs(eigenvalues(weights) - law.expected_spectrum()).max() < 0.03 * law.edges[1]


# --- bulk and modes -------------------------------------------------------------------------------------------------


def test_eigenvalues_are_those_of_the_product_and_descend():
    weights = gaussian(30, 20)
    slow = np.linalg.eigvalsh(weights.T @ weights)[::-1]
    assert eigenvalues(weights) == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize(("n_visible", "n_hidden"), [(784, 400), (400, 784)])
def test_the_bulk_of_pure_noise_has_the_variance_of_its_entries(n_visible, n_hidden):
    weights = gaussian(n_visible, n_hidden, 1e-4)
    law = fit_bulk(eigenvalues(weights), n_visible)
    assert law.variance == pytest.approx(1e-4, rel=0.02)
    assert count_above(eigenvalues(weights), law) <= 2


@pytest.mark.parametrize("n_spikes", [0, 1, 5, 20, 40])
def test_planted_modes_are_counted_and_do_not_move_the_variance_of_the_bulk(n_spikes):
    weights = spiked(n_spikes)
    spectrum = eigenvalues(weights)
    law = fit_bulk(spectrum, 200, n_spikes)
    assert law.variance == pytest.approx(1, abs=0.03)
    assert abs(count_above(spectrum, law) - n_spikes) <= 2


def test_sixty_two_modes_of_four_hundred_raise_the_variance_by_15_per_cent_if_not_set_aside():
    spectrum = eigenvalues(spiked(62, 784, 400))
    assert fit_bulk(spectrum, 784).variance == pytest.approx(1.15, abs=0.03)
    assert fit_bulk(spectrum, 784, 62).variance == pytest.approx(1.0, abs=0.02)


def test_a_bulk_does_not_depend_on_how_far_its_modes_stick_out():
    spectrum = eigenvalues(spiked(10))
    higher = np.concatenate([spectrum[:10] * 1e6, spectrum[10:]])
    assert fit_bulk(higher, 200) == fit_bulk(spectrum, 200)


@pytest.mark.parametrize(("n_visible", "n_hidden"), [(784, 400), (400, 784)])
def test_a_random_bulk_is_close_to_the_law_and_an_even_fall_is_not(n_visible, n_hidden):
    spectrum = eigenvalues(gaussian(n_visible, n_hidden))
    assert bulk_distance(spectrum, fit_bulk(spectrum, n_visible)) < 0.01
    even = np.zeros(n_hidden)
    even[:400] = np.geomspace(100, 0.01, 400)
    assert bulk_distance(even, fit_bulk(even, n_visible)) > 0.1


def test_the_distance_of_a_bulk_is_that_of_a_fine_search():
    law = MarchenkoPastur(1.0, 60, 40)
    bulk = np.sort(np.random.default_rng(3).uniform(5, 90, 12))
    grid = np.linspace(0, law.edges[1], 200001)
    empirical = (bulk[:, None] <= grid).mean(axis=0)
    slow = np.abs(empirical - law.distribution(grid)).max()
    assert bulk_distance(np.append(bulk, [1e4, 1e5]), law) == pytest.approx(slow, abs=1e-4)


def test_shuffled_weights_keep_their_entries_and_lose_their_modes():
    weights = spiked(10)
    spectra = shuffled_spectra(weights, 3, seed=5)
    assert spectra.shape == (3, 100)
    assert spectra.sum(axis=1) == pytest.approx([(weights**2).sum()] * 3)
    law = MarchenkoPastur(entry_variance(weights), 200, 100)
    assert all(count_above(row, law) <= 3 for row in spectra)
    assert np.array_equal(spectra, shuffled_spectra(weights, 3, seed=5))
    assert not np.array_equal(spectra, shuffled_spectra(weights, 3, seed=6))


def test_structure_of_the_mask_survives_a_shuffle_that_keeps_zeros():
    weights = gaussian(200, 100)
    weights[:, 50:] = 0
    assert (shuffled_spectra(weights, 2, seed=0, keep="zeros")[:, 50:] == 0).all()
    assert (shuffled_spectra(weights, 2, seed=0)[:, 50:] > 1).all()


def test_truncated_weights_have_the_top_of_the_spectrum_and_nothing_else():
    weights = gaussian(40, 30)
    kept = truncate_modes(weights, 7)
    spectrum = eigenvalues(weights)
    assert eigenvalues(kept)[:7] == pytest.approx(spectrum[:7])
    assert eigenvalues(kept)[7:] == pytest.approx(0, abs=1e-20)
    assert ((weights - kept) ** 2).sum() == pytest.approx(spectrum[7:].sum())
    assert truncate_modes(weights, 30) == pytest.approx(weights)
    assert (truncate_modes(weights, 0) == 0).all()


# --- crossings ------------------------------------------------------------------------------------------------------


def crossing_by_search(first, second, points=2000):
    """The slow twin: the last change of sign on a fine grid of ranks."""
    ranks = np.arange(1, len(first) + 1)
    fine = np.linspace(1, len(first), points * (len(first) - 1) + 1)
    signs = np.sign(np.interp(fine, ranks, first - second))
    fine, signs = fine[signs != 0], signs[signs != 0]
    if len(signs) == 0 or signs[0] == signs[-1]:
        return np.nan
    last = np.flatnonzero(signs == signs[0])[-1]
    return (fine[last] + fine[last + 1]) / 2


def test_crossings_agree_with_a_search_on_a_fine_grid():
    rng = np.random.default_rng(2)
    found = []
    for _ in range(200):
        first, second = (np.sort(rng.integers(0, 12, 9))[::-1].astype(float) for _ in range(2))
        found.append(crossing_index(first, second))
        assert found[-1] == pytest.approx(crossing_by_search(first, second), abs=1e-3, nan_ok=True)
        assert found[-1] == pytest.approx(crossing_index(second, first), nan_ok=True)
    assert 20 < np.isnan(found).sum() < 180


@pytest.mark.parametrize(
    ("first", "second", "crossing"),
    [
        ([9, 5, 1], [7, 5, 3], 2.0),
        ([9, 4, 1], [7, 5, 3], 1 + 2 / 3),
        ([9, 5, 5, 1], [7, 5, 5, 3], 2.5),
        ([9, 4, 4, 1], [8, 5, 3, 2], 3.5),
        ([9, 4, 0, 0], [8, 5, 0, 0], 1.5),
        ([9, 8, 7], [6, 5, 4], np.nan),
        ([9, 4, 4], [8, 5, 3], np.nan),
        ([9, 4], [9, 4], np.nan),
    ],
)
def test_a_crossing_is_the_last_and_none_where_the_order_is_not_reversed(first, second, crossing):
    assert crossing_index(first, second) == pytest.approx(crossing, nan_ok=True)


def test_crossings_of_all_pairs_are_those_of_each():
    spectra = np.array([[9.0, 4, 1], [8, 5, 3], [7, 6, 3.5]])
    found = crossing_indices(spectra)
    assert np.isnan(np.diag(found)).all()
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        assert found[i, j] == found[j, i] == crossing_index(spectra[i], spectra[j])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MarchenkoPastur(0.0, 3, 2), "variance must be positive and finite, not 0.0"),
        (lambda: MarchenkoPastur(1.0, 3, 0), "n_hidden must be at least 1, not 0"),
        (lambda: MarchenkoPastur(1.0, 3, 2).quantile([0.5, 1.5]), r"share must lie in \[0, 1\], not 1.5"),
        (lambda: eigenvalues([[1.0, np.nan]]), "weights must be finite numbers of shape"),
        (lambda: entry_variance(np.ones(3)), r"weights must be finite .*, not of shape \(3,\)"),
        (lambda: fit_bulk(np.zeros(5), 9), "eigenvalues must have a positive median, not 0"),
        (lambda: fit_bulk(np.ones(5), 4, 4), "n_modes must lie between 0 and 3, not 4"),
        (
            lambda: bulk_distance(np.ones(3), MarchenkoPastur(1e-9, 3, 3)),
            "eigenvalues must have a bulk, not all lie",
        ),
        (lambda: shuffled_spectra(np.eye(3), 0, 0), "n_shuffles must be at least 1, not 0"),
        (lambda: shuffled_spectra(np.eye(3), 1, 0, keep="columns"), "keep must be one of .*, not 'columns'"),
        (lambda: shuffled_spectra(np.eye(3), 1, -1), "seed must be an integer in"),
        (lambda: crossing_index([2, 1], [3, 2, 1]), "second must have the length 2 of first, not 3"),
        (lambda: crossing_index([2, 1], [2, 3]), "second must be descending, not rise at rank 2"),
        (lambda: truncate_modes(np.eye(3), 4), "n_modes must lie between 0 and 3, not 4"),
    ],
)
def test_what_cannot_be_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
