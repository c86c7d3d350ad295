"""Where published results stand: inputs tell cells apart that share a function and its parameters."""

from rbmlib.lab.cell import Cell
from rbmlib.lab.standing import _named, shortened, standings
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


def test_a_reason_names_few_of_many_inputs():
    assert _named(["a"]) == "input a"
    assert _named(["a", "b"]) == "inputs a, b"
    assert _named([f"m{i}" for i in range(700)]) == "inputs m0, m1, m2 and 697 more"
    assert shortened("x" * 10_800) == "x" * 97 + " ... " + "x" * 97
    assert shortened("short") == "short"
