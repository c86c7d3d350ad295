"""Sweeps on a real Dask cluster: a scheduler and workers in processes of their own, on the loopback."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner

from rbmbook.cli import cli
from rbmbook.lab import cluster as cluster_module
from rbmbook.lab import container
from rbmbook.lab.cell import Cell
from rbmbook.lab.cluster import cluster
from rbmbook.lab.errors import (
    ClusterError,
    CodeChanged,
    SchedulerLost,
    SchedulerUnreachable,
    SweepFailed,
    UnfitWorker,
    WorkersDied,
)
from rbmbook.lab.profiles import resolve
from rbmbook.lab.store import Store
from rbmbook.lab.sweep import sweep
from rbmbook.publish.project import Project
from rbmbook.studies.tfim_pruning import study as tfim_pruning

PATIENCE = 120.0
NO_PACKAGE = "raise ModuleNotFoundError(\"No module named 'rbmlib'\", name='rbmlib')\n"


class Dask:
    """A scheduler and its workers, each in a process group of its own that is ended with it."""

    def __init__(self, folder, environment):
        self.folder, self.environment = folder, environment
        self.elsewhere = folder / "elsewhere"  # where workers run and call home
        self.elsewhere.mkdir(parents=True)
        self.processes = []
        file = folder / "scheduler.json"
        # The scheduler needs nothing but Dask: it cannot even import this package.
        (folder / "bare" / "rbmbook").mkdir(parents=True)
        (folder / "bare" / "rbmbook" / "__init__.py").write_text(NO_PACKAGE)
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-show",
            PYTHONPATH=str(folder / "bare"),
        )  # fmt: skip
        wait_until(lambda: file.exists() and file.stat().st_size, "the scheduler does not start")
        self.address = json.loads(file.read_text())["address"]

    def worker(self, *options, **environment):
        scratch = self.folder / f"scratch-{len(self.processes)}"
        return self._start(
            "worker", self.address, "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard",
            "--death-timeout", "30", "--local-directory", str(scratch), *options, **environment,
        )  # fmt: skip

    def _start(self, *arguments, **environment):
        with (self.folder / f"{arguments[0]}-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments],
                cwd=self.elsewhere,
                env=self.environment | {"DASK_DISTRIBUTED__DASHBOARD__LINK": ""} | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def end(self, process):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self):
        for process in self.processes[::-1]:
            self.end(process)


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture(scope="module")
def clone(make_clone, tmp_path_factory):
    return make_clone(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def study(clone):
    """The module of cell functions, as this process sees it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(clone.code))
        patch.setenv("SKETCH_NOTES", str(clone.notes))
        patch.setenv("SKETCH_FAILING", str(clone.failing))
        yield importlib.import_module("sketch_cells")
        for name in ("sketch_cells", "rbmbook.studies.sketch", "rbmbook.studies.sketch.study"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def dask(clone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dask")
    # No disk of the sweep's is within a worker's reach: its cache lies below a file, its home is empty.
    out_of_reach = {"RBMLIB_CACHE": "/dev/null/cache", "HOME": str(folder / "elsewhere")}
    environment = clone.environment(**out_of_reach, PYTHONPATH=str(clone.code))
    for name in ("NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "COVERAGE_PROCESS_START"):
        environment.pop(name, None)
    made = Dask(folder, environment)
    try:
        made.worker()
        made.worker()
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def _forget(clone):
    for note in clone.notes.iterdir():
        note.unlink()
    clone.failing.unlink(missing_ok=True)


def grid(study, seeds, seconds=0.0):
    need = Cell(study.ground, {"field": 1.0})
    return [Cell(study.draw, {"seed": seed, "seconds": seconds}, {"ground": need}) for seed in seeds]


def raw(datasets):
    return [dataset.value.values.tobytes() for dataset in datasets]


def test_results_equal_the_local_ones_bit_for_bit_and_workers_write_nothing(study, dask, tmp_path):
    there, here = Store(tmp_path / "published", tmp_path / "there"), Store(None, tmp_path / "here")
    with cluster(dask.address) as executor:
        wait_until(lambda: executor.n_workers == 2, "no two workers")
        results = sweep(grid(study, range(8)), there, executor=executor, publish=True, progress=False)
        about = sweep([Cell(study.worker, {"seed": s}) for s in range(4)], there, executor=executor)
        assert len(executor._inputs) == 1  # the input that eight cells share was sent once
    expected = sweep(grid(study, range(8)), here, workers=1, progress=False)
    assert raw(results) == raw(expected)
    assert all(a.identical(b) for a, b in zip(results, expected, strict=True))
    assert [there.digest(there.key(cell)) for cell in grid(study, range(8))] == [
        here.digest(here.key(cell)) for cell in grid(study, range(8))
    ]
    assert len(list((tmp_path / "published" / "sketch_cells").glob("*.npz"))) == 9
    assert {int(one.threads) for one in about} == {1}
    assert {str(one.RBMLIB_CACHE.values) for one in about} == {"/dev/null/cache"}
    assert {str(one.folder.values) for one in about} == {str(dask.elsewhere)}
    for one in about:
        compiled = str(one.NUMBA_CACHE_DIR.values)
        assert compiled.startswith(str(dask.folder / "scratch-"))
        assert compiled.endswith("numba")
    left = [path for path in dask.elsewhere.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert not left


@pytest.mark.stress
def test_machines_trained_and_pruned_on_a_cluster_have_the_bits_of_those_trained_here(
    clone, pytestconfig, tmp_path
):
    # What the workers compile is taken from where the tests keep it, a copy for each.
    compiled = pytestconfig.cache.mkdir("kernels") / "host"
    compiled.mkdir(exist_ok=True)
    environment = clone.environment(RBMLIB_CACHE="/dev/null/cache", OMP_NUM_THREADS="1", PYTHONPATH="")
    made, here = Dask(tmp_path / "dask", environment), Store(None, tmp_path / "here")
    wanted = tfim_pruning.cells(**resolve(tfim_pruning.PROFILES, "quick", {"n_seeds": 1}))
    assert {cell.name.rpartition(".")[2] for cell in wanted} == {"prune_trained", "prune_fitted"}
    try:
        for name in ("first", "second"):
            shutil.copytree(compiled, tmp_path / name)
            made.worker(NUMBA_CACHE_DIR=str(tmp_path / name))
        there = Store(None, tmp_path / "there")
        with cluster(made.address) as executor:
            wait_until(lambda: executor.n_workers == 2, "no two workers")
            results = sweep(wanted, there, executor=executor, progress=False)
    finally:
        made.close()
    shutil.copytree(compiled, here.cache / "numba" / "worker-0")
    shutil.copytree(compiled, here.cache / "numba" / "worker-1")
    expected = sweep(wanted, here, workers=2, progress=False)
    for cell, one, other in zip(wanted, results, expected, strict=True):
        digests = container.variable_digests(one)
        assert digests == container.variable_digests(other), cell
        assert there.key(cell) == here.key(cell)
        assert there.digest(there.key(cell)) == here.digest(here.key(cell))
    assert len({there.digest(there.key(cell)) for cell in wanted}) == len(wanted)
    for cell in wanted:
        one, other = (store.origin(store.key(cell)) for store in (there, here))
        assert all(
            one["versions"][name] == version for name, version in other["versions"].items() if name != "tenpy"
        )
        assert (one["code"], one["threads"]) == (other["code"], other["threads"])


def test_a_failing_cell_is_reported_the_others_go_on_and_only_it_is_tried_again(study, dask, clone, tmp_path):
    store = Store(None, tmp_path / "store")
    clone.failing.write_text("3")
    with cluster(dask.address) as executor:
        with pytest.raises(SweepFailed, match="1 of 7 cells failed") as caught:
            sweep(grid(study, range(6)), store, executor=executor, progress=False)
        (failure,) = caught.value.failures
        assert failure.parameters == {"seed": 3, "seconds": 0.0}
        assert "ValueError: nothing can be drawn for 3" in failure.reason
        assert "in draw" in failure.log.read_text()
        clone.failing.unlink()
        assert len(sweep(grid(study, range(6)), store, executor=executor, progress=False)) == 6
    assert sorted(seed for seed, _ in clone.started()) == [0, 1, 2, 3, 3, 4, 5]


def test_a_worker_that_is_killed_in_the_middle_of_a_cell_costs_nothing_but_time(
    study, dask, clone, tmp_path, caplog
):
    wanted = grid(study, range(10), seconds=0.4)
    store, results = Store(None, tmp_path / "store"), []

    def compute():
        with cluster(dask.address) as executor:
            results.extend(sweep(wanted, store, executor=executor, progress=False))

    thread = threading.Thread(target=compute)
    thread.start()
    wait_until(lambda: len(clone.started()) >= 3, "no cell starts")
    seed, victim = max(clone.started(), key=lambda note: note[0])
    os.kill(victim, signal.SIGKILL)
    thread.join(PATIENCE)
    assert len(results) == 10
    processes = {process for begun, process in clone.started() if begun == seed}
    assert len(processes) == 2  # it was begun again, by another process
    assert victim in processes
    expected = [study.draw(seed, 0.0, study.ground(1.0)) for seed in range(10)]
    assert raw(results) == raw(expected)


def test_without_a_scheduler_there_is_one_sentence_and_nothing_is_written(
    study, clone, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense://127.0.0.1:9", "127.0.0.1", ""):
        with pytest.raises(SchedulerUnreachable, match="no Dask scheduler answers at"), cluster(address):
            pytest.fail("it connected")
    monkeypatch.setenv("RBMLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("rbmbook.studies.__path__", [str(clone.root / "book" / "rbmbook" / "studies")])
    for command in (
        ["sweep", "sketch", "--profile", "book"],
        ["run", "sketch", "--out", str(tmp_path / "out")],
        ["book"],
    ):
        arguments = [*command, "--scheduler", "tcp://127.0.0.1:9"]
        done = CliRunner().invoke(cli, arguments, obj=Project(clone.root), prog_name="rbmlib")
        assert done.exit_code == 1, done.output
        told = [line for line in done.output.splitlines() if line.startswith("Error")]
        assert len(told) == 1
        assert told[0].startswith("Error: no Dask scheduler answers at tcp://127.0.0.1:9")
        assert "Traceback" not in done.output
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "out").exists()
    assert not clone.published()


def test_without_the_package_the_extra_is_named(study, clone, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rbmlib\[cluster\]'"), cluster("tcp://x:1"):
        pytest.fail("it connected")
    monkeypatch.setattr("rbmbook.studies.__path__", [str(clone.root / "book" / "rbmbook" / "studies")])
    arguments = ["sweep", "sketch", "--profile", "book", "--scheduler", "tcp://x:1"]
    done = CliRunner().invoke(cli, arguments, obj=Project(clone.root))
    assert done.exit_code == 1
    assert done.output == "Error: this needs the package distributed: pip install 'rbmlib[cluster]'\n"


def test_unfit_workers_are_refused_and_a_lost_scheduler_leaves_a_store_to_resume_from(
    study, dask, clone, tmp_path
):
    other = Dask(tmp_path / "other", dask.environment)
    store = Store(None, tmp_path / "store")
    try:
        # A worker whose environment has no such package.
        bare = other.worker("--no-nanny", PYTHONPATH=str(other.folder / "bare"))
        with cluster(other.address) as executor, pytest.raises(UnfitWorker, match="cannot import rbmlib"):
            sweep(grid(study, range(3)), store, executor=executor, progress=False)
        other.end(bare)
        # One with the package, but not with the module of these cells.
        partial = other.worker("--no-nanny", PYTHONPATH="")
        with cluster(other.address) as executor, pytest.raises(UnfitWorker, match="sketch_cells"):
            sweep(grid(study, range(3)), store, executor=executor, progress=False)
        other.end(partial)
        # One with other source.
        changed = tmp_path / "changed"
        changed.mkdir()
        source = (clone.code / "sketch_cells.py").read_text()
        (changed / "sketch_cells.py").write_text(source.replace("size=1000", "size=1001"))
        stale = other.worker("--no-nanny", PYTHONPATH=str(changed))
        with (
            cluster(other.address) as executor,
            pytest.raises(CodeChanged, match=r"sketch_cells.*same version"),
        ):
            sweep(grid(study, range(3)), store, executor=executor, progress=False)
        other.end(stale)
        assert not list(store.cache.rglob("*.npz"))
        # The command, whose scheduler is killed in the middle.
        other.worker("--no-nanny")
        command = clone.command("sweep", "sketch", "--profile", "slow", "--scheduler", other.address)
        process = subprocess.Popen(
            command, cwd=clone.root, env=clone.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )  # fmt: skip
        wait_until(lambda: len(clone.published()) >= 4, "nothing is stored")
        other.end(other.scheduler)
        killed = time.monotonic()
        out, err = process.communicate(timeout=PATIENCE)
        assert time.monotonic() - killed < PATIENCE
        assert process.returncode == 1
        assert out == ""
        errors = [line for line in err.splitlines() if line]
        assert len(errors) == 1, err
        assert errors[0].startswith(f"Error: the scheduler at {other.address} was lost")
    finally:
        other.close()
    stored = {path.name: path.read_bytes() for path in clone.published()}
    assert 4 <= len(stored) < 13
    assert not list((clone.cache / "locks").iterdir())
    resumed = subprocess.run(
        clone.command("sweep", "sketch", "--profile", "slow", "--scheduler", dask.address),
        cwd=clone.root, env=clone.environment(), capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert resumed.returncode == 0, resumed.stderr
    assert f"13 cells, {len(stored)} already stored, {13 - len(stored)} computed" in resumed.stderr
    now = {path.name: path.read_bytes() for path in clone.published()}
    assert len(now) == 13
    assert all(now[name] == content for name, content in stored.items())
    published = Store(clone.root / "book" / "results", clone.cache)
    results = [published.load(published.key(cell)) for cell in grid(study, range(12), seconds=0.3)]
    assert raw(results) == raw([study.draw(seed, 0.0, study.ground(1.0)) for seed in range(12)])


@pytest.fixture
def frozen(dask, tmp_path):
    """A cluster of one worker whose scheduler can be stopped and continued."""
    made = Dask(tmp_path / "frozen", dask.environment)
    made.signal = lambda number: os.killpg(made.scheduler.pid, number)
    try:
        made.worker("--no-nanny")
        yield made
    finally:
        made.signal(signal.SIGCONT)
        made.close()


def test_a_frozen_scheduler_is_given_up_with_one_sentence_and_the_store_goes_on_from(
    study, dask, frozen, clone
):
    shutil.rmtree(clone.root / "book" / "results", ignore_errors=True)
    process = subprocess.Popen(
        clone.command("sweep", "sketch", "--profile", "slow", "--scheduler", frozen.address),
        cwd=clone.root, env=clone.environment(DASK_RBMLIB__SCHEDULER_SILENCE="4s"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: len(clone.published()) >= 3, "nothing is stored")
    frozen.signal(signal.SIGSTOP)
    begun = time.monotonic()
    out, err = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - begun < PATIENCE
    assert (process.returncode, out) == (1, "")
    *waiting, error = [line for line in err.splitlines() if line]
    assert error.startswith(
        f"Error: the scheduler at {frozen.address} gave no sign of life for 4 s; what it had"
    )
    assert set(waiting) == {
        f"the scheduler at {frozen.address} does not answer; the sweep waits for it, 4 s at most"
    }
    stored = {path.name: path.read_bytes() for path in clone.published()}
    assert 3 <= len(stored) < 13
    # Whatever listens without a word is not waited for, either; another scheduler goes on.
    with pytest.raises(SchedulerUnreachable, match="says nothing"), cluster(frozen.address, timeout=0.5):
        pytest.fail("it connected")
    resumed = subprocess.run(
        clone.command("sweep", "sketch", "--profile", "slow", "--scheduler", dask.address),
        cwd=clone.root, env=clone.environment(), capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert resumed.returncode == 0, resumed.stderr
    assert f"13 cells, {len(stored)} already stored, {13 - len(stored)} computed" in resumed.stderr
    by_name = {path.name: path for path in clone.published()}
    assert all(by_name[name].read_bytes() == content for name, content in stored.items())


def test_neither_a_short_pause_nor_a_long_cell_is_taken_for_a_lost_scheduler(study, frozen, clone, tmp_path):
    store, results, told = Store(None, tmp_path / "store"), [], []

    def compute(silence, cells):
        with cluster(frozen.address, silence=silence) as executor:
            wait_until(lambda: executor.n_workers == 1, "no worker")
            results.extend(sweep(cells, store, executor=executor, progress=told.append))

    compute("4s", grid(study, [1], seconds=6.0))
    assert len(results) == 1
    thread = threading.Thread(target=compute, args=(30, grid(study, range(2, 6), seconds=0.5)))
    thread.start()
    wait_until(lambda: len(clone.started()) >= 2, "no cell starts")
    frozen.signal(signal.SIGSTOP)
    time.sleep(2.0)
    frozen.signal(signal.SIGCONT)
    thread.join(PATIENCE)
    assert raw(results) == raw([study.draw(seed, 0.0, study.ground(1.0)) for seed in range(1, 6)])
    assert not [line for line in told if "gave no sign" in line]


@pytest.mark.parametrize("silence", ["soon", "0s", -1.0, float("nan"), None])
def test_a_silence_that_is_no_time_is_refused(silence, monkeypatch):
    import dask.config

    with (
        dask.config.set({"rbmlib.scheduler-silence": "never"}),
        pytest.raises(ClusterError, match=r"counts as lost is .*; it must be a time above zero"),
        cluster("tcp://127.0.0.1:9", silence=silence),
    ):
        pytest.fail("it connected")


def test_errors_of_the_cluster_survive_the_way_between_processes():
    for error in (
        SchedulerUnreachable("tcp://x:1", "timed out"),
        SchedulerLost("tcp://x:1"),
        SchedulerLost("tcp://x:1", "gave no sign of life for 3 s"),
        UnfitWorker("no"),
        WorkersDied("4"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
    assert issubclass(SchedulerLost, ClusterError)
