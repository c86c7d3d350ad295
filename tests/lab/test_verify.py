"""A published result that is not what its origin computes makes verification fail, whichever way it was changed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from rbmbook.lab import container, origin, recompute
from rbmbook.lab.cell import Cell
from rbmbook.lab.compare import Distance, Tolerance, deviation, deviations
from rbmbook.lab.errors import StoreNotWritable
from rbmbook.lab.standing import version_differences
from rbmbook.lab.store import Store, result_key
from rbmbook.lab.sweep import fill
from rbmbook.lab.verify import verify
from rbmbook.lab.worker import Outcome

OPTIONS = {"package": "lab_package", "workers": 1, "n_cells": None}


def wanted(cells, n=3):
    ground = Cell(cells.ground, {"field": 1.0})
    return [
        *(Cell(cells.scaled, {"seed": seed, "scale": 0.5}, {"ground": ground}) for seed in range(n)),
        Cell(cells.rounded, {"seed": 1}),
    ]


@pytest.fixture
def published(store, cells):
    fill(wanted(cells), store, workers=1, publish=True, progress=False)
    return store


def path_of(store, cell):
    return store.published / "study" / f"{store.stem(store.key(cell))}.npz"


def reseal(path, change):
    """Rewrite a file with other content and all checksums right, as someone would who knows the format."""
    meta, variables = container.decode(path, path.read_bytes())
    dataset = change(container.assemble(path, meta, variables), meta)
    path.write_bytes(container.encode(dataset, meta["key"], meta["origin"]))


def failures(store, **options):
    return verify(Store(store.published, store.cache), **(OPTIONS | options)).failures


def test_what_was_published_comes_out_again(published):
    told = []
    found = verify(published, **OPTIONS, report=told.append)
    assert (found.intact, found.recomputed, found.other_code, found.failures) == (5, 5, 0, ())
    assert {check.verdict for check in found.checks} == {"equal bits"}
    assert tuple(told) == found.checks
    assert "5 published files are what was written; 5 recomputed: 5 with equal bits" in str(found)


def test_worker_processes_compute_and_any_seed_draws_its_cells_again(published):
    options = OPTIONS | {"workers": 2, "n_cells": 3}
    first, second = (verify(published, **options, seed=5) for _ in range(2))
    assert {check.path for check in first.checks} == {check.path for check in second.checks}
    assert first.recomputed == 3
    # One of every function before a second of any.
    assert len({check.what.partition("(")[0] for check in first.checks}) == 3


def test_a_flipped_byte_is_found_without_recomputing(published, cells):
    for place in (40, -200, -5):
        path = path_of(published, wanted(cells)[1])
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(bytes(content))
        (check,) = failures(published, n_cells=1)
        assert (check.verdict, check.path) == ("damaged", path)
        content[place] ^= 1
        path.write_bytes(bytes(content))
    assert failures(published) == ()


def test_an_altered_array_under_right_checksums_is_found_and_named(published, cells):
    path = path_of(published, wanted(cells)[1])

    def change(dataset, meta):
        values = dataset.value.values.copy()
        values[1, 2] = np.nextafter(values[1, 2], 9)
        return dataset.assign(value=dataset.value.copy(data=values))

    reseal(path, change)
    (check,) = failures(published)
    assert (check.verdict, check.path) == ("different", path)
    assert "value[row='b', column=2] is" in check.detail
    assert "(1 of 12 differ)" in check.detail


def test_an_altered_array_under_the_old_digest_is_damage(published, cells):
    path = path_of(published, wanted(cells)[1])
    meta, variables = container.decode(path, path.read_bytes())
    variables["value"] = variables["value"] + 1
    path.write_bytes(container.pack(meta, variables))
    (check,) = failures(published, n_cells=1)
    assert check.verdict == "damaged"
    assert "its array value is not the one that was written" in check.detail


def test_another_origin_under_the_same_key_is_damage(published, cells):
    path = path_of(published, wanted(cells)[1])

    def change(dataset, meta):
        meta["origin"]["parameters"]["seed"] = 2
        return dataset

    reseal(path, change)
    (check,) = failures(published)
    assert (check.verdict, "its key is not that of" in check.detail) == ("damaged", True)


def test_an_altered_input_fails_with_everything_that_came_from_it(published, cells):
    path = path_of(published, Cell(cells.ground, {"field": 1.0}))
    reseal(path, lambda dataset, meta: dataset.assign(energy=dataset.energy + 1))
    found = failures(published)
    assert sorted(check.verdict for check in found) == ["different"] * 4
    assert sum("its input ground with digest" in check.detail for check in found) == 3


def test_only_functions_of_the_experiments_are_ever_called(published, cells, tmp_path):
    target = tmp_path / "made"
    names = (
        "os.mkdir",
        "lab_package.study.os.mkdir",
        "lab_package.study.np",
        "mkdir",
        "os",
        "np",
        "random_mask",
    )
    cells.edit("import os\n", "import os\nfrom os import mkdir\nfrom rbmlib.masks import random_mask\n")
    for name in names:
        parameters = {"path": str(target)}
        origin = {"experiment": "study", "compute": name, "parameters": parameters, "needs": {}, "code": "c"}
        key = result_key(name, parameters, "c", {})
        published.save(key, xr.Dataset({"a": 1}), origin, published=True)
    assert verify(published, **OPTIONS).other_code == len(names)
    assert not target.exists()


def test_foreign_files_among_results_are_damage(published):
    for name, content in {"readme.npz": b"hello", f"{'a' * 16}.npz": b""}.items():
        (published.published / "study" / name).write_bytes(content)
    assert [check.verdict for check in failures(published)] == ["damaged", "damaged"]


def test_results_of_other_code_are_counted_not_recomputed(published, cells):
    cells.edit("FACTOR = 2.0", "FACTOR = 3.0")
    found = verify(published, **OPTIONS)
    assert (found.other_code, found.recomputed, found.failures) == (3, 2, ())
    assert "3 of them made by other code" in str(found)


def test_a_chosen_set_of_keys_alone_is_looked_at(published, cells):
    path_of(published, wanted(cells)[0]).write_bytes(b"")
    cell = wanted(cells)[1]
    assert failures(published, keys=[published.key(cell)]) == ()
    assert verify(published, **OPTIONS, keys=[published.key(cell)]).intact == 1


def test_an_input_whose_large_part_is_not_published_is_computed_again(store, cells):
    source = Cell(cells.two_tiers, {"seed": 1})
    cell = Cell(cells.from_large, {"seed": 2}, {"source": source})
    fill([cell], store, workers=1, publish=True, progress=False)
    clone = Store(store.published, store.cache / "empty")
    found = verify(clone, **OPTIONS)
    assert [check.verdict for check in found.checks] == ["equal bits"] * 2
    assert not clone.cache.exists()


def test_a_draw_stays_within_its_budget_of_time(published):
    costs = {entry.key: entry.origin["seconds"] for entry in published.entries()}
    assert verify(published, **OPTIONS, max_seconds=sum(costs.values()) + 1).recomputed == 5
    assert verify(published, **OPTIONS, max_seconds=-1.0).recomputed == 0


@pytest.fixture
def clone(store, cells):
    """A store without the large parts of inputs, two of which two results share."""
    sources = [Cell(cells.two_tiers, {"seed": seed}) for seed in (1, 2)]
    resting = [
        Cell(cells.from_large, {"seed": seed}, {"source": sources[part]})
        for seed, part in ((3, 0), (4, 0), (5, 1))
    ]
    fill(resting, store, workers=1, publish=True, progress=False)
    return Store(store.published, store.cache / "empty")


def cost(store, name, seconds):
    """Have all results of a function say that they took so long."""
    for entry in store.entries():
        if entry.origin["compute"].endswith(name):
            meta, variables = container.decode(entry.path, entry.path.read_bytes())
            meta["origin"]["seconds"] = seconds
            entry.path.write_bytes(container.pack(meta, variables))


def test_inputs_that_have_to_be_made_again_count_in_a_draw_and_shared_ones_once(clone):
    cost(clone, "two_tiers", 100.0)
    cost(clone, "from_large", 1.0)
    keys = [entry.key for entry in clone.entries() if entry.origin["compute"].endswith("from_large")]
    for allowed, n in ((99.0, 0), (202.5, 2), (203.5, 3)):
        found = verify(clone, **OPTIONS, keys=keys, max_seconds=allowed)
        assert found.recomputed == n
        assert found.failures == ()


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_drawn_and_rested_on_is_computed_once_and_by_the_workers(clone, cells, workers):
    before = cells.calls("two_tiers")
    cost(clone, "two_tiers", 100.0)
    cost(clone, "from_large", 1.0)
    found = verify(clone, **(OPTIONS | {"workers": workers}), max_seconds=203.5)
    assert [check.verdict for check in found.checks] == ["equal bits"] * 5
    assert cells.calls("two_tiers") == before + 2


def test_a_drawn_input_that_comes_out_otherwise_fails_with_what_rests_on_it(clone, monkeypatch):
    compute = recompute.compute_cell

    def other_bits(function, *arguments):
        outcome = compute(function, *arguments)
        return replace(outcome, dataset=outcome.dataset + 1) if "two_tiers" in str(function) else outcome

    monkeypatch.setattr(recompute, "compute_cell", other_bits)
    found = verify(clone, **OPTIONS).failures
    assert [check.verdict for check in found] == ["different"] * 5
    assert sum("its input source comes out with other bits here" in check.detail for check in found) == 3


def test_an_input_that_does_not_come_out_again_fails_what_rests_on_it(clone, cells, monkeypatch):
    monkeypatch.setattr(recompute, "compute_cell", lambda *_: Outcome(None, 0.0, {}, "no memory left"))
    keys = [entry.key for entry in clone.entries() if entry.origin["compute"].endswith("from_large")]
    found = verify(clone, **OPTIONS, keys=keys).failures
    assert [check.verdict for check in found] == ["different"] * 3
    assert all("its input source cannot be computed" in check.detail for check in found)
    assert all("no memory left" in check.detail for check in found)


def test_promised_bits_are_held_to_bits_whatever_is_tolerated(published, cells, monkeypatch):
    path = path_of(published, wanted(cells)[1])
    reseal(path, lambda dataset, meta: dataset.assign(value=dataset.value * (1 + 1e-6)))
    generous = {name: {"value": Tolerance(0.1)} for name in ("scaled", "rounded")}
    (check,) = failures(published, tolerances=generous)
    assert check.path == path


@pytest.mark.parametrize(("noise", "verdict"), [("1e-9", "within tolerance"), ("1e-2", "different")])
def test_where_bits_are_not_promised_tolerances_decide(published, monkeypatch, noise, verdict):
    monkeypatch.setenv("LAB_TEST_NOISE", noise)
    name = "rounded"
    found = verify(
        published, **OPTIONS, tolerances={name: {"value": Tolerance(relative=1e-6), "steps": Tolerance()}}
    )
    (check,) = (check for check in found.checks if check.what.startswith(name))
    assert check.verdict == verdict
    assert "value[x=" in check.detail
    assert "allowed 1e-06 relative" in check.detail


def test_where_no_tolerance_is_stated_bits_decide(published, monkeypatch):
    monkeypatch.setenv("LAB_TEST_NOISE", "1e-9")
    assert [check.verdict for check in failures(published)] == ["different"]


def test_other_library_versions_are_told(published, cells):
    path = path_of(published, wanted(cells)[1])

    def change(dataset, meta):
        meta["origin"]["versions"] |= {"numpy": "1.0", "oldlib": "3"}
        return dataset

    reseal(path, change)
    found = verify(published, **OPTIONS)
    (check,) = (check for check in found.checks if check.versions)
    assert check.versions == (f"numpy 1.0, here {np.__version__}", "oldlib 3, here absent")
    assert check.verdict == "equal bits"
    assert json.dumps(check.versions)


def test_a_library_that_only_the_worker_imports_is_recorded_and_another_version_of_it_told(
    store, cells, tmp_path, monkeypatch
):
    about = tmp_path / "libraries" / "torch-9.8.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    (tmp_path / "libraries" / "torch.py").write_text("")
    about.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.8\n")
    # Another test may have imported the real one.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    origin._version.cache_clear()
    monkeypatch.syspath_prepend(str(tmp_path / "libraries"))
    cells = cells.edit(
        "def crash(seed):",
        "def judged(seed):\n    import torch\n\n    return ground(seed)\n\n\ndef crash(seed):",
    )
    judged = [Cell(cells.judged, {"seed": seed}) for seed in range(2)]
    fill(judged, store, workers=2, publish=True, progress=False)
    assert "torch" not in sys.modules
    versions = [store.origin(store.key(cell))["versions"] for cell in judged]
    assert [each["torch"] for each in versions] == ["9.8", "9.8"]
    about.write_text(about.read_text().replace("9.8", "9.9"))
    found = verify(store, **OPTIONS)
    del sys.modules["torch"]
    origin._version.cache_clear()
    assert [(check.verdict, check.versions) for check in found.checks] == [
        ("equal bits", ("torch 9.8, here 9.9",))
    ] * 2
    assert str(found.checks[0]).endswith("(computed with torch 9.8, here 9.9)")
    assert version_differences(versions[0], origin.environment()["versions"]) == ["torch 9.8, here absent"]


def test_a_result_that_can_no_longer_be_computed_is_a_failure(store, cells):
    cell = Cell(cells.two_tiers, {"seed": 1})
    fill([cell], store, workers=1, publish=True, progress=False)
    origin = store.origin(store.key(cell)) | {"parameters": {"seed": "one"}}
    key = result_key(cell.name, origin["parameters"], origin["code"], {})
    store.save(key, xr.Dataset({"a": 1}), origin, published=True)
    (check,) = failures(store)
    assert "could not be recomputed" in check.detail


def test_a_cache_that_cannot_be_written_is_told_in_one_sentence(published, tmp_path):
    (tmp_path / "file").write_text("")
    elsewhere = Store(published.published, tmp_path / "file" / "cache")
    with pytest.raises(
        StoreNotWritable, match="where compiled code is kept: Not a directory; make the folder"
    ):
        verify(elsewhere, **(OPTIONS | {"workers": 2}))


@pytest.mark.parametrize("n_cells", [0, -1, True])
def test_a_wrong_number_of_cells_is_told(store, n_cells):
    with pytest.raises(ValueError, match="n_cells is"):
        verify(store, n_cells=n_cells)


def array(values, **coords):
    return xr.DataArray(np.array(values), dims=list(coords) or None, coords=coords, name="v")


@pytest.mark.parametrize(
    ("stored", "computed", "tolerance", "share"),
    [
        ([1.0, 2.0], [1.0, 2.2], Tolerance(relative=0.1), 1.0),
        ([0.0, 2.0], [0.5, 2.0], Tolerance(absolute=1.0), 0.5),
        ([np.nan, np.inf], [np.nan, np.inf], Tolerance(), 0.0),
        ([np.nan], [1.0], Tolerance(absolute=9.0), np.inf),
        ([1.0], [np.nan], Tolerance(absolute=9.0), np.inf),
        ([1.0], [1.0 + 1e-15], Tolerance(), np.inf),
        ([1, 2], [1, 3], Tolerance(absolute=2.0), 0.5),
        ([1.0], [1.0, 2.0], Tolerance(absolute=9.0), np.inf),
        (["a"], ["b"], Tolerance(), np.inf),
        (["a"], ["a"], Tolerance(), 0.0),
    ],
)
def test_a_deviation_is_measured_in_what_is_allowed(stored, computed, tolerance, share):
    assert deviation(array(stored), array(computed), tolerance).share == pytest.approx(share, rel=1e-9)


def test_distances_and_absent_variables_count_worst_first():
    one, two = xr.Dataset({"a": ("x", [1.0])}), xr.Dataset({"a": ("x", [1.5])})
    rules = {
        "a": Tolerance(absolute=1.0),
        "sum": Distance(lambda x, y: float(abs(x.a - y.a).sum()), 0.1),
        "b": Tolerance(),
        "undefined": Distance(lambda x, y: np.nan, 1.0),
    }
    found = deviations(one, two, rules)
    assert [(each.name, each.allowed) for each in found] == [
        ("b", False), ("undefined", False), ("sum", False), ("a", True),
    ]  # fmt: skip
