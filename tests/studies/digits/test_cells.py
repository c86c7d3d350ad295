"""Cells of diluted machines: interrupted training, independent seeds, likelihoods against enumeration, samples, floors."""

import itertools

import numpy as np
import pytest
import xarray as xr

from rbmbook.lab.cell import Cell
from rbmbook.lab.errors import SweepFailed
from rbmbook.lab.store import Store
from rbmbook.lab.sweep import sweep
from rbmbook.studies.digits import cells as mnist_cells
from rbmbook.studies.digits import standard as mnist_standard
from rbmbook.studies.digits.cells import machine_of, real_floors, sample_pruned, train_machine, unpacked
from rbmbook.studies.digits.likelihood import PARTS, annealed_likelihood, likelihood_from_below
from rbmlib import checkpoints
from rbmlib.mnist.appearance import appearance
from rbmlib.mnist.images import Images
from rbmlib.mnist.quality import Moments, adversarial_accuracy, second_moment_error
from rbmlib.pseudo_likelihood import log_pseudo_likelihood
from rbmlib.rbm import RBM
from rbmlib.training import DivergedError

SHAPE = (7, 6)


def boxes(n: int, seed: int) -> np.ndarray:
    """Images of a box at a random place."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, *SHAPE), np.uint8)
    for image, top, left in zip(images, rng.integers(0, 4, n), rng.integers(0, 4, n), strict=True):
        image[top : top + 4, left : left + 3] = 1
    return (images ^ (rng.random(images.shape) < 0.02)).reshape(n, -1).astype(np.uint8)


@pytest.fixture(scope="module")
def digits() -> Images:
    return Images(boxes(200, 1), boxes(60, 2), SHAPE, np.arange(200) % 3, np.arange(60) % 3, "boxes")


@pytest.fixture(scope="module")
def source(digits, tmp_path_factory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("images") / "boxes.npz"
    digits.save(path)
    return {"images": str(path), "images_checksum": digits.checksum}


@pytest.fixture
def settings(source) -> dict:
    training = {"k": 1, "n_chains": 20, "batch_size": 25, "n_updates": 40, "learning_rate": 0.1, "held": 0.5}
    seeds = {"mask_seed": 1, "init_seed": 2, "training_seed": 3, "ais_seed": 4}
    return {
        **source, "n_hidden": 9, "dilution": 0.3, **training, "record_every": 10, "ais_chains": 40, "ais_temperatures": 50, **seeds,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RBMLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def machine(digits, source, tmp_path_factory) -> xr.Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RBMLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return train_machine(
            **source, n_hidden=9, dilution=0.3, mask_seed=1, init_seed=2, training_seed=3, k=1, n_chains=20, batch_size=25,
            n_updates=400, learning_rate=0.1, held=0.5, record_every=200, ais_chains=40, ais_temperatures=50, ais_seed=4,
        )  # fmt: skip


def interrupt(monkeypatch, settings: dict, looks: int) -> None:
    """Train until the machine has been looked at so many times, then be killed."""
    look, seen = mnist_cells.pseudo_likelihoods, itertools.count(1)

    def look_or_die(*arguments):
        if next(seen) > looks:
            raise KeyboardInterrupt
        return look(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(mnist_cells, "pseudo_likelihoods", look_or_die)
        with pytest.raises(KeyboardInterrupt):
            train_machine(**settings)


def checkpoints_in(cache) -> list:
    return sorted((cache / "checkpoints").glob("*.npz")) if cache.exists() else []


# --- training ---


@pytest.mark.parametrize("looks", [2, 4])
def test_a_killed_cell_goes_on_from_its_checkpoint_with_the_same_bits(settings, cache, monkeypatch, looks):
    whole = train_machine(**settings)
    interrupt(monkeypatch, settings, looks)
    assert len(checkpoints_in(cache)) == 1

    train, began = mnist_cells.train_persistent, []
    monkeypatch.setattr(
        mnist_cells,
        "train_persistent",
        lambda state, *a, **b: began.append(state.update) or train(state, *a, **b),
    )
    resumed = train_machine(**settings)
    assert began == [10 * (looks - 1)]
    xr.testing.assert_identical(resumed, whole)
    assert checkpoints_in(cache) == []


@pytest.mark.parametrize("other", ["parameters", "code"])
def test_a_checkpoint_of_another_run_is_not_taken_up(settings, cache, monkeypatch, other):
    interrupt(monkeypatch, settings, 3)
    if other == "parameters":
        settings = {**settings, "training_seed": 4}
    else:
        monkeypatch.setattr(mnist_cells, "_sources", lambda: "other code")
    train, began = mnist_cells.train_persistent, []
    monkeypatch.setattr(
        mnist_cells,
        "train_persistent",
        lambda state, *a, **b: began.append(state.update) or train(state, *a, **b),
    )
    train_machine(**settings)
    assert began == [0]
    assert len(checkpoints_in(cache)) == 1


def test_a_damaged_checkpoint_counts_for_nothing(settings, cache, monkeypatch):
    whole = train_machine(**settings)
    interrupt(monkeypatch, settings, 3)
    (path,) = checkpoints_in(cache)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    xr.testing.assert_identical(train_machine(**settings), whole)
    assert checkpoints_in(cache) == []


def test_training_goes_on_without_checkpoints_where_the_cache_cannot_be_written(
    settings, tmp_path, monkeypatch
):
    whole = train_machine(**settings)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("RBMLIB_CACHE", str(tmp_path / "file"))
    xr.testing.assert_identical(train_machine(**settings), whole)


def test_a_machine_that_diverges_stops_with_the_update_and_others_go_on(settings, cache, tmp_path):
    wild = {**settings, "learning_rate": 3e37}
    with pytest.raises(DivergedError, match=r"training diverged in update \d+"):
        train_machine(**wild)
    assert checkpoints_in(cache) == []
    store = Store(None, tmp_path / "store")
    cells = [Cell(train_machine, wild), Cell(train_machine, settings)]
    with pytest.raises(SweepFailed, match="diverged in update"):
        sweep(cells, store, workers=1, progress=False)
    assert [store.has(store.key(cell)) for cell in cells] == [False, True]


def test_a_machine_keeps_its_mask_and_says_how_it_was_trained(settings):
    found = train_machine(**settings)
    n_weights = round(42 * 9 * 0.7)
    assert int(found.n_weights) == n_weights
    rbm = machine_of(found)
    assert rbm.n_weights == n_weights
    start = mnist_cells.diluted_machine(boxes(200, 1), 9, 0.3, 1, 2)
    np.testing.assert_array_equal(rbm.mask, start.mask)
    assert found.coords["update"].values.tolist() == [0, 10, 20, 30, 40]
    assert found.pseudo_likelihood.dims == ("update", "part")
    published = [name for name in found.data_vars if found[name].attrs.get("tier") != "cache"]
    assert sum(found[name].nbytes for name in published) < 1000


def test_training_raises_the_pseudo_likelihood(machine):
    assert (machine.pseudo_likelihood[-1] > machine.pseudo_likelihood[0] + 1).all()


def test_the_looks_at_a_run_change_nothing_in_it(settings):
    often, seldom = (train_machine(**{**settings, "record_every": every}) for every in (7, 100))
    np.testing.assert_array_equal(often.weights, seldom.weights)
    assert often.coords["update"].values.tolist() == [0, 7, 14, 21, 28, 35, 40]
    assert seldom.coords["update"].values.tolist() == [0, 40]


@pytest.mark.parametrize("dilution", [1.0, -0.1, float("nan")])
def test_a_dilution_that_leaves_nothing_or_too_much_is_refused(settings, dilution):
    with pytest.raises(ValueError, match=r"dilution p0, .* must lie in \[0, 1\), not "):
        train_machine(**{**settings, "dilution": dilution})


# --- seeds ---


def correlations() -> np.ndarray:
    """Between masks, and between initial weights, of machines of several dilutions and replicas, in standard errors."""
    train = boxes(20, 1)
    rows = {"mask": [], "weights": []}
    for dilution, replica in itertools.product((0.3, 0.5, 0.8), (0, 1)):
        seeds = mnist_standard.seeds_of_parts(dilution, replica)
        rbm = mnist_cells.diluted_machine(train, 60, dilution, seeds["mask_seed"], seeds["init_seed"])
        rows["mask"].append(rbm.mask.ravel().astype(float))
        rows["weights"].append(RBM.random(42, 60, seeds["init_seed"], 1.0).weights.ravel())
    found = [np.corrcoef(values)[np.triu_indices(6, 1)] for values in rows.values()]
    return np.concatenate(found) * np.sqrt(42 * 60)


def test_masks_and_weights_of_different_dilutions_and_replicas_are_independent():
    assert np.abs(correlations()).max() < 5


def test_no_two_parts_of_any_machines_share_a_seed():
    seeds = [
        seed
        for dilution in (*mnist_standard.BOOK["dilutions"], 0.1 + 1e-9)
        for replica in range(15)
        for seed in mnist_standard.seeds_of_parts(dilution, replica).values()
    ]
    assert len(set(seeds)) == len(seeds)


# --- likelihood ---


def test_the_annealed_likelihood_is_the_exact_one_within_its_error(machine, digits):
    rbm = machine_of(machine)
    found = annealed_likelihood(rbm, digits, 200, 200, 5)
    exact = rbm.log_partition()
    error = float(found.log_likelihood_error)
    assert 0 < error < 0.1
    assert abs(float(found.log_partition) - exact) < 5 * error
    assert 20 < float(found.effective_chains) <= 200
    for part in PARTS:
        logs = -rbm.free_energy(getattr(digits, part)) - float(found.log_partition)
        assert float(found.log_likelihood.sel(part=part)) == pytest.approx(logs.mean(), abs=1e-9)
        assert float(found.log_likelihood_spread.sel(part=part)) == pytest.approx(logs.std(ddof=1), rel=1e-9)


def exact_samples(rbm: RBM, n_samples: int, seed: int) -> np.ndarray:
    """Visible states of a small machine by its exact hidden distribution."""
    rng = np.random.default_rng(seed)
    hidden = (np.arange(2**rbm.n_hidden)[:, None] >> np.arange(rbm.n_hidden)) & 1
    weights, visible_bias, hidden_bias = (
        np.float64(x) for x in (rbm.weights, rbm.visible_bias, rbm.hidden_bias)
    )
    fields = visible_bias + hidden @ weights.T
    logs = hidden @ hidden_bias + np.logaddexp(0, fields).sum(axis=1)
    shares = np.exp(logs - logs.max())
    drawn = rng.choice(len(hidden), n_samples, p=shares / shares.sum())
    return (rng.random((n_samples, rbm.n_visible)) < 1 / (1 + np.exp(-fields[drawn]))).astype(np.uint8)


def test_backwards_from_exact_samples_the_likelihood_is_the_exact_one_too(machine, digits):
    rbm = machine_of(machine)
    found = likelihood_from_below(rbm, digits, exact_samples(rbm, 200, 3), 200, 6)
    error = float(found.log_likelihood_below_error)
    assert 0 < error < 0.1
    assert 20 < float(found.effective_chains_below) <= 200
    for part in PARTS:
        exact = (-rbm.free_energy(getattr(digits, part))).mean() - rbm.log_partition()
        assert abs(float(found.log_likelihood_below.sel(part=part)) - exact) < 5 * error


def test_a_short_way_brackets_the_likelihood(machine, digits):
    """Two temperatures a way: by Jensen's inequality one errs upwards, the other downwards, by far more than noise."""
    rbm = machine_of(machine)
    above = annealed_likelihood(rbm, digits, 200, 2, 5).log_likelihood
    below = likelihood_from_below(rbm, digits, exact_samples(rbm, 200, 3), 2, 6).log_likelihood_below
    for part in PARTS:
        exact = (-rbm.free_energy(getattr(digits, part))).mean() - rbm.log_partition()
        assert float(below.sel(part=part)) < exact < float(above.sel(part=part))


def test_the_bound_of_a_machine_takes_more_chains_than_there_are_images(machine, source, digits):
    rbm = machine_of(machine)
    found = mnist_cells.bound_likelihood(
        **source, n_chains=300, n_steps=200, ais_temperatures=200, bound_seed=1, machine=machine
    )
    exact = -rbm.free_energy(digits.test).mean() - rbm.log_partition()
    error = float(found.log_likelihood_below_error)
    assert 20 < float(found.effective_chains_below) <= 300
    assert abs(float(found.log_likelihood_below.sel(part="test")) - exact) < 5 * error


def flipped_pseudo_likelihood(rbm: RBM, states: np.ndarray) -> np.ndarray:
    """Every unit flipped in turn."""
    total = np.zeros(len(states))
    here = rbm.free_energy(states)
    for unit in range(rbm.n_visible):
        flipped = states.copy()
        flipped[:, unit] ^= 1
        total -= np.logaddexp(0, here - rbm.free_energy(flipped))
    return total


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_the_pseudo_likelihood_is_that_of_every_unit_flipped_in_turn(scale):
    rng = np.random.default_rng(3)
    rbm = RBM.random(13, 50, 3, scale).replace(
        visible_bias=rng.normal(size=13), hidden_bias=rng.normal(size=50)
    )
    states = rng.integers(0, 2, (37, 13)).astype(np.uint8)
    expected = flipped_pseudo_likelihood(rbm, states)
    np.testing.assert_allclose(
        log_pseudo_likelihood(rbm, states), expected, rtol=1e-6, atol=1e-5 * max(scale, 1)
    )


def test_the_pseudo_likelihood_of_independent_units_is_their_likelihood():
    biases = np.linspace(-3, 3, 11)
    rbm = RBM(np.zeros((11, 4)), biases, np.ones(4))
    states = np.random.default_rng(1).integers(0, 2, (20, 11))
    p = 1 / (1 + np.exp(-biases))
    expected = np.where(states == 1, np.log(p), np.log(1 - p)).sum(axis=1)
    np.testing.assert_allclose(log_pseudo_likelihood(rbm, states), expected, rtol=1e-6)


def test_states_that_are_not_binary_have_no_pseudo_likelihood():
    with pytest.raises(ValueError, match="visible must hold 0 and 1 only, not 2"):
        log_pseudo_likelihood(RBM.random(3, 2, 1), [[0, 1, 2]])


# --- samples ---


@pytest.fixture
def sampling(source) -> dict:
    seeds = {"order_seed": 7, "sampling_seed": 8, "reference_seed": 9}
    removed = (0.0, 0.3, 0.9)
    return {
        **source,
        "criterion": "magnitude",
        "removed": removed,
        "n_samples": 50,
        "n_steps": 20,
        "n_shown": 0,
        **seeds,
    }


def test_pruned_machines_are_sampled_and_measured(sampling, machine, digits):
    found = sample_pruned(**{**sampling, "n_shown": 12}, machine=machine)
    n_weights = int(machine.n_weights)
    assert found.kept.values.tolist() == [n_weights, round(0.7 * n_weights), round(0.1 * n_weights)]
    images = unpacked(found.samples.values, digits.n_pixels)
    reference = digits.train[mnist_cells.permutation(200, 9)[:50]]
    for drawn, one in zip(images, (found.isel(removed=i) for i in range(3)), strict=True):
        accuracy = adversarial_accuracy(drawn, reference)
        assert (float(one.aai), float(one.aai_error)) == accuracy.error
        assert (float(one.aai_generated), float(one.aai_data)) == (
            accuracy.generated.value,
            accuracy.data.value,
        )
        assert float(one.second_moment) == second_moment_error(drawn, digits.train)
        for name, value in appearance(drawn, SHAPE)._asdict().items():
            assert float(one[name]) == value
    np.testing.assert_array_equal(found.shown, found.samples[:, :12])
    assert found.samples.attrs["tier"] == "cache"
    assert found.components.values[-1] > found.components.values[0]


def test_a_share_is_sampled_the_same_whatever_else_the_grid_has(sampling, machine):
    whole = sample_pruned(**sampling, machine=machine)
    alone = sample_pruned(**{**sampling, "removed": (0.3,)}, machine=machine)
    assert "shown" not in whole
    for name in alone.data_vars:
        np.testing.assert_array_equal(alone[name].values[0], whole[name].sel(removed=0.3).values)


@pytest.mark.parametrize("criterion", ["random", "largest"])
def test_controls_lose_as_many_weights_as_the_machine_itself(sampling, machine, criterion):
    own, control = (
        sample_pruned(**{**sampling, "criterion": c}, machine=machine) for c in ("magnitude", criterion)
    )
    np.testing.assert_array_equal(own.kept, control.kept)
    np.testing.assert_array_equal(own.samples[0], control.samples[0])
    assert (own.samples[2] != control.samples[2]).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"removed": (0.0, 1.0)}, r"removed must hold shares in \[0, 1\) .*, not 1.0"),
        ({"removed": (-0.1,)}, r"removed must hold shares in \[0, 1\) .*, not -0.1"),
        ({"n_samples": 201}, "n_samples must be at most the 200 training images, not 201"),
        ({"criterion": "smallest"}, "criterion must be one of"),
        ({"images_checksum": "0" * 64}, "have the checksum"),
    ],
)
def test_what_cannot_be_sampled_is_refused_in_a_sentence(sampling, machine, changes, message):
    with pytest.raises(ValueError, match=message):
        sample_pruned(**{**sampling, **changes}, machine=machine)


def test_a_machine_for_other_images_is_refused(sampling):
    other = mnist_cells.machine_dataset(RBM.random(10, 4, 1), [0], [[0.0, 0.0]])
    with pytest.raises(ValueError, match="images must have the machine's 10 pixels, not 42"):
        sample_pruned(**sampling, machine=other)


def test_chains_start_from_independent_pixels_with_the_means_of_the_data(digits):
    moments = Moments.of(digits.train)
    drawn = mnist_cells.independent_pixels(moments, 4000, 5)
    mean = moments.ink / moments.n
    error = np.sqrt(np.maximum(mean * (1 - mean), 1e-3) / 4000)
    assert (np.abs(drawn.mean(axis=0) - mean) < 5 * error).all()
    together = np.cov(drawn[:, (mean > 0) & (mean < 1)].T)
    off = together - np.diag(together.diagonal())
    assert np.abs(off).max() < 5 * 0.25 / np.sqrt(4000)
    np.testing.assert_array_equal(mnist_cells.independent_pixels(moments, 10, 5), drawn[:10])


# --- floors ---


def test_floors_are_those_of_disjoint_sets_of_real_images(source, digits):
    found = real_floors(**source, n_samples=30, n_sets=3, seed=4)
    assert found.sizes["set"] == 3
    rows = mnist_cells.disjoint_subsets(200, 30, 6, 4)
    assert (
        float(found.aai[1]) == adversarial_accuracy(digits.train[rows[2]], digits.train[rows[3]]).error.value
    )
    assert float(found.second_moment[1]) == second_moment_error(digits.train[rows[2]], digits.train)
    assert float(found.ink) == appearance(digits.test, SHAPE).ink
    assert found.counts.values.tolist() == [20, 20, 20]
    assert real_floors(**source, n_samples=30, n_sets=4, seed=4).sizes["set"] == 3
    with pytest.raises(ValueError, match="need 202; there are 200"):
        real_floors(**source, n_samples=101, n_sets=4, seed=4)


def test_checkpoints_lie_in_the_cache(cache):
    assert checkpoints.folder() == cache / "checkpoints"
