"""What is published against what the project would compute today: results that are stale, gone or not needed any more."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbmlib.publish.errors import PublishError, UnknownName
from rbmlib.publish.freshness import PUBLISHED_PROFILE, NotebookStatus
from rbmlib.publish.project import Project

if TYPE_CHECKING:
    from rbmlib.lab.cell import Cell
    from rbmlib.lab.standing import CellStanding, Superseded
    from rbmlib.lab.verify import Check, VerifyReport


_REASONS = 4  # reasons that a line of text gives


@dataclass(frozen=True)
class ResultsStatus:
    """How the published results of one experiment stand.

    Attributes
    ----------
    name, profile : str
        The experiment, and the profile whose cells were looked at.
    fresh : int
        Cells, inputs included, whose published result is the present code's.
    reasons : dict of str to int
        ``"stale: the code that computes it changed"`` and the like, with the number of cells.
    versions : tuple of str
        Libraries whose version differs between fresh results and this installation.
    """

    name: str
    profile: str
    fresh: int
    reasons: dict[str, int]
    versions: tuple[str, ...]

    def __str__(self) -> str:
        total = self.fresh + sum(self.reasons.values())
        shown = list(self.reasons.items())[:_REASONS]
        parts = [f"{self.fresh} of {total} fresh", *(f"{count} {why}" for why, count in shown)]
        if rest := sum(list(self.reasons.values())[_REASONS:]):
            parts.append(f"{rest} for other reasons (rbmlib status --json has them all)")
        return "; ".join(parts)


@dataclass(frozen=True)
class Audit:
    """How all published results stand.

    Attributes
    ----------
    results : tuple of ResultsStatus
        One for each experiment and profile that has cells to show.
    superseded : tuple of Superseded
        Published results that no profile of any experiment asks for.
    damaged : tuple of str
        Published files that are not what was written, one sentence each.
    """

    results: tuple[ResultsStatus, ...]
    superseded: tuple[Superseded, ...]
    damaged: tuple[str, ...]


def cells_by_profile(project: Project) -> dict[tuple[str, str], Sequence[Cell]]:
    """Every cell of every experiment, with or without a notebook, by (experiment, profile)."""
    package = importlib.import_module(project.experiments)
    found: dict[tuple[str, str], Sequence[Cell]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        experiment = project.experiment(module.name)
        if experiment is not None:
            for profile, content in experiment.PROFILES.items():
                found[module.name, profile] = experiment.cells(**content.parameters)
    return found


def audit(project: Project) -> Audit:
    """Compare the published results with the cells of every experiment.

    Parameters
    ----------
    project : Project
        The clone.

    Returns
    -------
    Audit
    """
    from rbmlib.lab.errors import DamagedResult
    from rbmlib.lab.origin import installed_versions
    from rbmlib.lab.standing import standings, superseded

    store = project.store()
    wanted = cells_by_profile(project)
    found = standings([cell for cells in wanted.values() for cell in cells], store)
    here = installed_versions()
    results = []
    for (name, profile), cells in wanted.items():
        own = [found[part] for part in dict.fromkeys(part for cell in cells for part in cell.with_needs())]
        # Inputs alone do not count: profiles share them.
        if profile == PUBLISHED_PROFILE or any(found[cell].state != "missing" for cell in cells):
            results.append(_results_status(name, profile, own, store, here))
    damaged = []
    for path in store.published_files():
        try:
            store.inspect(path)
        except DamagedResult as error:
            damaged.append(str(error))
    return Audit(tuple(results), tuple(superseded(found, store)), tuple(damaged))


def _results_status(
    name: str, profile: str, own: list[CellStanding], store: Any, here: dict[str, str]
) -> ResultsStatus:
    from rbmlib.lab.standing import version_differences

    reasons = Counter(
        standing.state if standing.state == "damaged" else f"{standing.state}: {standing.reason}"
        for standing in own
        if standing.state != "fresh"
    )
    fresh = [standing.key for standing in own if standing.state == "fresh" and standing.key]
    versions = {
        line for key in fresh for line in version_differences(store.origin(key).get("versions", {}), here)
    }
    return ResultsStatus(name, profile, len(fresh), dict(reasons.most_common()), tuple(sorted(versions)))


def as_json(notebooks: Sequence[NotebookStatus], found: Audit) -> dict[str, Any]:
    """What `rbmlib status --json` prints, in JSON's types."""
    superseded = [
        {
            "file": f"{one.entry.path.parent.name}/{one.entry.path.name}",
            "compute": one.entry.origin.get("compute"),
            "reason": one.reason,
            "replaced": one.replaced,
        }
        for one in found.superseded
    ]
    return {
        "notebooks": [vars(one) for one in notebooks],
        "results": [vars(one) for one in found.results],
        "superseded": superseded,
        "damaged": list(found.damaged),
    }


def as_text(notebooks: Sequence[NotebookStatus], found: Audit) -> Iterator[str]:
    """What `rbmlib status` prints, line by line."""
    names = [*(one.name for one in notebooks), *(one.name for one in found.results)]
    width = max(map(len, names), default=0)
    yield "Notebooks"
    for notebook in notebooks:
        yield f"  {notebook.name:{width}}  {notebook.state}{f': {notebook.reason}' if notebook.reason else ''}"
    yield "Published results"
    for results in found.results:
        yield f"  {results.name:{width}}  profile {results.profile}: {results}"
        if results.versions:
            yield f"  {'':{width}}  computed with {'; '.join(results.versions)}"
    yield from (f"  {line}" for line in found.damaged)
    if found.superseded:
        replaced = sum(one.replaced for one in found.superseded)
        yield f"Superseded results: {len(found.superseded)}; rbmlib status --prune deletes {replaced} of them"
        for one in found.superseded:
            yield f"  {one.entry.path.parent.name}/{one.entry.path.name}  {one.reason}"


def prune(project: Project, superseded: Sequence[Superseded]) -> list[Path]:
    """Delete superseded results from the published tier; those that nothing has replaced yet are kept.

    Parameters
    ----------
    project : Project
        The clone.
    superseded : sequence of Superseded
        What :func:`audit` found.

    Returns
    -------
    list of pathlib.Path
        What was deleted.

    Raises
    ------
    StoreNotWritable
        If a file cannot be deleted.
    """
    store = project.store()
    deleted = []
    for one in superseded:
        if one.replaced:
            store.discard(one.entry.key, published=True)
            deleted.append(one.entry.path)
    return deleted


def verify_published(
    project: Project,
    name: str | None = None,
    *,
    n_cells: int | None = 3,
    max_seconds: float | None = None,
    seed: int | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    report: Callable[[Check], None] | None = None,
) -> VerifyReport:
    """Recompute published results of one experiment, or of all, and compare.

    Parameters
    ----------
    project : Project
        The clone.
    name : str, optional
        The experiment; default all published results, whoever asked for them.
    n_cells, max_seconds, seed, executor, workers, report
        As in :func:`rbmlib.lab.verify.verify`.

    Returns
    -------
    VerifyReport

    Raises
    ------
    UnknownName
        If there is no such experiment.
    PublishError
        If there was nothing to recompute: a check that looks at nothing must not pass.
    """
    from rbmlib.lab.standing import standings
    from rbmlib.lab.verify import verify

    store = project.store()
    keys = None
    if name is not None:
        wanted = cells_by_profile(project)
        names = sorted({experiment for experiment, _ in wanted})
        if name not in names:
            raise UnknownName("experiment", name, names)
        cells = [cell for (experiment, _), cells in wanted.items() if experiment == name for cell in cells]
        keys = {standing.key for standing in standings(cells, store).values() if standing.key}
    found = verify(
        store,
        keys=keys,
        n_cells=n_cells,
        max_seconds=max_seconds,
        tolerances=_tolerances(project),
        package=project.experiments,
        seed=seed,
        executor=executor,
        workers=workers,
        report=report,
    )
    if not found.checks:
        raise PublishError(
            f"nothing could be recomputed: of {found.intact} published results "
            f"{'' if name is None else f'of {name} '}{found.other_code} were made by other code, and none of the rest "
            "is cheap enough; see rbmlib status, or allow more --max-seconds"
        )
    return found


def _tolerances(project: Project) -> dict[str, Any]:
    """What the experiments tolerate: ``TOLERANCES`` of their module ``tolerances``, if there is one."""
    try:
        return dict(importlib.import_module(f"{project.experiments}.tolerances").TOLERANCES)
    except ModuleNotFoundError as error:
        if error.name != f"{project.experiments}.tolerances":
            raise
        return {}
