"""The page on clusters: its SLURM script is run as it stands, with stand-ins for what only a cluster has."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from rbmbook.lab.cell import Cell
from rbmbook.lab.cluster import cluster
from rbmbook.lab.store import Store
from rbmbook.lab.sweep import sweep

SBATCH = """#!/bin/sh
grep '^#SBATCH' "$1" >"$STAND_IN/asked"
setsid bash "$1" >"$STAND_IN/job.log" 2>&1 &
echo "Submitted batch job $!" | tee "$STAND_IN/submitted"
"""
SCANCEL = """#!/bin/sh
echo "$1" >>"$STAND_IN/cancelled"
kill -TERM -- "-$1"
"""
# What differs here: a small machine, and the name of the network that its nodes see.
HERE = {
    "cores=32": "cores=2", "processes=32": "processes=2", '"64GB"': '"4GB"', '"ib0"': '"lo"', "jobs=4": "jobs=1",
}  # fmt: skip


@pytest.fixture
def script(root):
    """The script of the page, for this machine."""
    blocks = re.findall(
        r"```\{code-block\} python\n(.*?)```", (root / "book" / "cluster.md").read_text(), re.DOTALL
    )
    (text,) = [block for block in blocks if "SLURMCluster" in block]
    for there, here in HERE.items():
        assert text.count(there) == 1, f"the page no longer says {there}"
        text = text.replace(there, here)
    return text


@pytest.fixture
def slurm(tmp_path):
    """Folder of commands that run a job at once, as processes on this machine."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    yield folder
    if (folder / "submitted").exists():
        with suppress(ProcessLookupError):
            os.killpg(int((folder / "submitted").read_text().split()[-1]), signal.SIGKILL)


@pytest.mark.slow
def test_the_slurm_script_starts_workers_that_compute_and_ends_them(
    script, slurm, make_clone, tmp_path, monkeypatch
):
    clone = make_clone(tmp_path / "clone")
    monkeypatch.syspath_prepend(str(clone.code))
    monkeypatch.setenv("SKETCH_NOTES", str(clone.notes))
    monkeypatch.setenv("SKETCH_FAILING", str(clone.failing))
    study = importlib.import_module("sketch_cells")
    need = Cell(study.ground, {"field": 1.0})
    wanted = [Cell(study.draw, {"seed": seed, "seconds": 0.2}, {"ground": need}) for seed in range(8)]
    environment = clone.environment(
        PATH=f"{slurm}{os.pathsep}{os.environ['PATH']}", STAND_IN=str(slurm), TMPDIR=str(slurm),
        PYTHONPATH=str(clone.code),
    )  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("tcp://"), process.stderr.read()
        with cluster(address) as executor:
            results = sweep(wanted, Store(None, tmp_path / "store"), executor=executor, progress=False)
            assert set(executor._threads.values()) == {1}
        assert all(
            got.identical(study.draw(seed, 0.0, study.ground(1.0))) for seed, got in enumerate(results)
        )
        _, err = process.communicate("\n", timeout=120)
        assert process.returncode == 0, err
    finally:
        process.kill()
        process.wait()
        sys.modules.pop("sketch_cells", None)
    asked = (slurm / "asked").read_text()
    assert {
        "#SBATCH -A physics",
        "#SBATCH -p batch",
        "#SBATCH -t 08:00:00",
        "#SBATCH --cpus-per-task=2",
    } <= set(asked.splitlines())
    job = (slurm / "submitted").read_text().split()[-1]
    assert (slurm / "cancelled").read_text().split() == [job]
    deadline = time.monotonic() + 120
    while "End worker" not in (slurm / "job.log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
