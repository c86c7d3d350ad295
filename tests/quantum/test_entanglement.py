"""Schmidt values and entanglement entropies against the singular values of the whole state."""

import numpy as np
import pytest

from rbmlib.quantum import MatrixProductState
from rbmlib.quantum.entanglement import entanglement_entropies, schmidt_values


def product(*amplitudes):
    return MatrixProductState(tuple(np.array(pair, float).reshape(1, 2, 1) for pair in amplitudes))


def two_wells(n_spins, tilt):
    """All spins down with the amplitude ``tilt``, all spins up with the rest."""
    middle = np.zeros((2, 2, 2))
    middle[0, 0, 0] = middle[1, 1, 1] = 1.0
    first = np.array([[[tilt, 0.0], [0.0, np.sqrt(1 - tilt**2)]]])
    last = np.eye(2)[:, :, None]
    return MatrixProductState((first, *[middle] * (n_spins - 2), last))


@pytest.mark.parametrize("field", [0.5, 1.0, 2.0])
def test_entropies_are_those_of_the_reduced_states(chain, field):
    n_spins = 8
    state = chain(n_spins, field)
    amplitudes = state.amplitudes()
    slow = []
    for cut in range(1, n_spins):
        # Site 0 is the lowest bit of a code, so a column holds the left part.
        reduced = amplitudes.reshape(-1, 2**cut).T @ amplitudes.reshape(-1, 2**cut)
        weights = np.linalg.eigvalsh(reduced)
        slow.append(-sum(w * np.log(w) for w in weights if w > 1e-15))
    np.testing.assert_allclose(entanglement_entropies(state), slow, atol=1e-10)


def test_schmidt_values_are_those_of_the_state_as_a_matrix(chain):
    state = chain(8, 1.0)
    for cut, values in enumerate(schmidt_values(state), start=1):
        expected = np.linalg.svd(state.amplitudes().reshape(-1, 2**cut), compute_uv=False)
        np.testing.assert_allclose(values, expected[: len(values)], atol=1e-9)
        assert (values**2).sum() == pytest.approx(1.0)
        assert (np.diff(values) <= 0).all()


def test_a_product_state_is_not_entangled():
    entropies = entanglement_entropies(product((0.6, 0.8), (1.0, 0.0), (0.8, 0.6)))
    np.testing.assert_allclose(entropies, 0.0, atol=1e-15)
    assert (entropies >= 0).all()


@pytest.mark.parametrize("tilt", [np.sqrt(0.5), 0.3])
def test_two_wells_hold_the_entropy_of_their_weights_at_every_cut(tilt):
    p = tilt**2
    expected = -p * np.log(p) - (1 - p) * np.log(1 - p)
    np.testing.assert_allclose(entanglement_entropies(two_wells(5, tilt)), expected)
