"""Sets of binary images: what they refuse, how they are split, binarised, kept and named by a checksum."""

import re

import numpy as np
import pytest

from rbmlib.mnist.images import Images, binarise, binarise_at_random, disjoint_subsets, permutation, split


def test_a_set_keeps_its_images_as_rows_of_zeros_and_ones(images):
    squares = Images(images.train.reshape(-1, 12, 12), images.test.astype(float), (12, 12))
    assert squares.train.shape == (600, 144)
    assert squares.train.dtype == squares.test.dtype == np.uint8
    assert np.array_equal(squares.train, images.train)
    assert squares.n_pixels == 144


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": np.full((5, 144), 2)}, "train must hold 0 and 1 only, not 2"),
        ({"test": np.full((5, 144), 0.5)}, "test must hold 0 and 1 only, not 0.5"),
        (
            {"train": np.zeros((5, 100))},
            "train must have the shape (n_images, 144) or (n_images, 12, 12), not (5, 100)",
        ),
        ({"train": np.zeros((0, 144))}, "train must hold at least one image; it is empty"),
        (
            {"train": np.ones((600, 144))},
            "train must hold at least two different images; its 600 are all the same",
        ),
        ({"shape": (12, 0)}, "shape must be two positive integers (height, width), not (12, 0)"),
        ({"train_labels": None}, "train_labels and test_labels must be given together or not at all"),
        (
            {"train_labels": np.zeros(3, int)},
            "train_labels must be 600 integers, one an image, not int64 of shape (3,)",
        ),
        ({"test_labels": np.full(300, 256)}, "test_labels must lie from 0 to 255, not 256 to 256"),
    ],
)
def test_what_is_no_set_of_binary_images_gets_one_sentence(images, change, message):
    fields = {
        name: getattr(images, name) for name in ("train", "test", "shape", "train_labels", "test_labels")
    }
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Images(**fields | change)


def test_the_checksum_knows_pixels_labels_and_shape_but_not_the_name(images):
    def checksum(**change):
        fields = {n: getattr(images, n) for n in ("train", "test", "shape", "train_labels", "test_labels")}
        return Images(**fields | change).checksum

    other = images.test.copy()
    other[7, 3] ^= 1
    labels = images.test_labels.copy()
    labels[0] = 9
    assert checksum() == checksum(name="another") == images.checksum
    changed = [
        checksum(test=other),
        checksum(test_labels=labels),
        checksum(train_labels=None, test_labels=None),
        checksum(shape=(9, 16)),
        checksum(
            train=images.test,
            test=images.train,
            train_labels=images.test_labels,
            test_labels=images.train_labels,
        ),
    ]
    assert len({images.checksum, *changed}) == 6


def test_a_set_comes_back_from_its_file_and_a_damaged_file_does_not(images, tmp_path):
    path = tmp_path / "glyphs.npz"
    images.save(path)
    again = Images.load(path)
    assert (again.checksum, again.name, again.shape) == (images.checksum, "glyphs", (12, 12))
    content = bytearray(path.read_bytes())
    for at in (len(content) // 2, len(content) // 3):
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"glyphs\.npz is not a complete set of images: "):
            Images.load(path)
    path.write_bytes(content[:1000])
    with pytest.raises(ValueError, match="is not a complete set of images: "):
        Images.load(path)
    assert [p.name for p in tmp_path.iterdir()] == ["glyphs.npz"]


def test_a_set_with_changed_pixels_and_a_whole_archive_is_noticed(images, tmp_path):
    path = tmp_path / "glyphs.npz"
    images.save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["train"][0, 0] ^= 1
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="its images are not those that were written"):
        Images.load(path)


def test_a_split_is_one_of_rows_that_stay_with_their_labels(images):
    rows, labels = images.train[:90], images.train_labels[:90]
    one = split(rows.reshape(-1, 12, 12), 30, 5, labels=labels)
    assert (len(one.train), len(one.test)) == (60, 30)
    joined = np.concatenate([one.test, one.train])
    order = permutation_of(rows, joined)
    assert np.array_equal(np.concatenate([one.test_labels, one.train_labels]), labels[order])
    assert one.checksum == split(rows, 30, 5, shape=(12, 12), labels=labels).checksum
    assert one.checksum != split(rows, 30, 6, shape=(12, 12), labels=labels).checksum


def permutation_of(rows, joined):
    keys = {row.tobytes(): at for at, row in enumerate(rows)}
    return [keys[row.tobytes()] for row in joined]


@pytest.mark.parametrize("n_test", [0, 90, -1, 2.0, True])
def test_a_split_leaves_something_on_both_sides(images, n_test):
    with pytest.raises(ValueError, match="n_test must be an integer from 1 to 89, not "):
        split(images.train[:90], n_test, 0, shape=(12, 12))


def test_rows_without_a_shape_cannot_be_split(images):
    with pytest.raises(ValueError, match="images must have the shape"):
        split(images.train, 10, 0)


def test_binarising_is_a_strict_threshold():
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    assert binarise(grey).tolist() == [[0, 0, 1, 1]]
    assert binarise(grey, 128).tolist() == [[0, 0, 0, 1]]
    for threshold in (255, -1, 0.5):
        with pytest.raises(ValueError, match="threshold must be an integer from 0 to 254, not "):
            binarise(grey, threshold)
    with pytest.raises(ValueError, match="grey must be images of uint8, 0 to 255, not float64"):
        binarise(grey / 255)


def test_random_binarising_draws_each_pixel_with_the_probability_of_its_grey_value():
    grey = np.tile(np.array([0, 51, 128, 255], np.uint8), (20_000, 1))
    drawn = binarise_at_random(grey, 3)
    share = drawn.mean(axis=0)
    assert share[0] == 0
    assert share[3] == 1
    probability = grey[0] / 255
    assert (np.abs(share - probability) <= 5 * np.sqrt(probability * (1 - probability) / len(grey))).all()
    # An image's pixels follow from the seed and its number alone.
    assert np.array_equal(binarise_at_random(grey[:7], 3), drawn[:7])
    assert not np.array_equal(binarise_at_random(grey, 4), drawn)


def test_subsets_are_disjoint_random_and_the_same_for_a_seed():
    sets = disjoint_subsets(100, 20, 4, 9)
    assert sets.shape == (4, 20)
    assert len(np.unique(sets)) == 80
    assert np.array_equal(sets, disjoint_subsets(100, 20, 4, 9))
    assert sorted(permutation(1000, 1)) == list(range(1000))
    assert permutation(1000, 1).tolist() != permutation(1000, 2).tolist()
    with pytest.raises(ValueError, match=r"^6 disjoint sets of 20 images need 120; there are 100$"):
        disjoint_subsets(100, 20, 6, 9)
