"""Matrix product states: amplitudes, probabilities and samples against slow, obvious twins."""

import itertools
import math

import numpy as np
import pytest

from rbmlib.kernels.philox import STREAM_MPS, fill_words
from rbmlib.quantum import MatrixProductState, all_states, decode, encode, exact_diagonalization


def random_state(n_spins, bond, seed):
    """A right-canonical state without any symmetry, bond dimensions up to ``bond``."""
    rng = np.random.default_rng(seed)
    dimensions = [min(2**i, 2 ** (n_spins - i), bond) for i in range(n_spins + 1)]
    tensors = []
    for left, right in itertools.pairwise(dimensions):
        q, _ = np.linalg.qr(rng.normal(size=(2 * right, left)))
        tensors.append(q.T.reshape(left, 2, right))
    return MatrixProductState(tuple(tensors))


def slow_amplitude(state, configuration):
    row = np.ones(1)
    for tensor, spin in zip(state.tensors, configuration, strict=True):
        row = row @ tensor[:, spin, :]
    return row[0]


def slow_sample(state, seed, index):
    words = np.empty(4 * math.ceil(state.n_spins / 4), np.uint32)
    fill_words(words, 0, index, STREAM_MPS, seed)
    row = np.ones(1)
    spins = []
    for tensor, word in zip(state.tensors, words, strict=False):
        down, up = row @ tensor[:, 0, :], row @ tensor[:, 1, :]
        p_down, p_up = down @ down, up @ up
        u = (2 * int(word) + 1) * 2.0**-33
        spins.append(int(u * (p_up + p_down) < p_up))
        row = up / math.sqrt(p_up) if spins[-1] else down / math.sqrt(p_down)
    return spins


STATES = {
    "critical": lambda chain: chain(10, 1.0),
    "weak field": lambda chain: chain(9, 0.1),
    "pair": lambda chain: chain(2, 0.5),
    "random": lambda chain: random_state(9, 7, 1),
    "random product": lambda chain: random_state(5, 1, 2),
}


@pytest.fixture(params=STATES, scope="module")
def state(request, chain):
    return STATES[request.param](chain)


def test_amplitudes_are_matrix_products_in_the_order_of_the_codes(state):
    slow = np.array([slow_amplitude(state, v) for v in all_states(state.n_spins)])
    assert np.abs(state.amplitudes() - slow).max() < 1e-14
    assert (state.probabilities() == state.amplitudes() ** 2).all()
    assert state.probabilities().sum() == pytest.approx(1.0, abs=1e-9)


def test_log_probabilities_agree_with_the_amplitudes(state):
    expected = state.probabilities()
    assert np.abs(np.exp(state.log_probability(all_states(state.n_spins))) - expected).max() < 1e-13


def test_samples_equal_those_of_the_slow_twin(state):
    drawn = state.sample(300, 2**63 + 11)
    assert drawn.dtype == np.uint8
    assert drawn.tolist() == [slow_sample(state, 2**63 + 11, index) for index in range(300)]


def test_samples_follow_the_exact_probabilities(state):
    n_samples, p = 400_000, state.probabilities()
    counts = np.bincount(encode(state.sample(n_samples, 7)), minlength=p.size)
    frequent = n_samples * p > 10
    # What is rare is taken together.
    observed = np.append(counts[frequent], counts[~frequent].sum())
    expected = n_samples * np.append(p[frequent], p[~frequent].sum())
    observed, expected = observed[expected > 10], expected[expected > 10]
    chi_squared, freedom = ((observed - expected) ** 2 / expected).sum(), observed.size - 1
    assert abs(chi_squared - freedom) < 6 * math.sqrt(2 * freedom) + 12


def test_samples_do_not_depend_on_the_batches(state):
    whole = state.sample(200, 3)
    parts = [state.sample(n, 3, first_sample=first) for first, n in ((0, 1), (1, 32), (33, 100), (133, 67))]
    assert np.array_equal(whole, np.concatenate(parts))
    assert not np.array_equal(whole, state.sample(200, 4))
    assert np.array_equal(
        state.sample(1, 3, first_sample=2**32 - 1), state.sample(1, 3, first_sample=2**32 - 1)
    )


def test_the_symmetric_path_of_the_sampler_equals_the_general_one(chain):
    """A rotation within a bond hides the signs of the spin flip, so that the general path is taken, for the same state."""
    symmetric = chain(10, 1.0)
    tensors = list(symmetric.tensors)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=2 * (tensors[4].shape[2],)))
    tensors[4] = np.einsum("asb,bc->asc", tensors[4], rotation)
    tensors[5] = np.einsum("bc,bsd->csd", rotation, tensors[5])
    general = MatrixProductState(tuple(tensors))
    assert np.array_equal(symmetric.sample(2000, 5), general.sample(2000, 5))
    configurations = symmetric.sample(50, 5)
    difference = symmetric.log_probability(configurations) - general.log_probability(configurations)
    assert np.abs(difference).max() < 1e-11


@pytest.mark.slow
def test_a_long_chain_is_sampled_without_underflow(chain):
    state = chain(50, 1.0)
    samples = state.sample(50_000, 1)
    assert samples[:40].tolist() == [slow_sample(state, 1, index) for index in range(40)]
    magnetization = np.abs(2.0 * samples.mean(axis=1) - 1.0)
    assert abs(magnetization.mean() - 0.44921002) < 5 * magnetization.std() / math.sqrt(50_000)
    slow = [2 * math.log(abs(slow_amplitude(state, v))) for v in samples[:20]]
    assert np.abs(state.log_probability(samples[:20]) - slow).max() < 1e-9


def test_a_state_of_two_thousand_spins_neither_underflows_nor_takes_wrong_draws():
    turn = np.array(
        [[[math.sqrt(0.7), 0.0], [0.0, math.sqrt(0.3)]], [[0.0, math.sqrt(0.7)], [math.sqrt(0.3), 0.0]]]
    )
    first = turn[:1]
    last = np.array([[[1.0], [0.0]], [[0.0], [1.0]]])
    state = MatrixProductState((first, *([turn] * 1998), last))
    samples = state.sample(64, 9)
    assert samples[5].tolist() == slow_sample(state, 9, 5)
    logs = state.log_probability(samples)
    assert (logs < -1000).all()
    assert np.isfinite(logs).all()


def test_an_impossible_configuration_has_probability_zero():
    up = np.zeros((1, 2, 1))
    up[0, 1, 0] = 1.0
    state = MatrixProductState((up, up))
    assert state.log_probability([[1, 1], [1, 0], [0, 1]]).tolist() == [0.0, -math.inf, -math.inf]
    assert state.sample(40, 0).all()


def test_a_state_is_the_same_after_storage(chain):
    state = chain(10, 1.0)
    dataset = state.to_dataset()
    again = MatrixProductState.from_dataset(dataset)
    assert again.energy == state.energy
    assert len(again.tensors) == len(state.tensors)
    assert all(np.array_equal(a, b) for a, b in zip(again.tensors, state.tensors, strict=True))
    assert {variable.dtype.kind for variable in dataset.variables.values()} <= {"f", "i"}


def test_a_state_cannot_be_changed_in_place(chain):
    with pytest.raises(ValueError, match="read-only"):
        chain(2, 0.5).tensors[0][0] = 0.0


def test_codes_have_site_zero_in_the_lowest_bit():
    assert encode([[1, 0, 0], [0, 0, 1]]).tolist() == [1, 4]
    assert decode([1, 4], 3).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert np.array_equal(encode(all_states(5)), np.arange(32))


def test_exact_diagonalisation_and_dmrg_use_the_same_codes(chain):
    """A chain is mirror symmetric, so the codes are told apart by a state that is not."""
    tilted = random_state(6, 8, 3)
    assert not np.allclose(tilted.amplitudes(), tilted.amplitudes()[encode(all_states(6)[:, ::-1])])
    exact = exact_diagonalization.ground_state(10, 1.0).amplitudes
    assert np.abs(chain(10, 1.0).amplitudes() - exact).max() < 1e-9


SINGLE = np.full((1, 2, 1), math.sqrt(0.5))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: MatrixProductState(()), ValueError, "tensors must hold at least one tensor"),
        (
            lambda: MatrixProductState((SINGLE, np.ones((2, 2, 1)))),
            ValueError,
            r"tensors\[1\] must have the shape \(1",
        ),
        (lambda: MatrixProductState((2 * SINGLE,)), ValueError, "right-canonical"),
        (lambda: MatrixProductState((SINGLE * np.nan,)), ValueError, r"tensors\[0\] must be finite"),
        (lambda: MatrixProductState((np.full((1, 2, 2), 0.5),)), ValueError, "chi_right = 1, not 2"),
        (lambda: MatrixProductState((SINGLE,), "low"), TypeError, "energy must be a number"),
        (
            lambda: MatrixProductState((SINGLE,) * 25).amplitudes(),
            ValueError,
            "at most 24 spins, not 25; use",
        ),
        (
            lambda: MatrixProductState((SINGLE,)).sample(0, 1),
            ValueError,
            "n_samples must be at least 1, not 0",
        ),
        (
            lambda: MatrixProductState((SINGLE,)).sample(1, -1),
            ValueError,
            r"seed must lie in \[0, 2\*\*64\), not -1",
        ),
        (lambda: MatrixProductState((SINGLE,)).sample(1, 0.5), TypeError, "seed must be an integer, not 0.5"),
        (
            lambda: MatrixProductState((SINGLE,)).sample(2, 1, first_sample=2**32 - 1),
            ValueError,
            "first_sample must lie in",
        ),
        (
            lambda: MatrixProductState((SINGLE,)).log_probability([[2]]),
            ValueError,
            "only 0 .* and 1 .* but holds 2",
        ),
        (lambda: MatrixProductState((SINGLE,)).log_probability([[0.5]]), ValueError, "but holds 0.5"),
        (lambda: MatrixProductState((SINGLE,)).log_probability([[math.nan]]), ValueError, "but holds nan"),
        (lambda: MatrixProductState((SINGLE,)).log_probability([[0, 1]]), ValueError, "must have 1 columns"),
        (lambda: MatrixProductState((SINGLE,)).log_probability([0, 1]), ValueError, "must have the shape"),
        (lambda: decode([8], 3), ValueError, r"codes must lie in \[0, 2\*\*3\)"),
        (lambda: decode([0.5], 3), ValueError, "one-dimensional integer array"),
        (lambda: all_states(25), ValueError, "n_spins must be at most 24 here, not 25"),
        (lambda: encode(np.zeros((1, 63))), ValueError, "at most 62"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_dataset_that_is_no_state_is_refused(chain):
    dataset = chain(2, 0.5).to_dataset()
    with pytest.raises(ValueError, match="must hold energy to be"):
        MatrixProductState.from_dataset(dataset.drop_vars("energy"))
    with pytest.raises(ValueError, match="positive integers"):
        MatrixProductState.from_dataset(dataset.assign(bond_dimensions=("bond", [1, -2, 1])))
    with pytest.raises(ValueError, match="elements to fit bond_dimensions"):
        MatrixProductState.from_dataset(dataset.assign(bond_dimensions=("bond", [1, 1, 1])))
