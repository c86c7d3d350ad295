"""What a module's source defines, what each definition refers to, and a text form that only meaning changes.

The text form is written here and not by :func:`ast.dump`, whose output differs between versions of Python. It does not
hold the names of modules: where an imported name heads a dotted one, as in ``gibbs.sample``, the text has the number
of that name in the statement (``#0.sample``), and what it leads to is told by the reference.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

#: The packages that results are computed by, one and all: where in them code stands says nothing.
PACKAGES = ("rbmlib", "rbmbook")

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Decorators that change something else than what they decorate, whatever their arguments.
_REGISTERING = {
    "overload", "overload_method", "overload_attribute", "lower_builtin", "type_callable", "register",
}  # fmt: skip


def canonical(node: object) -> str:
    """Return a text of a syntax tree, the same for every Python version and layout of the source."""
    if isinstance(node, ast.AST):
        fields = []
        for name in node._fields:
            value = getattr(node, name, None)
            if name in ("ctx", "type_comment", "kind") or value is None or value == []:
                continue
            fields.append(f"{name}={canonical(value)}")
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join(map(canonical, node))}]"
    return f"{type(node).__name__}:{node!r}"


class _Normalise(ast.NodeTransformer):
    """Drop what has no effect on results: docstrings, and annotations outside class bodies."""

    def __init__(self) -> None:
        self._in_class = False

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        outer, self._in_class = self._in_class, False
        self.generic_visit(node)
        self._in_class = outer
        node.returns = None
        node.body = node.body or [ast.Pass()]
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        outer, self._in_class = self._in_class, True
        self.generic_visit(node)
        self._in_class = outer
        node.body = node.body or [ast.Pass()]
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if self._in_class:
            return node
        return None if node.value is None else ast.Assign(targets=[node.target], value=node.value)


@dataclass(frozen=True)
class Import:
    """What one name is bound to by an import: a module, or an attribute of one."""

    module: str
    attribute: str | None = None


def is_own(module: str, of: str) -> bool:
    """Whether a module is of one's own package or of these two, so that its name is no part of a text."""
    return module.partition(".")[0] in (*PACKAGES, of.partition(".")[0])


def _imports(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Import, str]]:
    """Yield (bound name, what it is bound to, module that is loaded) for every name that is imported."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            yield alias.asname or top, Import(alias.name if alias.asname else top), alias.name
        return
    module = node.module or ""
    if node.level:
        base = package.split(".")
        base = base[: len(base) - node.level + 1]
        module = ".".join(base + ([node.module] if node.module else []))
    for alias in node.names:
        yield alias.asname or alias.name, Import(module, alias.name), module


def _bound_names(body: Iterable[ast.AST]) -> set[str]:
    """Names that statements bind in their own scope, not counting nested scopes."""
    names: set[str] = set()
    declared_global: set[str] = set()
    stack = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            names.add(node.name)
            continue
        if isinstance(node, (ast.Lambda, *_COMPREHENSIONS)):
            continue
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(name for name, _, _ in _imports(node, ""))
        elif isinstance(node, ast.Global):
            declared_global.update(node.names)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
        stack.extend(ast.iter_child_nodes(node))
    return names - declared_global


class _References(ast.NodeVisitor):
    """Collect the dotted names that a statement looks up outside its own scopes, and the imports inside it.

    Where a scope is in doubt the name counts as looked up outside: too much is safe, too little is not.
    """

    def __init__(self, package: str) -> None:
        self.chains: set[tuple[str, ...]] = set()
        self.heads: list[tuple[ast.Name, list[ast.Attribute]]] = []
        self.imports: list[tuple[Import, str]] = []
        self._package = package
        self._scopes: list[set[str]] = []

    def _look_up(self, *chain: str) -> bool:
        outside = not any(chain[0] in scope for scope in self._scopes)
        if outside:
            self.chains.add(chain)
        return outside

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._look_up(node.id)

    def visit_Global(self, node: ast.Global) -> None:
        self.chains.update((name,) for name in node.names)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain: list[ast.Attribute] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            chain.insert(0, inner)
            inner = inner.value
        if isinstance(inner, ast.Name):
            if self._look_up(inner.id, *(each.attr for each in chain)):
                self.heads.append((inner, chain))
        else:
            self.visit(inner)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.imports.extend((target, loaded) for _, target, loaded in _imports(node, self._package))
        if isinstance(node, ast.ImportFrom) and is_own(self.imports[-1][1], self._package):
            node.module, node.level = None, 0  # the reference says where it leads

    visit_Import = visit_ImportFrom = _import

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def _scoped(self, names: set[str], nodes: Iterable[ast.AST]) -> None:
        self._scopes.append(names)
        for node in nodes:
            self.visit(node)
        self._scopes.pop()

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        for outside in (*getattr(node, "decorator_list", ()), *node.args.defaults, *node.args.kw_defaults):
            if outside is not None:
                self.visit(outside)
        arguments = node.args
        names = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
        names |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None}
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        self._scoped(names | _bound_names(body), body)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.visit(node.generators[0].iter)
        names = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        inner: list[ast.AST] = [g.iter for g in node.generators[1:]]
        inner += [condition for g in node.generators for condition in g.ifs]
        inner += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._scoped(names, inner)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


@dataclass
class Statement:
    """One top-level statement of a module.

    Attributes
    ----------
    name : str or None
        Name of the function or class it defines.
    text : str
        Its canonical text.
    chains : frozenset of tuple of str
        Dotted names it looks up in the module.
    imports : tuple
        Imports inside it: what is imported, and the module that is loaded.
    calls : bool
        Whether running it may call something, so that its place among others that do can matter.
    numbers : dict of tuple of str to str
        What stands in the text for an imported name that heads a dotted one, or for a dotted module of its package.
    """

    name: str | None
    text: str
    chains: frozenset[tuple[str, ...]]
    imports: tuple[tuple[Import, str], ...]
    calls: bool
    numbers: dict[tuple[str, ...], str] = field(default_factory=dict)

    def label(self, chain: tuple[str, ...]) -> str:
        """A dotted name as the text has it."""
        for length in range(len(chain) - 1, 0, -1):
            if chain[:length] in self.numbers:
                return ".".join((self.numbers[chain[:length]], *chain[length:]))
        return ".".join(chain)


@dataclass
class ModuleSource:
    """What the top level of a module binds, by which statements, and what acts when it is imported."""

    name: str
    is_package: bool
    statements: list[Statement] = field(default_factory=list)
    bindings: dict[str, list[int]] = field(default_factory=dict)
    imports: dict[str, list[Import]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    acting: list[int] = field(default_factory=list)
    attached: dict[str, list[int]] = field(default_factory=dict)
    bare_imports: list[tuple[str, str]] = field(default_factory=list)
    _unwritten: list[tuple[ast.stmt, list[tuple[ast.Name, list[ast.Attribute]]]]] = field(
        default_factory=list
    )

    @property
    def package(self) -> str:
        """The package that relative imports start from."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    def add(self, node: ast.stmt) -> None:
        """Take up one top-level statement."""
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._add_import(node)
        elif isinstance(node, ast.If) and _is_guard(node.test):
            for inner in node.orelse:
                self.add(inner)
        elif not isinstance(node, ast.Pass):
            self._add_statement(node)

    def _add_import(self, node: ast.Import | ast.ImportFrom) -> None:
        for name, target, loaded in _imports(node, self.package):
            if target.attribute == "*":
                self.stars.append(loaded)
                continue
            self.imports.setdefault(name, []).append(target)
            if isinstance(node, ast.Import):
                self.bare_imports.append((name, loaded))

    def _add_statement(self, node: ast.stmt) -> None:
        index = len(self.statements)
        references = _References(self.package)
        references.visit(node)
        definition = node if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else None
        self.statements.append(
            Statement(
                name=definition.name if definition else None,
                text="",
                chains=frozenset(references.chains),
                imports=tuple(references.imports),
                calls=definition is None and any(isinstance(inner, ast.Call) for inner in ast.walk(node)),
            )
        )
        self._unwritten.append((node, references.heads))
        for name in _bound_names([node]):
            self.bindings.setdefault(name, []).append(index)
        if definition:
            self._attach(definition, index)
        elif not _only_binds(node):
            self.acting.append(index)
            for inner in ast.walk(node):
                if isinstance(inner, (ast.Import, ast.ImportFrom)):
                    self._add_import(inner)

    def write(self) -> None:
        """Give every statement its text, when all imports of the module are known."""
        for statement, (node, heads) in zip(self.statements, self._unwritten, strict=True):
            for head, chain in heads:
                if head.id in self.imports and head.id not in self.bindings:
                    module = self._named(head, chain)
                    number = statement.numbers.setdefault(module, f"#{len(statement.numbers)}")
                    head.id, chain[len(module) - 1].value = number, head
            statement.text = canonical(node)
        self._unwritten.clear()

    def _named(self, head: ast.Name, chain: list[ast.Attribute]) -> tuple[str, ...]:
        """The part of a dotted name that stands for a module: all of ``pack.part`` after ``import pack.part``."""
        names = (head.id, *(each.attr for each in chain))
        dotted = [loaded.split(".") for bound, loaded in self.bare_imports if bound == head.id]
        lengths = [
            len(parts)
            for parts in dotted
            if is_own(parts[0], self.name) and tuple(parts) == names[: len(parts)] and len(parts) < len(names)
        ]
        return names[: max(lengths, default=1)]

    def orderless(self, index: int) -> bool:
        """Whether it says nothing where in the module a statement stands: it defines, once and for all."""
        statement = self.statements[index]
        names = [statement.name] if statement.name else [n for n, at in self.bindings.items() if index in at]
        return (
            not statement.calls
            and index not in self.acting
            and all(self.bindings[n] == [index] for n in names)
        )

    def _attach(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, index: int) -> None:
        """Tie a definition to another that its decorator acts on (``@f.register``, ``@overload(f)``)."""
        for decorator in node.decorator_list:
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            acted_on = list(decorator.args) if isinstance(decorator, ast.Call) else []
            last = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
            if last in _REGISTERING:
                self.acting.append(index)
            if isinstance(call, ast.Attribute):
                acted_on.append(call.value)
            for value in acted_on:
                for name in ast.walk(value):
                    if isinstance(name, ast.Name):
                        self.attached.setdefault(name.id, []).append(index)


def _is_guard(test: ast.expr) -> bool:
    """Whether an ``if`` guards code that no import runs: type checking, or use as a script."""
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name):
        return test.left.id == "__name__"
    return getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING"


def _only_binds(node: ast.stmt) -> bool:
    """Whether a statement does no more than give values to names."""
    if isinstance(node, ast.Assign):
        targets: list[ast.expr] = list(node.targets)
    elif isinstance(node, ast.AugAssign):
        targets = [node.target]
    else:
        return type(node).__name__ == "TypeAlias"
    while targets:
        target = targets.pop()
        if isinstance(target, (ast.Tuple, ast.List)):
            targets.extend(target.elts)
        elif isinstance(target, ast.Starred):
            targets.append(target.value)
        elif not isinstance(target, ast.Name):
            return False
    return True


@lru_cache(maxsize=512)
def parse_module(name: str, source: str, is_package: bool) -> ModuleSource:
    """Analyse the source of a module.

    Parameters
    ----------
    name : str
        Dotted name of the module.
    source : str
        Its text.
    is_package : bool
        Whether it is the ``__init__`` of a package.

    Returns
    -------
    ModuleSource
        Shared between calls with the same arguments: read it only.
    """
    module = ModuleSource(name, is_package)
    for node in _Normalise().visit(ast.parse(source)).body:
        module.add(node)
    module.write()
    return module
