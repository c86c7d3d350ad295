"""A clone of the project: where its notebooks and results lie, and the address it came from."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from rbmlib.publish.errors import NotInClone, UnknownName

if TYPE_CHECKING:
    from rbmlib.lab.store import Store

#: Files beside pyproject.toml that may repeat the repository's address.
ADDRESS_FILES = ("_config.yml", "CITATION.cff", "README.md", "CHANGELOG.md", "environment.yml")


@dataclass(frozen=True)
class Project:
    """A clone of the project.

    Parameters
    ----------
    root : Path
        The clone's top folder.
    experiments : str
        Import name of the package that holds the experiments; an experiment has its notebook's name.
    """

    root: Path
    experiments: str = "rbmlib.experiments"

    @property
    def notebooks(self) -> Path:
        """Folder of the notebooks' sources."""
        return self.root / "notebooks"

    @property
    def executed(self) -> Path:
        """Folder of the executed notebooks that the book is built from."""
        return self.root / "book" / "executed"

    @property
    def results(self) -> Path:
        """Folder of the published results."""
        return self.root / "book" / "results"

    def names(self) -> list[str]:
        """Names of all notebooks, sorted."""
        return sorted(path.stem for path in self.notebooks.glob("*.md"))

    def in_book(self) -> list[str]:
        """Names of the notebooks that the book's table of contents lists, sorted; all where there is none.

        A notebook whose long run is still under way can be committed, run and tested before it is a chapter.
        """
        contents = self.root / "_toc.yml"
        if not contents.is_file():
            return self.names()
        listed = set(
            re.findall(r"^[\s-]*(?:file|root):\s*(\S+)", contents.read_text(encoding="utf-8"), re.MULTILINE)
        )
        folder = self.executed.relative_to(self.root).as_posix()
        return [name for name in self.names() if f"{folder}/{name}" in listed]

    def source(self, name: str) -> Path:
        """Path of a notebook's source.

        Raises
        ------
        UnknownName
            If there is no such notebook.
        """
        if name not in (names := self.names()):
            raise UnknownName("notebook", name, names)
        return self.notebooks / f"{name}.md"

    def executed_path(self, name: str) -> Path:
        """Path of a notebook's executed counterpart, whether or not it exists."""
        return self.executed / f"{name}.ipynb"

    def experiment_names(self) -> list[str]:
        """Names of the notebooks that have an experiment of their own, sorted."""
        package = importlib.import_module(self.experiments)
        modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
        return [name for name in self.names() if name in modules and self.experiment(name) is not None]

    def experiment(self, name: str) -> ModuleType | None:
        """The experiment behind a notebook, or None for a notebook that computes nothing of its own.

        An experiment is a module of the notebook's name that defines ``PROFILES`` and ``cells``.
        """
        qualified = f"{self.experiments}.{name}"
        if importlib.util.find_spec(qualified) is None:
            return None
        module = importlib.import_module(qualified)
        return module if hasattr(module, "PROFILES") and hasattr(module, "cells") else None

    def store(self) -> Store:
        """The result store of this clone: its published results over the user's cache."""
        from rbmlib.cache import cache_root
        from rbmlib.lab.store import Store

        return Store(self.results, cache_root())


def is_clone(folder: Path) -> bool:
    """Whether a folder is the top of a clone: it has the book's table of contents and the notebooks."""
    return (folder / "_toc.yml").is_file() and (folder / "notebooks").is_dir()


def find_project(start: Path | None = None, *, purpose: str = "this") -> Project:
    """The clone around a folder, else the clone that this package is installed from.

    Parameters
    ----------
    start : Path, optional
        Where to begin walking up; the working folder by default.
    purpose : str
        What needs the clone, as it should read in the error (``"rbmlib run"``).

    Raises
    ------
    NotInClone
        If neither place belongs to a clone.
    """
    here = (Path.cwd() if start is None else Path(start)).resolve()
    installed = Path(__file__).resolve().parents[2]
    for folder in (here, *here.parents, installed):
        if is_clone(folder):
            return Project(folder)
    address = repository_address()
    how = f"git clone {address}" if address else "clone the repository"
    raise NotInClone(
        f"{purpose} needs a clone of the project, and {here} is not inside one: {how}, then run it there"
    )


def repository_address(root: Path | None = None) -> str | None:
    """The repository's address as pyproject.toml states it, the one place where it is written down.

    Parameters
    ----------
    root : Path, optional
        A clone's top folder; without it the installed package's metadata, made from the same line, is read.
    """
    if root is not None:
        with (root / "pyproject.toml").open("rb") as file:
            return tomllib.load(file)["project"].get("urls", {}).get("Repository")
    try:
        entries = importlib.metadata.metadata("rbmlib").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    urls = dict(entry.split(", ", 1) for entry in entries)
    return urls.get("Repository")


def address_mismatches(root: Path) -> list[str]:
    """Every place in a clone where the repository's address differs from that in pyproject.toml.

    Links to the repository, raw or through Binder and Colab, are recognised by the repository's name, so
    links to other projects are left alone. ``CITATION.cff``, which others read without this package, must
    carry the address at all.

    Parameters
    ----------
    root : Path
        A clone's top folder.

    Returns
    -------
    list of str
        One line for each mismatch, ``file: what was found``; empty if all agree.
    """
    address = repository_address(root)
    if address is None:
        return ["pyproject.toml: no [project.urls] Repository"]
    owner, name = address.rstrip("/").split("/")[-2:]
    link = re.compile(
        rf"(?:github\.com|mybinder\.org/v2/gh|githubtocolab\.com)/([\w.-]+)/{re.escape(name)}(?![\w-])"
    )
    problems: list[str] = []
    pages = sorted((root / "book").glob("*.md")) + sorted((root / "notebooks").glob("*.md"))
    for path in [*(root / file for file in ADDRESS_FILES), *pages]:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        relative = path.relative_to(root)
        problems += [f"{relative}: {match[0]}" for match in link.finditer(text) if match[1] != owner]
        if path.name == "CITATION.cff" and address not in text:
            problems.append(f"{relative}: {address} is missing")
    return problems
