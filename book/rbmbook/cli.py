"""The ``rbmlib`` command: thin, with no science; what is heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

try:
    import click
except ModuleNotFoundError:
    raise SystemExit("rbmlib: the command needs the package click: pip install 'rbmlib[lab]'") from None

if TYPE_CHECKING:
    from rbmbook.publish.project import Project

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
        except KeyboardInterrupt:
            raise _failure(
                "aborted; what is finished is stored, and the same command goes on from there", 1
            ) from None
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


class _Place(click.Path):
    """A path of the command line, with ``~`` expanded where the shell has not done it, absolute from here on."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from rbmlib.cache import absolute

        try:
            return super().convert(absolute(value), param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _foreseen(error: Exception) -> bool:
    """Whether an error's message is written for the person at the terminal."""
    from rbmbook.publish.errors import PublishError

    if isinstance(error, PublishError):
        return True
    try:
        from rbmbook.lab.errors import LabError
    except ModuleNotFoundError:
        return False
    return isinstance(error, LabError)


def _failure(message: str, exit_code: int) -> click.ClickException:
    return type("Failure", (click.ClickException,), {"exit_code": exit_code})(message)


class _OfNotebook(click.Command):
    """A command on one notebook: ``-p KEY=VALUE`` is ``-p KEY VALUE``, and ``NAME --help`` shows its parameters."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        split: list[str] = []
        for arg in args:
            given = re.fullmatch(r"(?:-p|--parameter=)([^\W\d]\w*)=(.*)", arg, re.DOTALL)
            follows = re.fullmatch(r"([^\W\d]\w*)=(.*)", arg, re.DOTALL)
            if given:
                split += ["-p", *given.groups()]
            elif follows and split and split[-1] in ("-p", "--parameter"):
                split += follows.groups()
            else:
                split.append(arg)
        ctx.meta["rbmlib.asked"] = tuple(split)
        try:
            return super().parse_args(ctx, split)
        except click.BadOptionUsage as error:
            if error.option_name not in ("-p", "--parameter"):
                raise
            raise click.BadOptionUsage(
                error.option_name,
                "option -p needs a name and a value, such as -p n_seeds 3 or -p n_seeds=3",
                ctx,
            ) from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from rbmbook.publish.errors import PublishError

        asked = [arg for arg in ctx.meta.get("rbmlib.asked", []) if arg not in ctx.help_option_names]
        try:
            options, _, _ = self.make_parser(ctx).parse_args(asked)
            if not isinstance(options.get("name"), str):  # a marker of click's own where none was given
                return
            entry = _entry(_project(ctx), options["name"])
        except (click.UsageError, PublishError) as error:
            if isinstance(error, PublishError):
                formatter.write(f"\n{error}\n")
            return
        formatter.write("\n" + "\n".join(_described(entry)) + "\n")


def _entry(project: Project, name: str) -> dict[str, Any]:
    from rbmbook.publish.catalogue import catalogue

    project.source(name)  # says which names there are
    return catalogue(project, [name])[0]


def _described(entry: Mapping[str, Any]) -> list[str]:
    """A notebook's parameters and profiles, a line each."""
    lines = [f"{entry['name']}  {entry['title']}"]
    for parameter in entry["parameters"]:
        default = json.dumps(parameter["default"])
        lines.append(
            f"  -p {parameter['name']} ({parameter['type']}, default {default})  {parameter['help']}"
        )
    for name, profile in entry["profiles"].items():
        changes = ", ".join(f"{key} = {json.dumps(value)}" for key, value in profile["changes"].items())
        lines.append(f"  --profile {name}  costs {profile['cost']}{f'; {changes}' if changes else ''}")
    return lines


def _project(ctx: click.Context) -> Project:
    from rbmbook.publish.project import Project, find_project

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
      rbmlib list tfim_pruning                       the parameters of one notebook
      rbmlib run tfim_pruning --profile quick        one notebook, small
      rbmlib run tfim_pruning -p n_seeds 3           one notebook, one parameter changed
      rbmlib book                                    the whole book
      rbmlib status                                  what is fresh, what is stale and why
      rbmlib verify                                  some published results, computed again
    """  # noqa: D301
    from rbmlib.cache import settle_paths

    try:
        settle_paths()
    except ValueError as error:
        raise _failure(str(error), 2) from None


@cli.command("list")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.pass_context
def list_notebooks(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Show every notebook in a line: name, title, costs; of NAME its parameters and profiles."""
    from rbmbook.publish.catalogue import catalogue

    project = _project(ctx)
    entries = catalogue(project) if name is None else [_entry(project, name)]
    if as_json:
        click.echo(json.dumps(entries, indent=2))
    elif name is not None:
        click.echo("\n".join(_described(entries[0])))
    else:
        _table(
            ["name", "title", "quick", "book"],
            [
                [entry["name"], entry["title"], *(_cost(entry, profile) for profile in ("quick", "book"))]
                for entry in entries
            ],
        )
        click.echo("\nrbmlib list NAME shows a notebook's parameters.")


def _cost(entry: Mapping[str, Any], profile: str) -> str:
    """What a profile costs, without the words that all costs share."""
    cost = entry["profiles"].get(profile, {}).get("cost", "-").partition(",")[0]
    return cost.replace(" on two cores", "").replace("about ", "")


@cli.command(cls=_OfNotebook)
@click.argument("name")
@click.option(
    "-p",
    "--parameter",
    "given",
    nargs=2,
    multiple=True,
    metavar="KEY VALUE",
    help="Set one parameter; KEY=VALUE will do.",
)
@click.option(
    "-f",
    "--file",
    "file",
    type=_Place(exists=True, dir_okay=False, path_type=Path),
    help="Set parameters from a YAML file; -p wins over it.",
)
@click.option("--profile", help="Start from this profile instead of the published one.")
@click.option(
    "--out",
    type=_Place(file_okay=False, path_type=Path),
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

    Prints what came out, and leaves the executed notebook and a page that opens in any browser, with no
    network, in the output folder. The published pages and results stay as they are. NAME --help shows the
    notebook's parameters.

    \b
    Examples:
      rbmlib run tfim_pruning --help
      rbmlib run tfim_pruning --profile quick
      rbmlib run tfim_pruning --profile quick -p n_seeds 3 -p fields "[0.5, 1, 2]"
      rbmlib run tfim_pruning -f mine.yaml --out mine --workers 4
    """  # noqa: D301
    from rbmbook.publish.parameters import read_parameters
    from rbmbook.publish.run import outcome, settle
    from rbmbook.publish.run import run as run_notebook

    project = _project(ctx)
    request = settle(project, name, read_parameters(file) if file else {}, dict(given), profile=profile)
    folder = out or Path("rbmlib-output", name)
    notebook, page = run_notebook(
        project, request, folder, workers=workers, scheduler=scheduler, progress=True, report=_say
    )
    for line in outcome(notebook, project):
        click.echo(line)
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
    from rbmbook.publish.build import build

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
    from rbmbook.publish.run import fill, settle

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
    from rbmbook.studies.scorecard import study as claims

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
    from rbmbook.publish.audit import verify_published
    from rbmbook.publish.errors import PublishError

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
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.option(
    "--strict", is_flag=True, help="End with exit code 1 if anything published is stale, missing or damaged."
)
@click.option("--prune", is_flag=True, help="Delete superseded published results that have been replaced.")
@click.pass_context
def status(ctx: click.Context, name: str | None, as_json: bool, strict: bool, prune: bool) -> None:
    """Show which notebooks and results are fresh, stale (and why) or missing; of NAME alone, in more detail.

    Only the profile that an executed chapter shows is held complete: others may lack results. A published result
    is superseded if no notebook asks for it any more, since its code or its parameters changed. Only one whose
    place a fresh result has taken is ever deleted: `rbmlib restamp` may still carry over the others.

    \b
    Examples:
      rbmlib status                                  all notebooks and results
      rbmlib status tfim_pruning                     why something of this one is not fresh
    """  # noqa: D301
    from rbmbook.publish import audit
    from rbmbook.publish.freshness import status as notebooks_status

    project = _project(ctx)
    if name is not None:
        if prune:
            raise click.UsageError("--prune looks at all results: leave out NAME")
        one = audit.explain(project, name)
        lines = "\n".join(audit.explanation_as_text(one))
        click.echo(json.dumps(audit.explanation_as_json(one), indent=2) if as_json else lines)
        ctx.exit(int(strict and one.behind))
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
    from rbmbook.lab.restamp import restamp as carry_over
    from rbmbook.publish.run import settle

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
