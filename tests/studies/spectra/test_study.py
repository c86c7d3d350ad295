"""Spectra of trained machines: shuffles, the course of training, machines of few modes, and what is refused before any cell."""

import numpy as np
import pytest
import xarray as xr

from rbmbook.evidence.words import MOST_WORDS, count_words
from rbmbook.studies.digits import standard as mnist_standard
from rbmbook.studies.digits.cells import machine_of, sample_pruned, train_machine
from rbmbook.studies.spectra import cells as spectra_cells
from rbmbook.studies.spectra import claims as rules
from rbmbook.studies.spectra import study as spectra
from rbmlib.analysis.compensation import compensate, mean_activities
from rbmlib.analysis.marchenko_pastur import MarchenkoPastur
from rbmlib.analysis.spectra import eigenvalues, truncate_modes
from rbmlib.mnist.images import Images

SHAPE = (7, 6)
TRAINING = {
    "n_hidden": 9, "dilution": 0.3, "mask_seed": 1, "init_seed": 2, "training_seed": 3, "k": 1, "n_chains": 20,
    "batch_size": 25, "n_updates": 60, "learning_rate": 0.1, "held": 0.5,
}  # fmt: skip
SAMPLING = {"n_samples": 40, "n_steps": 5, "sampling_seed": 6, "reference_seed": 7}


def boxes(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    images = np.zeros((n, *SHAPE), np.uint8)
    for image, top, left in zip(images, rng.integers(0, 4, n), rng.integers(0, 4, n), strict=True):
        image[top : top + 4, left : left + 3] = 1
    return images.reshape(n, -1)


@pytest.fixture(scope="module")
def digits() -> Images:
    return Images(boxes(200, 1), boxes(60, 2), SHAPE, np.arange(200) % 3, np.arange(60) % 3, "boxes")


@pytest.fixture(scope="module")
def source(digits, tmp_path_factory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("images") / "boxes.npz"
    digits.save(path)
    return {"images": str(path), "images_checksum": digits.checksum}


@pytest.fixture(scope="module")
def machine(source, tmp_path_factory) -> xr.Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RBMLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return train_machine(
            **source, **TRAINING, record_every=30, ais_chains=20, ais_temperatures=20, ais_seed=4
        )


def test_a_spectrum_stands_beside_those_of_its_weights_shuffled(machine):
    found = spectra_cells.weight_spectrum(3, 5, machine)
    weights = machine.weights.values
    np.testing.assert_array_equal(found.eigenvalues, eigenvalues(weights))
    assert found["rank"].values.tolist() == list(range(1, 10))
    assert found.null.values.tolist() == ["nothing", "rows"]
    total = np.square(weights.astype(float)).sum()
    np.testing.assert_allclose(found.shuffled.sum("rank"), total, rtol=1e-6)
    np.testing.assert_allclose(
        found.shuffled_largest.mean("shuffle").isel(order=0), found.shuffled.isel(rank=0), rtol=1e-6
    )
    assert int(found.n_weights) == np.count_nonzero(weights)


def test_the_course_of_a_training_ends_at_the_trained_machine(source, machine):
    found = spectra_cells.train_spectra(**source, **TRAINING, course=(0, 30, 60))
    np.testing.assert_array_equal(found.eigenvalues.sel(update=60), eigenvalues(machine.weights.values))
    assert (found.eigenvalues.isel(rank=0).diff("update") > 0).all()
    early = spectra_cells.train_spectra(**source, **TRAINING, course=(30,))
    np.testing.assert_array_equal(early.eigenvalues[0], found.eigenvalues.sel(update=30))


def test_a_machine_of_all_modes_draws_what_the_machine_itself_draws(source, machine):
    found = spectra_cells.sample_modes(**source, **SAMPLING, modes=(2, 9), compensated=False, machine=machine)
    whole = sample_pruned(
        **source, **SAMPLING, criterion="magnitude", order_seed=0, removed=(0.0,), n_shown=0, machine=machine
    )
    np.testing.assert_array_equal(found.samples.sel(removed=0), whole.samples.sel(removed=0))
    assert found.modes.values.tolist() == [2, 9]
    assert found.removed.values.tolist() == [1 - 2 / 9, 0]
    assert (found.samples[0] != found.samples[1]).any()


def test_machines_of_few_modes_are_rounded_and_may_be_compensated(source, digits, machine, monkeypatch):
    drawn = {}

    def keep(along, machines, *rest):
        drawn.update((round((1 - place) * 9), rbm) for place, rbm in machines)
        return xr.Dataset(coords={"removed": [0.0]})

    monkeypatch.setattr(spectra_cells, "measured_along", keep)
    base = machine_of(machine)
    for compensated in (False, True):
        spectra_cells.sample_modes(**source, **SAMPLING, modes=(4,), compensated=compensated, machine=machine)
        found = drawn[4]
        np.testing.assert_allclose(found.weights, truncate_modes(base.weights, 4), atol=2**-21)
        assert (found.weights * 2**20 % 1 == 0).all()
        assert found.mask.all()
        expected = compensate(base, found, mean_activities(base, digits.train)) if compensated else base
        np.testing.assert_array_equal(found.visible_bias, expected.visible_bias)
        np.testing.assert_array_equal(found.hidden_bias, expected.hidden_bias)


def test_overlaps_of_modes_are_one_with_themselves_and_symmetric(source, machine):
    other = machine.assign(weights=machine.weights[::-1].drop_vars("visible", errors="ignore"))
    found = spectra_cells.compare_modes(**source, modes=(1, 3), b=machine, a=other)
    assert found.machine.values.tolist() == ["a", "b"]
    overlap = found.overlap.values
    np.testing.assert_allclose(overlap[:, [0, 1], [0, 1]], 1)
    np.testing.assert_allclose(overlap[:, 0, 1], overlap[:, 1, 0])
    assert (overlap[:, 0, 1] < 0.99).all()
    assert ((found.data >= 0) & (found.data <= 1)).all()


def test_cells_of_the_book_are_each_asked_for_once():
    cells = spectra.cells()
    names = [cell.name for cell in cells]
    assert len(set(cells)) == len(cells)
    assert names.count("weight_spectrum") == 135
    assert names.count("sample_modes") == 30
    assert names.count("judge_samples") == 30
    assert names.count("train_spectra") == 9
    assert names.count("compare_modes") == 1
    p = spectra.check(spectra.PROFILES["book"].parameters)
    plain, compensated = (spectra.modes_cell(p, 0.4, 2, biases) for biases in spectra.BIASES)
    assert {**plain.parameters, "compensated": True} == dict(compensated.parameters)
    sampled = mnist_standard.sample_cell(p, 0.4, 2)
    assert plain.parameters["sampling_seed"] == sampled.parameters["sampling_seed"]
    assert (
        spectra.course_cell(p, 0.4, 2).parameters["training_seed"]
        == (mnist_standard.machine_cell(p, 0.4, 2).parameters["training_seed"])
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"dilutions": [0.4], "shown_dilutions": [0.4]},
            "dilutions must be at least two for spectra to cross",
        ),
        ({"n_shuffles": 0}, "n_shuffles must be an integer >= 1, not 0"),
        ({"modes": [0, 20]}, r"modes must lie between 1 and 400, not \[0, 20\]"),
        ({"modes": [20, 401]}, r"modes must lie between 1 and 400, not \[20, 401\]"),
        ({"modes": []}, r"modes must be ascending integers without repetition, not \[\]"),
        ({"course": [0, 30_000]}, "course must lie between 0 and 20000"),
        ({"mode_dilutions": [0.45]}, "mode_dilutions must be some of dilutions"),
        ({"course_replicas": 16}, "course_replicas must lie between 1 and n_replicas = 15, not 16"),
        ({"backend": "torch"}, "backend must be 'numba' for spectra along training, not 'torch'"),
    ],
)
def test_parameters_that_cannot_be_meant_get_one_sentence(changed, message):
    with pytest.raises(ValueError, match=message):
        spectra.cells(**changed)


# --- rules --------------------------------------------------------------------------------------------------------------


def study(crossing=62.0, lost=0.02, root=1.2, spikes=12) -> spectra.Study:
    """Spectra of random bulks with spikes that cross at a rank, and machines of few modes that lose so much."""
    rng = np.random.default_rng(1)
    p0, ranks, n_replicas = np.array([0.0, 0.3, 0.6, 0.8]), np.arange(1, 401), 6
    bulk = MarchenkoPastur(1.0, 784, 400).expected_spectrum()
    values = np.empty((n_replicas, 4, 400))
    for replica, machine in enumerate(values):
        for i, row in enumerate(machine):
            at = crossing + 0.5 * (-1) ** replica
            turn = np.where(ranks < at, 1 - ranks / at, 0.1 * (1 - ranks / at))
            row[:] = bulk * np.exp((0.5 - 0.1 * i) * turn)
            row[:spikes] *= 1 + 9 * np.linspace(1, 0.1, spikes)
            row[:] = np.sort(row)[::-1] * np.exp(rng.normal(0, 1e-9))
    shuffled = np.broadcast_to(bulk.astype(np.float32), (n_replicas, 4, 2, 400))
    found = xr.Dataset(
        {
            "eigenvalues": (("replica", "dilution", "rank"), values),
            "shuffled": (("replica", "dilution", "null", "rank"), shuffled),
        },
        {"dilution": p0, "rank": ranks, "null": list(spectra_cells.NULLS)},
        {"n_visible": 784},
    )
    modes = [20, 62, 400]
    dims = ("biases", "replica", "dilution", "modes")
    noise = rng.normal(0, 0.003, (2, n_replicas, 4, 3))
    truncated = xr.Dataset(
        {
            "quality": (dims, np.array([0.5, 0.95 - lost, 0.95]) + noise),
            "aai": (dims, 0.02 * np.array([6.0, root**2, 1.0]) * np.exp(noise)),
        },
        {"biases": list(spectra.BIASES), "dilution": p0, "modes": modes},
    )
    return spectra.Study(found, truncated, xr.Dataset(), xr.Dataset())


def marks(rule, of) -> list[str]:
    return [part.mark for part in rule(of).parts]


def test_spectra_that_cross_at_62_are_told_from_others():
    assert marks(rules.crossing_rule, study()) == ["holds"] * 3
    assert marks(rules.crossing_rule, study(crossing=80.0)) == ["fails", "holds", "holds"]
    assert rules.pairs_of(2) == [(0, 1)]
    assert rules.pairs_of(4) == [(0, 2), (0, 3), (1, 3)]


def test_few_modes_suffice_if_62_do_and_20_do_not():
    assert marks(rules.modes_rule, study()) == ["holds"] * 4
    assert marks(rules.modes_rule, study(lost=0.3))[:2] == ["fails", "holds"]
    assert marks(rules.modes_rule, study(root=2.0))[:2] == ["holds", "fails"]
    few = study()
    assert rules.modes_rule(few._replace(truncated=few.truncated.sel(modes=[20, 400]))).parts == ()


def test_sentences_of_findings_are_short_and_a_run_at_another_setting_decides_nothing():
    made = study()
    for rule in rules.RULES.values():
        assert count_words(rule.says(rule.find(made).parts)) <= MOST_WORDS
    verdicts = rules.settle(made, spectra.PROFILES["quick"].parameters)
    assert {verdict.verdict for verdict in verdicts} == {"not decided"}
