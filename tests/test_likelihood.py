"""The exact likelihood, its gradient, and the fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbmlib.likelihood import Empirical, ExactLikelihood, fit
from rbmlib.pseudo_likelihood import log_pseudo_likelihood
from rbmlib.rbm import RBM


def states_of(n):
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.uint8)


def parameters(n_visible, n_hidden, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_visible, n_hidden)), rng.normal(size=n_visible), rng.normal(size=n_hidden)


def brute_force(data, weights, visible_bias, hidden_bias):
    """The likelihood and its gradient by summing over all pairs of states."""
    v, h = (states_of(len(bias)).astype(float) for bias in (visible_bias, hidden_bias))
    joint = np.exp(np.einsum("vi,ij,hj->vh", v, weights, h) + (v @ visible_bias)[:, None] + h @ hidden_bias)
    z = joint.sum()
    q = np.bincount(data @ (1 << np.arange(data.shape[1])), minlength=len(v)) / len(data)
    clamped = q[:, None] * joint / joint.sum(axis=1, keepdims=True)
    excess = clamped - joint / z
    value = (q * np.log(joint.sum(axis=1) / z)).sum()
    return (
        value, np.einsum("vh,vi,hj->ij", excess, v, h), np.einsum("vh,vi->i", excess, v), np.einsum("vh,hj->j", excess, h),
    )  # fmt: skip


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_value_and_gradient_are_those_of_brute_force(n_visible, n_hidden, n_samples, seed):
    data = np.random.default_rng(seed).integers(0, 2, (n_samples, n_visible)).astype(np.uint8)
    point = parameters(n_visible, n_hidden, seed)
    found = ExactLikelihood(data, n_hidden).value_and_gradient(*point)
    for mine, other in zip(found, brute_force(data, *point), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-12)


def test_the_gradient_is_that_of_finite_differences():
    data = np.random.default_rng(1).integers(0, 2, (30, 5)).astype(np.uint8)
    likelihood = ExactLikelihood(data, 3)
    point = parameters(5, 3, 2)
    gradient = likelihood.value_and_gradient(*point)[1:]
    step = 1e-5
    for which in range(3):
        for at in np.ndindex(point[which].shape):
            values = []
            for sign in (1, -1):
                moved = [x.copy() for x in point]
                moved[which][at] += sign * step
                values.append(likelihood.value_and_gradient(*moved)[0])
            assert gradient[which][at] == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-9)


def test_the_likelihood_of_a_machine_is_its_mean_log_probability():
    data = np.random.default_rng(1).integers(0, 2, (30, 5)).astype(np.uint8)
    rbm = RBM(*parameters(5, 3, 4))
    expected = rbm.log_probabilities()[data @ (1 << np.arange(5))].mean()
    assert ExactLikelihood(data, 3).of(rbm) == pytest.approx(expected, rel=1e-12)


def test_distinct_rows_are_counted():
    data = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1], [1, 1, 1]])
    empirical = Empirical.of(data)
    counted = {
        tuple(state): p for state, p in zip(empirical.states.tolist(), empirical.probability, strict=True)
    }
    assert counted == {(1, 0, 1): 0.5, (0, 0, 0): 0.25, (1, 1, 1): 0.25}
    wide = np.random.default_rng(3).integers(0, 2, (100, 20))
    assert len(Empirical.of(np.concatenate([wide, wide])).states) == len(np.unique(wide, axis=0))


def test_a_fit_without_hidden_structure_reaches_the_known_optimum():
    """Independent units, all weights masked: the biases are the log odds of the data."""
    data = np.array([[0, 1], [1, 1], [1, 0], [1, 1]], np.uint8)
    rbm = RBM(np.zeros((2, 2)), np.zeros(2), np.zeros(2), np.zeros((2, 2), bool))
    found = fit(rbm, data, tolerance=1e-9)
    np.testing.assert_allclose(found.rbm.visible_bias, np.log(3), rtol=1e-6)
    assert found.log_likelihood == pytest.approx(2 * (0.75 * np.log(0.75) + 0.25 * np.log(0.25)), rel=1e-12)
    assert not found.rbm.weights.any()


def test_a_fit_reaches_at_least_the_likelihood_of_the_source():
    source = RBM(*parameters(5, 2, 7))
    data = source.sample(20_000, 1, 200)
    found = fit(RBM.random(5, 2, 3), data, penalty=0.0, tolerance=1e-6)
    assert found.converged
    assert found.log_likelihood >= ExactLikelihood(data, 2).of(source)
    # Twice the log-likelihood ratio is chi-square with 17 degrees of freedom, if the source is its own best fit.
    assert 2 * len(data) * (found.log_likelihood - ExactLikelihood(data, 2).of(source)) < 17 + 5 * np.sqrt(34)
    assert np.abs(found.rbm.probabilities() - source.probabilities()).max() < 0.02


def test_a_machine_with_a_hidden_unit_for_each_state_fits_any_data():
    data = np.array([[0, 0, 1]] * 5 + [[1, 1, 0]] * 3 + [[1, 1, 1]] * 2, np.uint8)
    found = fit(RBM.random(3, 4, 1, scale=1.0), data, penalty=0.0, tolerance=1e-4)
    assert found.log_likelihood == pytest.approx(
        (np.array([5, 3, 2]) / 10 * np.log([0.5, 0.3, 0.2])).sum(), abs=1e-3
    )


def test_the_stopping_rule_is_the_largest_component_of_the_penalised_gradient():
    data = RBM(*parameters(6, 3, 7)).sample(2000, 1, 50)
    mask = np.random.default_rng(4).random((6, 3)) < 0.7
    for tolerance in (1e-2, 1e-4):
        found = fit(RBM.random(6, 3, 2, mask=mask), data, penalty=1e-3, tolerance=tolerance)
        assert found.converged
        assert found.largest_gradient <= tolerance
        rbm = found.rbm
        assert not rbm.weights[~mask].any()
        point = [x.astype(float) for x in (rbm.weights, rbm.visible_bias, rbm.hidden_bias)]
        value, by_weights, by_visible, by_hidden = ExactLikelihood(data, 3).value_and_gradient(*point)
        gradient = np.concatenate([(by_weights - 1e-3 * point[0])[mask], by_visible, by_hidden])
        assert np.abs(gradient).max() == pytest.approx(found.largest_gradient, abs=1e-6)
        assert found.log_likelihood == pytest.approx(value, abs=1e-9 + 1e-6 * tolerance)


def test_a_larger_penalty_makes_smaller_weights():
    data = RBM(*parameters(6, 3, 7)).sample(2000, 1, 50)
    norms = [(fit(RBM.random(6, 3, 2), data, penalty=p).rbm.weights ** 2).sum() for p in (1e-4, 1e-2, 1.0)]
    assert norms[0] > norms[1] > norms[2]


def test_a_fit_that_runs_out_of_iterations_says_so_and_calls_back_after_each():
    data = RBM(*parameters(6, 3, 7)).sample(2000, 1, 50)
    seen = []
    found = fit(
        RBM.random(6, 3, 2),
        data,
        tolerance=1e-12,
        max_iterations=5,
        callback=lambda rbm, n: seen.append((rbm, n)),
    )
    assert not found.converged
    assert found.n_iterations == 5
    assert [n for _, n in seen] == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(seen[-1][0].weights, found.rbm.weights)
    values = [ExactLikelihood(data, 3).of(rbm) for rbm, _ in seen]
    assert values[-1] > values[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ExactLikelihood([[0, 1]], 17),
            "sums over at most 16 hidden units, not 17; train by contrastive divergence",
        ),
        (lambda: ExactLikelihood([[0, 1]], 0), "at most 16 hidden units, not 0"),
        (lambda: Empirical.of(np.zeros((0, 3))), "data must have at least one row"),
        (lambda: Empirical.of([[0, 3]]), "data must hold 0 and 1 only, not 3"),
        (
            lambda: fit(RBM.random(2, 2, 1), [[0, 1]], penalty=-1.0),
            r"penalty must be a finite number >= 0, not -1\.0",
        ),
        (
            lambda: fit(RBM.random(2, 2, 1), [[0, 1]], tolerance=np.nan),
            "tolerance must be a finite number >= 0, not nan",
        ),
    ],
)
def test_a_bad_argument_is_named_with_what_was_given(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("size", [300.0, 599.0])
@pytest.mark.parametrize("state", [[0, 0], [0, 1], [1, 1]])
def test_pseudo_likelihood_of_large_weights_is_that_of_free_energies(size, state):
    machine = RBM(np.full((2, 1), size), np.full(2, -size), np.full(1, -size))
    states = np.array([state])
    losses = 0.0
    for unit in range(2):
        flipped = states.copy()
        flipped[0, unit] ^= 1
        change = machine.free_energy(states)[0] - machine.free_energy(flipped)[0]
        losses += np.logaddexp(0.0, change)
    np.testing.assert_allclose(log_pseudo_likelihood(machine, states), [-losses], rtol=1e-9, atol=1e-100)


def test_pseudo_likelihood_refuses_weights_that_it_cannot_weigh():
    # The true value is 2 log(1/3) = -2.197; the probability of the hidden unit underflows.
    machine = RBM(np.full((2, 1), 720.0), np.full(2, -720.0), np.full(1, -720.0))
    with pytest.raises(ValueError, match=r"weights must lie within 600 of zero .*, not up to 720"):
        log_pseudo_likelihood(machine, [[1, 1]])
