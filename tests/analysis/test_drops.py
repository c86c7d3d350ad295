"""Drops of synthetic curves: found where they were put."""

import numpy as np
import pytest

from rbmlib.analysis.drops import (
    NEVER,
    Measure,
    find_crossing,
    find_drop,
    removed_of_the_rest,
    total_removed,
)

GRID = np.concatenate([np.arange(0, 0.45, 0.1), np.arange(0.46, 0.91, 0.02), [0.95]])
Q, AAI = Measure(True, "Q"), Measure(False, "E_AAI")


def fall(position, width, start=1.0, end=0.0):
    """A logistic fall with the given width from 90 to 10 %."""
    return end + (start - end) / (1 + np.exp((GRID - position) * 2 * np.log(9) / width))


@pytest.mark.parametrize("position", [0.52, 0.617, 0.7, 0.8])
@pytest.mark.parametrize(("start", "end"), [(1.0, 0.0), (0.94, 0.2)])
def test_a_fall_is_found_where_it_is_however_high_it_is(position, start, end):
    found = find_drop(GRID, fall(position, 0.08, start, end), Q)
    assert found.position == pytest.approx(position, abs=0.004)
    assert found.width == pytest.approx(0.08, abs=0.012)


def test_a_rise_is_found_as_well():
    found = find_drop(GRID, 0.25 - 0.24 * fall(0.65, 0.1), AAI)
    assert found == pytest.approx((0.65, 0.1), abs=0.01)


def test_noise_moves_a_drop_by_less_than_its_size():
    rng = np.random.default_rng(1)
    clean = fall(0.66, 0.1)
    found = [find_drop(GRID, clean + rng.normal(0, 0.015, len(GRID)), Q).position for _ in range(100)]
    assert abs(np.mean(found) - 0.66) < 0.005
    assert np.std(found) < 0.01


def test_an_overshoot_at_the_end_does_not_move_a_rise_far():
    curve = 0.01 + 0.24 * (1 - fall(0.65, 0.1))
    curve[-1] -= 0.02
    assert find_drop(GRID, curve, AAI).position == pytest.approx(0.65, abs=0.01)


@pytest.mark.parametrize(
    ("curve", "measure"),
    [
        (np.full(len(GRID), 0.9), Q),
        (fall(0.6, 0.1, 1.0, 0.6), Q),
        (np.full(len(GRID), 0.01), AAI),
        (0.10 + 0.04 * (1 - fall(0.6, 0.1)), AAI),
        (np.linspace(0.1, 0.9, len(GRID)), Q),
    ],
)
def test_a_curve_that_hardly_changes_has_no_drop(curve, measure):
    assert find_drop(GRID, curve, measure) == (NEVER, 1.0)


def test_a_level_is_crossed_where_it_was_put_and_never_if_it_is_not_reached():
    rise = 0.25 - 0.24 * fall(0.65, 0.1)
    assert find_crossing(GRID, rise, 0.13, AAI) == pytest.approx(0.65, abs=0.002)
    assert find_crossing(GRID, 1 - 4 * rise, 0.48, Q) == pytest.approx(0.65, abs=0.002)
    assert find_crossing(GRID, rise, 0.3, AAI) == NEVER
    assert find_crossing(GRID, rise, 0.001, AAI) == 0


def test_total_and_remaining_shares_are_each_others_inverse():
    assert total_removed(np.array([0.0, 0.8]), np.array([0.5, 0.5])) == pytest.approx([0.5, 0.9])
    assert removed_of_the_rest(0.8, np.array([0.8, 0.9, 0.95])) == pytest.approx([0, 0.5, 0.75])
    assert total_removed(0.3, NEVER) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: total_removed(1.0, 0.5), r"p0 must lie in \[0, 1\), not 1$"),
        (lambda: total_removed(-0.1, 0.5), r"p0 must lie in \[0, 1\), not -0.1$"),
        (lambda: total_removed(0.5, [0.2, 1.5]), r"f must lie in \[0, 1\], not 1.5$"),
        (lambda: removed_of_the_rest(0.5, 1.0), r"p must lie in \[0, 1\), not 1$"),
        (lambda: removed_of_the_rest(np.nan, 0.5), r"p0 must lie in \[0, 1\), not nan$"),
        (lambda: removed_of_the_rest(0.5, 0.4), r"p must be at least p0, .*, not 0.4 for p0 = 0.5$"),
    ],
)
def test_shares_that_cannot_be_get_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
