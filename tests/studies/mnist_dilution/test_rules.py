"""The rules on synthetic curves: every verdict that each of them can reach."""

import numpy as np
import pytest

from rbmbook.studies.digits.standard import has_failed
from rbmbook.studies.mnist_dilution import rules
from rbmbook.studies.quality_judge.rules import judge_rule
from rbmlib.mnist.appearance import Appearance, noise_of_equal_ink

GRID = np.concatenate([np.arange(0, 0.45, 0.1), np.arange(0.46, 0.91, 0.02), [0.95]])
P0 = np.array(rules.DILUTIONS)
N_REPLICAS = 15
SPREAD = np.linspace(-1, 1, N_REPLICAS)


def fall(position, width=0.08, start=0.95, end=0.05):
    return end + (start - end) / (
        1 + np.exp((GRID - np.asarray(position)[..., None]) * 2 * np.log(9) / width)
    )


def curves(positions=0.65, width=0.08, noise=0.005, **others):
    """Curves of Q with positions by dilution (or one for all), other measures at given positions."""
    at = np.broadcast_to(positions, P0.shape) + noise * SPREAD[:, None]
    values = {
        "quality": fall(at, width),
        "aai": 0.25 - 0.26 * fall(at),
        "second_moment": 1e-3 * (1 - fall(at)),
    }
    values["digits"] = 10 * fall(at, start=1.0, end=0.1)
    for name, position in others.items():
        where = np.broadcast_to(position, P0.shape) + noise * SPREAD[:, None]
        values[name] = 0.25 - 0.26 * fall(where)
    return rules.Curves(GRID, P0, values)


# --- B1 ---


@pytest.mark.parametrize(
    ("change", "noise", "outcome"),
    [
        (-1.0, 0.2, "reproduced"),
        (0.0, 0.2, "not reproduced"),
        (-0.5, 0.5, "not decided"),
        ([-1.0, 0.0], 0.2, "reproduced in part"),
    ],
)
def test_diversity_falls_if_half_a_digit_is_lost_at_both_places(change, noise, outcome):
    digits = 9.8 + np.array([0.0, *np.broadcast_to(change, 2)]) + noise * SPREAD[:, None] * [0, 1, 1]
    quality = np.full((N_REPLICAS, 3), 0.95) + 0.001 * SPREAD[:, None]
    found = rules.diversity_rule(quality, (1 / digits - 0.1) / 10)
    assert found.outcome == outcome
    assert found.parts[0].premise
    assert found.value == pytest.approx(np.broadcast_to(change, 2)[1], abs=1e-9)


# --- B2 ---


@pytest.mark.parametrize(
    ("level", "change", "outcome"),
    [
        (0.97, -0.03, "reproduced"),
        (0.97, 0.03, "reproduced in part"),
        (0.999, -0.09, "reproduced in part"),
        (0.93, -0.10, "not reproduced"),
        (0.80, -0.10, "not reproduced"),
        (0.80, -0.02, "reproduced in part"),
    ],
)
def test_dilution_is_harmless_if_quality_stays_high_and_falls_slightly(level, change, outcome):
    values = level + change * P0 / 0.8 + 0.002 * SPREAD[:, None]
    found = rules.harmless_rule({"over-pruned": values, "synthetic": values}, P0)
    assert found.outcome == outcome
    assert found.value == pytest.approx(min(level, level + change))
    assert found.parts[2].name.startswith("synthetic, Q, lowest at p0 = ")


def test_two_judges_that_disagree_reproduce_in_part():
    high = 0.97 - 0.03 * P0 / 0.8 + 0.002 * SPREAD[:, None]
    found = rules.harmless_rule({"over-pruned": high, "synthetic": high - 0.2}, P0)
    assert found.outcome == "reproduced in part"
    assert (
        rules.harmless_rule({"over-pruned": high + 0.05 * SPREAD[:, None] ** 3 * 5}, P0).outcome
        != "reproduced"
    )


# --- B3 ---


def test_a_narrow_drop_after_a_plateau_is_sharp_and_a_long_decline_is_not():
    assert rules.sharp_rule(curves()).outcome == "reproduced"
    assert rules.sharp_rule(curves(width=0.45)).outcome == "reproduced in part"  # flat, then not sharp
    straight = {"quality": np.tile(1 - GRID, (N_REPLICAS, len(P0), 1))}
    found = rules.sharp_rule(rules.Curves(GRID, P0, straight))
    assert found.outcome == "not reproduced"
    assert found.value == pytest.approx(1.6, abs=0.02)


def test_a_drop_that_is_sharp_at_some_dilutions_only_is_reproduced_in_part():
    mixed = curves()
    mixed.values["quality"][:, 4:] = fall(np.full((N_REPLICAS, 5), 0.6), width=0.5)
    assert rules.sharp_rule(mixed).outcome == "reproduced in part"


def test_other_measures_are_sharp_by_their_width_alone():
    assert rules.sharp_rule(curves(), "aai").outcome == "reproduced"


@pytest.mark.parametrize(
    ("positions", "outcome"),
    [
        (0.6 + 0.2 * P0, "reproduced"),
        (np.full(9, 0.65), "reproduced"),
        (0.8 - 0.3 * P0, "reproduced"),
        (0.9 - 0.9 * P0, "not reproduced"),
    ],
)
def test_dilute_machines_are_more_robust_if_the_total_share_rises(positions, outcome):
    noisy = curves(positions, noise=0.0)
    jitter = 0.005 * np.resize([-1, 1, 1, -1], (N_REPLICAS, 9))
    noisy.values["quality"][:] = fall(positions + jitter)
    found = rules.robust_rule(noisy)
    assert found.outcome == outcome
    total = P0 + (1 - P0) * positions
    assert found.value == pytest.approx(np.polyfit(P0, total, 1)[0], abs=0.03)


def test_measures_agree_if_every_drop_is_within_the_margin_of_that_of_quality():
    assert rules.agree_rule(curves()).outcome == "reproduced"
    assert rules.agree_rule(curves(aai=0.55)).outcome == "reproduced in part"
    apart = rules.agree_rule(curves(aai=0.50, second_moment=0.52), names=("aai", "second_moment"))
    assert apart.outcome == "not reproduced"
    assert apart.value == pytest.approx(-0.15, abs=0.02)
    n = 2 * len(P0)
    assert [part.mark for part in apart.parts] == ["fails"] * n
    assert rules.agree_rule(curves(aai=0.60, noise=0.06), names=("aai",)).outcome == "not decided"


def test_the_crucial_weights_are_the_largest_if_the_orders_come_in_order():
    at = 0.005 * SPREAD
    by_order = {"magnitude": fall(0.7 + at), "random": fall(0.3 + at), "largest": fall(0.1 + at)}
    found = rules.crucial_rule(GRID, by_order, "quality")
    assert found.outcome == "reproduced"
    assert found.value == pytest.approx(0.4, abs=0.03)
    assert "30 % of largest weights" in found.text
    turned = {
        "magnitude": by_order["largest"],
        "random": by_order["random"],
        "largest": by_order["magnitude"],
    }
    assert rules.crucial_rule(GRID, turned, "quality").outcome == "not reproduced"
    same = dict.fromkeys(by_order, fall(0.5 + 10 * at))
    assert rules.crucial_rule(GRID, same, "quality").outcome == "not decided"
    partly = {**by_order, "largest": by_order["random"]}
    assert rules.crucial_rule(GRID, partly, "quality").outcome == "not decided"


# --- appendix A ---

SHAPE = (28, 28)
DATA = Appearance(ink=0.132, off_centre=0.8, radius=6.7, contact=1.5, variation=0.75, blank=0.0)


def looks(n=12, **change):
    stroke = Appearance(ink=0.06, off_centre=1.5, radius=4.0, contact=1.3, variation=0.1, blank=0.0)
    return [stroke._replace(**{k: v + 0.001 * s for k, v in change.items()}) for s in np.linspace(-1, 1, n)]


def test_few_strokes_in_the_middle_are_what_failure_is_said_to_look_like():
    assert rules.failure_rule(looks(), DATA, SHAPE).outcome == "reproduced"
    assert rules.failure_rule(looks(ink=0.2), DATA, SHAPE).outcome == "reproduced in part"
    assert rules.failure_rule(looks(off_centre=6.0), DATA, SHAPE).outcome == "reproduced in part"
    noise = [noise_of_equal_ink(0.2 + 0.001 * k, SHAPE)._replace(off_centre=9.0) for k in range(12)]
    assert rules.failure_rule(noise, DATA, SHAPE).outcome == "not reproduced"


def test_blank_failures_count_as_sparse_and_decide_nothing_about_strokes():
    blank = [Appearance(0.0, np.nan, np.nan, np.nan, np.nan, 1.0)] * 12
    found = rules.failure_rule(blank, DATA, SHAPE)
    assert found.outcome == "reproduced in part"
    assert np.isfinite(found.value)
    too_few = rules.failure_rule(looks(4), DATA, SHAPE)
    assert (too_few.outcome, too_few.text) == ("not decided", "needs at least 5 failed machines; there are 4")


@pytest.mark.parametrize(
    ("seen", "unseen", "outcome"),
    [
        (0.995, 0.99, "reproduced"),
        (0.995, 0.85, "reproduced in part"),
        (0.90, 0.85, "not reproduced"),
    ],
)
def test_the_judge_is_right_if_it_is_so_on_machines_that_it_has_never_seen(seen, unseen, outcome):
    digits = np.full(5, 0.995)
    machines = 0.003 * np.linspace(-1, 1, 60)
    found = judge_rule(digits, seen + machines, unseen + machines)
    assert found.outcome == outcome
    assert found.value == pytest.approx((0.995 + unseen) / 2)


def test_a_machine_has_failed_where_half_of_its_quality_is_gone():
    failed = has_failed(np.array([[0.9, 0.8, 0.45, 0.2], [0.5, 0.3, 0.3, 0.1]]))
    assert failed.tolist() == [[False, False, True, True], [False, False, False, True]]
