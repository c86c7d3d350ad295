"""The set-up: what is installed, at which versions, by which commands."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rbmbook.publish.project import address_mismatches, repository_address

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ADDRESS = PROJECT["urls"]["Repository"]


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in pins)}


def requirements(extra: str | None = None) -> list[Requirement]:
    lines = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def every_requirement() -> list[Requirement]:
    groups = [None, *PROJECT["optional-dependencies"]]
    return [
        requirement for group in groups for requirement in requirements(group) if requirement.name != "rbmlib"
    ]


def tracked_texts() -> dict[str, str]:
    """Every file of the project that holds text, as it stands here: what git keeps, not what a reader left beside it."""
    return texts_kept_in(ROOT)


def texts_kept_in(folder: Path) -> dict[str, str]:
    command = ["git", "ls-files", "-z", "--cached"]
    listed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.split(
        "\0"
    )
    texts = {}
    for name in filter(None, listed):
        path = folder / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            texts[name] = content.decode()
    return texts


# Versions


def test_every_line_of_the_constraints_is_one_exact_public_version() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line), line


def test_every_requirement_is_pinned_within_its_range() -> None:
    pins = constraints()
    for requirement in every_requirement():
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_the_installed_versions_are_the_pinned_ones() -> None:
    pins = constraints()
    for requirement in [*requirements(), *requirements("lab"), *requirements("book"), *requirements("test")]:
        if requirement.name != "rbmlib":
            assert importlib.metadata.version(requirement.name) == pins[canonicalize_name(requirement.name)]


def test_nothing_but_the_torch_extra_brings_torch() -> None:
    assert [str(r) for r in requirements("torch")] == ["torch==2.13.0", "torchvision==0.28.0"]
    waiting = [Requirement("rbmlib[test]")]
    reached = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in reached:
            continue
        reached.add((name, frozenset(requirement.extras)))
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    names = {name for name, _ in reached}
    assert {"numpy", "jupyter-book", "distributed", "pytest"} <= names
    assert not names & {"torch", "torchvision"}


def test_everything_that_the_package_imports_is_required_by_name() -> None:
    homes = importlib.metadata.packages_distributions()
    required = {canonicalize_name(requirement.name) for requirement in every_requirement()}
    required.add("llvmlite")  # numba's partner, whose version numba decides
    for path in (*ROOT.glob("rbmlib/**/*.py"), *ROOT.glob("book/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            for top in (
                {module.partition(".")[0] for module in modules}
                - sys.stdlib_module_names
                - {"rbmlib", "rbmbook"}
            ):
                assert required & {canonicalize_name(home) for home in homes[top]}, f"{path.name}: {top}"


def test_conda_and_binder_install_what_make_book_installs() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, from_pip = environment["dependencies"]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(
        python.removeprefix("python=")
    )
    assert pip == "pip"
    assert from_pip == {"pip": ["-c constraints.txt", "-e .[book]"]}
    assert "install -c constraints.txt -e '.[book]'" in (ROOT / "Makefile").read_text()


def test_the_core_imports_none_of_the_extras() -> None:
    extras = ["torch", "xarray", "pandas", "click", "dask", "distributed", "papermill", "jupytext", "sphinx"]
    modules = ["rbm", "training", "likelihood", "pruning", "quantum"]
    script = (
        "import importlib, sys\n"
        f"for module in {modules}: importlib.import_module('rbmlib.' + module)\n"
        f"print([name for name in {extras} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


# One home for each fact


def test_the_repository_has_one_address() -> None:
    assert repository_address(ROOT) == ADDRESS
    assert address_mismatches(ROOT) == []


def test_no_file_names_a_path_of_the_machine_it_was_made_on() -> None:
    places = [str(place) for place in (ROOT, Path.home()) if len(place.parts) > 1]
    for name, text in tracked_texts().items():
        for place in places:
            assert not re.search(re.escape(place) + r"\b(?![\w-])", text), f"{name} names {place}"


def test_a_readers_own_file_is_no_file_of_the_project(tmp_path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for name, text in {"kept": "of the project", "own.log": str(ROOT)}.items():
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "add", "kept"], cwd=tmp_path, check=True)
    assert texts_kept_in(tmp_path) == {"kept": "of the project"}


def test_the_citation_agrees_with_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == importlib.metadata.version("rbmlib")
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == ADDRESS
    assert citation["authors"] == PROJECT["authors"] == [{"name": "The rbmlib authors"}]
    assert "The rbmlib authors" in (ROOT / "LICENSE").read_text()


def test_the_changelog_has_an_entry_for_what_is_being_made_or_was_released() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0] == PROJECT["version"]


def test_the_readme_sets_up_with_two_commands_that_the_makefile_has() -> None:
    readme = (ROOT / "README.md").read_text()
    setup = readme.split("```sh\n")[1].split("```")[0]
    assert [line.split("#")[0].strip() for line in setup.splitlines()] == ["make book", "make test"]
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", " ".join(re.findall(r"`(.+?)`", readme)) + setup)) <= targets


def test_the_commands_that_the_readme_shows_exist() -> None:
    shown = re.findall(r"\.venv/bin/rbmlib (.+?)(?:#|`|\n)", (ROOT / "README.md").read_text())
    assert len(shown) == 4
    listed = subprocess.run(
        [sys.executable, "-m", "rbmbook", "list", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for command in shown:
        help_text = subprocess.run(
            [sys.executable, "-m", "rbmbook", command.split()[0], "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for option in re.findall(r"(?<!\S)-{1,2}[a-z]+", command):
            assert re.search(rf"(?<!\S){option}\b", help_text), f"{command}: {option}"
        for name, value in re.findall(r"-p (\w+) (\w+)", command):
            assert json.dumps(name) in listed.stdout, f"{command}: {name}={value}"
        if command.startswith("run"):
            assert json.dumps(command.split()[1]) in listed.stdout


def test_hooks_and_workflows_run_what_is_here() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [(repo["repo"], {hook["language"] for hook in repo["hooks"]}) for repo in hooks] == [
        ("local", {"system"})
    ]
    workflows = {
        path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")
    }
    runs = {
        name: [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
        for name, workflow in workflows.items()
    }
    assert "bash .ci/run" in runs["ci.yml"]
    assert "make book" in runs["book.yml"]
    assert subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=False).returncode == 0


# The wheel


def test_the_wheel_holds_both_packages_and_imports_alone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    droppings = shutil.ignore_patterns("__pycache__", "*.pyc", "*.nbi", "*.nbc")
    for package in ("rbmlib", "book/rbmbook"):
        shutil.copytree(ROOT / package, source / package, ignore=droppings)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source]
    built = subprocess.run(build, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("rbmlib-*.whl")

    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith(("rbmlib/", "rbmbook/"))}
        present = {
            str(path.relative_to(home))
            for home, package in ((source, "rbmlib"), (source / "book", "rbmbook"))
            for path in (home / package).rglob("*")
            if path.is_file()
        }
        assert packed == present
        assert {"rbmlib/py.typed", "rbmlib/kernels/gibbs.py", "rbmbook/evidence/claims.toml"} <= packed
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
        archive.extractall(tmp_path / "site")

    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import importlib, pkgutil, rbmbook, rbmlib\n"
        "for package in (rbmlib, rbmbook):\n"
        "  for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "assert all('site' in m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in ('rbmlib', 'rbmbook'))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# The Makefile, with a stand-in for Python that writes down how it is called

STAND_IN = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *"sys.exit(sys.version_info"*) exit "${TOO_OLD:-0}" ;;
    *python_version*) echo 3.9.2 ;;
    *" install "*) exit "${INSTALL_FAILS:-0}" ;;
esac
"""

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


class Workshop:
    """A copy of the set-up files in which `make` meets the stand-in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls.txt"
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder)
            os.utime(folder / name, (1_000_000_000, 1_000_000_000))
        self.python = folder / "python-stand-in"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)

    def make(self, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.calls.write_text("")
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MAKE") and name != "MFLAGS"
        }
        return subprocess.run(
            ["make", target, f"PYTHON={self.python}"],
            cwd=self.folder,
            env=inherited | {"CALLS": str(self.calls)} | environment,
            capture_output=True,
            text=True,
        )

    def installations(self) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if " install " in line]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@needs_make
@pytest.mark.parametrize(
    ("target", "extra", "work"), [("book", "book", "-m rbmbook book"), ("test", "test,torch", "-m pytest")]
)
def test_make_installs_once_under_the_constraints_and_then_only_works(
    workshop: Workshop, target: str, extra: str, work: str
) -> None:
    assert workshop.make(target).returncode == 0
    (installation,) = workshop.installations()
    assert installation.endswith(f"install -c constraints.txt -e .[{extra}]")
    assert workshop.calls.read_text().splitlines()[-1] == work

    assert workshop.make(target).returncode == 0
    assert workshop.calls.read_text().splitlines() == [work]


@needs_make
@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_make_installs_again_when_the_requirements_change(workshop: Workshop, changed: str) -> None:
    workshop.make("test")
    later = (workshop.folder / ".venv" / ".test").stat().st_mtime + 10
    os.utime(workshop.folder / changed, (later, later))
    workshop.make("test")
    assert len(workshop.installations()) == 1


@needs_make
def test_the_tests_installation_serves_the_book(workshop: Workshop) -> None:
    workshop.make("test")
    workshop.make("book")
    assert workshop.installations() == []


@needs_make
def test_a_failed_installation_is_not_taken_for_done(workshop: Workshop) -> None:
    assert workshop.make("test", INSTALL_FAILS="1").returncode != 0
    assert workshop.make("test").returncode == 0
    assert len(workshop.installations()) == 1


@needs_make
@pytest.mark.parametrize("target", ["book", "test", "bench"])
def test_an_old_python_gets_one_clear_sentence(workshop: Workshop, target: str) -> None:
    done = workshop.make(target, TOO_OLD="1")
    sentence, *rest = done.stderr.splitlines()
    assert done.returncode != 0
    assert sentence == (
        f"rbmlib needs Python 3.11 or newer, and '{workshop.python}' is 3.9.2; "
        f"name a newer one: make {target} PYTHON=python3.11"
    )
    assert [line.startswith("make: ***") for line in rest] == [True]
    assert not (workshop.folder / ".venv").exists()


@needs_make
def test_a_missing_python_gets_one_clear_sentence(workshop: Workshop) -> None:
    workshop.python.unlink()
    done = workshop.make("book")
    assert done.returncode != 0
    assert done.stderr.startswith("rbmlib needs Python 3.11 or newer, and there is no '")
