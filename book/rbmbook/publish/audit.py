"""What is published against what the project would compute today: results that are stale, gone or not needed any more."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbmbook.publish.errors import PublishError, UnknownName
from rbmbook.publish.freshness import PUBLISHED_PROFILE, SOURCE_CHANGED, NotebookStatus, notebook_status
from rbmbook.publish.notebook import read_source
from rbmbook.publish.project import Project

if TYPE_CHECKING:
    from rbmbook.lab.cell import Cell
    from rbmbook.lab.standing import CellStanding, Superseded
    from rbmbook.lab.verify import Check, VerifyReport

#: Longest line of an explanation.
_WIDTH = 200
_REASONS = 4  # reasons that a line of text gives


@dataclass(frozen=True)
class ResultsStatus:
    """How the published results of one experiment stand.

    Only the profile that an executed chapter shows is held complete. Of another, some cells may be there because the
    published one shares them, and of a study that is no chapter yet, those that were computed so far: what is missing is
    no fault then, but a stale or damaged result always is.

    Attributes
    ----------
    name, profile : str
        The experiment, and the profile whose cells were looked at.
    complete : bool
        Whether it is held complete.
    total : int
        Its cells, inputs included.
    fresh : int
        Those whose published result is the present code's.
    reasons : dict of str to int
        Faults: ``"stale: the code that computes it changed"`` and the like, with the number of cells.
    versions : tuple of str
        Libraries whose version differs between fresh results and this installation.
    """

    name: str
    profile: str
    complete: bool
    total: int
    fresh: int
    reasons: dict[str, int]
    versions: tuple[str, ...]

    def __str__(self) -> str:
        count = f"{self.fresh} of {self.total} {'fresh' if self.complete else 'published'}"
        shown = list(self.reasons.items())[:_REASONS]
        parts = [count, *(f"{number} {why}" for why, number in shown)]
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


@dataclass(frozen=True)
class Explanation:
    """Why one notebook and its results are not fresh.

    Attributes
    ----------
    name : str
        The notebook or the experiment.
    complete : bool
        Whether it is a chapter, so that its published profile is held complete.
    notebook : NotebookStatus or None
        How the executed notebook stands; None for an experiment without one.
    fresh : int
        Results that are fresh.
    faults : tuple of dict
        What is not, together for all cells of one function that share a reason: ``compute``, ``state``, ``reason``,
        ``count`` and, written out, the ``first``.
    """

    name: str
    complete: bool
    notebook: NotebookStatus | None
    fresh: int
    faults: tuple[dict[str, Any], ...]

    @property
    def behind(self) -> bool:
        """Whether anything is stale or damaged, or missing of a chapter."""
        if any(self.complete or fault["state"] != "missing" for fault in self.faults):
            return True
        return self.complete and self.notebook is not None and self.notebook.state != "fresh"


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
    from rbmbook.lab.errors import DamagedResult
    from rbmbook.lab.origin import installed_versions
    from rbmbook.lab.standing import standings, superseded

    store = project.store()
    wanted = cells_by_profile(project)
    found = standings([cell for cells in wanted.values() for cell in cells], store)
    here = installed_versions()
    chapters = project.in_book()
    results = []
    for (name, profile), cells in wanted.items():
        complete = profile == PUBLISHED_PROFILE and name in chapters
        own = [found[part] for part in dict.fromkeys(part for cell in cells for part in cell.with_needs())]
        # Fresh inputs alone do not count: profiles share them.
        published = any(found[cell].state != "missing" for cell in cells)
        if complete or published or any(standing.state in ("stale", "damaged") for standing in own):
            results.append(_results_status(name, profile, complete, own, store, here))
    damaged = []
    for path in store.published_files():
        try:
            store.inspect(path)
        except DamagedResult as error:
            damaged.append(str(error))
    return Audit(tuple(results), tuple(superseded(found, store)), tuple(damaged))


def _results_status(
    name: str, profile: str, complete: bool, own: list[CellStanding], store: Any, here: dict[str, str]
) -> ResultsStatus:
    from rbmbook.lab.standing import version_differences

    reasons = Counter(
        standing.state if standing.state == "damaged" else f"{standing.state}: {standing.reason}"
        for standing in own
        if _at_fault(standing, complete)
    )
    fresh = [standing.key for standing in own if standing.state == "fresh" and standing.key]
    versions = {
        line for key in fresh for line in version_differences(store.origin(key).get("versions", {}), here)
    }
    return ResultsStatus(
        name, profile, complete, len(own), len(fresh), dict(reasons.most_common()), tuple(sorted(versions))
    )


def _at_fault(standing: CellStanding, complete: bool) -> bool:
    """Whether a result is not as it should be: what is missing counts where the profile is held complete."""
    return standing.state in ("stale", "damaged") or (standing.state == "missing" and complete)


def explain(project: Project, name: str) -> Explanation:
    """Say why a notebook and the results of its experiment are not fresh.

    Parameters
    ----------
    project : Project
        The clone.
    name : str
        A notebook, or an experiment without one.

    Returns
    -------
    Explanation

    Raises
    ------
    UnknownName
        If there is neither.
    """
    from rbmbook.lab.standing import standings

    notebook = notebook_status(project, name) if name in project.names() else None
    if notebook is None and (not name.isidentifier() or project.experiment(name) is None):
        raise UnknownName("notebook", name, project.names())
    if notebook is not None and notebook.reason == SOURCE_CHANGED:
        notebook = replace(notebook, reason=_changed_source(project, name))
    # Of all experiments: a result of a cell that another one wants is no older form of a cell of this one.
    wanted = cells_by_profile(project)
    found = standings([cell for cells in wanted.values() for cell in cells], project.store())
    faults: dict[tuple[str, str, str], dict[str, Any]] = {}
    fresh: set[Cell] = set()
    at_fault: set[Cell] = set()
    for (experiment, profile), cells in wanted.items():
        for cell in (part for own in cells for part in own.with_needs() if experiment == name):
            standing = found[cell]
            if standing.state == "fresh":
                fresh.add(cell)
            elif cell not in at_fault and _at_fault(standing, profile == PUBLISHED_PROFILE):
                at_fault.add(cell)
                # Every damaged file is damaged in its own way; one is enough to show how.
                reason = "" if standing.state == "damaged" else standing.reason
                fault = {"compute": cell.name, "state": standing.state, "reason": standing.reason, "count": 0}
                fault = faults.setdefault((cell.name, standing.state, reason), fault | {"first": str(cell)})
                fault["count"] += 1
    return Explanation(name, name in project.in_book(), notebook, len(fresh), tuple(faults.values()))


def _changed_source(project: Project, name: str) -> str:
    """Say of an executed notebook whose source changed where the first change is."""
    source = project.source(name)
    there = f"its source {source.relative_to(project.root).as_posix()} changed"
    executed = json.loads(project.executed_path(name).read_text(encoding="utf-8"))
    before = [
        (cell["cell_type"], "".join(cell["source"]))
        for cell in executed["cells"]
        if "injected-parameters" not in cell.get("metadata", {}).get("tags", [])
    ]
    now = [(cell.cell_type, cell.source) for cell in read_source(source).cells]
    if not before:
        return there
    for number, (old, new) in enumerate(zip_longest(before, now), 1):
        if old != new:
            kind, text = new or old
            gone = "" if new else ", which is gone"
            changed = next(
                (line for line in text.splitlines() if old is None or line not in old[1].splitlines()), ""
            )
            return f"{there}, first in cell {number} ({kind}){gone}: {changed or text.partition(chr(10))[0]}"
    return f"{there}, in its front matter"


def explanation_as_json(found: Explanation) -> dict[str, Any]:
    """What `rbmlib status NAME --json` prints, in JSON's types."""
    notebook = None if found.notebook is None else vars(found.notebook)
    return {"name": found.name, "notebook": notebook, "fresh": found.fresh, "faults": list(found.faults)}


def explanation_as_text(found: Explanation) -> Iterator[str]:
    """What `rbmlib status NAME` prints, line by line, none longer than 200 characters."""
    lines = [found.name]
    if found.notebook is not None:
        reason = f": {found.notebook.reason}" if found.notebook.reason else ""
        lines.append(f"  notebook {found.notebook.state}{reason}")
    if found.fresh or found.faults:
        lines.append(f"  {found.fresh} results fresh")
    for fault in found.faults:
        first = f"{'; the first: ' if fault['count'] > 1 else ': '}{fault['first']}"
        lines.append(f"  {fault['count']} of {fault['compute']} {fault['state']}, {fault['reason']}{first}")
    yield from (line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..." for line in lines)


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
        replaced = [one for one in found.superseded if one.replaced]
        yield f"Superseded results: {len(found.superseded)}; rbmlib status --prune deletes {len(replaced)} of them"
        for one in replaced:
            yield f"  {one.entry.path.parent.name}/{one.entry.path.name}  {one.reason}"
        kept = Counter(
            (str(one.entry.origin.get("compute")), one.reason) for one in found.superseded if not one.replaced
        )
        for (compute, reason), count in kept.items():
            yield f"  {_kept(compute, reason, count)}"


def _kept(compute: str, reason: str, count: int) -> str:
    from rbmbook.lab.standing import NOT_FOUND

    results = f"{count} {'result' if count == 1 else 'results'} kept"
    if reason == NOT_FOUND:
        return (
            f"function {compute} is not found in the studies any more; {results}: if it was renamed, rename it back, "
            "or compute anew under the new name"
        )
    return f"{results} of {compute}: {reason}"


def prune(project: Project, superseded: Sequence[Superseded]) -> list[Path]:
    """Delete from the published tier the results whose cells have fresh ones; all others are kept.

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
        As in :func:`rbmbook.lab.verify.verify`.

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
    from rbmbook.lab.standing import standings
    from rbmbook.lab.verify import verify

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
