"""Cells that the drills sweep: tiny, determined by their parameters, with everything a result can have."""

from __future__ import annotations

import os
import time

import numpy as np
import xarray as xr


def source(seed):
    return xr.Dataset({"level": ("x", np.random.default_rng(seed).normal(size=64))})


def drawn(seed, size, pause=0.0, source=None):
    note(seed)
    time.sleep(pause)
    values = np.random.default_rng(seed).normal(size=size)
    if source is not None:
        values = values + float(source.level.sum())
    return xr.Dataset(
        {
            "value": ("row", values),
            "weights": ("w", values[: size // 2], {"tier": "cache"}),
            "text": ((), "é"),
        },
        coords={"row": np.arange(size)},
        attrs={"bits": "portable"},
    )


def trivial(seed):
    return xr.Dataset({"value": ((), seed)})


def compiled(seed):
    """Sampling by the kernels of the package, which numba has to compile first."""
    from rbmlib.rbm import RBM

    return xr.Dataset({"sample": (("n", "unit"), RBM.random(6, 4, seed).sample(20, seed, 3))})


def note(seed):
    """Count the computing of a cell, if somebody counts."""
    folder = os.environ.get("DRILL_COUNTS")
    if folder:
        with open(os.path.join(folder, str(seed)), "a") as file:
            file.write("x")
