"""Replicas trained at once: the layout of machines trained one by one, divergence by replica, resuming, tolerances."""

import re

import numpy as np
import pytest

from rbmbook.lab.compare import deviations
from rbmbook.lab.errors import SweepFailed
from rbmbook.lab.store import Store
from rbmbook.lab.sweep import sweep
from rbmbook.studies.digits import accelerated as mnist_batch_cells
from rbmbook.studies.digits import cells as mnist_cells
from rbmbook.studies.digits import standard as mnist_standard
from rbmbook.studies.mnist_dilution import study as mnist_dilution
from rbmbook.studies.tolerances import TOLERANCES, course_distance
from rbmlib import checkpoints
from rbmlib.accelerator import tensors as batched_tensors
from rbmlib.accelerator import training as batched
from rbmlib.mnist.images import Images
from rbmlib.training import DivergedError

SHAPE = (6, 6)
LONG = {"n_updates": 300, "record_every": 100, "learning_rate": 0.5, "n_chains": 100, "batch_size": 50}
TOLERATED = TOLERANCES["train_machines"]


def bars(n, seed):
    """Images of one or two bars, some pixels flipped."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, *SHAPE), np.uint8)
    images[np.arange(n), rng.integers(0, 6, n)] = 1
    rows = rng.random(n) < 0.5
    images[rows, :, rng.integers(0, 6, rows.sum())] = 1
    return (images ^ (rng.random(images.shape) < 0.02)).reshape(n, -1)


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "bars.npz"
    images = Images(bars(300, 1), bars(100, 2), SHAPE, name="bars")
    images.save(path)
    return {
        **mnist_standard.QUICK,
        "images": str(path),
        "images_checksum": images.checksum,
        "backend": "torch",
        "n_hidden": 12,
        "n_replicas": 3,
        "k": 1,
        "n_chains": 20,
        "batch_size": 20,
        "n_updates": 40,
        "record_every": 15,
        "ais_chains": 10,
        "ais_temperatures": 20,
        "n_samples": 30,
        "n_shown": 10,
        "n_steps": 5,
        "removed": [0.0, 0.5],
    }


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.setenv("RBMLIB_DEVICE", "cpu")
    monkeypatch.setenv("RBMLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def batch(parameters):
    return trained(parameters, dilution=0.5)


def trained(parameters, dilution=0.5, **changes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RBMLIB_DEVICE", "cpu")
        cell = mnist_batch_cells.batch_cell({**parameters, **changes}, dilution)
        return mnist_batch_cells.train_machines(**cell.parameters)


def swept(cells, tmp_path):
    return sweep(cells, Store(None, tmp_path / "cache"), workers=1, progress=False)


def test_a_machine_has_the_layout_of_one_that_was_trained_alone_and_its_mask_and_start(parameters, tmp_path):
    alone = mnist_standard.machine_cell({**parameters, "backend": "numba"}, 0.5, 2)
    together = mnist_standard.machine_cell(parameters, 0.5, 2)
    assert together.compute is mnist_batch_cells.measure_machine
    one, other = swept([alone, together], tmp_path)
    assert set(one.variables) == set(other.variables)
    for name in one.variables:
        assert one[name].dims == other[name].dims
        assert one[name].dtype == other[name].dtype
        assert one[name].shape == other[name].shape
        assert one[name].attrs == other[name].attrs
    assert one.attrs == other.attrs
    np.testing.assert_array_equal(one["update"], [0, 15, 30, 40])
    np.testing.assert_array_equal(one["update"], other["update"])
    np.testing.assert_array_equal(one.weights.values != 0, other.weights.values != 0)
    np.testing.assert_array_equal(one.pseudo_likelihood[0], other.pseudo_likelihood[0])
    assert int(one.n_weights) == int(other.n_weights) == 36 * 12 // 2
    assert not np.array_equal(one.weights, other.weights)


def test_replicas_share_one_training_and_are_pruned_and_sampled_like_any_machine(
    parameters, tmp_path, monkeypatch
):
    n_trained = []
    train = mnist_batch_cells.train_batch
    monkeypatch.setattr(
        mnist_batch_cells, "train_batch", lambda *a, **k: n_trained.append(1) or train(*a, **k)
    )
    cells = [mnist_standard.sample_cell(parameters, 0.5, replica) for replica in range(3)]
    found = swept(cells, tmp_path)
    assert len(n_trained) == 1
    assert [each.kept.values.tolist() for each in found] == [[216, 108]] * 3
    assert len({each.samples.values.tobytes() for each in found}) == 3


def test_the_profile_of_the_papers_scale_trains_every_dilution_in_one_cell():
    wanted = mnist_dilution.cells(**mnist_dilution.PROFILES["paper"].parameters)
    machines = [cell for cell in wanted if cell.compute is mnist_batch_cells.measure_machine]
    batches = {cell.needs["batch"] for cell in machines}
    assert len(set(machines)) == 15 * len(batches)
    assert sorted(cell.parameters["dilution"] for cell in batches) == mnist_standard.PAPER["dilutions"]
    assert {(cell.parameters["k"], cell.parameters["n_updates"]) for cell in batches} == {(1000, 10_000)}
    assert not any(cell.compute is mnist_cells.train_machine for one in wanted for cell in one.with_needs())


def test_the_seeds_of_a_batch_are_those_of_its_machines(parameters):
    batch = mnist_batch_cells.batch_cell(parameters, 0.5).parameters
    for replica in range(3):
        alone = mnist_standard.machine_cell({**parameters, "backend": "numba"}, 0.5, replica).parameters
        for several, one in mnist_batch_cells._SEEDS.items():
            assert batch[several][replica] == alone[one]
        assert (
            mnist_standard.machine_cell(parameters, 0.5, replica).parameters["ais_seed"] == alone["ais_seed"]
        )
        shared = set(batch) & set(alone)
        assert {name: batch[name] for name in shared} == {name: alone[name] for name in shared}


def test_training_raises_the_pseudo_likelihood_of_every_replica(parameters):
    found = trained(parameters, **LONG)
    assert (found.pseudo_likelihood.isel(update=-1) > found.pseudo_likelihood.isel(update=0) + 5).all()
    assert found.attrs == {"bits": "dependent on the device (torch)", "device": "cpu"}
    assert (found.diverged == -1).all()


def test_a_diverging_replica_fails_by_name_and_update_and_the_others_are_stored(
    parameters, tmp_path, monkeypatch
):
    stop = batched_tensors.Training._stop_diverged

    def with_nan(training):
        if training.update == 20:
            training.parameters[0][1, 3, 4] = np.nan
        stop(training)

    monkeypatch.setattr(batched_tensors.Training, "_stop_diverged", with_nan)
    cells = [mnist_standard.machine_cell(parameters, 0.5, replica) for replica in range(3)]
    with pytest.raises(SweepFailed, match="replica 1 diverged in update 20: ") as failure:
        swept(cells, tmp_path)
    assert len(failure.value.failures) == 1
    store = Store(None, tmp_path / "cache")
    for replica in (0, 2):
        assert np.isfinite(store.load(store.key(cells[replica])).log_likelihood).all()
    batch = store.load(store.key(cells[1].needs["batch"]))
    assert batch.diverged.values.tolist() == [-1, 20, -1]
    np.testing.assert_array_equal(
        np.isnan(batch.pseudo_likelihood[:, :, 0]), [[False] * 4, [False, False, True, True], [False] * 4]
    )


def test_training_in_which_every_replica_diverges_is_told_of_each(parameters, tmp_path):
    batch = trained(parameters, learning_rate=1e38)
    assert (batch.diverged > 0).all()
    assert np.isnan(batch.pseudo_likelihood[:, -1]).all()
    cell = mnist_batch_cells.machine_cell({**parameters, "learning_rate": 1e38}, 0.5, 2)
    with pytest.raises(DivergedError, match=r"^replica 2 diverged in update"):
        mnist_batch_cells.measure_machine(**cell.parameters, batch=batch)


def test_a_killed_batch_goes_on_with_the_same_bits(parameters, batch, monkeypatch):
    monkeypatch.setattr(batched._File, "is_due", lambda file: True)
    calls, look = [], mnist_batch_cells.pseudo_likelihoods

    def killed(rbm, digits):
        calls.append(1)
        if len(calls) == 5:  # after three replicas at update 15, in the middle of update 30
            raise KeyboardInterrupt
        return look(rbm, digits)

    monkeypatch.setattr(mnist_batch_cells, "pseudo_likelihoods", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(parameters)
    assert len(list(checkpoints.folder().iterdir())) == 1
    updates, advance = [], batched_tensors.Training.advance

    def counted(training, *arguments):
        updates.append(training.update)
        advance(training, *arguments)

    monkeypatch.setattr(batched_tensors.Training, "advance", counted)
    again = trained(parameters)
    assert updates == list(range(29, 40))
    assert again.identical(batch)
    assert not list(checkpoints.folder().iterdir())


def test_another_devices_numbers_are_tolerated_and_another_training_is_not(parameters, batch, monkeypatch):
    def allowed(stored, computed):
        return all(one.allowed for one in deviations(stored, computed, TOLERATED))

    one = trained(parameters, **LONG)
    begin = batched_tensors.Training.__init__

    def otherwise(training, *arguments):
        begin(training, *arguments)
        training._seed ^= np.uint64(1)

    with monkeypatch.context() as patch:
        patch.setattr(batched_tensors.Training, "__init__", otherwise)
        other = trained(parameters, **LONG)
    assert not np.array_equal(other.weights, one.weights)
    assert allowed(one, one)
    assert allowed(one, other)
    assert allowed(one.drop_vars(["weights", "visible_bias", "hidden_bias"]), other)
    assert not allowed(one, trained(parameters, **{**LONG, "learning_rate": 0.4}))
    assert not allowed(one, trained(parameters, dilution=0.4, **LONG))
    assert not allowed(one, batch)


def test_diverged_replicas_must_be_the_same_ones(batch):
    diverged = batch.copy(deep=True)
    diverged.pseudo_likelihood[1, 2:] = np.nan
    assert course_distance(diverged, diverged) == 0.0
    assert course_distance(batch, diverged) == course_distance(diverged, batch) == np.inf
    diverged.pseudo_likelihood[:, 1:] = np.nan
    assert course_distance(diverged, diverged) == 0.0


def test_a_dilution_that_cannot_be_is_refused(parameters):
    cell = mnist_batch_cells.batch_cell(parameters, 0.5)
    with pytest.raises(ValueError, match=re.escape("must lie in [0, 1), not 1.2")):
        mnist_batch_cells.train_machines(**{**cell.parameters, "dilution": 1.2})
