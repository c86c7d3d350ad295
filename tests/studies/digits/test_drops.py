"""The measures of the transition, and intervals of their drops over replicas."""

import numpy as np
import pytest

from rbmbook.studies.digits.drops import MEASURES, effective_digits, estimate_drops
from rbmlib.analysis.drops import NEVER, drops, find_drop

GRID = np.concatenate([np.arange(0, 0.45, 0.1), np.arange(0.46, 0.91, 0.02), [0.95]])
Q, DIGITS = MEASURES["quality"], MEASURES["digits"]


def fall(position, width):
    """A logistic fall from 1 to 0 with the given width from 90 to 10 %."""
    return 1 / (1 + np.exp((GRID - position) * 2 * np.log(9) / width))


def test_half_of_the_digits_are_gone_half_way():
    even, half, single = np.full(10, 0.1), np.repeat([0.2, 0.0], 5), np.eye(10)[0]
    imbalance = np.array([((f - 0.1) ** 2).mean() for f in (even, half, single)])
    assert effective_digits(imbalance) == pytest.approx([10, 5, 1])
    # What is cut keeps its last value: half-way down to one digit it may already have been, or never.
    curve = effective_digits(np.array([0.0, 0.001, np.nan, np.nan]))
    assert curve[1:] == pytest.approx([1 / 0.11] * 3)
    assert find_drop(np.array([0, 0.3, 0.6, 0.9]), curve, DIGITS).position == NEVER
    steep = effective_digits(np.array([0.0, 0.001, 0.05, np.nan]))
    assert 0.3 < find_drop(np.array([0, 0.3, 0.6, 0.9]), steep, DIGITS).position < 0.6


def test_positions_over_replicas_have_intervals_that_hold_the_truth():
    rng = np.random.default_rng(3)
    truth = np.array([0.6, 0.66, 0.72])
    curves = np.array([[fall(x + rng.normal(0, 0.01), 0.1) for x in truth] for _ in range(15)])
    found = estimate_drops(GRID, curves, Q, n_resamples=200)
    assert found.value.shape == (3, 2)
    assert np.array_equal(found.value, drops(GRID, curves, Q))
    assert (found.low[:, 0] < truth).all()
    assert (found.high[:, 0] > truth).all()
    assert (found.high[:, 0] - found.low[:, 0] < 0.03).all()
