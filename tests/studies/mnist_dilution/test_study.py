"""The study of diluted machines: its cells and whose they are, joined results against single cells, what is refused."""

import subprocess
import sys

import numpy as np
import pytest

from rbmbook.lab.profiles import resolve
from rbmbook.studies.digits import standard as mnist_standard
from rbmbook.studies.digits.drops import effective_digits
from rbmbook.studies.mnist_dilution import study as mnist_dilution
from rbmbook.studies.mnist_dilution.study import CONTROLLED, ORDERS, PROFILES
from rbmlib.mnist.diversity import expected_imbalance
from rbmlib.mnist.images import Images

BOOK = dict(PROFILES["book"].parameters)
SIDE = 12
SMALL = {
    "n_hidden": 10, "dilutions": [0.0, 0.5], "n_replicas": 2, "k": 1, "n_chains": 16, "batch_size": 16, "n_updates": 40,
    "record_every": 20, "ais_chains": 4, "ais_temperatures": 10, "removed": [0.0, 0.4, 0.9], "n_samples": 110,
    "n_steps": 10, "n_shown": 4, "shown_dilutions": [0.5], "control_dilutions": [0.5], "control_replicas": 1,
    "control_removed": [0.0, 0.2, 0.9], "n_folds": 2, "negatives_removed": [0.9], "n_negatives": 30, "n_held_out": 10,
    "n_synthetic": 40, "judge_updates": 30, "judge_batch_size": 32, "judge_learning_rate": 5e-3,
}  # fmt: skip


def bars(n, seed):
    """Upright and lying bars, with a few flipped pixels."""
    rng = np.random.default_rng(seed)
    images, labels = np.zeros((n, SIDE, SIDE), np.uint8), np.arange(n) % 2
    for image, label, at in zip(images, labels, rng.integers(1, 8, n), strict=True):
        image[1:11, at : at + 3] = 1
        if label:
            image[:] = image.T.copy()
    return (images ^ (rng.random(images.shape) < 0.01)).reshape(n, -1).astype(np.uint8), labels


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    (train, train_labels), (test, test_labels) = bars(480, 1), bars(140, 2)
    images = Images(train, test, (SIDE, SIDE), train_labels, test_labels, "bars")
    path = tmp_path_factory.mktemp("images") / "bars.npz"
    images.save(path)
    return {**BOOK, **SMALL, "images": str(path), "images_checksum": images.checksum}


@pytest.fixture(scope="module")
def study(parameters, sweeping):
    with sweeping(mnist_dilution):
        return mnist_dilution.results(**parameters)


@pytest.fixture(scope="module")
def stored(study, tiny_store):
    return lambda cell: tiny_store.load(tiny_store.key(cell))


# --- cells ---


def test_the_notebooks_own_parameters_are_the_book_profile(declared_defaults):
    assert declared_defaults("mnist_dilution") == BOOK


@pytest.mark.parametrize("name", list(PROFILES))
def test_profiles_have_the_same_parameters_and_are_accepted(name):
    parameters = PROFILES[name].parameters
    assert tuple(parameters) == mnist_standard.NAMES
    mnist_standard.check(parameters)
    assert PROFILES[name].cost


def test_the_book_profile_is_what_was_asked_for():
    assert BOOK["dilutions"] == [round(0.1 * i, 1) for i in range(9)]
    assert (BOOK["n_replicas"], BOOK["n_hidden"]) == (15, 400)
    assert BOOK["n_samples"] >= 1000
    around = [f for f in BOOK["removed"] if 0.4 <= f <= 0.9]
    assert max(np.diff(around)) < 0.061
    assert {0.2, 0.3, 0.95} <= set(BOOK["removed"])
    cells = mnist_dilution.cells(**BOOK)
    assert len(set(cells)) == len(cells) == 3 * 135 + 2 * 30 + 9 + 1


def test_the_profile_quick_is_small():
    assert len(mnist_dilution.cells(**PROFILES["quick"].parameters)) < 20


def test_keys_need_neither_images_nor_torch():
    code = (
        "import sys; from rbmbook.studies.mnist_dilution import study as mnist_dilution;"
        "from rbmbook.studies.digits import standard as mnist_standard; from rbmbook.lab.store import Store;"
        "p = mnist_dilution.PROFILES['quick'].parameters; store = Store(None, 'nowhere');"
        "keys = {store.key(mnist_standard.machine_cell(p, *one)) for one in mnist_standard.machines(p)};"
        "store.key(mnist_standard.floors_cell(p)); print(len(keys), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4", "False"]


def test_samples_are_published_of_one_replica_at_the_dilutions_shown(parameters):
    shown = {
        one: mnist_standard.sample_cell(parameters, *one).parameters["n_shown"]
        for one in mnist_standard.machines(parameters)
    }
    assert shown == {(0.0, 0): 0, (0.0, 1): 0, (0.5, 0): 4, (0.5, 1): 0}
    assert mnist_standard.sample_cell(parameters, 0.5, 0, "random").parameters["n_shown"] == 0


# --- results ---


def test_measures_stand_at_their_replica_dilution_and_share(study, stored, parameters):
    machines = study.machines
    assert dict(machines.sizes) == {"replica": 2, "dilution": 2, "removed": 3, "update": 3, "part": 2}
    for p0, replica in mnist_standard.machines(parameters):
        here = machines.sel(dilution=p0, replica=replica)
        sampled = stored(mnist_standard.sample_cell(parameters, p0, replica))
        judged = stored(mnist_dilution.mnist_judges.judged_cell(parameters, p0, replica))
        trained = stored(mnist_standard.machine_cell(parameters, p0, replica))
        for source, names in (
            (sampled, ("kept", "aai", "aai_error", "second_moment", "ink", "contact")),
            (judged, ("quality", "quality_other", "imbalance", "entropy", "second_moment_error")),
            (trained, ("pseudo_likelihood", "log_likelihood", "log_likelihood_error")),
        ):
            for name in names:
                np.testing.assert_array_equal(here[name].values, source[name].values)
        np.testing.assert_array_equal(here.digits, effective_digits(judged.imbalance.values))
    assert machines.aai.dims == ("replica", "dilution", "removed")
    assert machines.log_likelihood.dims == ("replica", "dilution", "part")
    np.testing.assert_allclose(machines.total.sel(dilution=0.5), [0.5, 0.7, 0.95])
    assert (machines.attrs["height"], machines.attrs["width"]) == (SIDE, SIDE)


def test_weights_that_are_kept_are_the_share_of_those_that_dilution_left(study):
    whole = SIDE * SIDE * 10
    assert study.machines.kept.sel(dilution=0.0, replica=0).values.tolist() == [whole, 864, 144]
    assert study.machines.kept.sel(dilution=0.5, replica=1).values.tolist() == [whole // 2, 432, 72]


def test_controls_stand_on_straight_lines_between_what_was_measured(study, stored, parameters):
    controls = study.controls
    assert controls.order.values.tolist() == list(ORDERS)
    np.testing.assert_allclose(controls.removed, [0.0, 0.2, 0.4, 0.9])
    assert (controls.dilution.values.tolist(), controls.replica.values.tolist()) == ([0.5], [0])
    sampled = stored(mnist_standard.sample_cell(parameters, 0.5, 0, "largest"))
    aai = controls.aai.sel(order="largest").isel(machine=0).values
    start, measured, end = sampled.aai.values
    np.testing.assert_allclose(aai, [start, measured, measured + (end - measured) * 2 / 7, end])
    own = study.machines.sel(dilution=0.5, replica=0)
    for name in CONTROLLED:
        np.testing.assert_allclose(
            controls[name].sel(order="magnitude").isel(machine=0, removed=[0, 2, 3]), own[name]
        )


def test_floors_are_what_as_many_real_images_are_given(study):
    floors = study.floors
    assert floors.attrs["n_samples"] == 110
    assert floors.aai.ndim == 0
    assert float(floors.aai) < 0.05
    assert float(floors.imbalance) == expected_imbalance(110, [70, 70])
    assert 1.9 < float(floors.digits) < 2
    for name in ("aai_error", "second_moment", "second_moment_error", "entropy", "ink", "off_centre"):
        assert np.isfinite(floors[name])


def test_a_study_without_controls_has_none(parameters, sweeping):
    with sweeping(mnist_dilution):
        study = mnist_dilution.results(**{**parameters, "control_replicas": 0})
    assert not study.controls.sizes


def test_what_is_published_is_small(study, stored, parameters):
    for cell in mnist_dilution.cells(**parameters):
        dataset = stored(cell)
        published = [name for name in dataset.variables if dataset[name].attrs.get("tier") != "cache"]
        assert sum(dataset[name].nbytes for name in published) < 5000, cell.name


# --- what is refused ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dilutions": [0.0, 1.0]}, r"dilutions must be p0, .* in \[0, 1\), not \[0.0, 1.0\]"),
        ({"dilutions": [-0.1]}, r"dilutions must be p0, .* in \[0, 1\), not \[-0.1\]"),
        ({"dilutions": [0.5, 0.0]}, "dilutions must ascend without repetition"),
        ({"dilutions": []}, "dilutions must hold at least one share; it is empty"),
        ({"removed": [0.0, 1.0]}, r"removed must be shares .* in \[0, 1\), not \[0.0, 1.0\]"),
        ({"removed": [-0.2, 0.0]}, "below 0 the total p would be below p0"),
        ({"removed": [0.1, 0.9]}, "removed must begin with 0"),
        ({"control_removed": [0.5]}, "control_removed must begin with 0"),
        ({"negatives_removed": [0.93]}, r"negatives_removed must be among removed = .*; \[0.93\] are not"),
        ({"shown_dilutions": [0.45]}, "shown_dilutions must be among dilutions"),
        ({"control_dilutions": [0.45]}, "control_dilutions must be among dilutions"),
        ({"n_replicas": 0}, "n_replicas must be an integer >= 1, not 0"),
        ({"n_hidden": 2.5}, "n_hidden must be an integer >= 1, not 2.5"),
        ({"n_updates": True}, "n_updates must be an integer >= 1, not True"),
        ({"control_replicas": 16}, "control_replicas must be at most n_replicas = 15, not 16"),
        ({"n_folds": 1}, "n_folds must be an integer >= 2, not 1"),
        ({"n_folds": 16}, "n_folds must be at most n_replicas = 15, not 16"),
        ({"n_shown": 1001}, "n_shown must be at most n_samples = 1000, not 1001"),
        ({"n_negatives": 1001}, "n_negatives must be at most n_samples = 1000, not 1001"),
        ({"learning_rate": float("nan")}, "learning_rate must be a positive number, not nan"),
        ({"held": 1.5}, "held must be a fraction of the run from 0 to 1, not 1.5"),
        ({"backend": "jax"}, "backend must be one of numba, torch, not 'jax'"),
        ({"recipes": ["synthetic"]}, "recipes must be over-pruned, synthetic and perhaps both"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused_in_a_sentence(changes, message):
    p = resolve(PROFILES, "book", changes)
    with pytest.raises(ValueError, match=message):
        mnist_dilution.cells(**p)


def test_an_order_that_does_not_exist_is_refused():
    with pytest.raises(
        ValueError, match="criterion must be one of magnitude, largest, random, not 'smallest'"
    ):
        mnist_standard.sample_cell(BOOK, 0.0, 0, "smallest")
