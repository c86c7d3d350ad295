"""Computes stored results again from what they say about their origin.

A file names the function, the parameters, the code and the digests of the inputs that it came from. What it says is not
trusted with more than that: only functions that a module of the experiments' package defines are ever called. Inputs that
are not stored as a whole, because their large part stays in the cache of whoever made them, are computed again first.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from functools import cache

import xarray as xr

from rbmbook.lab import container
from rbmbook.lab.cell import Cell
from rbmbook.lab.errors import DamagedResult, FingerprintError, LabError, ResultNotFound
from rbmbook.lab.fingerprint import code_fingerprint, source_root
from rbmbook.lab.store import Entry, Store, result_key
from rbmbook.lab.worker import Outcome, compute_cell


class OtherCode(LabError):
    """The function that made a result is no longer there, or is another one."""


class CannotRecompute(LabError):
    """An input is not there, or does not come out again."""


@dataclass(frozen=True)
class Task:
    """A stored result that can be computed again."""

    entry: Entry
    cell: Cell
    stored: xr.Dataset

    @property
    def seconds(self) -> float:
        """Wall time of its own computation, inputs apart."""
        return float(self.entry.origin.get("seconds", 0.0))


def task_of(entry: Entry, dataset: xr.Dataset, package: str) -> Task:
    """Say how a stored result is computed again.

    Parameters
    ----------
    entry : Entry
        What its file says about it.
    dataset : xarray.Dataset
        What is stored.
    package : str
        The package whose functions may be called.

    Raises
    ------
    DamagedResult
        If its key is not that of its origin.
    OtherCode
        If the function that made it is no longer there, or is another one.
    """
    origin = entry.origin
    try:
        name, code = origin["compute"], origin["code"]
        key = result_key(name, origin["parameters"], code, origin["needs"])
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedResult(entry.path, f"it does not say where it comes from ({error})") from error
    if key != entry.key:
        raise DamagedResult(
            entry.path, "its key is not that of the function, parameters, code and inputs it names"
        )
    function = _function(str(name), package)
    cell = Cell(function, origin["parameters"])
    if code_fingerprint(function) != code:
        raise OtherCode(str(cell))
    return Task(entry, cell, dataset)


@cache
def _definitions(package: str) -> Mapping[str, Sequence[str]]:
    """Modules of a package by the names of the functions that their source defines, without importing any."""
    root = source_root(package)
    found: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*.py")):
        module = ".".join((package, *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        for name in re.findall(r"^def (\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            found.setdefault(name, []).append(module)
    return found


def _function(name: str, package: str) -> Callable[..., xr.Dataset]:
    """Return the function of this name that a module of the package defines; nothing else is imported or called."""
    modules = _definitions(package).get(name, ())
    if len(modules) != 1:
        where = f"{' and '.join(modules)} define" if modules else f"no module of {package} defines"
        raise OtherCode(f"{name}, which {where}")
    try:
        function = getattr(importlib.import_module(modules[0]), name)
        code_fingerprint(function)
    except (ImportError, AttributeError, FingerprintError) as error:
        raise OtherCode(f"{name}, which {modules[0]} no longer gives") from error
    if getattr(function, "__module__", None) != modules[0] or not callable(function):
        raise OtherCode(f"{name}, which {modules[0]} does not define")
    return function


class Inputs:
    """Finds inputs by their digests; those that are not stored as a whole are computed again, once."""

    def __init__(self, store: Store, package: str) -> None:
        self._store, self._package = store, package
        self._known: dict[str, Entry] | None = None
        self._tasks: dict[str, Task | None] = {}  # by digest; None where there is nothing to compute
        self._made: dict[str, xr.Dataset] = {}
        self._lost: dict[str, str] = {}  # why

    def missing(self, task: Task) -> dict[str, Task]:
        """What has to be computed before a result can be, by key, inputs before what rests on them."""
        found: dict[str, Task] = {}
        for digest in task.entry.origin["needs"].values():
            need = self._task(digest)
            if need is not None:
                found |= self.missing(need)
                found[need.entry.key] = need
        return found

    def take(self, task: Task, outcome: Outcome | CannotRecompute) -> None:
        """Keep what came of an input that was missing, or why there is none."""
        digest = task.entry.digest
        if isinstance(outcome, CannotRecompute):
            self._lost[digest] = f"cannot be computed, {task.cell}: {outcome}"
        elif outcome.dataset is None:
            self._lost[digest] = f"cannot be computed, {task.cell}: {outcome.reason}"
        elif container.combined_digest(container.variable_digests(outcome.dataset)) != digest:
            self._lost[digest] = f"comes out with other bits here, {task.cell}"
        else:
            self._made[digest] = outcome.dataset

    def of(self, task: Task) -> dict[str, xr.Dataset]:
        """Return the inputs of a stored result, of which nothing is missing any more.

        Raises
        ------
        CannotRecompute
            If one is not stored, or does not come out as it was.
        """
        needs: Mapping[str, str] = task.entry.origin["needs"]
        return {name: self._input(name, digest) for name, digest in needs.items()}

    def _input(self, name: str, digest: str) -> xr.Dataset:
        if digest in self._made:
            return self._made[digest]
        entry = self._entry(digest)
        if entry is not None and digest not in self._lost:
            try:
                return self._store.load(entry.key)
            except (DamagedResult, ResultNotFound) as error:
                self._lost[digest] = f"cannot be had: {error}"
        why = self._lost.get(digest, f"with digest {digest[:16]} is not stored")
        raise CannotRecompute(f"its input {name} {why}")

    def _entry(self, digest: str) -> Entry | None:
        if self._known is None:
            self._known = {}
            for entry in self._store.entries():
                self._known.setdefault(entry.digest, entry)
        return self._known.get(digest)

    def _task(self, digest: str) -> Task | None:
        """How an input is computed that has to be; None if it is there, or if there is no way to have it."""
        if digest in self._made or digest in self._lost:
            return None
        if digest not in self._tasks:
            self._tasks[digest] = None
            entry = self._entry(digest)
            try:
                if entry is not None and not self._store.complete(entry.key):
                    self._tasks[digest] = task_of(entry, self._store.load(entry.key), self._package)
            except (DamagedResult, ResultNotFound, OtherCode) as error:
                self._lost[digest] = f"cannot be had: {error}"
        return self._tasks[digest]


def recomputed(
    wanted: Iterable[Task], inputs: Inputs, executor: Executor | None, workers: int
) -> Iterator[tuple[Task, Outcome | CannotRecompute]]:
    """Compute results again, and what is missing of their inputs, each once; yield the results as they are there.

    Parameters
    ----------
    wanted : iterable of Task
        What to yield, in this order as far as nothing is missing of their inputs.
    inputs : Inputs
        What they rest on.
    executor : concurrent.futures.Executor or None
        What computes; None for this process.
    workers : int
        About how many it computes at once.
    """
    results = {task.entry.key: task for task in wanted}
    needed: dict[str, Task] = {}
    for task in results.values():
        needed |= inputs.missing(task)
    waiting = results | needed
    while waiting:
        ready = [task for task in waiting.values() if not inputs.missing(task)]
        for task, outcome in _computed(ready, inputs, executor, workers):
            key = task.entry.key
            del waiting[key]
            if key in needed:
                inputs.take(task, outcome)
            if key in results:
                yield task, outcome


def _computed(
    tasks: Sequence[Task], inputs: Inputs, executor: Executor | None, workers: int
) -> Iterator[tuple[Task, Outcome | CannotRecompute]]:
    """Compute results, of whose inputs nothing is missing, in this process or by an executor."""
    running: dict[Future[Outcome], Task] = {}
    waiting = list(reversed(tasks))
    while waiting or running:
        # One more than can run, so that no worker waits for us; more would only hold their inputs.
        while waiting and len(running) <= (workers if executor is not None else 0):
            task = waiting.pop()
            try:
                arguments = (
                    task.cell.compute,
                    task.cell.parameters,
                    inputs.of(task),
                    task.entry.origin["code"],
                )
            except CannotRecompute as error:
                yield task, error
                continue
            if executor is None:
                yield task, compute_cell(*arguments)
            else:
                running[executor.submit(compute_cell, *arguments)] = task
        for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
            task = running.pop(future)
            try:
                yield task, future.result()
            except Exception as error:  # noqa: BLE001 - a worker may die in its own way
                yield task, CannotRecompute(f"it could not be recomputed: {type(error).__name__}: {error}")
