"""Cells of chains too long to enumerate, against enumeration on a short one; how the study brings them together."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from rbmbook.lab.store import Store
from rbmbook.lab.sweep import sweep
from rbmbook.studies.correlations import decay as correlations_rules
from rbmbook.studies.correlations import figures
from rbmbook.studies.correlations import numbers as correlations_numbers
from rbmbook.studies.correlations import study as correlations
from rbmbook.studies.correlations.study import PROFILES
from rbmbook.studies.ising.cells import draw_data, ground_state, prune_trained
from rbmbook.studies.ising.long_chain_cells import (
    ENERGY_EVERY,
    machine_at,
    measure_chain_ends,
    mix_large,
    prune_large,
)
from rbmbook.studies.ising.long_chains import n_seeds
from rbmbook.studies.tfim_pruning import study as tfim_pruning
from rbmlib.pruning import connected_components
from rbmlib.quantum.observables import exact_observables

RECIPE = {
    "k": 2, "batch_size": 50, "n_epochs": 12, "learning_rate": 0.1, "final_learning_rate": 0.01, "finetune_epochs": 2,
    "finetune_rate": 0.01, "final_finetune_rate": 0.01,
}  # fmt: skip
CELL = {
    "n_hidden": 4, "field": 1.0, "n_samples": 4000, "data_seed": 1, "init_seed": 2, "training_seed": 3, "prune_fraction": 0.3,
    "n_iterations": 4, **RECIPE,
}  # fmt: skip
TINY = {
    **RECIPE, "n_spins": [6, 22], "field": [0.8], "small_seeds": 2, "large_seeds": [2], "n_samples": 200, "n_epochs": 3,
    "prune_fraction": 0.4, "n_iterations": 3, "gibbs_steps": 3, "longer_epochs": 4, "mixing_chains": 20,
}  # fmt: skip


@pytest.fixture(scope="module")
def state():
    return ground_state(8, 1.0)


@pytest.fixture(scope="module")
def large(state):
    return prune_large(**CELL, gibbs_steps=30, ground_state=state)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(None, tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def study(store):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correlations, "sweep", partial(sweep, store=store, workers=1, progress=False))
        return correlations.results(**TINY)


def test_a_long_chain_is_trained_and_pruned_as_a_short_one_is(state, large):
    short = prune_trained(**CELL, ground_state=state)
    for name in (
        "weights",
        "visible_bias",
        "hidden_bias",
        "kept",
        "components",
        "data_correlation",
        "data_up_spins",
    ):
        np.testing.assert_array_equal(large[name], short[name])
    # The one reads the exact curve off the enumerated state, the other takes it from free fermions.
    np.testing.assert_allclose(large.exact_correlation, short.exact_correlation, atol=1e-9)
    np.testing.assert_allclose(large.exact_up_spins, short.exact_up_spins, atol=1e-9)


def test_what_chains_say_of_a_machine_is_what_enumeration_says(large):
    for stage in range(5):
        exact = exact_observables(machine_at(large, stage).probabilities(), 1.0)
        at = large.isel(stage=stage)
        # 4000 chains: an average of signs has a standard error of at most 0.016, a product of them as well.
        np.testing.assert_allclose(at.correlation, exact.correlation, atol=5 * 0.016)
        assert float(at.order) == pytest.approx(
            exact.absolute_magnetization.mean, abs=5 * exact.absolute_magnetization.std / np.sqrt(4000)
        )
        assert float(at.energy) == pytest.approx(
            exact.energy.mean, abs=5 * exact.energy.std / np.sqrt(4000 / ENERGY_EVERY)
        )
        assert at.up_spins.sum() == pytest.approx(1)
        assert int(at.components) == connected_components(at.weights.values != 0)


def test_all_but_the_energy_rests_on_every_sample(state, large):
    _, reference = draw_data(state, 1.0, 500, 5)
    rbm = machine_at(large, 0)
    samples = rbm.sample(500, 9, 5)
    row, observed = measure_chain_ends(reference, rbm, samples)
    plain, every = reference.measure_samples(rbm, samples)
    np.testing.assert_array_equal(observed.correlation, every.correlation)
    np.testing.assert_array_equal(observed.up_spins, every.up_spins)
    _, few = reference.measure_samples(rbm, samples[::ENERGY_EVERY])
    assert observed.energy == few.energy
    np.testing.assert_array_equal(np.isnan(row), np.isnan(plain))


def test_the_history_ends_with_the_machine_that_is_pruned(large):
    assert large.epoch.values.tolist() == [1, 2, 5, 10, 12]
    assert float(large.training_order[-1]) == pytest.approx(float(large.order[0]), abs=0.05)
    assert float(large.training_energy[-1]) == pytest.approx(float(large.energy[0]), abs=0.3)
    assert large.training_energy[-1] < large.training_energy[0]
    errors = large.training.sel(measure="order_error")
    np.testing.assert_allclose(errors, abs(large.training_order / large.exact_order - 1), rtol=1e-12)


def test_chains_from_the_extremes_meet_at_what_enumeration_says(state, large):
    found = mix_large((0, 4), (0, 3, 300), 4000, 7, state, large)
    start = found.absolute_magnetization.sel(step=0, mixed_stage=0)
    assert float(start.sel(start="all up")) == 1
    assert float(start.sel(start="random")) == pytest.approx(
        0.2734, abs=0.015
    )  # mean of |2 k / 8 - 1| over fair coins
    assert float(start.sel(start="measurements")) == pytest.approx(float(large.exact_order), abs=0.03)
    for stage in (0, 4):
        exact = exact_observables(machine_at(large, stage).probabilities(), 1.0)
        last = found.sel(mixed_stage=stage, step=300)
        error = exact.absolute_magnetization.std / np.sqrt(4000)
        np.testing.assert_allclose(
            last.absolute_magnetization, exact.absolute_magnetization.mean, atol=5 * error
        )
        np.testing.assert_allclose(
            last.magnetization, exact.magnetization.mean, atol=5 * exact.magnetization.std / np.sqrt(4000)
        )
        np.testing.assert_allclose(
            last.correlation, np.broadcast_to(exact.correlation, (3, 5)), atol=5 * 0.016
        )


def test_results_are_the_same_bits_when_computed_again(state, large):
    again = prune_large(**CELL, gibbs_steps=30, ground_state=state)
    for name in large.data_vars:
        np.testing.assert_array_equal(again[name], large[name])


# --- the study ------------------------------------------------------------------------------------------------------


def test_results_have_a_place_for_every_length(study):
    assert set(study.machines) == {(6, 0.8), (22, 0.8)}
    for (n, _), one in study.machines.items():
        assert one.correlation.sizes == {"seed": 2, "stage": 4, "distance": n // 2 + 1}
        assert one.sizes["hidden"] == n // 2
        np.testing.assert_allclose(one.removed, 1 - one.kept / (n * (n // 2)))
        alive = one.weights.transpose("seed", "stage", "visible", "hidden").values != 0
        assert (alive.sum(axis=(2, 3)) == one.kept.values).all()
        assert (one.correlation.sel(seed=0) != one.correlation.sel(seed=1)).any()
    assert set(study.longer) == set(study.mixing) == {(22, 0.8)}
    assert study.longer[22, 0.8].epoch.values.tolist() == [1, 2, 4]
    assert study.mixing[22, 0.8].mixed_stage.values.tolist() == [0, 1, 3]


def test_short_chains_share_the_cells_of_the_chapter_on_pruning():
    theirs = set(tfim_pruning.cells())
    ours = [cell for cell in correlations.cells() if cell.compute is prune_trained]
    assert len(ours) == 20
    assert set(ours) <= theirs


def test_the_book_has_the_seeds_that_the_claims_ask_for():
    book = PROFILES["book"].parameters
    assert [n_seeds(book, n, h) for n in (18, 50, 100) for h in (1.0, 2.0)] == [
        10,
        10,
        5,
        3,
        5,
        3,
    ]
    assert n_seeds({**book, "field": [0.5, 1.0, 2.0]}, 50, 2.0) == 3
    seeds = {cell.parameters["data_seed"] for cell in correlations.cells() if cell.compute is prune_large}
    assert (
        len(seeds) == 8
    )  # of 5 seeds at one field and 3 at the other; the two long chains have states of their own
    assert correlations.mixed_stages(book) == (0, 7, 18)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_spins": [3]}, "n_spins must be a list of integers >= 4"),
        ({"n_spins": [18, 18]}, "n_spins must be different"),
        ({"field": [1.0, 1.0]}, "field must be different"),
        ({"field": []}, "field must be different"),
        ({"large_seeds": [0]}, "large_seeds must be a list of integers >= 1"),
        ({"small_seeds": 0}, "small_seeds must be an integer >= 1"),
        ({"gibbs_steps": 2.5}, "gibbs_steps must be an integer >= 1"),
        ({"longer_epochs": -1}, "longer_epochs must be an integer >= 0"),
        ({"hidden_per_visible": 0.0}, "hidden_per_visible must be a positive number"),
        ({"prune_fraction": 1.0}, "prune_fraction must lie in"),
    ],
)
def test_a_parameter_out_of_range_is_named_before_anything_is_computed(change, message):
    with pytest.raises(ValueError, match=message):
        correlations.cells(**change)


def test_derived_quantities_are_those_of_the_rules(study):
    for (n, _), one in study.machines.items():
        found = correlations_rules.derived(one, 200)
        np.testing.assert_allclose(found.retained, correlations_rules.retained(one, n // 4))
        rescaled = found.rescaled.sel(measure="mroe").transpose("seed", "stage")
        np.testing.assert_allclose(np.log10(rescaled), correlations_rules.decades(one, "mroe"))
        assert int(found.fewest_weights) == n + n // 2 - 1
        assert ("preference" in found) == (n >= 12)
        if n >= 12:
            np.testing.assert_allclose(found.preference, correlations_rules.preferences(one, 200, n // 4))


def test_every_number_that_the_chapter_quotes_is_made_and_none_else(study):
    machines = correlations_numbers.derived(study, {"n_samples": 200})
    found = correlations_numbers.numbers(study, machines, {**PROFILES["book"].parameters, **TINY})
    page = (Path(__file__).parents[3] / "notebooks" / "correlations.md").read_text()
    assert {name for name in found if f"`{name}`" in page} == set(found)
    assert found["forced"] == "56 % (N = 6), 87 % (N = 22)"
    assert "N = 6" not in found["exact-preference"]  # one distance up to N / 4 is no curve
    assert " after 3 epochs and " in found["longer"]
    assert found["longer"].endswith(" after 4 (N = 22)")


def test_figures_are_drawn_for_lengths_and_a_field_that_nobody_listed(study):
    machines = {place: correlations_rules.derived(one, 200) for place, one in study.machines.items()}
    field = figures.first_field(machines)
    assert field == 0.8
    for made in (
        figures.decay_curves(machines, field),
        figures.fit_examples(machines),
        figures.preference_curves(machines),
        figures.robustness_curves(machines, (0.9, 0.5)),
        figures.connectivity_curves(machines),
        figures.size_curves(machines),
        figures.training_curves(machines, study.longer),
        figures.mixing_curves(machines, study.mixing),
    ):
        assert made.html.count("<svg") > 0


def test_a_figure_of_what_a_run_does_not_have_says_so(study):
    short = {(6, 0.8): correlations_rules.derived(study.machines[6, 0.8], 200)}
    assert figures.other_field(short) is None
    for made in (
        figures.decay_curves(short, None),
        figures.fit_examples(short),
        figures.preference_curves(short),
        figures.training_curves(short, {}),
        figures.mixing_curves(short, {}),
    ):
        assert "leaves this part out" in made.html
