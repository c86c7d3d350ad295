"""Pruning on the Ising chain: cells of a tiny chain, how results come together, and what is refused."""

from functools import partial

import numpy as np
import pytest

from rbmbook.lab.store import Store
from rbmbook.lab.sweep import sweep
from rbmbook.studies.ising import cells as ising_cells
from rbmbook.studies.ising.reference import MEASURES, Reference
from rbmbook.studies.tfim_pruning import study as tfim_pruning
from rbmbook.studies.tfim_pruning.study import PROFILES
from rbmlib.pruning import connected_components
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.rbm import RBM

TINY = {
    "n_spins": 6, "n_hidden": 3, "fields": [1.0, 2.0], "n_seeds": 2, "n_samples": 400, "k": 2, "batch_size": 50, "n_epochs": 6,
    "finetune_epochs": 2, "prune_fraction": 0.3, "n_iterations": 4, "convergence_epochs": 7, "check_seeds": 1,
}  # fmt: skip
KEPT = [18, 13, 9, 6, 4]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(None, tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def study(store):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfim_pruning, "sweep", partial(sweep, store=store, workers=1, progress=False))
        return tfim_pruning.results(**TINY)


def machine_of(dataset, **which):
    at = dataset.sel(**which)
    weights = at.weights.values
    return RBM(weights, at.visible_bias.values, at.hidden_bias.values, weights != 0)


def test_results_have_a_place_for_every_cell(study):
    main = study.pruning
    sizes = {
        "algorithm": 2,
        "field": 2,
        "seed": 2,
        "stage": 5,
        "measure": len(MEASURES),
        "visible": 6,
        "hidden": 3,
    }
    assert {name: main.sizes[name] for name in sizes} == sizes
    assert list(main.measure.values) == list(MEASURES)
    assert main.pruning.dims == main.sampled.dims == ("algorithm", "field", "seed", "stage", "measure")
    assert main.training.dims == ("field", "seed", "epoch", "measure")
    assert main.epoch.values.tolist() == [1, 5, 6]
    assert main.kept.values.tolist() == KEPT
    np.testing.assert_allclose(main.removed, 1 - np.array(KEPT) / 18)
    assert np.isfinite(main.pruning).all()
    assert np.isfinite(main.training).all()


def test_every_machine_keeps_as_many_weights_as_the_schedule_says_and_pruned_ones_stay_zero(study):
    weights = study.pruning.weights.transpose(..., "stage", "visible", "hidden").values
    alive = weights != 0
    assert (alive.sum(axis=(-2, -1)) == KEPT).all()
    assert not (alive[..., 1:, :, :] & ~alive[..., :-1, :, :]).any()
    found = [connected_components(mask) for mask in alive.reshape(-1, 6, 3)]
    assert (study.pruning.components.transpose(..., "stage").values.ravel() == found).all()


def test_measures_are_those_of_the_stored_machines(study):
    main = study.pruning.sel(algorithm="cd", field=2.0, seed=1)
    state = MatrixProductState.from_dataset(ising_cells.ground_state(6, 2.0))
    exact = state.probabilities()
    for stage in range(5):
        model = machine_of(main, stage=stage).probabilities()
        measured = main.pruning.sel(stage=stage)
        assert measured.sel(measure="kl") == pytest.approx((exact * np.log(exact / model)).sum(), rel=1e-9)
        assert measured.sel(measure="infidelity") == pytest.approx(
            1 - np.sqrt(exact * model).sum() ** 2, rel=1e-6
        )
        ups = np.bincount(
            np.arange(64)[:, None].__rshift__(np.arange(6)).__and__(1).sum(axis=1), weights=model
        )
        np.testing.assert_allclose(main.up_spins.sel(stage=stage), ups, rtol=1e-10)


def test_measures_from_samples_scatter_about_the_exact_ones(study):
    sampled, exact = study.pruning.sampled, study.pruning.pruning
    absent = ["kl", "kl_data", "infidelity"]
    assert np.isnan(sampled.sel(measure=absent)).all()
    both = [name for name in MEASURES if name not in absent]
    assert np.isfinite(sampled.sel(measure=both)).all()
    # 400 samples: an error bar of the order parameter is a few per cent, and eROE's floor is its bar.
    assert np.abs(sampled - exact).sel(measure="order_error").max() < 0.3


def test_training_and_fitting_bring_the_machine_closer_to_the_state(study):
    kl = study.pruning.training.sel(measure="kl")
    assert (kl.isel(epoch=-1) < kl.isel(epoch=0)).all()
    dense = study.pruning.pruning.sel(stage=0, measure="kl_data")
    # The exact gradient fits the data better than six epochs of contrastive divergence do.
    assert (dense.sel(algorithm="exact") < dense.sel(algorithm="cd")).all()
    fitted = study.pruning.sel(algorithm="exact")
    assert (fitted.largest_gradient <= 1e-5).all()
    assert (fitted.lbfgs_iterations > 0).all()


def test_both_algorithms_see_the_same_data(study):
    main = study.pruning
    for name in ("data_correlation", "data_up_spins"):
        np.testing.assert_array_equal(main[name].sel(algorithm="cd"), main[name].sel(algorithm="exact"))
    assert (main.data_up_spins.sel(seed=0) != main.data_up_spins.sel(seed=1)).any()


def test_a_result_is_what_its_cell_computes(study):
    (cell,) = [
        c for c in tfim_pruning.cells(**{**TINY, "fields": [2.0], "n_seeds": 1, "check_seeds": 0, "convergence_epochs": 0})
        if c.compute is ising_cells.prune_trained
    ]  # fmt: skip
    need = cell.needs["ground_state"]
    found = cell.compute(**cell.parameters, ground_state=need.compute(**need.parameters))
    main = study.pruning.sel(algorithm="cd", field=2.0, seed=0)
    for name in ("pruning", "sampled", "weights", "visible_bias", "hidden_bias"):
        np.testing.assert_array_equal(found[name].values, main[name].transpose(*found[name].dims).values)


def test_the_long_runs_and_the_checks_have_their_places_and_missing_seeds_are_nan(study):
    training = study.convergence.training
    assert training.rate.values.tolist() == ["constant 0.05", "constant 0.01", "decayed"]
    assert training.epoch.values.tolist() == [1, 5, 7]
    assert np.isfinite(training.sel(rate="constant 0.05")).all()
    assert np.isnan(training.sel(rate=["constant 0.01", "decayed"], seed=1)).all()
    assert np.isfinite(training.sel(rate=["constant 0.01", "decayed"], seed=0)).all()
    checks = study.checks
    assert checks.sizes["variant"] == 11
    assert {"CD-1, constant rate, 20 epochs", "exact, 10x penalty"} <= set(checks.variant.values)
    assert np.isfinite(checks.pruning).all()
    np.testing.assert_array_equal(checks.removed, study.pruning.removed)


def test_a_second_call_computes_nothing(study, store, monkeypatch):
    lines = []
    monkeypatch.setattr(tfim_pruning, "sweep", partial(sweep, store=store, workers=1, progress=lines.append))
    assert tfim_pruning.results(**TINY).pruning.identical(study.pruning)
    assert lines == []
    tfim_pruning.results(**{**TINY, "n_seeds": 3})
    assert len(lines) == 1


def test_parts_that_are_left_out_are_none(store, monkeypatch):
    monkeypatch.setattr(tfim_pruning, "sweep", partial(sweep, store=store, workers=1, progress=False))
    study = tfim_pruning.results(**{**TINY, "algorithms": ["exact"], "check_seeds": 0})
    assert study.convergence is None
    assert study.checks is None
    assert study.pruning.algorithm.values.tolist() == ["exact"]
    assert "training" not in study.pruning


def test_seeds_of_data_weights_and_training_are_all_different():
    cells = tfim_pruning.cells()
    mine = {
        (c.parameters["data_seed"], c.parameters["init_seed"], c.parameters["training_seed"]) for c in cells
    }
    assert len(mine) == 20
    assert len({seed for seeds in mine for seed in seeds}) == 60


def test_a_chain_too_long_to_enumerate_is_measured_from_samples():
    tensor = np.array([[[0.8], [0.6]]])
    state = MatrixProductState((tensor,) * 21, -21.0)
    data = state.sample(300, 1)
    reference = Reference.of(state, 2.0, data)
    assert reference.exact is None
    rbm = RBM.random(21, 2, 1)
    assert np.isnan(reference.measure(rbm)).all()
    measured, observed = reference.measure_samples(rbm, rbm.sample(300, 1, 20))
    assert np.isfinite(measured[3:]).all()
    assert observed.up_spins.shape == (22,)
    assert reference.up_spins.sum() == pytest.approx(1.0)


# --- profiles and parameters ---


def test_the_notebooks_own_parameters_are_the_book_profile(root):
    notebook = root / "notebooks" / "tfim_pruning.md"
    if not notebook.exists():
        pytest.skip("the notebook is not part of this tree")
    from rbmbook.publish.parameters import LABEL, declared

    source = notebook.read_text(encoding="utf-8").split(":tags: [parameters]", 1)[1].split("```", 1)[0]
    defaults = {name: parameter.default for name, parameter in declared(source).items()}
    assert defaults.pop(LABEL) == "book"
    assert defaults == dict(PROFILES["book"].parameters)


def test_profiles_have_the_same_parameters_and_are_accepted():
    assert PROFILES.keys() == {"book", "quick"}
    assert len({tuple(profile.parameters) for profile in PROFILES.values()}) == 1
    for profile in PROFILES.values():
        assert tfim_pruning.cells(**profile.parameters)
        assert profile.cost


def test_the_book_profile_asks_for_each_cell_once():
    cells = tfim_pruning.cells()
    # Two algorithms, two fields, ten seeds; long runs with ten, three and three seeds; eleven checks with three.
    assert len(cells) == 40 + 2 * 16 + 2 * 3 * 11
    # The check "CD-10, decayed rate, 20 epochs" is the main run itself.
    assert len(set(cells)) == len(cells) - 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_spins": 1}, "n_spins must be an integer >= 2, not 1"),
        ({"n_hidden": 0}, "n_hidden must be an integer >= 1, not 0"),
        ({"n_seeds": 2.0}, r"n_seeds must be an integer >= 1, not 2\.0"),
        ({"k": True}, "k must be an integer >= 1, not True"),
        ({"n_iterations": 0}, "n_iterations must be an integer >= 1, not 0"),
        ({"check_seeds": -1}, r"check_seeds must be an integer >= 0 \(0 leaves that part out\), not -1"),
        ({"convergence_epochs": 1.5}, r"convergence_epochs must be an integer >= 0 .* not 1\.5"),
        ({"learning_rate": 0.0}, r"learning_rate must be a positive number, not 0\.0"),
        ({"final_finetune_rate": np.nan}, "final_finetune_rate must be a positive number, not nan"),
        ({"constant_rate": "a"}, "constant_rate must be a positive number, not 'a'"),
        ({"penalty": -1.0}, r"penalty must be a number >= 0, not -1\.0"),
        ({"prune_fraction": 1.0}, r"prune_fraction must lie in \[0, 1\), not 1\.0"),
        ({"fields": []}, "fields must be different positive numbers"),
        ({"fields": [1.0, 1.0]}, "fields must be different positive numbers"),
        ({"fields": [-1.0]}, r"fields must be different positive numbers .* not \[-1\.0\]"),
        ({"algorithms": []}, "algorithms must be one or both of cd, exact"),
        ({"algorithms": ["pcd"]}, r"algorithms must be one or both of cd, exact, not \['pcd'\]"),
        ({"n_hidden": 17}, "algorithms must leave out 'exact' for n_hidden = 17"),
        ({"n_seeds": 2}, "check_seeds must be at most n_seeds = 2, not 3"),
        ({"n_spin": 10}, "n_spin.*n_spins"),
    ],
)
def test_a_bad_parameter_is_named_before_anything_is_computed(change, message):
    with pytest.raises((ValueError, LookupError), match=message):
        tfim_pruning.cells(**change)
