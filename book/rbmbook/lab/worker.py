"""What runs in a worker process: one cell at a time, on one thread, with a compiler cache of its own."""

from __future__ import annotations

import multiprocessing
import os
import platform
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

import xarray as xr
from filelock import FileLock, Timeout

from rbmbook.lab.errors import CodeChanged, StoreNotWritable
from rbmbook.lab.fingerprint import code_fingerprint
from rbmbook.lab.origin import environment

#: Environment variables by which numerical libraries learn their number of threads.
THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """What came of computing one cell: a dataset, or the reason and traceback of a failure.

    A failure is handed back as text, since not every exception survives the way between processes; `refused`
    says that the worker's source is not the one that the sweep took its keys from.
    """

    dataset: xr.Dataset | None
    seconds: float
    where: dict[str, Any]
    reason: str = ""
    traceback: str = ""
    refused: bool = False


def compute_cell(
    compute: Callable[..., xr.Dataset],
    parameters: Mapping[str, Any],
    inputs: Mapping[str, xr.Dataset],
    code: str,
) -> Outcome:
    """Call a cell's function and report what came of it.

    Parameters
    ----------
    compute : callable
        The cell's function.
    parameters : mapping
        Its parameters.
    inputs : mapping of str to xarray.Dataset
        The results of the cell's needs.
    code : str
        Fingerprint that the result will be stored under; a worker whose source has another one refuses.

    Returns
    -------
    Outcome
    """
    start = time.perf_counter()
    try:
        if code_fingerprint(compute) != code:
            raise CodeChanged(
                f"the source of {compute.__module__}.{compute.__qualname__} changed while the sweep was "
                f"running, or is another on {platform.node()}, where it was to be computed: give every worker "
                "the same version, and start the sweep again"
            )
        dataset = compute(**parameters, **inputs)
        if not isinstance(dataset, xr.Dataset):
            raise TypeError(f"the function returned a {type(dataset).__name__}, not an xarray.Dataset")
        return Outcome(dataset.load(), time.perf_counter() - start, environment())
    except Exception as error:  # noqa: BLE001 - whatever a cell raises is reported with its parameters
        reason = traceback.format_exception_only(error)[-1].strip()
        refused = isinstance(error, CodeChanged)
        return Outcome(None, time.perf_counter() - start, {}, reason, traceback.format_exc(), refused)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _WorkerProcess(SpawnProcess):
    """A process started with a worker's environment: libraries read theirs when they are imported."""

    _compiler_cache: Mapping[str, str] = {}

    def start(self) -> None:
        with _environment({**dict.fromkeys(THREADS, "1"), **self._compiler_cache}):
            super().start()


class _WorkerContext(SpawnContext):
    """Makes worker processes, each with the next free folder for what numba compiles.

    Processes that share a folder can overwrite each other's machine code while the cache is cold. A folder is
    locked as long as the pool lives and used again by later ones, so it is cold only once.
    """

    def __init__(self, cache: Path, held: ExitStack) -> None:
        super().__init__()
        self._cache, self._held = cache, held

    def Process(self, *args: Any, **kwargs: Any) -> _WorkerProcess:  # type: ignore[override]
        process = _WorkerProcess(*args, **kwargs)
        process._compiler_cache = {"NUMBA_CACHE_DIR": str(self._free_folder())}
        return process

    def _free_folder(self) -> Path:
        number = 0
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            while True:
                lock = FileLock(self._cache / f"worker-{number}.lock")
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    number += 1
                    continue
                self._held.callback(lock.release)
                return self._cache / f"worker-{number}"
        except OSError as error:
            raise StoreNotWritable(
                f"cannot write {self._cache}, where compiled code is kept: {error.strerror or error}; make the folder "
                "writable, or set RBMLIB_CACHE to another folder"
            ) from error


def _end_with_parent() -> None:
    """Leave when the parent is gone, even if it was killed: an idle worker would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True, name="parent-watch").start()


@contextmanager
def process_pool(workers: int, cache: Path) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of single-threaded worker processes, and end them afterwards.

    Parameters
    ----------
    workers : int
        Number of processes.
    cache : pathlib.Path
        Folder for compiled code; each worker has a part of it for itself.
    """
    with ExitStack() as held:
        pool = ProcessPoolExecutor(
            workers, mp_context=_WorkerContext(cache, held), initializer=_end_with_parent
        )
        try:
            yield pool
        except BaseException:
            # Nobody will read what the workers are computing.
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        pool.shutdown(wait=True)
