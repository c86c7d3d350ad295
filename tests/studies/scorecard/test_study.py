"""The catalogue of claims is complete, and the scorecard reads results without ever computing them."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import tomllib
from collections import Counter
from types import SimpleNamespace

import pytest
import xarray as xr

from rbmbook.evidence.claims import Verdict, load_claims
from rbmbook.evidence.estimates import Estimate
from rbmbook.evidence.rules import above
from rbmbook.lab.cell import Cell
from rbmbook.lab.store import Store
from rbmbook.studies.scorecard import study as module
from rbmbook.studies.scorecard.study import CATALOGUE, Study, scorecard, scorecard_table, summary

# By paper and topic.
NUMBER_OF_CLAIMS = {"A1": 1, "A2": 9, "A3": 5, "A4": 3, "A5": 11, "A6": 4}
NUMBER_OF_CLAIMS |= {"B1": 1, "B2": 1, "B3": 5, "B4": 4, "B5": 6, "B6": 6, "B7": 1}


def measure(seed: int) -> xr.Dataset:
    return xr.Dataset({"value": ((), float(seed))})


def never(seed: int, measured: xr.Dataset) -> xr.Dataset:
    raise AssertionError("the scorecard computes nothing")


def verdict(claim: str, profile: str = "book", **fields) -> Verdict:
    given = {
        "verdict": "reproduced",
        "value": 0.25,
        "interval": (0.125, 0.5),
        "seeds": 10,
        "reason": "as stated",
    }
    return Verdict(id=claim, profile=profile, **given | fields)


def study(*claims: str, cells=(), verdicts=None) -> Study:
    rules = SimpleNamespace(
        __name__="rbmbook.studies.example.claims",
        CLAIMS=claims,
        verdicts=verdicts or (lambda profile: [verdict(claim, profile) for claim in claims]),
    )
    experiment = SimpleNamespace(
        __name__="rbmbook.studies.example.study",
        PROFILES={"quick": SimpleNamespace(parameters={}), "book": SimpleNamespace(parameters={})},
        cells=lambda: list(cells),
    )
    return Study(rules, (experiment,))


@pytest.fixture
def store(tmp_path):
    return Store(None, tmp_path)


@pytest.fixture
def use(monkeypatch):
    return lambda *studies: monkeypatch.setattr(module, "studies", lambda: studies)


# --- the catalogue ---


def raw_claims() -> list[dict]:
    with CATALOGUE.open("rb") as file:
        return tomllib.load(file)["claim"]


def test_every_claim_of_both_papers_is_in_the_catalogue_once():
    ids = [claim["id"] for claim in raw_claims()]
    assert len(set(ids)) == len(ids) == 57
    assert Counter(claim.partition(".")[0] for claim in ids) == NUMBER_OF_CLAIMS


def test_every_claim_says_where_it_stands_what_it_says_and_what_settles_it():
    for claim in raw_claims():
        needed = {"id", "paper", "where", "statement", "settled_by"}
        assert needed <= set(claim) <= needed | {"quantifier", "amended"}
        assert re.match(r"\d{4}-\d\d-\d\d: ", claim.get("amended", "2026-11-26: "))
        assert re.fullmatch(r"[AB]\d\.[a-z0-9]+(-[a-z0-9]+)*", claim["id"])
        assert claim["paper"] == claim["id"][0]
        assert claim["where"].strip()
        for text in (claim["statement"], claim["settled_by"]):
            assert text == " ".join(text.split())
            assert text.endswith(".")
            assert len(text) > 40


def test_the_loaded_catalogue_is_the_file():
    loaded = [
        (claim.id, claim.paper, claim.where, claim.statement, claim.rule) for claim in load_claims(CATALOGUE)
    ]
    keys = ("id", "paper", "where", "statement", "settled_by")
    assert loaded == [tuple(claim[key] for key in keys) for claim in raw_claims()]


# --- verdicts ---


def test_claims_without_a_study_are_not_decided_and_say_why(use, store):
    use(study("A2.schedule"))
    entries = scorecard("book", store)
    assert [claim.id for claim, _ in entries] == [claim["id"] for claim in raw_claims()]
    for claim, verdict in entries:
        assert verdict.id == claim.id
        assert verdict.profile == "book"
        if claim.id != "A2.schedule":
            assert (verdict.verdict, verdict.reason) == ("not decided", "not run yet")


def test_a_study_settles_its_claims_when_all_results_are_stored(use, store):
    cell = Cell(measure, {"seed": 1})
    store.save(store.key(cell), measure(1), {"experiment": "example"})
    use(study("A2.schedule", cells=[cell]))
    assert {c.id: v for c, v in scorecard("book", store)}["A2.schedule"] == verdict("A2.schedule")


def test_missing_results_are_named_and_never_computed(use, store):
    measured = Cell(measure, {"seed": 1})
    cells = [measured, Cell(never, {"seed": 2}, needs={"measured": measured})]

    def refuse(profile):
        raise AssertionError("verdicts must not be asked for")

    use(study("A2.schedule", cells=cells, verdicts=refuse))
    reason = {c.id: v.reason for c, v in scorecard("quick", store)}["A2.schedule"]
    assert reason == (
        "not run yet to the end; rbmlib sweep example --profile quick computes what is missing of 2 results"
    )
    store.save(store.key(measured), measure(1), {})
    partly = {c.id: v.reason for c, v in scorecard("quick", store)}["A2.schedule"]
    assert partly == reason  # no count, which would differ from one cache to the next


def test_a_profile_that_one_experiment_lacks_leaves_its_claims_undecided(use, store):
    other = study("A2.qcp-25")
    del other.experiments[0].PROFILES["quick"]
    use(study("A2.schedule"), other)
    reasons = {c.id: v.reason for c, v in scorecard("quick", store)}
    assert reasons["A2.qcp-25"] == "not run yet: example has no profile quick"
    assert reasons["A2.schedule"] == "as stated"


def test_an_unknown_profile_is_refused_with_the_known_ones(use, store):
    use(study("A2.schedule"))
    with pytest.raises(ValueError, match="profile must be one of book, quick, not 'boook'"):
        scorecard("boook", store)


@pytest.mark.parametrize(
    ("studies", "message"),
    [
        ([study("A2.schedule", verdicts=lambda profile: [])], "one verdict for each id in CLAIMS"),
        (
            [study("A2.schedule", verdicts=lambda profile: [verdict("A2.schedule")] * 2)],
            "one verdict for each id",
        ),
        ([study("A2.schedul")], "unknown or not its own: .'A2.schedul'."),
        ([study("A2.schedule"), study("A2.schedule")], "unknown or not its own"),
    ],
)
def test_verdicts_that_do_not_fit_the_catalogue_are_refused(use, store, studies, message):
    use(*studies)
    with pytest.raises(ValueError, match=message):
        scorecard("book", store)


def test_the_project_s_own_studies_announce_claims_of_the_catalogue_once():
    known = {claim["id"] for claim in raw_claims()}
    announced = [claim for study in module.studies() for claim in study.claims.CLAIMS]
    assert len(set(announced)) == len(announced)
    assert set(announced) <= known
    for each in module.studies():
        assert callable(each.claims.verdicts)
        assert all({"quick", "book"} <= set(experiment.PROFILES) for experiment in each.experiments)


# --- what the reader sees ---


def test_the_summary_counts_every_verdict(use, store):
    def mixed(profile):
        return [
            verdict("A2.schedule"),
            verdict("A2.qcp-25", verdict="not reproduced"),
            verdict("A2.pm-75", verdict="not decided", reason="the interval is too wide"),
        ]

    use(study("A2.schedule", "A2.qcp-25", "A2.pm-75", verdicts=mixed))
    assert summary(scorecard("book", store)) == (
        "57 claims: 1 reproduced, 0 reproduced in part, 1 not reproduced, 55 not decided (54 not run yet)"
    )


def test_the_table_has_an_anchor_a_symbol_and_words_for_every_claim(use, store):
    use(study("A2.schedule"))
    entries = scorecard("book", store)
    table = scorecard_table(entries)
    for claim, shown in entries:
        row = re.search(rf"<tr id='claim-{re.escape(claim.id)}'>.*?</tr>", table.html, re.DOTALL)[0]
        assert f"{module.SYMBOLS[shown.verdict]}</span> {shown.verdict}<" in row
    row = re.search(r"<tr id='claim-A2.schedule'>.*?</tr>", table.html)[0]
    assert "0.25 [0.125, 0.5] 10 seeds, profile book" in row
    assert "as stated" in row
    assert (
        "A2.schedule: reproduced. as stated. 0.25 [0.125, 0.5] 10 seeds, profile book"
        in table.text.splitlines()
    )
    assert len(table.text.splitlines()) == 57


def test_one_paper_can_be_shown_alone(use, store):
    use(study("A2.schedule"))
    entries = scorecard("book", store)
    assert scorecard_table(entries, paper="B").html.count("<tr id='claim-B") == 24
    assert "claim-A" not in scorecard_table(entries, paper="B").html
    with pytest.raises(ValueError, match="paper must be one of A, B, not 'C'"):
        scorecard_table(entries, paper="C")


PARTS = (
    above("KL", Estimate(2.0, 1.0, 3.0), 0.5, "nats"),
    above("mROE", Estimate(0.0, -1.0, 1.0))._replace(premise=True),
)


def test_a_row_shows_the_finding_its_parts_with_marks_and_that_the_rule_was_amended(use, store, monkeypatch):
    found = verdict("B3.crucial-few", finding="KL is 2 nats.", parts=PARTS)
    use(study("B3.crucial-few", verdicts=lambda profile: [found]))
    row = re.search(
        r"<tr id='claim-B3.crucial-few'>.*?</tr>", scorecard_table(scorecard("book", store)).html, re.DOTALL
    )[0]
    for text in (
        "1 of 1 hold",
        "KL is 2 nats.",
        "holds: KL 2 [1, 3] nats",
        "open: mROE 0 [\u22121, 1] (premise)",
        "Rule amended 2026-11-23",
    ):
        assert text in row
    told = module.glued([found, verdict("A2.schedule")])
    assert told["B3.crucial-few-finding"] == "KL is 2 nats."
    assert told["A2.schedule-finding"] == told["A2.schedule-count"] == "\u2013"


def test_records_hold_everything_and_the_table_a_line_a_part(use, store):
    cell = Cell(measure, {"seed": 1})
    store.save(store.key(cell), measure(1), {"date": "2999-01-01"})
    each = [verdict("B3.crucial-few", parts=PARTS), verdict("A2.schedule", interval=(0.1, math.inf))]
    use(study("B3.crucial-few", "A2.schedule", cells=[cell], verdicts=lambda profile: each))
    rows = {row["id"]: row for row in module.records("book", store)}
    assert list(rows) == [claim["id"] for claim in raw_claims()]
    row = rows["A2.schedule"]
    assert (row["statement"], row["rule"]) == next(
        (c["statement"], c["settled_by"]) for c in raw_claims() if c["id"] == row["id"]
    )
    assert (row["quantifier"], row["amended"], row["interval"], row["oldest_result"]) == (
        "all",
        "",
        [0.1, None],
        "2999-01-01",
    )
    assert row["rule_before_results"] in (True, None)  # None without a history to ask
    assert (
        rows["B3.crucial-few"]["rule_before_results"] is False
        or rows["B3.crucial-few"]["rule_commit"] is None
    )
    assert rows["B3.crucial-few"]["parts"][1]["premise"] is True
    assert rows["A2.qcp-25"]["oldest_result"] is None
    json.dumps(list(rows.values()), allow_nan=False)
    lines = list(csv.DictReader(io.StringIO(module.as_csv(list(rows.values())))))
    assert len(lines) == 58
    kl, mroe = (line for line in lines if line["id"] == "B3.crucial-few")
    assert (kl["part"], kl["value"], kl["low"], kl["high"], kl["unit"], kl["claimed_from"], kl["mark"]) == (
        "KL", "2.0", "1.0", "3.0", "nats", "0.5", "holds",
    )  # fmt: skip
    assert (mroe["part"], mroe["premise"], mroe["claimed_to"]) == ("mROE", "True", "")


def test_text_from_a_rule_cannot_break_the_page(use, store):
    use(study("A2.schedule", verdicts=lambda profile: [verdict("A2.schedule", reason="a < b & <script>")]))
    table = scorecard_table(scorecard("book", store))
    assert "a &lt; b &amp; &lt;script&gt;" in table.html
    assert "<script" not in table.html
