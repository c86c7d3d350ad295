"""The ``rbmlib`` command: thin, with no science; what is heavy is imported by the command that needs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

try:
    import click
except ModuleNotFoundError:
    raise SystemExit("rbmlib: the command needs the package click: pip install 'rbmlib[lab]'") from None

if TYPE_CHECKING:
    from rbmlib.publish.project import Project

#: The pip extra that brings a package, by import name.
EXTRAS = {
    **dict.fromkeys(("filelock", "platformdirs", "tqdm", "xarray"), "lab"),
    **dict.fromkeys(("distributed", "dask"), "cluster"),
    **dict.fromkeys(("docutils", "ipykernel", "jupyter_book", "jupytext", "myst_nb", "nbclient"), "book"),
    **dict.fromkeys(("nbformat", "papermill", "pybtex", "yaml"), "book"),
    **dict.fromkeys(("torch", "torchvision"), "torch"),
}
#: Requests that cannot be met as they stand, as against work that failed.
WRONG_REQUEST = {"UnknownName", "BadParameter", "NotInClone"}

F = TypeVar("F", bound=Callable[..., Any])


class _OneSentence(click.Group):
    """A group whose foreseen errors end the command with one sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRAS:
                raise
            raise _failure(
                f"this needs the package {package}: pip install 'rbmlib[{EXTRAS[package]}]'", 1
            ) from None
        except Exception as error:
            if not _foreseen(error):
                raise
            if traceback := getattr(error, "traceback", ""):
                click.echo(traceback, err=True)
            raise _failure(str(error), 2 if type(error).__name__ in WRONG_REQUEST else 1) from None


def _foreseen(error: Exception) -> bool:
    """Whether an error's message is written for the person at the terminal."""
    from rbmlib.publish.errors import PublishError

    if isinstance(error, PublishError):
        return True
    try:
        from rbmlib.lab.errors import LabError
    except ModuleNotFoundError:
        return False
    return isinstance(error, LabError)


def _failure(message: str, exit_code: int) -> click.ClickException:
    return type("Failure", (click.ClickException,), {"exit_code": exit_code})(message)


def _project(ctx: click.Context) -> Project:
    from rbmlib.publish.project import Project, find_project

    if isinstance(ctx.obj, Project):
        return ctx.obj
    return find_project(purpose=f"rbmlib {ctx.info_name}")


def _workers(command: F) -> F:
    return click.option(
        "--workers",
        type=click.IntRange(min=1),
        help="Number of processes that compute (default: one a core).",
    )(command)


def _where(command: F) -> F:
    scheduler = click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Compute on the Dask cluster whose scheduler listens here, such as tcp://10.0.0.1:8786. "
        "--workers then says how many cells it is handed at once.",
    )
    return _workers(scheduler(command))


@click.group(
    cls=_OneSentence, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="rbmlib")
def cli() -> None:
    """Rerun the notebooks of this project, one at a time or as a book.

    NAME is a notebook's name, as `rbmlib list` shows it. Results are kept: what was computed once is not
    computed again, and an interrupted command continues where it stopped.

    \b
    Examples:
      rbmlib list                                    what there is, and what it costs
      rbmlib run tfim_pruning --profile quick        one notebook, small
      rbmlib run tfim_pruning -p n_seeds 3           one notebook, one parameter changed
      rbmlib book                                    the whole book
      rbmlib status                                  what is fresh, what is stale and why
      rbmlib verify                                  some published results, computed again
    """  # noqa: D301


@cli.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.pass_context
def list_notebooks(ctx: click.Context, as_json: bool) -> None:
    """Show every notebook with its parameters, profiles and costs."""
    from rbmlib.publish.catalogue import catalogue

    entries = catalogue(_project(ctx))
    if as_json:
        click.echo(json.dumps(entries, indent=2))
        return
    for entry in entries:
        click.secho(f"{entry['name']}", bold=True, nl=False)
        click.echo(f"  {entry['title']}")
        for parameter in entry["parameters"]:
            default = json.dumps(parameter["default"])
            click.echo(
                f"  -p {parameter['name']} ({parameter['type']}, default {default})  {parameter['help']}"
            )
        for name, profile in entry["profiles"].items():
            changes = ", ".join(f"{key} = {json.dumps(value)}" for key, value in profile["changes"].items())
            click.echo(f"  --profile {name}  costs {profile['cost']}{f'; {changes}' if changes else ''}")
        click.echo()


@cli.command()
@click.argument("name")
@click.option(
    "-p", "--parameter", "given", nargs=2, multiple=True, metavar="KEY VALUE", help="Set one parameter."
)
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Set parameters from a YAML file; -p wins over it.",
)
@click.option("--profile", help="Start from this profile instead of the published one.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the results (default: rbmlib-output/NAME).",
)
@_where
@click.pass_context
def run(
    ctx: click.Context,
    name: str,
    given: Sequence[tuple[str, str]],
    file: Path | None,
    profile: str | None,
    out: Path | None,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Execute one notebook with chosen parameters.

    Leaves the executed notebook and a page that opens in any browser, with no network, in the output
    folder. The published pages and results stay as they are.

    \b
    Examples:
      rbmlib run tfim_pruning --profile quick
      rbmlib run tfim_pruning --profile quick -p n_seeds 3 -p fields "[0.5, 1, 2]"
      rbmlib run tfim_pruning -f mine.yaml --out mine --workers 4
    """  # noqa: D301
    from rbmlib.publish.parameters import read_parameters
    from rbmlib.publish.run import run as run_notebook
    from rbmlib.publish.run import settle

    project = _project(ctx)
    request = settle(project, name, read_parameters(file) if file else {}, dict(given), profile=profile)
    folder = out or Path("rbmlib-output", name)
    notebook, page = run_notebook(
        project, request, folder, workers=workers, scheduler=scheduler, progress=True, report=_say
    )
    click.echo(f"notebook: {notebook}\npage:     {page}")


@cli.command()
@click.option("--strict", is_flag=True, help="Let any warning fail the build.")
@_where
@click.pass_context
def book(ctx: click.Context, strict: bool, workers: int | None, scheduler: str | None) -> None:
    """Execute the notebooks that are out of date, and build the book.

    A notebook is out of date if its source, the code that it calls or the results that it shows changed. On
    a fresh clone none is, so this takes less than a minute.
    """
    from rbmlib.publish.build import build

    project = _project(ctx)
    index = build(project, strict=strict, workers=workers, scheduler=scheduler, progress=True, report=_say)
    click.echo(f"book: {index}")


@cli.command()
@click.argument("name")
@click.option("--profile", required=True, help="The profile to compute, as `rbmlib list` shows it.")
@_where
@click.pass_context
def sweep(ctx: click.Context, name: str, profile: str, workers: int | None, scheduler: str | None) -> None:
    """Compute the results of one notebook; execute nothing.

    The results of an unmodified profile go to the project's published results, where a build finds them.

    \b
    Examples:
      rbmlib sweep tfim_pruning --profile book --workers 8
      rbmlib sweep tfim_pruning --profile book --scheduler tcp://10.0.0.1:8786
    """  # noqa: D301
    from rbmlib.publish.run import fill, settle

    project = _project(ctx)
    request = settle(project, name, profile=profile)
    publish = not request.modified
    fill(project, request.cells, workers=workers, scheduler=scheduler, publish=publish, progress=True)
    click.echo(f"{len(request.cells)} results of {name}, profile {profile}, are stored")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option(
    "--csv", "as_csv", is_flag=True, help="Print comma-separated values, a line for each part of a claim."
)
@click.pass_context
def scorecard(ctx: click.Context, as_json: bool, as_csv: bool) -> None:
    """Show the verdict on every claim of the papers, from the stored results."""
    _project(ctx)
    from rbmlib.experiments import scorecard as claims

    if as_json:
        click.echo(json.dumps(claims.records(), indent=2, ensure_ascii=False))
        return
    if as_csv:
        click.echo(claims.as_csv(claims.records()), nl=False)
        return
    rows = [
        [claim.id, verdict.verdict, verdict.count, verdict.finding or verdict.reason]
        for claim, verdict in claims.scorecard()
    ]
    _table(["id", "verdict", "parts", "found"], rows)


@cli.command()
@click.argument("name", required=False)
@click.option("--cells", type=click.IntRange(min=1), help="How many results to recompute.  [default: 3]")
@click.option("--all", "every", is_flag=True, help="Recompute every result.")
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0),
    help="Draw only as much as took this long, in sum, when it was first computed, together with inputs of which only a "
    "part is published.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Draw the same results again.")
@_workers
@click.pass_context
def verify(
    ctx: click.Context,
    name: str | None,
    cells: int | None,
    every: bool,
    max_seconds: float | None,
    seed: int | None,
    workers: int | None,
) -> None:
    """Recompute published results from their origin and compare.

    Every published file is read and checked; some results, drawn at random from those of NAME or from all, are
    computed again. They must have equal bits, or agree within stated tolerances where a step depends on the
    processor's linear algebra. The exit code is 1 if anything differs or a file is damaged.

    \b
    Examples:
      rbmlib verify                                  three results, a different draw each time
      rbmlib verify --all tfim_pruning               all of one notebook: as long as its sweep
    """  # noqa: D301
    from rbmlib.publish.audit import verify_published
    from rbmlib.publish.errors import PublishError

    if every and cells is not None:
        raise click.UsageError("--cells and --all exclude each other")
    found = verify_published(
        _project(ctx),
        name,
        n_cells=None if every else cells or 3,
        max_seconds=max_seconds,
        seed=seed,
        workers=workers,
        report=lambda check: click.echo(str(check)),
    )
    click.echo(str(found))
    if found.failures:
        raise PublishError(f"{len(found.failures)} published results are not what their origin computes")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.option("--strict", is_flag=True, help="End with exit code 1 if anything is stale, missing or damaged.")
@click.option("--prune", is_flag=True, help="Delete superseded published results that have been replaced.")
@click.pass_context
def status(ctx: click.Context, as_json: bool, strict: bool, prune: bool) -> None:
    """Show which notebooks and results are fresh, stale (and why) or missing.

    A published result is superseded if no notebook asks for it any more, since its code or its parameters
    changed. One whose place nothing has taken yet is never deleted: `rbmlib restamp` may still carry it over.
    """
    from rbmlib.publish import audit
    from rbmlib.publish.freshness import status as notebooks_status

    project = _project(ctx)
    notebooks, found = notebooks_status(project), audit.audit(project)
    as_text = "\n".join(audit.as_text(notebooks, found))
    click.echo(json.dumps(audit.as_json(notebooks, found), indent=2) if as_json else as_text)
    if prune:
        for path in audit.prune(project, found.superseded):
            click.echo(f"deleted {path.relative_to(project.root)}", err=as_json)
    behind = any(one.state != "fresh" for one in notebooks) or any(one.reasons for one in found.results)
    if strict and (behind or found.damaged):
        ctx.exit(1)


@cli.command()
@click.argument("name")
@click.option(
    "--profile", default="book", show_default=True, help="The profile whose results are carried over."
)
@click.option(
    "--cells", type=click.IntRange(min=5), default=5, show_default=True, help="How many to recompute."
)
@_workers
@click.pass_context
def restamp(ctx: click.Context, name: str, profile: str, cells: int, workers: int | None) -> None:
    """Keep results over a change of code that keeps their bits.

    Recomputes randomly chosen results; only if all are equal to the stored ones, the others are filed under
    the new code, with a note that this was done.
    """
    from rbmlib.lab.restamp import restamp as carry_over
    from rbmlib.publish.run import settle

    project = _project(ctx)
    request = settle(project, name, profile=profile)
    click.echo(str(carry_over(request.cells, project.store(), n_cells=cells, workers=workers)))


def _table(head: list[str], rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _say(line: str) -> None:
    click.echo(line.rstrip(), err=True)


def main() -> None:
    """Entry point of the ``rbmlib`` command."""
    cli(prog_name="rbmlib")
