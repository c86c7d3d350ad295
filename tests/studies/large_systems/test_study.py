"""What samples say of machines against enumeration; the study, its figures and its numbers on tiny chains."""

import warnings
from functools import partial

import numpy as np
import pytest
import xarray as xr

from rbmbook.lab.store import Store
from rbmbook.lab.sweep import sweep
from rbmbook.studies.correlations import study as correlations
from rbmbook.studies.ising.cells import ground_state
from rbmbook.studies.large_systems import cells as large_systems_cells
from rbmbook.studies.large_systems import figures
from rbmbook.studies.large_systems import numbers as large_systems_numbers
from rbmbook.studies.large_systems import study as large_systems
from rbmbook.studies.large_systems.cells import METHODS, best_log_partition, compare_large
from rbmbook.studies.large_systems.study import PROFILES
from rbmlib.annealing import TooFewEffectiveSamples
from rbmlib.quantum.errors import infidelity, kullback_leibler
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.rbm import RBM

CELL = {
    "exact_samples": 4000, "model_samples": 4000, "chain_steps": 100, "n_chains": 64, "n_temperatures": 200,
    "largest_enumerated": 4,
}  # fmt: skip
TINY = {
    "n_spins": [6, 22], "field": [1.0, 2.0], "small_seeds": 2, "large_seeds": [2, 1], "n_samples": 200, "n_epochs": 3,
    "finetune_epochs": 1, "n_iterations": 3, "prune_fraction": 0.4, "k": 2, "gibbs_steps": 3, "exact_samples": 300,
    "model_samples": 300, "chain_steps": 10, "n_chains": 32, "temperatures_per_spin": 5, "largest_enumerated": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def state():
    return ground_state(8, 1.0)


@pytest.fixture(scope="module")
def machines():
    """Two machines near the state's symmetry: weak random weights, then fewer of them."""
    rng = np.random.default_rng(2)
    weights = 0.5 * rng.normal(size=(8, 4)).astype(np.float32)
    stages = np.array([weights, np.where(np.abs(weights) > 0.4, weights, 0)])
    visible, hidden = (np.tile(0.2 * rng.normal(size=n), (2, 1)) for n in (8, 4))
    dims = ("stage", "visible", "hidden")
    return xr.Dataset(
        {
            "weights": (dims, stages),
            "visible_bias": (dims[:2], visible.astype(np.float32)),
            "hidden_bias": (dims[::2], hidden.astype(np.float32)),
        }
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    store = Store(None, tmp_path_factory.mktemp("store"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_systems, "sweep", partial(sweep, store=store, workers=1, progress=False))
        return large_systems.results(**TINY)


def scores(state, machines, seed, **changes):
    """Deviations of all estimates from sums over all configurations, in standard errors: (stage, estimate)."""
    found = compare_large(**{**CELL, **changes}, seed=seed, ground_state=state, machines=machines)
    exact = MatrixProductState.from_dataset(state).probabilities()
    rows = []
    for stage in range(2):
        at, one = found.isel(stage=stage), machines.isel(stage=stage)
        rbm = RBM(one.weights.values, one.visible_bias.values, one.hidden_bias.values)
        p, log_z = rbm.probabilities(), rbm.log_partition()
        even = 0.5 * (p + p[::-1])
        truth = {
            "kl": kullback_leibler(exact, p),
            "even_kl": kullback_leibler(exact, even),
            "log_fidelity": np.log(1 - infidelity(exact, p)),
        }
        row = [float((at[name] - value) / at[f"{name}_error"]) for name, value in truth.items()]
        width = (at.log_partition_high - at.log_partition_low) / 3.92
        row += [
            float(((at.log_partition - log_z) / width).sel({"method": name})) for name in list(METHODS)[1:]
        ]
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("largest_enumerated", [4, 0])
def test_estimates_are_what_enumeration_says(state, machines, largest_enumerated):
    assert np.abs(scores(state, machines, 1, largest_enumerated=largest_enumerated)).max() < 5


def test_log_z_is_exact_only_where_it_may_be_enumerated(state, machines):
    for largest, known in ((4, True), (3, False)):
        found = compare_large(
            **{**CELL, "largest_enumerated": largest, "exact_samples": 50, "model_samples": 64},
            seed=1, ground_state=state, machines=machines,
        )  # fmt: skip
        exact = found.log_partition.sel({"method": "exact"})
        assert bool(exact.notnull().all()) is known
        if known:
            one = machines.isel(stage=1)
            rbm = RBM(one.weights.values, one.visible_bias.values, one.hidden_bias.values)
            assert float(exact[1]) == rbm.log_partition()


def test_without_an_exact_value_the_bracket_decides():
    none = (np.nan,) * 4
    assert best_log_partition((3.0, 3.0, 3.0, np.nan), none, none) == (3.0, 0.0)
    middle, error = best_log_partition(none, (5.1, 5.0, 5.2, 1.0), (5.3, 5.2, 5.4, 1.0))
    assert middle == pytest.approx(5.2)
    assert 2 * 1.959964 * error == pytest.approx(0.4)


def test_a_refused_estimate_is_no_number_but_its_share_stays(state, machines, monkeypatch):
    def refuse(*_):
        raise TooFewEffectiveSamples(3.0, 1000, 0.01)

    monkeypatch.setattr(large_systems_cells, "partition_from_log_weights", refuse)
    found = compare_large(
        **{**CELL, "exact_samples": 50, "model_samples": 64}, seed=1, ground_state=state, machines=machines
    ).sel({"method": "importance"})
    assert found.log_partition.isnull().all()
    assert found.log_partition_share.values == pytest.approx([0.003, 0.003])
    assert found.kl.notnull().all()


def test_machines_are_those_of_the_chapter_on_correlations():
    theirs = set(correlations.cells())
    ours = large_systems.cells()
    assert {cell.needs["machines"] for cell in ours} <= theirs
    assert (
        len(ours)
        == len({cell.parameters["seed"] for cell in ours if cell.parameters["n_temperatures"] == 1800}) + 16
    )
    for cell in ours:
        trained = cell.needs["machines"].parameters
        assert cell.parameters["seed"] not in {
            value for name, value in trained.items() if name.endswith("seed")
        }


def test_the_study_brings_lengths_and_fields_together(study):
    assert sorted(study) == [(6, 1.0), (6, 2.0), (22, 1.0), (22, 2.0)]
    assert study[22, 1.0].sizes["seed"] == 2
    assert study[22, 2.0].sizes["seed"] == 1
    assert study[6, 1.0].kl.dims == ("seed", "stage")
    assert study[6, 1.0].exact_kl.shape == (2, 4)
    assert "exact_kl" not in study[22, 1.0]
    assert study[22, 1.0].log_partition.sel({"method": "exact"}).isnull().all()
    np.testing.assert_allclose(study[6, 1.0].removed, 1 - study[6, 1.0].kept / 18)


def test_every_number_of_the_page_is_there(study):
    parameters = {**PROFILES["quick"].parameters, **TINY}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numbers = large_systems_numbers.numbers(study, parameters)
    assert all(isinstance(text, str) and text and "nan" not in text for text in numbers.values()), numbers
    assert "(N = 22)" in numbers["kl-dense-critical"]
    assert numbers["annealed-coverage"].endswith("at N = 6")
    assert "of 16 " in numbers["annealed-coverage"]
    assert "seeds at h/J = 1 and 2: 2 and 2 (N = 6), 2 and 1 (N = 22)" in large_systems_numbers.setting(
        study, parameters
    )


def test_coverage_counts_intervals_that_hold_the_exact_value():
    values = np.array([[[5.0, 5.1], [5.0, 6.0], [np.nan, 5.0]]])
    dims = ("seed", "stage", "method")
    results = xr.Dataset(
        {
            "log_partition": (dims, values),
            "log_partition_low": (dims, values - 0.2),
            "log_partition_high": (dims, values + 0.2),
        },
        {"method": ["exact", "annealed"]},
    )
    assert large_systems_numbers.covered(results, "annealed") == (1, 2)
    assert large_systems_numbers.scores(results, "annealed") == pytest.approx([0.98, 9.8], rel=1e-3)


def test_figures_have_a_panel_for_each_field_and_name_what_they_show(study):
    for make, words in (
        (figures.divergence_curves, "6, 22 spins"),
        (figures.partition_brackets, "one row a chain length"),
        (figures.effective_shares, "Effective sample size over number of samples"),
    ):
        drawn = make(study).html
        assert drawn.count("viewBox=") == 2
        assert words in drawn
    scores = large_systems_numbers.calibration(study)
    assert set(scores) == {"annealed", "reverse", "importance", "bridge", "kl", "log_fidelity"}
    assert {values.size for values in scores.values()} == {16}
    assert figures.calibration_curves(scores).html.count("viewBox=") == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"exact_samples": 1}, "exact_samples must be an integer >= 2, not 1"),
        ({"chain_steps": 0.5}, "chain_steps must be an integer >= 1, not 0.5"),
        ({"n_chains": 30_000}, "n_chains must be at most model_samples = 20000"),
        ({"largest_enumerated": 29}, "largest_enumerated must be at most 28 units, not 29"),
        ({"n_spins": [2]}, "n_spins must be a list of integers >= 4"),
    ],
)
def test_parameters_out_of_range_are_named_before_anything_runs(changed, message):
    with pytest.raises(ValueError, match=message):
        large_systems.cells(**changed)
