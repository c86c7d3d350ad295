"""Verdicts follow from intervals alone, and intervals cover what they say they cover."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from rbmlib.lab.claims import (
    OUTCOMES,
    Estimate,
    Verdict,
    bootstrap_interval,
    combine,
    decide_difference,
    decide_equivalence,
    load_claims,
    mean_interval,
    paired_difference,
)

REPRODUCED, IN_PART, NOT, OPEN = OUTCOMES


def test_the_mean_s_interval_is_student_s():
    values = np.random.default_rng(1).normal(size=(7, 3))
    got = mean_interval(values, 0.9)
    for column in range(3):
        low, high = stats.t.interval(0.9, 6, values[:, column].mean(), stats.sem(values[:, column]))
        assert got.low[column] == pytest.approx(low, rel=1e-12)
        assert got.high[column] == pytest.approx(high, rel=1e-12)
    one = mean_interval(values[:, 0], 0.9)
    assert isinstance(one.value, float)
    assert one.interval == (got.low[0], got.high[0])


def test_the_mean_s_interval_covers_as_often_as_it_says():
    draws = np.random.default_rng(2).normal(3.0, 2.0, size=(5, 20_000))
    got = mean_interval(draws)
    covered = np.mean((got.low < 3) & (got.high > 3))
    assert abs(covered - 0.95) < 5 * math.sqrt(0.95 * 0.05 / 20_000)


def test_one_seed_bounds_nothing_and_decides_nothing():
    for got in (mean_interval([2.0]), bootstrap_interval([2.0], np.median), paired_difference([3.0], [1.0])):
        assert got.value == 2.0
        assert got.interval == (-math.inf, math.inf)
        assert decide_difference(got, 1) == decide_equivalence(got, 10.0) == OPEN


def test_a_paired_difference_removes_what_the_pairs_share():
    shared = np.arange(10.0) * 100
    noise = np.random.default_rng(3).normal(size=10) * 0.1
    got = paired_difference(shared + 1 + noise, shared)
    assert 0.8 < got.low < 1.0 + noise.mean() < got.high < 1.2
    assert got == mean_interval(shared + 1 + noise - shared)
    with pytest.raises(ValueError, match=r"first has shape \(2,\) and second \(3,\)"):
        paired_difference([1, 2], [1, 2, 3])


def test_the_bootstrap_is_repeatable_and_agrees_with_scipy_s():
    values = np.random.default_rng(4).normal(size=30)
    got = bootstrap_interval(values, np.mean, n_resamples=20_000)
    assert got == bootstrap_interval(values, np.mean, n_resamples=20_000)
    assert got != bootstrap_interval(values, np.mean, n_resamples=20_000, seed=1)
    other = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    # The quantile's own standard error is about 0.0035 here.
    assert got.interval == pytest.approx((other.low, other.high), abs=0.02)
    assert got.value == values.mean()


def test_the_bootstrap_draws_whole_seeds():
    values = np.stack([np.arange(8.0), -np.arange(8.0)], axis=1)
    got = bootstrap_interval(values, lambda sample: sample.sum())
    assert got.interval == (0.0, 0.0)
    curves = bootstrap_interval(values, lambda sample: sample.mean(axis=0), n_resamples=200)
    assert curves.low.shape == (2,)


@pytest.mark.parametrize(
    ("interval", "positive", "negative"),
    [
        ((0.1, 0.3), REPRODUCED, NOT),
        ((-0.3, -0.1), NOT, REPRODUCED),
        ((-0.1, 0.2), OPEN, OPEN),
        ((0, 1), OPEN, OPEN),
    ],
)
def test_a_difference_is_settled_by_an_interval_off_zero(interval, positive, negative):
    assert decide_difference(interval, 1) == positive
    assert decide_difference(interval, -1) == negative
    assert decide_difference(Estimate(0.0, *interval), 1) == positive


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((-0.1, 0.1), REPRODUCED),
        ((-0.2, 0.2), REPRODUCED),
        ((0.05, 0.1), REPRODUCED),
        ((-0.1, 0.3), OPEN),
        ((-0.5, 0.5), OPEN),
        ((0.3, 0.5), NOT),
        ((-0.5, -0.21), NOT),
    ],
)
def test_no_difference_is_settled_by_an_interval_inside_a_margin(interval, expected):
    assert decide_equivalence(interval, 0.2) == expected
    assert decide_equivalence(interval, (-0.2, 0.2)) == expected


def test_a_margin_can_have_two_sides():
    assert decide_equivalence((0.5, 0.9), (-0.1, 1.0)) == REPRODUCED
    assert decide_equivalence((-0.9, -0.5), (-0.1, 1.0)) == NOT


def test_parts_combine_to_one_outcome():
    for first, second in product(OUTCOMES, repeat=2):
        expected = first if first == second else IN_PART if {first, second} & {REPRODUCED, IN_PART} else OPEN
        assert combine([first, second]) == expected
    with pytest.raises(ValueError, match="outcomes are"):
        combine([])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([]), "at least one seed"),
        (lambda: mean_interval(3.0), "at least one seed"),
        (lambda: mean_interval([1, math.nan]), "NaN"),
        (lambda: mean_interval([1, 2], 95), "confidence is 95"),
        (lambda: bootstrap_interval([1, 2], np.mean, n_resamples=5), "n_resamples is 5"),
        (lambda: bootstrap_interval([1, 2], lambda sample: math.nan), "statistic"),
        (lambda: decide_difference((0, 1), 2), "sign is 2"),
        (lambda: decide_difference((1, 0), 1), "ascending"),
        (lambda: decide_difference((math.nan, 1), 1), "ascending"),
        (lambda: decide_equivalence((0, 1), 0), "margin is 0"),
        (lambda: decide_equivalence((0, 1), math.nan), "margin is nan"),
        (lambda: decide_equivalence((0, 1), (1, -1)), "ascending"),
        (lambda: Verdict("x", "true", None, None, 1, "book", ""), "verdict is 'true'"),
        (lambda: Verdict("x", OPEN, math.nan, None, 1, "book", ""), "value of x is nan"),
        (lambda: Verdict("x", OPEN, 1.0, (2, 1), 1, "book", ""), "ascending"),
        (lambda: Verdict("x", OPEN, 1.0, None, -1, "book", ""), "seeds of x is -1"),
    ],
)
def test_bad_input_is_told_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_verdict_is_plain_json():
    verdict = Verdict(
        "A2.x", REPRODUCED, np.float32(0.5), (np.float64(-np.inf), 1), np.int64(3), "book", "so"
    )
    assert json.loads(json.dumps(verdict.to_json(), allow_nan=False)) == {
        "id": "A2.x",
        "verdict": "reproduced",
        "value": 0.5,
        "interval": [None, 1.0],
        "seeds": 3,
        "profile": "book",
        "reason": "so",
    }
    assert Verdict("x", OPEN, None, None, 0, "book", "").to_json()["interval"] is None


CLAIM = """
[[claim]]
id = "A1.few"
paper = "A"
where = "Fig. 1"
statement = "Few are large."
settled_by = "Count them."
"""


def test_a_catalogue_is_read_in_its_order(tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(CLAIM + CLAIM.replace("A1.few", "A0.other"))
    claims = load_claims(path)
    assert [claim.id for claim in claims] == ["A1.few", "A0.other"]
    assert claims[0].rule == "Count them."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CLAIM + CLAIM, "A1.few stands twice"),
        (CLAIM.replace("paper", "papr"), "claim A1.few has fields"),
        (CLAIM.replace("Fig. 1", " "), "no text in where"),
        ("[[claim]", "not valid TOML"),
    ],
)
def test_a_wrong_catalogue_is_told(tmp_path, text, message):
    path = tmp_path / "claims.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_claims(path)
