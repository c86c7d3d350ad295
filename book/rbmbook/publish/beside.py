"""A run beside the published one: what it was asked, where the two differ, and what came out of both.

A notebook glues numbers under names, and the published notebook has the same names. So each number of a run can stand
beside the published one, and what a page sums up is read from the notebook and never typed. The front matter of a
notebook's source says which numbers sum it up, each a text with names in braces::

    rbmlib:
      outcome:
        weights removed at the first rise, h/J = 1: "{onsets-critical}"

A name that ends in ``-verdict`` is the verdict on a claim, and the same name with ``-evidence`` what decides it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode

from rbmbook.publish.errors import BadNotebook, UnknownName
from rbmbook.publish.notebook import read_source, title_of
from rbmbook.publish.project import Project, repository_address

VERDICT, EVIDENCE = "-verdict", "-evidence"
ABSENT = "not in this run"
#: What stands for a number that there is not: a dash that is not between two numbers, and not-a-number itself.
_MISSING = re.compile(r"(?<!\d)(?<!\d )\u2013(?! ?\d)|[+\u2212-]?\b(?:nan|inf)\b(?: %)?(?: \[[^\]]*\])?")
#: The interval of a single seed, which says nothing.
_UNBOUNDED = re.compile(r" \[[-\u2212]inf, \+?inf\]")
_NAME = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Line:
    """One thing that a run says, beside what the published run says of it.

    Parameters
    ----------
    what : str
        A claim's id, or what the numbers are.
    yours : str
        What the run found.
    published : str
        What the published run found; empty if there is none.
    """

    what: str
    yours: str
    published: str = ""


@dataclass(frozen=True)
class Comparison:
    """A run and the published one of the same notebook.

    Parameters
    ----------
    name : str
        The notebook.
    title : str
        Its title.
    yours, published : mapping of str to str
        Glued texts by name; the second is empty where nothing is published.
    changed : mapping of str to (value, value or None)
        Parameters that differ, with the run's value and the published one.
    outcome : mapping of str to str
        The front matter's texts.
    """

    name: str
    title: str
    yours: Mapping[str, str]
    published: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    outcome: Mapping[str, str] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        """Whether something is published that was made with other parameters."""
        return bool(self.published) and bool(self.changed)

    def lines(self) -> list[Line]:
        """The numbers that sum the run up, then the verdicts with what decides them."""
        found = []
        for what, text in self.outcome.items():
            there = self.differs and set(_NAME.findall(text)) <= set(self.published)
            published = _filled(text, self.published).replace(ABSENT, "\u2013") if there else ""
            found.append(Line(what, _filled(text, self.yours), published))
        for key in self.yours:
            if key.endswith(VERDICT):
                published = _verdict(key, self.published) if self.differs else ""
                found.append(Line(key.removesuffix(VERDICT), _verdict(key, self.yours), published))
        return found


def compare(notebook: NotebookNode, name: str, project: Project | None) -> Comparison:
    """Put an executed notebook beside the published one.

    Parameters
    ----------
    notebook : NotebookNode
        The executed notebook of the run.
    name : str
        Its name.
    project : Project, optional
        The clone with the published notebooks.
    """
    yours, title = glued(notebook), title_of(notebook, name)
    if project is None or name not in project.names():
        return Comparison(name, title, yours)
    outcome = read_source(project.source(name)).metadata.get("rbmlib", {}).get("outcome", {})
    if not isinstance(outcome, dict) or not all(isinstance(text, str) for text in outcome.values()):
        raise BadNotebook(f"{name}.md must map words to texts under rbmlib: outcome:, got {outcome!r}")
    if unknown := [key for text in outcome.values() for key in _NAME.findall(text) if key not in yours]:
        raise UnknownName(f"number in notebook {name!r} called", unknown[0], yours)
    path = project.executed_path(name)
    if not path.is_file():
        return Comparison(name, title, yours, outcome=outcome)
    published = nbformat.read(path, as_version=4)
    own, other = (one.metadata.get("rbmlib", {}).get("parameters", {}) for one in (notebook, published))
    changed = {key: (value, other.get(key)) for key, value in own.items() if value != other.get(key)}
    return Comparison(name, title, yours, glued(published), changed, outcome)


def glued(notebook: NotebookNode) -> dict[str, str]:
    """The texts that a notebook's cells glued, by name, in their order."""
    from myst_nb.core.variables import format_plain_text

    found: dict[str, str] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            key = output.get("metadata", {}).get("scrapbook", {}).get("name")
            for mime, content in output.get("data", {}).items():
                if key and mime.endswith("text/plain"):
                    found[key] = format_plain_text(str(content), "s") if content[:1] in "'\"" else content
    return found


def readable(text: str) -> str:
    """A glued text with words for each number that is missing."""
    text = _UNBOUNDED.sub("", text)
    return ABSENT if _MISSING.fullmatch(text.strip()) else _MISSING.sub(f"({ABSENT})", text)


def _filled(text: str, values: Mapping[str, str]) -> str:
    missing = {
        name: bool(_MISSING.fullmatch(values.get(name, "\u2013").strip())) for name in _NAME.findall(text)
    }
    if missing and all(missing.values()):
        return ABSENT
    return _NAME.sub(lambda match: readable(values.get(match[1], "\u2013")), text)


def _verdict(key: str, values: Mapping[str, str]) -> str:
    if key not in values:
        return ""
    evidence = values.get(key.removesuffix(VERDICT) + EVIDENCE, "")
    return f"{values[key]}: {evidence}" if evidence else values[key]


def address_of(project: Project | None, target: str, folder: Path | None = None) -> str:
    """Where a page of the book, or a file of the clone, can be opened.

    Parameters
    ----------
    project : Project, optional
        The clone.
    target : str
        Path from the clone's top folder: of a page without its suffix, of any other file with it.
    folder : Path, optional
        Where the page with the link lies.

    Returns
    -------
    str
        A relative path to the built page where the book is built and `folder` lies in the same clone; else the
        file in the repository; empty if there is neither.
    """
    if project is None:
        return ""
    target = target.lstrip("/")
    built = project.root / "_build" / "html" / f"{target}.html"
    if folder is not None and built.is_file() and folder.resolve().is_relative_to(project.root.resolve()):
        return quote(Path(os.path.relpath(built.resolve(), folder.resolve())).as_posix())
    source = next(
        (target + end for end in ("", ".ipynb", ".md") if (project.root / (target + end)).is_file()), ""
    )
    address = repository_address(project.root) if (project.root / "pyproject.toml").is_file() else None
    return f"{address}/blob/main/{quote(source)}" if address and source else ""


def page_with_label(project: Project, label: str) -> tuple[str, str] | None:
    """The page of the book that defines a label, as path without suffix and title; None if none does."""
    pattern = re.compile(
        rf"(?:^\s*(?::label:|:name:|name:)\s*|\$\$\s*\(|^\(){re.escape(label)}\)?=?\s*$", re.MULTILINE
    )
    for path in [*sorted((project.root / "book").glob("*.md")), *sorted(project.notebooks.glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        if pattern.search(text):
            executed = project.executed.relative_to(project.root).as_posix()
            where = f"book/{path.stem}" if path.parent.name == "book" else f"{executed}/{path.stem}"
            return where, _title(text, path.stem)
    return None


def title_of_page(project: Project, target: str) -> str:
    """The title of a page of the book, given its path from the clone's top folder without suffix; empty if unknown."""
    stem = target.rsplit("/", 1)[-1]
    for path in (project.root / f"{target.lstrip('/')}.md", project.notebooks / f"{stem}.md"):
        if path.is_file():
            return _title(path.read_text(encoding="utf-8"), stem)
    return ""


def _title(text: str, default: str) -> str:
    match = re.search(r"^# +(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else default
