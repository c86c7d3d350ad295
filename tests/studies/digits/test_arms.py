"""Machines that are pruned and trained again: masks and starts of the arms, seeds, and what is refused before any cell."""

import numpy as np
import pytest
import xarray as xr

from rbmbook.studies.collapse import study as collapse
from rbmbook.studies.couplings_pca import study as couplings_pca
from rbmbook.studies.couplings_pca.cells import compare_machines
from rbmbook.studies.digits import arms as mnist_arms
from rbmbook.studies.digits import retraining_cells
from rbmbook.studies.digits import standard as mnist_standard
from rbmbook.studies.digits.cells import machine_of, sample_pruned, train_machine
from rbmbook.studies.digits.retraining_cells import freeze_machine, mask_of, retrain_biases, retrain_machine
from rbmbook.studies.retraining import study as retraining
from rbmlib.analysis.compensation import compensate, mean_activities
from rbmlib.annealing import base_rate_biases
from rbmlib.mnist.images import Images
from rbmlib.persistent import LinearDecay, train_biases, train_persistent
from rbmlib.pruning import prune_mask
from rbmlib.rbm import RBM

SHAPE = (7, 6)
ANNEALING = {"ais_chains": 20, "ais_temperatures": 20, "ais_seed": 4}
TRAINING = {
    "training_seed": 3, "k": 1, "n_chains": 20, "batch_size": 25, "n_updates": 60, "learning_rate": 0.1, "held": 0.5,
}  # fmt: skip


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


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RBMLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def machine(source, tmp_path_factory) -> xr.Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RBMLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return train_machine(
            **source,
            n_hidden=9,
            dilution=0.3,
            mask_seed=1,
            init_seed=2,
            **TRAINING,
            record_every=30,
            **ANNEALING,
        )


@pytest.fixture(scope="module")
def base(machine) -> RBM:
    return machine_of(machine)


def retrained(source, machine, **changed) -> xr.Dataset:
    settings = {
        "total": 0.7,
        "mask": "magnitude",
        "start": "inherited",
        "mask_seed": 5,
        "init_seed": 6,
    } | changed
    return retrain_machine(
        **source, **{**TRAINING, "record_every": 30}, **ANNEALING, **settings, machine=machine
    )


def test_masks_leave_as_many_weights_and_come_from_where_they_say(base):
    masks = {kind: mask_of(base, kind, 0.7, 5) for kind in retraining_cells.MASKS}
    assert {int(mask.sum()) for mask in masks.values()} == {round(0.3 * base.weights.size)}
    np.testing.assert_array_equal(
        masks["magnitude"], prune_mask(base.weights, base.mask, masks["magnitude"].sum())
    )
    assert not masks["random"][~base.mask].any()
    assert masks["fresh"][~base.mask].any()
    assert (
        np.abs(base.weights[masks["magnitude"]]).min()
        >= np.abs(base.weights[base.mask & ~masks["magnitude"]]).max()
    )


def test_a_retrained_machine_is_trained_from_what_pruning_left(source, digits, machine, base):
    found = machine_of(retrained(source, machine))
    first = base.replace(mask=mask_of(base, "magnitude", 0.7, 0))
    by_hand = train_persistent(
        first,
        digits.train,
        n_updates=60,
        learning_rate=LinearDecay(0.1, 0.5),
        seed=3,
        k=1,
        n_chains=20,
        batch_size=25,
    ).rbm
    np.testing.assert_array_equal(found.weights, by_hand.weights)
    np.testing.assert_array_equal(found.hidden_bias, by_hand.hidden_bias)


@pytest.mark.parametrize("init_seed", [2, 6])
def test_initial_weights_are_those_of_the_seed_under_the_new_mask(
    source, digits, machine, base, init_seed, monkeypatch
):
    begun = []
    train = retraining_cells.train_persistent
    monkeypatch.setattr(
        retraining_cells,
        "train_persistent",
        lambda state, *a, **b: begun.append(state.rbm) or train(state, *a, **b),
    )
    retrained(source, machine, start="initial", init_seed=init_seed)
    (first,) = begun
    rewound = RBM.random(*base.weights.shape, 2, 0.01, first.mask)
    np.testing.assert_array_equal(first.mask, mask_of(base, "magnitude", 0.7, 0))
    np.testing.assert_array_equal(first.visible_bias, base_rate_biases(digits.train))
    assert (first.weights == rewound.weights).all() == (init_seed == 2)


def test_biases_alone_are_retrained_under_the_frozen_weights(source, digits, machine, base):
    settings = {**source, **TRAINING, **ANNEALING, "total": 0.7}
    found = retrain_biases(**settings, machine=machine)
    frozen = base.replace(mask=mask_of(base, "magnitude", 0.7, 0))
    by_hand = train_biases(
        frozen,
        digits.train,
        n_updates=60,
        learning_rate=LinearDecay(0.1, 0.5),
        seed=3,
        k=1,
        n_chains=20,
        batch_size=25,
    )
    np.testing.assert_array_equal(found.weights, frozen.weights)
    np.testing.assert_array_equal(found.visible_bias, by_hand.visible_bias)
    assert found.sizes["update"] == 2


@pytest.mark.parametrize("compensated", [False, True])
def test_a_frozen_machine_keeps_its_weights_and_may_have_its_biases_compensated(
    source, digits, machine, base, compensated
):
    found = freeze_machine(**source, total=0.7, compensated=compensated, **ANNEALING, machine=machine)
    frozen = base.replace(mask=mask_of(base, "magnitude", 0.7, 0))
    if compensated:
        frozen = compensate(base, frozen, mean_activities(base, digits.train))
    for name in ("weights", "visible_bias", "hidden_bias"):
        np.testing.assert_array_equal(found[name], getattr(frozen, name))


def test_samples_with_compensated_biases_differ_from_plain_ones_by_pruning_alone(source, machine):
    settings = {
        **source, "criterion": "magnitude", "order_seed": 0, "removed": (0.0, 0.5, 0.9), "n_samples": 50, "n_steps": 20,
        "sampling_seed": 8, "reference_seed": 9,
    }  # fmt: skip
    plain = sample_pruned(**settings, n_shown=0, machine=machine)
    compensated = retraining_cells.sample_compensated(**settings, machine=machine)
    shared = [name for name in plain.data_vars if name in compensated]
    assert set(shared) == set(plain.data_vars)
    xr.testing.assert_identical(
        plain[shared].isel(removed=0).drop_attrs(), compensated[shared].isel(removed=0).drop_attrs()
    )
    assert (plain.samples.isel(removed=1) != compensated.samples.isel(removed=1)).any()
    np.testing.assert_array_equal(plain.kept, compensated.kept)


def test_machines_are_compared_by_inner_products_of_weights_couplings_and_masks(source, machine):
    machines = {"b": machine, "a": retrained(source, machine)}
    found = compare_machines(**machines)
    assert found.machine.values.tolist() == ["a", "b"]
    weights = [machines[name].weights.values.ravel().astype(float) for name in ("a", "b")]
    np.testing.assert_allclose(found.weights, np.array(weights) @ np.array(weights).T, rtol=1e-12)
    assert found.shared.values.tolist() == [[13 * 9 - 4, 13 * 9 - 4], [13 * 9 - 4, 265]]
    with pytest.raises(ValueError, match="at least two"):
        compare_machines(a=machine)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mask": "largest"}, "mask must be one of magnitude, random, fresh, not 'largest'"),
        ({"start": "late"}, "start must be one of inherited, initial, not 'late'"),
        ({"total": 0.2}, "total p must lie between the machine's own share of zero weights"),
        ({"total": 0.9999}, "total p must lie between"),
    ],
)
def test_an_arm_that_cannot_be_is_refused(source, machine, changed, message):
    with pytest.raises(ValueError, match=message):
        retrained(source, machine, **changed)


# --- the design ---


def test_every_arm_of_a_pair_has_seeds_of_its_own_but_the_rewound_start():
    p = mnist_arms.check(retraining.PROFILES["book"].parameters)
    seeds: dict[int, str] = {}
    for pair, replica, arm in mnist_arms.design(p):
        for name, seed in mnist_arms.seeds_of_arm(arm, pair, replica).items():
            assert seed not in seeds, (arm, pair, replica, name)
            seeds[seed] = arm
    cell = mnist_arms.machine_cell(p, "rewound", (0.0, 0.86), 4)
    assert cell.parameters["init_seed"] == mnist_standard.seeds_of_parts(0.0, 4)["init_seed"]
    assert cell.needs["machine"] == mnist_standard.machine_cell(p, 0.0, 4)


def test_references_at_equal_updates_are_trained_as_long_as_base_and_retrained_machine_together():
    p = mnist_arms.check(retraining.PROFILES["book"].parameters)
    for arm in ("same-mask-2", "reference-2"):
        assert mnist_arms.machine_cell(p, arm, (0.0, 0.86), 0).parameters["n_updates"] == 40_000
    reference = mnist_arms.machine_cell(p, "reference", (0.2, 0.888), 0).parameters
    assert (reference["n_updates"], reference["dilution"]) == (20_000, 0.888)


def test_the_arms_of_a_pair_are_pruned_and_judged_by_the_judges_of_their_base_machine():
    p = mnist_arms.check(retraining.PROFILES["book"].parameters)
    plain = mnist_standard.sample_cell(p, 0.0, 7)
    judged = mnist_arms.judged_cell(p, "retrained", (0.0, 0.86), 7)
    from rbmbook.studies.digits import judges as mnist_judges

    assert judged.needs["judge"] == mnist_judges.judged(p, plain, 7).needs["judge"]
    assert len(couplings_pca.cells()) == 4
    assert set(mnist_standard.compensated_cell(p, 0.0, 7).needs) == {"machine"}
    assert len(set(collapse.cells())) == 4 * 135


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pairs": [[0.0, 0.0]]}, "pairs must have p above p0 = 0.0 and below 1, not 0.0"),
        ({"pairs": [[0.4, 0.3]]}, "pairs must have p above p0 = 0.4"),
        ({"pairs": [[0.05, 0.9]]}, "pairs must have p0 among dilutions"),
        ({"pairs": [], "wide_pairs": []}, "pairs must hold at least one pair"),
        ({"pairs": [0.3]}, r"pairs must hold pairs \[p0, p\]"),
        ({"wide_pairs": [[0.1, 0.9]]}, "wide_pairs must be among pairs"),
        ({"further": [0.1, 0.2]}, "further must ascend from 0"),
        ({"further": [0.0, 1.0]}, "further must ascend from 0"),
        ({"bias_updates": 0}, "bias_updates must be an integer >= 1, not 0"),
        ({"backend": "torch"}, "backend must be 'numba'"),
    ],
)
def test_a_design_that_cannot_be_meant_is_refused_before_any_cell(changed, message):
    with pytest.raises(ValueError, match=message):
        retraining.cells(**changed)
