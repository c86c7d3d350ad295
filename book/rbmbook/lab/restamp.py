"""Carries stored results over a change of code that keeps their bits, after checking that it does."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from rbmbook.lab import container
from rbmbook.lab.cell import Cell, canonical_json
from rbmbook.lab.errors import RestampRefused
from rbmbook.lab.fingerprint import code_fingerprint
from rbmbook.lab.store import Entry, Store
from rbmbook.lab.worker import Outcome, compute_cell, process_pool


@dataclass(frozen=True)
class RestampReport:
    """What was carried over.

    Attributes
    ----------
    fresh : int
        Cells that were stored under the present code already.
    checked : int
        Cells that were computed again, all with equal arrays.
    carried : int
        Results filed under the present code now.
    missing : int
        Cells of which nothing is stored.
    """

    fresh: int
    checked: int
    carried: int
    missing: int

    def __str__(self) -> str:
        return (
            f"{self.carried} results carried over after {self.checked} were computed again with equal bits; "
            f"{self.fresh} were fresh already, {self.missing} are not stored"
        )


@dataclass(frozen=True)
class _Standing:
    """Where a cell's result lies, and the key that it should have."""

    cell: Cell
    key: str
    held: str
    digest: str
    needs: dict[str, str]
    entry: Entry | None  # None if it lies under the right key


def _identity(name: str, parameters: Any, needs: Any) -> str:
    return canonical_json([name, dict(parameters), dict(needs)])


def _standings(cells: Iterable[Cell], store: Store) -> tuple[dict[Cell, _Standing], int]:
    """Find every cell's result, under its own key or that of other code; inputs before what needs them."""
    old: dict[str, Entry] = {}
    for stored in store.entries():
        origin = stored.origin
        if {"compute", "parameters", "needs", "code"} <= set(origin):
            identity = _identity(origin["compute"], origin["parameters"], origin["needs"])
            known = old.get(identity)
            if known is None or known.origin.get("date", "") < origin.get("date", ""):
                old[identity] = stored
    standings: dict[Cell, _Standing] = {}
    missing: set[Cell] = set()
    for cell in (each for wanted in cells for each in wanted.with_needs()):
        if cell in standings or cell in missing:
            continue
        if any(need not in standings for need in cell.needs.values()):
            missing.add(cell)
            continue
        needs = {name: standings[need].digest for name, need in cell.needs.items()}
        key = store.key_with(cell, needs)
        entry = None if store.has(key) else old.get(_identity(cell.name, cell.parameters, needs))
        if entry is None and not store.has(key):
            missing.add(cell)
            continue
        held = key if entry is None else entry.key
        standings[cell] = _Standing(cell, key, held, store.digest(held), needs, entry)
    return standings, len(missing)


def _choose(stale: list[_Standing], n_cells: int, chooser: random.Random) -> list[_Standing]:
    """Draw cells at random, so many of every function: a change of one says nothing about another."""
    chosen = []
    for name in sorted({standing.cell.name for standing in stale}):
        candidates = [standing for standing in stale if standing.cell.name == name]
        chosen += chooser.sample(candidates, min(n_cells, len(candidates)))
    return chosen


def _compute_again(
    chosen: list[_Standing], standings: dict[Cell, _Standing], store: Store, executor: Executor | None
) -> list[Outcome]:
    tasks = []
    for standing in chosen:
        inputs = {}
        for name, need in standing.cell.needs.items():
            held = standings[need].held
            if not store.complete(held):
                raise RestampRefused(
                    f"the input {need} of {standing.cell} is stored only in part; run the sweep first"
                )
            inputs[name] = store.load(held)
        cell = standing.cell
        tasks.append((cell.compute, cell.parameters, inputs, code_fingerprint(cell.compute)))
    if executor is None:
        return [compute_cell(*task) for task in tasks]
    running = [executor.submit(compute_cell, *task) for task in tasks]
    return [future.result() for future in running]


def restamp(
    cells: Iterable[Cell],
    store: Store | None = None,
    n_cells: int = 5,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    seed: int | None = None,
) -> RestampReport:
    """File results under the present code, if recomputing some of them gives equal arrays.

    Parameters
    ----------
    cells : iterable of Cell
        The cells whose results are to be kept; their inputs are taken along.
    store : Store, optional
        Where results lie; default :meth:`Store.default`.
    n_cells : int
        How many cells of each function are computed again, drawn at random; 5 or more, or all there are.
    executor : concurrent.futures.Executor, optional
        What runs them. Default: processes of our own.
    workers : int, optional
        Number of processes, default one a core; 1 computes in this process.
    seed : int, optional
        Makes the draw repeatable.

    Returns
    -------
    RestampReport

    Raises
    ------
    ValueError
        If `n_cells` is below 5.
    RestampRefused
        If a recomputed cell fails or differs; nothing is carried over then.
    StoreNotWritable
        If a file cannot be written.
    """
    if n_cells < 5:
        raise ValueError(f"n_cells is {n_cells!r}; at least 5 cells must be computed again")
    store = store or Store.default()
    standings, missing = _standings(cells, store)
    stale = [standing for standing in standings.values() if standing.entry is not None]
    chosen = _choose(stale, n_cells, random.Random(seed))
    workers = workers or os.cpu_count() or 1
    with ExitStack() as stack:
        if executor is None and chosen and workers > 1:
            executor = stack.enter_context(process_pool(min(workers, len(chosen)), store.cache / "numba"))
        outcomes = _compute_again(chosen, standings, store, executor)
    _compare(chosen, outcomes)
    checked = Counter(standing.cell.name for standing in chosen)
    for standing in stale:
        assert standing.entry is not None
        origin = dict(standing.entry.origin)
        code = code_fingerprint(standing.cell.compute)
        step = {"from": origin["code"], "to": code, "checked": checked[standing.cell.name]}
        origin |= {"code": code, "restamped": [*origin.get("restamped", ()), step]}
        store.rekey(standing.held, standing.key, origin)
    return RestampReport(len(standings) - len(stale), len(chosen), len(stale), missing)


def _compare(chosen: list[_Standing], outcomes: list[Outcome]) -> None:
    different = []
    for standing, outcome in zip(chosen, outcomes, strict=True):
        if outcome.dataset is None:
            different.append(f"{standing.cell}: {outcome.reason}")
        elif container.combined_digest(container.variable_digests(outcome.dataset)) != standing.digest:
            different.append(f"{standing.cell}: other arrays")
    if different:
        lines = "\n".join(f"  {line}" for line in different)
        raise RestampRefused(
            f"{len(different)} of {len(chosen)} recomputed cells differ from what is stored, so nothing was "
            f"carried over; sweep again to compute all anew.\n{lines}"
        )
