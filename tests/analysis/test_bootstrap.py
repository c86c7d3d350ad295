"""Intervals by resampling."""

import numpy as np
import pytest

from rbmbook.evidence.estimates import bootstrap_interval
from rbmlib.analysis.bootstrap import bootstrap

VALUES = np.random.default_rng(1).normal(3, 1, (12, 2))


def test_an_interval_is_that_of_the_rules():
    expected = bootstrap_interval(VALUES, lambda drawn: np.median(drawn, axis=0), n_resamples=300, seed=4)
    found = bootstrap(VALUES, lambda drawn: np.median(drawn, axis=0), n_resamples=300, seed=4)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_replicas_are_drawn_whole_and_may_have_gaps():
    values = VALUES.copy()
    values[3, 0] = np.nan
    found = bootstrap(values, np.nanmean, n_resamples=100)
    assert isinstance(found.value, float)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap([1.0], np.mean), r"values must have at least two replicas, not the shape \(1,\)"),
        (lambda: bootstrap(VALUES, np.mean, confidence=1.0), "confidence must lie between 0 and 1, not 1.0"),
        (lambda: bootstrap(VALUES, np.mean, n_resamples=99), "n_resamples must be at least 100, not 99"),
        (lambda: bootstrap(VALUES, lambda drawn: np.nan), "statistic must be finite for every resample"),
    ],
)
def test_what_cannot_be_resampled_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
