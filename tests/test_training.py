"""Training: resuming, masks, schedules, and what is refused."""

import numpy as np
import pytest

from rbmlib.rbm import RBM
from rbmlib.training import DivergedError, LearningRate, TrainingState, train

PARAMETERS = ("weights", "visible_bias", "hidden_bias")


def data_of(n_samples=50, n_visible=6):
    rng = np.random.default_rng(2)
    data = rng.integers(0, 2, (n_samples, n_visible)).astype(np.uint8)
    data[:, 1] = data[:, 0]
    return data


def masked_machine(n_visible=6, n_hidden=4):
    mask = np.random.default_rng(1).random((n_visible, n_hidden)) < 0.6
    return RBM.random(n_visible, n_hidden, 3, mask=mask)


def same_bits(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in PARAMETERS)


@pytest.mark.parametrize("n_chains", [None, 20])
@pytest.mark.parametrize("stops", [[1], [2, 2, 5], [0, 3]])
def test_an_interrupted_run_goes_on_with_the_same_bits(n_chains, stops):
    settings = {"n_epochs": 6, "learning_rate": LearningRate(0.3, 0.03), "seed": 8, "k": 2, "batch_size": 17}
    settings |= {"n_chains": n_chains, "weight_decay": 1e-3}
    whole = train(masked_machine(), data_of(), **settings)
    state = masked_machine()
    for until in [*stops, None]:
        state = train(state, data_of(), until_epoch=until, **settings)
        if until is not None:
            assert state.epoch == until
            assert state.updates == 3 * until
    assert same_bits(state.rbm, whole.rbm)
    assert (state.epoch, state.updates) == (whole.epoch, whole.updates) == (6, 18)
    if n_chains is None:
        assert state.chains is None
    else:
        np.testing.assert_array_equal(state.chains, whole.chains)
        assert state.chains.shape == (20, 6)


def test_training_leaves_its_arguments_alone():
    rbm, data = masked_machine(), data_of()
    before = (rbm.weights.copy(), data.copy())
    state = train(rbm, data, n_epochs=1, learning_rate=0.1, seed=1, n_chains=5)
    kept = state.chains.copy()
    train(state, data, n_epochs=2, learning_rate=0.1, seed=1, n_chains=5)
    np.testing.assert_array_equal(rbm.weights, before[0])
    np.testing.assert_array_equal(data, before[1])
    np.testing.assert_array_equal(state.chains, kept)


@pytest.mark.parametrize("n_chains", [None, 7])
def test_masked_weights_are_exactly_zero_after_training(n_chains):
    rbm = masked_machine()
    trained = train(
        rbm, data_of(), n_epochs=3, learning_rate=0.5, seed=1, batch_size=10, n_chains=n_chains
    ).rbm
    assert (trained.weights[~rbm.mask] == 0).all()
    assert (trained.weights[rbm.mask] != rbm.weights[rbm.mask]).all()
    np.testing.assert_array_equal(trained.mask, rbm.mask)


def test_a_fully_masked_machine_learns_its_biases():
    data = (np.random.default_rng(5).random((2000, 4)) < [0.1, 0.3, 0.5, 0.9]).astype(np.uint8)
    rbm = RBM(np.zeros((4, 3)), np.zeros(4), np.zeros(3), np.zeros((4, 3), bool))
    trained = train(
        rbm, data, n_epochs=100, learning_rate=LearningRate(1.0, 0.01), seed=1, k=1, batch_size=200
    ).rbm
    assert not trained.weights.any()
    np.testing.assert_allclose(1 / (1 + np.exp(-trained.visible_bias)), data.mean(axis=0), atol=0.02)


@pytest.mark.parametrize("n_chains", [None, 100])
def test_training_raises_the_likelihood_to_that_of_the_source(n_chains):
    source = RBM([[3.0, 0.0], [3.0, 0.0], [0.0, -3.0], [0.0, 3.0]], [-1.5, -1.5, 0.0, -1.5], [-3.0, 0.0])
    data = source.sample(4000, 1, 200)
    start = RBM.random(4, 2, 2)
    trained = train(
        start,
        data,
        n_epochs=60,
        learning_rate=LearningRate(0.5, 0.02),
        seed=1,
        k=5,
        batch_size=50,
        n_chains=n_chains,
    ).rbm
    likelihood = {
        name: -(rbm.free_energy(data).mean() + rbm.log_partition())
        for name, rbm in (("source", source), ("start", start), ("trained", trained))
    }
    assert likelihood["start"] < likelihood["source"] - 0.1
    assert likelihood["trained"] > likelihood["source"] - 0.01


def test_weight_decay_shrinks_weights_by_its_rate_and_no_biases():
    rbm = RBM.random(6, 4, 3, scale=2.0)
    settings = {"n_epochs": 1, "learning_rate": 0.1, "seed": 1, "k": 1, "batch_size": 50}
    plain, decayed = (train(rbm, data_of(), weight_decay=decay, **settings).rbm for decay in (0.0, 0.5))
    np.testing.assert_allclose(plain.weights - decayed.weights, 0.05 * rbm.weights, atol=1e-6)
    np.testing.assert_array_equal(plain.visible_bias, decayed.visible_bias)
    np.testing.assert_array_equal(plain.hidden_bias, decayed.hidden_bias)


def test_other_seeds_train_other_machines_and_the_same_seed_the_same():
    settings = {"n_epochs": 1, "learning_rate": 0.1, "k": 1, "batch_size": 10}
    first, again, other = (
        train(masked_machine(), data_of(), seed=seed, **settings).rbm for seed in (1, 1, 2)
    )
    assert same_bits(first, again)
    assert not same_bits(first, other)


def test_the_callback_sees_every_epoch():
    seen = []
    train(
        masked_machine(),
        data_of(),
        n_epochs=4,
        learning_rate=0.1,
        seed=1,
        batch_size=20,
        callback=seen.append,
    )
    assert [(state.epoch, state.updates) for state in seen] == [(1, 3), (2, 6), (3, 9), (4, 12)]
    assert not same_bits(seen[0].rbm, seen[1].rbm)


def test_one_sample_and_one_unit_suffice():
    state = train(RBM.random(1, 1, 0), [[1]], n_epochs=1, learning_rate=0.1, seed=0, k=1, batch_size=1)
    assert np.isfinite(state.rbm.weights).all()


@pytest.mark.parametrize("n_chains", [None, 10])
@pytest.mark.parametrize("absurd", [{"learning_rate": 3.4e38}, {"learning_rate": 1.0, "weight_decay": 1e4}])
def test_an_absurd_rate_is_reported_as_divergence(n_chains, absurd):
    with pytest.raises(
        DivergedError, match=r"diverged in epoch \d+ \(updates \d+ to \d+\).*lower the learning rate"
    ):
        train(
            RBM.random(6, 4, 1),
            data_of(),
            n_epochs=20,
            seed=1,
            k=1,
            batch_size=5,
            n_chains=n_chains,
            **absurd,
        )


# --- the schedule of the learning rate ---


def test_the_rate_falls_geometrically_from_first_to_last():
    rate = LearningRate(0.1, 0.001)
    found = np.array([rate.at(epoch, 500) for epoch in range(500)])
    np.testing.assert_allclose(found, 0.1 * 0.01 ** (np.arange(500) / 499), rtol=1e-14)
    assert found[0] == 0.1
    assert (np.diff(found) < 0).all()


def test_a_rate_without_a_last_value_and_a_run_of_one_epoch_are_constant():
    assert [LearningRate(0.3).at(epoch, 7) for epoch in (0, 3, 6)] == [0.3] * 3
    assert [LearningRate(0.3, 0.3).at(epoch, 7) for epoch in (0, 6)] == [0.3] * 2
    assert LearningRate(0.3, 0.1).at(0, 1) == 0.3


def test_the_rates_keep_their_bits():
    """Any processor gives these: a change would make published results unreachable."""
    found = [LearningRate(0.1, 0.001).at(epoch, 500).hex() for epoch in (1, 250, 499)]
    assert found == RATES


RATES = ["0x1.95d6579308970p-4", "0x1.462be34b22c7cp-7", "0x1.0624dd2f1a9fap-10"]


@pytest.mark.parametrize(
    "values", [(0.0,), (-0.1,), (np.nan,), (np.inf,), (1e39,), (0.1, 0.0), (0.1, np.nan)]
)
def test_a_rate_that_is_not_positive_is_refused(values):
    with pytest.raises(ValueError, match=r"learning rate: (first|last) must be a positive number"):
        LearningRate(*values)


# --- what is refused ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.zeros((0, 6))}, "data must have at least one row"),
        ({"data": np.zeros((5, 7))}, r"data must have the shape \(n_samples, 6\), not \(5, 7\)"),
        ({"data": np.full((5, 6), 0.5)}, r"data must hold 0 and 1 only, not 0\.5"),
        ({"n_epochs": 0}, "n_epochs must be an integer >= 1, not 0"),
        ({"k": 0}, "k must be an integer >= 1, not 0"),
        ({"k": 1.5}, r"k must be an integer >= 1, not 1\.5"),
        ({"batch_size": True}, "batch_size must be an integer >= 1, not True"),
        ({"until_epoch": -1}, "until_epoch must be an integer >= 0, not -1"),
        ({"n_chains": 0}, "n_chains must be an integer >= 1, not 0"),
        ({"seed": -1}, "seed must be an integer"),
        ({"weight_decay": -0.1}, r"weight_decay must be a number from 0 to 3.4e38, not -0\.1"),
        ({"learning_rate": -0.1}, "learning rate: first must be a positive number"),
    ],
)
def test_a_bad_argument_is_named_with_what_was_given(change, message):
    arguments = {"data": data_of(), "n_epochs": 1, "learning_rate": 0.1, "seed": 1, **change}
    with pytest.raises(ValueError, match=message):
        train(masked_machine(), **arguments)


def test_another_number_of_chains_than_the_state_has_is_refused():
    state = TrainingState(masked_machine(), 1, 3, np.zeros((4, 6), np.uint8))
    with pytest.raises(ValueError, match="n_chains must be the state's 4 chains, not 5"):
        train(state, data_of(), n_epochs=2, learning_rate=0.1, seed=1, n_chains=5)
