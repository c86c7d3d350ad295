"""Where a result comes from: code, versions, processor, time; nothing that names a person or a machine."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from rbmbook.lab.cell import Cell
from rbmbook.lab.fingerprint import code_fingerprint

# Import name and distribution of the libraries whose version can matter to a number.
_LIBRARIES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "numba": "numba",
    "tenpy": "physics-tenpy",
    "torch": "torch",
    "xarray": "xarray",
}


@lru_cache(maxsize=1)
def processor_model() -> str:
    """Return the processor's model, such as ``AMD EPYC 7763``, or its architecture where that is not told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else (platform.processor() or platform.machine())


@lru_cache(maxsize=len(_LIBRARIES))
def _version(distribution: str) -> str:
    return metadata.version(distribution)


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that are installed here, imported or not."""
    versions = {"python": platform.python_version()}
    for module, distribution in _LIBRARIES.items():
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[module] = _version(distribution)
    return versions


def environment() -> dict[str, Any]:
    """Return versions of Python and of the imported libraries, the processor's model and the thread count.

    To be called where the work is done, after it is done.
    """
    versions = {"python": platform.python_version()}
    for module, distribution in _LIBRARIES.items():
        if module in sys.modules:
            try:
                versions[module] = _version(distribution)
            except metadata.PackageNotFoundError:  # on the path without having been installed
                versions[module] = str(getattr(sys.modules[module], "__version__", "unknown"))
    numba = sys.modules.get("numba")
    # The configured number: asking for the active one would start numba's threads.
    threads = numba.config.NUMBA_NUM_THREADS if numba else os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    return {"versions": versions, "processor": processor_model(), "threads": int(threads or 1)}


def origin_of(cell: Cell, needs: dict[str, str], seconds: float, where: dict[str, Any]) -> dict[str, Any]:
    """Describe a result.

    Parameters
    ----------
    cell : Cell
        What was computed.
    needs : dict of str to str
        Digest of every input.
    seconds : float
        Wall time of the computation.
    where : dict
        What :func:`environment` returned in the process that computed it.

    Returns
    -------
    dict
        ``compute``, ``experiment``, ``parameters``, ``needs``, ``code``, ``versions``, ``processor``,
        ``threads``, ``seconds`` and ``date`` (the day in UTC).
    """
    return {
        "compute": cell.name,
        "experiment": cell.experiment,
        "parameters": dict(cell.parameters),
        "needs": dict(needs),
        "code": code_fingerprint(cell.compute),
        **where,
        "seconds": round(seconds, 3),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
