"""What every test runs under: one thread, no display, no cache but its own, the same examples each time."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ["MPLBACKEND"] = "Agg"

ROOT = Path(__file__).resolve().parents[1]

# Every run of the tests has a cache of its own; what numba compiles outlives it, where other tests keep theirs.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".pytest_cache" / "d" / "kernels" / "host"))


def pytest_configure(config: pytest.Config) -> None:
    try:
        from hypothesis import settings
    except ModuleNotFoundError:
        return
    settings.register_profile("rbmlib", derandomize=True, deadline=None, database=None)
    settings.load_profile("rbmlib")


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The reader's result cache is neither read nor written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RBMLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the clone."""
    return ROOT


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Where ``RBMLIB_FORBID_SKIPS`` is set, a skipped test has failed: nothing may be left out there."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("RBMLIB_FORBID_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and RBMLIB_FORBID_SKIPS is set: {report.longrepr[2]}"
    return report


@pytest.fixture(scope="session")
def make_clone() -> Callable[[Path], "Clone"]:
    """Makes a clone with this package and one small experiment, for the command in a process of its own."""
    return Clone


class Clone:
    """A clone whose only experiment, ``sketch``, draws numbers in cells that can be slow, or fail."""

    def __init__(self, folder: Path) -> None:
        self.root, self.code, self.notes = folder / "clone", folder / "code", folder / "notes"
        self.cache = folder / "cache"
        self.failing = folder / "failing"
        for path in (self.root / "notebooks", self.root / "book", self.code, self.notes):
            path.mkdir(parents=True)
        for package in ("rbmlib", "book/rbmbook"):
            shutil.copytree(ROOT / package, self.root / package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", self.root)
        (self.root / "_toc.yml").write_text("format: jb-book\nroot: book/executed/sketch\n")
        room = self.root / "book" / "rbmbook" / "studies" / "sketch"
        room.mkdir()
        (room / "__init__.py").write_text("")
        (room / "study.py").write_text(SKETCH_EXPERIMENT)
        (self.root / "notebooks" / "sketch.md").write_text(SKETCH_NOTEBOOK)
        (self.code / "sketch_cells.py").write_text(SKETCH_CELLS)

    def environment(self, **changes: str) -> dict[str, str]:
        """Environment of a process that runs this clone's code."""
        ours = {
            "PYTHONPATH": os.pathsep.join(map(str, (self.root, self.root / "book", self.code))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "RBMLIB_CACHE": str(self.cache),
            "SKETCH_NOTES": str(self.notes),
            "SKETCH_FAILING": str(self.failing),
        }
        return os.environ | ours | changes

    def command(self, *arguments: str) -> list[str]:
        """Command line of ``rbmlib``, to be run in `root` under `environment`."""
        return [sys.executable, "-m", "rbmbook", *arguments]

    def started(self) -> list[tuple[int, int]]:
        """Seed and process of every cell that was begun."""
        return [tuple(map(int, path.name.split("-")[:2])) for path in sorted(self.notes.iterdir())]

    def published(self) -> list[Path]:
        """Files of the published results."""
        return sorted((self.root / "book" / "results").rglob("*.npz"))


SKETCH_CELLS = """
import os
import pathlib
import time

import numpy as np
import xarray as xr


def ground(field):
    return xr.Dataset({"energy": ("level", np.random.default_rng(int(field)).normal(size=1000))})


def draw(seed, seconds, ground):
    note = f"{seed}-{os.getpid()}-{time.monotonic_ns()}"
    pathlib.Path(os.environ["SKETCH_NOTES"], note).touch()
    time.sleep(seconds)
    failing = pathlib.Path(os.environ["SKETCH_FAILING"])
    if failing.exists() and str(seed) in failing.read_text().split():
        raise ValueError(f"nothing can be drawn for {seed}")
    values = np.random.default_rng(seed).normal(size=(3, 4)).astype(np.float32) + ground.energy.values[:4]
    return xr.Dataset({"value": (("row", "column"), values)}, attrs={"unit": "J"})


def worker(seed):
    import numba

    about = {name: os.environ.get(name, "") for name in ("NUMBA_CACHE_DIR", "RBMLIB_CACHE")}
    variables = {"threads": ((), numba.config.NUMBA_NUM_THREADS), "folder": ((), os.getcwd())}
    return xr.Dataset(variables | {name: ((), value) for name, value in about.items()})
"""

SKETCH_EXPERIMENT = """
from sketch_cells import draw, ground

from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile

PROFILES = {
    "book": Profile({"n_seeds": 6, "seconds": 0.0}, "a blink"),
    "slow": Profile({"n_seeds": 12, "seconds": 0.3}, "seconds"),
}


def cells(n_seeds, seconds):
    need = Cell(ground, {"field": 1.0})
    return [Cell(draw, {"seed": seed, "seconds": seconds}, {"ground": need}) for seed in range(n_seeds)]
"""

SKETCH_NOTEBOOK = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# Sketch

```{code-cell} ipython3
:tags: [parameters]

n_seeds: int = 6  # how many
seconds: float = 0.0  # how long each takes
profile: str = "book"  # set by the command
```

```{code-cell} ipython3
from rbmbook.studies.sketch.study import cells
from rbmbook.lab.sweep import sweep

len(sweep(cells(n_seeds, seconds)))
```
"""
