"""Other pruning schedules: cells of a tiny chain against plain loops, and the rule on synthetic curves."""

import re

import numpy as np
import pytest
import xarray as xr

from rbmbook.evidence.curves import doubled
from rbmbook.studies.ising.cells import draw_data
from rbmbook.studies.ising.reference import MEASURES
from rbmbook.studies.schedules import claims as schedules_claims
from rbmbook.studies.schedules import figures, rules
from rbmbook.studies.schedules import study as schedules
from rbmbook.studies.schedules.cells import prune_along
from rbmbook.studies.schedules.study import PROFILES, STANDARD
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.pruning import prune_mask, schedule, schedule_from_fractions
from rbmlib.rbm import RBM
from rbmlib.training import LearningRate, train

BOOK = dict(PROFILES["book"].parameters)


@pytest.fixture(scope="module")
def tiny(tiny_run):
    return {**BOOK, **tiny_run, "first_fractions": [0.3, 0.5], "later_fraction": 0.2}


@pytest.fixture(scope="module")
def results(tiny, sweeping):
    with sweeping(schedules):
        return schedules.results(**tiny)


# --- cells and results ---


def test_the_notebooks_own_parameters_are_the_book_profile(declared_defaults):
    assert declared_defaults("schedules") == BOOK


def test_profiles_have_the_same_parameters_and_are_accepted():
    assert len({tuple(profile.parameters) for profile in PROFILES.values()}) == 1
    for profile in PROFILES.values():
        assert schedules.cells(**profile.parameters)
        assert profile.cost


def test_the_book_profile_asks_for_each_cell_once():
    cells = schedules.cells()
    # Two fields and five seeds: standard, four first steps, one with half the epochs, two controls.
    assert len(set(cells)) == len(cells) == 10 * (1 + 4 + 1 + 2)


def test_every_schedule_ends_where_the_standard_one_does():
    for name, run in schedules.runs(BOOK).items():
        fractions = [run["first_fraction"], *[run["later_fraction"]] * run["n_later"]]
        kept = schedule_from_fractions(162, fractions)
        assert kept[-1] == 24, name
        assert kept[-2] > 24


def test_the_small_steps_take_twice_the_standard_training_and_the_halved_ones_about_as_much():
    runs = schedules.runs(BOOK)
    epochs = {
        name: BOOK["finetune_epochs"] + run["n_later"] * run["later_epochs"] for name, run in runs.items()
    }
    assert epochs["first 10 %"] == 720
    assert epochs[schedules.halved_name(BOOK)] == 370
    assert epochs["random"] == BOOK["finetune_epochs"] * BOOK["n_iterations"] == 360


def test_all_runs_start_from_the_dense_machines_of_the_standard_ones(results):
    dense = results.pruning.isel(stage=0)
    for run in results.run.values:
        np.testing.assert_array_equal(dense.sel(run=run), dense.sel(run=STANDARD))


def test_a_first_step_of_the_standard_size_is_the_standard_first_step_to_the_bit(results):
    first = results.pruning.isel(stage=1)
    np.testing.assert_array_equal(first.sel(run="first 30 %"), first.sel(run=STANDARD))
    assert (first.sel(run="first 50 %") != first.sel(run=STANDARD)).any()


def test_removed_fractions_are_those_of_each_schedule_and_shorter_runs_end_in_nan(results, tiny):
    assert results.run.values.tolist() == [STANDARD, *schedules.runs(tiny)]
    for name, run in schedules.runs(tiny).items():
        kept = schedule_from_fractions(18, [run["first_fraction"], *[run["later_fraction"]] * run["n_later"]])
        mine = results.sel(run=name)
        np.testing.assert_array_equal(mine.removed.dropna("stage"), 1 - kept / 18)
        assert np.isfinite(mine.pruning.isel(stage=slice(0, len(kept)))).all()
        assert np.isnan(mine.pruning.isel(stage=slice(len(kept), None))).all()


@pytest.mark.parametrize("criterion", ["magnitude", "random", "largest"])
def test_a_cell_is_the_plain_loop_over_its_steps(criterion, tiny, sweeping, tiny_store):
    run = {
        "first_fraction": 0.5,
        "later_fraction": 0.2,
        "n_later": 2,
        "later_epochs": 1,
        "criterion": criterion,
    }
    cell = schedules._cell(tiny, 1.0, 1, run)
    with sweeping(schedules):
        inputs = dict(zip(cell.needs, schedules.sweep(list(cell.needs.values())), strict=True))
    found = prune_along(**cell.parameters, **inputs)

    p = cell.parameters
    data, reference = draw_data(inputs["ground_state"], 1.0, p["n_samples"], p["data_seed"])
    dense = inputs["trained"].isel(stage=0)
    machine = RBM(dense.weights.values, dense.visible_bias.values, dense.hidden_bias.values)
    seed = int(derived_seed(np.uint64(p["training_seed"]), 0, 2)) if criterion == "random" else None
    for iteration, (kept, epochs) in enumerate([(9, p["finetune_epochs"]), (7, 1), (6, 1)], start=1):
        mask = prune_mask(machine.weights, machine.mask, kept, criterion, seed)
        machine = train(
            machine.replace(mask=mask),
            data,
            n_epochs=epochs,
            learning_rate=LearningRate(p["finetune_rate"], p["final_finetune_rate"]),
            seed=int(derived_seed(np.uint64(p["training_seed"]), iteration, 0)),
            k=p["k"],
            batch_size=p["batch_size"],
        ).rbm
        np.testing.assert_array_equal(found.pruning.isel(stage=iteration), reference.measure(machine))
    assert found.kept.values.tolist() == [18, 9, 7, 6]


def test_a_second_call_computes_nothing(results, tiny, sweeping):
    lines = []
    with sweeping(schedules, progress=lines.append):
        assert schedules.results(**tiny).identical(results)
    assert lines == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_seeds": 0}, "n_seeds must be an integer >= 1, not 0"),
        ({"prune_fraction": 1.0}, r"prune_fraction must lie in \[0, 1\), not 1\.0"),
        ({"first_fractions": []}, "first_fractions must be different numbers between 0 and 1"),
        ({"first_fractions": [0.1, 0.1]}, "first_fractions must be different numbers between 0 and 1"),
        ({"first_fractions": [1.0]}, r"first_fractions must be .* not \[1\.0\]"),
        ({"later_fraction": 0.0}, r"later_fraction must lie between 0 and 1, not 0\.0"),
        (
            {"controls": ["magnitude"]},
            r"controls must be among largest, random, each once, not \['magnitude'\]",
        ),
        ({"controls": ["random", "random"]}, "controls must be among largest, random, each once"),
        ({"first": [0.1]}, "first.*first_fractions"),
    ],
)
def test_a_bad_parameter_is_named_before_anything_is_computed(change, message):
    with pytest.raises((ValueError, LookupError), match=message):
        schedules.cells(**change)


# --- the rule ---

KEPT = {STANDARD: schedule(162, 0.1, 18)} | {
    name: schedule_from_fractions(162, [run["first_fraction"], *[run["later_fraction"]] * run["n_later"]])
    for name, run in schedules.runs(BOOK).items()
}
FIRSTS = ["first 10 %", "first 20 %", "first 30 %", "first 40 %"]
SIGNS = np.array([-1.0, 1.0, -1.0, 1.0, 0.0])


def synthetic(factor=None, scatter=0.0):
    """Curves that grow from 30 % removed on, the same for all runs but for ``factor(removed)`` on the first steps; ``scatter``
    is a logarithmic difference of opposite sign from seed to seed.
    """
    longest = max(map(len, KEPT.values()))
    values = np.full((len(KEPT), 2, 5, longest, len(MEASURES)), np.nan)
    removed = np.full((len(KEPT), longest), np.nan)
    for place, (name, kept) in enumerate(KEPT.items()):
        x = 1 - kept / 162
        removed[place, : len(kept)] = x
        logs = np.log(1e-3) + 8 * np.maximum(x - 0.3, 0)
        mine = np.zeros((5, len(kept)))
        if name.startswith("first"):
            mine += np.log(factor(x)) if factor else 0.0
            mine += scatter * SIGNS[:, None]
        values[place, :, :, : len(kept)] = np.exp(logs + mine)[None, :, :, None]
    dims = ("run", "field", "seed", "stage", "measure")
    coords = {"run": list(KEPT), "field": [1.0, 2.0], "seed": range(5), "measure": list(MEASURES)}
    return xr.Dataset({"pruning": (dims, values), "removed": (("run", "stage"), removed)}, coords)


CASES = {
    "reproduced": synthetic(lambda x: np.full_like(x, 1.3)),
    "not reproduced": synthetic(lambda x: np.full_like(x, 5.0)),
    "reproduced in part": synthetic(lambda x: np.where(x > 0.6, 5.0, 1.0)),
    "not decided": synthetic(scatter=1.5),
}


@pytest.mark.parametrize(("outcome", "results"), CASES.items())
def test_ratios_at_equal_fractions_settle_whether_the_schedule_matters(outcome, results):
    (verdict,) = schedules_claims.settle(results, BOOK)
    assert (verdict.id, verdict.verdict) == ("A2.other-schedules", outcome)
    assert verdict.interval[0] <= verdict.value <= verdict.interval[1]
    assert (verdict.seeds, verdict.profile) == (5, "book")
    assert len(verdict.parts) == 110
    assert "Beside it, 'first 10 %, half the epochs'" in verdict.reason


def test_a_run_that_lies_below_the_standard_one_counts_as_different_too():
    (verdict,) = schedules_claims.settle(synthetic(lambda x: np.full_like(x, 0.2)), BOOK)
    assert verdict.verdict == "not reproduced"
    # C_MSE enters by its root.
    assert verdict.value == pytest.approx(0.2)


def test_ratios_are_interpolated_on_a_logarithmic_scale_seed_by_seed():
    results = synthetic(lambda x: 1 + x, scatter=0.2)
    fractions, logs = rules.log_ratios(results, "first 20 %", 2.0, "kl")
    mine, standard = (results.sel(run=run, field=2.0, measure="kl") for run in ("first 20 %", STANDARD))
    expected = []
    for seed in range(5):
        row = []
        for x in fractions:
            below = max(k for k in range(35) if mine.removed.values[k] <= x)
            low, high = mine.removed.values[below : below + 2]
            a, b = np.log(mine.pruning.values[seed, below : below + 2])
            at = a + (b - a) * (x - low) / (high - low) if x > low else a
            (there,) = np.flatnonzero(standard.removed.values == x)
            row.append(at - np.log(standard.pruning.values[seed, there]))
        expected.append(row)
    np.testing.assert_allclose(logs, expected, atol=1e-12)
    assert fractions[0] >= 0.2
    assert len(fractions) == 16


def test_each_fraction_of_the_standard_schedule_is_in_one_band():
    removed = 1 - KEPT[STANDARD][1:] / 162
    inside = [[low < x <= high for low, high in rules.BANDS] for x in removed]
    assert (np.sum(inside, axis=1) == 1).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_spins": 10}, "settled for n_spins = 18; this run has 10"),
        ({"later_fraction": 0.1}, r"settled for later_fraction = 0\.05; this run has 0\.1"),
        ({"fields": [2.0]}, "needs h/J = 1 and 2; this run has 2"),
        (
            {"first_fractions": [0.1, 0.4]},
            "needs the first steps 10, 20, 30 and 40 %; this run has 10 %, 40 %",
        ),
        ({"n_seeds": 4}, "needs at least 5 seeds; this run has 4"),
    ],
)
def test_a_run_that_cannot_settle_the_claim_says_why(changes, reason):
    (verdict,) = schedules_claims.settle(CASES["reproduced"], {**BOOK, **changes})
    assert (verdict.verdict, verdict.value) == ("not decided", None)
    assert re.search(reason, verdict.reason)


def test_numbers_are_the_shares_at_which_the_divergence_has_doubled():
    results = synthetic()
    every = schedules_claims.numbers(results, BOOK)
    assert "\u2013" not in every.values()
    removed, kl = rules.curve(results, STANDARD, 1.0, "kl")
    # exp(8 (x - 0.3)) = 2 at x = 0.387, which interpolation between stages meets to within a point.
    assert doubled(kl, removed) == pytest.approx(0.3 + np.log(2) / 8, abs=0.01)
    assert every["schedules-standard-critical"] == "39 %"
    assert every["schedules-ratio-critical"] == "1.00"


def test_a_chain_too_long_to_enumerate_has_figures_and_dashes():
    results = synthetic()
    results["pruning"] = results.pruning.where(~results.measure.isin(["kl", "kl_data", "infidelity"]))
    assert schedules_claims.numbers(results, BOOK)["schedules-standard-critical"] == "\u2013"
    assert set(rules.ratios(results, FIRSTS).measure.values) == {"eroe", "mroe", "correlation_mse"}
    for made in (
        figures.schedule_curves(results),
        figures.ratio_curves(rules.ratios(results, FIRSTS), rules.MARGIN, rules.BANDS),
        figures.control_curves(results),
    ):
        assert made.html.count("<svg") >= 2


def test_figures_are_made_for_one_seed_and_one_field(results, tiny):
    one = results.isel(seed=[0], field=[1])
    runs = [run for run in schedules.runs(tiny) if run not in schedules.CONTROLS]
    ratios = rules.ratios(one, runs)
    assert ratios.sizes == {"run": 3, "field": 1, "measure": 5, "removed": 4}
    for made in (
        figures.schedule_curves(one),
        figures.ratio_curves(ratios, rules.MARGIN, rules.BANDS),
        figures.control_curves(one),
    ):
        assert "<svg" in made.html
