"""Which change of source, code or results makes a notebook stale, and which does not."""

import json

import pytest

from rbmbook.lab.sweep import sweep
from rbmbook.publish.errors import BadNotebook
from rbmbook.publish.freshness import (
    code_reach,
    experiments_read,
    make_record,
    notebook_status,
    packages_of,
    published_cells,
    status,
)
from rbmbook.publish.notebook import parameters_of
from rbmbook.publish.parameters import bind
from rbmbook.publish.project import Project


def publish_results(project: Project) -> None:
    sweep(published_cells(project, "counting"), project.store(), workers=1, publish=True, progress=False)


def pretend_to_execute(project: Project, name: str) -> None:
    """An executed notebook without its cells, which freshness never looks at."""
    record = make_record(project, name, bind(parameters_of(project, name)), "book")
    project.executed_path(name).write_text(json.dumps({"cells": [], "metadata": {"rbmlib": record}}))


@pytest.fixture
def fresh(workshop):
    publish_results(workshop.project)
    for name in ("counting", "summary"):
        pretend_to_execute(workshop.project, name)
    assert [(entry.name, entry.state) for entry in status(workshop.project)] == [
        ("counting", "fresh"),
        ("summary", "fresh"),
    ]
    return workshop


def test_a_notebook_that_was_never_executed_is_missing(project: Project) -> None:
    assert [entry.state for entry in status(project)] == ["missing", "missing"]


def test_a_changed_source_makes_only_its_notebook_stale(fresh) -> None:
    fresh.edit_notebook("counting", "The total is", "The sum is")
    assert notebook_status(fresh.project, "counting").reason == "its source changed"
    assert notebook_status(fresh.project, "summary").state == "fresh"


def test_changed_code_behind_a_figure_makes_a_notebook_stale(fresh) -> None:
    fresh.edit_code("drawing.py", "width='10'", "width='11'")
    assert notebook_status(fresh.project, "counting").reason == "the code it calls changed"
    assert notebook_status(fresh.project, "summary").state == "fresh"


def test_code_that_is_not_reached_and_comments_leave_a_notebook_fresh(fresh) -> None:
    fresh.edit_code("counting/study.py", "return 1", "return 2")
    fresh.edit_code("counting/study.py", "def total(", "# adds up\ndef total(")
    fresh.edit_code("overview.py", "def report():\n", 'def report():\n    """Say so."""\n')
    assert {entry.state for entry in status(fresh.project)} == {"fresh"}


def test_a_changed_data_file_of_the_package_makes_notebooks_stale(fresh) -> None:
    fresh.write_code("words.toml", "a = 1")
    assert notebook_status(fresh.project, "summary").reason == "the code it calls changed"


def test_missing_or_damaged_results_make_their_notebook_and_those_that_sum_up_stale(fresh) -> None:
    path = sorted(fresh.project.results.rglob("*.npz"))[0]
    content = path.read_bytes()
    path.unlink()
    assert notebook_status(fresh.project, "counting").reason == "1 of its 2 results are not published yet"
    assert notebook_status(fresh.project, "summary").reason == "the results it shows changed"
    path.write_bytes(content[:-3] + b"xxx")
    assert notebook_status(fresh.project, "counting").state == "stale"
    path.write_bytes(content)
    assert {entry.state for entry in status(fresh.project)} == {"fresh"}


def test_results_in_the_cache_alone_are_not_published(workshop) -> None:
    sweep(published_cells(workshop.project, "counting"), workshop.project.store(), workers=1, progress=False)
    pretend_to_execute(workshop.project, "counting")
    assert "not published" in notebook_status(workshop.project, "counting").reason


def test_an_executed_notebook_without_a_record_is_stale(fresh) -> None:
    for content in ("", "{}", '{"metadata": {"rbmlib": 3}}'):
        fresh.project.executed_path("summary").write_text(content)
        assert notebook_status(fresh.project, "summary").state == "stale"


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("import numpy", False),
        ("from PACKAGE.counting import study as counting", False),  # for its name alone
        ("from PACKAGE.counting import study as counting\ncounting.total(2, [1.0])", True),
        ("def f():\n    from PACKAGE.counting.study import total\n    return total", True),
        ("import PACKAGE.overview as o\no.report()", True),
        ("from PACKAGE.overview import title\ntitle()", False),
        ("import PACKAGE_more", False),
    ],
)
def test_a_notebook_reads_the_experiments_that_its_code_reaches(workshop, code, read) -> None:
    project = workshop.project
    modules = code_reach(code.replace("PACKAGE", workshop.package), packages_of(project)).modules
    assert experiments_read(project, "other", modules) == (["counting"] if read else [])


def test_a_notebook_reads_its_own_experiment(project) -> None:
    assert experiments_read(project, "counting", ()) == ["counting"]


def test_the_digest_of_code_depends_on_what_is_used_not_on_its_layout() -> None:
    one = code_reach("from rbmbook.publish import page\nx = 1\n").digest
    assert one == code_reach("from rbmbook.publish import page\n\n# one\nx   =  1\n").digest
    assert one != code_reach("x = 2\n").digest


def declare(workshop, *patterns: str) -> None:
    reads = f"rbmlib:\n  reads: [{', '.join(patterns)}]\n---\n\n# Summary"
    workshop.edit_notebook("summary", "---\n\n# Summary", reads)


def test_a_notebook_follows_the_committed_files_that_it_declares(workshop) -> None:
    project = workshop.project
    project.results.mkdir(parents=True)
    (project.results / "bench.json").write_text("1")
    declare(workshop, "book/results/*.json")
    pretend_to_execute(project, "summary")
    assert notebook_status(project, "summary").state == "fresh"
    (project.results / "other.txt").write_text("not declared")
    assert notebook_status(project, "summary").state == "fresh"
    (project.results / "bench.json").write_text("2")
    assert notebook_status(project, "summary").reason == "the files it reads changed"
    pretend_to_execute(project, "summary")
    (project.results / "more.json").write_text("1")
    assert notebook_status(project, "summary").reason == "the files it reads changed"


def test_a_notebook_that_reads_executed_notebooks_comes_last_and_does_not_follow_itself(workshop) -> None:
    project = workshop.project
    workshop.write_notebook("written_last", project.source("summary").read_text())
    with (project.root / "_toc.yml").open("a") as contents:
        contents.write("  - file: book/executed/written_last\n")
    assert [entry.name for entry in status(project)] == ["counting", "summary", "written_last"]
    declare(workshop, "book/executed/*.ipynb")
    assert [entry.name for entry in status(project)] == ["counting", "written_last", "summary"]
    pretend_to_execute(project, "summary")
    assert notebook_status(project, "summary").state == "fresh"
    pretend_to_execute(project, "written_last")
    assert notebook_status(project, "summary").reason == "the files it reads changed"


@pytest.mark.parametrize("patterns", [("/etc/passwd",), ("../x",), ("3",)])
def test_declared_files_stay_inside_the_clone(workshop, patterns: tuple[str, ...]) -> None:
    declare(workshop, *patterns)
    with pytest.raises(BadNotebook, match="must list files of the clone"):
        status(workshop.project)
