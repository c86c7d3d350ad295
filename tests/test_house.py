"""The house keeps to its plan: which module may import which, read from the source alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOMES = {"rbmlib": ROOT / "rbmlib", "rbmbook": ROOT / "book" / "rbmbook"}
STUDIES = "rbmbook.studies"
SHARED = ("ising", "digits")
"""Rooms that several studies share."""
FLOORS = (
    ("rbmlib",), ("rbmbook.lab",), ("rbmbook.evidence", "rbmbook.drawing"), ("rbmbook.publish",), ("rbmbook.studies",),
    ("rbmbook.cli", "rbmbook.__main__"),
)  # fmt: skip
"""A module imports from its own floor and from those before it."""
PRIVATE = {
    "rbmlib.kernels.lanes._aligned_to_elements": "inlined by the compiler into other kernels",
    "rbmlib.kernels.lanes._broadcast": "inlined by the compiler into other kernels",
    "rbmlib.kernels.lanes._constant": "inlined by the compiler into other kernels",
    "rbmlib.kernels.lanes._pointer": "inlined by the compiler into other kernels",
    "rbmlib.kernels.lanes._shuffle": "inlined by the compiler into other kernels",
    "rbmlib.kernels.options._KernelCache": "inlined by the compiler into other kernels",
    "rbmlib.kernels.philox._LOW": "inlined by the compiler into other kernels",
    "rbmlib.kernels.philox._W0": "inlined by the compiler into other kernels",
    "rbmlib.kernels.philox._W1": "inlined by the compiler into other kernels",
    "rbmlib.kernels.philox._round_of_lanes": "inlined by the compiler into other kernels",
    "rbmlib.persistent._LARGEST_BOUND": "shared before it has a public name",
    "rbmlib.persistent._checked_run": "shared before it has a public name",
    "rbmlib.persistent._mini_batches": "shared before it has a public name",
    "rbmlib.training._check_positive_integer": "shared before it has a public name",
}
"""Private names that another module has all the same, each with its reason; this list only ever gets shorter."""


class Imported(NamedTuple):
    """A module that another one imports, with the attribute that it takes; ``early`` if at its own import."""

    module: str
    attribute: str | None
    bound: str
    early: bool


@cache
def modules() -> dict[str, Path]:
    found = {}
    for top, home in HOMES.items():
        for path in sorted(home.rglob("*.py")):
            inside = path.relative_to(home).with_suffix("").parts
            found[".".join((top, *inside)).removesuffix(".__init__")] = path
    return found


def _walk(nodes: list[ast.stmt], early: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for node in nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, early
            continue
        checking = isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        inner = early and not checking and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for name in ("body", "orelse", "finalbody"):
            yield from _walk(getattr(node, name, []), inner)
        for handler in getattr(node, "handlers", []):
            yield from _walk(handler.body, inner)


@cache
def imports(name: str) -> tuple[Imported, ...]:
    """What a module imports of the two packages, anywhere in it."""
    path = modules()[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = []
    for node, early in _walk(ast.parse(path.read_text(encoding="utf-8")).body, True):
        if isinstance(node, ast.Import):
            found += [
                Imported(a.name, None, a.asname or a.name, early) for a in node.names if a.name in modules()
            ]
            continue
        base = node.module or ""
        if node.level:
            above = package.split(".")
            base = ".".join([*above[: len(above) - node.level + 1], *([node.module] if node.module else [])])
        for alias in node.names:
            bound = alias.asname or alias.name
            if f"{base}.{alias.name}" in modules():
                found.append(Imported(f"{base}.{alias.name}", None, bound, early))
            elif base in modules():
                found.append(Imported(base, alias.name, bound, early))
    return tuple(found)


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def room(module: str) -> str:
    """The room of a module of a study, or an empty string."""
    parts = module.split(".")
    return parts[2] if is_in(module, STUDIES) and len(parts) > 3 else ""


def test_the_plan_sees_both_buildings() -> None:
    assert {"rbmlib.rbm", "rbmlib.kernels.gibbs", "rbmbook.cli", "rbmbook.lab.store"} <= set(modules())
    assert any(each.module == "rbmlib.rbm" for each in imports("rbmlib.pruning"))


def test_the_library_imports_nothing_of_the_book() -> None:
    library = [name for name in modules() if is_in(name, "rbmlib")]
    found = [
        (name, each.module) for name in library for each in imports(name) if is_in(each.module, "rbmbook")
    ]
    assert found == []


def test_no_study_imports_another() -> None:
    found = [
        (name, each.module)
        for name in modules()
        for each in imports(name)
        if room(name) and room(each.module) not in ("", room(name), *SHARED)
    ]
    assert found == []


def test_every_study_has_the_name_of_a_notebook_or_waits_for_one() -> None:
    rooms = {room(name) for name in modules()} - {"", *SHARED}
    notebooks = {path.stem for path in (ROOT / "notebooks").glob("*.md")}
    assert notebooks <= rooms
    assert all(f"{STUDIES}.{name}.study" in modules() for name in rooms)


def test_no_arrow_runs_up() -> None:
    def floor(module: str) -> int:
        return next(at for at, packages in enumerate(FLOORS) if any(is_in(module, one) for one in packages))

    found = [
        (name, each.module)
        for name in modules()
        for each in imports(name)
        if "rbmbook" not in (name, each.module) and floor(each.module) > floor(name)
    ]
    assert found == []


def test_no_circle() -> None:
    graph = {name: {each.module for each in imports(name) if each.early} - {name} for name in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(reversed(error.args[1]))}")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_no_private_name_crosses_a_module() -> None:
    found = set()
    for name, path in modules().items():
        bound = {each.bound: each.module for each in imports(name) if each.attribute is None}
        found |= {
            f"{each.module}.{each.attribute}" for each in imports(name) if is_private(each.attribute or "")
        }
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and is_private(node.attr):
                found |= {f"{bound[node.value.id]}.{node.attr}"} if node.value.id in bound else set()
    assert found - set(PRIVATE) == set()
    assert set(PRIVATE) - found == set(), "these are no exceptions any more"


def test_the_clone_s_own_results_are_found_from_the_second_building() -> None:
    from rbmbook.lab.store import Store

    assert Store.default().published == ROOT / "book" / "results"
