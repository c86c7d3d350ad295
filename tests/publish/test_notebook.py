"""Executing a notebook: the same bytes each time, and nothing at all if a cell fails."""

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from rbmbook.publish.errors import BadNotebook, NotebookFailed
from rbmbook.publish.notebook import code_of, execute, name_cells, parameters_of, read_source, tidy


def test_a_rerun_gives_the_same_bytes_and_names_nothing_of_this_machine(workshop, tmp_path: Path) -> None:
    said = []
    first = execute(
        workshop.project, "counting", tmp_path / "a.ipynb", record={"x": (1,)}, report=said.append
    )
    second = execute(workshop.project, "counting", tmp_path / "deep" / "b.ipynb", record={"x": (1,)})
    assert first.read_bytes() == second.read_bytes()
    content = first.read_text()
    for trace in ('"papermill"', "iopub", "0x", str(tmp_path), 'stderr",'):
        assert trace not in content
    assert said == ["second\n"]
    notebook = nbformat.read(first, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata["rbmlib"] == {"x": [1]}
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_given_values_reach_the_cells(workshop, tmp_path: Path) -> None:
    path = execute(
        workshop.project, "counting", tmp_path / "a.ipynb", values={"fields": [5.0], "label": 'a"b\\'}
    )
    outputs = [
        output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])
    ]
    glued = [output.data for output in outputs if output.get("metadata", {}).get("scrapbook")]
    assert glued == [{"application/papermill.record/text/plain": "15.0"}]


def test_a_failing_cell_leaves_the_old_file_and_tells_which_cell_failed(workshop, tmp_path: Path) -> None:
    workshop.edit_notebook("summary", "overview.report()", 'raise KeyError("gone")')
    old = tmp_path / "summary.ipynb"
    old.write_text("old")
    with pytest.raises(NotebookFailed, match=r"'summary' failed in code cell 1: KeyError: 'gone'") as caught:
        execute(workshop.project, "summary", old)
    assert old.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["summary.ipynb"]
    assert "Traceback" in caught.value.traceback


def test_cell_ids_follow_the_text_and_are_unique() -> None:
    notebook = new_notebook(cells=[new_markdown_cell("a"), new_markdown_cell("b"), new_markdown_cell("a")])
    name_cells(notebook)
    before = [cell["id"] for cell in notebook.cells]
    notebook.cells.insert(0, new_code_cell("new"))
    name_cells(notebook)
    assert len(set(before)) == 3
    assert [cell["id"] for cell in notebook.cells][1:] == before
    nbformat.validate(notebook)


def test_streams_come_out_in_one_piece_without_addresses_or_errors() -> None:
    outputs = [
        new_output("stream", name="stdout", text="one "),
        new_output("stream", name="stderr", text="/a/path: warning"),
        new_output("stream", name="stdout", text="<object at 0x7f0000000000>"),
        new_output("display_data", data={"text/plain": "<Line at 0x7f0000000000>"}),
    ]
    notebook = new_notebook(
        cells=[new_code_cell("x", outputs=outputs, metadata={"papermill": {}, "tags": []})]
    )
    notebook.metadata["papermill"] = {"start_time": "now"}
    assert tidy(notebook) == ["/a/path: warning"]
    (cell,) = notebook.cells
    assert cell.metadata == {}
    assert [output.get("text") or output.data["text/plain"] for output in cell.outputs] == [
        "one <object>",
        "<Line>",
    ]
    assert "papermill" not in json.dumps(notebook)


def test_parameters_are_those_of_the_tagged_cell(workshop) -> None:
    found = parameters_of(workshop.project, "counting")
    assert list(found) == ["n_items", "fields", "label", "fast", "profile"]
    assert found["n_items"].help == "how many; more than zero"
    assert parameters_of(workshop.project, "summary") == {}
    text = workshop.project.source("counting").read_text()
    workshop.write_notebook(
        "counting", text + "\n```{code-cell} ipython3\n:tags: [parameters]\nm: int = 1\n```\n"
    )
    with pytest.raises(BadNotebook, match="2 cells tagged 'parameters'"):
        parameters_of(workshop.project, "counting")


def test_code_leaves_out_magics_and_prose(workshop) -> None:
    workshop.edit_notebook("summary", "overview.report()", "%matplotlib inline\n!ls\noverview.report()")
    code = code_of(read_source(workshop.project.source("summary")))
    assert compile(code, "code", "exec")
    assert "Summary" not in code
    assert "overview.report()" in code
