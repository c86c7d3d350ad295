"""The book: execute what is stale, then let jupyter-book build the pages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from rbmbook.lab.ticking import ticking
from rbmbook.publish.errors import PublishError
from rbmbook.publish.freshness import make_record, notebook_status, status
from rbmbook.publish.notebook import execute, require_writable
from rbmbook.publish.project import Project
from rbmbook.publish.run import fill, settle


def refresh(
    project: Project,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = False,
    report: Callable[[str], None] | None = None,
) -> list[str]:
    """Bring every executed notebook up to date, computing results that are not stored.

    Parameters
    ----------
    project : Project
        The clone.
    workers, scheduler, progress
        As in :func:`rbmbook.publish.run.fill`.
    report : callable, optional
        Called with a line for each notebook that is executed.

    Returns
    -------
    list of str
        Names of the notebooks that were executed; empty if all were fresh.
    """
    say = report or (lambda line: None)
    require_writable(project.executed, "the folder of executed notebooks")
    done: list[str] = []
    for name in [entry.name for entry in status(project)]:
        # Asked again one by one: a notebook may have gone stale because one before it got new results.
        entry = notebook_status(project, name)
        if entry.state == "fresh":
            continue
        request = settle(project, name)
        experiment = project.experiment(name)
        cost = (
            f"; profile {request.profile} costs {experiment.PROFILES[request.profile].cost}"
            if experiment
            else ""
        )
        say(f"{name}: {entry.reason}{cost}")
        fill(project, request.cells, workers=workers, scheduler=scheduler, publish=True, progress=progress)
        record = make_record(project, name, request.values, request.profile)
        execute(project, name, project.executed_path(name), record=record, report=report)
        done.append(name)
    return done


def build(
    project: Project,
    *,
    strict: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = False,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Execute what is stale, build the book and say where it is.

    Parameters
    ----------
    project : Project
        The clone.
    strict : bool
        Whether a warning fails the build.
    workers, scheduler, progress, report
        As in `refresh`.

    Returns
    -------
    Path
        The book's first page.

    Raises
    ------
    NotebookFailed
        If a cell of a notebook raises.
    PublishError
        If jupyter-book fails.
    """
    require_writable(project.root / "_build", "the folder of the built book")
    refresh(project, workers=workers, scheduler=scheduler, progress=progress, report=report)
    # --all: an incremental build keeps old numbers on pages that quote other pages.
    options = ["--all", *(["-W", "-n", "--keep-going"] if strict else [])]
    # The command's script may not be on the path; its module is importable wherever the package is.
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", ".", *options]
    with ticking(report or (lambda line: None), lambda seconds: f"building the pages: {seconds:.0f} s"):
        finished = subprocess.run(command, cwd=project.root, capture_output=True, text=True)
    index = project.root / "_build" / "html" / "index.html"
    if finished.returncode or not index.is_file():
        lines = (finished.stdout + finished.stderr).strip().splitlines()
        raise PublishError("jupyter-book could not build the book; it said:\n" + "\n".join(lines[-40:]))
    return index
