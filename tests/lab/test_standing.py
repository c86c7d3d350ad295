"""Where published results stand: inputs tell cells apart that share a function and its parameters."""

from rbmbook.lab.cell import Cell
from rbmbook.lab.standing import NOT_FOUND, standings, superseded
from rbmbook.lab.store import Store
from rbmbook.lab.sweep import fill


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
    assert told(store, second) == ["stale: its input ground is missing"]
    publish(store, Cell(cells.ground, {"field": 2.0}))
    assert told(store, second) == ["stale: its input ground changed"]


def test_a_cell_says_why_it_is_stale_in_one_short_sentence(store, cells):
    """As users asked elsewhere, showyourwork#295: code, the input that changed, or never computed."""
    wanted = scaled(cells, 1.0)
    assert told(store, wanted) == ["missing: never computed"]
    publish(store, wanted)
    changed = cells.edit("normal(size=8)", "normal(loc=1.0, size=8)")
    wanted = scaled(changed, 1.0)
    assert told(store, wanted) == ["stale: its input ground is stale"]
    publish(store, wanted.needs["ground"])
    assert told(store, wanted) == ["stale: its input ground changed"]
    changed = changed.edit("FACTOR = 2.0", "FACTOR = 3.0")
    assert told(store, scaled(changed, 1.0)) == ["stale: the code that computes it changed"]


def test_a_damaged_input_is_told_as_such_and_its_file_blamed_once(store, cells):
    wanted = scaled(cells, 1.0)
    publish(store, wanted)
    ground = wanted.needs["ground"]
    path = store.published / "study" / f"{store.stem(store.key(ground))}.npz"
    path.write_bytes(path.read_bytes()[:-1])
    found = standings([wanted], Store(store.published, store.cache))
    assert found[ground].state == "damaged"
    assert (found[wanted].state, found[wanted].reason) == ("stale", "its input ground is damaged")


def test_a_hundred_changed_inputs_are_told_as_short_as_one(store, cells):
    cells = cells.edit(
        "def crash(seed):", "def all_of(seed, **inputs):\n    return ground(seed)\n\n\ndef crash(seed):"
    )

    def judge(cells, n=108):
        needs = {f"machine_of_the_set_{k}": Cell(cells.scaled, {"seed": k}) for k in range(n)}
        return Cell(cells.all_of, {"seed": 1}, needs)

    publish(store, judge(cells))
    changed = judge(cells.edit("FACTOR = 2.0", "FACTOR = 3.0"))
    assert told(store, changed) == [
        "stale: its input machine_of_the_set_0 is stale (107 more of its inputs, too)"
    ]


def test_only_a_result_whose_cell_has_a_fresh_one_is_replaced(store, cells):
    first, second = scaled(cells, 1.0), scaled(cells, 2.0)
    publish(store, first, second)
    changed = cells.edit("FACTOR = 2.0", "FACTOR = 3.0")
    publish(store, scaled(changed, 1.0))
    wanted = [scaled(changed, 1.0), scaled(changed, 2.0)]
    found = standings(wanted, store)
    # Two cells that differ in their inputs alone: the older form of the second is not taken for one of the first.
    gone = {one.entry.key: (one.replaced, one.reason) for one in superseded(found, store)}
    assert sorted(gone.values()) == [
        (False, "the code that computes it changed; nothing has replaced it yet"),
        (True, "a fresh result has replaced it"),
    ]
    publish(store, wanted[1])
    assert [one.replaced for one in superseded(standings(wanted, store), store)] == [True, True]


def test_results_of_a_function_that_was_renamed_are_never_replaced(store, cells):
    publish(store, scaled(cells, 1.0))
    renamed = cells.edit("def scaled(", "def rescaled(")
    wanted = Cell(
        renamed.rescaled, {"seed": 1, "scale": 0.5}, {"ground": Cell(renamed.ground, {"field": 1.0})}
    )
    publish(store, wanted)
    (one,) = superseded(standings([wanted], store), store)
    assert (one.replaced, one.reason) == (False, NOT_FOUND)


def test_a_function_that_moves_to_another_module_leaves_its_results_fresh(store, cells):
    publish(store, scaled(cells, 1.0))
    cells.source.with_name("elsewhere.py").write_text(cells.source.read_text())
    from lab_package import elsewhere

    assert told(store, scaled(elsewhere, 1.0)) == ["fresh"]
