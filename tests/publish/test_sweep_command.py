"""``rbmlib sweep`` in a process of its own: what it shows while it works, and what it says of cells that fail."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from rbmbook.lab.store import Store

SLOW = ("sweep", "sketch", "--profile", "slow", "--workers", "2")
QUICK = ("sweep", "sketch", "--profile", "book", "--workers", "1")


@pytest.fixture
def clone(make_clone, tmp_path):
    return make_clone(tmp_path)


def run(clone, *arguments):
    return subprocess.run(
        clone.command(*arguments),
        cwd=clone.root,
        env=clone.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_in_terminal(clone, *arguments, columns=120):
    """Give the command a terminal of its own; return its exit code and everything that it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40 if columns else 0, columns, 0, 0))
    environment = clone.environment(TERM="xterm")
    process = subprocess.Popen(
        clone.command(*arguments), cwd=clone.root, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written, deadline = b"", time.monotonic() + 120
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1.0)[0]:
                continue
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            written += piece
        return process.wait(10), written.decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_terminal_shows_a_bar_that_moves_and_tells_of_failures_at_once(clone):
    clone.failing.write_text("3")
    code, shown = run_in_terminal(clone, *SLOW)
    assert code == 1, shown
    steps = [
        tuple(map(int, step)) for step in re.findall(r"(\d+)/13 \[[^\r]*failed=(\d), running=(\d)", shown)
    ]
    assert len({done for done, _, _ in steps}) > 5  # it moved
    assert max(done for done, _, _ in steps) == 12
    assert {failed for _, failed, _ in steps} == {0, 1}
    assert max(running for _, _, running in steps) == 2
    assert re.search(r"\d\d:\d\d<\d\d:\d\d", shown)  # elapsed<left
    told = [line for line in re.split(r"[\r\n]+", shown) if "draw(seed=3" in line]
    assert len(told) == 2  # when it happened, and at the end
    clone.failing.unlink()
    code, shown = run_in_terminal(clone, *SLOW, columns=0)  # a terminal that does not know its width
    assert code == 0, shown
    assert "12/13" in shown
    assert "13/13" in shown


def test_a_log_gets_one_line_and_a_sweep_with_nothing_to_do_only_its_result(clone):
    done = run(clone, *QUICK)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"sketch_cells: 7 cells, 0 already stored, 7 computed in \d+ s\n", done.stderr)
    assert done.stdout == "6 results of sketch, profile book, are stored\n"
    again = run(clone, *QUICK)
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, "")


IN_A_NOTEBOOK = """
from rbmbook.studies.sketch.study import cells
from rbmbook.lab.sweep import sweep

len(sweep(cells({n_seeds}, 0.1), workers={workers}))
"""


def test_a_notebook_shows_one_quiet_line_and_no_bar(clone):
    runs = [(4, 2), (6, 1), (6, 2)]
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell(IN_A_NOTEBOOK.format(n_seeds=n_seeds, workers=workers))
        for n_seeds, workers in runs
    ]
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute(
        env=clone.environment(), cwd=clone.root
    )
    shown = [[(one.output_type, one.get("text", "")) for one in cell.outputs] for cell in notebook.cells]
    for outputs, line in zip(
        shown, ("5 cells, 0 already stored, 5", "7 cells, 5 already stored, 2"), strict=False
    ):
        told, result = outputs
        assert re.fullmatch(rf"sketch_cells: {line} computed in \d+ s\n", told[1])
        assert result[0] == "execute_result"
    assert [kind for kind, _ in shown[2]] == ["execute_result"]  # nothing was missing


def test_failed_cells_are_named_the_others_go_on_and_a_rerun_retries_only_them(clone):
    clone.failing.write_text("2 4")
    done = run(clone, *QUICK)
    assert done.returncode == 1
    assert len(clone.published()) == 5
    assert "2 of 7 cells failed; the others are stored." in done.stderr
    assert "Traceback (most" not in done.stderr
    for seed in (2, 4):
        (line,) = [line for line in done.stderr.splitlines() if f"draw(seed={seed}, seconds=0.0)" in line]
        assert f"ValueError: nothing can be drawn for {seed}" in line
        log = Path(re.search(r"\(traceback: (.*)\)", line)[1])
        assert log.is_relative_to(clone.cache)
        assert "in draw" in log.read_text()
        assert f"seed={seed}" in log.read_text()
    assert len(clone.started()) == 6
    clone.failing.unlink()
    assert run(clone, *QUICK).returncode == 0
    assert [seed for seed, _ in clone.started()].count(2) == 2
    assert len(clone.started()) == 8
    assert len(clone.published()) == 7
    assert not list((clone.cache / "failures").rglob("*.txt"))
    assert all(entry.published for entry in Store(clone.root / "book" / "results", clone.cache).entries())
