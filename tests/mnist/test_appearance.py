"""What images look like, against slow counterparts and against noise."""

import math

import numpy as np
import pytest

from rbmlib.mnist.appearance import appearance, noise_of_equal_ink

SHAPE = (6, 9)


def slow_looks(images):
    square = images.reshape(-1, *SHAPE)
    distances, radii, touching, total = [], [], 0, 0
    for image in square:
        places = [(y, x) for y in range(6) for x in range(9) if image[y, x]]
        total += len(places)
        touching += sum((y + 1, x) in places for y, x in places) + sum(
            (y, x + 1) in places for y, x in places
        )
        if places:
            cy, cx = (sum(place[axis] for place in places) / len(places) for axis in (0, 1))
            distances.append(math.hypot(cy - 2.5, cx - 4))
            radii.append(math.sqrt(sum((y - cy) ** 2 + (x - cx) ** 2 for y, x in places) / len(places)))
    q = images.mean()
    return (
        q, np.mean(distances), np.mean(radii), touching / total, images.var(axis=0).mean() / (q * (1 - q)),
        (images.sum(axis=1) == 0).mean(),
    )  # fmt: skip


def test_looks_are_those_of_the_definitions():
    rng = np.random.default_rng(1)
    images = (rng.random((40, 54)) < rng.random((40, 1)) / 2).astype(np.uint8)
    images[5] = 0
    assert appearance(images, SHAPE) == pytest.approx(slow_looks(images), rel=1e-12)
    assert appearance(images.reshape(-1, 6, 9), SHAPE) == appearance(images, SHAPE)


def test_noise_looks_like_the_noise_that_it_is_compared_with():
    noise = (np.random.default_rng(2).random((20_000, 784)) < 0.13).astype(np.uint8)
    found = appearance(noise, (28, 28))
    expected = noise_of_equal_ink(found.ink, (28, 28))
    assert found[:4] == pytest.approx(expected[:4], rel=0.01)
    assert found.variation == pytest.approx(1, abs=0.001)


def test_one_image_again_and_again_varies_by_nothing():
    found = appearance(np.tile(np.eye(6, 9, dtype=np.uint8).reshape(1, -1), (30, 1)), SHAPE)
    assert (found.variation, found.blank) == (0.0, 0.0)


def test_images_without_ink_have_no_place():
    found = appearance(np.zeros((3, 54)), SHAPE)
    assert (found.ink, found.blank) == (0.0, 1.0)
    assert np.isnan([found.off_centre, found.radius, found.contact, found.variation]).all()


def test_images_of_another_shape_are_refused():
    with pytest.raises(
        ValueError, match=r"images must have the shape \(n_images, 54\) or \(n_images, 6, 9\), not "
    ):
        appearance(np.zeros((3, 50)), SHAPE)
    for ink in (0, 1, -0.1):
        with pytest.raises(ValueError, match=r"ink must lie in \(0, 1\), not "):
            noise_of_equal_ink(ink, SHAPE)
