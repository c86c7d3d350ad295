"""What the command says of published results that are fresh, stale, gone, damaged or not needed any more."""

import importlib
import json
import sys

import pytest
from click.testing import CliRunner, Result

from rbmbook.cli import cli
from rbmbook.lab import container, fingerprint, recompute
from rbmbook.lab.sweep import fill
from rbmbook.publish.audit import audit, cells_by_profile
from rbmbook.publish.freshness import make_record
from rbmbook.publish.notebook import parameters_of, read_source
from rbmbook.publish.parameters import bind
from rbmbook.publish.project import Project


def call(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), obj=project, prog_name="rbmlib")


def publish(project: Project, profile: str = "book") -> None:
    fill(
        cells_by_profile(project)["counting", profile],
        project.store(),
        workers=1,
        publish=True,
        progress=False,
    )


def reload(package: str) -> None:
    """Forget a package whose source has changed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    fingerprint._known.clear()
    recompute._definitions.cache_clear()
    importlib.invalidate_caches()


@pytest.fixture
def published(workshop, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    publish(workshop.project)
    yield workshop
    reload(workshop.package)


def results(project: Project) -> dict[str, int]:
    (one,) = (one for one in audit(project).results if one.profile == "book")
    return {"fresh": one.fresh, **one.reasons}


def files(project: Project) -> list[str]:
    return sorted(path.name for path in project.results.rglob("*.npz"))


def test_nothing_published_is_missing(workshop) -> None:
    assert results(workshop.project) == {"fresh": 0, "missing: never computed": 2}
    output = call(workshop.project, "status").output
    assert "counting  missing: it was never executed" in output
    assert "counting  profile book: 0 of 2 fresh; 2 missing: never computed" in output


def test_what_is_only_in_the_cache_is_not_published(workshop) -> None:
    cells = cells_by_profile(workshop.project)["counting", "book"]
    fill(cells, workshop.project.store(), workers=1, progress=False)
    assert results(workshop.project) == {"fresh": 0, "missing: computed but not published": 2}


def test_published_results_are_fresh_and_nothing_is_superseded(published) -> None:
    assert results(published.project) == {"fresh": 2}
    assert audit(published.project).superseded == ()
    assert call(published.project, "status").exit_code == 0
    assert call(published.project, "status", "--strict").exit_code == 1  # its notebooks were never executed


def test_changed_code_makes_results_stale_and_keeps_them_until_replaced(published) -> None:
    old = files(published.project)
    published.edit_code("counting/study.py", "n_items * field)})", "field * n_items)})")
    reload(published.package)
    assert results(published.project) == {"fresh": 0, "stale: the code that computes it changed": 2}
    assert [one.replaced for one in audit(published.project).superseded] == [False, False]
    assert call(published.project, "status", "--prune").exit_code == 0
    assert files(published.project) == old
    publish(published.project)
    assert results(published.project) == {"fresh": 2}
    output = call(published.project, "status").output
    assert "Superseded results: 2; rbmlib status --prune deletes 2 of them" in output
    assert output.count("a fresh result has replaced it") == 2
    assert len(files(published.project)) == 4  # asking deletes nothing
    output = call(published.project, "status", "--prune").output
    assert output.count("deleted book/results/counting/") == 2
    assert len(files(published.project)) == 2
    assert not set(files(published.project)) & set(old)
    assert results(published.project) == {"fresh": 2}


def test_results_of_parameters_that_no_profile_has_any_more_are_told_and_kept(published) -> None:
    publish(published.project, "quick")
    published.edit_code(
        "counting/study.py", '"n_items": 3, "fields": (1.0, 2.0)', '"n_items": 3, "fields": (2.0, 5.0)'
    )
    reload(published.package)
    assert results(published.project) == {"fresh": 1, "missing: never computed": 1}
    found = json.loads(call(published.project, "status", "--json").output)
    assert [one["reason"] for one in found["superseded"]] == ["no study has these parameters"]
    assert {one["profile"] for one in found["results"]} == {"quick", "book"}
    output = call(published.project, "status", "--prune").output
    assert "1 result kept of count: no study has these parameters" in output
    assert len(files(published.project)) == 3


def test_a_renamed_function_is_told_by_name_and_its_results_are_never_offered_for_deletion(published) -> None:
    old = files(published.project)
    published.edit_code("counting/study.py", "def count(", "def tally(")
    published.edit_code("counting/study.py", "Cell(count,", "Cell(tally,")
    reload(published.package)
    publish(published.project)
    for _ in range(2):
        output = call(published.project, "status", "--prune").output
        assert "rbmlib status --prune deletes 0 of them" in output
        assert "function count is not found in the studies any more; 2 results kept" in output
    assert set(old) < set(files(published.project))


def test_a_moved_function_leaves_results_fresh(published) -> None:
    text = (published.code / "counting/study.py").read_text()
    start, end = text.index("def count("), text.index("def cells(")
    published.write_code("counts.py", f"import xarray as xr\n\n\n{text[start:end]}")
    published.write_code("counting/study.py", f"{text[:start]}from ..counts import count\n\n\n{text[end:]}")
    reload(published.package)
    assert results(published.project) == {"fresh": 2}
    assert audit(published.project).superseded == ()
    assert "0 failed" in call(published.project, "verify", "--all", "--workers", "1", "counting").output


def pretend_to_execute(project: Project) -> None:
    for name in ("counting", "summary"):
        record = make_record(project, name, bind(parameters_of(project, name)), "book")
        cells = read_source(project.source(name)).cells
        executed = {"cells": [dict(cell) for cell in cells], "metadata": {"rbmlib": record}}
        project.executed_path(name).write_text(json.dumps(executed))


@pytest.fixture
def complete(published):
    pretend_to_execute(published.project)
    return published


def test_a_profile_that_nobody_published_is_no_fault_and_shown_as_a_count(complete) -> None:
    complete.edit_code(
        "counting/study.py", '{"n_items": 1, "fields": (1.0,)', '{"n_items": 3, "fields": (1.0, 7.0)'
    )
    reload(complete.package)
    pretend_to_execute(complete.project)
    result = call(complete.project, "status", "--strict")
    assert result.exit_code == 0, result.output
    assert "profile quick: 1 of 2 published" in result.output
    next(complete.project.results.rglob("*.npz")).unlink()
    assert call(complete.project, "status", "--strict").exit_code == 1


def test_a_study_that_is_no_chapter_yet_is_not_held_complete_but_its_stale_results_are_faults(
    complete,
) -> None:
    toc = complete.project.root / "_toc.yml"
    toc.write_text(toc.read_text().replace("  - file: book/executed/counting\n", ""))
    next(complete.project.results.rglob("*.npz")).unlink()
    pretend_to_execute(complete.project)
    result = call(complete.project, "status", "--strict")
    assert (result.exit_code, "profile book: 1 of 2 published" in result.output) == (0, True), result.output
    assert call(complete.project, "status", "counting", "--strict").exit_code == 0
    assert "1 of count missing, never computed: count(" in call(complete.project, "status", "counting").output
    complete.edit_code("counting/study.py", "n_items * field)})", "field * n_items)})")
    reload(complete.package)
    pretend_to_execute(complete.project)
    assert call(complete.project, "status", "--strict").exit_code == 1
    assert call(complete.project, "status", "counting", "--strict").exit_code == 1


def test_a_stale_result_is_a_fault_in_every_profile(complete) -> None:
    publish(complete.project, "quick")
    complete.edit_code("counting/study.py", "n_items * field)})", "field * n_items)})")
    reload(complete.package)
    publish(complete.project)
    pretend_to_execute(complete.project)
    result = call(complete.project, "status", "--strict")
    assert "profile quick: 0 of 1 published; 1 stale: the code that computes it changed" in result.output
    assert result.exit_code == 1


def explained(project: Project, *arguments: str) -> list[str]:
    return call(project, "status", "counting", *arguments).output.splitlines()


def test_status_of_one_name_says_why_in_one_short_sentence_each(complete) -> None:
    """showyourwork#295: who is told that something runs again wants to know why."""
    assert explained(complete.project) == ["counting", "  notebook fresh", "  2 results fresh"]
    assert call(complete.project, "status", "counting", "--strict").exit_code == 0
    complete.edit_code("counting/study.py", "n_items * field)})", "field * n_items)})")
    reload(complete.package)
    assert explained(complete.project) == [
        "counting",
        "  notebook stale: 2 of its 2 results are not published yet",
        "  0 results fresh",
        "  2 of count stale, the code that computes it changed; the first: count(n_items=3, field=1.0)",
    ]
    assert call(complete.project, "status", "counting", "--strict").exit_code == 1
    found = json.loads(call(complete.project, "status", "counting", "--json").output)
    assert [(one["compute"], one["count"]) for one in found["faults"]] == [("count", 2)]


def test_status_of_one_name_says_which_text_of_a_notebook_changed(complete) -> None:
    complete.edit_notebook("counting", "The total is", "The sum is")
    there = "  notebook stale: its source notebooks/counting.md changed"
    assert explained(complete.project)[1].startswith(f"{there}, first in cell 5 (markdown): The sum is")
    complete.edit_notebook("counting", "The sum is", "The total is" + 300 * " really")
    assert max(map(len, explained(complete.project))) == 200
    complete.edit_notebook("counting", "The total is" + 300 * " really", "The total is")
    complete.edit_notebook("counting", "language: python", "language: Python")
    assert explained(complete.project)[1] == f"{there}, in its front matter"
    pretend_to_execute(complete.project)
    complete.edit_notebook("counting", "\nThe total is {glue:text}`total:.2f`, see {numref}`fig:bars`.\n", "")
    assert "cell 5 (markdown), which is gone: The total is" in explained(complete.project)[1]


def test_damaged_results_of_one_name_are_told_once(complete) -> None:
    for path in complete.project.results.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:-1])
    lines = explained(complete.project)
    assert len(lines) == 4
    assert lines[3].startswith("  2 of count damaged, ")


def test_status_of_an_unknown_name_is_refused_and_pruning_looks_at_all(published) -> None:
    result = call(published.project, "status", "countin")
    assert (result.exit_code, "did you mean 'counting'?" in result.output) == (2, True)
    assert call(published.project, "status", "../x").exit_code == 2
    result = call(published.project, "status", "counting", "--prune")
    assert (result.exit_code, "leave out NAME" in result.output) == (2, True)


def test_other_library_versions_are_told(published) -> None:
    path = next(published.project.results.rglob("*.npz"))
    meta, variables = container.decode(path, path.read_bytes())
    meta["origin"]["versions"]["numpy"] = "1.0"
    path.write_bytes(container.pack(meta, variables))
    assert "computed with numpy 1.0, here" in call(published.project, "status").output


def test_a_damaged_result_is_named(published) -> None:
    path = next(published.project.results.rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:-1])
    result = call(published.project, "status")
    assert f"{path} is damaged" in result.output
    assert call(published.project, "status", "--strict").exit_code == 1


def test_verification_passes_on_what_was_published(published) -> None:
    for arguments in ((), ("--all",), ("counting",), ("--cells", "1", "--seed", "3", "counting")):
        result = call(published.project, "verify", "--workers", "1", *arguments)
        assert result.exit_code == 0, result.output
        assert "0 failed" in result.output


def test_verification_of_a_wrong_byte_ends_with_code_one_and_names_the_file(published) -> None:
    path = next(published.project.results.rglob("*.npz"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))
    result = call(published.project, "verify", "--cells", "1", "--workers", "1")
    assert result.exit_code == 1
    assert f"damaged  counting/{path.name}" in result.output
    assert "Error: 1 published results are not what their origin computes" in result.output
    assert call(published.project, "verify", "--workers", "1", "counting").exit_code == 1


def test_verification_of_an_altered_result_ends_with_code_one_and_says_how_far_off(published) -> None:
    path = next(published.project.results.rglob("*.npz"))
    meta, variables = container.decode(path, path.read_bytes())
    dataset = container.assemble(path, meta, variables)
    path.write_bytes(container.encode(dataset + 0.25, meta["key"], meta["origin"]))
    result = call(published.project, "verify", "--all", "--workers", "1", "counting")
    assert result.exit_code == 1
    assert "2.5e-01 off" in result.output
    assert "stored" in result.output


def test_a_verification_that_looks_at_nothing_does_not_pass(workshop) -> None:
    result = call(workshop.project, "verify")
    assert result.exit_code == 1
    assert "nothing could be recomputed" in result.output
    assert call(workshop.project, "verify", "contin").exit_code == 2
    assert call(workshop.project, "verify", "--all", "--cells", "3").exit_code == 2
