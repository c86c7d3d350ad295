"""Files of our own: whole or not at all, with the mode that the user wants, and one error for all damage."""

import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from rbmbook.lab.errors import StoreNotWritable
from rbmbook.lab.files import write_whole as write_result
from rbmbook.publish.errors import NotWritable
from rbmbook.publish.notebook import write_whole as write_text
from rbmlib import files


class Damaged(ValueError):
    pass


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


WRITERS = {
    "bytes": lambda path: files.write_whole(path, b"new"),
    "a function": lambda path: files.write_whole(path, lambda file: file.write(b"new")),
    "a result": lambda path: write_result(path, b"new"),
    "a notebook": lambda path: write_text(path, "new"),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_new_file_has_the_umasks_mode_and_an_old_one_keeps_its_own(tmp_path, writer, umask, expected):
    path = tmp_path / "a"
    before = os.umask(umask)
    try:
        WRITERS[writer](path)
        assert mode(path) == expected
        path.chmod(0o664)
        WRITERS[writer](path)
    finally:
        os.umask(before)
    assert (mode(path), path.read_bytes()) == (0o664, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_names_what_was_asked_for(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def full(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        files.write_whole(path, full)
    assert caught.value.filename == str(path)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])
    with pytest.raises(FileNotFoundError) as caught:
        files.write_whole(tmp_path / "none" / "a", b"")
    assert caught.value.filename == str(tmp_path / "none" / "a")


def test_each_room_says_in_its_own_error_what_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreNotWritable, match=r"file/a: (Not a directory|File exists)"):
        write_result(tmp_path / "file" / "a", b"")
    with pytest.raises(NotWritable, match=r"file/a: (Not a directory|File exists)"):
        write_text(tmp_path / "file" / "a", "")


# Reading


def arrays(path):
    with files.reading_arrays(path, "a set of arrays", Damaged) as archive:
        return {name: archive[name] for name in archive.files}


def written(path, save=np.savez):
    save(path, weights=np.arange(60.0).reshape(6, 10), name=np.array("a name"))
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_no_damage_gives_another_error_or_other_numbers(tmp_path, save):
    path = written(tmp_path / "a.npz", save)
    whole, expected = path.read_bytes(), arrays(path)
    for at in range(0, len(whole), 3):
        for flip in (0x01, 0xFF):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            try:
                found = arrays(path)
            except Damaged:
                continue
            for name in expected.keys() & found.keys():
                np.testing.assert_array_equal(found[name], expected[name])


def test_the_flag_that_says_encrypted_is_damage(tmp_path):
    path = written(tmp_path / "a.npz")
    whole = bytearray(path.read_bytes())
    entry = whole.index(b"PK\x01\x02")
    whole[entry + 8] |= 1
    path.write_bytes(whole)
    with pytest.raises(Damaged, match=r"a\.npz is not a set of arrays: .*encrypted"):
        arrays(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"some text", "it is not a .npz archive"),
        (b"PK\x03\x04", "File is not a zip file"),
    ],
)
def test_what_is_no_archive_is_said(tmp_path, content, words):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(Damaged, match=words):
        arrays(path)
    with pytest.raises(Damaged, match="Is a directory"):
        arrays(tmp_path)
    with pytest.raises(FileNotFoundError):
        arrays(tmp_path / "none")


def test_what_is_missing_is_said(tmp_path):
    path = written(tmp_path / "a.npz")
    with files.reading_arrays(path, "a machine", Damaged) as archive:
        assert files.missing_arrays(archive, "weights") == ""
        assert (
            files.missing_arrays(archive, "mask", "bias") == "it has no mask and no bias, only weights, name"
        )


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"{", b"\xff\xfe", b"[" * 100_000], ids=["empty", "list", "cut", "bytes", "deep"]
)
def test_a_damaged_json_file_is_named(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(Damaged, match=r"a\.json is not an account"):
        files.read_json(path, "an account", Damaged)


# Where nothing may be written

READ_ONLY = """
import errno, os, sys

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod"}
FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def refuse(event, args):
    writes = event in CHANGES
    if event == "open" and isinstance(args[0], str) and not args[0].startswith("/dev/"):
        path, mode, flags = args
        writes = bool(set(mode or "") & set("wax+")) or bool((flags or 0) & FLAGS)
    if writes:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(args[0]))


sys.addaudithook(refuse)
"""


@pytest.fixture(scope="module")
def read_only(tmp_path_factory, root):
    """Runs Python where every attempt to write anything fails, with no home and no cache named."""
    folder = tmp_path_factory.mktemp("read-only")
    (folder / "sitecustomize.py").write_text(READ_ONLY)

    def run(*arguments, **changes):
        environment = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS")}
        environment |= {"PYTHONPATH": f"{folder}{os.pathsep}{root}", "HOME": "/nonexistent", **changes}
        done = subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    return run


# Compiles a small kernel of its own by the package's decorator: machines take ten times as long.
SAMPLING = """
import numpy as np
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.kernels import caching, options
import rbmlib.rbm, rbmlib.quantum

print(derived_seed(np.uint64(3), 1, 2), caching.folder())
"""


def test_where_nothing_can_be_written_kernels_run_and_the_command_reads(read_only):
    seed, folder = read_only("-c", SAMPLING).split()
    assert folder == "/nonexistent/.cache/rbmlib/numba"
    assert read_only("-c", SAMPLING, RBMLIB_CACHE="/proc/x").split() == [seed, "/proc/x/numba"]
    assert "tfim_pruning" in read_only("-m", "rbmbook", "list")
    assert "Usage" in read_only("-m", "rbmbook", "run", "--help")


@pytest.mark.slow
def test_where_nothing_can_be_written_the_command_says_how_things_stand(read_only):
    assert "Published results" in read_only("-m", "rbmbook", "status")


def test_compiled_code_goes_below_the_cache_and_nothing_before(tmp_path):
    script = """
import numpy as np
from rbmlib.kernels import caching, initialisation
print(caching.folder().exists())
initialisation.derived_seed(np.uint64(3), 1, 2)
print(sum(1 for path in caching.folder().rglob("*.nbc")) > 0, caching.folder())
"""
    environment = {**os.environ, "RBMLIB_CACHE": "c"}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "True", str(tmp_path / "c" / "numba")]


def test_a_full_disk_and_a_damaged_cache_cost_a_compilation(tmp_path, monkeypatch):
    from rbmlib.kernels import caching, options

    def double(x):
        return x + x

    monkeypatch.setattr(caching, "folder", lambda: tmp_path)
    assert options.jit(double)(3) == 6
    (index,) = tmp_path.rglob("*.nbi")
    index.write_bytes(b"nonsense")
    assert options.jit(double)(3) == 6
    assert b"nonsense" not in index.read_bytes()  # made anew

    def full(self, key, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    again = options.jit(double)
    assert again(3.5) == 7.0
    monkeypatch.setattr(caching, "folder", lambda: None)
    assert options.jit(double)(4) == 8
