"""A hash of the code that a function runs, taken from source, without importing anything.

The closure goes over *definitions*: from a function to the functions, classes and constants that it names,
in its own module or imported from the package, and on from those. A module that is used as an object, not
through an attribute, counts whole. Statements that act when a module is imported always count, for every
module that the closure touches and for the packages that hold it. A change of layout, of a comment, a
docstring or an annotation leaves the hash alone, and so does a change of any definition that is not reached.

What a static closure cannot see must not decide results: names built at run time (``globals()[name]``), and
registries that definitions enter by decorators from another module.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from rbmlib.lab.errors import FingerprintError
from rbmlib.lab.syntax import Import, ModuleSource, parse_module

PACKAGE = "rbmlib"
#: Parts of the package that no result may depend on.
EXCLUDED = ("rbmlib.lab", "rbmlib.figures", "rbmlib.publish", "rbmlib.cli", "rbmlib.__main__")
#: What may be named all the same: what to compute, not how; how files are written and read, whose arrays are held to
#: checksums; where compiled code is kept.
NEUTRAL = ("rbmlib.lab.cell", "rbmlib.files", "rbmlib.kernels.caching")

_known: dict[tuple[str, str], str] = {}


def _inside(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


class _Closure:
    """Everything that a set of starting points reaches."""

    def __init__(
        self,
        roots: Mapping[str, Path],
        excluded: tuple[str, ...],
        neutral: tuple[str, ...],
        texts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._roots = {**roots, **dict.fromkeys(texts, Path())}
        self._texts = texts
        self._excluded = excluded
        self._neutral = neutral
        self._modules: dict[str, ModuleSource | None] = {}
        self._queue: list[tuple[ModuleSource, int]] = []
        self._parent: dict[tuple[str, int], tuple[str, int] | None] = {}
        self._at: tuple[str, int] | None = None
        self._whole: set[str] = set()
        self.reached: dict[str, set[int]] = {}

    def module(self, name: str) -> ModuleSource | None:
        """Return the analysed module, or None if there is no such source."""
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def _present(self, name: str) -> ModuleSource:
        module = self.module(name)
        assert module is not None, f"{name} was reached"
        return module

    def _read(self, name: str) -> ModuleSource | None:
        root, *rest = name.split(".")
        if root not in self._roots:
            return None
        if name in self._texts:
            return parse_module(name, self._texts[name], False)
        base = self._roots[root].joinpath(*rest)
        module_file = base.parent / f"{base.name}.py"
        for path, is_package in ((base / "__init__.py", True), (module_file, False), (base, False)):
            # Listed, not only found: some file systems find rbm.py under the name RBM.py.
            if path.suffix == ".py" and path.is_file() and path.name in os.listdir(path.parent):
                try:
                    return parse_module(name, path.read_text(encoding="utf-8"), is_package)
                except SyntaxError as error:
                    raise FingerprintError(f"{path} cannot be parsed: {error}") from error
        # A folder without __init__ is a namespace: it holds modules and runs nothing.
        return parse_module(name, "", True) if base.is_dir() else None

    def _admits(self, module: str) -> bool:
        """Whether to follow into a module; raises for those that are excluded."""
        if module.partition(".")[0] not in self._roots or _inside(module, self._neutral):
            return False
        if _inside(module, self._excluded):
            trail: list[str] = []
            at = self._at
            while at is not None:
                name, index = at
                trail.append(f"{name}.{self._present(name).statements[index].name or '(top level)'}")
                at = self._parent[at]
            raise FingerprintError(
                f"{' -> '.join(trail[::-1])} reaches {module}; "
                f"a result must not depend on {', '.join(self._excluded)}"
            )
        return True

    def attribute(self, name: str, chain: tuple[str, ...]) -> None:
        """Follow ``module.a.b`` as far as it leads: to a definition, or to a module as a whole."""
        if not self._admits(name):
            return
        module = self.module(name)
        if module is None:
            return
        if not chain:
            self.whole(module)
        elif not self.name(module, chain):
            if self.module(f"{name}.{chain[0]}") is not None:
                self.attribute(f"{name}.{chain[0]}", chain[1:])
            elif "__getattr__" in module.bindings:
                self.name(module, ("__getattr__",))
            elif not (chain[0].startswith("__") and chain[0].endswith("__")):
                self.whole(module)  # made at run time: anything in it may matter

    def name(self, module: ModuleSource, chain: tuple[str, ...]) -> bool:
        """Follow a dotted name looked up in a module; say whether the module binds it."""
        head = chain[0]
        if head in module.bindings:
            for index in (*module.bindings[head], *module.attached.get(head, ())):
                self.reach(module, index)
        for target in module.imports.get(head, ()):
            self.touch(module)
            self.imported(module, target, chain[1:])
        if head in module.bindings or head in module.imports:
            return True
        return any(
            self.name(star, chain)
            for star in map(self.module, module.stars)
            if star is not None and self._admits(star.name)
        )

    def imported(self, of: ModuleSource, target: Import, rest: tuple[str, ...]) -> None:
        """Follow what an import bound."""
        submodule = f"{target.module}.{target.attribute}"
        if target.attribute is not None and target.module == of.name and self.module(submodule) is not None:
            # A package that imports its own part, `from . import part`: the name stands for the submodule.
            self.attribute(submodule, rest)
            return
        self.attribute(target.module, rest if target.attribute is None else (target.attribute, *rest))

    def whole(self, module: ModuleSource) -> None:
        """Reach everything that a module defines or imports."""
        if module.name in self._whole:
            return
        self._whole.add(module.name)
        self.touch(module)
        for index in range(len(module.statements)):
            self.reach(module, index)
        for targets in module.imports.values():
            for target in targets:
                self.imported(module, target, ())
        for star in module.stars:
            self.attribute(star, ())

    def touch(self, module: ModuleSource) -> None:
        """Take in what runs when the module is imported."""
        if module.name in self.reached:
            return
        self.reached[module.name] = set()
        for index in module.acting:
            self.reach(module, index)
        used = {chain[0] for statement in module.statements for chain in statement.chains}
        for name, loaded in module.bare_imports:
            if name not in used and not module.is_package:
                self.attribute(loaded, ())  # imported for what its import does
        parent = self.module(module.name.rpartition(".")[0]) if "." in module.name else None
        if parent is not None:
            self.touch(parent)

    def reach(self, module: ModuleSource, index: int) -> None:
        """Take in one statement."""
        self.touch(module)
        if index not in self.reached[module.name]:
            self.reached[module.name].add(index)
            self._parent[module.name, index] = self._at
            self._queue.append((module, index))

    def run(self) -> None:
        """Follow references until nothing new is reached."""
        while self._queue:
            module, index = self._queue.pop()
            self._at = (module.name, index)
            statement = module.statements[index]
            for chain in sorted(statement.chains):
                self.name(module, chain)
            for target, loaded in statement.imports:
                self.imported(module, target if target.attribute not in (None, "*") else Import(loaded), ())

    def digest(self) -> str:
        """Hash of all that was reached."""
        total = hashlib.sha256()
        for name in sorted(self.reached):
            statements = self._present(name).statements
            indices = sorted(self.reached[name])
            once = {i for i in indices if statements[i].name and self._defined_once(name, i)}
            # The order of definitions says nothing; that of other statements can.
            ordered = sorted(once, key=lambda i: statements[i].name or "") + [
                i for i in indices if i not in once
            ]
            for text in (name, *(statements[i].text for i in ordered)):
                total.update(text.encode() + b"\0")
        return total.hexdigest()

    def _defined_once(self, name: str, index: int) -> bool:
        module = self._present(name)
        return module.bindings[module.statements[index].name or ""] == [index]


class Reach(NamedTuple):
    """What a definition reaches: a hash of that code in 64 hexadecimal digits, and the modules it lies in."""

    digest: str
    modules: frozenset[str]


def source_reach(
    module: str,
    name: str,
    roots: Mapping[str, Path],
    excluded: tuple[str, ...] = EXCLUDED,
    neutral: tuple[str, ...] = NEUTRAL,
    texts: Mapping[str, str] = MappingProxyType({}),
) -> Reach:
    """Find and hash the code that a definition reaches, from source files alone.

    Parameters
    ----------
    module : str
        Dotted name of the module that defines it.
    name : str
        Name of the definition at the module's top level.
    roots : mapping of str to pathlib.Path
        Top-level packages to follow into: their folders (or the file of a package of one module).
    excluded, neutral : tuple of str
        Modules that must not be reached, and exceptions from that which are not followed.
    texts : mapping of str to str, optional
        Top-level modules that stand in no file, by name.

    Returns
    -------
    Reach

    Raises
    ------
    FingerprintError
        If there is no such definition, a source cannot be parsed, or an excluded module is reached.
    """
    closure = _Closure(roots, excluded, neutral, texts)
    source = closure.module(module)
    if source is None or name not in source.bindings:
        raise FingerprintError(f"the source of {module} does not define {name} at its top level")
    closure.name(source, (name,))
    closure.run()
    return Reach(closure.digest(), frozenset(closure.reached))


def _source_root(package: str) -> Path:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError) as error:
        raise FingerprintError(f"the source of {package} cannot be found: {error}") from error
    locations = list(spec.submodule_search_locations or ()) if spec else []
    if locations:
        return Path(locations[0])
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise FingerprintError(f"the source of {package} cannot be found; a cell's function needs a file")
    return Path(spec.origin)


def code_fingerprint(function: Callable[..., object]) -> str:
    """Hash the code that a function runs within its own package and this one.

    Parameters
    ----------
    function : callable
        A function at the top level of an importable module.

    Returns
    -------
    str
        64 hexadecimal digits; taken once a process for each function.

    Raises
    ------
    FingerprintError
        If the source cannot be found or parsed, or reaches what no result may depend on.
    """
    identity = (function.__module__, function.__qualname__)
    if identity not in _known:
        packages = {PACKAGE, function.__module__.partition(".")[0]}
        roots = {package: _source_root(package) for package in packages}
        _known[identity] = source_reach(*identity, roots).digest
    return _known[identity]
