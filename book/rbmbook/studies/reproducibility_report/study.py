"""The account that the book gives of itself: what made each notebook, what it cost, and what the machinery withstood.

Everything comes from committed files: the executed notebooks' records, the origins of the published results, and
the figures that ``make bench`` and ``make stress`` left. So the tables are the same on every machine.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rbmbook.drawing.inline_html import InlineHTML
from rbmbook.lab.errors import DamagedResult, ResultNotFound
from rbmbook.publish.errors import PublishError
from rbmbook.publish.freshness import PUBLISHED_PROFILE, notebook_status, published_cells
from rbmbook.publish.notebook import read_source, title_of
from rbmbook.publish.project import Project
from rbmlib.files import read_json

_SHOWN = 12  # digits of a hash


@dataclass(frozen=True)
class ShownFigure:
    """A figure of an executed notebook.

    Attributes
    ----------
    label : str
        What the text refers to it by.
    title : str
        The phrase that its caption begins with.
    digest : str
        SHA-256 of what the page shows.
    """

    label: str
    title: str
    digest: str


@dataclass(frozen=True)
class Account:
    """What made one notebook.

    Attributes
    ----------
    name, title : str
        The notebook.
    figures : tuple of ShownFigure
        Its figures, all made by this one execution.
    state : str
        ``"fresh"``, or ``"stale"`` or ``"missing"`` and why.
    profile : str
        The profile whose parameters it was executed with.
    seeds : dict of str to value
        Those of its parameters that say how many seeds there are, or which.
    cells : int
        How many results it rests on, inputs included.
    spent : dict of str to float
        Key of each of them that is published -> its wall time in seconds, on the threads that its origin says.
    processors, dates : tuple of str
        Where and when they were computed; dates are the first and the last day.
    versions : dict of str to str
        Library versions that they were computed with; several are separated by commas.
    hashes : dict of str to str
        Digests of its source, of the code it reaches and of the results it shows.
    """

    name: str
    title: str
    figures: tuple[ShownFigure, ...]
    state: str
    profile: str
    seeds: dict[str, Any]
    cells: int
    spent: dict[str, float]
    processors: tuple[str, ...]
    dates: tuple[str, ...]
    versions: dict[str, str]
    hashes: dict[str, str]

    @property
    def published(self) -> int:
        """How many of its results are published."""
        return len(self.spent)

    @property
    def seconds(self) -> float:
        """Sum of their wall times."""
        return sum(self.spent.values())


def total(rows: Sequence[Account]) -> tuple[int, float]:
    """Number of published results behind some notebooks, and the sum of their wall times; shared ones count once."""
    spent = {key: seconds for row in rows for key, seconds in row.spent.items()}
    return len(spent), sum(spent.values())


def accounts(project: Project, without: Sequence[str] = ()) -> list[Account]:
    """What made every notebook of the book.

    Parameters
    ----------
    project : Project
        The clone.
    without : sequence of str
        Notebooks to leave out, such as the one that shows the account.

    Returns
    -------
    list of Account
        In the order of their names.
    """
    return [_account(project, name) for name in project.in_book() if name not in without]


def _account(project: Project, name: str) -> Account:
    path = project.executed_path(name)
    executed: dict[str, Any] = {"cells": [], "metadata": {}}
    status, experiment = notebook_status(project, name), project.experiment(name)
    if path.is_file():
        executed = read_json(path, "an executed notebook", PublishError)
    record = executed["metadata"].get("rbmlib", {})
    published = experiment.PROFILES[PUBLISHED_PROFILE].parameters if experiment is not None else {}
    parameters = record.get("parameters", published)
    store, origins, keys = project.store(), {}, {}
    cells = list(dict.fromkeys(part for cell in published_cells(project, name) for part in cell.with_needs()))
    for cell in cells:
        try:
            key = store.key(cell, keys)
            if store.has(key, published=True):
                origins[key] = store.origin(key)
        except (DamagedResult, ResultNotFound):
            continue
    dates = sorted({origin["date"] for origin in origins.values()})
    versions: dict[str, set[str]] = {}
    for origin in origins.values():
        for library, version in origin["versions"].items():
            versions.setdefault(library, set()).add(version)
    return Account(
        name=name,
        title=title_of(read_source(project.source(name)), name),
        figures=_figures(executed),
        state=status.state + (f": {status.reason}" if status.reason else ""),
        profile=record.get("profile", PUBLISHED_PROFILE),
        seeds={key: value for key, value in parameters.items() if "seed" in key},
        cells=len(cells),
        spent={key: float(origin["seconds"]) for key, origin in origins.items()},
        processors=tuple(sorted({origin["processor"] for origin in origins.values()})),
        dates=tuple(dict.fromkeys((*dates[:1], *dates[-1:]))),
        versions={library: ", ".join(sorted(found)) for library, found in sorted(versions.items())},
        hashes={part: record[part] for part in ("source", "code", "results") if part in record},
    )


def _figures(executed: dict[str, Any]) -> tuple[ShownFigure, ...]:
    found = []
    for cell in executed["cells"]:
        figure = cell["metadata"].get("mystnb", {}).get("figure", {})
        if figure.get("name"):
            shown = json.dumps([output.get("data") for output in cell.get("outputs", [])], sort_keys=True)
            phrase = re.search(r"\*\*(.+?)\*\*", figure.get("caption", ""), re.DOTALL)
            title = " ".join(phrase[1].split()).rstrip(".") if phrase else figure["name"]
            found.append(ShownFigure(figure["name"], title, hashlib.sha256(shown.encode()).hexdigest()))
    return tuple(found)


def duration(seconds: float) -> str:
    """A time in the unit that reads best: ``"51 s"``, ``"12 min"``, ``"3.4 h"``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def account_table(rows: Sequence[Account]) -> InlineHTML:
    """The accounts as a table, one row a notebook.

    Parameters
    ----------
    rows : sequence of Account
        What `accounts` returned.

    Returns
    -------
    InlineHTML
        To be displayed as a cell's last value; its text form has one line a notebook.
    """
    body, lines = [], []
    for row in rows:
        figures: list[str] = [_figure_line(row, figure) for figure in row.figures] or ["no figures"]
        seeds = ", ".join(f"{name} = {value}" for name, value in row.seeds.items()) or "no seeds of its own"
        if row.cells:
            cost = f"{row.published} of {row.cells} cells, {duration(row.seconds)} in sum"
            where = [*row.processors, " to ".join(row.dates)]
        else:
            cost, where = "computes nothing of its own", []
        versions = [f"{library} {version}" for library, version in row.versions.items()]
        hashes = [f"{part} {digest[:_SHOWN]}" for part, digest in row.hashes.items()]
        body.append(
            [
                [row.title, row.state, *figures],
                [f"profile {row.profile}", seeds],
                [cost, *where],
                [", ".join(versions), *map(_code, hashes)],
            ]
        )
        lines.append(f"{row.name}: {row.state}; profile {row.profile}; {seeds}; {cost}; {'; '.join(hashes)}")
        lines += [f"  {figure.label} {figure.digest[:_SHOWN]}" for figure in row.figures]
    head = ["Notebook and its figures", "Made with", "Cost", "Versions and hashes"]
    return _table(head, body, "\n".join(lines))


class _Markup(str):
    """Text that is HTML already."""


def _code(text: str) -> _Markup:
    return _Markup(f"<code>{html.escape(text)}</code>")


def _figure_line(row: Account, figure: ShownFigure) -> _Markup:
    """A figure's title as a link to it, on a page beside this one, and the hash of what it shows."""
    link = html.escape(f"{row.name}.html#{figure.label}")
    return _Markup(f"<a href='{link}'>{html.escape(figure.title)}</a> {_code(figure.digest[:_SHOWN])}")


def drills(project: Project) -> dict[str, Any] | None:
    """What ``make stress`` found, or None if it has not been run."""
    return _read(project.results / "drills.json")


def bench(project: Project) -> dict[str, Any] | None:
    """What ``make bench`` measured, or None if it has not been run."""
    return _read(project.results / "bench.json")


def _read(path: Path) -> dict[str, Any] | None:
    return read_json(path, "a file of measured figures", PublishError) if path.is_file() else None


def failed_drills(found: dict[str, Any] | None) -> int:
    """How many drills found more than they allow."""
    return sum(drill["found"] > drill["limit"] for drill in (found or {"drills": []})["drills"])


def drills_table(found: dict[str, Any] | None) -> InlineHTML:
    """The drills as a table: what was done and how often, what was counted, what was found and allowed."""
    rows = [
        [
            [f"{drill['n']} {drill['did']}"],
            [drill["counted"]],
            [f"{drill['found']:g}"],
            [f"{drill['limit']:g}"],
        ]
        for drill in (found or {"drills": []})["drills"]
    ]
    return _table(["Drill", "Counted", "Found", "At most"], rows, _lines(rows) or "not run yet")


def bench_table(found: dict[str, Any] | None) -> InlineHTML:
    """The timings as a table: what was done, on how many threads, by this library and by its peer."""
    rows = [
        [
            [_words(row["name"])],
            [f"{row['threads']}"],
            [f"{row['ours_s']:.3g} s"],
            [f"{row['peer_s']:.3g} s"],
            [f"{row['ratio']:.3g}"],
        ]
        for row in (found or {"rows": []})["rows"]
    ]
    head = ["What", "Threads", "rbmlib", "Peer", "Ratio"]
    return _table(head, rows, _lines(rows) or "not run yet")


def machine(found: dict[str, Any] | None) -> str:
    """The machine and the versions behind some figures, as one phrase."""
    if found is None:
        return "not run yet"
    versions = ", ".join(f"{library} {version}" for library, version in found["versions"].items())
    date = f", {found['date']}" if "date" in found else ""
    return f"{found['processor']}, {versions}{date}"


def _words(name: str) -> str:
    """A row's name for the reader: ``cd10_18x9_vs_qucumber`` -> ``cd10, 18 × 9, against qucumber``."""
    what, _, peer = name.partition("_vs_")
    size = re.sub(r"(\d+)x(\d+)", "\\1 \u00d7 \\2", what.replace("_", ", "))
    return f"{size}, against {peer}" if peer else size


def _lines(rows: Sequence[Sequence[Sequence[str]]]) -> str:
    return "\n".join("; ".join(" ".join(cell) for cell in row) for row in rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[Sequence[str]]], text: str) -> InlineHTML:
    """A table whose cells have a first line and smaller ones below it."""
    if not rows:
        return InlineHTML("<p>Not run yet.</p>", text)

    def part(line: str, small: bool) -> str:
        content = line if isinstance(line, _Markup) else html.escape(line)
        return f"<div class='rbm-small'>{content}</div>" if small else content

    def cell(name: str, lines: Sequence[str]) -> str:
        small = name == "Versions and hashes"
        inner = "".join(part(line, small or i > 0) for i, line in enumerate(lines) if line)
        return f"<td data-label='{html.escape(name)}'>{inner}</td>"

    top = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in head)
    body = "\n".join(
        f"<tr>{''.join(cell(name, lines) for name, lines in zip(head, row, strict=True))}</tr>"
        for row in rows
    )
    table = f"<table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return InlineHTML(f'<div class="rbm-account">\n<style>{_STYLE}</style>\n{table}\n</div>', text)


_STYLE = """
.rbm-account { overflow-x: auto; }
.rbm-account table { border-collapse: collapse; display: table; width: 100%; }
.rbm-account th, .rbm-account td { background: none; border-bottom: 1px solid #7f7f7f66; color: inherit;
  padding: .4rem .6rem; text-align: left; vertical-align: top; white-space: normal; overflow-wrap: break-word; }
.rbm-account .rbm-small { font-size: .85em; }
.rbm-account code { background: none; color: inherit; font-size: .95em; padding: 0; white-space: nowrap; }
@media (max-width: 40rem) {
  .rbm-account thead { display: none; }
  .rbm-account tr { border-bottom: 1px solid #7f7f7f66; display: block; padding: .5rem 0; }
  .rbm-account td { border: 0; display: block; padding: .15rem .4rem; width: auto; }
  .rbm-account td::before { content: attr(data-label) ": "; font-size: .85em; }
}
html[data-theme="dark"] .bd-content div.cell_output .text_html:has(.rbm-account) { background: none;
  color: inherit; padding: 0; }
"""
