"""Drills that fork and kill: run as a program with one thread, so that forking is safe. Prints its findings as JSON.

Usage: python forks.py DRILL FOLDER SIZE SEED
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import drill_cells
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.errors import DamagedResult, ResultNotFound, StoreNotWritable
from rbmbook.lab.store import Store
from rbmbook.lab.sweep import fill, sweep

SILENT = {"progress": False}
NOBODY = 65534


def child(function, *arguments):
    """Run a function in a forked process; exit code 0 if it returns, 3 if it raises."""
    process = os.fork()
    if process:
        return process
    try:
        function(*arguments)
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(3)


def grid(first, n, size=1500, pause=0.003):
    source = Cell(drill_cells.source, {"seed": first})
    return [
        Cell(drill_cells.drawn, {"seed": seed, "size": size + seed % 97, "pause": pause}, {"source": source})
        for seed in range(first, first + n)
    ]


def expected(cell):
    return cell.compute(**cell.parameters, **{name: expected(need) for name, need in cell.needs.items()})


def contents(store):
    """Digest of every file that stands as a result."""
    roots = (store.published, store.cache / "results")
    files = (path for root in roots for path in root.glob("*/*.npz"))
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def kills(folder, size, chooser):
    """Kill sweeps at random moments, each going on with what the one before left."""
    store = Store(folder / "published", folder / "cache")
    done, lost, changed, wrong, generation, n_pools = 0, 0, 0, 0, 0, 0
    held = {}
    while done < size:
        cells = grid(1000 * generation, 30)
        in_processes = done % 10 == 9
        options = {"workers": 2 if in_processes else 1, "publish": True, **SILENT}
        process = child(run_sweep, cells, store, options)
        time.sleep(chooser.uniform(0, 4.0 if in_processes else 0.25))
        os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
        killed = os.WIFSIGNALED(status)
        done += killed
        n_pools += killed and in_processes
        now = contents(store)
        lost += len(held.keys() - now.keys())
        changed += sum(now[path] != digest for path, digest in held.items() if path in now)
        held = now
        if not killed:
            if os.waitstatus_to_exitcode(status):
                raise SystemExit("a sweep failed by itself")
            wrong += count_wrong(cells, store)
            generation += 1
    sweep(grid(1000 * generation, 30), store, workers=1, **SILENT)
    wrong += count_wrong(grid(1000 * generation, 30), store)
    return {
        "kills": done,
        "of pools": n_pools,
        "lost": lost,
        "changed": changed,
        "wrong": wrong,
        "results": len(held),
    }


def run_sweep(cells, store, options):
    fill(cells, store, **options)


def count_wrong(cells, store):
    """How many results do not have the bits of a computation that nobody disturbed."""
    fresh = Store(store.published, store.cache)
    return sum(not fresh.load(fresh.key(cell)).identical(expected(cell)) for cell in cells)


def writes(folder, size, chooser):
    """Race writers of the same keys, kill half of them, and read all the while."""
    store = Store(folder / "published", folder / "cache")
    stop = folder / "stop"
    pipes = [os.pipe() for _ in range(2)]
    n_keys, n_writers = 5, 8
    rounds = -(-size // (n_keys * n_writers))
    plan = [
        [(f"{chooser.getrandbits(256):064x}", r * n_keys + k) for k in range(n_keys)] for r in range(rounds)
    ]
    readers = [child(read_all, store, plan, stop, pipe[1], chooser.random()) for pipe in pipes]
    killed = corrupt = 0
    for keys in plan:
        writers = [child(write_all, store, chooser.sample(keys, n_keys)) for _ in range(n_writers)]
        for process in writers[: n_writers // 2]:
            time.sleep(chooser.uniform(0, 0.002))
            os.kill(process, signal.SIGKILL)
        killed += sum(os.WIFSIGNALED(os.waitpid(process, 0)[1]) for process in writers)
        corrupt += sum(not is_whole(store, *pair) for pair in keys)
    stop.touch()
    reads = Counter()
    for process, (reader, writer) in zip(readers, pipes, strict=True):
        reads.update(json.loads(hear(process, reader, writer)))
    attempted = rounds * n_keys * n_writers
    return {
        "writes": attempted,
        "killed": killed,
        "corrupt": corrupt + reads["corrupt"],
        "reads": reads["whole"],
    }


def dataset_of(number):
    return drill_cells.drawn(number, 3000 + 7 * number).drop_vars("weights")


def write_all(store, keys):
    for key, number in keys:
        Store(store.published, store.cache).save(
            key, dataset_of(number), {"experiment": "writes"}, published=True
        )


def is_whole(store, key, number):
    try:
        return Store(store.published, store.cache).load(key).identical(dataset_of(number))
    except ResultNotFound:
        return True
    except DamagedResult:
        return False


def read_all(store, plan, stop, pipe, seed):
    chooser, counts = random.Random(seed), Counter()
    while not stop.exists():
        for key, number in chooser.choice(plan):
            try:
                whole = Store(store.published, store.cache).load(key).identical(dataset_of(number))
                counts["whole" if whole else "corrupt"] += 1
            except ResultNotFound:
                counts["absent"] += 1
            except DamagedResult:
                counts["corrupt"] += 1
    os.write(pipe, json.dumps(counts).encode())


def together(folder, size, chooser):
    """Let four sweeps work on one grid, each in an order of its own."""
    store = Store(folder / "published", folder / "cache")
    counts = folder / "counts"
    counts.mkdir()
    os.environ["DRILL_COUNTS"] = str(counts)
    cells = grid(0, size)
    options = {"workers": 1, "publish": True, **SILENT}
    processes = [child(run_sweep, chooser.sample(cells, size), store, options) for _ in range(4)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    computed = sum(len(path.read_text()) for path in counts.iterdir())
    del os.environ["DRILL_COUNTS"]
    left = len(list((store.cache / "locks").iterdir()))
    return {
        "cells": size,
        "computed": computed,
        "wrong": count_wrong(cells, store),
        "codes": codes,
        "locks": left,
    }


def stopped(cells, store):
    """The one sentence with which a sweep stops, or an empty string if it does not."""
    try:
        fill(cells, store, workers=1, **SILENT)
    except StoreNotWritable as error:
        return str(error)
    return ""


def hear(process, reader, writer):
    """What a process wrote into a pipe before it ended."""
    os.close(writer)  # else reading would wait for ourselves, if the process died without a word
    os.waitpid(process, 0)
    return os.read(reader, 5000).decode()


def limited(folder, size, chooser):
    """Let no file grow beyond 20 kB: what a full disk is to whoever cannot mount a small one."""
    store = Store(None, folder / "cache")
    cells = [*grid(0, size, size=400), *grid(1000, 2, size=40_000)]
    reader, writer = os.pipe()

    def run():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        os.write(writer, stopped(cells, store).encode())

    told = hear(child(run), reader, writer)
    return {"sentence": told, "wrong": count_wrong(cells[:size], store), "cells": size}


def unwritable(folder, size, chooser):
    """Take the right to write from a store that holds some results."""
    # Not in the folder given: another user could not even look into what lies above it.
    folder = Path(tempfile.mkdtemp(prefix="rbmlib-"))
    folder.chmod(0o755)
    store = Store(folder / "published", folder / "cache")
    cells = grid(0, 2 * size)
    fill(cells[:size], store, workers=1, publish=True, **SILENT)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    reader, writer = os.pipe()

    def run():
        if os.getuid() == 0:
            os.seteuid(NOBODY)
        os.write(writer, stopped(cells, store).encode())

    told = hear(child(run), reader, writer)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    wrong = count_wrong(cells[:size], store)
    shutil.rmtree(folder)
    return {"sentence": told, "wrong": wrong, "cells": size}


if __name__ == "__main__":
    drills = {each.__name__: each for each in (kills, writes, together, limited, unwritable)}
    xr.Dataset({"x": 1}).identical(xr.Dataset())  # loads what xarray loads late
    print(
        json.dumps(drills[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]), random.Random(int(sys.argv[4]))))
    )
