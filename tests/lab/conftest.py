"""A small package on disk with cell functions, which worker processes can import."""

from __future__ import annotations

import importlib
import sys
import textwrap
from types import SimpleNamespace

import pytest

from rbmbook.lab import fingerprint, recompute
from rbmbook.lab.store import Store

CELLS = """
import os
import time

import numpy as np
import xarray as xr

FACTOR = 2.0


def ground(field):
    count("ground")
    energies = np.random.default_rng(int(field)).normal(size=8)
    return xr.Dataset({"energy": ("level", energies)})


def scaled(seed, scale=1.0, where="", sleep=0.0, ground=None):
    count("scaled")
    time.sleep(sleep)
    if scale < 0:
        raise ValueError("the scale is negative")
    values = FACTOR * scale * np.random.default_rng(seed).normal(size=(3, 4)).astype(np.float32)
    if ground is not None:
        values = values + ground.energy.values[:4]
    return xr.Dataset(
        {"value": (("row", "column"), values), "name": ((), "h\\u00e9")},
        coords={"row": ["a", "b", "c"]},
        attrs={"unit": "J"},
    )


def two_tiers(seed):
    count("two_tiers")
    draws = np.random.default_rng(seed)
    return xr.Dataset(
        {"small": ("x", draws.normal(size=3)), "large": ("y", draws.normal(size=300), {"tier": "cache"})},
        coords={"x": [0, 1, 2]},
    )


def from_large(seed, source):
    return xr.Dataset({"mean": ((), float(source.large.mean()) + seed)})


def rounded(seed):
    values = np.random.default_rng(seed).normal(size=5) * (1 + float(os.environ.get("LAB_TEST_NOISE", 0)))
    return xr.Dataset(
        {"value": ("x", values), "steps": ((), 7)}, coords={"x": list("abcde")}, attrs={"bits": "dependent on BLAS"}
    )


def crash(seed):
    os._exit(3)


def undetermined(seed):
    return xr.Dataset({"value": ((), time.perf_counter())})


def whole_worker(seed):
    import numba

    return xr.Dataset({
        "threads": ((), numba.config.NUMBA_NUM_THREADS),
        "cache": ((), os.environ.get("NUMBA_CACHE_DIR", "")),
        "process": ((), os.getpid()),
    })


def count(what):
    folder = os.environ.get("LAB_TEST_COUNT")
    if folder:
        with open(os.path.join(folder, what), "a") as file:
            file.write("x")
"""


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "published", tmp_path / "cache")


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """The functions of a package ``lab_package.study`` of its own for each test, and a counter of their calls."""
    folder = tmp_path / "source" / "lab_package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    source = folder / "study.py"
    source.write_text(textwrap.dedent(CELLS))
    counts = tmp_path / "counts"
    counts.mkdir()
    monkeypatch.setenv("LAB_TEST_COUNT", str(counts))
    monkeypatch.syspath_prepend(str(folder.parent))

    def calls(what):
        return len((counts / what).read_text()) if (counts / what).exists() else 0

    def load():
        forget()
        importlib.invalidate_caches()
        module = importlib.import_module("lab_package.study")
        functions = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
        return SimpleNamespace(**functions, calls=calls, edit=edit, source=source)

    def edit(old, new):
        """Change the source and load it again."""
        text = source.read_text()
        assert old in text
        source.write_text(text.replace(old, new))
        return load()

    def forget():
        for name in [name for name in sys.modules if name.partition(".")[0] == "lab_package"]:
            del sys.modules[name]
        fingerprint._known.clear()
        recompute._definitions.cache_clear()

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield load()
    forget()
