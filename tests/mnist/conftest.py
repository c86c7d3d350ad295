"""Small images that can be told apart: bars, crosses and frames on a grid of 12 x 12."""

import numpy as np
import pytest

from rbmlib.mnist.images import Images

SHAPE = (12, 12)


def glyphs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of three classes at random places, with a few flipped pixels, and their labels."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, *SHAPE), np.uint8)
    labels = np.arange(n) % 3
    for image, label, y, x in zip(images, labels, rng.integers(0, 4, n), rng.integers(0, 4, n), strict=True):
        if label == 0:
            image[y : y + 9, x + 4 : x + 6] = 1
        elif label == 1:
            image[y + 4 : y + 6, x : x + 9] = 1
            image[y : y + 9, x + 4 : x + 6] = 1
        else:
            image[y : y + 8, x : x + 8] = 1
            image[y + 2 : y + 6, x + 2 : x + 6] = 0
    flipped = rng.random(images.shape) < 0.01
    return (images ^ flipped).reshape(n, -1).astype(np.uint8), labels


@pytest.fixture(scope="session")
def images() -> Images:
    """600 glyphs for training, 300 for tests."""
    (train, train_labels), (test, test_labels) = glyphs(600, 1), glyphs(300, 2)
    return Images(train, test, SHAPE, train_labels, test_labels, "glyphs")
