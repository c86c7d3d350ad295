"""Where the command meets its surroundings: paths, folders that cannot be written, files in any state, line ends."""

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from rbmlib import cache, checkpoints
from rbmlib.cli import cli
from rbmlib.lab.store import Store
from rbmlib.publish import audit, run
from rbmlib.publish.account import accounts, bench
from rbmlib.publish.audit import ResultsStatus
from rbmlib.publish.build import build
from rbmlib.publish.errors import BadParameter, NotWritable, PublishError
from rbmlib.publish.freshness import files_digest, notebook_status
from rbmlib.publish.notebook import require_writable
from rbmlib.publish.parameters import read_parameters


@pytest.fixture
def nothing_computed(monkeypatch):
    """Fails if anything is computed or executed."""

    def never(*arguments, **options):
        raise AssertionError("something was computed")

    monkeypatch.setattr("rbmlib.lab.sweep.sweep", never)
    monkeypatch.setattr("rbmlib.publish.run.execute", never)
    monkeypatch.setattr("rbmlib.publish.build.execute", never)


# Paths


@pytest.mark.parametrize(
    ("given", "expected"), [("c", "{here}/c"), ("../c", "{here}/../c"), ("~/c", "{home}/c"), ("/c", "/c")]
)
def test_a_path_is_made_absolute_and_its_home_expanded(tmp_path, monkeypatch, given, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/of")
    assert str(cache.absolute(given)) == expected.format(here=tmp_path, home="/home/of")
    assert str(Store(given, given).cache) == expected.format(here=tmp_path, home="/home/of")


def test_the_environments_paths_are_settled_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in cache.PATHS:
        monkeypatch.setenv(name, "c")
    cache.settle_paths()
    monkeypatch.chdir("/")
    cache.settle_paths()
    assert {os.environ[name] for name in cache.PATHS} == {str(tmp_path / "c")}


def test_a_home_that_is_not_there_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setenv("RBMLIB_DATA", "~nobody-of-this-name/data")
    done = CliRunner().invoke(cli, ["list"], prog_name="rbmlib")
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "RBMLIB_DATA must be a folder, and ~nobody-of-this-name/data names a home that" in done.output


def test_without_any_home_the_cache_is_a_place_where_nothing_can_be(monkeypatch):
    monkeypatch.delenv("RBMLIB_CACHE", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: f"~/.cache/{name}")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert cache.cache_root() == Path("/dev/null/rbmlib")
    assert list(Store(None, cache.cache_root()).entries()) == []


def test_a_cache_below_a_home_is_one_folder_for_everybody(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/of")
    monkeypatch.setenv("RBMLIB_CACHE", "~/c")
    assert checkpoints.folder() == Path("/home/of/c/checkpoints")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RBMLIB_CACHE", "c")
    assert cache.cache_root() == tmp_path / "c"


def test_one_relative_cache_serves_the_command_and_its_kernel(make_clone, tmp_path):
    clone, elsewhere = make_clone(tmp_path), tmp_path / "else where"
    elsewhere.mkdir()
    (clone.root / ".git").mkdir()
    environment = clone.environment(RBMLIB_CACHE="c", HOME=str(tmp_path))
    words = ["run", "sketch", "-p", "n_seeds", "2", "--out", "~/out", "--workers", "1"]
    done = subprocess.run(
        clone.command(*words), cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["sketch.html", "sketch.ipynb"]
    assert len(clone.started()) == 2
    assert len(list((elsewhere / "c" / "results").rglob("*.npz"))) == 3
    assert [path.name for path in elsewhere.iterdir()] == ["c"]
    assert [path.name for path in (clone.root / "notebooks").iterdir()] == ["sketch.md"]


# Folders that cannot be written


def test_an_output_folder_is_tried_before_anything_is_computed(project, tmp_path, nothing_computed):
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "counting.html").mkdir(parents=True)
    request = run.settle(project, "counting")
    places = {
        "/proc/x": "the output folder, /proc/x, cannot be written: ",
        f"{tmp_path}/file/out": f"the output folder, {tmp_path}/file/out, cannot be written: Not a directory",
        f"{tmp_path}/taken": "the output folder must have room for counting.html",
        f"{tmp_path}/{'x' * 300}": "File name too long",
    }
    for place, words in places.items():
        with pytest.raises((NotWritable, BadParameter), match=words):
            run.run(project, request, Path(place))
    assert sorted(path.name for path in tmp_path.iterdir() if path.name in ("out", "file", "taken")) == [
        "file",
        "taken",
    ]


def test_trying_a_folder_leaves_nothing(tmp_path):
    require_writable(tmp_path / "a" / "b", "the folder")
    require_writable(tmp_path, "the folder")
    assert list(tmp_path.iterdir()) == []


def refuse_to_write(monkeypatch, folder: Path) -> None:
    """Let a folder and all below it be read-only, whoever asks."""
    import tempfile

    real = tempfile.TemporaryFile

    def temporary(*arguments, **options):
        if Path(options["dir"]).is_relative_to(folder):
            raise PermissionError(13, "Permission denied")
        return real(*arguments, **options)

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)


def test_so_are_the_folders_of_a_sweep_and_of_the_book(project, monkeypatch, nothing_computed):
    project.results.mkdir(parents=True)
    refuse_to_write(monkeypatch, project.root / "book")
    with pytest.raises(NotWritable, match=r"the folder of published results, .*: Permission denied"):
        run.fill(project, run.settle(project, "counting").cells, publish=True)
    with pytest.raises(NotWritable, match=r"the folder of executed notebooks, .*: Permission denied"):
        build(project)
    (project.root / "_build").write_text("")
    with pytest.raises(NotWritable, match="the folder of the built book"):
        build(project)


# Files in any state


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b'{"metadata": 3}', b"[" * 100_000])
def test_a_damaged_executed_notebook_is_stale(project, content):
    project.executed_path("counting").write_bytes(content)
    assert (
        notebook_status(project, "counting").reason
        == "the executed notebook carries no record of what made it"
    )


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_damaged_figures_of_the_account_are_told_by_file(project, content):
    project.results.mkdir(parents=True)
    (project.results / "bench.json").write_bytes(content)
    with pytest.raises(PublishError, match=r"bench\.json is not a file of measured figures"):
        bench(project)
    project.executed_path("counting").write_bytes(content)
    with pytest.raises(PublishError, match=r"counting\.ipynb is not an executed notebook"):
        accounts(project)


@pytest.mark.parametrize(
    "content", [b"n_items: 2020-13-45\n", b"\xff\xfe\x00", b"a: &a [*a", b"? {", b"[" * 5000], ids=str
)
def test_a_file_of_parameters_in_any_state_is_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(BadParameter, match=r"mine\.yaml is not YAML"):
        read_parameters(path)
    with pytest.raises(BadParameter, match="cannot be read: Is a directory"):
        read_parameters(tmp_path)


# Line ends


def test_files_that_a_notebook_reads_count_whatever_their_line_ends(workshop):
    workshop.edit_notebook("counting", "kernelspec:", "rbmlib:\n  reads: [data/*]\nkernelspec:")
    folder = workshop.project.root / "data"
    folder.mkdir()
    found = []
    for text, binary in (
        (b"a\nb\n", b"\0\n"),
        (b"a\r\nb\r\n", b"\0\n"),
        (b"a\nb\n", b"\0\r\n"),
        (b"a\nc\n", b"\0\n"),
    ):
        (folder / "a.txt").write_bytes(text)
        (folder / "b.bin").write_bytes(binary)
        found.append(files_digest(workshop.project, "counting"))
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_git_leaves_the_line_ends_of_every_checkout_alone(root):
    told = subprocess.run(
        ["git", "check-attr", "eol", "text", "--", "notebooks/rbm_graph.md", "rbmlib/rbm.py", "book/results/x.npz"],
        cwd=root, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert [line.rpartition(" ")[2] for line in told.splitlines()] == [
        "lf",
        "auto",
        "lf",
        "auto",
        "lf",
        "unset",
    ]


# Lines that can be read


def test_a_line_of_status_stays_a_line():
    reasons = {f"stale: its input {name} changed": 1 for name in range(300)}
    line = str(ResultsStatus("judge", "book", 7, reasons, ()))
    assert line.startswith("7 of 307 fresh; 1 stale: its input 0 changed; ")
    assert line.endswith("296 for other reasons (rbmlib status --json has them all)")
    assert len(line) < 300
    assert audit.as_json([], audit.Audit((), (), ()))["results"] == []
