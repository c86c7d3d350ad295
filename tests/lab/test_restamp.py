"""Results are carried over a change of code only after recomputation has shown equal bits."""

from __future__ import annotations

import pytest

from rbmbook.lab.cell import Cell
from rbmbook.lab.errors import RestampRefused
from rbmbook.lab.fingerprint import code_fingerprint
from rbmbook.lab.restamp import restamp
from rbmbook.lab.store import Store
from rbmbook.lab.sweep import sweep

SERIAL = {"workers": 1}


def wanted(cells, n=9):
    ground = Cell(cells.ground, {"field": 1.0})
    return [Cell(cells.scaled, {"seed": seed, "scale": 0.5}, {"ground": ground}) for seed in range(n)]


def fill(cells, store, **options):
    return sweep(wanted(cells), store, workers=1, progress=False, **options)


def listing(store):
    roots = [store.published, store.cache / "results"]
    return {p.relative_to(root): p.read_bytes() for root in roots for p in root.glob("*/*.npz")}


def harmless(cells):
    """Change both functions, not what they return."""
    return cells.edit("FACTOR * scale *", "scale * FACTOR *").edit(
        "energies = np.random", "energies = 0.0 + np.random"
    )


@pytest.mark.parametrize("publish", [False, True])
def test_a_change_that_keeps_bits_costs_a_few_recomputed_cells(store, cells, publish):
    before = fill(cells, store, publish=publish)
    old = code_fingerprint(cells.scaled)
    changed = harmless(cells)
    new = code_fingerprint(changed.scaled)
    report = restamp(wanted(changed), store, seed=1, **SERIAL)
    assert (report.fresh, report.checked, report.carried, report.missing) == (0, 6, 10, 0)
    assert (cells.calls("ground"), cells.calls("scaled")) == (2, 14)
    after = fill(changed, store, publish=publish)
    assert cells.calls("scaled") == 14  # nothing left to compute
    assert all(a.identical(b) for a, b in zip(before, after, strict=True))
    assert len(listing(store)) == 10  # moved, not copied
    key = store.key(wanted(changed)[0])
    assert store.has(key, published=True) is publish
    assert store.origin(key)["restamped"] == [{"from": old, "to": new, "checked": 5}]
    assert store.origin(key)["code"] == new
    assert "10 results carried over after 6 were computed again" in str(report)


def test_a_second_change_adds_to_the_record(store, cells):
    fill(cells, store)
    changed = harmless(cells)
    restamp(wanted(changed), store, **SERIAL)
    again = changed.edit('count("scaled")', 'count("scaled"); seed = int(seed)')
    report = restamp(wanted(again), store, **SERIAL)
    assert (report.fresh, report.checked, report.carried) == (1, 5, 9)
    steps = store.origin(store.key(wanted(again)[0]))["restamped"]
    assert len(steps) == 2
    assert steps[0]["to"] == steps[1]["from"]


def test_a_change_of_bits_is_refused_and_nothing_is_touched(store, cells):
    fill(cells, store)
    before = listing(store)
    changed = cells.edit("FACTOR = 2.0", "FACTOR = 2.000001")
    with pytest.raises(RestampRefused, match=r"5 of 5 recomputed cells differ.*\n.*seed="):
        restamp(wanted(changed), store, **SERIAL)
    assert listing(store) == before


def test_one_differing_function_keeps_all_from_being_carried_over(store, cells):
    fill(cells, store)
    before = listing(store)
    changed = harmless(cells).edit("0.0 + np.random", "1e-16 + np.random")
    with pytest.raises(RestampRefused, match="1 of 6"):
        restamp(wanted(changed), store, **SERIAL)
    assert listing(store) == before


def test_a_cell_that_fails_now_is_refused(store, cells):
    fill(cells, store)
    with pytest.raises(RestampRefused, match="the scale is negative"):
        restamp(wanted(cells.edit("scale < 0", "scale < 9")), store, **SERIAL)


def test_other_parameters_and_other_inputs_are_missing_not_carried_over(store, cells):
    fill(cells, store)
    changed = harmless(cells)
    other = Cell(changed.scaled, {"seed": 0, "scale": 0.25}, {"ground": Cell(changed.ground, {"field": 1.0})})
    unfound = Cell(
        changed.scaled, {"seed": 0, "scale": 0.5}, {"ground": Cell(changed.ground, {"field": 2.0})}
    )
    report = restamp([other, unfound], store, **SERIAL)
    assert (report.carried, report.missing) == (1, 3)


def test_both_files_of_a_split_result_move_and_nothing_is_recomputed_from_a_part(store, cells):
    source = [Cell(cells.two_tiers, {"seed": seed}) for seed in range(2)]
    before = sweep(source, store, publish=True, workers=1, progress=False)
    clone = Store(store.published, store.cache / "clone")
    changed = cells.edit('"x": [0, 1, 2]', '"x": [0, 1, 1 + 1]')
    source = [Cell(changed.two_tiers, {"seed": seed}) for seed in range(2)]
    report = restamp(source, store, **SERIAL)
    assert (report.checked, report.carried) == (2, 2)
    after = sweep(source, store, workers=1, progress=False)
    assert all(a.identical(b) for a, b in zip(before, after, strict=True))
    assert clone.digest(clone.key(source[0])) == store.digest(store.key(source[0]))


def test_worker_processes_can_do_the_checking(store, cells):
    fill(cells, store)
    assert restamp(wanted(harmless(cells)), store, workers=2).carried == 10


def test_fewer_than_five_checks_are_not_allowed(store, cells):
    with pytest.raises(ValueError, match="at least 5"):
        restamp(wanted(cells), store, 4)
