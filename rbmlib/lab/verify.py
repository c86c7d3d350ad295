"""Recomputes stored results from what they say about their origin, and compares.

A published file names the function, the parameters, the code and the digests of the inputs that it came from. So it can
be computed again without knowing which study wanted it. Every file is read as a whole first (its checksum, its arrays'
digests, its key against its origin); then some results, drawn at random, are computed again: bit for bit where the result
promises portable bits, else within the tolerances that its experiment states.

What a file says is not trusted with more than that: only functions that a module of the experiments' package defines are
ever called.
"""

from __future__ import annotations

import importlib
import os
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import xarray as xr

from rbmlib.lab import container
from rbmlib.lab.cell import Cell
from rbmlib.lab.errors import DamagedResult, FingerprintError, LabError, ResultNotFound
from rbmlib.lab.fingerprint import code_fingerprint
from rbmlib.lab.origin import installed_versions
from rbmlib.lab.standing import version_differences
from rbmlib.lab.store import Entry, Store, result_key
from rbmlib.lab.tolerance import BITS, PORTABLE, Tolerances, bit_differences, deviations
from rbmlib.lab.worker import Outcome, compute_cell, process_pool

Verdict = Literal["equal bits", "within tolerance", "different", "damaged", "other code"]
_FAILURES = ("different", "damaged")
_SHOWN = 4  # variables named in one line


@dataclass(frozen=True)
class Check:
    """What came of looking at one stored result.

    Attributes
    ----------
    path : pathlib.Path
        Its file.
    what : str
        Function and parameters, as far as they are known.
    verdict : str
        ``"equal bits"``, ``"within tolerance"``, ``"different"`` (the recomputed result, or it could not be recomputed),
        ``"damaged"``, or ``"other code"`` (made by code that is no longer there, so not recomputed).
    detail : str
        Which variable, and how far off; or why.
    versions : tuple of str
        Libraries whose version differs between the stored result and now.
    """

    path: Path
    what: str
    verdict: Verdict
    detail: str = ""
    versions: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the stored result cannot be trusted."""
        return self.verdict in _FAILURES

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        versions = f" (computed with {'; '.join(self.versions)})" if self.versions else ""
        return f"{self.verdict}  {self.path.parent.name}/{self.path.name}  {self.what}{detail}{versions}"


@dataclass(frozen=True)
class VerifyReport:
    """What a verification found.

    Attributes
    ----------
    intact : int
        Files that were read and are what was written.
    other_code : int
        Of those, how many were made by code that is no longer there.
    checks : tuple of Check
        One for each recomputed result, and for each file that failed without being recomputed.
    seed : int
        Draws the same results again.
    """

    intact: int
    other_code: int
    checks: tuple[Check, ...]
    seed: int

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.failed)

    @property
    def recomputed(self) -> int:
        """How many results were computed again and compared."""
        return sum(check.verdict != "damaged" for check in self.checks)

    def __str__(self) -> str:
        equal = sum(check.verdict == "equal bits" for check in self.checks)
        close = sum(check.verdict == "within tolerance" for check in self.checks)
        old = f", {self.other_code} of them made by other code" if self.other_code else ""
        return (
            f"{self.intact} published files are what was written{old}; {self.recomputed} recomputed: "
            f"{equal} with equal bits, {close} within tolerance; {len(self.failures)} failed (seed {self.seed})"
        )


@dataclass(frozen=True)
class _Task:
    """A stored result that can be computed again."""

    entry: Entry
    cell: Cell
    stored: xr.Dataset


class _CannotRecompute(LabError):
    """An input is not there, or does not come out again."""


def verify(
    store: Store,
    *,
    keys: Collection[str] | None = None,
    n_cells: int | None = 3,
    max_seconds: float | None = None,
    tolerances: Mapping[str, Tolerances] | None = None,
    package: str = "rbmlib.experiments",
    seed: int | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    report: Callable[[Check], None] | None = None,
) -> VerifyReport:
    """Read every published result, compute some of them again, and compare.

    Parameters
    ----------
    store : Store
        Where results lie; the published tier is verified.
    keys : collection of str, optional
        Only results under these keys; default all.
    n_cells : int or None
        How many are computed again, drawn at random in turn from every function; None for all.
    max_seconds : float, optional
        Leaves out of the draw what would bring the sum of the results' own wall times above this.
    tolerances : mapping, optional
        By function name, what must agree where bits are not promised.
    package : str
        The package whose functions may be called.
    seed : int, optional
        Makes the draw repeatable.
    executor : concurrent.futures.Executor, optional
        What computes. Default: processes of our own.
    workers : int, optional
        Number of processes, default one a core; 1 computes in this process.
    report : callable, optional
        Called with each check when it is there; cheapest results first.

    Returns
    -------
    VerifyReport

    Raises
    ------
    ValueError
        If `n_cells` is below 1.
    """
    if n_cells is not None and (isinstance(n_cells, bool) or n_cells < 1):
        raise ValueError(f"n_cells is {n_cells!r}; it must be an integer of 1 or more, or None for all")
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    say = report or (lambda check: None)
    checks: list[Check] = []

    def note(check: Check) -> None:
        checks.append(check)
        say(check)

    tasks, intact, other_code = [], 0, 0
    for found in _read_all(store, keys, package):
        if isinstance(found, Check) and found.failed:
            note(found)
            continue
        intact += 1
        if isinstance(found, _Task):
            tasks.append(found)
        else:
            other_code += 1
    drawn = _draw(tasks, n_cells, max_seconds, random.Random(seed))
    workers = workers or os.cpu_count() or 1
    with ExitStack() as stack:
        if executor is None and len(drawn) > 1 and workers > 1:
            executor = stack.enter_context(process_pool(min(workers, len(drawn)), store.cache / "numba"))
        for task, outcome in _compute(drawn, _Inputs(store, package), executor, workers):
            if isinstance(outcome, _CannotRecompute):
                note(Check(task.entry.path, str(task.cell), "different", str(outcome)))
            else:
                note(_compare(task, outcome, (tolerances or {}).get(task.cell.name)))
    return VerifyReport(intact, other_code, tuple(checks), seed)


def _read_all(store: Store, keys: Collection[str] | None, package: str) -> Iterator[_Task | Check]:
    """Yield every published result that is intact, and a check for every one that is not or has other code."""
    stems = None if keys is None else {store.stem(key) for key in keys}
    for path in store.published_files():
        if stems is not None and path.stem not in stems:
            continue
        try:
            entry, dataset = store.inspect(path)
            yield _task(entry, dataset, package)
        except DamagedResult as error:
            yield Check(path, "", "damaged", error.what)
        except _OtherCode as error:
            yield Check(path, str(error), "other code")


class _OtherCode(LabError):
    """The function that made a result is no longer there, or is another one."""


def _task(entry: Entry, dataset: xr.Dataset, package: str) -> _Task:
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
        raise _OtherCode(str(cell))
    return _Task(entry, cell, dataset)


def _function(name: str, package: str) -> Callable[..., xr.Dataset]:
    """Return a function that a module of the package defines; nothing else is imported or called."""
    module_name, _, attribute = name.rpartition(".")
    if not module_name.startswith(package + ".") or not all(part.isidentifier() for part in name.split(".")):
        raise _OtherCode(f"{name}, which is not a function of {package}")
    try:
        function = getattr(importlib.import_module(module_name), attribute)
        code_fingerprint(function)
    except (ImportError, AttributeError, FingerprintError) as error:
        raise _OtherCode(f"{name}, which is no longer there") from error
    if getattr(function, "__module__", None) != module_name or not callable(function):
        raise _OtherCode(f"{name}, which {module_name} does not define")
    return function


def _draw(
    tasks: list[_Task], n_cells: int | None, max_seconds: float | None, chooser: random.Random
) -> list[_Task]:
    """Draw results, each function in turn, as far as their number and cost allow; the cheapest first."""
    by_function: dict[str, list[_Task]] = {}
    for task in sorted(tasks, key=lambda task: task.entry.key):
        by_function.setdefault(task.cell.name, []).append(task)
    queues = [chooser.sample(group, len(group)) for group in by_function.values()]
    chooser.shuffle(queues)
    drawn: list[_Task] = []
    left = float("inf") if max_seconds is None else max_seconds
    while any(queues) and (n_cells is None or len(drawn) < n_cells):
        for queue in queues:
            while queue:
                task = queue.pop()
                if _cost(task) <= left:
                    left -= _cost(task)
                    drawn.append(task)
                    break
            if len(drawn) == n_cells:
                break
    return sorted(drawn, key=_cost)


def _cost(task: _Task) -> float:
    return float(task.entry.origin.get("seconds", 0.0))


class _Inputs:
    """Finds inputs by their digests; those that are not stored as a whole are computed again."""

    def __init__(self, store: Store, package: str) -> None:
        self._store, self._package = store, package
        self._entries: dict[str, Entry] | None = None
        self._made: dict[str, xr.Dataset] = {}

    def of(self, task: _Task) -> dict[str, xr.Dataset]:
        """Return the inputs of a stored result.

        Raises
        ------
        _CannotRecompute
            If one is not stored, or does not come out as it was.
        """
        needs: Mapping[str, str] = task.entry.origin["needs"]
        return {name: self._input(name, digest) for name, digest in needs.items()}

    def _input(self, name: str, digest: str) -> xr.Dataset:
        if self._entries is None:
            self._entries = {}
            for stored_entry in self._store.entries():
                self._entries.setdefault(stored_entry.digest, stored_entry)
        if digest in self._made:
            return self._made[digest]
        entry = self._entries.get(digest)
        if entry is None:
            raise _CannotRecompute(f"its input {name} with digest {digest[:16]} is not stored")
        try:
            stored = self._store.load(entry.key)
            if self._store.complete(entry.key):
                return stored
            task = _task(entry, stored, self._package)
        except (DamagedResult, ResultNotFound, _OtherCode) as error:
            raise _CannotRecompute(f"its input {name} cannot be had: {error}") from error
        outcome = compute_cell(task.cell.compute, task.cell.parameters, self.of(task), entry.origin["code"])
        if outcome.dataset is None:
            raise _CannotRecompute(f"its input {task.cell} cannot be computed: {outcome.reason}")
        if container.combined_digest(container.variable_digests(outcome.dataset)) != digest:
            raise _CannotRecompute(f"its input {task.cell} comes out with other bits here")
        self._made[digest] = outcome.dataset
        return outcome.dataset


def _compute(
    tasks: list[_Task], inputs: _Inputs, executor: Executor | None, workers: int
) -> Iterator[tuple[_Task, Outcome | _CannotRecompute]]:
    running: dict[Future, _Task] = {}
    waiting = list(reversed(tasks))
    while waiting or running:
        while waiting and len(running) <= (workers if executor is not None else 0):
            task = waiting.pop()
            code = task.entry.origin["code"]
            try:
                arguments = (task.cell.compute, task.cell.parameters, inputs.of(task), code)
            except _CannotRecompute as error:
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
                yield task, _CannotRecompute(f"it could not be recomputed: {type(error).__name__}: {error}")


def _compare(task: _Task, outcome: Outcome, tolerances: Tolerances | None) -> Check:
    check = Check(task.entry.path, str(task.cell), "equal bits")
    if outcome.dataset is None:
        return replace(check, verdict="different", detail=f"it could not be recomputed: {outcome.reason}")
    # What the worker has imported, and for the rest what is installed here.
    now = installed_versions() | outcome.where.get("versions", {})
    then = task.entry.origin.get("versions", {})
    check = replace(check, versions=tuple(version_differences(then, now)))
    digests, stored = container.variable_digests(outcome.dataset), task.entry.digests
    names = sorted(name for name in {*digests, *stored} if digests.get(name) != stored.get(name))
    if not names:
        return check
    if tolerances is not None and task.stored.attrs.get(BITS, PORTABLE) != PORTABLE:
        found = deviations(task.stored, outcome.dataset, tolerances)
        wrong = [one for one in found if not one.allowed]
        if not wrong:
            nearest = f"; closest to its bound: {found[0].text}" if found else ""
            return replace(
                check, verdict="within tolerance", detail=f"{len(names)} variables differ in bits{nearest}"
            )
        detail = "; ".join(one.text for one in wrong[:_SHOWN])
        return replace(check, verdict="different", detail=detail + _more(len(wrong)))
    lines = bit_differences(task.stored, outcome.dataset, names)
    return replace(check, verdict="different", detail="; ".join(lines[:_SHOWN]) + _more(len(lines)))


def _more(n: int) -> str:
    return f"; and {n - _SHOWN} more" if n > _SHOWN else ""
