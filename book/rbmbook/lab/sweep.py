"""The sweep: computes the cells that the store does not hold, inputs first, on any executor.

Workers compute, this process writes. A result is written as soon as it is there, so a sweep that is killed
goes on where it was; a lock for each key keeps two sweeps from computing the same cell.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass

import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.errors import DamagedResult, SweepFailed
from rbmbook.lab.progress import Progress, Reporter
from rbmbook.lab.schedule import Scheduler
from rbmbook.lab.store import Store

_ROUNDS = 3  # how often results that turn out to be damaged are computed again before the disk is to blame
_HANDED_OUT = 256


@dataclass(frozen=True)
class SweepSummary:
    """What a sweep did.

    Attributes
    ----------
    stored : int
        Cells that were in the store already, inputs included.
    computed : int
        Cells computed now.
    damaged : tuple of str
        One line for every damaged file that was set aside.
    seconds : float
        Wall time.
    """

    stored: int
    computed: int
    damaged: tuple[str, ...]
    seconds: float


def _prepare(
    cells: Iterable[Cell], store: Store | None, workers: int | None, publish: bool, progress: Progress
) -> tuple[list[Cell], Scheduler]:
    cells = list(cells)
    for cell in cells:
        if not isinstance(cell, Cell):
            raise TypeError(f"cells holds {cell!r}; every item must be a Cell")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ValueError(f"workers is {workers!r}; it must be an integer of 1 or more")
    label = ", ".join(sorted({cell.experiment for cell in cells})) or "sweep"
    scheduler = Scheduler(cells, store or Store.default(), publish, Reporter(progress, label))
    return cells, scheduler


def _run(scheduler: Scheduler, executor: Executor | None, workers: int | None, start: float) -> SweepSummary:
    if workers is None:
        # A cluster does not say how large it is: hand out enough for a large one.
        workers = getattr(executor, "_max_workers", _HANDED_OUT) if executor else os.cpu_count() or 1
    try:
        scheduler.run(executor, workers)
    finally:
        scheduler.reporter.close()
    seconds = time.perf_counter() - start
    found, computed = scheduler.found, len(scheduler.computed)
    scheduler.reporter.finish(found, computed, len(scheduler.failures), seconds)
    if scheduler.failures:
        raise SweepFailed(tuple(scheduler.failures), len(scheduler.nodes))
    return SweepSummary(found, computed, tuple(scheduler.damaged), seconds)


def fill(
    cells: Iterable[Cell],
    store: Store | None = None,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    publish: bool = False,
    progress: Progress = None,
) -> SweepSummary:
    """Compute what the store lacks, without loading what it holds.

    Parameters and errors are those of :func:`sweep`. A file is opened only where another cell needs it.

    Returns
    -------
    SweepSummary
    """
    start = time.perf_counter()
    _, scheduler = _prepare(cells, store, workers, publish, progress)
    return _run(scheduler, executor, workers, start)


def sweep(
    cells: Iterable[Cell],
    store: Store | None = None,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    publish: bool = False,
    progress: Progress = None,
) -> list[xr.Dataset]:
    """Return the results of cells, computing those that are not stored.

    Parameters
    ----------
    cells : iterable of Cell
        What is wanted. Inputs that they need are found or computed first, each once.
    store : Store, optional
        Where results lie; default :meth:`Store.default`.
    executor : concurrent.futures.Executor, optional
        What runs the cells; it is left open. Default: processes of our own, each on one thread. A script that
        uses those needs the guard ``if __name__ == "__main__":``.
    workers : int, optional
        Number of processes, default one a core; 1 computes in this process. With `executor`, how many cells
        it works on at once.
    publish : bool
        Whether results go to the published tier.
    progress : callable, bool or None
        Takes one line that sums up, unless everything was stored. None or True: a bar in a terminal, else
        that line on standard error. False: nothing.

    Returns
    -------
    list of xarray.Dataset
        In the order of `cells`, as stored.

    Raises
    ------
    SweepFailed
        After all others are stored, if a cell failed: lists parameters and tracebacks' files.
    StoreNotWritable
        If a result cannot be written; what was finished stays.
    """
    start = time.perf_counter()
    cells, scheduler = _prepare(cells, store, workers, publish, progress)
    loaded: dict[Cell, xr.Dataset] = {}
    for attempt in range(_ROUNDS):
        _run(scheduler, executor, workers, start)
        for cell in cells:
            if cell not in loaded:
                node = scheduler.nodes[cell]
                try:
                    loaded[cell] = scheduler.store.load(node.key)
                except DamagedResult as error:
                    if attempt == _ROUNDS - 1:
                        raise
                    scheduler.redo(node, error)
        if all(cell in loaded for cell in cells):
            break
    return [loaded[cell] for cell in cells]
