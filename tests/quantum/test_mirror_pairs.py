"""Pairs of configurations and mirror images: counts against a plain loop, the binomial against drawn splits."""

from collections import Counter
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from rbmlib.quantum import occurrence_ratio
from rbmlib.quantum.mirror_pairs import counting_ratio, pair_totals


def naive_totals(samples):
    counts = Counter(min(tuple(row), tuple(1 - row)) for row in samples)
    return sorted(counts.values())


def naive_moments(total):
    """Exact first and second moment of a / (total - a) over the binomial without its two ends, in fractions."""
    weights = {a: comb(total, a) for a in range(1, total)}
    norm = sum(weights.values())
    return [
        sum(Fraction(weight, norm) * Fraction(a, total - a) ** power for a, weight in weights.items())
        for power in (1, 2)
    ]


def test_totals_are_those_of_a_loop_over_the_samples():
    samples = np.random.default_rng(0).integers(0, 2, size=(300, 5), dtype=np.uint8)
    assert pair_totals(samples).tolist() == naive_totals(samples)


def test_the_pairs_are_those_of_the_occurrence_ratio():
    samples = np.random.default_rng(1).integers(0, 2, size=(2000, 6), dtype=np.uint8)
    totals = pair_totals(samples)
    for least in (1, 20, 30, 40):
        assert occurrence_ratio(samples, min_count=least).n_pairs == (totals >= 2 * least).sum()


@pytest.mark.parametrize("total", [2, 3, 4, 7, 20, 61])
def test_one_pairs_moments_are_the_exact_sums(total):
    first, second = naive_moments(total)
    found = counting_ratio([total])
    np.testing.assert_allclose(found.mean, float(first), rtol=1e-12)
    np.testing.assert_allclose(found.std**2, float(second - first**2), rtol=1e-9, atol=1e-12)


def test_large_totals_approach_the_leading_order():
    found = counting_ratio([4000])
    np.testing.assert_allclose([found.mean - 1, found.std**2], [2 / 4000, 4 / 4000], rtol=0.01)


def test_several_pairs_are_a_mixture():
    totals = [10, 10, 50]
    moments = [naive_moments(total) for total in totals]
    mean = sum(first for first, _ in moments) / 3
    square = sum(second for _, second in moments) / 3
    found = counting_ratio(totals)
    np.testing.assert_allclose((found.mean, found.std**2), (float(mean), float(square - mean**2)), rtol=1e-9)
    assert found.n_pairs == 3


def test_samples_that_are_symmetric_scatter_as_counting_has_it():
    rng = np.random.default_rng(2)
    weights = rng.dirichlet(np.full(64, 0.5))
    samples = np.unpackbits(rng.choice(64, p=weights, size=200_000).astype(np.uint8)[:, None], axis=1)[:, 2:]
    flipped = rng.integers(0, 2, size=(len(samples), 1), dtype=np.uint8)
    samples = samples ^ flipped
    totals = pair_totals(samples)
    expected = counting_ratio(totals[totals >= 60])
    found = occurrence_ratio(samples, min_count=30)
    # Five standard errors of the mean of that many ratios.
    assert abs(found.mean - expected.mean) < 5 * expected.std / np.sqrt(expected.n_pairs)
    assert 0.4 < found.std / expected.std < 1.8


def test_no_pairs_have_no_ratio():
    found = counting_ratio(np.array([], dtype=int))
    assert np.isnan(found.mean)
    assert found.n_pairs == 0


@pytest.mark.parametrize("totals", [[1, 5], [[2, 3]], [2.5]])
def test_totals_that_cannot_be_are_refused(totals):
    with pytest.raises(ValueError, match="totals must be a row of integers of 2 or more"):
        counting_ratio(totals)
