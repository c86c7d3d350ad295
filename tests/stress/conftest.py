"""Size of the drills, and the record of what they found.

``RBMLIB_DRILL_SCALE`` shrinks them (0.1 for a tenth); ``RBMLIB_DRILLS_JSON`` names the file that the figures go to.
"""

from __future__ import annotations

import datetime
import importlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rbmbook.lab.origin import installed_versions, processor_model

HERE = Path(__file__).parent
SCALE = float(os.environ.get("RBMLIB_DRILL_SCALE", "1"))
_RECORDED = pytest.StashKey[list[dict[str, Any]]]()


@pytest.fixture
def scaled() -> Callable[[int, int], int]:
    """Function (full size, least size) -> the size to drill at."""
    return lambda full, least: max(least, round(full * SCALE))


@pytest.fixture
def seed() -> int:
    """A seed that is another one each time, shown where a drill fails."""
    chosen = random.SystemRandom().randrange(2**32)
    print(f"seed {chosen}")
    return chosen


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module ``drill_cells``, which worker processes can import, too."""
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    return importlib.import_module("drill_cells")


@pytest.fixture
def forks(tmp_path: Path, seed: int) -> Callable[[str, int], dict[str, Any]]:
    """Function (drill, size) -> what ``forks.py`` found."""

    def run(drill: str, size: int) -> dict[str, Any]:
        folder = tmp_path / "store"
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, str(HERE / "forks.py"), drill, str(folder), str(size), str(seed)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """Function that notes a drill's figures: what was done, how often, what was counted, found, and allowed."""
    begun = time.perf_counter()

    def note(name: str, *, did: str, n: int, counted: str, found: float, limit: float) -> None:
        entry = {
            "name": name, "did": did, "n": n, "counted": counted, "found": found, "limit": limit,
            "seconds": round(time.perf_counter() - begun, 1),
        }  # fmt: skip
        print(json.dumps(entry))
        request.config.stash.setdefault(_RECORDED, []).append(entry)

    return note


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the figures, beside those of drills that were not run now if they are of this machine and its versions."""
    entries, target = session.config.stash.get(_RECORDED, []), os.environ.get("RBMLIB_DRILLS_JSON")
    if not entries or not target:
        return
    path = Path(target)
    head = {"processor": processor_model(), "cores": os.cpu_count(), "versions": installed_versions()}
    old: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    same = all(old.get(name) == value for name, value in head.items())
    merged = {entry["name"]: entry for entry in [*(old.get("drills", []) if same else []), *entries]}
    head["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
    head["drills"] = [merged[name] for name in sorted(merged)]
    path.write_text(json.dumps(head, indent=1) + "\n")
