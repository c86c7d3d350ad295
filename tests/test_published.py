"""What is published is what the project computes today: `pytest -m published`, from published files alone."""

import random
import subprocess
from pathlib import Path

import pytest

from rbmlib.lab.cell import Cell
from rbmlib.lab.container import combined_digest, variable_digests
from rbmlib.lab.store import Store
from rbmlib.publish.freshness import make_record, published_cells, status
from rbmlib.publish.notebook import execute
from rbmlib.publish.project import Project
from rbmlib.publish.run import settle

pytestmark = pytest.mark.published

PROJECT = Project(Path(__file__).resolve().parents[1])
LONGEST = 45.0  # seconds that a result may have taken to be recomputed here
RECOMPUTED = 3  # results an experiment


def test_no_executed_notebook_is_stale() -> None:
    assert {entry.name: entry.reason for entry in status(PROJECT) if entry.state != "fresh"} == {}


@pytest.mark.parametrize("name", PROJECT.names())
def test_an_executed_notebook_equals_a_fresh_execution(name: str, tmp_path: Path) -> None:
    request = settle(PROJECT, name)
    record = make_record(PROJECT, name, request.values, request.profile)
    fresh = execute(PROJECT, name, tmp_path / f"{name}.ipynb", record=record)
    published = PROJECT.executed_path(name).read_text().splitlines()
    assert fresh.read_text().splitlines() == published


def candidates(name: str, store: Store) -> list[Cell]:
    """Published cells of an experiment that can be recomputed in reasonable time."""
    cells = [part for cell in published_cells(PROJECT, name) for part in cell.with_needs()]
    return [
        cell
        for cell in dict.fromkeys(cells)
        if store.has(key := store.key(cell), published=True) and store.origin(key)["seconds"] <= LONGEST
    ]


@pytest.mark.parametrize("name", PROJECT.experiment_names())
def test_stored_results_come_out_again_bit_for_bit(name: str) -> None:
    store = PROJECT.store()
    # Ground states are inputs, whose bits depend on the processor: what is computed from them is recomputed.
    cells = [cell for cell in candidates(name, store) if cell.needs]
    assert cells, "no published result can be recomputed"
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=PROJECT.root, capture_output=True, text=True, check=True
    ).stdout
    for cell in random.Random(commit).sample(cells, min(RECOMPUTED, len(cells))):
        inputs = {need: store.load(store.key(source)) for need, source in cell.needs.items()}
        computed = cell.compute(**cell.parameters, **inputs)
        assert combined_digest(variable_digests(computed)) == store.digest(store.key(cell)), (
            f"{cell} came out differently"
        )
