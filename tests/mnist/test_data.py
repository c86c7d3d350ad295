"""Where MNIST comes from: a folder, the cache, the network; what is said where it is nowhere."""

import functools
import gzip
import hashlib
import http.server
import os
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from rbmlib.mnist import data
from rbmlib.mnist.images import Images


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(head + array.tobytes(), mtime=0)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A data folder and a cache of one's own, both empty, and no network."""
    monkeypatch.setenv("RBMLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("RBMLIB_CACHE", str(tmp_path / "cache"))

    def offline(folder, names):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz:\nTried a mirror")

    monkeypatch.setattr("rbmlib.mnist.download.download", offline)
    return tmp_path


def write_small_mnist(folder: Path, monkeypatch) -> dict[str, np.ndarray]:
    """Four files in MNIST's format with a few images, taken for the original ones."""
    rng = np.random.default_rng(0)
    arrays, sums = {}, {}
    folder.mkdir(parents=True)
    for part, n in (("train", 30), ("t10k", 10)):
        arrays[f"{part}-images-idx3-ubyte.gz"] = rng.integers(0, 256, (n, 6, 5), np.uint8)
        arrays[f"{part}-labels-idx1-ubyte.gz"] = rng.integers(0, 10, n, np.uint8)
    for name, array in arrays.items():
        (folder / name).write_bytes(idx(array))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(data, "MNIST_FILES", sums)
    return arrays


def test_the_files_are_found_in_the_data_folder_and_binarised(places, monkeypatch):
    arrays = write_small_mnist(places / "data" / "MNIST" / "raw", monkeypatch)
    before = sorted(path for path in (places / "data").rglob("*"))
    images = data.mnist()
    grey = arrays["train-images-idx3-ubyte.gz"]
    assert np.array_equal(images.train, (grey > 127).reshape(30, 30))
    assert np.array_equal(images.test_labels, arrays["t10k-labels-idx1-ubyte.gz"])
    assert (images.shape, images.name) == ((6, 5), "mnist")
    assert np.array_equal(data.mnist(threshold=3).train, (grey > 3).reshape(30, 30))
    assert sorted(path for path in (places / "data").rglob("*")) == before


def test_prepared_images_need_the_files_no_more_and_are_made_again_when_damaged(places, monkeypatch):
    raw = places / "data" / "MNIST" / "raw"
    write_small_mnist(raw, monkeypatch)
    first, drawn = data.mnist(), data.mnist(random_seed=4)
    hidden = raw.rename(places / "elsewhere")
    assert data.mnist().checksum == first.checksum
    assert data.mnist(random_seed=4).checksum == drawn.checksum != first.checksum
    (prepared,) = (places / "cache" / "data").glob("mnist-above-127.npz")
    content = bytearray(prepared.read_bytes())
    content[len(content) // 2] ^= 1
    prepared.write_bytes(content)
    hidden.rename(raw)
    assert data.mnist().checksum == first.checksum
    assert Images.load(prepared).checksum == first.checksum


def test_the_cache_is_looked_at_after_the_data_folder(places, monkeypatch):
    raw = places / "cache" / "data" / "MNIST" / "raw"
    write_small_mnist(raw, monkeypatch)
    assert data.find_mnist() == raw
    monkeypatch.delenv("RBMLIB_DATA")
    assert data.find_mnist() == raw


def test_what_is_nowhere_is_downloaded_into_the_cache(places, monkeypatch):
    made = places / "made"
    write_small_mnist(made, monkeypatch)

    def fetched(folder, names):
        folder.mkdir(parents=True)
        for name in names:
            (made / name).rename(folder / name)

    monkeypatch.setattr("rbmlib.mnist.download.download", fetched)
    assert data.find_mnist() == places / "cache" / "data" / "MNIST" / "raw"
    assert len(data.mnist().train) == 30


def test_offline_one_sentence_says_where_to_put_which_files(places, monkeypatch):
    raw, cached = (places / name / "MNIST" / "raw" for name in ("data", "cache/data"))
    files = (
        "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and "
        "t10k-labels-idx1-ubyte.gz"
    )
    with pytest.raises(data.DataNotFoundError) as caught:
        data.mnist()
    assert str(caught.value) == (
        f"MNIST is not in {raw} and {cached} and cannot be downloaded "
        "(Error downloading train-images-idx3-ubyte.gz: Tried a mirror): "
        f"put the four original files {files} into {raw}"
    )
    monkeypatch.delenv("RBMLIB_DATA")
    with pytest.raises(data.DataNotFoundError) as caught:
        data.mnist()
    assert str(caught.value).endswith(
        f"put the four original files {files} into {cached}, or into the folder MNIST/raw of one that "
        "RBMLIB_DATA names"
    )
    assert not (places / "data").exists()
    assert not (places / "cache").exists()


def test_without_torchvision_the_sentence_says_what_to_install(places, monkeypatch):
    def missing(folder, names):
        raise ModuleNotFoundError("No module named 'torchvision'")

    monkeypatch.setattr("rbmlib.mnist.download.download", missing)
    with pytest.raises(data.DataNotFoundError, match=re.escape("pip install 'rbmlib[torch]'")):
        data.mnist()


def test_a_damaged_original_is_named(places, monkeypatch):
    raw = places / "data" / "MNIST" / "raw"
    write_small_mnist(raw, monkeypatch)
    path = raw / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        data.DataFileError, match=rf"^{re.escape(str(path))} is damaged: its MD5 sum is \w+, not \w+; "
    ):
        data.mnist()
    assert not (places / "cache").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(b"\0\0"),
        gzip.compress(struct.pack(">HBBI", 0, 8, 1, 5) + b"1234"),
        gzip.compress(struct.pack(">HBBI", 0, 13, 1, 1) + b"1234"),
        idx(np.zeros(5, np.uint8))[:-9],
    ],
)
def test_what_is_no_idx_file_is_refused(tmp_path, content):
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    with pytest.raises(data.DataFileError, match=r"file\.gz (cannot be read as|is not) a"):
        data.read_idx(path)


def test_images_and_labels_must_belong_together(places, monkeypatch):
    raw = places / "data" / "MNIST" / "raw"
    write_small_mnist(raw, monkeypatch)
    path = raw / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(idx(np.zeros(3, np.uint8)))
    monkeypatch.setitem(data.MNIST_FILES, path.name, hashlib.md5(path.read_bytes()).hexdigest())
    with pytest.raises(data.DataFileError, match=r"must hold images \(n, height, width\) and n labels, not "):
        data.mnist()


def test_any_other_set_is_loaded_from_its_file_and_held_to_its_checksum(images, tmp_path):
    path = tmp_path / "glyphs.npz"
    images.save(path)
    assert data.load(str(path), images.checksum).checksum == images.checksum
    with pytest.raises(
        data.DataFileError, match=rf"have the checksum {images.checksum[:12]}, not 0123456789ab as asked"
    ):
        data.load(str(path), "0123456789abcdef")
    with pytest.raises(data.DataNotFoundError, match="there is no file of images at "):
        data.load(str(tmp_path / "none.npz"))
    path.write_bytes(b"PK")
    with pytest.raises(data.DataFileError, match="is not a complete set of images"):
        data.load(str(path))


def test_reading_images_imports_neither_torch_nor_anything_of_the_lab(tmp_path):
    script = (
        "import sys\n"
        "from rbmlib.mnist import appearance, data, diversity, images, judge, negatives, network, quality\n"
        "try:\n    data.load('none.npz')\nexcept LookupError:\n    pass\n"
        "print([n for n in sys.modules if n.split('.')[0] in ('torch', 'torchvision', 'xarray') or n.startswith('rbmlib.lab')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


# Where the original files are at hand (the checks of the project see to it), they are read for real.
_ORIGINALS = Path(os.environ.get("RBMLIB_DATA", "."), "MNIST", "raw").absolute()
if all((_ORIGINALS / name).is_file() for name in data.MNIST_FILES):

    class SilentHandler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    @pytest.fixture
    def originals(tmp_path, monkeypatch):
        monkeypatch.setenv("RBMLIB_DATA", str(_ORIGINALS.parents[1]))
        monkeypatch.setenv("RBMLIB_CACHE", str(tmp_path / "cache"))
        return tmp_path

    def test_mnist_itself_has_the_published_checksum(originals):
        images = data.load("mnist", data.MNIST_CHECKSUM)
        assert (images.train.shape, images.test.shape) == ((60_000, 784), (10_000, 784))
        assert np.bincount(images.test_labels).tolist() == [
            980,
            1135,
            1032,
            1010,
            982,
            892,
            958,
            1028,
            974,
            1009,
        ]

    def test_torchvision_downloads_and_verifies_mnist(originals, monkeypatch):
        from rbmlib.mnist import download

        handler = functools.partial(SilentHandler, directory=str(_ORIGINALS))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_port}/"
            monkeypatch.setattr(download._datasets().MNIST, "mirrors", [address])
            monkeypatch.setenv("RBMLIB_DATA", str(originals / "empty"))
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            folder = data.find_mnist()
            server.shutdown()
        assert folder == originals / "cache" / "data" / "MNIST" / "raw"
        assert sorted(path.name for path in folder.iterdir()) == sorted(data.MNIST_FILES)
        assert [path.name for path in folder.parents[1].iterdir()] == ["MNIST"]
