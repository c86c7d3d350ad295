"""The magnetization of pruned machines: cells of a tiny chain against plain sums, and the rules on synthetic bars."""

import re

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom

from rbmbook.evidence.claims import load_claims
from rbmbook.studies.error_measures import study as error_measures
from rbmbook.studies.ising import fresh_seeds as tfim_machines
from rbmbook.studies.magnetization import claims as magnetization_claims
from rbmbook.studies.magnetization import figures, rules
from rbmbook.studies.magnetization import study as magnetization
from rbmbook.studies.magnetization.cells import checkpoints, relax
from rbmbook.studies.magnetization.study import PROFILES
from rbmlib.quantum import occurrence_ratio, up_spin_distribution
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.rbm import RBM

BOOK = dict(PROFILES["book"].parameters)
SIGNS = np.array([-1, 1] * 5)
M = (2 * np.arange(19) - 18) / 18


@pytest.fixture(scope="module")
def tiny(tiny_run):
    shared = {name: value for name, value in tiny_run.items() if name != "fields"}
    return {**BOOK, **shared, "gibbs_steps": 30, "min_counts": [2, 5]}


@pytest.fixture(scope="module")
def results(tiny, sweeping):
    with sweeping(magnetization):
        return magnetization.results(**tiny)


# --- cells and results ---


def test_the_notebooks_own_parameters_are_the_book_profile(declared_defaults):
    assert declared_defaults("magnetization") == BOOK


def test_profiles_have_the_same_parameters_and_are_accepted():
    assert len({tuple(profile.parameters) for profile in PROFILES.values()}) == 1
    for profile in PROFILES.values():
        assert magnetization.cells(**profile.parameters)
        assert profile.cost


def test_a_seed_has_three_cells_and_shares_its_machines_with_the_error_measures():
    cells = magnetization.cells()
    assert len(set(cells)) == 30
    assert len(set(cells) & set(error_measures.cells())) == 10


def test_machines_are_those_of_the_pruning_study_under_other_seeds(tiny_run):
    from rbmbook.studies.tfim_pruning import study as tfim_pruning

    theirs = {cell for cell in tfim_pruning.cells() if cell.name.endswith("prune_trained")}
    assert not theirs & set(magnetization.cells())
    assert len(theirs & set(magnetization.cells(first_seed=0))) == 10


def test_bars_of_the_machines_are_sums_over_all_configurations(results):
    one = results.isel(seed=1, stage=2)
    rbm = RBM(one.weights.values, one.visible_bias.values, one.hidden_bias.values)
    bars = np.zeros(7)
    for code, probability in enumerate(rbm.probabilities()):
        bars[code.bit_count()] += probability
    np.testing.assert_allclose(one.up_spins, bars, atol=1e-12)
    np.testing.assert_allclose(results.m, [-1, -2 / 3, -1 / 3, 0, 1 / 3, 2 / 3, 1])
    assert results.attrs == {"field": 1.0, "n_samples": 400, "enumerated": 1}


def test_samples_have_the_bars_of_their_machines(results, tiny):
    expected = results.up_spins.values
    error = np.sqrt(expected * (1 - expected) / tiny["n_samples"])
    assert (np.abs(results.gibbs_up_spins.values - expected) < 5.5 * error + 1e-3).all()


def test_the_ratio_of_the_data_is_that_of_the_set_that_the_machine_was_trained_on(results, tiny, tiny_store):
    cell = magnetization._cells_of(tiny, 11)["data"]
    state = MatrixProductState.from_dataset(tiny_store.load(tiny_store.key(cell.needs["ground_state"])))
    data = state.sample(tiny["n_samples"], cell.parameters["data_seed"])
    one = results.sel(seed=11)
    np.testing.assert_array_equal(one.data_up_spins, up_spin_distribution(data))
    for least in tiny["min_counts"]:
        found = occurrence_ratio(data, min_count=least)
        at = one.sel(min_count=least)
        assert at.data_ratio_mean.item() == found.mean
        assert at.data_ratio_spread.item() == found.std
        assert at.data_n_pairs.item() == found.n_pairs


def test_chains_start_ordered_and_are_those_of_single_steps():
    rbm = RBM.random(6, 3, seed=1)
    means, states = relax(rbm, 101, [0, 1, 4], seed=2)
    assert means.shape == (2, 3)
    assert means[:, 0].tolist() == [-1.0, 1.0]
    assert states.shape == (101, 6)
    spins = 2.0 * states - 1
    np.testing.assert_allclose(means[:, -1], [spins[:50].mean(), spins[50:].mean()])


def test_chains_without_couplings_forget_their_start_at_once():
    rbm = RBM(np.zeros((8, 2)), np.zeros(8), np.zeros(2))
    means, _ = relax(rbm, 4000, [0, 1], seed=3)
    assert (np.abs(means[:, 1]) < 5 / np.sqrt(2000 * 8)).all()


@pytest.mark.parametrize(
    ("last", "steps"),
    [(1, [0, 1]), (2, [0, 1, 2]), (30, [0, 1, 2, 5, 10, 20, 30]), (100, [0, 1, 2, 5, 10, 20, 50, 100])],
)
def test_checkpoints_go_by_one_two_five(last, steps):
    assert checkpoints(last) == steps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"field": 0.0}, r"field must be a positive number \(h / J\), not 0\.0"),
        ({"field": "a"}, "field must be a positive number"),
        ({"first_seed": -1}, "first_seed must be an integer >= 0, not -1"),
        ({"first_seed": True}, "first_seed must be an integer >= 0, not True"),
        ({"gibbs_steps": 0}, "gibbs_steps must be an integer >= 1, not 0"),
        ({"min_counts": []}, "min_counts must be integers >= 1 in ascending order"),
        ({"min_counts": [30, 10]}, r"min_counts must be .* not \[30, 10\]"),
        ({"n_samples": 1}, "n_samples must be at least 2"),
        ({"n_spins": 1}, "n_spins must be an integer >= 2, not 1"),
        ({"prune_fraction": 1.0}, r"prune_fraction must lie in \[0, 1\), not 1\.0"),
        ({"fields": [1.0]}, "fields"),
    ],
)
def test_a_bad_parameter_is_named_before_anything_is_computed(change, message):
    with pytest.raises((ValueError, LookupError), match=message):
        magnetization.cells(**change)


def test_a_chain_too_long_to_enumerate_is_seen_through_samples(tiny, sweeping):
    with sweeping(magnetization):
        long = magnetization.results(
            **{**tiny, "n_spins": 22, "n_hidden": 2, "n_seeds": 1, "n_epochs": 1, "n_iterations": 1}
        )
    assert long.attrs["enumerated"] == 0
    assert np.isfinite(long.up_spins).all()
    assert np.isfinite(rules.peak_ratios(long)).all()


# --- rules ---


def two_peaks(height):
    """Bars with two equal peaks at +-0.667 that are ``height`` times the centre's."""
    bars = np.interp(np.abs(M), [0, 2 / 3, 1], [1.0, height, 0.5])
    return bars / bars.sum()


def synthetic(dense, last=None, data=None, exact=None, n_stages=4, **ratio):
    """Ten seeds; bars of the first and the last stage (seed, up), geometric in between."""
    data = two_peaks(1.25) if data is None else data
    ten = (10, 19)
    dense = np.broadcast_to(dense, ten)
    last = np.broadcast_to(dense if last is None else last, ten)
    stages = np.stack([dense, *[last] * (n_stages - 1)], axis=1)
    curve = np.broadcast_to(np.linspace(1, 0.1, 10), (10, n_stages, 10))
    settings = {"mean": 1.0, "spread": 0.19, **ratio}
    return xr.Dataset(
        {
            "up_spins": (("seed", "stage", "up"), stages),
            "gibbs_up_spins": (("seed", "stage", "up"), stages),
            "data_up_spins": (("seed", "up"), np.broadcast_to(data, ten)),
            "exact_up_spins": (
                ("seed", "up"),
                np.broadcast_to(two_peaks(1.25) if exact is None else exact, ten),
            ),
            "correlation": (("seed", "stage", "distance"), curve),
            "data_correlation": (("seed", "distance"), curve[:, 0]),
            "data_ratio_mean": (("seed", "min_count"), np.full((10, 1), settings["mean"])),
            "data_ratio_spread": (("seed", "min_count"), np.full((10, 1), settings["spread"])),
            "data_counting_mean": (("seed", "min_count"), np.full((10, 1), 1.02)),
            "data_counting_spread": (("seed", "min_count"), np.full((10, 1), 0.19)),
            "m": ("up", M),
            "removed": ("stage", np.linspace(0, 0.85, n_stages)),
        },
        {"seed": range(10, 20), "min_count": [30]},
    )


def scattered(low, high):
    """Bars of ten seeds that alternate between two shapes."""
    return np.where(SIGNS[:, None] > 0, high, low)


PARALLEL = binom.pmf(np.arange(19), 18, 0.5)
TILTED = two_peaks(1.25) * (1 + 0.3 * M)
TILTED = TILTED / TILTED.sum()
MERGING = {
    "reproduced": (two_peaks(1.25), PARALLEL),
    "not reproduced": (PARALLEL, two_peaks(1.25)),
    "reproduced in part": (two_peaks(1.25), two_peaks(1.1)),
    "not decided": (scattered(two_peaks(1.3), PARALLEL), scattered(two_peaks(1.3), PARALLEL)),
}


@pytest.mark.parametrize(("outcome", "bars"), MERGING.items())
def test_peak_over_centre_settles_whether_the_peaks_merge(outcome, bars):
    found = rules.single_peak_rule(synthetic(*bars))
    assert found.outcome == outcome
    assert found.interval[0] <= found.value <= found.interval[1]


def test_ratios_are_those_of_the_bars():
    ratios = rules.peak_ratios(synthetic(two_peaks(1.25), PARALLEL))
    np.testing.assert_allclose(ratios[:, 0], 1.25)
    np.testing.assert_allclose(ratios[:, -1], PARALLEL[8] / PARALLEL[9])
    # Without a bar at zero the two next to it are the centre.
    odd = np.array([0.3, 0.1, 0.1, 0.5])
    assert rules.share_at_zero(odd, np.array([-1, -1 / 3, 1 / 3, 1])) == pytest.approx(0.2)


def test_peaks_have_merged_once_the_ratio_stays_below_one():
    ratios = np.array([[1.2, 0.9, 1.1, 0.9, 0.8]] * 2)
    assert rules.merged_stage(ratios) == 3
    assert rules.merged_stage(ratios[:, :3]) is None
    assert rules.merged_stage(ratios[:, 3:]) == 0


def test_machines_like_their_data_resemble_them():
    assert rules.resembles_rule(synthetic(two_peaks(1.27))).outcome == "reproduced"


def test_a_machine_with_other_bars_resembles_its_data_in_part():
    # Means and bars are off, correlations are not.
    found = rules.resembles_rule(synthetic(TILTED))
    assert found.outcome == "reproduced in part"
    assert found.value > rules.RESEMBLANCE


def test_a_machine_that_is_off_in_every_respect_does_not_resemble_its_data():
    study = synthetic(np.roll(PARALLEL, 2))
    study["correlation"] = 0.5 * study.correlation
    assert rules.resembles_rule(study).outcome == "not reproduced"


def test_tilts_of_either_sign_do_not_cancel():
    study = synthetic(scattered(TILTED[::-1], TILTED))
    found = rules.deviations(study)["mean m"]
    assert found.min() > rules.RESEMBLANCE


DATA = two_peaks(1.25)


def test_a_training_set_with_the_papers_numbers_is_recognised():
    study = synthetic(DATA, mean=0.98)
    order = (np.abs(M) * DATA).sum()
    found = rules.training_set_rule(study)
    assert found.value == pytest.approx(order)
    assert abs(order - rules.ORDER) < rules.ORDER_MARGIN
    assert found.outcome == "reproduced"
    assert "peaks 0.667" in found.text


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"mean": 1.2}, "occurrence ratio"),
        ({"spread": 0.4}, "its spread"),
        ({"data": TILTED}, "mean m"),
        (
            {"data": np.where(M == 0, 0.01, DATA) / np.where(M == 0, 0.01, DATA).sum()},
            "bar at 0 over the highest",
        ),
        ({"data": PARALLEL}, "mean |m|"),
        ({"data": PARALLEL}, "peaks"),
    ],
)
def test_each_number_of_the_training_set_has_its_own_tolerance(changes, part):
    found = rules.training_set_rule(synthetic(DATA, **{"mean": 0.98, **changes}))
    assert found.outcome == "reproduced in part"
    assert {one.name: one.mark for one in found.parts}[part] == "fails"


def test_only_the_two_bars_next_to_the_papers_place_count_as_its_peaks():
    near = M[(np.abs(np.abs(M) - rules.PEAK) <= rules.PEAK_MARGIN) & (M > 0)]
    np.testing.assert_allclose(near, [12 / 18, 14 / 18])


# --- verdicts, numbers, figures ---


def test_a_study_settles_every_claim_in_order():
    verdicts = magnetization_claims.settle(synthetic(two_peaks(1.25), PARALLEL, mean=0.98), BOOK)
    assert tuple(verdict.id for verdict in verdicts) == magnetization_claims.CLAIMS
    assert {verdict.verdict for verdict in verdicts} == {"reproduced"}
    for verdict in verdicts:
        assert (verdict.seeds, verdict.profile) == (10, "book")
        assert verdict.reason.endswith(".")


def test_the_claims_are_those_of_the_catalogue(root):
    catalogue = {claim.id for claim in load_claims(root / "book" / "rbmbook" / "evidence" / "claims.toml")}
    assert set(magnetization_claims.CLAIMS) <= catalogue


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_spins": 10}, "settled for n_spins = 18; this run has 10"),
        ({"n_samples": 1000}, "settled for n_samples = 100000; this run has 1000"),
        ({"min_counts": [10]}, r"needs min_counts with 30 among them; this run has \[10\]"),
        ({"field": 2.0}, "needs h/J = 1; this run has 2"),
        ({"n_seeds": 4}, "needs at least 5 seeds; this run has 4"),
        ({"first_seed": 5}, "the rules were thought out on seeds below 10"),
    ],
)
def test_a_run_that_cannot_settle_the_claims_decides_nothing_and_says_why(changes, reason):
    for verdict in magnetization_claims.settle(synthetic(DATA), {**BOOK, **changes}):
        assert (verdict.verdict, verdict.value, verdict.interval) == ("not decided", None, None)
        assert re.match(reason, verdict.reason)


def test_every_number_that_the_chapter_quotes_is_there_for_any_run(results, root):
    numbers = magnetization_claims.numbers(results)
    text = (root / "notebooks" / "magnetization.md").read_text(encoding="utf-8")
    own = {
        "setting",
        "samples",
        "gibbs-steps",
        "bars",
        *(f"{name}-verdict" for name in magnetization_claims.CLAIMS),
    }
    quoted = {part.split("`", 1)[0] for part in text.split("{glue:text}`")[1:]}
    assert quoted <= set(numbers) | own
    assert numbers["ratio-data"] == "\u2013"
    assert all(isinstance(one, str) and one for one in numbers.values())


def test_figures_are_drawn_for_a_tiny_run(results):
    assert figures.moments_curves(results).html.count("<svg") >= 2
    slider = figures.histogram_slider(results)
    assert slider.html.count("data-label=") == results.sizes["stage"]
    assert figures.merging_curves(results, rules.peak_ratios(results), rules.peak_ratios(results)).html
    assert figures.ratio_curves(results, (0.98, 0.19), 30).html
    assert figures.relaxation_curves(results).html


def test_seeds_of_parts_differ_between_fields_and_repetitions():
    seeds = [tfim_machines.seeds_of_parts(field, seed) for field in (1.0, 2.0) for seed in (10, 11)]
    flat = [value for one in seeds for value in one.values()]
    assert len(set(flat)) == len(flat) == 12
