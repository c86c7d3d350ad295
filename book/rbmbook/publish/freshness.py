"""Which executed notebooks still say what their source, their code and the stored results say.

An executed notebook carries a record of what made it: digests of its source, of all code it reaches in this
package (figures included) and of the results it reads. It is fresh as long as the same digests come out today.

A notebook that reads other committed files says so in its front matter, as patterns from the clone's top folder;
their contents are part of its record, and one that reads executed notebooks is executed after all others::

    rbmlib:
      reads: [book/results/bench.json, book/executed/*.ipynb]

One whose code finds the modules of a name in all experiments' folders, which no statement imports, names them::

    rbmlib:
      follows: claims
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rbmbook.publish.errors import BadNotebook
from rbmbook.publish.notebook import code_of, read_source, source_digest
from rbmbook.publish.parameters import Value, without_label
from rbmbook.publish.project import Project

if TYPE_CHECKING:
    from rbmbook.lab.fingerprint import Reach

#: The profile whose results the published pages show.
PUBLISHED_PROFILE = "book"
#: Why a notebook is stale whose text is another one.
SOURCE_CHANGED = "its source changed"
#: Data files in the package, such as the catalogue of claims; which code reads which cannot be seen from outside.
DATA_SUFFIXES = {".css", ".html", ".js", ".json", ".mplstyle", ".toml"}
#: Parts of the package that move and keep results, and so leave no trace in what a page says.
MACHINERY = (
    "rbmbook.cli",
    "rbmbook.__main__",
    *(
        f"rbmbook.publish.{room}"
        for room in ("audit", "build", "catalogue", "crossref", "errors", "freshness")
    ),
    *(
        f"rbmbook.publish.{room}"
        for room in ("mathjax", "notebook", "page", "parameters", "project", "provenance", "run")
    ),
    *(f"rbmbook.lab.{room}" for room in ("cell", "container", "errors", "fingerprint", "origin")),
    *(
        f"rbmbook.lab.{room}"
        for room in ("restamp", "standing", "store", "sweep", "syntax", "compare", "verify")
    ),
)


@dataclass(frozen=True)
class NotebookStatus:
    """How an executed notebook stands.

    Parameters
    ----------
    name : str
        The notebook.
    state : str
        ``"fresh"``, ``"stale"`` or ``"missing"``.
    reason : str
        Why it is not fresh; empty if it is.
    """

    name: str
    state: Literal["fresh", "stale", "missing"]
    reason: str = ""


def status(project: Project) -> list[NotebookStatus]:
    """How every notebook of the book stands, in the order in which they must be executed.

    Notebooks with an experiment of their own come first: the others may read their results. Those that read
    executed notebooks come last.
    """
    chapters = project.in_book()
    own = [name for name in project.experiment_names() if name in chapters]
    order = own + [name for name in chapters if name not in own]
    executed = project.executed.relative_to(project.root).as_posix()
    order.sort(key=lambda name: any(pattern.startswith(executed) for pattern in patterns_read(project, name)))
    return [notebook_status(project, name) for name in order]


def notebook_status(project: Project, name: str) -> NotebookStatus:
    """How one notebook stands.

    Raises
    ------
    UnknownName
        If there is no such notebook.
    """
    source = project.source(name)
    path = project.executed_path(name)
    if not path.is_file():
        return NotebookStatus(name, "missing", "it was never executed")
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8"))["metadata"]["rbmlib"])
    except Exception:  # noqa: BLE001 - whatever is wrong with the file, this is what it means
        return NotebookStatus(name, "stale", "the executed notebook carries no record of what made it")
    if record.get("source") != source_digest(source):
        return NotebookStatus(name, "stale", SOURCE_CHANGED)
    code = notebook_reach(project, name)
    if record.get("code") != code.digest:
        return NotebookStatus(name, "stale", "the code it calls changed")
    if missing := missing_results(project, name):
        return NotebookStatus(name, "stale", missing)
    if record.get("results") != results_digest(project, name, code.modules):
        return NotebookStatus(name, "stale", "the results it shows changed")
    if record.get("files") != files_digest(project, name):
        return NotebookStatus(name, "stale", "the files it reads changed")
    return NotebookStatus(name, "fresh")


def make_record(
    project: Project, name: str, values: Mapping[str, Value], profile: str, *, results: bool = True
) -> dict[str, Any]:
    """What is making a notebook, to be kept in its metadata.

    Parameters
    ----------
    project : Project
        The clone.
    name : str
        The notebook.
    values : mapping
        All its parameters' values.
    profile : str
        Name of the profile.
    results : bool
        Whether the notebook shows the published results, so that their digest belongs to the record.

    Returns
    -------
    dict
        ``source``, ``code``, ``results`` and ``files`` (digests; the last only for a notebook that declares files),
        ``parameters`` and ``profile``.
    """
    source = project.source(name)
    code = notebook_reach(project, name)
    record = {
        "source": source_digest(source),
        "code": code.digest,
        "parameters": without_label(values),
        "profile": profile,
    }
    if results:
        record["results"] = results_digest(project, name, code.modules)
        if (files := files_digest(project, name)) is not None:
            record["files"] = files
    return record


def notebook_reach(project: Project, name: str) -> Reach:
    """All definitions that a notebook of a clone reaches; see `code_reach`."""
    source = read_source(project.source(name))
    followed = source.metadata.get("rbmlib", {}).get("follows")
    code = code_of(source)
    if followed is not None:
        for module in project.modules(str(followed)):
            alias = module.replace(".", "_")
            code += f"\nimport {module} as {alias}\n{alias}\n"
    return code_reach(code, packages_of(project))


def code_reach(code: str, packages: Sequence[str] = ("rbmbook", "rbmlib")) -> Reach:
    """All definitions that a notebook's code reaches, figures included.

    Parameters
    ----------
    code : str
        The notebook's code cells as one module.
    packages : sequence of str
        Top-level packages to follow the code into.

    Returns
    -------
    Reach
        Digest of these definitions and of the packages' data files, and the modules that they lie in.

    Raises
    ------
    BadNotebook
        If the code is not valid Python.
    """
    from rbmbook.lab.fingerprint import Reach, source_reach

    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        raise BadNotebook(
            f"the notebook's code is not valid Python: {error.msg}: {(error.text or '').strip()}"
        ) from None
    # Imports stay at the top, so that the closure resolves each name; the rest is where it starts.
    at_top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    rest = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)] or [ast.Pass()]
    page = ast.parse("def page(): pass").body[0]
    assert isinstance(page, ast.FunctionDef)
    page.body = rest
    roots = {package: _package_folder(package) for package in packages}
    # Taken from memory: to ask how things stand, nothing need be written.
    text = {"notebook_code": ast.unparse(ast.Module([*at_top, page], []))}
    reach = source_reach("notebook_code", page.name, roots, excluded=(), neutral=MACHINERY, texts=text)
    total = hashlib.sha256(reach.digest.encode())
    for package in packages:
        top = _package_folder(package)
        for data in sorted(file for file in top.rglob("*") if file.suffix in DATA_SUFFIXES):
            total.update(
                f"{package}/{data.relative_to(top).as_posix()}\n{data.read_text('utf-8')}\0".encode()
            )
    return Reach(total.hexdigest(), reach.modules)


def patterns_read(project: Project, name: str) -> list[str]:
    """Patterns of the committed files that a notebook's front matter says it reads.

    Raises
    ------
    BadNotebook
        If they are not a list of patterns that stay inside the clone.
    """
    patterns = read_source(project.source(name)).metadata.get("rbmlib", {}).get("reads", [])
    if not isinstance(patterns, list) or not all(
        isinstance(pattern, str)
        and pattern
        and not pattern.startswith("/")
        and ".." not in pattern.split("/")
        for pattern in patterns
    ):
        raise BadNotebook(f"{name}.md must list files of the clone under rbmlib: reads:, got {patterns!r}")
    return list(patterns)


def files_digest(project: Project, name: str) -> str | None:
    """Digest of names and contents of the files that a notebook reads, itself apart; None if it declares none."""
    patterns = patterns_read(project, name)
    if not patterns:
        return None
    found = {path for pattern in patterns for path in project.root.glob(pattern) if path.is_file()}
    total = hashlib.sha256()
    for path in sorted(found - {project.executed_path(name)}):
        content = hashlib.sha256(_without_line_ends(path.read_bytes())).hexdigest()
        total.update(f"{path.relative_to(project.root).as_posix()} {content}\n".encode())
    return total.hexdigest()


def _without_line_ends(content: bytes) -> bytes:
    """What a file holds whatever the platform's line ends, if it is text."""
    return content if b"\0" in content else content.replace(b"\r\n", b"\n")


def packages_of(project: Project) -> list[str]:
    """Top-level packages that hold what a project's notebooks call."""
    return sorted({"rbmlib", "rbmbook", project.experiments.partition(".")[0]})


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BadNotebook(f"the package {package} that the notebooks call cannot be found")
    return Path(next(iter(spec.submodule_search_locations)))


def experiments_read(project: Project, name: str, modules: Collection[str]) -> list[str]:
    """Names of the experiments whose results a notebook shows.

    Its own, and those that its code reaches, directly or through rules and tables that name them: to read a result,
    code has to ask the experiment for its cells.

    Parameters
    ----------
    project : Project
        The clone.
    name : str
        The notebook.
    modules : collection of str
        The modules that its code reaches, from `notebook_reach`.
    """
    return sorted(
        other
        for other in project.experiment_names()
        if other == name or project.experiment(other).__name__ in modules
    )


def published_cells(project: Project, name: str) -> Sequence[Any]:
    """The cells behind a notebook's published page; empty for a notebook without an experiment."""
    experiment = project.experiment(name)
    return (
        experiment.cells(**experiment.PROFILES[PUBLISHED_PROFILE].parameters)
        if experiment is not None
        else []
    )


def published_results(project: Project, name: str) -> list[tuple[str, str] | None]:
    """Key and array digest of every cell of the published profile; None where it is missing or damaged."""
    from rbmbook.lab.errors import DamagedResult

    store = project.store()
    found: list[tuple[str, str] | None] = []
    keys: dict[Any, str] = {}
    for cell in published_cells(project, name):
        try:
            # The key holds digests of the cell's inputs; without those nothing can be stored under it.
            key = store.key(cell, keys)
            found.append((key, store.digest(key)) if store.has(key, published=True) else None)
        except (DamagedResult, KeyError):
            found.append(None)
    return found


def missing_results(project: Project, name: str) -> str:
    """One sentence if results of a notebook's own experiment are not published, else an empty string."""
    found = published_results(project, name)
    missing = found.count(None)
    return f"{missing} of its {len(found)} results are not published yet" if missing else ""


def results_digest(project: Project, name: str, modules: Collection[str]) -> str:
    """Digest of keys and arrays of all published results that a notebook reads, and of which are missing."""
    read = {other: published_results(project, other) for other in experiments_read(project, name, modules)}
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()
