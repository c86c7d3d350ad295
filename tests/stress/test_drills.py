"""What a store, a sweep and a kernel must survive: kills, races, full disks, damage, cold caches, any thread count."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import re
import shutil
import statistics
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rbmbook.lab import container
from rbmbook.lab.cell import Cell
from rbmbook.lab.errors import DamagedResult, StoreNotWritable
from rbmbook.lab.store import Store
from rbmbook.lab.sweep import fill, sweep

pytestmark = pytest.mark.stress

ROOT = Path(__file__).resolve().parents[2]
SERIAL = {"workers": 1, "progress": False}


def test_sweeps_killed_at_random_moments_lose_and_change_nothing(forks, scaled, record):
    n = scaled(100, 10)
    found = forks("kills", n)
    wrong = found["lost"] + found["changed"] + found["wrong"]
    record("kills", did="SIGKILLs at random moments of a sweep", n=found["kills"],
           counted="results lost or changed", found=wrong, limit=0)  # fmt: skip
    assert found["kills"] == n
    assert found["of pools"] >= n // 20
    assert wrong == 0, found


def test_concurrent_and_interrupted_writes_are_never_read_in_part(forks, scaled, record):
    found = forks("writes", scaled(1000, 100))
    record("writes", did="concurrent or interrupted writes of a result", n=found["writes"],
           counted="corrupt reads", found=found["corrupt"], limit=0)  # fmt: skip
    assert found["killed"] > 0
    assert found["reads"] > 0
    assert found["corrupt"] == 0


def test_sweeps_over_one_grid_at_once_share_its_cells(forks, scaled, record):
    found = forks("together", scaled(200, 20))
    twice = found["computed"] - found["cells"]
    record("together", did="cells of a grid that four sweeps work on at once", n=found["cells"],
           counted="cells computed twice, or wrong", found=abs(twice) + found["wrong"], limit=0)  # fmt: skip
    assert found["codes"] == [0, 0, 0, 0]
    assert (twice, found["wrong"], found["locks"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("drill", "piece"),
    [("limited", "File too large; free some space"), ("unwritable", "Permission denied; make")],
)
def test_a_store_that_takes_no_more_stops_the_sweep_with_one_sentence(forks, drill, piece):
    found = forks(drill, 5)
    assert piece in found["sentence"]
    assert "RBMLIB_CACHE" in found["sentence"]
    assert "\n" not in found["sentence"]
    assert found["wrong"] == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB, for whoever may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_sweep_and_keeps_what_was_finished(small_disk, cells, forks):
    if small_disk is None:
        # No right to mount: the limit of a file's size stands for the limit of the disk.
        assert "free some space" in forks("limited", 5)["sentence"]
        return
    wanted = [Cell(cells.drawn, {"seed": seed, "size": 3000}) for seed in range(30)]
    store = Store(small_disk / "published", small_disk / "cache")
    with pytest.raises(StoreNotWritable, match="No space left on device; free some space") as caught:
        fill(wanted, store, **SERIAL)
    assert len(str(caught.value).splitlines()) == 1
    kept = [entry.key for entry in store.entries()]
    assert 0 < len(kept) < 30
    assert not list(small_disk.rglob("*.tmp"))
    for cell in wanted[: len(kept)]:
        assert store.load(store.key(cell)).identical(cell.compute(**cell.parameters))


class Bomb:
    """What a pickle can do when it is loaded."""

    def __reduce__(self):
        return os.mkdir, (os.environ["DRILL_BOMB"],)


def sealed(content):
    """Give an archive the checksum that a result ends with."""
    body = content[:-2] + (71).to_bytes(2, "little")
    return body + b"sha256:" + hashlib.sha256(body).hexdigest().encode()


def archive(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, member in members.items():
            file.writestr(name, member)
    return buffer.getvalue()


def as_npy(array):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array))
    return buffer.getvalue()


def members_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def truncated(content, chooser):
    return content[: chooser.randrange(len(content))]


def bit_flipped(content, chooser):
    damaged = bytearray(content)
    damaged[chooser.randrange(len(damaged))] ^= 1 << chooser.randrange(8)
    return bytes(damaged)


def overwritten(content, chooser):
    start = chooser.randrange(len(content))
    return content[:start] + b"\0" * min(512, len(content) - start) + content[start + 512 :]


def foreign(content, chooser):
    buffer = io.BytesIO()
    np.savez(buffer, value=np.arange(5))
    others = [b"", b"<html></html>", b"\x89PNG\r\n\x1a\n" * 40, buffer.getvalue(), sealed(buffer.getvalue()),
              chooser.randbytes(3000), archive({"readme.txt": b"hello"})]  # fmt: skip
    return chooser.choice(others)


def hostile(content, chooser):
    bomb = as_npy(np.array([Bomb()], dtype=object))
    parts = members_of(content)
    meta = json.loads(np.load(io.BytesIO(parts["meta.json.npy"]), allow_pickle=False).item())
    strange = [
        {**parts, "value.npy": bomb},
        {**parts, "meta.json.npy": bomb},
        {**parts, "value.npy": pickle.dumps(Bomb())},
        {**parts, "value.npy": b"\x93NUMPY\x01\x00v\x00" + b"{'descr': [('a', __import__('os')), 'shape': (1" + b" " * 80},
        {**parts, "value.npy": as_npy(np.zeros(7))},
        *({**parts, "meta.json.npy": as_npy(container.canonical_json(other))} for other in (
            {**meta, "variables": [1]}, {**meta, "key": 3}, {**meta, "digests": {}}, {**meta, "format": 99}, [], "x",
            {name: meta[name] for name in ("format", "key")},
        )),
    ]  # fmt: skip
    return sealed(archive(chooser.choice(strange)))


KINDS = (truncated, bit_flipped, overwritten, foreign, hostile)


def test_damaged_files_give_typed_errors_run_nothing_and_are_computed_again(
    cells, scaled, record, seed, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRILL_BOMB", str(tmp_path / "exploded"))
    chooser, n = random.Random(seed), scaled(200, 20)
    wanted = [Cell(cells.drawn, {"seed": number, "size": 300}) for number in range(n)]
    store = Store(tmp_path / "published", tmp_path / "cache")
    fill(wanted, store, **SERIAL)
    paths = []
    for number, cell in enumerate(wanted):
        paths.append(store.cache / "results" / "drill_cells" / f"{store.stem(store.key(cell))}.npz")
        content = paths[-1].read_bytes()
        while (damaged := KINDS[number % len(KINDS)](content, chooser)) == content:
            continue
        paths[-1].write_bytes(damaged)
    typed = 0
    for cell, path in zip(wanted, paths, strict=True):
        for read, argument in ((store.load, store.key(cell)), (store.inspect, path)):
            with pytest.raises(DamagedResult, match=path.name):
                read(argument)
        typed += 1
    told = []
    results = sweep(wanted, Store(store.published, store.cache), workers=1, progress=told.append)
    wrong = sum(
        not got.identical(cell.compute(**cell.parameters)) for cell, got in zip(wanted, results, strict=True)
    )
    named = sum(any(path.name in line and "moved to" in line for line in told) for path in paths)
    aside = len(list((store.cache / "damaged").rglob("*.damaged")))
    exploded = (tmp_path / "exploded").exists()
    record("damage", did="files damaged, foreign or hostile", n=n, counted="not told, not replaced, or run",
           found=(n - typed) + (n - named) + (n - aside) + wrong + exploded, limit=0)  # fmt: skip
    assert (named, aside, wrong, exploded) == (n, n, 0, False)
    assert fill(wanted, store, **SERIAL).computed == 0


COLD = """
    import sys
    from drill_cells import compiled
    print(int(compiled(int(sys.argv[1]))["sample"].values.dot([1, 2, 4, 8, 16, 32]).sum()))
"""


def test_eight_cold_compiler_caches_at_once_crash_nothing(cells, record, tmp_path):
    begun = Store(None, tmp_path / "one")
    expected = [int(each["sample"].values.dot([1, 2, 4, 8, 16, 32]).sum())
                for each in sweep([Cell(cells.compiled, {"seed": s}) for s in range(8)], begun, **SERIAL)]  # fmt: skip
    # Workers of a sweep have a cache each.
    wanted = [Cell(cells.compiled, {"seed": seed}) for seed in range(8)]
    results = sweep(wanted, Store(None, tmp_path / "workers"), workers=8, progress=False)
    found = [int(each["sample"].values.dot([1, 2, 4, 8, 16, 32]).sum()) for each in results]
    folders = len(list((tmp_path / "workers" / "numba").glob("worker-*/")))
    # Processes that a user starts share one.
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "shared")}
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(COLD), str(seed)], env=environment,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for seed in range(8)
    ]  # fmt: skip
    outputs = [process.communicate() for process in processes]
    crashed = sum(process.returncode != 0 for process in processes)
    wrong = sum(a != b for a, b in zip(expected, found, strict=True)) + crashed
    wrong += sum(out.strip() != str(value) for (out, _), value in zip(outputs, expected, strict=True))
    record("cold caches", did="processes that compile at once, with a cold cache each and with one for all", n=16,
           counted="crashes or other bits", found=wrong, limit=0)  # fmt: skip
    assert folders == 8
    assert wrong == 0, [err for _, err in outputs]


BITS = """
    import json
    import sys
    from rbmbook.studies.ising import cells as tfim_cells
    from rbmbook.lab.cell import Cell
    from rbmbook.lab.store import Store
    from rbmbook.lab.sweep import fill

    if __name__ == "__main__":
        folder, workers, n_seeds, step = sys.argv[1], *map(int, sys.argv[2:])
        store = Store(None, folder)
        state = Cell(tfim_cells.ground_state, {"n_spins": 6, "field": 1.0})
        parameters = dict(
            n_hidden=3, field=1.0, n_samples=200, k=2, batch_size=30, n_epochs=6, learning_rate=0.1,
            final_learning_rate=0.01, finetune_epochs=2, finetune_rate=0.02, final_finetune_rate=0.01,
            prune_fraction=0.3, n_iterations=3,
        )
        cells = [
            Cell(
                tfim_cells.prune_trained,
                parameters | {"data_seed": s, "init_seed": s + 1000, "training_seed": s + 2000},
                {"ground_state": state},
            )
            for s in range(n_seeds)
        ]
        fill(cells[::step], store, workers=workers, progress=False)
        print(json.dumps([store.digest(store.key(cell)) for cell in cells]))
"""


def test_threads_and_workers_change_no_bit(scaled, record, tmp_path):
    n = scaled(50, 5)
    script = tmp_path / "bits.py"
    script.write_text(textwrap.dedent(BITS))
    compiled, ground = tmp_path / "compiled", tmp_path / "ground"
    found = {}
    for name, workers, threads, step in (
        ("1 process, 1 thread", 1, 1, 1),
        ("1 process, 4 threads", 1, 4, 1),
        ("2 processes", 2, 1, 1),
        ("4 processes, last cell first", 4, 4, -1),
    ):
        folder = tmp_path / name
        if found:
            # Compiled once; and the ground state, whose bits depend on the threads of BLAS, is an input.
            for worker in range(4):
                shutil.copytree(compiled, folder / "numba" / f"worker-{worker}")
            shutil.copytree(ground, folder / "results" / "tfim_cells")
        variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        environment = dict.fromkeys(variables, str(threads)) | {"NUMBA_CACHE_DIR": str(compiled)}
        done = subprocess.run(
            [sys.executable, str(script), str(folder), str(workers), str(n), str(step)],
            env=os.environ | environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)
        if len(found) == 1:
            ground.mkdir()
            for entry in Store(None, folder).entries():
                if entry.origin["compute"].endswith("ground_state"):
                    shutil.copy(entry.path, ground)
    first, *others = found.values()
    different = sum(a != b for other in others for a, b in zip(first, other, strict=True))
    record("bits", did="seeds by four thread and worker settings", n=4 * n, counted="results with other bits",
           found=different, limit=0)  # fmt: skip
    assert len(set(first)) == n
    assert different == 0


def test_every_processor_setting_gives_the_same_bits(scaled, record):
    # At less than full size one setting: the tests run others anyway.
    selected = ["-m", "slow"] if scaled(10, 1) >= 10 else ["-m", "slow", "-k", "old and libm and not oldest"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *selected, "tests/test_portable_bits.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error|skipped)", done.stdout)}
    record("processors", did="instruction sets, math libraries and thread counts that a whole cell is computed under",
           n=counts.get("passed", 0), counted="settings with other bits", found=counts.get("failed", 0), limit=0)  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert counts.get("passed", 0) >= 1


def test_a_sweep_adds_little_to_its_cells_and_knows_at_once_what_is_done(cells, scaled, record, tmp_path):
    assert cells.trivial(1)
    n = scaled(10_000, 500)
    wanted = [Cell(cells.trivial, {"seed": seed}) for seed in range(n)]
    # The middle one of ten parts: a pause of the machine is none of ours.
    parts, worked = [], time.process_time()
    for part in range(10):
        begun = time.perf_counter()
        fill(wanted[part::10], Store(None, tmp_path / "a"), **SERIAL)
        parts.append(1e3 * (time.perf_counter() - begun) / len(wanted[part::10]))
    each, worked = statistics.median(parts), 1e3 * (time.process_time() - worked) / n
    record("overhead", did="cells that compute nothing, in one process", n=n, counted="milliseconds a cell",
           found=round(each, 2), limit=10)  # fmt: skip
    begun = time.perf_counter()
    summary = fill(wanted, Store(None, tmp_path / "a"), **SERIAL)
    known = time.perf_counter() - begun
    record(
        "recognised",
        did="stored cells recognised as done",
        n=n,
        counted="seconds",
        found=round(known, 2),
        limit=5,
    )
    assert (summary.stored, summary.computed) == (n, 0)
    n_pool = scaled(1000, 300)
    few, several = (
        _pool_seconds(cells, tmp_path / name, count) for name, count in (("b", 20), ("c", 20 + n_pool))
    )
    in_pool = 1e3 * (several - few) / n_pool
    record("overhead of a pool", did="cells that compute nothing, in two processes", n=n_pool,
           counted="milliseconds a cell", found=round(in_pool, 2), limit=10)  # fmt: skip
    assert worked < 10
    if scaled(10, 1) >= 10:
        # At full size the machine is expected to be idle; elsewhere only our own work is judged.
        assert each < 10
        assert in_pool < 10
        assert known < 5


def _pool_seconds(cells, folder, n):
    begun = time.perf_counter()
    fill([Cell(cells.trivial, {"seed": s}) for s in range(n)], Store(None, folder), workers=2, progress=False)
    return time.perf_counter() - begun
