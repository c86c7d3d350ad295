"""The command: what it prints, what it leaves, and how it says no."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from rbmbook.cli import cli
from rbmbook.publish.project import Project


def call(project: Project | None, *arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), obj=project, prog_name="rbmlib")


def refused(result: Result) -> str:
    """The one sentence of a refusal."""
    assert result.exit_code == 2, result.output
    lines = [line for line in result.output.splitlines() if line]
    assert len(lines) == 1, result.output
    assert "Traceback" not in result.output
    return lines[0]


def test_list_has_a_line_for_each_notebook_with_what_its_profiles_cost(project: Project) -> None:
    head, counting, summary, *_ = call(project, "list").output.splitlines()
    assert head.split() == ["name", "title", "quick", "book"]
    assert counting.split("  ")[0] == "counting"
    for piece in ("Counting to $n$", "a blink", "two blinks"):
        assert piece in counting
    assert summary.split()[0] == "summary"
    entries = json.loads(call(project, "list", "--json").output)
    assert [entry["name"] for entry in entries] == ["counting", "summary"]


@pytest.mark.parametrize(
    "arguments", [("list", "counting"), ("run", "counting", "--help"), ("run", "-h", "counting")]
)
def test_the_parameters_of_one_notebook_are_shown(project: Project, arguments: tuple[str, ...]) -> None:
    result = call(project, *arguments)
    assert result.exit_code == 0
    for piece in (
        "-p fields (list[float], default [1.0, 2.0])  transverse",
        "--profile quick  costs a blink",
    ):
        assert piece in result.output
    assert "Summary" not in result.output


def test_help_on_a_notebook_that_does_not_exist_says_so_and_still_helps(project: Project) -> None:
    text = call(project, "run", "countin", "--help").output
    assert "did you mean 'counting'?" in text
    assert "--profile" in text
    assert "did you mean 'counting'?" in refused(call(project, "list", "countin"))
    assert "--profile" in call(project, "run", "--help").output


@pytest.mark.parametrize(
    "given", [("-p", "n_items=2"), ("-pn_items=2",), ("--parameter=n_items=2",), ("-p", "n_items", "2")]
)
def test_a_parameter_may_be_given_with_an_equals_sign(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...]
) -> None:
    from rbmbook.publish import run as module

    asked = []
    monkeypatch.setattr(module, "run", lambda project, request, out, **_: asked.append(request) or ("a", "b"))
    monkeypatch.setattr(module, "outcome", lambda notebook, project: ["what: it is"])
    result = call(project, "run", "counting", *given, "-p", "label", "a=b", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert (asked[0].values["n_items"], asked[0].values["label"]) == (2, "a=b")
    # What came out comes first, paths last.
    assert result.output.splitlines() == ["what: it is", "notebook: a", "page:     b"]


def test_half_a_parameter_is_answered_with_an_example(project: Project) -> None:
    result = call(project, "run", "counting", "-p", "n_items")
    assert result.exit_code == 2
    assert "such as -p n_seeds 3 or -p n_seeds=3" in result.output


def test_an_interrupted_command_says_that_it_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rbmbook.publish import run as module

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run", interrupted)
    result = call(project, "run", "counting")
    assert result.exit_code == 1
    assert "the same command goes on from there" in result.output


def test_what_a_run_costs_is_said_before_it_begins(project: Project) -> None:
    from rbmbook.publish.run import cost_of, fill, settle

    request = settle(project, "counting", profile="quick")
    assert cost_of(project, request) == "counting: 1 result to compute; profile quick costs a blink"
    fill(project, request.cells, workers=1)
    assert cost_of(project, request) == ""
    changed = settle(project, "counting", {"fields": "1,5"}, profile="quick")
    assert cost_of(project, changed) == (
        "counting: 1 of 2 results to compute, the others are stored; profile quick, as it stands without your changes, "
        "costs a blink"
    )
    assert cost_of(project, settle(project, "summary")) == ""


def test_run_says_where_its_files_are(project: Project, tmp_path: Path) -> None:
    chosen = tmp_path / "mine.yaml"
    chosen.write_text("n_items: 2\nfields: [1e-3, 2]\n")
    out = tmp_path / "there"
    result = call(
        project, "run", "counting", "--profile", "quick", "-f", str(chosen), "-p", "n_items", "5",
        "--out", str(out), "--workers", "1",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    for path in (out / "counting.ipynb", out / "counting.html"):
        assert path.is_file()
        assert str(path) in result.output
    record = json.loads((out / "counting.ipynb").read_text())["metadata"]["rbmlib"]
    assert record["parameters"]["n_items"] == 5
    assert record["parameters"]["fields"] == [1e-3, 2.0]


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["run", "countin"], ["'countin'", "did you mean 'counting'?", "summary"]),
        (["run", "counting", "-p", "n_item", "3"], ["'n_item'", "did you mean 'n_items'?", "fields"]),
        (["run", "counting", "--profile", "bok"], ["'bok'", "did you mean 'book'?", "quick"]),
        (["run", "counting", "-p", "n_items", "3.5"], ["n_items", "int", "'3.5'"]),
        (["run", "counting", "-p", "n_items", "-1"], ["n_items must be at least 1, got -1"]),
        (["run", "counting", "-p", "fields", "nan"], ["fields", "finite", "'nan'"]),
        (["sweep", "nothing", "--profile", "book"], ["'nothing'", "counting, summary"]),
        (["sweep", "counting", "--profile", "paper"], ["'paper'", "quick, book"]),
    ],
)
def test_a_wrong_request_gets_one_sentence_and_leaves_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], pieces: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sentence = refused(call(project, *arguments))
    for piece in pieces:
        assert piece in sentence
    assert not (tmp_path / "rbmlib-output").exists()


@pytest.mark.parametrize("content", ["- 1\n", "a: [", "3", "n_items: {a: 1}"])
def test_a_file_that_holds_no_parameters_is_refused(project: Project, tmp_path: Path, content: str) -> None:
    chosen = tmp_path / "mine.yaml"
    chosen.write_text(content)
    refused(call(project, "run", "counting", "-f", str(chosen)))


def test_a_failing_cell_is_shown_and_ends_with_code_one(workshop, tmp_path: Path) -> None:
    workshop.edit_notebook("summary", "overview.report()", "1 / 0")
    result = call(workshop.project, "run", "summary", "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith(
        "Error: notebook 'summary' failed in code cell 1: ZeroDivision"
    )
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_sweep_fills_the_published_store(project: Project) -> None:
    result = call(project, "sweep", "counting", "--profile", "book", "--workers", "1")
    assert result.exit_code == 0, result.output
    assert "2 results of counting, profile book, are stored" in result.output
    assert len(list(project.results.rglob("*.npz"))) == 2


def test_the_scorecard_prints_what_was_found_and_gives_records_to_programs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("rbmbook.studies.scorecard.study")
    claims = [SimpleNamespace(id="A1.x"), SimpleNamespace(id="A2.y")]
    verdicts = [
        SimpleNamespace(verdict="reproduced", count="2 of 2 hold", finding="It grows by 3 %.", reason="so"),
        SimpleNamespace(verdict="not decided", count="", finding="", reason="not run yet"),
    ]
    module.scorecard = lambda: list(zip(claims, verdicts, strict=True))
    module.records = lambda: [{"id": "A1.x", "interval": [0.1, None]}]
    module.as_csv = lambda rows: f"id\n{rows[0]['id']}\n"
    monkeypatch.setattr("rbmbook.studies.scorecard.study", module)
    assert json.loads(call(project, "scorecard", "--json").output) == [
        {"id": "A1.x", "interval": [0.1, None]}
    ]
    assert call(project, "scorecard", "--csv").output == "id\nA1.x\n"
    head, first, second = call(project, "scorecard").output.splitlines()
    assert head.split() == ["id", "verdict", "parts", "found"]
    assert first.split() == ["A1.x", "reproduced", "2", "of", "2", "hold", "It", "grows", "by", "3", "%."]
    assert second.split() == ["A2.y", "not", "decided", "not", "run", "yet"]


def test_outside_a_clone_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rbmbook.publish import project as module

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "site" / "rbmlib" / "publish" / "project.py"))
    for arguments in (["list"], ["run", "x"], ["book"], ["scorecard"], ["sweep", "x", "--profile", "book"]):
        assert f"rbmlib {arguments[0]} needs a clone of the project" in refused(call(None, *arguments))


def test_a_missing_package_is_answered_with_its_extra(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rbmbook.publish.catalogue", None)

    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'papermill'", name="papermill.execute")

    catalogue = ModuleType("rbmbook.publish.catalogue")
    catalogue.catalogue = missing
    monkeypatch.setitem(sys.modules, "rbmbook.publish.catalogue", catalogue)
    result = call(project, "list")
    assert result.exit_code == 1
    assert "papermill: pip install 'rbmlib[book]'" in result.output


def test_help_comes_fast_and_imports_nothing_heavy() -> None:
    script = (
        "import sys, rbmbook.cli\n"
        "try:\n    rbmbook.cli.cli(['--help'], prog_name='rbmlib')\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'numba', 'matplotlib', 'xarray', 'tenpy', 'torch', 'papermill', 'jupytext'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "rbmlib run tfim_pruning --profile quick" in done.stdout
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < 5  # a runaway import, not a benchmark; processor time, because the machine may be busy


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rbmbook", "run", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "--profile" in done.stdout
