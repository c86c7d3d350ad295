"""The published benchmark: complete, consistent, and about no one's machine in particular. Speed itself is never tested."""

import json
from pathlib import Path

import pytest

REPORT = json.loads((Path(__file__).resolve().parents[1] / "book" / "results" / "bench.json").read_text())

EXPECTED = {
    "cd10_18x9_vs_qucumber",
    "cd10_50x25_vs_qucumber",
    "mps_sampling_n50_vs_tenpy",
    "gibbs_784x400_dense_vs_torch",
    "gibbs_784x400_dense_vs_rbms",
    "gibbs_784x400_p80_vs_torch",
    "pcd10_784x400_vs_rbms",
    "kl_fidelity_18x9_vs_qucumber",
}


def test_rows_are_unique_by_name_and_threads_and_none_is_missing() -> None:
    keys = [(row["name"], row["threads"]) for row in REPORT["rows"]]
    assert len(keys) == len(set(keys))
    assert {name for name, _ in keys} >= EXPECTED


@pytest.mark.parametrize("row", REPORT["rows"], ids=lambda row: f"{row['name']}-{row['threads']}")
def test_a_row_holds_two_times_and_their_ratio(row: dict[str, str | int | float]) -> None:
    assert set(row) == {"name", "threads", "ours_s", "peer_s", "ratio"}
    assert row["ours_s"] > 0
    assert row["peer_s"] > 0
    assert row["ratio"] == pytest.approx(row["peer_s"] / row["ours_s"], rel=2e-3)


def test_it_says_on_what_it_was_measured_and_not_on_whose() -> None:
    assert set(REPORT) == {"processor", "versions", "rows"}
    programs = {"python", "rbmlib", "numpy", "numba", "qucumber", "rbms", "torch", "physics-tenpy"}
    assert set(REPORT["versions"]) == programs
