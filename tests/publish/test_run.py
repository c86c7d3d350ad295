"""One notebook with chosen parameters, and the whole book."""

import dataclasses
import json
from pathlib import Path

import pytest

from rbmbook.publish.build import build, refresh
from rbmbook.publish.catalogue import catalogue
from rbmbook.publish.errors import BadParameter, PublishError, UnknownName
from rbmbook.publish.freshness import status
from rbmbook.publish.page import external_requests
from rbmbook.publish.provenance import profile_notice
from rbmbook.publish.run import run, settle


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_profile_is_overridden_by_the_file_and_that_by_the_options(project) -> None:
    request = settle(project, "counting", {"n_items": 7, "label": "file"}, {"n_items": "8"}, profile="quick")
    assert request.values == {
        "n_items": 8,
        "fields": [1.0],
        "label": "file",
        "fast": True,
        "profile": "quick",
    }
    assert request.changed == request.values
    assert request.modified
    assert [cell.parameters for cell in request.cells] == [{"n_items": 8, "field": 1.0}]


def test_without_anything_given_the_notebook_is_the_published_one(project) -> None:
    request = settle(project, "counting")
    assert (request.profile, request.changed, request.modified) == ("book", {}, False)
    assert not settle(project, "counting", profile="quick").modified


def test_what_the_experiment_refuses_is_told_before_anything_runs(project) -> None:
    with pytest.raises(BadParameter, match=r"'counting' .*n_items must be at least 1, got -2"):
        settle(project, "counting", {"n_items": "-2"})


def test_an_unknown_profile_is_answered_with_the_valid_ones(project) -> None:
    with pytest.raises(UnknownName, match=r"'quik'; did you mean 'quick'\?.*quick, book"):
        settle(project, "counting", profile="quik")
    with pytest.raises(BadParameter, match="'summary' computes nothing of its own"):
        settle(project, "summary", profile="quick")


def test_a_notebook_that_sums_up_has_the_profiles_of_what_it_reads(workshop) -> None:
    cell = '```{code-cell} ipython3\n:tags: [parameters]\n\nprofile: str = "book"\n```\n\n'
    workshop.edit_notebook("summary", "# Summary\n\n", f"# Summary\n\n{cell}")
    request = settle(workshop.project, "summary", profile="quick")
    assert (request.changed, list(request.cells)) == ({"profile": "quick"}, [])
    with pytest.raises(UnknownName, match="quick, book"):
        settle(workshop.project, "summary", profile="paper")


def test_a_run_leaves_notebook_and_page_and_touches_nothing_published(project, tmp_path: Path) -> None:
    before = files(project.root)
    request = settle(project, "counting", {"fields": "4"}, profile="quick")
    notebook, page = run(project, request, tmp_path / "out", workers=1)
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["counting.html", "counting.ipynb"]
    assert files(project.root) == before
    text = page.read_text()
    assert external_requests(text) == []
    assert "The total is" in text
    assert ">4.00<" in text
    record = json.loads(notebook.read_text())["metadata"]["rbmlib"]
    assert record["profile"] == "quick"
    assert record["parameters"] == {"n_items": 1, "fields": [4.0], "label": "plain", "fast": True}


@pytest.mark.parametrize("inside", ["book/executed", "notebooks", "book"])
def test_published_folders_are_refused_as_output(project, inside: str) -> None:
    with pytest.raises(BadParameter, match="must lie outside"):
        run(project, settle(project, "counting"), project.root / inside, workers=1)


def test_the_book_executes_what_is_stale_and_nothing_twice(workshop) -> None:
    project = workshop.project
    lines = []
    assert refresh(project, workers=1, report=lines.append) == ["counting", "summary"]
    assert "counting: it was never executed; profile book costs two blinks" in lines
    assert {entry.state for entry in status(project)} == {"fresh"}
    before = files(project.root)
    assert refresh(project, workers=1) == []
    assert files(project.root) == before

    index = build(project)
    assert index.is_file()
    pages = index.parent / "book" / "executed"
    assert "9.00" in (pages / "counting.html").read_text()
    assert "9.0" in (pages / "summary.html").read_text()

    # A page that cites what does not exist builds, but not strictly.
    workshop.edit_notebook("summary", "# Summary", "# Summary\n\n{cite}`nobody`")
    with pytest.raises(PublishError, match="jupyter-book could not build the book"):
        build(project, strict=True)


def test_the_catalogue_tells_all_that_a_run_needs(project) -> None:
    counting, summary = json.loads(json.dumps(catalogue(project)))
    assert (counting["name"], counting["title"]) == ("counting", "Counting to $n$")
    assert counting["parameters"][1] == {
        "name": "fields",
        "type": "list[float]",
        "default": [1.0, 2.0],
        "help": "transverse fields h/J",
    }
    assert [parameter["name"] for parameter in counting["parameters"]] == [
        "n_items",
        "fields",
        "label",
        "fast",
    ]
    assert counting["profiles"]["quick"]["cost"] == "a blink"
    assert counting["profiles"]["quick"]["changes"] == {"n_items": 1, "fields": [1.0], "fast": True}
    assert counting["profiles"]["book"]["changes"] == {}
    assert summary["profiles"] == {}


@dataclasses.dataclass
class Profile:
    parameters: dict
    cost: str


def test_a_page_names_its_profile_its_cost_and_what_was_changed() -> None:
    profiles = {"book": Profile({"n": 3, "fields": (1.0, 2.0)}, "two hours on two cores")}
    plain = profile_notice(profiles, "book", {"n": 3, "fields": [1.0, 2.0]})
    expected = "This page was made with profile **book**, which costs two hours on two cores."
    assert plain._repr_markdown_() == expected
    changed = profile_notice(profiles, "book", {"n": 4, "fields": [1.0, 2.0], "other": 1})
    assert "changed to `n = 4`." in changed._repr_markdown_()
    assert str(changed).startswith("made with profile book, changed to n = 4 (")
    with pytest.raises(UnknownName):
        profile_notice(profiles, "bok")
