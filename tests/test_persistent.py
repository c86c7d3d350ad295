"""Large machines: resuming, threads, masks, dense and sparse sums, schedules, and what is refused."""

import numpy as np
import pytest

from rbmlib import persistent
from rbmlib.persistent import LinearDecay, PersistentState, sample_chains, train_biases, train_persistent
from rbmlib.pruning import prune
from rbmlib.rbm import RBM
from rbmlib.training import DivergedError, LearningRate

FIELDS = ("chains", "visible_offset", "hidden_offset")
PARAMETERS = ("weights", "visible_bias", "hidden_bias", "mask")


def data_of(n_samples=90, n_visible=35, seed=2):
    data = (np.random.default_rng(seed).random((n_samples, n_visible)) < 0.3).astype(np.uint8)
    data[:, 1] = data[:, 0]
    return data


def masked_machine(n_visible=35, n_hidden=18, kept=0.6):
    mask = np.random.default_rng(1).random((n_visible, n_hidden)) < kept
    return RBM.random(n_visible, n_hidden, 3, 0.1, mask)


SETTINGS = {
    "n_updates": 9,
    "learning_rate": LinearDecay(0.2),
    "seed": 8,
    "k": 2,
    "n_chains": 21,
    "batch_size": 34,
}


def assert_same(a, b):
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(a.rbm, name), getattr(b.rbm, name))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.update == b.update


@pytest.mark.parametrize("stops", [[1], [2, 2, 5], [0, 3]])
def test_an_interrupted_run_goes_on_with_the_same_bits(stops):
    whole = train_persistent(masked_machine(), data_of(), **SETTINGS)
    state = masked_machine()
    for until in [*stops, None]:
        state = train_persistent(state, data_of(), until_update=until, callback_every=2, **SETTINGS)
        assert state.update == (9 if until is None else until)
    assert_same(state, whole)
    assert state.chains.shape == (21, 35)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_change_no_bit_of_training_or_sampling(n_threads):
    whole = train_persistent(masked_machine(), data_of(), **SETTINGS)
    assert_same(train_persistent(masked_machine(), data_of(), n_threads=n_threads, **SETTINGS), whole)
    drawn = sample_chains(whole.rbm, data_of(), 4, 5)
    np.testing.assert_array_equal(sample_chains(whole.rbm, data_of(), 4, 5, n_threads=n_threads), drawn)


def test_masked_weights_stay_exactly_zero_and_all_others_change():
    rbm = masked_machine()
    trained = train_persistent(rbm, data_of(), **SETTINGS).rbm
    np.testing.assert_array_equal(trained.mask, rbm.mask)
    assert not trained.weights[~rbm.mask].any()
    assert (trained.weights != rbm.weights)[rbm.mask].all()


def test_training_leaves_its_arguments_alone():
    rbm, data = masked_machine(), data_of()
    before = rbm.weights.copy(), data.copy()
    state = train_persistent(rbm, data, until_update=4, **SETTINGS)
    kept = [getattr(state, name).copy() for name in FIELDS]
    train_persistent(state, data, **SETTINGS)
    np.testing.assert_array_equal(rbm.weights, before[0])
    np.testing.assert_array_equal(data, before[1])
    for name, array in zip(FIELDS, kept, strict=True):
        np.testing.assert_array_equal(getattr(state, name), array)


def test_the_callback_sees_every_so_many_updates_and_the_end():
    seen = []
    train_persistent(
        masked_machine(),
        data_of(),
        callback=lambda state: seen.append(state.update),
        callback_every=4,
        **SETTINGS,
    )
    assert seen == [4, 8, 9]


def test_training_raises_the_likelihood_to_that_of_the_source():
    source = RBM([[3.0, 0.0], [3.0, 0.0], [0.0, -3.0], [0.0, 3.0]], [-1.5, -1.5, 0.0, -1.5], [-3.0, 0.0])
    data = source.sample(4000, 1, 200)
    likelihood = {"source": -(source.free_energy(data).mean() + source.log_partition())}
    for centred in (True, False):
        trained = train_persistent(
            RBM.random(4, 2, 2), data, n_updates=4000, learning_rate=LinearDecay(0.3), seed=1, k=3, n_chains=100,
            batch_size=50, centred=centred,
        ).rbm  # fmt: skip
        likelihood[centred] = -(trained.free_energy(data).mean() + trained.log_partition())
    assert likelihood[True] > likelihood["source"] - 0.01
    assert likelihood[False] > likelihood["source"] - 0.01


def test_a_fully_masked_machine_learns_its_biases():
    data = (np.random.default_rng(5).random((2000, 4)) < [0.1, 0.3, 0.5, 0.9]).astype(np.uint8)
    rbm = RBM(np.zeros((4, 3)), np.zeros(4), np.zeros(3), np.zeros((4, 3), bool))
    trained = train_persistent(
        rbm,
        data,
        n_updates=800,
        learning_rate=LinearDecay(1.0, 0.2),
        seed=1,
        k=1,
        n_chains=200,
        batch_size=200,
    ).rbm
    assert not trained.weights.any()
    np.testing.assert_allclose(1 / (1 + np.exp(-trained.visible_bias)), data.mean(axis=0), atol=0.02)


def test_dense_and_sparse_sums_give_the_same_bits(monkeypatch):
    rbm = masked_machine(70, 50, kept=0.15).replace(hidden_bias=np.linspace(-1, 1, 50))
    start = data_of(201, 70)
    drawn = {}
    for name, below in (("dense", 0.0), ("sparse", 1.0)):
        monkeypatch.setattr(persistent, "SPARSE_BELOW", below)
        drawn[name] = sample_chains(rbm, start, 6, 5)
    np.testing.assert_array_equal(drawn["sparse"], drawn["dense"])


@pytest.mark.parametrize("below", [0.0, 1.1])
def test_chains_cut_into_parts_and_runs_have_the_same_bits(below, monkeypatch):
    monkeypatch.setattr(persistent, "SPARSE_BELOW", below)
    rbm, start = masked_machine(), data_of()
    whole = sample_chains(rbm, start, 9, 4)
    begun = sample_chains(rbm, start, 5, 4)
    first = sample_chains(rbm, begun[:33], 4, 4, first_step=5)
    rest = sample_chains(rbm, begun[33:], 4, 4, first_step=5, first_chain=33)
    np.testing.assert_array_equal(np.concatenate([first, rest]), whole)
    assert not np.array_equal(sample_chains(rbm, start, 9, 5), whole)


def test_more_chains_than_a_block_have_the_bits_of_their_parts():
    rbm, start = masked_machine(), np.tile(data_of(), (12, 1))
    parts = [sample_chains(rbm, start[at : at + 90], 2, 4, first_chain=at) for at in range(0, len(start), 90)]
    np.testing.assert_array_equal(sample_chains(rbm, start, 2, 4), np.concatenate(parts))


def test_no_steps_return_the_states_and_leave_them_alone():
    rbm, start = masked_machine(), data_of()
    kept = start.copy()
    np.testing.assert_array_equal(sample_chains(rbm, start, 0, 1), kept)
    sample_chains(rbm, start, 1, 1)
    np.testing.assert_array_equal(start, kept)
    assert sample_chains(rbm, start[:0], 3, 1).shape == (0, 35)


def test_the_rate_is_held_and_then_falls_linearly_to_zero():
    rates = [LinearDecay(0.1).at(update, 8) for update in range(9)]
    np.testing.assert_allclose(rates, [0.1] * 5 + [0.075, 0.05, 0.025, 0.0], atol=1e-15)
    assert LinearDecay(0.1, 1.0).at(7, 8) == 0.1
    assert LinearDecay(0.8, 0.0).at(2, 8) == pytest.approx(0.6)


def test_a_float_is_a_constant_rate_and_geometric_rates_are_taken_too():
    constant = train_persistent(masked_machine(), data_of(), **(SETTINGS | {"learning_rate": 0.2}))
    geometric = train_persistent(
        masked_machine(), data_of(), **(SETTINGS | {"learning_rate": LearningRate(0.2)})
    )
    assert_same(constant, geometric)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_run_that_diverges_names_the_update(n_threads):
    settings = SETTINGS | {"learning_rate": 1e37, "n_threads": n_threads}
    with pytest.raises(
        DivergedError, match=r"^training diverged in update \d: a parameter is no longer finite"
    ):
        train_persistent(masked_machine(), data_of(), **settings)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_updates": 0}, "n_updates must be an integer >= 1, not 0"),
        ({"k": 1.5}, "k must be an integer >= 1, not 1.5"),
        ({"n_chains": 0}, "n_chains must be an integer >= 1, not 0"),
        ({"batch_size": True}, "batch_size must be an integer >= 1, not True"),
        ({"n_threads": 0}, "n_threads must be an integer >= 1, not 0"),
        ({"until_update": -1}, "until_update must be an integer >= 0, not -1"),
        ({"callback_every": 0}, "callback_every must be an integer >= 1, not 0"),
        ({"offset_rate": 0.0}, "offset_rate must be a number above 0 and at most 1, not 0.0"),
        ({"seed": -1}, r"seed must be an integer in \[0, 2\*\*64\), not -1"),
        ({"learning_rate": 0.0}, "learning rate: first must be a positive number below 3.4e38, not 0.0"),
    ],
)
def test_bad_settings_are_refused_by_name(changed, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        train_persistent(masked_machine(), data_of(), **(SETTINGS | changed))


def test_bad_input_is_refused_by_name():
    rbm = masked_machine()
    with pytest.raises(ValueError, match=r"^data must have the shape \(n_samples, 35\), not \(90, 30\)$"):
        train_persistent(rbm, data_of()[:, :30], **SETTINGS)
    with pytest.raises(ValueError, match=r"^data must hold 0 and 1 only, not 2$"):
        train_persistent(rbm, data_of() * 2, **SETTINGS)
    with pytest.raises(ValueError, match=r"^data must have at least one row$"):
        train_persistent(rbm, data_of()[:0], **SETTINGS)
    with pytest.raises(ValueError, match=r"^n_chains must be the state's 5 chains, not 21$"):
        train_persistent(PersistentState(rbm, 2, data_of()[:5]), data_of(), **SETTINGS)
    with pytest.raises(
        ValueError, match=r"^learning rate: held must be a fraction of the run from 0 to 1, not 2$"
    ):
        LinearDecay(0.1, 2)
    huge = rbm.replace(weights=np.full((35, 18), 1e30))
    for call in (
        lambda: sample_chains(huge, data_of(), 1, 1),
        lambda: train_persistent(huge, data_of(), **SETTINGS),
    ):
        with pytest.raises(
            ValueError, match=r"^rbm must have weights and a bias that add up to less than 2\*\*100"
        ):
            call()
    with pytest.raises(ValueError, match=r"^n_steps must be an integer >= 0, not -1$"):
        sample_chains(rbm, data_of(), -1, 1)


# --- biases alone ---


def test_training_biases_alone_is_training_of_a_machine_without_weights():
    rbm = masked_machine().replace(mask=np.zeros((35, 18), bool))
    settings = {**SETTINGS, "n_updates": 120}
    whole = train_persistent(rbm, data_of(), centred=False, **settings).rbm
    biases = train_biases(rbm, data_of(), **settings)
    np.testing.assert_array_equal(biases.visible_bias, whole.visible_bias)
    np.testing.assert_array_equal(biases.hidden_bias, whole.hidden_bias)


def test_training_biases_alone_changes_no_weight_and_raises_the_likelihood():
    data = data_of(400, 10)
    rbm = train_persistent(
        RBM.random(10, 6, 1, 0.1), data, n_updates=2000, learning_rate=0.1, seed=1, n_chains=50, batch_size=50
    ).rbm
    pruned = prune(rbm, 5)
    after = train_biases(
        pruned, data, n_updates=2000, learning_rate=LinearDecay(0.05), seed=2, n_chains=50, batch_size=50
    )
    np.testing.assert_array_equal(after.weights, pruned.weights)
    np.testing.assert_array_equal(after.mask, pruned.mask)

    def likelihood(one: RBM) -> float:
        return float((-one.free_energy(data) - one.log_partition()).mean())

    assert likelihood(after) > likelihood(pruned) + 0.05
