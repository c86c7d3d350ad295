"""Arguments that mean something else than they seem to are refused by name: masked values, counters out of range."""

import numpy as np
import pytest

from rbmlib import RBM
from rbmlib.annealing import annealed_importance_sampling, reverse_annealed_importance_sampling
from rbmlib.arguments import check_counter, plain_array
from rbmlib.clusters import standing_out
from rbmlib.likelihood import fit
from rbmlib.mnist.diversity import diversity
from rbmlib.mnist.images import Images, binarise, split
from rbmlib.persistent import LinearDecay, sample_chains, train_persistent
from rbmlib.pruning import prune_mask
from rbmlib.quantum.configurations import encode
from rbmlib.quantum.errors import correlation_mse
from rbmlib.training import LearningRate, TrainingState, train

MACHINE = RBM.random(3, 2, 1)
STATES = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
MASKED = np.ma.masked_array(STATES, mask=STATES == 1)


def masked(values):
    array = np.asarray(values)
    return np.ma.masked_array(array, mask=np.arange(array.size).reshape(array.shape) == 0)


WEIGHTS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
TAKES = {
    "visible": lambda: MACHINE.free_energy(MASKED),
    "hidden": lambda: MACHINE.energy(STATES, masked(STATES[:, :2])),
    "initial": lambda: MACHINE.sample(2, 1, initial=MASKED),
    "data": lambda: train(MACHINE, MASKED, n_epochs=1, learning_rate=0.1, seed=1),
    "weights": lambda: RBM(masked(WEIGHTS), np.zeros(3), np.zeros(2)),
    "mask": lambda: RBM(WEIGHTS, np.zeros(3), np.zeros(2), masked(np.ones((3, 2), bool))),
    "visible_bias": lambda: RBM(WEIGHTS, masked(np.zeros(3)), np.zeros(2)),
    "hidden_bias": lambda: RBM(WEIGHTS, np.zeros(3), masked(np.zeros(2))),
    "states": lambda: encode(MASKED),
    "correlation": lambda: correlation_mse(masked([1.0, 0.5]), [1.0, 0.4]),
    "reference": lambda: correlation_mse([1.0, 0.5], masked([1.0, 0.4])),
    "train": lambda: Images(masked(np.eye(4)), np.eye(4), (2, 2)),
    "test_labels": lambda: Images(np.eye(4), np.eye(4), (2, 2), [0, 1, 2, 3], masked([0, 1, 2, 3])),
    "images": lambda: split(masked(np.eye(4).reshape(4, 2, 2)), 1, 1),
    "grey": lambda: binarise(masked(np.zeros((2, 2, 2), np.uint8))),
    "counts": lambda: diversity(masked([200, 300])),
}


@pytest.mark.parametrize("name", TAKES)
def test_masked_values_are_refused_by_the_arguments_name(name):
    with pytest.raises(
        ValueError, match=rf"^{name} must hold no masked values, not a numpy mask over \d of \d"
    ):
        TAKES[name]()


def test_so_they_are_where_weights_are_looked_at():
    for call in (
        lambda: standing_out(masked(WEIGHTS)),
        lambda: prune_mask(masked(WEIGHTS), np.ones((3, 2), bool), 2),
    ):
        with pytest.raises(ValueError, match="weights must hold no masked values"):
            call()


def test_a_masked_array_without_masked_values_is_an_array():
    whole = np.ma.masked_array(STATES, mask=False)
    np.testing.assert_array_equal(MACHINE.free_energy(whole), MACHINE.free_energy(STATES))
    assert type(plain_array("a", whole)) is np.ndarray
    assert plain_array("a", [1, 2], float).dtype == float


# A counter never wraps

LAST = 2**32


@pytest.mark.parametrize(
    "call",
    [
        lambda: MACHINE.sample(64, 1, first_chain=LAST),
        lambda: MACHINE.sample(2, 1, first_chain=LAST - 1),
        lambda: sample_chains(MACHINE, STATES, 1, 1, first_chain=LAST - 1),
        lambda: annealed_importance_sampling(
            MACHINE, n_chains=8, temperatures=5, seed=1, first_chain=LAST - 7
        ),
        lambda: reverse_annealed_importance_sampling(
            MACHINE, STATES, temperatures=5, seed=1, first_chain=LAST
        ),
    ],
)
def test_no_chain_has_the_numbers_of_another(call):
    with pytest.raises(ValueError, match=r"first_chain must lie in \[0, 2\*\*32 - n_\w+\], not 42949672\d\d"):
        call()


def test_no_step_has_the_numbers_of_another():
    for call, name in (
        (lambda: sample_chains(MACHINE, STATES, 3, 1, first_step=LAST - 2), "first_step"),
        (lambda: MACHINE.sample(1, 1, n_steps=LAST + 1), "n_steps"),
        (
            lambda: train(
                TrainingState(MACHINE, updates=LAST // 10), STATES, n_epochs=1, learning_rate=0.1, seed=1
            ),
            "Gibbs steps so far",
        ),
    ):
        with pytest.raises(ValueError, match=rf"^{name} must lie in "):
            call()


def test_the_last_chains_and_steps_are_drawn():
    last = MACHINE.sample(64, 1, first_chain=LAST - 64, n_steps=3)
    np.testing.assert_array_equal(MACHINE.sample(1, 1, first_chain=LAST - 1, n_steps=3), last[63:])
    assert not np.array_equal(last, MACHINE.sample(64, 1, n_steps=3))
    assert sample_chains(MACHINE, STATES, 2, 1, first_step=LAST - 2, first_chain=LAST - 2).shape == (2, 3)
    check_counter("first_chain", LAST, 0, "n")


# Numbers of NumPy's kinds


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_a_learning_rate_may_be_a_number_of_numpys(kind):
    options = {"n_updates": 4, "seed": 1, "n_chains": 2, "batch_size": 2, "k": 1}
    rate = kind(0.25)  # the same number in every kind
    found = train_persistent(MACHINE, STATES, learning_rate=rate, **options)
    expected = train_persistent(MACHINE, STATES, learning_rate=0.25, **options)
    np.testing.assert_array_equal(found.rbm.weights, expected.rbm.weights)
    one = train(MACHINE, STATES, n_epochs=2, learning_rate=rate, seed=1, k=1)
    other = train(MACHINE, STATES, n_epochs=2, learning_rate=0.25, seed=1, k=1)
    np.testing.assert_array_equal(one.rbm.weights, other.rbm.weights)
    assert type(LearningRate(rate).first) is type(LinearDecay(rate).first) is float


@pytest.mark.parametrize("rate", ["0.1", None, 0.0, -1, np.nan, np.inf, True, np.array([0.1, 0.2]), 1j])
def test_what_is_no_learning_rate_is_refused(rate):
    options = {"n_updates": 4, "seed": 1, "n_chains": 2, "batch_size": 2, "k": 1}
    with pytest.raises(ValueError, match="learning rate: first must be a positive number"):
        train_persistent(MACHINE, STATES, learning_rate=rate, **options)
    with pytest.raises(ValueError, match="learning rate: first must be a positive number"):
        train(MACHINE, STATES, n_epochs=1, learning_rate=rate, seed=1)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3", np.float64(2)])
def test_a_fit_takes_one_iteration_or_more(n):
    with pytest.raises(ValueError, match="max_iterations must be an integer >= 1, not"):
        fit(MACHINE, STATES, max_iterations=n)


def test_a_fit_stops_after_the_iterations_that_it_was_given():
    assert [fit(MACHINE, STATES, max_iterations=kind(1)).n_iterations for kind in (int, np.int64)] == [1, 1]
