"""Checkpoints: arrays from which an interrupted computation goes on, in a file that knows which run it belongs to.

A checkpoint may be thrown away at any time, and costs nothing but the time that it saved. So whatever is not a whole
checkpoint of this very run (another run's, a damaged file, none) counts as none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cache import cache_root
from .files import reading_arrays, write_whole

_RUN = "run"


class DamagedCheckpoint(ValueError):
    """A file is no checkpoint, or not a whole one."""


def folder() -> Path:
    """Where checkpoints lie: ``checkpoints`` in the local cache."""
    return cache_root() / "checkpoints"


def run_digest(settings: Mapping[str, Any], *arrays: NDArray[Any]) -> str:
    """What tells a run from every other: a hash over all that determines its course.

    Parameters
    ----------
    settings : mapping of str to anything that JSON holds
        Settings and seeds by name.
    *arrays : array
        Data and initial values.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    total = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode())
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


@cache
def sources_digest(*paths: Path) -> str:
    """Hash of source files, so that no run goes on where other code left it; they are read once a process."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_text(encoding="utf-8").encode())  # whatever the platform's line ends
    return total.hexdigest()


def save(path: str | os.PathLike[str], run: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a checkpoint, whole or not at all; folders are made as needed.

    Parameters
    ----------
    path : path-like
        The file; what was there is replaced.
    run : str
        The run's :func:`run_digest`.
    arrays : mapping of str to array
        Plain arrays by name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: np.savez(file, **{_RUN: np.array(run), **arrays}))


def load(path: str | os.PathLike[str], run: str) -> dict[str, NDArray[Any]] | None:
    """Read a checkpoint; nothing in the file can run, and every array is held to its checksum.

    Parameters
    ----------
    path : path-like
        The file.
    run : str
        The run's :func:`run_digest`.

    Returns
    -------
    dict of str to array, or None
        None if there is no checkpoint of this run.
    """
    try:
        with reading_arrays(path, "a checkpoint", DamagedCheckpoint) as archive:
            if str(archive[_RUN]) != run:
                return None
            return {name: archive[name] for name in archive.files if name != _RUN}
    except (OSError, DamagedCheckpoint):
        return None


def remove(path: str | os.PathLike[str]) -> None:
    """Delete a checkpoint that is no longer needed, if it is there."""
    Path(path).unlink(missing_ok=True)
