"""Where a clone is, what is in it, and its address."""

from pathlib import Path

import pytest

from rbmbook.publish import project as module
from rbmbook.publish.errors import NotInClone, UnknownName
from rbmbook.publish.freshness import status
from rbmbook.publish.project import Project, address_mismatches, find_project, repository_address


def test_a_clone_is_found_from_any_folder_inside_it(project: Project) -> None:
    assert find_project(project.executed).root == project.root


def test_outside_a_clone_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module, "__file__", str(tmp_path / "site-packages" / "rbmlib" / "publish" / "project.py")
    )
    with pytest.raises(NotInClone, match="rbmlib run needs a clone of the project") as caught:
        find_project(tmp_path, purpose="rbmlib run")
    assert "clone" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_are_those_of_the_sources(project: Project) -> None:
    assert project.names() == ["counting", "summary"]
    assert project.experiment_names() == ["counting"]
    with pytest.raises(UnknownName, match="did you mean 'counting'"):
        project.source("countin")


def make_addressed(root: Path, **files: str) -> Path:
    (root / "pyproject.toml").write_text(
        '[project]\nname = "x"\nurls.Repository = "https://github.com/house/thing"\n'
    )
    (root / "CITATION.cff").write_text("repository-code: https://github.com/house/thing\n")
    for name, text in files.items():
        (root / name.replace("_md", ".md")).write_text(text)
    return root


def test_an_address_that_differs_anywhere_is_reported(tmp_path: Path) -> None:
    other = "see https://github.com/house/thing and https://github.com/someone/else"
    assert address_mismatches(make_addressed(tmp_path, README_md=other)) == []
    wrong = "[badge](https://mybinder.org/v2/gh/old/thing/HEAD) https://github.com/house/thing"
    assert address_mismatches(make_addressed(tmp_path, README_md=wrong)) == [
        "README.md: mybinder.org/v2/gh/old/thing"
    ]
    (tmp_path / "CITATION.cff").write_text("title: x\n")
    assert any("CITATION.cff" in line for line in address_mismatches(tmp_path))
    assert repository_address(tmp_path) == "https://github.com/house/thing"


def test_a_notebook_that_the_contents_do_not_list_is_no_chapter_yet(workshop) -> None:
    project = workshop.project
    contents = project.root / "_toc.yml"
    contents.write_text("format: jb-book\nroot: book/executed/summary\n")
    assert project.names() == ["counting", "summary"]
    assert project.in_book() == ["summary"]
    assert [entry.name for entry in status(project)] == ["summary"]
    contents.unlink()
    assert project.in_book() == ["counting", "summary"]
