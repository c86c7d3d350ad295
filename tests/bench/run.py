"""Times rbmlib beside its peers: ``python tests/bench/run.py FILE [ROW ...]``.

Both sides of a row do the same work on the same input, on as many threads and cores as the row says, and take turns
in one run; a row holds the medians. Where both compute a number, the numbers are compared before anything is timed.
Without rows named, all are timed and FILE is written; else they are only printed. `make bench` installs the peers, into
an environment of their own.
"""

import os

for _library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import importlib.metadata
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import rows
import torch

from rbmbook.lab.origin import processor_model

Side = Callable[[], object]
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def alternate(ours: Side, peer: Side, turns: int) -> tuple[float, float]:
    """Median seconds of each side over turns taken one after the other, after one turn that is not counted."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns + 1):
        for side, taken in zip((ours, peer), seconds, strict=True):
            begun = time.perf_counter()
            side()
            if turn:
                taken.append(time.perf_counter() - begun)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def use(threads: int) -> None:
    """Keep to so many threads on so many cores."""
    torch.set_num_threads(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(CORES[-threads:]))


def measure(name: str, threads: int) -> dict[str, str | int | float]:
    use(threads)
    pair = rows.ROWS[name, threads]()
    ours, peer = alternate(pair.ours, pair.peer, pair.turns)
    ours, peer = ours / pair.units_ours, peer / pair.units_peer
    row = {
        "name": name,
        "threads": threads,
        "ours_s": float(f"{ours:.4g}"),
        "peer_s": float(f"{peer:.4g}"),
        "ratio": float(f"{peer / ours:.4g}"),
    }
    print("{name}, threads {threads}: {ours_s} s, peer {peer_s} s, {ratio} times".format(**row), flush=True)
    return row


def main(file: Path, *names: str) -> None:
    known = dict.fromkeys(name for name, _ in rows.ROWS)
    unknown = sorted(set(names) - set(known))
    if unknown:
        sys.exit(f"there are no rows called {', '.join(unknown)}; there are {', '.join(known)}")
    measured = [measure(name, threads) for name, threads in rows.ROWS if name in (names or known)]
    if names:
        return
    distributions = ("rbmlib", "numpy", "numba", "qucumber", "rbms", "torch", "physics-tenpy")
    report = {
        "processor": processor_model(),
        "versions": {"python": sys.version.split()[0]}
        | {name: importlib.metadata.version(name).split("+")[0] for name in distributions},
        "rows": measured,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=1) + "\n")
    os.replace(partial, file)
    print(f"written to {file}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: python {sys.argv[0]} FILE [ROW ...]")
    main(Path(sys.argv[1]), *sys.argv[2:])
