"""Recomputes stored results from what they say about their origin, and compares.

A published file names the function, the parameters, the code and the digests of the inputs that it came from. So it can
be computed again without knowing which study wanted it. Every file is read as a whole first (its checksum, its arrays'
digests, its key against its origin); then some results, drawn at random, are computed again: bit for bit where the result
promises portable bits, else within the tolerances that its experiment states.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rbmbook.lab import container
from rbmbook.lab.compare import BITS, PORTABLE, Tolerances, bit_differences, deviations
from rbmbook.lab.errors import DamagedResult
from rbmbook.lab.origin import installed_versions
from rbmbook.lab.recompute import CannotRecompute, Inputs, OtherCode, Task, recomputed, task_of
from rbmbook.lab.standing import version_differences
from rbmbook.lab.store import Store
from rbmbook.lab.worker import Outcome, process_pool

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


def verify(
    store: Store,
    *,
    keys: Collection[str] | None = None,
    n_cells: int | None = 3,
    max_seconds: float | None = None,
    tolerances: Mapping[str, Tolerances] | None = None,
    package: str = "rbmbook.studies",
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
        Leaves out of the draw what would bring the sum of wall times above this, those of inputs included that have to be
        computed again because they are not stored as a whole.
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
        Called with each check when it is there; cheapest results first, and last those that wait for inputs.

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
        if isinstance(found, Task):
            tasks.append(found)
        else:
            other_code += 1
    inputs = Inputs(store, package)
    drawn = _draw(tasks, n_cells, max_seconds, random.Random(seed), inputs)
    workers = workers or os.cpu_count() or 1
    n_tasks = len({key for task in drawn for key in (task.entry.key, *inputs.missing(task))})
    with ExitStack() as stack:
        if executor is None and n_tasks > 1 and workers > 1:
            executor = stack.enter_context(process_pool(min(workers, n_tasks), store.cache / "numba"))
        for task, outcome in recomputed(drawn, inputs, executor, workers):
            if isinstance(outcome, CannotRecompute):
                note(Check(task.entry.path, str(task.cell), "different", str(outcome)))
            else:
                note(_compare(task, outcome, (tolerances or {}).get(task.cell.name)))
    return VerifyReport(intact, other_code, tuple(checks), seed)


def _read_all(store: Store, keys: Collection[str] | None, package: str) -> Iterator[Task | Check]:
    """Yield every published result that is intact, and a check for every one that is not or has other code."""
    stems = None if keys is None else {store.stem(key) for key in keys}
    for path in store.published_files():
        if stems is not None and path.stem not in stems:
            continue
        try:
            entry, dataset = store.inspect(path)
            yield task_of(entry, dataset, package)
        except DamagedResult as error:
            yield Check(path, "", "damaged", error.what)
        except OtherCode as error:
            yield Check(path, str(error), "other code")


def _draw(
    tasks: list[Task], n_cells: int | None, max_seconds: float | None, chooser: random.Random, inputs: Inputs
) -> list[Task]:
    """Draw results, each function in turn, as far as their number and cost allow; the cheapest first."""
    by_function: dict[str, list[Task]] = {}
    for task in sorted(tasks, key=lambda task: task.entry.key):
        by_function.setdefault(task.cell.name, []).append(task)
    queues = [chooser.sample(group, len(group)) for group in by_function.values()]
    chooser.shuffle(queues)
    drawn: list[Task] = []
    paid: set[str] = set()  # what is computed once, whether drawn or because others rest on it
    left = float("inf") if max_seconds is None else max_seconds
    while any(queues) and (n_cells is None or len(drawn) < n_cells):
        for queue in queues:
            while queue:
                task = queue.pop()
                first = {task.entry.key: task} | inputs.missing(task)
                cost = sum(each.seconds for key, each in first.items() if key not in paid)
                if cost <= left:
                    left -= cost
                    paid |= set(first)
                    drawn.append(task)
                    break
            if len(drawn) == n_cells:
                break
    return sorted(drawn, key=lambda task: task.seconds)


def _compare(task: Task, outcome: Outcome, tolerances: Tolerances | None) -> Check:
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
