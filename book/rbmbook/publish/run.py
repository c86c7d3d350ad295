"""One notebook with chosen parameters: from the request to an executed notebook and a page of its own."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from rbmbook.publish.beside import compare
from rbmbook.publish.errors import BadParameter, UnknownName
from rbmbook.publish.freshness import PUBLISHED_PROFILE, experiments_read, make_record, notebook_reach
from rbmbook.publish.notebook import execute, parameters_of, require_writable, started_kernel
from rbmbook.publish.page import write_page
from rbmbook.publish.parameters import LABEL, Parameter, Value, bind, without_label
from rbmbook.publish.project import Project


@dataclass(frozen=True)
class Request:
    """A notebook's parameters, settled and accepted by its experiment.

    Parameters
    ----------
    name : str
        The notebook.
    profile : str
        The profile that the values start from.
    values : mapping
        All parameters' values, the profile's label included if the notebook declares it.
    changed : mapping
        Those that differ from the notebook's own defaults.
    modified : bool
        Whether any value differs from the profile's.
    cells : sequence
        The cells that the experiment makes of these values; empty for a notebook without one.
    """

    name: str
    profile: str
    values: Mapping[str, Value]
    changed: Mapping[str, Value]
    modified: bool
    cells: Sequence[Any]


def settle(project: Project, name: str, *given: Mapping[str, object], profile: str | None = None) -> Request:
    """Combine a profile and given values, and ask the experiment whether it accepts them.

    Parameters
    ----------
    project : Project
        The clone.
    name : str
        The notebook.
    *given : mapping of str to value
        Values by name, the last mapping strongest; text is read as the parameter's type.
    profile : str, optional
        The profile to start from; the notebook's own defaults (which are the published profile) without it.

    Raises
    ------
    UnknownName
        If there is no such notebook, parameter or profile.
    BadParameter
        If a value has the wrong type, or the experiment does not allow it.
    """
    parameters = parameters_of(project, name)
    experiment = project.experiment(name)
    profiles = _profiles(project, name, parameters)
    if profile is not None and not profiles:
        raise BadParameter(f"notebook {name!r} computes nothing of its own, so it has no profile {profile!r}")
    if profile is not None and profile not in profiles:
        raise UnknownName(f"profile of notebook {name!r} called", profile, profiles)
    base = bind(parameters, profiles[profile] if profile is not None else {})
    values = bind(parameters, without_label(base), *given)
    modified = values != base
    if LABEL in parameters:
        values[LABEL] = profile or PUBLISHED_PROFILE
    changed = {key: value for key, value in values.items() if value != parameters[key].default}
    cells: Sequence[Any] = []
    if experiment is not None:
        try:
            cells = experiment.cells(**without_label(values))
        except (ValueError, TypeError) as error:
            raise BadParameter(f"notebook {name!r} does not accept these parameters: {error}") from error
    return Request(name, profile or PUBLISHED_PROFILE, values, changed, modified, cells)


def _profiles(
    project: Project, name: str, parameters: Mapping[str, Parameter]
) -> dict[str, Mapping[str, object]]:
    """The parameters that each profile sets.

    A notebook that only reads results has the profiles of the experiments it reads; they choose whose results.
    """
    experiment = project.experiment(name)
    if experiment is not None:
        return {key: profile.parameters for key, profile in experiment.PROFILES.items()}
    if LABEL not in parameters:
        return {}
    others = experiments_read(project, name, notebook_reach(project, name).modules)
    modules = [module for module in map(project.experiment, others) if module is not None]
    return {key: {} for module in modules for key in module.PROFILES}


def run(
    project: Project,
    request: Request,
    out: Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = False,
    report: Callable[[str], None] | None = None,
) -> tuple[Path, Path]:
    """Compute what is not stored, execute the notebook and write its page; published files stay as they are.

    Parameters
    ----------
    project : Project
        The clone.
    request : Request
        What `settle` returned.
    out : Path
        Folder for both files; made if missing.
    workers, scheduler, progress
        As in `fill`.
    report : callable, optional
        Called with a line for each step.

    Returns
    -------
    tuple of Path
        The executed notebook and the HTML page.

    Raises
    ------
    BadParameter
        If `out` lies among the project's published files.
    NotWritable
        If `out` cannot be written; told before anything is computed.
    NotebookFailed
        If a cell of the notebook raises.
    """
    say = report or (lambda line: None)
    folder = out.resolve()
    for published in (project.root / "book", project.notebooks):
        if folder.is_relative_to(published.resolve()):
            raise BadParameter(f"the output folder must lie outside {published}, got {out}")
    if os.path.exists(folder) and not os.path.isdir(folder):  # a path too long is no error to these
        raise BadParameter(f"the output folder must be a folder, and {out} is a file")
    for taken in (folder / f"{request.name}.ipynb", folder / f"{request.name}.html"):
        if os.path.isdir(taken):
            raise BadParameter(f"the output folder must have room for {taken.name}, and {taken} is a folder")
    require_writable(folder, "the output folder")
    if told := cost_of(project, request):
        say(told)
    threading.Thread(target=_load, daemon=True).start()
    with started_kernel(project, request.name) as kernel:
        fill(project, request.cells, workers=workers, scheduler=scheduler, progress=progress)
        say(f"executing {request.name}")
        record = make_record(project, request.name, request.values, request.profile, results=False)
        notebook = execute(
            project,
            request.name,
            folder / f"{request.name}.ipynb",
            values=request.changed,
            record=record,
            report=report,
            kernel=kernel,
        )
    return notebook, write_page(notebook, folder / f"{request.name}.html", project)


def _load() -> None:
    """Import what executing a notebook and writing its page take, while cells are computed."""
    with suppress(ImportError):  # told when it is needed
        for module in ("papermill", "myst_nb.docutils_"):
            importlib.import_module(module)


def outcome(notebook: Path, project: Project) -> list[str]:
    """What came out of a run, a line for each number and each verdict, the published ones beside them.

    Parameters
    ----------
    notebook : Path
        The executed notebook.
    project : Project
        The clone with the published notebooks.
    """
    found = compare(nbformat.read(notebook, as_version=4), notebook.stem, project).lines()
    return [
        f"{line.what}: {line.yours}{f' (published: {line.published})' if line.published else ''}"
        for line in found
    ]


def cost_of(project: Project, request: Request) -> str:
    """What is about to be computed, and what the profile costs; empty if nothing is.

    A run that takes a minute or more says so before it begins.
    """
    missing = len(request.cells) - stored(project, request.cells)
    experiment = project.experiment(request.name)
    if not missing or experiment is None:
        return ""
    if missing == len(request.cells):
        told = f"{request.name}: {missing} result{'s' if missing > 1 else ''} to compute"
    else:
        told = f"{request.name}: {missing} of {len(request.cells)} results to compute, the others are stored"
    cost = experiment.PROFILES[request.profile].cost
    changed = ", as it stands without your changes," if request.modified else ""
    return f"{told}; profile {request.profile}{changed} costs {cost}"


def stored(project: Project, cells: Sequence[Any]) -> int:
    """How many of the cells' results are stored."""
    from rbmbook.lab.errors import DamagedResult, ResultNotFound

    store, found = project.store(), 0
    keys: dict[Any, str] = {}
    for cell in cells:
        try:
            found += store.has(store.key(cell, keys))
        except (DamagedResult, ResultNotFound):  # of an input; what needs it is missing, too
            continue
    return found


def fill(
    project: Project,
    cells: Sequence[Any],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    publish: bool = False,
    progress: bool = False,
) -> None:
    """Compute the cells whose results are not stored.

    Parameters
    ----------
    project : Project
        The clone whose store is filled.
    cells : sequence of Cell
        What to compute.
    workers : int, optional
        Number of processes; with `scheduler`, how many cells it is handed at once.
    scheduler : str, optional
        Address of a Dask scheduler whose workers compute; processes on this machine without it.
    publish : bool
        Whether the results go to the published tier; to the user's cache otherwise.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    SweepFailed
        If a cell fails, after all others are stored.
    ClusterError
        If the scheduler does not answer, is lost, or has a worker that cannot compute these cells.
    """
    if not cells:
        return
    from rbmbook.lab.sweep import sweep

    if publish:
        require_writable(project.results, "the folder of published results")
    shown = None if progress else False
    with ExitStack() as stack:
        executor = None
        if scheduler is not None:
            from rbmbook.lab.cluster import cluster

            executor = stack.enter_context(cluster(scheduler))
        sweep(cells, project.store(), executor=executor, workers=workers, publish=publish, progress=shown)
