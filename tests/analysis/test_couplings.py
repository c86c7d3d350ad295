"""Effective fields and couplings of the visible layer, against enumeration and integration that hide nothing."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbmlib.analysis.couplings import exact_couplings, gaussian_couplings
from rbmlib.rbm import RBM

SIZES = [(10, 4, 1.0), (12, 6, 0.4), (7, 9, 4.0), (3, 2, 0.01), (2, 1, 2.0), (1, 3, 1.0)]


def machine(n_visible, n_hidden, scale, seed=1, kept=1.0):
    rng = np.random.default_rng(seed)
    weights = scale * rng.normal(size=(n_visible, n_hidden))
    mask = rng.random(weights.shape) < kept
    return RBM(weights, rng.normal(size=n_visible), 2 * rng.normal(size=n_hidden), mask)


def all_spins(n):
    return 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1) - 1


def walsh_coefficients(rbm):
    """J_a and J_ab as means of log p~ times spins over all states of the machine."""
    weights, b, c = (x.astype(np.float64) for x in (rbm.weights, rbm.visible_bias, rbm.hidden_bias))
    spins = all_spins(rbm.n_visible)
    v = (spins + 1) / 2
    log_p = v @ b + np.logaddexp(0, c + v @ weights).sum(axis=1)
    pairs = np.einsum("na,nb,n->ab", spins, spins, log_p) / len(spins)
    return (spins * log_p[:, None]).mean(axis=0), pairs * (1 - np.eye(rbm.n_visible))


def enumerated(others):
    """All values of X and their probabilities."""
    states = all_spins(len(others))
    return states @ others, np.full(len(states), 1 / len(states))


def gaussian(others):
    """Values of a Gaussian X with the variance of what it sums, and their probabilities: a fine grid."""
    z = np.linspace(-9, 9, 3001)
    weight = np.exp(-z * z / 2)
    return z * np.sqrt((others**2).sum()), weight / weight.sum()


def effective_model(rbm, distribution, spins_left_out=True):
    """Eqs 9 to 12 as they stand, one hidden unit, one pair after the other."""
    weights, b, c = (x.astype(np.float64) for x in (rbm.weights, rbm.visible_bias, rbm.hidden_bias))
    fields = 0.5 * (b + 0.5 * weights.sum(axis=1))
    pairs = np.zeros((rbm.n_visible, rbm.n_visible))

    def log_cosh(x):
        return np.logaddexp(x, -x)

    for w, zeta in zip(weights.T / 4, 0.5 * (c + 0.5 * weights.sum(axis=0)), strict=True):
        for a in range(rbm.n_visible):
            x, p = distribution(np.delete(w, a) if spins_left_out else w)
            fields[a] += 0.5 * p @ (log_cosh(zeta + w[a] + x) - log_cosh(zeta - w[a] + x))
            for other in range(a):
                x, p = distribution(np.delete(w, [a, other]) if spins_left_out else w)
                plus, minus = w[a] + w[other], w[a] - w[other]
                above = log_cosh(zeta + plus + x) + log_cosh(zeta - plus + x)
                below = log_cosh(zeta + minus + x) + log_cosh(zeta - minus + x)
                pairs[a, other] += 0.25 * p @ (above - below)
    return fields, pairs + pairs.T


def assert_same(found, expected, tolerance):
    np.testing.assert_allclose(found.fields, expected[0], rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.couplings, expected[1], rtol=0, atol=tolerance)


def share_of_largest(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize(("n_visible", "n_hidden", "scale"), SIZES)
def test_exact_couplings_are_walsh_coefficients_of_the_whole_machine(n_visible, n_hidden, scale):
    rbm = machine(n_visible, n_hidden, scale)
    assert_same(exact_couplings(rbm), walsh_coefficients(rbm), 1e-12)


@pytest.mark.parametrize(("n_visible", "n_hidden", "scale"), SIZES[:1] + SIZES[2:])
def test_the_papers_equations_with_x_enumerated_are_exact(n_visible, n_hidden, scale):
    rbm = machine(n_visible, n_hidden, scale)
    expected = effective_model(rbm, enumerated)
    assert_same(exact_couplings(rbm), expected, 1e-12)
    for mine, other in zip(walsh_coefficients(rbm), expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kept", [1.0, 0.3])
@pytest.mark.parametrize(("n_visible", "n_hidden", "scale"), [*SIZES, (40, 3, 1.0), (9, 2, 30.0)])
def test_gaussian_couplings_are_the_papers_equations_integrated(n_visible, n_hidden, scale, kept):
    rbm = machine(n_visible, n_hidden, scale, kept=kept)
    assert_same(gaussian_couplings(rbm), effective_model(rbm, gaussian), 1e-12)


@pytest.mark.parametrize("scale", [0.3, 0.4, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_the_gaussian_is_within_half_a_per_cent_at_moderate_weights(scale, seed):
    rbm = machine(12, 6, scale, seed)
    found, exact = gaussian_couplings(rbm), exact_couplings(rbm)
    assert share_of_largest(found.couplings, exact.couplings) < 0.005
    assert share_of_largest(found.fields, exact.fields) < 0.005


@pytest.mark.parametrize("seed", range(4))
def test_a_gaussian_that_contains_the_spins_in_question_is_five_times_worse(seed):
    rbm = machine(10, 4, 1.0, seed)
    exact = exact_couplings(rbm).couplings
    error = share_of_largest(gaussian_couplings(rbm).couplings, exact)
    assert error < 0.03
    assert share_of_largest(effective_model(rbm, gaussian, spins_left_out=False)[1], exact) > 5 * error


@given(st.integers(0, 2), st.lists(st.floats(-1000, 1000), min_size=2, max_size=2), st.floats(-2000, 2000))
def test_couplings_of_no_more_than_two_weights_are_exact(n_weights, values, bias):
    weights = np.zeros((4, 1))
    weights[[3, 1][:n_weights], 0] = values[:n_weights]
    rbm = RBM(weights, [0.5, -1.0, 0.0, 2.0], [bias])
    found, exact = gaussian_couplings(rbm), exact_couplings(rbm)
    largest = 1 + np.abs(weights).max()
    np.testing.assert_allclose(found.couplings, exact.couplings, rtol=0, atol=1e-12 * largest)
    if n_weights < 2:
        np.testing.assert_allclose(found.fields, exact.fields, rtol=0, atol=1e-12 * largest)
    assert np.isfinite(found.fields).all()


@pytest.mark.parametrize("third", [1.0, 0.3, 0.1, 0.0])
def test_a_third_weight_leaves_an_error_of_its_fourth_power(third):
    """The Gaussian has the mean and the variance of one spin, and no fourth cumulant."""
    rbm = RBM([[2.0], [-1.5], [third], [0.0]], np.zeros(4), [0.7])
    found, exact = gaussian_couplings(rbm), exact_couplings(rbm)
    assert abs(found.couplings[0, 1] - exact.couplings[0, 1]) <= 1e-3 * third**4 + 1e-14
    assert_same(found, effective_model(rbm, gaussian), 1e-13)


def test_one_weight_makes_a_field_and_no_coupling():
    rbm = RBM([[0.0, 3.0], [2.0, 0.0], [0.0, 0.0]], np.zeros(3), [0.3, -1.0])
    for found in (gaussian_couplings(rbm), exact_couplings(rbm)):
        assert (found.couplings == 0).all()
        assert (found.fields[:2] != 0).all()
        assert found.fields[2] == 0


def test_a_machine_without_weights_has_the_fields_of_its_biases():
    rbm = machine(9, 5, 1.0, kept=0.0)
    for found in (gaussian_couplings(rbm), exact_couplings(rbm)):
        assert (found.couplings == 0).all()
        np.testing.assert_array_equal(found.fields, rbm.visible_bias.astype(np.float64) / 2)


@pytest.mark.parametrize(
    "weights", [[1000.0, 999.0, 1.0, 0.5], [300.0, 300.0, 300.0, 0.01], [800.0, 0.1, 0.1, 0.1]]
)
@pytest.mark.parametrize("bias", [-50.0, 40.0])
def test_dominant_weights_are_integrated_as_any_others(weights, bias):
    rbm = RBM(np.transpose([weights]), np.zeros(4), [bias - sum(weights) / 2])

    def fine(others):
        z = np.linspace(-9, 9, 200_001)
        weight = np.exp(-z * z / 2)
        return z * np.sqrt((others**2).sum()), weight / weight.sum()

    assert_same(gaussian_couplings(rbm), effective_model(rbm, fine), 1e-9)


def test_a_saturated_unit_is_a_field():
    rbm = RBM(np.ones((6, 2)), np.zeros(6), [1e4, -1e4])
    found = gaussian_couplings(rbm)
    assert (found.couplings == 0).all()
    np.testing.assert_array_equal(found.fields, np.full(6, 0.5))


@pytest.mark.parametrize("model", [gaussian_couplings, exact_couplings])
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_relabelling_units_and_states_relabels_the_model(model, seed):
    rng = np.random.default_rng(seed)
    # Multiples of 1/64, so that sums of parameters are not rounded.
    weights, b, c = (np.rint(64 * rng.normal(size=size)) / 64 for size in ((9, 5), 9, 5))
    weights[rng.random(weights.shape) < 0.3] = 0
    found = model(RBM(weights, b, c))
    assert (found.couplings == found.couplings.T).all()
    assert (np.diag(found.couplings) == 0).all()

    order = rng.permutation(9)
    moved = (found.fields[order], found.couplings[np.ix_(order, order)])
    assert_same(model(RBM(weights[order], b[order], c)), moved, 1e-13)

    same = (found.fields, found.couplings)
    order = rng.permutation(5)
    assert_same(model(RBM(weights[:, order], b, c[order])), same, 1e-13)
    assert_same(model(RBM(-weights, b + weights.sum(axis=1), -c)), same, 1e-13)
    flipped = (-found.fields, found.couplings)
    assert_same(model(RBM(-weights, -b, c + weights.sum(axis=0))), flipped, 1e-13)


def test_visible_units_without_weights_leave_the_bits_of_all_others():
    rbm = machine(300, 1, 1.0, kept=0.2)
    seen = np.flatnonzero(rbm.weights[:, 0])
    whole = gaussian_couplings(rbm)
    part = gaussian_couplings(RBM(rbm.weights[seen], rbm.visible_bias[seen], rbm.hidden_bias))
    np.testing.assert_array_equal(whole.fields[seen], part.fields)
    np.testing.assert_array_equal(whole.couplings[np.ix_(seen, seen)], part.couplings)
    assert np.count_nonzero(whole.couplings) == len(seen) * (len(seen) - 1)


def test_hidden_units_add_up():
    rbm = machine(30, 7, 1.0, kept=0.5)
    total = gaussian_couplings(rbm).couplings
    parts = [
        gaussian_couplings(RBM(rbm.weights[:, [j]], rbm.visible_bias, rbm.hidden_bias[[j]])).couplings
        for j in range(7)
    ]
    np.testing.assert_allclose(total, sum(parts), rtol=0, atol=1e-15)


def test_a_large_diluted_machine_is_enumerated_where_its_units_have_few_weights():
    rbm = machine(60, 5, 2.0, kept=0.1)
    assert np.count_nonzero(rbm.weights, axis=0).max() > 4
    found = exact_couplings(rbm)
    for j in range(5):
        seen = np.flatnonzero(rbm.weights[:, j])
        part = RBM(rbm.weights[np.ix_(seen, [j])], np.zeros(len(seen)), rbm.hidden_bias[[j]])
        found.couplings[np.ix_(seen, seen)] -= walsh_coefficients(part)[1]
    assert np.abs(found.couplings).max() < 1e-13


@pytest.mark.parametrize("model", [gaussian_couplings, exact_couplings])
def test_what_is_no_machine_is_refused(model):
    with pytest.raises(TypeError, match=r"^rbm must be an RBM, not ndarray$"):
        model(np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"^rbm must have weights of at most 1000 in magnitude, not 1001$"):
        model(RBM([[1001.0], [1.0]], [0, 0], [0]))


def test_a_unit_of_too_many_weights_is_not_enumerated():
    with pytest.raises(
        ValueError, match=r"at most 20 weights other than zero on each hidden unit .*, not 21; use"
    ):
        exact_couplings(machine(21, 2, 1.0))


@pytest.mark.stress
def test_a_machine_of_mnist_takes_seconds():
    gaussian_couplings(machine(9, 4, 1.0))
    for kept in (1.0, 0.4, 0.1):
        rbm = machine(784, 400, 0.2, kept=kept)
        begin = time.process_time()
        gaussian_couplings(rbm)
        assert time.process_time() - begin < 8
