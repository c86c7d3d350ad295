"""Verdicts follow from intervals alone, and intervals cover what they say they cover."""

from __future__ import annotations

import json
import math
import os
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from rbmbook.evidence.claims import Rule, Verdict, Written, load_claims, rules_written, settle
from rbmbook.evidence.estimates import (
    Estimate,
    bootstrap_interval,
    mean_interval,
    median_interval,
    paired_difference,
    proportion,
    signed_rank,
    slopes,
    unpaired_difference,
)
from rbmbook.evidence.rules import (
    OUTCOMES,
    Part,
    above,
    below,
    decide,
    every,
    finding,
    is_exactly,
    least,
    missing,
    most,
    some,
    within,
)
from rbmbook.evidence.words import (
    MOST_WORDS,
    count_words,
    interval_text,
    joined,
    number,
    removed_percent,
    scientific,
    span,
)
from rbmbook.studies.scorecard import study as scorecard

REPRODUCED, IN_PART, NOT, OPEN = OUTCOMES


def part(low, high, **bounds):
    return Part("x", Estimate((low + high) / 2, low, high), **bounds)


HOLDS, FAILS, UNSURE = part(1, 2), part(-2, -1), part(-1, 2)


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
        assert above("x", got).mark == within("x", got, 10.0).mark == "open"


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


def test_a_proportion_covers_at_least_as_often_as_it_says_and_is_scipy_s():
    for successes, n in ((0, 10), (3, 10), (10, 10)):
        other = stats.binomtest(successes, n).proportion_ci(method="exact")
        assert proportion(successes, n) == pytest.approx((successes / n, other.low, other.high))
    with pytest.raises(ValueError, match="successes must lie between 0 and n"):
        proportion(3, 2)


def test_the_median_s_interval_covers_at_least_as_often_as_it_says():
    draws = np.random.default_rng(5).exponential(size=(2000, 10))
    covered = [one.low <= math.log(2) <= one.high for one in map(median_interval, draws)]
    assert np.mean(covered) > 0.95
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]).interval == (-math.inf, math.inf)
    assert median_interval(range(10)) == (4.5, 1.0, 8.0)  # the sign test's: 2 of 10 outside
    assert signed_rank(np.arange(1, 11)) == pytest.approx(2 / 2**10)
    assert signed_rank(np.zeros(10)) == 1.0


def test_slopes_are_those_of_least_squares():
    x, values = np.array([0.0, 1.0, 3.0]), np.random.default_rng(6).normal(size=(4, 3))
    np.testing.assert_allclose(slopes(x, values), [np.polyfit(x, one, 1)[0] for one in values])


def test_two_sets_of_seeds_are_compared_as_welch_does():
    first, second = np.random.default_rng(7).normal(size=(2, 9))
    other = stats.ttest_ind(first, second[:6], equal_var=False).confidence_interval()
    assert unpaired_difference(first, second[:6]).interval == pytest.approx((other.low, other.high))


@pytest.mark.parametrize(
    ("interval", "positive", "negative"),
    [
        ((0.1, 0.3), "holds", "fails"),
        ((-0.3, -0.1), "fails", "holds"),
        ((-0.1, 0.2), "open", "open"),
        ((0, 1), "open", "open"),
    ],
)
def test_a_difference_is_settled_by_an_interval_off_zero(interval, positive, negative):
    one = Estimate(0.0, *interval)
    assert above("x", one).mark == positive
    assert below("x", one).mark == negative


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((-0.1, 0.1), "holds"),
        ((-0.2, 0.2), "holds"),
        ((0.05, 0.1), "holds"),
        ((-0.1, 0.3), "open"),
        ((-0.5, 0.5), "open"),
        ((0.3, 0.5), "fails"),
        ((-0.5, -0.21), "fails"),
    ],
)
def test_no_difference_is_settled_by_an_interval_inside_a_margin(interval, expected):
    one = Estimate(0.0, *interval)
    assert within("x", one, 0.2).mark == expected
    assert within("x", one.map(lambda x: x + 3), 0.2001, around=3.0).mark == expected


def test_a_margin_can_have_two_sides_and_a_count_none():
    assert part(0.5, 0.9, least=-0.1, most=1.0).mark == "holds"
    assert part(-0.9, -0.5, least=-0.1, most=1.0).mark == "fails"
    assert [is_exactly("n", n, 18).mark for n in (18, 17)] == ["holds", "fails"]


def test_all_parts_must_hold():
    for parts in product((HOLDS, FAILS, UNSURE), repeat=3):
        marks = {one.mark for one in parts}
        if marks == {"holds"}:
            expected = REPRODUCED
        elif {"holds", "fails"} <= marks:
            expected = IN_PART
        elif "fails" in marks:
            expected = NOT
        else:
            expected = OPEN
        assert decide(parts) == expected


def test_a_premise_is_shown_and_does_not_count():
    premise = HOLDS._replace(premise=True)
    assert decide([premise, FAILS]) == NOT
    assert decide([FAILS._replace(premise=True), HOLDS]) == REPRODUCED
    with pytest.raises(ValueError, match="no premise"):
        decide([premise])


def test_of_several_the_one_that_decides_stands_for_all():
    named = [one._replace(name=one.mark) for one in (HOLDS, UNSURE, FAILS)]
    assert every("all", named) == FAILS._replace(name="all (fails)")
    assert some("any", named) == HOLDS._replace(name="any (holds)")
    assert every("all", named[:2]).mark == some("any", named[1:]).mark == "open"
    for parts in product(named, repeat=3):
        marks = [one.mark for one in parts]
        expected = next((mark for mark in ("holds", "fails") if marks.count(mark) > 1), "open")
        assert most("most", parts).mark == expected
    assert every("all", [part(1, 2), part(0.1, 0.2)]).estimate.value == pytest.approx(0.15)  # the least clear


def test_a_finding_lists_its_parts_and_what_stands_beside():
    found = finding("lead", [HOLDS, UNSURE], least).beside_it("Beside it.").beside_it("And this.")
    assert found.text == "lead: x 1.5 [1, 2]; x 0.5 [-1, 2]. Beside it. And this.".replace("-", "\u2212")
    assert (found.value, found.interval, found.outcome) == (0.5, (-1, 2), OPEN)
    nothing = missing("needs more")
    assert (nothing.text, nothing.outcome, nothing.estimate) == ("needs more", OPEN, None)


def test_verdicts_come_in_the_order_of_the_rules_with_their_sentences():
    rules = {
        "b": Rule(
            lambda x: finding("found", [part(x, x + 1)]), lambda parts: f"It is {parts[0].estimate.value:g}."
        ),
        "a": Rule(lambda x: missing("needs more"), lambda parts: "never"),
    }
    first, second = settle(rules, 1, "book", {"a": 3, "b": 4})
    assert (first.id, first.verdict, first.seeds, first.finding, first.count) == (
        "b",
        REPRODUCED,
        4,
        "It is 1.5.",
        "1 of 1 hold",
    )
    assert (second.id, second.verdict, second.value, second.reason, second.finding) == (
        "a",
        OPEN,
        None,
        "Needs more.",
        "",
    )
    for one in settle(rules, 1, "book", 3, "settled for other settings"):
        assert (one.verdict, one.parts, one.reason) == (OPEN, (), "settled for other settings")
    first, second = settle(rules, 1, "book", 3, {"a": None, "b": "too few"})
    assert (first.reason, second.reason) == ("too few", "Needs more.")


def test_numbers_read_as_in_a_sentence():
    assert number(0.471, "%") == "47.1 %"
    assert number(-1234.0) == "\u22121230"
    assert interval_text(Estimate(0.471, 0.4, 0.5), "%") == "47.1 [40, 50] %"
    assert interval_text(Estimate(2.0, 2.0, 2.0), "SD") == "2 SD"
    assert interval_text(Estimate(2.0, -math.inf, math.inf)) == "unknown"
    assert span([0.35, 0.47, 0.41], "%") == "35 to 47 %"
    assert span([0.35, 0.351], "%", ".2g") == "35 %"
    assert (removed_percent(1.0), removed_percent(0.47)) == ("never", "47 %")
    assert scientific(3.4e-4) == "3.4\u00b710\u207b\u2074"
    assert joined("abc") == "a, b and c"
    assert count_words("At h/J = 1 it is 47 % \u2013 no more.") == 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([]), "at least one seed"),
        (lambda: mean_interval(3.0), "at least one seed"),
        (lambda: mean_interval([1, math.nan]), "NaN"),
        (lambda: mean_interval([1, 2], 95), "confidence is 95"),
        (lambda: bootstrap_interval([1, 2], np.mean, n_resamples=5), "n_resamples is 5"),
        (lambda: bootstrap_interval([1, 2], lambda sample: math.nan), "statistic"),
        (lambda: within("x", Estimate(0, 0, 1), 0), "margin is 0"),
        (lambda: within("x", Estimate(0, 0, 1), math.nan), "margin is nan"),
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
        "finding": "",
        "parts": [],
    }
    held = Verdict("x", REPRODUCED, None, None, 3, "book", "so", "It is.", (part(1, math.inf),))
    assert json.loads(json.dumps(held.to_json(), allow_nan=False))["parts"] == [
        {
            "name": "x",
            "value": None,
            "interval": [1.0, None],
            "unit": "",
            "claimed": [0.0, None],
            "mark": "holds",
            "premise": False,
        }
    ]
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
    assert (claims[0].rule, claims[0].quantifier, claims[0].amended) == ("Count them.", "all", "")
    path.write_text(CLAIM + 'quantifier = "often"\namended = "2026-11-26: another margin, because."\n')
    (claim,) = load_claims(path)
    assert (claim.quantifier, claim.amended) == ("often", "2026-11-26: another margin, because.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CLAIM + CLAIM, "A1.few stands twice"),
        (CLAIM.replace("paper", "papr"), "claim A1.few has fields"),
        (CLAIM.replace("Fig. 1", " "), "no text in where"),
        (CLAIM + 'quantifier = "few"\n', "quantifier of A1.few must be one of all, most, often, not 'few'"),
        (CLAIM + 'amended = " "\n', "no text in amended"),
        ("[[claim]", "not valid TOML"),
    ],
)
def test_a_wrong_catalogue_is_told(tmp_path, text, message):
    path = tmp_path / "claims.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_claims(path)


def test_git_says_when_the_words_of_a_rule_last_changed(tmp_path):
    def git(*arguments, day):
        environment = {
            **os.environ,
            "GIT_COMMITTER_DATE": f"{day}T12:00:00Z",
            "GIT_AUTHOR_DATE": f"{day}T12:00:00Z",
        }
        command = [
            "git",
            "-C",
            str(tmp_path),
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@example.org",
            *arguments,
        ]
        return subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    path = tmp_path / "claims.toml"
    other = CLAIM.replace("A1.few", "A2.other").replace(
        '"Count them."', '"""\nThe mean of d = 1 to 4, \\\nand so on."""'
    )
    path.write_text(CLAIM + other)
    assert rules_written(path) == {}
    git("init", "-q", day="2026-01-01")
    git("add", ".", day="2026-01-01")
    git("commit", "-qm", "one", day="2026-01-01")
    path.write_text(
        CLAIM.replace("Few are large.", "Many are small.") + other.replace("and so on", "and so forth")
    )
    git("commit", "-qam", "two", day="2026-01-03")
    first, second = git("log", "--format=%h", "--abbrev=7", day="2026-01-03").split()[::-1]
    found = rules_written(path)
    assert found == {"A1.few": Written(first, "2026-01-01"), "A2.other": Written(second, "2026-01-03")}
    assert [found["A1.few"].before(day) for day in ("2025-12-31", "2026-01-01", "2026-01-02")] == [
        False,
        None,
        True,
    ]


def published() -> list[dict]:
    path = Path(__file__).parents[1] / "evidence" / "golden_evidence.json"
    return [
        one
        for study in json.loads(path.read_text(encoding="utf-8")).values()
        for one in study.get("verdicts", [])
    ]


def again(one: dict) -> Part:
    value, low, high, *bounds = (one["value"], *one["interval"], *one["claimed"])
    low, high = (end if end is not None else side * math.inf for end, side in ((low, -1), (high, 1)))
    bounds = [end if end is not None else side * math.inf for end, side in zip(bounds, (-1, 1), strict=True)]
    return Part(one["name"], Estimate(value, low, high), *bounds, one["unit"], one["premise"])


@pytest.mark.parametrize("verdict", published(), ids=lambda one: one["id"])
def test_marks_verdict_and_sentence_follow_from_the_published_parts(verdict):
    """Each sentence is true of the numbers beside it, because it is made of them and of nothing else."""
    parts = [again(one) for one in verdict["parts"]]
    if not parts:
        assert (verdict["verdict"], verdict["finding"]) == (OPEN, "")
        return
    assert [one.mark for one in parts] == [one["mark"] for one in verdict["parts"]]
    assert decide(parts) == verdict["verdict"]
    (rule,) = [
        study.claims.RULES[verdict["id"]]
        for study in scorecard.studies()
        if verdict["id"] in study.claims.RULES
    ]
    assert rule.says(parts) == verdict["finding"]
    assert count_words(verdict["finding"]) <= MOST_WORDS
    assert verdict["finding"].endswith(".")
