"""Inner products of many vectors against numpy's."""

import numpy as np
import pytest

from rbmlib.kernels.overlaps import gram_matrix


@pytest.mark.parametrize(("n", "length"), [(1, 1), (5, 3), (7, 1000)])
def test_inner_products_equal_numpy_s_and_are_symmetric(n, length):
    rows = np.random.default_rng(n).normal(size=(n, length))
    gram = np.empty((n, n))
    gram_matrix(rows, gram)
    np.testing.assert_allclose(gram, rows @ rows.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(gram, gram.T)
