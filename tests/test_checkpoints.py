"""Checkpoints: what is written comes back, and whatever is not a whole checkpoint of the run counts as none."""

import numpy as np
import pytest

from rbmlib import checkpoints

ARRAYS = {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "update": np.array(7)}


def test_what_was_written_comes_back_into_folders_that_were_not_there(tmp_path):
    path = tmp_path / "a" / "b.npz"
    checkpoints.save(path, "run", ARRAYS)
    found = checkpoints.load(path, "run")
    assert list(found) == ["weights", "update"]
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert [file.name for file in path.parent.iterdir()] == ["b.npz"]


def test_another_runs_file_a_damaged_one_and_none_count_as_none(tmp_path):
    path = tmp_path / "a.npz"
    assert checkpoints.load(path, "run") is None
    checkpoints.save(path, "run", ARRAYS)
    assert checkpoints.load(path, "other run") is None
    whole = path.read_bytes()
    at = whole.index(ARRAYS["weights"].tobytes())
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2], whole[:at] + b"\xff" + whole[at + 1 :]):
        path.write_bytes(damaged)
        assert checkpoints.load(path, "run") is None


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    checkpoints.save(path, "run", ARRAYS)

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space left"):
        checkpoints.save(path, "run", {})
    assert checkpoints.load(path, "run")["update"] == 7
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


def test_a_run_is_told_from_others_by_settings_and_arrays():
    data = np.zeros((2, 3), np.uint8)
    run = checkpoints.run_digest({"k": 1, "rate": 0.1}, data)
    assert run == checkpoints.run_digest({"rate": 0.1, "k": 1}, data.copy())
    others = [
        checkpoints.run_digest({"k": 2, "rate": 0.1}, data),
        checkpoints.run_digest({"k": 1, "rate": 0.1}, data + 1),
        checkpoints.run_digest({"k": 1, "rate": 0.1}, data.reshape(3, 2)),
        checkpoints.run_digest({"k": 1, "rate": 0.1}, data.astype(np.int8)),
    ]
    assert len({run, *others}) == 5


def test_checkpoints_lie_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RBMLIB_CACHE", str(tmp_path))
    assert checkpoints.folder() == tmp_path / "checkpoints"
    monkeypatch.delenv("RBMLIB_CACHE")
    assert checkpoints.folder().name == "checkpoints"


def test_removing_what_is_not_there_is_no_error(tmp_path):
    path = tmp_path / "a.npz"
    checkpoints.save(path, "run", ARRAYS)
    checkpoints.remove(path)
    checkpoints.remove(path)
    assert not path.exists()
