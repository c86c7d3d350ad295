"""Which cell runs when: inputs before what needs them, a key in one sweep at a time, failures kept apart."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import xarray as xr
from filelock import FileLock

from rbmbook.lab import locks
from rbmbook.lab.cell import Cell
from rbmbook.lab.errors import (
    CellFailure,
    ClusterError,
    CodeChanged,
    ConflictingResult,
    DamagedResult,
    LabError,
    NameShared,
    ResultNotFound,
)
from rbmbook.lab.files import write_whole
from rbmbook.lab.fingerprint import code_fingerprint
from rbmbook.lab.origin import origin_of
from rbmbook.lab.progress import Reporter
from rbmbook.lab.store import Store
from rbmbook.lab.worker import Outcome, compute_cell, process_pool

_RECHECK = 0.2  # seconds between looks at cells that another sweep is computing
_INPUTS_KEPT = 4  # inputs kept in memory; neighbouring cells often share theirs


class State(Enum):
    """Where a cell stands."""

    BLOCKED = "waits for its inputs"
    MISSING = "can be computed"
    RUNNING = "is being computed"
    STORED = "is in the store"
    FAILED = "could not be computed"


@dataclass(eq=False)
class Node:
    """A cell on its way through a sweep."""

    cell: Cell
    needs: dict[str, Node]
    dependents: list[Node] = field(default_factory=list)
    state: State = State.BLOCKED
    key: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    lock: FileLock | None = None
    suspect: bool = False  # it was running when a worker process died


class _PoolBroke(Exception):
    """A worker process of our own died."""


class _InProcess(Executor):
    """Runs a task when it is submitted, in the calling process."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        future.set_result(function(*args, **kwargs))
        return future


def _refuse_shared_names(cells: Iterable[Cell]) -> None:
    """Results are known by the function's own name, and equal cells are computed once: a name must have one home."""
    homes: dict[str, str] = {}
    waiting, seen = list(cells), set()
    while waiting:
        cell = waiting.pop()
        if id(cell) not in seen:
            seen.add(id(cell))
            waiting.extend(cell.needs.values())
            module = cell.compute.__module__
            other = homes.setdefault(cell.name, module)
            if other != module:
                raise NameShared(
                    f"the functions {' and '.join(sorted((f'{module}.{cell.name}', f'{other}.{cell.name}')))} share "
                    f"the name {cell.name}, by which results are known; rename one of them"
                )


def _shortened(text: str, longest: int = 200) -> str:
    """A text of at most so many characters, its middle left out where it has more."""
    half = (longest - 5) // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


class Scheduler:
    """Brings a set of cells into the store.

    Parameters
    ----------
    cells : iterable of Cell
        What is wanted; their needs are added.
    store : Store
        Where results lie.
    publish : bool
        Whether they go to the published tier.
    reporter : Reporter
        What is told of it.
    """

    def __init__(self, cells: Iterable[Cell], store: Store, publish: bool, reporter: Reporter) -> None:
        self.store, self.publish, self.reporter = store, publish, reporter
        self.nodes: dict[Cell, Node] = {}
        self.failures: list[CellFailure] = []
        self.damaged: list[str] = []
        self.computed: set[Node] = set()
        self._states: Counter[State] = Counter()
        self._ready: deque[Node] = deque()
        self._elsewhere: list[Node] = []
        self._looked = 0.0
        self._told_of_others = False
        self._running: dict[Future, Node] = {}
        self._inputs: dict[str, xr.Dataset] = {}
        self._end: LabError | None = None
        cells = list(cells)
        _refuse_shared_names(cells)
        for cell in cells:
            self._add(cell)
        self._fresh = True

    def _add(self, cell: Cell) -> Node:
        if cell not in self.nodes:
            needs = {name: self._add(need) for name, need in cell.needs.items()}
            self.nodes[cell] = node = Node(cell, needs)
            self._states[node.state] += 1
            for need in set(needs.values()):
                need.dependents.append(node)
        return self.nodes[cell]

    # Where a cell stands

    @property
    def found(self) -> int:
        """Number of stored cells that were not computed now."""
        return self._states[State.STORED] - len(self.computed)

    def _mark(self, node: Node, state: State) -> None:
        self._states[node.state] -= 1
        self._states[state] += 1
        node.state = state

    def _settle(self, node: Node) -> None:
        """Take a cell's key, if its inputs are stored, and see whether its result is."""
        if any(need.state is not State.STORED for need in node.needs.values()):
            self._mark(node, State.BLOCKED)
            return
        for name, need in node.needs.items():
            try:
                node.digests[name] = self.store.digest(need.key)
            except (DamagedResult, ResultNotFound) as error:
                self._mark(node, State.BLOCKED)
                self.redo(need, error)
                return
        node.key = self.store.key_with(node.cell, node.digests)
        if self.store.has(node.key):
            self._found(node)
        else:
            self._mark(node, State.MISSING)
            # What rests on a result goes next, not last: a sweep that is stopped leaves whole lines of work behind.
            if self._fresh:
                self._ready.append(node)
            else:
                self._ready.appendleft(node)

    def _found(self, node: Node) -> None:
        if self.publish and not self.store.has(node.key, published=True):
            try:
                self.store.publish(node.key)
            except DamagedResult as error:
                self.redo(node, error)
                return
        self._stored(node)

    def _stored(self, node: Node) -> None:
        self._mark(node, State.STORED)
        for dependent in node.dependents if self._fresh else reversed(node.dependents):
            if dependent.state is State.BLOCKED:
                self._settle(dependent)

    def redo(self, node: Node, error: Exception) -> None:
        """Have a cell computed again whose stored result is damaged or gone."""
        if isinstance(error, DamagedResult):
            aside = self.store.set_aside(error.path)
            self.damaged.append(f"{node.cell}: {error}; moved to {aside}, computing it again")
            self.reporter.note(self.damaged[-1])
        self._queue_again(node)

    def _queue_again(self, node: Node) -> None:
        self._mark(node, State.MISSING)
        self.computed.discard(node)
        self._ready.appendleft(node)

    def _fail(self, node: Node, reason: str, details: str | None) -> None:
        log = None
        if details is not None:
            log = self._log(node)
            write_whole(log, f"{node.cell}\n\n{details.rstrip()}\n".encode())
        self._mark(node, State.FAILED)
        self.failures.append(CellFailure(node.cell.name, dict(node.cell.parameters), reason, log))
        if log is not None and reason not in (earlier.reason for earlier in self.failures[:-1]):
            self.reporter.failed(str(self.failures[-1]))
        for dependent in node.dependents:
            if dependent.state is State.BLOCKED:
                self._fail(dependent, f"its input {node.cell} failed", None)

    def _log(self, node: Node) -> Path:
        return self.store.cache / "failures" / node.cell.experiment / f"{node.key[:16]}.txt"

    # Running cells

    def run(self, executor: Executor | None, workers: int) -> None:
        """Compute what is missing; failures are collected, not raised."""
        if self._fresh:
            for node in self.nodes.values():
                if node.state is State.BLOCKED and not node.key:
                    self._settle(node)
            self._fresh = False
        if not self._ready:
            return
        self.store.clear_temporary()
        self.reporter.start(len(self.nodes), self.found)
        try:
            if executor is not None:
                self._drive(executor, workers, own=False)
            elif workers == 1:
                self._drive(_InProcess(), 1, own=False)
            else:
                self._drive_processes(workers)
        finally:
            for future, node in self._running.items():
                future.cancel()
                self._unlock(node)
            self._running.clear()

    def _drive_processes(self, workers: int) -> None:
        while self._ready or self._elsewhere:
            with (
                contextlib.suppress(_PoolBroke),
                process_pool(min(workers, self._unfinished()), self.store.cache / "numba") as pool,
            ):
                self._drive(pool, workers + 1, own=True)  # one more, so that no worker waits for us

    def _unfinished(self) -> int:
        return len(self.nodes) - self._states[State.STORED] - self._states[State.FAILED]

    def _drive(self, executor: Executor, window: int, own: bool) -> None:
        told: set[str] = set()
        while self._ready or self._running or self._elsewhere:
            remarks = set(getattr(executor, "remarks", tuple)())
            for line in sorted(remarks - told):
                self.reporter.note(line)
            told = remarks
            self._look_elsewhere()
            while self._ready and self._end is None and self._may_start(window):
                self._start(self._ready.popleft(), executor, own)
            if self._running:
                pause = _RECHECK if self._elsewhere else 1.0
                for future in wait(self._running, pause, FIRST_COMPLETED).done:
                    self._finish(future, own)
            elif self._elsewhere and not self._ready:
                time.sleep(_RECHECK)
            if self._end is not None:
                raise self._end  # now that everything that came with it is stored
            stored, failed = self._states[State.STORED], self._states[State.FAILED]
            # Workers are handed more than they can run, so that none of them waits for us.
            capacity = getattr(executor, "n_workers", getattr(executor, "_max_workers", window))
            running = min(len(self._running), capacity)
            self.reporter.update(stored, running, failed)

    def _may_start(self, window: int) -> bool:
        # After a worker died, the cells that it may have been are run one at a time, to know which it was.
        if self._ready[0].suspect or any(node.suspect for node in self._running.values()):
            return not self._running
        return len(self._running) < window

    def _start(self, node: Node, executor: Executor, own: bool) -> None:
        if node.state is not State.MISSING:
            return
        inputs = self._load_inputs(node)
        if inputs is None:
            return
        if not self._lock(node):
            if not self._elsewhere and not self._told_of_others:
                self._told_of_others = True
                self.reporter.note(
                    f"another process is computing {_shortened(str(node.cell))}; what it stores is taken from there, and "
                    "what it leaves is computed here"
                )
            self._elsewhere.append(node)
            return
        if self._usable(node):
            self._unlock(node)
            self._found(node)
            return
        self._mark(node, State.RUNNING)
        code = code_fingerprint(node.cell.compute)
        try:
            future = executor.submit(compute_cell, node.cell.compute, node.cell.parameters, inputs, code)
        except BrokenExecutor as error:
            self._lost(node, error, own)
            return
        except BaseException:
            self._unlock(node)
            raise
        self._running[future] = node

    def _load_inputs(self, node: Node) -> dict[str, xr.Dataset] | None:
        """Return a cell's inputs; None if one has to be computed again first, and the cell waits for it."""
        inputs = {}
        for name, need in node.needs.items():
            if need.state is State.FAILED:
                self._fail(node, f"its input {need.cell} failed", None)
                return None
            try:
                if need.state is State.STORED and need.key not in self._inputs:
                    if not self.store.complete(need.key):
                        # Only its published part is here: what was left out is computed again.
                        self._queue_again(need)
                    else:
                        while len(self._inputs) >= _INPUTS_KEPT:
                            self._inputs.pop(next(iter(self._inputs)))
                        self._inputs[need.key] = self.store.load(need.key)
            except (DamagedResult, ResultNotFound) as error:
                self.redo(need, error)
            if need.state is not State.STORED:
                self._mark(node, State.BLOCKED)
                return None
            inputs[name] = self._inputs[need.key]
        return inputs

    def _finish(self, future: Future, own: bool) -> None:
        node = self._running.pop(future, None)
        if node is None:
            return
        try:
            outcome: Outcome = future.result()
        except BrokenExecutor as error:
            self._lost(node, error, own)
            return
        except Exception as error:  # noqa: BLE001 - an executor may lose a task in its own way
            reason = f"{type(error).__name__}: {error}"
            outcome = Outcome(None, 0.0, {}, reason, "".join(traceback.format_exception(error)))
        try:
            if outcome.refused and not own:
                self._end = CodeChanged(outcome.reason.partition(": ")[2])
            else:
                self._keep(node, outcome)
        finally:
            self._unlock(node)

    def _keep(self, node: Node, outcome: Outcome) -> None:
        if outcome.dataset is None:
            self._fail(node, outcome.reason, outcome.traceback)
            return
        origin = origin_of(node.cell, node.digests, outcome.seconds, outcome.where)
        try:
            self.store.save(node.key, outcome.dataset, origin, published=self.publish)
        except (TypeError, ValueError, ConflictingResult) as error:
            self._fail(node, f"{type(error).__name__}: {error}", traceback.format_exc())
            return
        with contextlib.suppress(OSError):
            self._log(node).unlink(missing_ok=True)
        self.computed.add(node)
        self._stored(node)

    def _lost(self, node: Node, error: BrokenExecutor, own: bool) -> None:
        """Deal with an executor that has died under a cell: ours is made anew, another's cannot be."""
        if isinstance(error, ClusterError):
            self._unlock(node)
            self._end = error
            return
        alone = own and node.suspect and not self._running
        nodes = [node, *self._running.values()]
        self._running.clear()
        for node in nodes:
            self._unlock(node)
        if not own:
            waiting = [*nodes, *self._ready, *self._elsewhere]
            self._ready.clear()
            self._elsewhere.clear()
            for node in waiting:
                self._fail(node, f"the executor broke: {error}", "".join(traceback.format_exception(error)))
            return
        if alone:
            reason = "the worker process died (killed, out of memory, or a crash in compiled code)"
            self._fail(node, reason, reason)
        else:
            for node in reversed(nodes):
                node.suspect = True
                self._queue_again(node)
        raise _PoolBroke

    # Cells that another sweep is computing

    def _lock(self, node: Node) -> bool:
        node.lock = locks.take(self.store.cache, node.key)
        return node.lock is not None

    def _unlock(self, node: Node) -> None:
        locks.give_back(node.lock)
        node.lock = None

    def _usable(self, node: Node) -> bool:
        """Whether another sweep has stored the cell meanwhile, as a whole."""
        with contextlib.suppress(DamagedResult, ResultNotFound):
            return self.store.has(node.key) and self.store.complete(node.key)
        return False

    def _look_elsewhere(self) -> None:
        if not self._elsewhere or time.monotonic() - self._looked < _RECHECK:
            return
        self._looked = time.monotonic()
        again, self._elsewhere = self._elsewhere, []
        for node in again:
            if self._usable(node):
                self._found(node)
            else:
                self._ready.append(node)
