"""What is published is what the project executes today: `pytest -m published`. `rbmlib verify` recomputes results."""

from pathlib import Path

import pytest

from rbmbook.publish.freshness import make_record, status
from rbmbook.publish.notebook import execute
from rbmbook.publish.project import Project
from rbmbook.publish.run import settle

pytestmark = pytest.mark.published

PROJECT = Project(Path(__file__).resolve().parents[1])


def test_no_executed_notebook_is_stale() -> None:
    assert {entry.name: entry.reason for entry in status(PROJECT) if entry.state != "fresh"} == {}


@pytest.mark.parametrize("name", PROJECT.in_book())
def test_an_executed_notebook_equals_a_fresh_execution(name: str, tmp_path: Path) -> None:
    request = settle(PROJECT, name)
    record = make_record(PROJECT, name, request.values, request.profile)
    fresh = execute(PROJECT, name, tmp_path / f"{name}.ipynb", record=record)
    published = PROJECT.executed_path(name).read_text().splitlines()
    assert fresh.read_text().splitlines() == published
