"""A sweep computes what is missing, once, and nothing that goes wrong takes finished cells with it."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor

import numpy as np
import pytest
from filelock import FileLock

from rbmbook.lab import progress as progress_module
from rbmbook.lab import store as store_module
from rbmbook.lab.cell import Cell
from rbmbook.lab.errors import StoreNotWritable, SweepFailed
from rbmbook.lab.store import Store
from rbmbook.lab.sweep import fill, sweep

SERIAL = {"workers": 1, "progress": False}


def grid(cells, n, **parameters):
    return [Cell(cells.scaled, {"seed": seed, **parameters}) for seed in range(n)]


def with_ground(cells, n):
    ground = Cell(cells.ground, {"field": 1.0})
    return [Cell(cells.scaled, {"seed": seed}, {"ground": ground}) for seed in range(n)]


def files(store):
    return {p.name: p.read_bytes() for p in (store.cache / "results").glob("*/*.npz")}


def test_results_come_in_the_order_of_the_cells_and_are_what_the_function_returns(store, cells):
    wanted = [*grid(cells, 4)[::-1], *grid(cells, 2)]
    results = sweep(wanted, store, **SERIAL)
    for cell, result in zip(wanted, results, strict=True):
        assert result.identical(cells.scaled(**cell.parameters))
    assert sweep([], store, **SERIAL) == []


def test_a_stored_cell_is_never_computed_again(store, cells):
    first = sweep(with_ground(cells, 5), store, **SERIAL)
    assert (cells.calls("ground"), cells.calls("scaled")) == (1, 5)
    again = sweep(with_ground(cells, 6), store, **SERIAL)
    assert (cells.calls("ground"), cells.calls("scaled")) == (1, 6)
    assert all(a.identical(b) for a, b in zip(first, again, strict=False))


def test_worker_processes_give_the_same_bits_on_one_thread_with_a_compiler_cache_each(store, cells, tmp_path):
    other = Store(None, tmp_path / "other")
    wanted = [*with_ground(cells, 3), *[Cell(cells.whole_worker, {"seed": seed}) for seed in range(4)]]
    results = sweep(wanted, store, workers=2, progress=False)
    sweep(with_ground(cells, 3), other, **SERIAL)
    assert [r.value.values.tobytes() for r in results[:3]] == [
        r.value.values.tobytes() for r in sweep(wanted[:3], other, **SERIAL)
    ]
    assert {int(r.threads) for r in results[3:]} == {1}
    folders = {int(r.process): str(r.cache.values) for r in results[3:]}
    assert len(set(folders.values())) == len(folders)
    assert all(folder.startswith(str(store.cache / "numba")) for folder in folders.values())
    assert os.environ.get("NUMBA_CACHE_DIR") not in folders.values()
    assert store.origin(store.key(wanted[0]))["threads"] == 1


def test_any_executor_will_do_and_is_left_open(store, cells):
    with ThreadPoolExecutor(3) as executor:
        results = sweep(with_ground(cells, 8), store, executor=executor, progress=False)
        assert executor.submit(int, "3").result() == 3
    assert len(results) == 8
    assert cells.calls("ground") == 1


class Recorder(Executor):
    """Runs what it is given at once, and remembers it."""

    def __init__(self) -> None:
        self.seen = []

    def submit(self, function, /, *args, **kwargs):
        compute, parameters, *_ = args
        self.seen.append((compute.__name__, parameters.get("field", parameters.get("seed"))))
        future = Future()
        future.set_result(function(*args, **kwargs))
        return future


def test_what_rests_on_a_result_is_computed_next(store, cells):
    """A sweep that is stopped leaves whole lines of work, not the first step of all."""
    grounds = [Cell(cells.ground, {"field": field}) for field in (1.0, 2.0)]
    resting = [
        Cell(cells.scaled, {"seed": seed}, {"ground": grounds[seed // 2]}) for seed in range(4)
    ]  # two on each
    recorder = Recorder()
    sweep([*grounds, *resting], store, executor=recorder, workers=1, progress=False)
    lines = [[("ground", 1.0), ("scaled", 0), ("scaled", 1)], [("ground", 2.0), ("scaled", 2), ("scaled", 3)]]
    assert recorder.seen == [*lines[0], *lines[1]]


def test_a_changed_function_is_computed_anew_and_an_unrelated_one_is_not(store, cells):
    sweep(grid(cells, 2), store, **SERIAL)
    changed = cells.edit("energies = np.random", "energies = 1 + np.random")
    sweep(grid(changed, 2), store, **SERIAL)
    assert cells.calls("scaled") == 2
    changed = changed.edit("FACTOR = 2.0", "FACTOR = 4.0")
    sweep(grid(changed, 2), store, **SERIAL)
    assert cells.calls("scaled") == 4


def test_an_input_with_other_arrays_makes_its_cells_stale_and_one_with_equal_arrays_does_not(store, cells):
    sweep(with_ground(cells, 2), store, **SERIAL)
    same = cells.edit('count("ground")', 'count("ground"); field = float(field)')
    sweep(with_ground(same, 2), store, **SERIAL)
    assert (cells.calls("ground"), cells.calls("scaled")) == (2, 2)
    other = same.edit("energies = np.random", "energies = 1 + np.random")
    sweep(with_ground(other, 2), store, **SERIAL)
    assert (cells.calls("ground"), cells.calls("scaled")) == (3, 4)


def test_failing_cells_are_listed_with_their_tracebacks_and_the_others_are_stored(store, cells):
    bad = [Cell(cells.scaled, {"seed": 7, "scale": -1.0, "where": "here"})]
    with pytest.raises(SweepFailed, match="1 of 4 cells failed") as caught:
        sweep([*bad, *grid(cells, 3)], store, **SERIAL)
    (failure,) = caught.value.failures
    assert failure.parameters == {"seed": 7, "scale": -1.0, "where": "here"}
    assert "ValueError: the scale is negative" in failure.reason
    assert "Traceback" in failure.log.read_text()
    assert "seed=7" in failure.log.read_text()
    assert str(failure.log) in str(caught.value)
    assert cells.calls("scaled") == 4
    with pytest.raises(SweepFailed):
        sweep([*bad, *grid(cells, 3)], store, **SERIAL)
    assert cells.calls("scaled") == 5  # only what failed is tried again


def test_a_failed_input_fails_what_needs_it_and_nothing_else(store, cells):
    bad = Cell(cells.scaled, {"seed": 1, "scale": -1.0})
    needing = [Cell(cells.scaled, {"seed": seed}, {"ground": bad}) for seed in range(2)]
    with pytest.raises(SweepFailed, match="3 of 5 cells failed") as caught:
        sweep([*needing, *grid(cells, 2)], store, **SERIAL)
    assert [failure.log is not None for failure in caught.value.failures] == [True, False, False]
    assert "its input" in caught.value.failures[1].reason
    message = str(caught.value)
    assert message.count("\n") == 2
    assert message.endswith("2 cells that need what failed")
    assert len(files(store)) == 2


def test_a_reason_that_many_cells_fail_for_is_told_once(store, cells):
    bad = [Cell(cells.scaled, {"seed": seed, "scale": -1.0}) for seed in range(5)]
    waits = Cell(cells.scaled, {"seed": 0}, {"ground": bad[0]})
    with pytest.raises(SweepFailed, match="6 of 6 cells failed") as caught:
        sweep([*bad, waits], store, **SERIAL)
    failures = caught.value.failures
    assert len(failures) == 6
    message = str(caught.value)
    assert message.count("the scale is negative") == 1
    assert "\n  5 cells: ValueError: the scale is negative" in message
    (first,) = [one for one in failures if one.log is not None and one.call in message]
    assert f"the first: {first.call} (traceback: {first.log})" in message
    assert message.endswith("\n  1 cell that needs what failed")
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_a_result_that_cannot_be_stored_is_a_failed_cell(store, cells):
    cells = cells.edit("def crash(seed):", "def wrong(seed):\n    return seed\n\n\ndef crash(seed):")
    with pytest.raises(SweepFailed, match="returned a int"):
        sweep([Cell(cells.wrong, {"seed": 1})], store, **SERIAL)
    assert files(store) == {}


def test_a_cell_that_kills_its_worker_fails_alone(store, cells):
    wanted = [*grid(cells, 2), Cell(cells.crash, {"seed": 1}), *grid(cells, 3, scale=2.0)]
    with pytest.raises(SweepFailed, match="1 of 6 cells failed") as caught:
        sweep(wanted, store, workers=2, progress=False)
    assert "worker process died" in caught.value.failures[0].reason
    assert len(files(store)) == 5


def test_a_worker_with_other_source_refuses_to_compute(store, cells):
    fill(grid(cells, 1), store, **SERIAL)  # takes the fingerprint
    cells.source.write_text(cells.source.read_text().replace("FACTOR = 2.0", "FACTOR = 3.0"))
    with pytest.raises(SweepFailed, match=r"CodeChanged.*start the sweep again"):
        sweep(grid(cells, 1, scale=2.0), store, workers=2, progress=False)
    assert len(files(store)) == 1


class _Broken(Executor):
    def submit(self, function, /, *args, **kwargs):
        future = Future()
        future.set_exception(BrokenExecutor("gone"))
        return future


def test_a_broken_executor_of_the_caller_is_reported_for_every_cell(store, cells):
    with pytest.raises(SweepFailed, match="3 of 3 cells failed"):
        sweep(grid(cells, 3), store, executor=_Broken(), progress=False)
    assert len(sweep(grid(cells, 3), store, **SERIAL)) == 3


def test_a_damaged_result_is_named_set_aside_and_computed_again(store, cells):
    wanted = with_ground(cells, 3)
    before = sweep(wanted, store, **SERIAL)
    ground, cell = wanted[0].needs["ground"], wanted[1]
    paths = [store.cache / "results" / "study" / f"{store.key(c)[:16]}.npz" for c in (ground, cell)]
    originals = [path.read_bytes() for path in paths]
    for path in paths:
        path.write_bytes(path.read_bytes()[:100])
    told = []
    after = sweep(wanted, Store(store.published, store.cache), workers=1, progress=told.append)
    assert all(a.identical(b) for a, b in zip(before, after, strict=True))
    assert sum("seed=1" in line and "damaged" in line for line in told) == 1
    assert sum("ground(field=1.0)" in line and "damaged" in line for line in told) == 1
    aside = sorted((store.cache / "damaged" / "study").iterdir())
    assert [path.stat().st_size for path in aside] == [100, 100]
    assert (cells.calls("ground"), cells.calls("scaled")) == (2, 4)
    assert all(path.stat().st_size > len(old) - 30 for path, old in zip(paths, originals, strict=True))


def test_publishing_writes_the_published_tier_and_takes_along_what_was_cached(store, cells):
    wanted = with_ground(cells, 3)
    sweep(wanted[:2], store, **SERIAL)
    sweep(wanted, store, publish=True, **SERIAL)
    assert (cells.calls("ground"), cells.calls("scaled")) == (1, 3)
    assert len(list(store.published.glob("study/*.npz"))) == 4
    clone = Store(store.published, store.cache / "nothing")
    assert len(sweep(wanted, clone, **SERIAL)) == 3
    assert cells.calls("scaled") == 3
    assert not clone.cache.exists()  # a fresh clone with everything published writes nothing


def test_an_input_whose_large_part_is_missing_is_computed_again_for_it(store, cells):
    source = Cell(cells.two_tiers, {"seed": 1})
    fill([source], store, publish=True, **SERIAL)
    published = next(store.published.glob("study/*.npz")).read_bytes()
    clone = Store(store.published, store.cache / "clone")
    (result,) = sweep([Cell(cells.from_large, {"seed": 2}, {"source": source})], clone, **SERIAL)
    assert float(result["mean"]) == pytest.approx(float(cells.two_tiers(1).large.mean()) + 2, abs=1e-15)
    assert next(store.published.glob("study/*.npz")).read_bytes() == published


def test_an_input_that_does_not_come_out_as_published_fails_instead_of_mixing(store, cells):
    cells = cells.edit("draws = np.random.default_rng(seed)", "draws = np.random.default_rng()")
    source = Cell(cells.two_tiers, {"seed": 1})
    fill([source], store, publish=True, **SERIAL)
    clone = Store(store.published, store.cache / "clone")
    with pytest.raises(SweepFailed, match="ConflictingResult"):
        sweep([Cell(cells.from_large, {"seed": 2}, {"source": source})], clone, **SERIAL)


def test_two_sweeps_at_once_compute_each_cell_once(store, cells):
    wanted = [*with_ground(cells, 6), *grid(cells, 6, sleep=0.02)]
    results = {}

    def run(name):
        results[name] = sweep(wanted, Store(store.published, store.cache), **SERIAL)

    threads = [threading.Thread(target=run, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (cells.calls("ground"), cells.calls("scaled")) == (1, 12)
    assert all(x.identical(y) for x, y in zip(results["a"], results["b"], strict=True))
    assert not list((store.cache / "locks").iterdir())


def test_a_cell_that_another_sweep_holds_is_waited_for_and_taken_over_if_it_dies(store, cells):
    (cell,) = grid(cells, 1)
    lock = FileLock(store.cache / "locks" / f"{store.key(cell)[:32]}.lock")
    (store.cache / "locks").mkdir(parents=True)
    lock.acquire()
    thread = threading.Thread(target=sweep, args=([cell], store), kwargs=SERIAL)
    thread.start()
    time.sleep(0.3)
    assert cells.calls("scaled") == 0
    lock.release()
    thread.join(10)
    assert cells.calls("scaled") == 1


def test_a_full_disk_stops_the_sweep_and_keeps_what_is_finished(store, cells, monkeypatch):
    fsync, written = os.fsync, []

    def full(descriptor):
        written.append(descriptor)
        if len(written) > 3:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, "fsync", full)
        with pytest.raises(StoreNotWritable, match="free some space"):
            sweep(grid(cells, 6), store, **SERIAL)
    assert len(files(store)) == 3
    sweep(grid(cells, 6), store, **SERIAL)
    assert cells.calls("scaled") == 7


def test_nothing_is_said_if_nothing_was_missing_and_one_line_otherwise(store, cells, capsys):
    told = []
    sweep(grid(cells, 3), store, workers=1, progress=told.append)
    assert told == ["study: 3 cells, 0 already stored, 3 computed in 0 s"]
    sweep(grid(cells, 3), store, workers=1, progress=told.append)
    sweep(grid(cells, 3), store, workers=1)
    assert len(told) == 1
    assert capsys.readouterr() == ("", "")
    sweep(grid(cells, 5), store, workers=1)
    assert capsys.readouterr() == ("", "study: 5 cells, 3 already stored, 2 computed in 0 s\n")


def test_a_terminal_shows_a_bar_with_counts_and_time_left(store, cells, capsys, monkeypatch):
    monkeypatch.setattr(progress_module.sys.stderr, "isatty", lambda: True, raising=False)
    with pytest.raises(SweepFailed):
        sweep([Cell(cells.scaled, {"seed": 1, "scale": -1.0}), *grid(cells, 3)], store, workers=1)
    shown = capsys.readouterr().err
    assert "3/4" in shown
    assert "failed=1" in shown
    assert "running=" in shown
    assert "<" in shown  # elapsed<left


@pytest.mark.parametrize("workers", [0, -1, 2.0, True])
def test_a_wrong_number_of_workers_is_told(store, cells, workers):
    with pytest.raises(ValueError, match="workers is"):
        sweep(grid(cells, 1), store, workers=workers)


def test_what_is_not_a_cell_or_a_callback_is_told(store, cells):
    with pytest.raises(TypeError, match="must be a Cell"):
        sweep([1], store)
    with pytest.raises(TypeError, match="progress is 3"):
        sweep(grid(cells, 1), store, progress=3)


def test_stored_cells_are_recognised_from_names_alone(store, cells, monkeypatch):
    fill(grid(cells, 3), store, **SERIAL)
    monkeypatch.setattr(Store, "_content", lambda *_: pytest.fail("a file was opened"))
    summary = fill(grid(cells, 3), Store(store.published, store.cache), **SERIAL)
    assert (summary.stored, summary.computed) == (3, 0)


SCRIPT = """
    import sys

    from lab_package.study import scaled, ground
    from rbmbook.lab.cell import Cell
    from rbmbook.lab.store import Store
    from rbmbook.lab.sweep import sweep

    if __name__ == "__main__":
        need = Cell(ground, {"field": 1.0})
        cells = [Cell(scaled, {"seed": s, "sleep": 0.05}, {"ground": need}) for s in range(24)]
        sweep(cells, Store(None, sys.argv[1]), workers=int(sys.argv[2]), progress=False)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sweep_killed_at_any_moment_continues_to_the_same_bits(tmp_path, cells, workers):
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = os.environ | {"PYTHONPATH": str(cells.source.parents[1])}
    killed, whole = Store(None, tmp_path / "killed"), Store(None, tmp_path / "whole")
    command = [sys.executable, str(script), str(killed.cache), str(workers)]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(files(killed)) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = files(killed)
    assert 6 <= len(done) < 25
    wait_for_group_to_end(process.pid)
    before = cells.calls("scaled")
    ground = Cell(cells.ground, {"field": 1.0})
    wanted = [Cell(cells.scaled, {"seed": s, "sleep": 0.05}, {"ground": ground}) for s in range(24)]
    resumed = sweep(wanted, killed, **SERIAL)
    assert cells.calls("scaled") - before == 25 - len(done)
    straight = sweep(wanted, whole, **SERIAL)
    for a, b in zip(resumed, straight, strict=True):
        np.testing.assert_array_equal(a.value.values.view(np.uint8), b.value.values.view(np.uint8))
    assert {name: content for name, content in files(killed).items() if name in done} == done


def wait_for_group_to_end(group):
    """Idle workers notice that their parent was killed."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError("workers outlive their parent")


# Nobody waits in silence


def test_a_cell_that_another_process_computes_is_told_at_once(store, cells):
    (cell,) = grid(cells, 1)
    lock = FileLock(store.cache / "locks" / f"{store.key(cell)[:32]}.lock")
    (store.cache / "locks").mkdir(parents=True)
    lock.acquire()
    told = []

    def note(line):
        told.append(line)
        lock.release()

    sweep([cell], store, workers=1, progress=note)
    assert len(told) == 2
    assert told[0].startswith(f"another process is computing {cell}; ")
    assert "what it leaves is computed here" in told[0]


def test_off_a_terminal_a_line_comes_every_half_minute_even_while_one_cell_is_computed(monkeypatch):
    from rbmbook.lab import ticking
    from rbmbook.lab.progress import Reporter

    assert ticking.EVERY == 30
    monkeypatch.setattr(ticking, "EVERY", 0.05)
    told = []
    reporter = Reporter(told.append, "study")
    reporter.start(7, 2)
    deadline = time.monotonic() + 30
    while len(told) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    reporter.update(3, 2, 1)
    begun = len(told)
    while len(told) < begun + 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    reporter.close()
    closed = len(told)
    time.sleep(0.2)
    assert len(told) == closed
    assert told[0].startswith("study: 2 of 7 cells stored after ")
    assert told[-1].startswith("study: 3 of 7 cells stored, 2 running, 1 failed after ")


def test_silence_stays_silent(monkeypatch, capsys):
    from rbmbook.lab import ticking
    from rbmbook.lab.progress import Reporter

    monkeypatch.setattr(ticking, "EVERY", 0.01)
    reporter = Reporter(False, "study")
    reporter.start(7, 2)
    time.sleep(0.1)
    reporter.close()
    assert capsys.readouterr().err == ""
