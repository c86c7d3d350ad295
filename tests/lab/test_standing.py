"""Where published results stand: inputs tell cells apart that share a function and its parameters."""

from rbmlib.lab.cell import Cell
from rbmlib.lab.standing import standings
from rbmlib.lab.sweep import fill


def scaled(cells, field: float) -> Cell:
    return Cell(cells.scaled, {"seed": 1, "scale": 0.5}, {"ground": Cell(cells.ground, {"field": field})})


def publish(store, *wanted: Cell) -> None:
    fill(wanted, store, workers=1, publish=True, progress=False)


def told(store, *wanted: Cell) -> list[str]:
    found = standings(wanted, store)
    return [f"{found[cell].state}: {found[cell].reason}".rstrip(": ") for cell in wanted]


def test_the_result_of_another_wanted_cell_is_no_older_form_of_this_one(store, cells):
    first, second = scaled(cells, 1.0), scaled(cells, 2.0)
    publish(store, first)
    assert told(store, first, second) == ["fresh", "missing: never computed"]
    assert told(store, second, first) == ["missing: never computed", "fresh"]


def test_a_result_that_no_wanted_cell_has_is_an_older_form(store, cells):
    first, second = scaled(cells, 1.0), scaled(cells, 2.0)
    publish(store, first)
    assert told(store, second) == ["stale: its input ground changed or is not stored"]
