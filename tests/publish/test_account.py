"""The account of the book says what the executed notebooks and the published results say of themselves."""

import hashlib
import json
from dataclasses import astuple, replace

import pytest

from rbmbook.lab.sweep import fill
from rbmbook.publish.freshness import make_record, published_cells
from rbmbook.publish.notebook import parameters_of
from rbmbook.publish.parameters import bind
from rbmbook.studies.reproducibility_report.study import (
    account_table,
    accounts,
    bench,
    bench_table,
    drills,
    drills_table,
    duration,
    failed_drills,
    machine,
    total,
)

DRILLS = {
    "processor": "Some CPU", "versions": {"numpy": "2"}, "date": "2026-01-31",
    "drills": [
        {"name": "kills", "did": "SIGKILLs", "n": 1000, "counted": "results <lost>", "found": 0, "limit": 0},
        {"name": "overhead", "did": "cells", "n": 5, "counted": "ms", "found": 12.5, "limit": 10},
    ],
}  # fmt: skip


@pytest.fixture
def published(workshop):
    project = workshop.project
    cells = published_cells(project, "counting")
    fill(cells, project.store(), workers=1, publish=True, progress=False)
    record = make_record(project, "counting", bind(parameters_of(project, "counting"), {}), "book")
    record["parameters"]["n_seeds"] = 4
    figure = {
        "cell_type": "code",
        "metadata": {"mystnb": {"figure": {"name": "fig-bars", "caption": "**The <bars>.** All of\nthem."}}},
        "outputs": [{"output_type": "execute_result", "execution_count": 3, "data": {"text/html": "<svg/>"}}],
    }
    content = {"cells": [figure, {"cell_type": "markdown", "metadata": {}}], "metadata": {"rbmlib": record}}
    project.executed_path("counting").write_text(json.dumps(content))
    return project


def test_an_account_gathers_what_made_a_notebook(published) -> None:
    counting, summary = accounts(published)
    store = published.store()
    origins = [store.origin(store.key(cell)) for cell in published_cells(published, "counting")]
    assert (counting.cells, counting.published, counting.state) == (2, 2, "fresh")
    assert counting.seconds == pytest.approx(sum(origin["seconds"] for origin in origins))
    assert counting.processors == (origins[0]["processor"],)
    assert counting.dates == (origins[0]["date"],)
    assert counting.versions["numpy"] == origins[0]["versions"]["numpy"]
    assert (counting.seeds, counting.profile) == ({"n_seeds": 4}, "book")
    ((label, title, digest),) = map(astuple, counting.figures)
    assert (label, title) == ("fig-bars", "The <bars>")
    assert digest == hashlib.sha256(b'[{"text/html": "<svg/>"}]').hexdigest()
    assert set(counting.hashes) == {"source", "code", "results"}
    assert (summary.cells, summary.state) == (0, "missing: it was never executed")
    assert [each.name for each in accounts(published, without=["summary"])] == ["counting"]


def test_every_figure_stands_in_the_table_with_what_made_it(published) -> None:
    counting, summary = accounts(published)
    shown, text = account_table([counting, summary]).html, account_table([counting, summary]).text
    row = shown[shown.index("<tbody>") :].partition("</tr>")[0]
    link = "<a href='counting.html#fig-bars'>The &lt;bars&gt;</a> <code>" + counting.figures[0].digest[:12]
    origin = published.store().origin(next(iter(counting.spent)))
    for part in (link, "profile book", "n_seeds = 4", "2 of 2 cells", f"numpy {origin['versions']['numpy']}"):
        assert part in row
    for part, digest in counting.hashes.items():
        assert f"<code>{part} {digest[:12]}</code>" in row
    assert f"  fig-bars {counting.figures[0].digest[:12]}" in text.splitlines()


def test_results_that_notebooks_share_count_once(published) -> None:
    counting, _ = accounts(published)
    other = replace(counting, name="other", spent={**counting.spent, "k": 2.0})
    assert total([counting, other]) == (3, pytest.approx(counting.seconds + 2.0))


def test_the_account_does_not_depend_on_what_this_machine_has_computed(
    published, monkeypatch, tmp_path
) -> None:
    before = accounts(published)
    monkeypatch.setenv("RBMLIB_CACHE", str(tmp_path / "nothing"))
    assert accounts(published) == before


def test_a_missing_result_shows(published) -> None:
    next(published.results.rglob("*.npz")).unlink()
    (counting, _) = accounts(published)
    assert (counting.published, counting.state) == (1, "stale: 1 of its 2 results are not published yet")
    table = account_table(accounts(published))
    assert "1 of 2 cells" in table.html
    assert "counting: stale" in table.text
    assert "<th scope='col'>Versions and hashes</th>" in table.html


def test_drills_and_timings_are_tables_once_they_have_been_run(published) -> None:
    assert (drills(published), bench(published)) == (None, None)
    assert drills_table(None).text == bench_table(None).text == "not run yet"
    assert machine(None) == "not run yet"
    (published.results / "drills.json").write_text(json.dumps(DRILLS))
    found = drills(published)
    assert failed_drills(found) == 1
    assert "results &lt;lost&gt;" in drills_table(found).html
    assert "12.5" in drills_table(found).text
    assert machine(found) == "Some CPU, numpy 2, 2026-01-31"
    row = {"name": "cd10_18x9_vs_qucumber", "threads": 1, "ours_s": 0.0570, "peer_s": 2.05, "ratio": 35.9}
    (published.results / "bench.json").write_text(
        json.dumps({"processor": "x", "versions": {}, "rows": [row]})
    )
    assert bench_table(bench(published)).text == "cd10, 18 × 9, against qucumber; 1; 0.057 s; 2.05 s; 35.9"


@pytest.mark.parametrize(
    ("seconds", "text"), [(51.2, "51 s"), (720, "12 min"), (12_240, "3.4 h"), (0, "0 s")]
)
def test_durations_are_told_in_the_unit_that_reads_best(seconds: float, text: str) -> None:
    assert duration(seconds) == text
