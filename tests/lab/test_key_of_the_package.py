"""The key of real cells: a change in code that they run makes them stale, a change of anything else does not.

Which code they run is not asked of the fingerprint but of the interpreter: a small cell is computed under a profiler.
"""

from __future__ import annotations

import ast
import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest

import rbmbook
import rbmlib
from rbmbook.lab import recompute
from rbmbook.lab.fingerprint import source_reach
from rbmbook.lab.origin import environment, installed_versions
from rbmbook.publish.audit import cells_by_profile
from rbmbook.publish.project import Project

CELLS = "rbmbook.studies.ising.cells"
OF_THE_CHAPTER = [
    f"{CELLS}.{name}" for name in ("ground_state", "prune_trained", "prune_fitted", "train_only")
]
ALL = {name.rpartition(".")[2] for name in OF_THE_CHAPTER}

# Compute twice: the second time nothing is imported or compiled any more. Prints what ran, as [module, qualified name].
TRACE = """
    import json
    import sys

    from numba.core.dispatcher import Dispatcher

    from rbmbook.studies.ising import cells as tfim_cells

    seeds = dict(data_seed=1, init_seed=2, training_seed=3)
    shared = dict(n_hidden=3, field=1.0, n_samples=60, prune_fraction=0.3, n_iterations=2, **seeds)
    training = dict(k=1, batch_size=20, n_epochs=2, learning_rate=0.1, final_learning_rate=0.01)
    finetuning = dict(finetune_epochs=1, finetune_rate=0.02, final_finetune_rate=0.01)

    state = tfim_cells.ground_state(6, 1.0)

    def compute():
        return tfim_cells.prune_trained(**shared, **training, **finetuning, ground_state=state)

    compute()
    used = set()

    def note(frame, event, argument):
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith(("rbmlib.", "rbmbook.")):
            used.add((module, frame.f_code.co_qualname))

    sys.setprofile(note)
    compute()
    sys.setprofile(None)
    for name, module in list(sys.modules.items()):
        if name.startswith("rbmlib.kernels"):
            for value in vars(module).values():
                if isinstance(value, Dispatcher) and value.signatures:
                    used.add((value.py_func.__module__, value.py_func.__qualname__))
    print(json.dumps(sorted(used)))
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory, pytestconfig):
    """Every function and method of the package that a small ``prune_trained`` ran."""
    cache = pytestconfig.cache.mkdir("kernels") / "host"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TRACE)],
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)}, cwd=tmp_path_factory.mktemp("trace"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [tuple(each) for each in json.loads(done.stdout)]


class Copy:
    """A copy of the package whose files can be changed; nothing of it is ever imported."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        for package in (rbmlib, rbmbook):
            shutil.copytree(
                Path(package.__file__).parent,
                folder / package.__name__,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        self.originals: dict[Path, str] = {}

    def fingerprints(self, functions=OF_THE_CHAPTER) -> dict[str, str]:
        return {name: source_reach(*name.rsplit(".", 1), self.roots()).digest for name in functions}

    def roots(self) -> dict[str, Path]:
        return {name: self.root / name for name in ("rbmlib", "rbmbook")}

    def path(self, module: str) -> Path:
        base = self.root.joinpath(*module.split("."))
        return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")

    def write(self, path: Path, text: str) -> None:
        self.originals.setdefault(path, path.read_text())
        path.write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text, f"{old!r} is no longer in {path}: this test needs another place to change"
        self.write(self.root / path, text.replace(old, new))

    def restore(self) -> None:
        for path, text in self.originals.items():
            path.write_text(text)
        self.originals.clear()

    def modules(self) -> list[Path]:
        return sorted(self.root.rglob("*.py"))


@pytest.fixture(scope="module")
def whole_copy(tmp_path_factory):
    return Copy(tmp_path_factory.mktemp("copy"))


@pytest.fixture
def copy(whole_copy):
    yield whole_copy
    whole_copy.restore()


@cache
def studies():
    """Module of every study -> modules and names of the functions that compute its cells, in any profile."""
    found = {}
    for (name, _), cells in cells_by_profile(Project(Path(rbmlib.__file__).parents[1])).items():
        functions = found.setdefault(f"rbmbook.studies.{name}.study", set())
        computes = {part.compute for cell in cells for part in cell.with_needs()}
        functions |= {f"{compute.__module__}.{compute.__name__}" for compute in computes}
    return found


@pytest.fixture(scope="module")
def studied():
    """Module and name of every function that computes a cell of any study."""
    found = set().union(*studies().values())
    assert set(OF_THE_CHAPTER) <= found
    return sorted(found)


@pytest.fixture(scope="module")
def original(whole_copy, studied):
    found = whole_copy.fingerprints(studied)
    assert len(set(found.values())) == len(studied)
    return found


def stale(copy, original):
    """Names of the chapter's functions whose fingerprints have changed."""
    found = copy.fingerprints().items()
    return {name.rpartition(".")[2] for name, value in found if value != original[name]}


def find(tree, qualified):
    """The syntax node of a function or method by its qualified name; nested functions count as what holds them."""
    node = tree
    for part in qualified.split(".<locals>")[0].split("."):
        node = next(child for child in node.body if getattr(child, "name", None) == part)
    return node


def with_statement(text, nodes):
    """The source with one more statement at the end of some functions, before their last one."""
    lines = text.splitlines(keepends=True)
    for last in sorted((node.body[-1] for node in nodes), key=lambda last: -last.lineno):
        lines.insert(last.lineno - 1, " " * last.col_offset + "_mutant = 1\n")
    return "".join(lines)


@pytest.mark.slow
def test_a_change_in_any_function_that_a_cell_ran_makes_it_stale(copy, original, used):
    names = {(module, name) for module, name in used if "<module>" not in name}
    assert len(names) > 60
    assert {"rbmlib.training", "rbmlib.pruning", "rbmlib.rbm", "rbmlib.kernels.gibbs"} <= {
        m for m, _ in names
    }
    unseen = []
    for module, name in sorted(names):
        path = copy.path(module)
        text = path.read_text()
        tree = ast.parse(text)
        try:
            node = find(tree, name)
        except StopIteration:
            continue  # made by a decorator, such as a dataclass's __init__: what it decorates counts
        copy.write(path, with_statement(text, [node]))
        if "prune_trained" not in stale(copy, original):
            unseen.append(f"{module}.{name}")
        copy.restore()
    assert unseen == []


def test_a_change_in_the_function_of_any_study_s_cell_makes_it_stale_and_unrelated_ones_not(copy, original):
    for name in original:
        module, _, function = name.rpartition(".")
        path = copy.path(module)
        text = path.read_text()
        copy.write(path, with_statement(text, [find(ast.parse(text), function)]))
        unrelated = OF_THE_CHAPTER[0] if name != OF_THE_CHAPTER[0] else OF_THE_CHAPTER[3]
        found = copy.fingerprints([name, unrelated])
        assert found[name] != original[name], name
        assert found[unrelated] == original[unrelated], name
        copy.restore()


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        ("rbmbook/studies/ising/cells.py", "GIBBS_STEPS = 100", "GIBBS_STEPS = 101", {"prune_trained", "prune_fitted"}),
        ("rbmbook/studies/ising/cells.py", "RECORD_EVERY = 5", "RECORD_EVERY = 4", {"prune_trained", "train_only"}),
        ("rbmbook/studies/ising/cells.py", '"portable", "dep', '"portablE", "dep', set(ALL)),
        ("rbmbook/studies/ising/reference.py", '"kl_data": found', '"kl_data": 2 * found', set(ALL) - {"ground_state"}),
        ("rbmlib/kernels/options.py", "fastmath=False", "fastmath=True", set(ALL)),
        ("rbmlib/likelihood.py", "def fit(\n    rbm: RBM,", "def fit(\n    rbm: RBM,\n    mutant: int,", {"prune_fitted"}),
    ],
)  # fmt: skip
def test_a_changed_constant_or_line_reaches_exactly_the_cells_that_use_it(
    copy, original, path, old, new, expected
):
    copy.replace(path, old, new)
    found = stale(copy, original)
    assert found == expected or (expected == set(ALL) and found >= expected - {"ground_state"})


class Names:
    """What the names in the package's definitions lead to: a plain graph of imports that shares no code with the lab."""

    def __init__(self, root: Path) -> None:
        self.definitions: dict[tuple[str, str], list[ast.stmt]] = {}
        self.imports: dict[str, dict[str, tuple[str, str | None]]] = {}
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            module = ".".join(parts).removesuffix(".__init__")
            tree = ast.parse(path.read_text())
            self.imports[module] = dict(self._imported(tree, parts[:-1]))
            for node in tree.body:
                names = {getattr(node, "name", None)} - {None}
                if isinstance(node, (ast.Assign, ast.AnnAssign)):
                    names = {
                        each.id
                        for each in ast.walk(node)
                        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
                    }
                for name in names:
                    self.definitions.setdefault((module, name), []).append(node)

    @staticmethod
    def _imported(tree, package):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
                base = ".".join(filter(None, (above, node.module)))
                yield from ((alias.asname or alias.name, (base, alias.name)) for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from ((alias.asname, (alias.name, None)) for alias in node.names if alias.asname)

    def follow(self, module, name):
        """The definition behind a name in a module as (module, name), the module as (module, None), or None."""
        if (module, name) in self.definitions:
            return module, name
        base, attribute = self.imports.get(module, {}).get(name, (None, None))
        if base is None:
            return None
        if attribute is None or f"{base}.{attribute}" in self.imports:
            return (base if attribute is None else f"{base}.{attribute}"), None
        return self.follow(base, attribute)

    def reached(self, module, name):
        """Every definition that one leads to, itself included."""
        seen, waiting = set(), [(module, name)]
        while waiting:
            at = waiting.pop()
            if at in seen or at not in self.definitions:
                continue
            seen.add(at)
            for node in (inner for statement in self.definitions[at] for inner in ast.walk(statement)):
                if isinstance(node, ast.Name):
                    waiting.append(self.follow(at[0], node.id) or at)
                elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    held, none = self.follow(at[0], node.value.id) or (None, "")
                    waiting.append(at if none is not None else self.follow(held, node.attr) or at)
        return seen


@pytest.mark.parametrize(
    ("path", "old", "new", "name", "n"),
    [
        ("rbmlib/kernels/elementary.py", "_LN2_LOW = 1.90821492927058", "_LN2_LOW = 1.90821492927059", "_LN2_LOW", 24),
        ("rbmlib/kernels/elementary.py", "_F32(0.6931470036506653)", "_F32(0.6931470036506654)", "_P1", 22),
        ("rbmlib/kernels/annealing.py", "np.float32(0.6931470036506653)", "np.float32(0.6931470036506654)", "_P1", 4),
        ("rbmlib/kernels/philox.py", "0xD2511F53", "0xD2511F55", "_M0", 31),
        ("rbmlib/kernels/lanes.py", "0x3F800002", "0x3F800004", "_uniform_from_fraction_bits", 22),
        ("rbmlib/kernels/contrastive_divergence.py", "_LOW = np.uint64(0xFFFFFFFF)", "_LOW = np.uint64(0xFFFFFFFE)", "_LOW", 0),
        ("rbmlib/masks.py", "def random_mask(", "def random_mask(\n    mutant: int,", "random_mask", None),
        ("rbmlib/pruning.py", "def prune(", "def prune(\n    mutant: int,", "prune", None),
        (
            "rbmlib/quantum/mps.py", "class MatrixProductState:",
            "class MatrixProductState:\n    mutant = 1\n", "MatrixProductState", None,
        ),
    ],
)  # fmt: skip
def test_joblib_1287_redun_99_a_changed_coefficient_or_callee_makes_exactly_the_cells_stale_that_lead_there(
    copy, original, path, old, new, name, n
):
    """Which they are is told by another graph of names; counts of the day this was written show that it sees enough."""
    module = ".".join(Path(path).with_suffix("").parts)
    names = Names(copy.root)
    expected = {each for each in original if (module, name) in names.reached(*each.rsplit(".", 1))}
    assert len(expected) >= (1 if n is None else n)
    copy.replace(path, old, new)
    found = copy.fingerprints(original)
    assert {each for each in original if found[each] != original[each]} == expected


def renamed(root: Path, target: Path, new_names: dict[str, str]) -> None:
    """Write a package anew with some of its modules renamed, imports included; names in the code stay what they were."""

    def now(module):
        return new_names.get(module, module)

    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                above = ".".join(parts[: len(parts) - node.level]) if node.level else ""
                base = ".".join(filter(None, (above, node.module)))
                for alias in node.names:
                    if f"{base}.{alias.name}" in new_names:
                        alias.asname = alias.asname or alias.name
                        alias.name = now(f"{base}.{alias.name}").rpartition(".")[2]
                node.module, node.level = now(base), 0
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    assert alias.name not in new_names or alias.asname
                    alias.name = now(alias.name)
        module = ".".join(parts).removesuffix(".__init__")
        file = target.joinpath(*now(module).split("."))
        file = file / "__init__.py" if path.name == "__init__.py" else file.with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(ast.unparse(tree))


@pytest.mark.parametrize("order", ["reversed", 1])
def test_every_module_of_the_package_may_be_renamed_whatever_that_does_to_their_order(
    whole_copy, original, tmp_path, order
):
    root = whole_copy.root
    rooms = ("lab", "evidence", "publish", "drawing")  # what no result may reach is told by name
    modules = sorted(
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in root.rglob("*.py")
        if not path.stem.startswith("__") and path.relative_to(root).parts[1] not in (*rooms, "cli.py")
    )
    shuffled = modules[::-1] if order == "reversed" else random.Random(order).sample(modules, len(modules))
    new_names = {m: f"{m.rpartition('.')[0]}.m{place:03}" for place, m in enumerate(shuffled)}
    renamed(root, tmp_path, new_names)
    for name, digest in original.items():
        module, _, function = name.rpartition(".")
        found = source_reach(
            new_names.get(module, module),
            function,
            {"rbmlib": tmp_path / "rbmlib", "rbmbook": tmp_path / "rbmbook"},
        ).digest
        assert found == digest, name


def test_cachier_34_every_cell_s_function_has_a_name_of_its_own_in_the_studies_package(studied):
    """By which alone its results are known and found again: no other function of the package may bear it either."""
    names = [name.rpartition(".")[2] for name in studied]
    assert len(set(names)) == len(names)
    defined = recompute._definitions("rbmbook.studies")
    assert {name: defined[name] for name in names if len(defined[name]) != 1} == {}
    assert [f"{defined[name][0]}.{name}" for name in names] == studied


def test_docstrings_layout_comments_and_annotations_leave_every_key_alone(copy, original):
    class Plain(ast.NodeTransformer):
        changed = 0

        def generic_visit(self, node):
            super().generic_visit(node)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
                node.body[0].value = ast.Constant("Another docstring.")
                Plain.changed += 1
            if isinstance(node, ast.FunctionDef):
                node.returns = ast.Name("object", ast.Load()) if node.returns else None
            return node

    for path in copy.modules():
        text = path.read_text()
        # Written anew from its syntax tree: other line breaks, other quotes, no comments.
        copy.write(path, ast.unparse(Plain().visit(ast.parse(text))) + "\n# a comment\n")
    assert Plain.changed > 300
    assert copy.fingerprints(original) == original


OUTSIDE = (
    "rbmbook/drawing", "rbmbook/evidence", "rbmbook/publish", "rbmbook/lab", "rbmbook/cli.py", "rbmbook/__main__.py",
    "rbmbook/studies/scorecard", "rbmbook/studies/reproducibility_report", "rbmbook/studies/tolerances.py",
    *(f"rbmbook/studies/*/{name}.py" for name in ("claims", "rules", "decay", "numbers")),
    *(f"rbmbook/studies/*/{name}.py" for name in ("cluster_rules", "figures", "drop_figures")),
)  # fmt: skip


def test_figures_rules_of_claims_and_the_machinery_leave_every_key_alone(copy, original):
    changed = 0
    places = [path for pattern in OUTSIDE for path in copy.root.glob(pattern)]
    # A study's own module says which cells there are and what to make of them, unless it defines them, too.
    homes = {name.rpartition(".")[0] for name in original}
    places += [copy.path(module) for module in studies() if module not in homes]
    for path in (
        file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*.py")))
    ):
        text = path.read_text()
        functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
        copy.write(path, with_statement(text, functions) + "\nNEW = 1\n")
        changed += len(functions)
    for path in copy.root.rglob("*.toml"):
        copy.write(path, path.read_text().replace("e", "E"))
    assert changed > 150
    assert copy.fingerprints(original) == original


def test_a_new_function_beside_those_in_use_leaves_every_key_alone(copy, original):
    for path in copy.modules():
        copy.write(path, path.read_text() + "\n\ndef one_more(x):\n    return x\n")
    assert copy.fingerprints(original) == original


def test_the_origin_records_the_versions_of_what_computes(tmp_path, monkeypatch):
    # A library that is not installed here: its name and version are all that the origin asks for.
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "torch-9.8.dist-info").mkdir()
    (tmp_path / "torch-9.8.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torch\nVersion: 9.8\n"
    )
    script = "import json, tenpy; import rbmbook.studies.ising.cells; from rbmbook.lab import origin; import torch; "
    script += "print(json.dumps([origin.environment()['versions'], origin.installed_versions()]))"
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    imported, installed = json.loads(done.stdout)
    assert imported["torch"] == installed["torch"] == "9.8"
    assert {"python", "numpy", "scipy", "numba", "tenpy", "xarray"} <= set(imported)
    assert set(environment()["versions"]) <= set(installed_versions())
