"""What the store gives back is what was saved, or a typed error; never anything else."""

from __future__ import annotations

import getpass
import hashlib
import io
import json
import os
import pickle
import socket
import sys
import threading
import zipfile
from types import ModuleType

import numpy as np
import pytest
import xarray as xr

from rbmbook.lab import container
from rbmbook.lab import origin as origin_module
from rbmbook.lab import store as store_module
from rbmbook.lab.cell import Cell
from rbmbook.lab.errors import (
    ConflictingResult,
    DamagedResult,
    LabError,
    ResultNotFound,
    StoreNotReadable,
    StoreNotWritable,
)
from rbmbook.lab.origin import environment, origin_of
from rbmbook.lab.store import Store, result_key

KEY = "0123456789abcdef" * 4
ORIGIN = {"experiment": "study", "compute": "study.f", "parameters": {"a": 1}, "needs": {}, "code": "c"}


def dataset(seed=0):
    draws = np.random.default_rng(seed)
    return xr.Dataset(
        {
            "weights": (("i", "j"), draws.normal(size=(4, 3)).astype(np.float32), {"unit": "1"}),
            "nothing": (("empty",), np.zeros(0)),
            "scalar": ((), 2**63 - 1),
            "missing": (("i",), [np.nan, -0.0, np.inf, 1e-300]),
            "flag": (("i",), [True, False, True, False]),
            "text": (("j",), np.array(["a", "βγ", ""], dtype=object)),
            "phase": (("j",), np.array([1j, 2, 3])),
        },
        coords={"j": ["x", "y", "z"], "seed": 3, "other": ("i", [4, 3, 2, 1])},
        attrs={"n": 3, "list": [1, 2.5, "x"], "numpy": np.float32(0.5)},
    )


def path_of(store, published=False, key=KEY):
    root = store.published if published else store.cache / "results"
    return root / "study" / f"{key[:16]}.npz"


def test_what_is_loaded_is_what_was_saved(store):
    store.save(KEY, dataset(), ORIGIN)
    loaded = store.load(KEY)
    assert loaded.identical(dataset().assign_attrs(numpy=0.5))
    assert list(loaded.variables) == list(dataset().variables)
    assert {n: v.dtype for n, v in loaded.variables.items() if n != "text"} == {
        n: v.dtype for n, v in dataset().variables.items() if n != "text"
    }
    assert np.signbit(loaded.missing.values[1])
    assert store.origin(KEY) == ORIGIN
    assert store.has(KEY)
    assert store.has(KEY, published=False)
    assert not store.has(KEY, published=True)


def test_numpy_alone_can_read_a_result(store):
    store.save(KEY, dataset(), ORIGIN)
    with np.load(path_of(store), allow_pickle=False) as file:
        np.testing.assert_array_equal(file["weights"], dataset().weights.values)
        assert '"key":"' + KEY in file["meta.json"].item()


def test_equal_results_give_equal_bytes_and_a_second_save_leaves_the_file_alone(store, monkeypatch):
    content = container.encode(dataset(), KEY, ORIGIN)
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert container.encode(dataset(), KEY, ORIGIN) == content
    store.save(KEY, dataset(), ORIGIN, published=True)
    before = path_of(store, True).stat()
    store.save(KEY, dataset(), ORIGIN | {"date": "2030-01-01"}, published=True)
    after = path_of(store, True).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_other_arrays_under_the_same_key_are_refused(store):
    store.save(KEY, dataset(), ORIGIN)
    with pytest.raises(ConflictingResult, match="other arrays"):
        store.save(KEY, dataset(1), ORIGIN)
    assert store.load(KEY).identical(dataset().assign_attrs(numpy=0.5))


def test_the_digest_sees_arrays_alone(store):
    def digest(data):
        return container.combined_digest(container.variable_digests(data))

    base = dataset()
    assert digest(base) == digest(base.assign_attrs(n=4))
    assert digest(base) == digest(base[sorted(map(str, base.data_vars))])
    assert digest(base) == digest(
        base.assign(weights=base.weights.copy(data=np.asfortranarray(base.weights)))
    )
    assert digest(base) == digest(base.assign(phase=base.phase.astype(">c16")))
    flipped = base.missing.values.copy()
    flipped[1] = 0.0
    changed = [
        base.assign(missing=("i", flipped)),
        base.assign(weights=base.weights.astype(np.float64)),
        base.rename(weights="w"),
        base.rename_dims(i="k"),
        base.reset_coords("other"),
        base.drop_vars("flag"),
    ]
    assert len({digest(data) for data in [base, *changed]}) == 7
    store.save(KEY, base, ORIGIN)
    assert store.digest(KEY) == digest(base)


def test_every_flipped_bit_is_found(store):
    store.save(KEY, dataset(), ORIGIN)
    path = path_of(store)
    content = path.read_bytes()
    draws = np.random.default_rng(5)
    # 300 random bits, and every byte of the parts at the end: central directory, end record, checksum.
    places = [*draws.integers(0, len(content), 300), *range(len(content) - 200, len(content))]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(draws.integers(0, 8))
        with pytest.raises(DamagedResult):
            container.decode(path, bytes(damaged))


def test_every_truncation_and_anything_appended_is_found(store):
    store.save(KEY, dataset(), ORIGIN)
    path = path_of(store)
    content = path.read_bytes()
    for length in [*range(0, len(content), 37), len(content) - 1]:
        with pytest.raises(DamagedResult):
            container.decode(path, content[:length])
    with pytest.raises(DamagedResult):
        container.decode(path, content + b"\0")
    path.write_bytes(content[:-10])
    for read in (store.load, store.digest, store.origin):
        with pytest.raises(DamagedResult, match=path.name):
            read(KEY)


def sealed(content):
    """Give a foreign archive the checksum that a result ends with."""
    body = content[:-2] + (71).to_bytes(2, "little")
    return body + b"sha256:" + hashlib.sha256(body).hexdigest().encode()


class _Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["LAB_TEST_BOMB"],)


def test_a_pickle_in_a_file_is_never_run(store, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_TEST_BOMB", str(tmp_path / "exploded"))
    bombs = np.array([_Bomb()], dtype=object)
    buffer = io.BytesIO()
    np.savez(buffer, **{"meta.json": bombs, "weights": bombs})
    for content in (buffer.getvalue(), sealed(buffer.getvalue()), pickle.dumps(_Bomb())):
        with pytest.raises(DamagedResult):
            container.decode(tmp_path / "x.npz", content)
    # A true description with a pickled member.
    meta = container.decode_meta(tmp_path / "x.npz", container.encode(dataset(), KEY, ORIGIN))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in {"meta.json": np.array(container.canonical_json(meta)), "weights": bombs}.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array)
            archive.writestr(f"{name}.npy", member.getvalue())
    with pytest.raises(DamagedResult):
        container.decode(tmp_path / "x.npz", sealed(buffer.getvalue()))
    assert not (tmp_path / "exploded").exists()


def test_a_foreign_archive_is_told_even_with_a_right_checksum(store, tmp_path):
    for members in ({}, {"readme.txt": b"hello"}, {"meta.json.npy": b"\x93NUMPY"}):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        for content in (buffer.getvalue(), sealed(buffer.getvalue())):
            with pytest.raises(DamagedResult):
                container.decode(tmp_path / "x.npz", content)


def test_a_file_under_another_s_name_is_damaged(store):
    store.save(KEY, dataset(), ORIGIN)
    other = "f" * 64
    path_of(store).rename(path_of(store, key=other))
    with pytest.raises(DamagedResult, match="another key"):
        store.load(other)
    with pytest.raises(ResultNotFound):
        store.load(KEY)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (xr.Dataset({"a": ("x", np.array([1, None], dtype=object))}), "Python objects"),
        (xr.Dataset({"a": ("x", np.zeros(2, dtype="V8"))}), "dtype"),
        (xr.Dataset({"a/b": ("x", [1])}), "name"),
        (xr.Dataset({"a": ("x", [1], {"f": len})}), "attribute"),
        (xr.DataArray([1]), "Dataset"),
    ],
)
def test_what_the_format_does_not_hold_is_refused_and_nothing_is_written(store, data, message):
    with pytest.raises((TypeError, ValueError), match=message):
        store.save(KEY, data, ORIGIN)
    assert not store.cache.exists()


def split():
    return xr.Dataset(
        {"small": ("x", [1.0, 2.0]), "large": ("y", np.arange(9.0), {"tier": "cache"})}, coords={"x": [0, 1]}
    )


def test_variables_of_the_cache_tier_stay_out_of_the_published_file(store):
    store.save(KEY, split(), ORIGIN, published=True)
    assert set(np.load(path_of(store, True)).files) == {"meta.json", "x", "small"}
    assert store.load(KEY).identical(split())
    assert store.complete(KEY)
    digest = store.digest(KEY)
    elsewhere = Store(store.published, store.cache / "empty")
    assert elsewhere.load(KEY).identical(split().drop_vars("large"))
    assert elsewhere.has(KEY)
    assert not elsewhere.complete(KEY)
    assert elsewhere.digest(KEY) == digest


def test_a_cached_result_can_be_published(store):
    store.save(KEY, split(), ORIGIN)
    store.publish(KEY)
    assert store.has(KEY, published=True)
    assert store.load(KEY).identical(split())
    assert [entry.published for entry in store.entries()] == [True]


def test_entries_tell_what_is_stored_once_and_pass_over_what_is_damaged(store):
    store.save(KEY, dataset(), ORIGIN)
    store.save("f" * 64, split(), ORIGIN, published=True)
    store.save("e" * 64, dataset(), ORIGIN)
    path_of(store, key="e" * 64).write_bytes(b"")
    entries = {entry.key: entry for entry in store.entries()}
    assert set(entries) == {KEY, "f" * 64}
    assert entries[KEY].origin == ORIGIN
    assert entries[KEY].digest == store.digest(KEY)


def test_concurrent_writers_of_one_key_leave_one_whole_file(store):
    errors = []

    def write():
        try:
            Store(store.published, store.cache).save(KEY, dataset(), ORIGIN)
        except (LabError, OSError) as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [path.name for path in path_of(store).parent.iterdir()] == [path_of(store).name]
    assert store.load(KEY).weights.shape == (4, 3)


def test_a_full_disk_is_told_in_one_sentence_and_leaves_nothing_behind(store, monkeypatch):
    store.save("f" * 64, dataset(), ORIGIN)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(StoreNotWritable, match="No space left on device; free some space"):
        store.save(KEY, dataset(), ORIGIN)
    assert [path.stem for path in path_of(store).parent.iterdir()] == ["f" * 16]
    assert store.load("f" * 64)


def test_a_folder_that_cannot_be_written_is_told(store):
    store.cache.mkdir()
    (store.cache / "results").write_text("a file stands where the folder should be")
    with pytest.raises(StoreNotWritable, match="RBMLIB_CACHE"):
        store.save(KEY, dataset(), ORIGIN)


def test_a_folder_that_cannot_be_read_is_told(store, monkeypatch):
    store.save(KEY, dataset(), ORIGIN)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(store_module.os, "scandir", refuse)
    with pytest.raises(StoreNotReadable, match=r"cannot read .*Permission denied; make the folder readable"):
        store.load(KEY)


def test_old_half_written_files_are_cleared_and_new_ones_left(store):
    store.save(KEY, dataset(), ORIGIN)
    old, new = (path_of(store).with_name(f".{name}.npz.1.ab.tmp") for name in ("old", "new"))
    old.write_bytes(b"")
    new.write_bytes(b"")
    os.utime(old, (1e9, 1e9))
    store.clear_temporary()
    assert not old.exists()
    assert new.exists()


def test_the_key_is_a_hash_of_function_parameters_code_and_inputs():
    arguments = {"name": "m.f", "parameters": {"a": 1, "b": "x"}, "code": "c", "needs": {"g": "d"}}
    changes = [
        {"name": "m.g"},
        {"parameters": {"a": 2, "b": "x"}},
        {"parameters": {"a": 1.0, "b": "x"}},
        {"parameters": {"a": True, "b": "x"}},
        {"code": "d"},
        {"needs": {"g": "e"}},
        {"needs": {}},
    ]
    keys = {result_key(**(arguments | change)) for change in changes}
    assert len(keys | {result_key(**arguments)}) == 8
    assert result_key("m.f", {"b": "x", "a": 1}, "c", {"g": "d"}) == result_key(**arguments)
    # Published results are filed under such keys: this text must stay what it is.
    text = b'{"code":"c","compute":"m.f","needs":{"g":"d"},"parameters":{"a":1,"b":"x"}}'
    assert result_key(**arguments) == hashlib.sha256(text).hexdigest()


def test_the_key_of_a_cell_needs_its_inputs_stored(store, cells):
    ground = Cell(cells.ground, {"field": 1.0})
    cell = Cell(cells.scaled, {"seed": 1}, {"ground": ground})
    with pytest.raises(ResultNotFound):
        store.key(cell)
    store.save(store.key(ground), cells.ground(1.0), ORIGIN)
    key = store.key(cell)
    store.discard(store.key(ground))
    store.save(store.key(ground), cells.ground(2.0), ORIGIN)
    assert store.key(cell) != key


def test_the_default_store_is_the_clone_s_and_the_user_s_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("RBMLIB_CACHE", str(tmp_path))
    store = Store.default()
    assert store.cache == tmp_path
    assert store.published is None or store.published.parts[-2:] == ("book", "results")


def test_an_origin_names_no_host_user_or_path(cells):
    origin = origin_of(Cell(cells.ground, {"field": 1.0}), {}, 1.23456, environment())
    assert origin["parameters"] == {"field": 1.0}
    assert origin["seconds"] == 1.235
    assert {"python", "numpy", "xarray"} <= set(origin["versions"])
    text = json.dumps(origin | {"compute": "", "processor": ""})
    for name in (socket.gethostname(), f'"{getpass.getuser()}"', os.getcwd(), os.path.expanduser("~") + "/"):
        assert name not in text


@pytest.mark.parametrize(("content", "version"), [({"__version__": "2.1"}, "2.1"), ({}, "unknown")])
def test_a_library_that_was_never_installed_is_recorded_by_what_it_says(monkeypatch, content, version):
    module = ModuleType("torch")
    module.__dict__.update(content)
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(origin_module._LIBRARIES, "torch", "no-such-distribution")
    assert environment()["versions"]["torch"] == version


def test_cells_refuse_what_a_key_cannot_hold(cells):
    for bad in (None, object(), {"a": 1}, float("nan"), [1, [float("inf")]]):
        with pytest.raises((TypeError, ValueError), match="parameter x"):
            Cell(cells.ground, {"x": bad})
    with pytest.raises(ValueError, match="top level"):
        Cell(lambda: None, {})
    with pytest.raises(TypeError, match="must be a function"):
        Cell("ground", {})
    ground = Cell(cells.ground, {"field": 1.0})
    with pytest.raises(ValueError, match="both a parameter and a need"):
        Cell(cells.scaled, {"ground": 1}, {"ground": ground})
    with pytest.raises(TypeError, match="must be a Cell"):
        Cell(cells.scaled, {}, {"ground": 1})


def test_equal_cells_are_one(cells):
    assert Cell(cells.ground, {"field": np.float64(1), "t": [1, 2]}) == Cell(
        cells.ground, {"t": (1, 2), "field": 1.0}
    )
    assert len({Cell(cells.ground, {"field": value}) for value in (1, 1.0, True, "1")}) == 4
