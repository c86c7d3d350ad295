"""Curves that were made to collapse on one scale or the other are found to."""

import numpy as np
import pytest

from rbmlib.analysis.collapse import (
    LEAST_OVERLAP,
    Collapse,
    bootstrap_collapse,
    estimate_alpha,
    overlap_cost,
    rescaled_total,
)
from rbmlib.analysis.drops import Measure

Q, AAI = Measure(True, "Q"), Measure(False, "E_AAI")
DILUTION = np.array([0.0, 0.2, 0.4, 0.6, 0.8])
REMOVED = np.concatenate([np.arange(0, 0.15, 0.05), np.arange(0.14, 0.99, 0.02)])


def step_at(x, position, width=0.08):
    """A fall from 1 to 0 on a scale, with the width from 90 to 10 %."""
    return 1 / (1 + np.exp((x - position) * 2 * np.log(9) / width))


def curves_on_total(alpha, position, width=0.08):
    return step_at(rescaled_total(DILUTION, REMOVED, alpha), position, width)


def curves_on_remaining(position, width=0.08):
    return np.tile(step_at(REMOVED, position, width), (len(DILUTION), 1))


def everywhere(removed, curves):
    return np.broadcast_to(removed, curves.shape)


def cost_by_loops(abscissas, curves):
    """The slow twin of overlap_cost, point after point."""
    pairs = []
    for k in range(len(curves)):
        for other in range(k):
            squares, shares = [], []
            for one, two in ((k, other), (other, k)):
                found, known = 0, 0
                for x, y in zip(abscissas[one], curves[one], strict=True):
                    known += np.isfinite(y)
                    there = value_at(x, abscissas[two], curves[two])
                    if np.isfinite(y - there):
                        squares.append((y - there) ** 2)
                        found += 1
                shares.append(found / known)
            if max(shares) < LEAST_OVERLAP:
                return np.inf
            pairs.append(np.mean(squares))
    return np.mean(pairs) / (np.nanmax(curves) - np.nanmin(curves)) ** 2


def value_at(x, abscissas, curve):
    for i in range(len(abscissas)):
        if x == abscissas[i]:
            return curve[i]
        if i and abscissas[i - 1] < x < abscissas[i]:
            share = (x - abscissas[i - 1]) / (abscissas[i] - abscissas[i - 1])
            return (1 - share) * curve[i - 1] + share * curve[i]
    return np.nan


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_the_cost_is_that_of_a_loop_over_points(missing):
    rng = np.random.default_rng(1)
    curves = curves_on_remaining(0.5) + rng.normal(0, 0.05, (len(DILUTION), len(REMOVED)))
    curves[rng.random(curves.shape) < missing] = np.nan
    for alpha in (-0.3013, 0.0013, 0.3013, 0.5013, 1.0013, 1.4013):
        scale = rescaled_total(DILUTION, REMOVED, alpha)
        assert overlap_cost(scale, curves) == pytest.approx(cost_by_loops(scale, curves), rel=1e-12)
    scale = everywhere(REMOVED, curves)
    assert overlap_cost(scale, curves) == pytest.approx(cost_by_loops(scale, curves), rel=1e-12)


def test_the_cost_does_not_depend_on_units_of_the_measure_or_of_the_scale():
    scale, curves = rescaled_total(DILUTION, REMOVED, 0.3), curves_on_remaining(0.5)
    assert overlap_cost(3 * scale - 7, 40 - 25 * curves) == pytest.approx(overlap_cost(scale, curves))


def test_curves_that_coincide_cost_nothing_and_steps_apart_cost_much():
    curves = curves_on_remaining(0.5)
    assert overlap_cost(everywhere(REMOVED, curves), curves) == 0
    apart = np.array([step_at(REMOVED, 0.1), step_at(REMOVED, 0.9)])
    assert overlap_cost(everywhere(REMOVED, apart), apart) > 0.5


def test_a_scale_that_tears_curves_apart_is_no_overlap():
    curves = curves_on_total(0.4, 0.5)
    costs = [overlap_cost(rescaled_total(DILUTION, REMOVED, alpha), curves) for alpha in (-5, -1, 2, 5)]
    assert costs == [np.inf] * 4
    # Where little is shared but both curves are flat there, the difference alone would be zero.
    x = np.array([np.linspace(0, 1, 11), np.linspace(0.9, 1.9, 11)])
    plateaus = np.array([np.where(np.arange(11) < 9, 1.0, 0.0), np.where(np.arange(11) < 5, 0.0, -1.0)])
    assert overlap_cost(x, plateaus) == np.inf


@pytest.mark.parametrize(("alpha", "position"), [(0.5, 0.5), (0.35, 0.6), (0.1, 0.75)])
def test_alpha_and_step_are_found_where_curves_collapse_on_the_total(alpha, position):
    found = estimate_alpha(DILUTION, REMOVED, curves_on_total(alpha, position), Q)
    assert found.alpha == pytest.approx(alpha, abs=0.003)
    assert found.step == pytest.approx(position, abs=0.003)
    assert found.cost < 2e-4 < found.cost_remaining
    assert found.difference == found.cost_remaining - found.cost


@pytest.mark.parametrize("share", [0.4, 0.5, 0.65])
def test_machines_that_break_at_a_share_of_the_rest_have_one_minus_it_as_alpha(share):
    found = estimate_alpha(DILUTION, REMOVED, curves_on_remaining(share), Q)
    assert found.alpha == pytest.approx(1 - share, abs=0.02)
    assert found.step == pytest.approx(share, abs=0.02)
    assert found.cost_remaining == 0
    assert found.difference < -1e-3


def test_the_two_scales_are_one_up_to_the_width():
    share = 0.55
    scale = rescaled_total(DILUTION, REMOVED, 1 - share)
    assert scale - share == pytest.approx((1 - DILUTION)[:, None] * (REMOVED - share))


def test_the_best_alpha_is_the_minimum_of_the_cost():
    curves = curves_on_remaining(0.6, 0.2)
    found = estimate_alpha(DILUTION, REMOVED, curves, Q)
    alphas = np.arange(-0.5, 1.5, 0.002)
    costs = [overlap_cost(rescaled_total(DILUTION, REMOVED, alpha), curves) for alpha in alphas]
    assert found.alpha == pytest.approx(alphas[np.argmin(costs)], abs=0.002)
    assert found.cost <= min(costs)


def test_rising_measures_and_dilutions_on_grids_of_their_own_are_read_as_well():
    grids = np.array([np.linspace(0, 0.95 - 0.02 * k, len(REMOVED)) for k in range(len(DILUTION))])
    curves = 0.25 - 0.23 * step_at(rescaled_total(DILUTION, grids, 0.4), 0.6)
    found = estimate_alpha(DILUTION, grids, curves, AAI)
    assert (found.alpha, found.step) == pytest.approx((0.4, 0.6), abs=0.004)


def test_missing_pieces_are_left_out_and_do_not_move_the_result():
    curves = curves_on_total(0.4, 0.55)
    curves[1, :4] = curves[2, 10:13] = curves[4, -3:] = np.nan
    found = estimate_alpha(DILUTION, REMOVED, curves, Q)
    assert (found.alpha, found.step) == pytest.approx((0.4, 0.55), abs=0.006)
    assert found.cost < 2e-4


FEW = DILUTION[::2]


def replicas(n, seed, share=0.6, scatter=0.02):
    rng = np.random.default_rng(seed)
    where = share + rng.normal(0, scatter, (n, len(FEW), 1))
    return step_at(REMOVED, where, 0.15) + rng.normal(0, 0.01, (n, len(FEW), len(REMOVED)))


def test_intervals_over_replicas_hold_the_truth_and_repeat_with_their_seed():
    curves = replicas(10, 3)
    found = bootstrap_collapse(FEW, REMOVED, curves, Q, n_resamples=100)
    again = bootstrap_collapse(FEW, REMOVED, curves, Q, n_resamples=100)
    assert found == again
    assert Collapse(*(field.value for field in found)) == estimate_alpha(FEW, REMOVED, curves.mean(0), Q)
    truth = estimate_alpha(FEW, REMOVED, curves_on_remaining(0.6, 0.15)[::2], Q)
    assert found.alpha.low < truth.alpha < found.alpha.high < found.alpha.low + 0.1
    assert found.step.low < truth.step < found.step.high < found.step.low + 0.05
    assert found.difference.low < truth.difference < found.difference.high < 0


def test_replicas_without_a_value_leave_their_mean_to_the_others():
    curves = replicas(5, 4)
    holes = curves.copy()
    holes[0, :, -8:] = np.nan
    found = bootstrap_collapse(FEW, REMOVED, holes, Q, n_resamples=100)
    mean = np.nanmean(holes, axis=0)
    assert found.alpha.value == estimate_alpha(FEW, REMOVED, mean, Q).alpha
    assert all(np.isfinite([field.low, field.high]).all() for field in found)


FALLS = curves_on_remaining(0.6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: estimate_alpha([0.2], REMOVED, FALLS[:1], Q),
            r"dilution must be at least 2 .*, not \[0.2\]",
        ),
        (lambda: estimate_alpha([0.2, 0.2], REMOVED, FALLS[:2], Q), r"dilution must be at least 2 different"),
        (
            lambda: estimate_alpha(DILUTION, REMOVED, FALLS[:3], Q),
            r"curves must have a row .* 5 dilutions, not",
        ),
        (
            lambda: estimate_alpha(DILUTION, REMOVED[:9], FALLS, Q),
            r"removed must fit .*, not have the shape \(9,\)",
        ),
        (lambda: estimate_alpha(DILUTION, REMOVED[::-1], FALLS, Q), "removed must be ascending"),
        (lambda: estimate_alpha(DILUTION, REMOVED * 2, FALLS, Q), r"f must lie in \[0, 1\], not"),
        (
            lambda: estimate_alpha(DILUTION, REMOVED[:20], FALLS[:, :20], Q),
            "removed must bracket the drop of every curve, not end before that of p0 = 0 reaches its half-height",
        ),
        (lambda: estimate_alpha(DILUTION, REMOVED, 0 * FALLS + 0.9, Q), "removed must bracket the drop"),
        (lambda: estimate_alpha(DILUTION, REMOVED, FALLS * [[1], [1], [1], [1], [np.nan]], Q), "of p0 = 0.8"),
        (lambda: estimate_alpha(DILUTION, REMOVED, FALLS, Q, (0.6, 1.0)), "bounds must hold the best alpha"),
        (
            lambda: bootstrap_collapse(DILUTION, REMOVED, np.stack([FALLS] * 2), Q),
            r"curves must have the shape .* at least 3 replicas, not \(2, 5, 46\)",
        ),
        (lambda: overlap_cost(REMOVED, FALLS), "abscissas must have the shape"),
        (lambda: overlap_cost(FALLS[:1], FALLS[:1]), "curves must be at least 2, not 1"),
        (lambda: overlap_cost(FALLS, FALLS), "abscissas must be ascending"),
        (
            lambda: overlap_cost(everywhere(REMOVED, FALLS), 0 * FALLS),
            "curves must vary, not be 0 everywhere",
        ),
    ],
)
def test_what_cannot_be_compared_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
