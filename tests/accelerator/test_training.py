"""Machines in batches: one update against a plain twin, the compiled path in distribution, resuming, divergence, cost."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rbmbook.studies.digits import standard as mnist_standard
from rbmlib import checkpoints
from rbmlib.accelerator import cost as batched_cost
from rbmlib.accelerator import tensors as batched_tensors
from rbmlib.accelerator import training as batched
from rbmlib.accelerator.cost import cost, measured_rate
from rbmlib.accelerator.training import BatchState, sample_batch, train_batch
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.persistent import LinearDecay, _mini_batches, train_persistent
from rbmlib.rbm import RBM
from rbmlib.training import DivergedError, LearningRate

ARRAYS = ("weights", "visible_bias", "hidden_bias", "diverged", "chains", "visible_offset", "hidden_offset")
SETTINGS = {
    "n_updates": 9,
    "learning_rate": LinearDecay(0.2),
    "k": 2,
    "n_chains": 11,
    "batch_size": 34,
    "device": "cpu",
}
SEEDS = [8, 2**64 - 1, 5]


def data_of(n_samples=90, n_visible=13, seed=2):
    data = (np.random.default_rng(seed).random((n_samples, n_visible)) < 0.3).astype(np.uint8)
    data[:, 1] = data[:, 0]
    return data


def machines_of(n=3, n_visible=13, n_hidden=6, seed=1):
    """Machines with masks of their own, every third fully connected."""
    rng = np.random.default_rng(seed)
    masks = [rng.random((n_visible, n_hidden)) < (0.6 if i % 3 else 1.1) for i in range(n)]
    return [RBM.random(n_visible, n_hidden, 10 * seed + i, 0.1, mask) for i, mask in enumerate(masks)]


def assert_same(a, b):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.update == b.update


# --- one update ------------------------------------------------------------------------------------------------------


def logistic(x):
    return 1 / (1 + np.exp(-x))


def twin_gibbs(rbm, visible, numbers):
    """One Gibbs step, one chain and one unit at a time, with a number given for every unit."""
    result = np.empty_like(visible)
    for chain, state in enumerate(visible):
        hidden = np.empty(rbm.n_hidden)
        for j in range(rbm.n_hidden):
            field = rbm.hidden_bias[j] + sum(state[i] * rbm.weights[i, j] for i in range(rbm.n_visible))
            hidden[j] = numbers[1][chain, j] < logistic(field)
        for i in range(rbm.n_visible):
            field = rbm.visible_bias[i] + sum(hidden[j] * rbm.weights[i, j] for j in range(rbm.n_hidden))
            result[chain, i] = numbers[0][chain, i] < logistic(field)
    return result


def twin_update(rbm, batch, visible, offsets, rate, offset_rate):
    """The centred gradient as it is printed, a loop over samples; the new machine and offsets."""
    learnt, believed = rbm.hidden_probabilities(batch), rbm.hidden_probabilities(visible)
    mu = offsets[0] + offset_rate * (batch.mean(axis=0) - offsets[0])
    lam = offsets[1] + offset_rate * (learnt.mean(axis=0) - offsets[1])
    gradient = np.zeros(rbm.weights.shape)
    for states, probabilities, sign in ((batch, learnt, 1), (visible, believed, -1)):
        for v, p in zip(states, probabilities, strict=True):
            gradient += sign * np.outer(v - mu, p - lam) / len(states)
    gradient[~rbm.mask] = 0
    by_visible = batch.mean(axis=0) - visible.mean(axis=0) - gradient @ lam
    by_hidden = learnt.mean(axis=0) - believed.mean(axis=0) - gradient.T @ mu
    return (
        rbm.weights + rate * gradient,
        rbm.visible_bias + rate * by_visible,
        rbm.hidden_bias + rate * by_hidden,
        mu,
        lam,
    )


@pytest.mark.parametrize("centred", [True, False])
def test_an_update_is_that_of_a_plain_loop_with_the_same_random_numbers(centred):
    data, settings = data_of(), {**SETTINGS, "centred": centred}
    before = train_batch(machines_of(), data, seeds=SEEDS, until_update=4, **settings)
    after = train_batch(before, data, seeds=SEEDS, until_update=5, **settings)
    word = np.uint64(0)
    for seed in SEEDS:
        word = np.uint64(derived_seed(word ^ np.uint64(seed), 0, 0))
    generator = torch.Generator().manual_seed(int(derived_seed(word, 4, 1)))
    numbers = [[torch.rand((3, 11, n), generator=generator).numpy() for n in (6, 13)] for _ in range(2)]
    for replica, seed in enumerate(SEEDS):
        rbm = before.machine(replica)
        visible = before.chains[replica]
        for hidden_numbers, visible_numbers in numbers:
            visible = twin_gibbs(rbm, visible, (visible_numbers[replica], hidden_numbers[replica]))
        np.testing.assert_array_equal(after.chains[replica], visible)
        batch = data[next(_mini_batches(len(data), 34, 4, seed))]
        offsets = before.visible_offset[replica], before.hidden_offset[replica]
        expected = twin_update(rbm, batch, visible, offsets, 0.2, 0.01 * centred)
        names = ("weights", "visible_bias", "hidden_bias", "visible_offset", "hidden_offset")
        for name, array in zip(names, expected, strict=True):
            np.testing.assert_allclose(getattr(after, name)[replica], array, atol=2e-7, rtol=2e-6)
    assert np.any(before.visible_offset) == centred


def test_the_first_offsets_are_the_first_mini_batchs_and_chains_start_at_the_data(monkeypatch):
    monkeypatch.setattr(batched_tensors.Chains, "step", lambda *_: None)
    data = data_of()
    state = train_batch(machines_of(), data, seeds=SEEDS, until_update=1, **SETTINGS)
    for replica, seed in enumerate(SEEDS):
        batch = data[next(_mini_batches(90, 34, 0, seed))]
        np.testing.assert_allclose(state.visible_offset[replica], batch.mean(axis=0), rtol=1e-6)
        np.testing.assert_array_equal(state.chains[replica], data[:11])
    many = train_batch(machines_of(), data[:4], seeds=SEEDS, until_update=1, **{**SETTINGS, "n_chains": 6})
    np.testing.assert_array_equal(many.chains[1], data[[0, 1, 2, 3, 0, 1]])


def test_masked_weights_stay_exactly_zero_and_all_others_change():
    machines = machines_of()
    state = train_batch(machines, data_of(), seeds=SEEDS, **SETTINGS)
    for replica, rbm in enumerate(machines):
        trained = state.machine(replica)
        np.testing.assert_array_equal(trained.mask, rbm.mask)
        assert not state.weights[replica][~rbm.mask].any()
        assert (trained.weights != rbm.weights)[rbm.mask].all()


def test_training_leaves_its_arguments_and_torch_alone():
    machines, data = machines_of(), data_of()
    before = [rbm.weights.copy() for rbm in machines]
    torch.manual_seed(7)
    ambient = torch.random.get_rng_state(), torch.get_num_threads()
    state = train_batch(machines, data, seeds=SEEDS, until_update=4, **SETTINGS)
    kept = {name: getattr(state, name).copy() for name in ARRAYS}
    train_batch(state, data, seeds=SEEDS, **SETTINGS)
    for rbm, weights in zip(machines, before, strict=True):
        np.testing.assert_array_equal(rbm.weights, weights)
    for name, array in kept.items():
        np.testing.assert_array_equal(getattr(state, name), array)
    assert torch.equal(ambient[0], torch.random.get_rng_state())
    assert ambient[1] == torch.get_num_threads()
    assert torch.is_grad_enabled()


def test_schedules_of_every_kind_span_the_run():
    rates = {}
    for rate in (0.2, LearningRate(0.2), LinearDecay(0.2, 1.0), LearningRate(0.2, 0.1)):
        state = train_batch(machines_of(), data_of(), seeds=SEEDS, **{**SETTINGS, "learning_rate": rate})
        rates[repr(rate)] = state.weights
    first, second, third, other = rates.values()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    assert not np.array_equal(first, other)


# --- in distribution -------------------------------------------------------------------------------------------------


def largest_deviation(first, second):
    """Largest mean difference of replicas (n_replicas, ...) in standard errors."""
    difference = first.astype(float).reshape(len(first), -1) - second.reshape(len(second), -1)
    difference = difference[:, difference.any(axis=0)]
    error = difference.std(axis=0, ddof=1) / np.sqrt(len(difference))
    return np.abs(difference.mean(axis=0) / error).max()


def deviations_of_both_paths(seed, n=120):
    """Machines trained here and by compiled loops: differences of their moments, and how far they came."""
    data = data_of(300, 9, seed)
    data[:, 3] = data[:, 2]
    data[:, 5] = 1 - data[:, 4]
    machines = machines_of(n, 9, 5, seed)
    settings = {"n_updates": 150, "learning_rate": LinearDecay(0.5), "n_chains": 20, "batch_size": 20}
    seeds = range(1000 * seed, 1000 * seed + n)
    state = train_batch(machines, data, seeds=seeds, device="cpu", **settings)
    others = [train_persistent(rbm, data, seed=s, **settings) for s, rbm in zip(seeds, machines, strict=True)]
    found, learnt = {}, {}
    for name in ("weights", "visible_bias", "hidden_bias"):
        mine = getattr(state, name)
        theirs = np.stack([getattr(other.rbm, name) for other in others])
        start = np.stack([getattr(rbm, name) for rbm in machines])
        found[name] = largest_deviation(mine, theirs)
        found[f"{name} squared"] = largest_deviation(mine**2, theirs**2)
        learnt[name] = largest_deviation(mine**2, start**2)
    mine, theirs = state.chains.astype(float), np.stack([other.chains for other in others]).astype(float)
    found["chains"] = largest_deviation(mine.mean(axis=1), theirs.mean(axis=1))
    found["pairs in chains"] = largest_deviation(mine.mT @ mine / 20, theirs.mT @ theirs / 20)
    theirs = np.stack([other.hidden_offset for other in others])
    found["hidden_offset"] = largest_deviation(state.hidden_offset, theirs)
    theirs = np.stack([other.visible_offset for other in others])
    np.testing.assert_allclose(state.visible_offset, theirs, rtol=1e-5)
    return found, learnt


def test_batches_train_the_machines_that_the_compiled_path_trains_in_distribution():
    found, learnt = deviations_of_both_paths(0)
    assert max(found.values()) < 5, found
    assert min(learnt.values()) > 5, learnt


def deviations_from_exact(seed, n=4000):
    """Samples of three machines against enumeration: largest deviations in standard errors."""
    machines = [
        RBM.random(5, 4, 3 * seed + i, 1.0).replace(visible_bias=np.linspace(-1, 1, 5)) for i in range(3)
    ]
    drawn = sample_batch(machines, np.zeros((n, 5), np.uint8), 40, seed, device="cpu").astype(float)
    states = (np.arange(32)[:, None] >> np.arange(5) & 1).astype(float)
    found = []
    for rbm, samples in zip(machines, drawn, strict=True):
        exact = rbm.probabilities()
        pairs = states[:, :, None] * states[:, None]
        mean = np.einsum("s,sij->ij", exact, pairs)
        spread = np.sqrt(mean - mean**2)
        found.append(np.abs((samples.T @ samples / n - mean) / spread).max() * np.sqrt(n))
        often = n * exact > 25
        counts = np.bincount((samples @ 2 ** np.arange(5)).astype(int), minlength=32)
        found.append(np.abs((counts - n * exact) / np.sqrt(n * exact))[often].max())
    return found


def test_samples_have_the_moments_of_the_exact_distribution():
    assert max(deviations_from_exact(1)) < 5


def test_sampling_in_parts_has_the_same_bits_and_every_machine_its_own_numbers():
    machines, start = machines_of(), data_of()[:20]
    whole = sample_batch(machines, start, 5, 3, device="cpu")
    begun = sample_batch(machines, start, 2, 3, device="cpu")
    np.testing.assert_array_equal(sample_batch(machines, begun, 3, 3, first_step=2, device="cpu"), whole)
    assert not np.array_equal(sample_batch(machines, start, 5, 4, device="cpu"), whole)
    same = sample_batch([machines[0]] * 2, start, 1, 3, device="cpu")
    assert not np.array_equal(same[0], same[1])
    np.testing.assert_array_equal(sample_batch(machines, start, 0, 3, device="cpu")[2], start)


# --- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stops", [[1], [2, 2, 5], [0, 3]])
def test_an_interrupted_run_goes_on_with_the_same_bits(stops, tmp_path):
    whole = train_batch(machines_of(), data_of(), seeds=SEEDS, **SETTINGS)
    state = machines_of()
    for until in [*stops, None]:
        state = train_batch(state, data_of(), seeds=SEEDS, until_update=until, **SETTINGS)
        assert state.update == (9 if until is None else until)
    assert_same(state, whole)
    path = tmp_path / "run.npz"
    for until in stops:
        train_batch(machines_of(), data_of(), seeds=SEEDS, until_update=until, checkpoint=path, **SETTINGS)
        assert path.is_file()
    assert_same(train_batch(machines_of(), data_of(), seeds=SEEDS, checkpoint=path, **SETTINGS), whole)
    assert not path.exists()


def test_a_killed_run_goes_on_from_its_checkpoint_with_what_it_recorded(tmp_path):
    path, seen = tmp_path / "run.npz", []

    def record(state):
        seen.append(state.update)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return state.weights.sum(axis=(1, 2))

    settings = {**SETTINGS, "record_every": 2}
    whole = train_batch(
        machines_of(), data_of(), seeds=SEEDS, record=lambda s: s.weights.sum(axis=(1, 2)), **settings
    )
    run = {"seeds": SEEDS, "record": record, "checkpoint": path, "checkpoint_seconds": 0.0}
    with pytest.raises(KeyboardInterrupt):
        train_batch(machines_of(), data_of(), **run, **settings)
    assert seen == [2, 4, 6]
    resumed = train_batch(machines_of(), data_of(), **run, **settings)
    assert seen == [2, 4, 6, 6, 8, 9]
    assert_same(resumed, whole)
    np.testing.assert_array_equal(resumed.recorded, whole.recorded)
    assert resumed.recorded.shape == (5, 3)
    assert not path.exists()


def test_a_checkpoint_of_another_run_is_not_gone_on_from(tmp_path):
    path = tmp_path / "run.npz"
    others = [
        {"seeds": [8, 2**64 - 1, 6]},
        {"k": 1},
        {"learning_rate": 0.2},
        {"n_updates": 10},
        {"n_chains": 12},
        {"batch_size": 33},
        {"offset_rate": 0.5},
        {"centred": False},
        {"machines": machines_of(seed=2)},
        {"data": data_of(seed=3)},
        {"machines": [RBM(rbm.weights, rbm.visible_bias, rbm.hidden_bias) for rbm in machines_of()]},
    ]
    for change in others:
        train_batch(machines_of(), data_of(), seeds=SEEDS, until_update=4, checkpoint=path, **SETTINGS)
        given = {
            "machines": machines_of(), "data": data_of(), "seeds": SEEDS, **SETTINGS, "until_update": 5, **change
        }  # fmt: skip
        fresh = train_batch(**given)
        assert_same(train_batch(checkpoint=path, **given), fresh)


def test_checkpoints_are_written_when_their_time_has_come(tmp_path, monkeypatch):
    clock = iter(range(0, 1000, 60))
    monkeypatch.setattr(batched.time, "monotonic", lambda: next(clock))
    saved = []
    monkeypatch.setattr(checkpoints, "save", lambda path, run, arrays: saved.append(int(arrays["update"])))
    train_batch(machines_of(), data_of(), seeds=SEEDS, checkpoint=tmp_path / "run.npz", **SETTINGS)
    assert saved == [3, 6]


def test_where_no_checkpoint_can_be_written_training_goes_on(tmp_path):
    whole = train_batch(machines_of(), data_of(), seeds=SEEDS, **SETTINGS)
    blocked = tmp_path / "file"
    blocked.write_text("")
    run = {"seeds": SEEDS, "checkpoint": blocked / "run.npz", "checkpoint_seconds": 0.0}
    with pytest.warns(RuntimeWarning, match=r"^no checkpoint in .*run\.npz: .*; training goes on$"):
        assert_same(train_batch(machines_of(), data_of(), **run, **SETTINGS), whole)


# --- divergence ------------------------------------------------------------------------------------------------------


def test_a_replica_that_diverges_stops_by_name_and_the_others_go_on_with_the_same_bits():
    machines = machines_of()
    whole = train_batch(machines, data_of(), seeds=SEEDS, **SETTINGS)
    huge = RBM(np.full((13, 6), 2.0**95), np.zeros(13), np.zeros(6))
    state = train_batch([machines[0], huge, machines[2]], data_of(), seeds=SEEDS, **SETTINGS)
    assert state.diverged.tolist() == [-1, 1, -1]
    for replica in (0, 2):
        np.testing.assert_array_equal(state.weights[replica], whole.weights[replica])
        assert state.machine(replica).n_weights == machines[replica].n_weights
    assert not state.weights[1].any()
    with pytest.raises(DivergedError, match=r"^replica 1 diverged in update 1: .*lower the learning rate$"):
        state.machine(1)


def test_a_number_that_is_none_is_found_in_the_update_that_made_it_and_stays_out_of_a_resumed_run(
    monkeypatch,
):
    stop = batched_tensors.Training._stop_diverged

    def with_nan(training):
        if training.update == 4:
            training.parameters[2][2, 3] = np.nan
        stop(training)

    monkeypatch.setattr(batched_tensors.Training, "_stop_diverged", with_nan)
    whole = train_batch(machines_of(), data_of(), seeds=SEEDS, **SETTINGS)
    half = train_batch(machines_of(), data_of(), seeds=SEEDS, until_update=6, **SETTINGS)
    assert half.diverged.tolist() == whole.diverged.tolist() == [-1, -1, 4]
    assert_same(train_batch(half, data_of(), seeds=SEEDS, **SETTINGS), whole)
    for name in ("weights", "visible_bias", "hidden_bias"):
        assert not getattr(whole, name)[2].any()


def test_training_ends_when_every_replica_has_diverged(tmp_path):
    path = tmp_path / "run.npz"
    state = train_batch(
        machines_of(), data_of(), seeds=SEEDS, checkpoint=path, **{**SETTINGS, "learning_rate": 3e38}
    )
    assert (state.diverged == state.diverged[0]).all()
    assert state.update == state.diverged[0] < 9
    assert not path.exists()


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"machines": []}, "machines must hold at least one machine; it is empty"),
        ({"machines": [*machines_of(2), *machines_of(1, 13, 7)]}, "machines must be of one size, not of 13 x 6 and 13 x 7"),
        ({"data": np.zeros((0, 13))}, "data must have at least one row"),
        ({"data": np.zeros((5, 12))}, "data must have the shape (n_samples, 13), not (5, 12)"),
        ({"data": np.full((5, 13), 2)}, "data must hold 0 and 1 only, not 2"),
        ({"seeds": [1, 2]}, "seeds must be one for each of 3 replicas, not 2"),
        ({"seeds": [1, 2, -1]}, "seeds must be an integer in [0, 2**64), not -1"),
        ({"k": 0}, "k must be an integer >= 1, not 0"),
        ({"n_chains": 2.5}, "n_chains must be an integer >= 1, not 2.5"),
        ({"offset_rate": 0.0}, "offset_rate must be a number above 0 and at most 1, not 0.0"),
        ({"checkpoint_seconds": np.nan}, "checkpoint_seconds must be a number >= 0, not nan"),
        ({"learning_rate": -1.0}, "learning rate: first must be a positive number below 3.4e38, not -1.0"),
        ({"until_update": -1}, "until_update must be an integer >= 0, not -1"),
        ({"device": "abacus"}, "device must name a device that torch can use here, such as cpu or cuda, not 'abacus': "),
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence(change, sentence, tmp_path):
    given = {"machines": machines_of(), "data": data_of(), "seeds": SEEDS, **SETTINGS, **change}
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        train_batch(checkpoint=tmp_path / "run.npz", **given)
    assert not list(tmp_path.iterdir())


def test_sampling_and_going_on_refuse_what_does_not_fit():
    machines = machines_of()
    state = train_batch(machines, data_of(), seeds=SEEDS, until_update=1, **SETTINGS)
    with pytest.raises(ValueError, match=r"^n_chains must be the state's 11 chains, not 12$"):
        train_batch(state, data_of(), seeds=SEEDS, **{**SETTINGS, "n_chains": 12})
    for states in (np.zeros((4, 12)), np.zeros((2, 4, 13)), np.zeros(13)):
        sentence = f"states must have the shape (n_chains, 13) or (3, n_chains, 13), not {states.shape}"
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            sample_batch(machines, states, 1, 1)
    with pytest.raises(ValueError, match=r"^states must hold 0 and 1 only, not 7"):
        sample_batch(machines, np.full((4, 13), 7), 1, 1)
    with pytest.raises(ValueError, match=r"^n_steps must be an integer >= 0, not -1"):
        sample_batch(machines, np.zeros((4, 13)), -1, 1)


def test_the_device_is_that_of_the_environment_if_none_is_given(monkeypatch):
    monkeypatch.setenv("RBMLIB_DEVICE", "abacus")
    with pytest.raises(ValueError, match=r"^RBMLIB_DEVICE must name a device that torch can use here"):
        sample_batch(machines_of(), np.zeros((4, 13)), 1, 1)
    assert sample_batch(machines_of(), np.zeros((4, 13)), 1, 1, device="cpu").shape == (3, 4, 13)
    monkeypatch.setenv("RBMLIB_DEVICE", "cpu")
    assert sample_batch(machines_of(), np.zeros((4, 13)), 1, 1).shape == (3, 4, 13)


def test_without_torch_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    sentence = r"^machines in batches need the package torch: pip install 'rbmlib\[torch\]'$"
    with pytest.raises(ModuleNotFoundError, match=sentence):
        train_batch(machines_of(), data_of(), seeds=SEEDS, **SETTINGS)
    with pytest.raises(ModuleNotFoundError, match=sentence):
        sample_batch(machines_of(), np.zeros((4, 13)), 1, 1)
    with pytest.raises(ModuleNotFoundError, match=sentence):
        measured_rate()


def test_torch_is_imported_by_what_computes_alone():
    code = (
        "import sys, rbmlib, rbmlib.accelerator.training, rbmlib.accelerator.cost\n"
        "rbmlib.accelerator.cost.cost(3, 2, n_replicas=1, n_updates=1, k=1, n_chains=1, batch_size=1)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# --- cost ------------------------------------------------------------------------------------------------------------


def test_the_cost_is_that_of_a_count_by_hand():
    found = cost(3, 2, n_replicas=2, n_updates=5, k=4, n_chains=7, batch_size=6, n_samples=10)
    update = 0
    for _chain in range(7):
        update += 4 * (3 * 2 + 2 * 3)  # steps of both layers
        update += 3 * 2 + 3 * 2  # hidden probabilities, and their product with the visible states
    for _sample in range(6):
        update += 3 * 2 + 3 * 2
    update += 3 * 2 + 3 * 2  # both outer products of centring
    update += 3 * 2 + 3 * 2  # the gradient times both offsets, for the biases
    update += 3 * 2  # the step
    assert found.multiply_adds == 2 * 5 * update
    assert found.operations == 2 * found.multiply_adds
    assert found.random_numbers == 2 * 5 * 4 * 7 * (3 + 2)
    assert found.hours(found.multiply_adds / 7200) == pytest.approx(2)
    moved = 0
    for n_in, n_out in ((3, 2), (2, 3)):
        moved += 4 * 3 * 2  # weights
        moved += 7 * 4 * (n_in + n_out)  # product: states read, fields written
        moved += 7 * 4 * 2 * n_out  # sigmoid
        moved += 7 * 4 * n_out  # random numbers written
        moved += 7 * 4 * 3 * n_out  # both read, states written
    assert found.bytes_moved == 2 * 5 * 4 * moved


def test_a_machine_at_the_papers_scale_costs_what_arithmetic_says():
    found = cost(784, 400, n_replicas=1, n_updates=10_000, k=1000, n_chains=500, batch_size=500)
    assert found.operations == pytest.approx(6.3e15, rel=0.01)


def test_the_books_table_of_costs_is_the_count_for_the_profile_of_the_papers_scale():
    shared = ("n_updates", "k", "n_chains", "batch_size")
    settings = {name: mnist_standard.PAPER[name] for name in shared}
    n_replicas, n_sets = mnist_standard.PAPER["n_replicas"], len(mnist_standard.PAPER["dilutions"])
    one, several = (
        cost(784, mnist_standard.PAPER["n_hidden"], n_replicas=n, **settings) for n in (1, n_replicas)
    )
    text = Path(__file__).parents[2].joinpath("book", "cluster.md").read_text(encoding="utf-8")
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:5]]
        for cells in (line.split("|") for line in text.splitlines())
        if len(cells) == 6
    }
    assert rows[""] == ["one machine", f"a dilution's {n_replicas}", f"all {n_sets} dilutions"]
    counts = {
        "floating-point operations": "operations",
        "random numbers": "random_numbers",
        "bytes moved by Gibbs steps, at most": "bytes_moved",
    }
    for label, name in counts.items():
        expected = getattr(one, name), getattr(several, name), n_sets * getattr(several, name)
        assert rows[label] == [f"{value:.2e}".replace("e+", "e") for value in expected]
    for rate in (1e13, 3e13):
        hours = one.hours(rate / 2), several.hours(rate / 2), n_sets * several.hours(rate / 2)
        label = f"hours at {rate:.0e} operations a second".replace("e+", "e")
        assert [float(cell) for cell in rows[label]] == pytest.approx(hours, rel=0.05)
    assert f"{several.bytes_held / 1e9:.1f} GB of its memory" in text
    call = f"cost(784, 400, n_replicas={n_replicas}, n_updates=10_000, k=1000, n_chains=500, batch_size=500)"
    assert call in text
    assert settings == {"n_updates": 10_000, "k": 1000, "n_chains": 500, "batch_size": 500}


def test_the_bytes_held_are_those_of_the_tensors():
    machines, data = machines_of(), data_of()
    training = batched._training(BatchState.of(machines), data, 11, 34, SEEDS, torch.device("cpu"))
    tensors = [
        *training.parameters,
        *training.offsets,
        training._missing,
        training._gradient,
        training._samples,
    ]
    chains = training.chains
    tensors += [chains.visible, chains.hidden, chains.visible_numbers, chains.hidden_numbers]
    mini_batches = 3 * 34 * (13 + 6) * 4
    found = cost(13, 6, n_replicas=3, n_updates=1, k=1, n_chains=11, batch_size=34, n_samples=90)
    assert found.bytes_held == sum(tensor.nbytes for tensor in tensors) + mini_batches


def test_the_rate_is_that_of_the_steps_made(monkeypatch):
    now, steps = [0.0], []
    step = batched_tensors.Chains.step

    def slow(chains, *parameters):
        now[0] += 0.25
        steps.append(1)
        step(chains, *parameters)

    monkeypatch.setattr(batched_tensors.Chains, "step", slow)
    monkeypatch.setattr(batched_cost.time, "perf_counter", lambda: now[0])
    rate = measured_rate(6, 5, n_replicas=3, n_chains=4, seconds=2.0, device="cpu")
    assert rate == pytest.approx(2 * 6 * 5 * 3 * 4 / 0.25)
    assert 8 <= sum(steps) < 40


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: measured_rate(seconds=0.0), "seconds must be a positive number, not 0.0"),
        (lambda: measured_rate(n_replicas=0), "n_replicas must be an integer >= 1, not 0"),
        (
            lambda: cost(3, 2, n_replicas=1, n_updates=1, k=0, n_chains=1, batch_size=1),
            "k must be an integer >= 1, not 0",
        ),
        (
            lambda: cost(3, 2, n_replicas=1, n_updates=1, k=1, n_chains=1, batch_size=1).hours(0),
            "rate must be a positive number of multiply-adds a second, not 0",
        ),
    ],
)
def test_costs_of_nothing_are_refused(call, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        call()
