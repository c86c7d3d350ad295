"""Pruning through the transition: the even part of a machine, levels that curves cross, and the conclusion."""

import itertools

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

from rbmbook.evidence.curves import crossing, doubled
from rbmbook.studies.ising.cells import ground_state
from rbmbook.studies.ising.reference import MEASURES
from rbmbook.studies.phase_scan import figures, rules
from rbmbook.studies.phase_scan import study as phase_scan
from rbmbook.studies.phase_scan.cells import measure_even
from rbmbook.studies.phase_scan.study import PROFILES
from rbmlib.quantum import MatrixProductState
from rbmlib.quantum.entanglement import entanglement_entropies
from rbmlib.rbm import RBM

BOOK = dict(PROFILES["book"].parameters)


def removable(results):
    return rules.removable(results, n_resamples=200)


@pytest.fixture(scope="module")
def tiny(tiny_run):
    return {**tiny_run, "fields": [0.5, 1.0, 2.0]}


@pytest.fixture(scope="module")
def results(tiny, sweeping):
    with sweeping(phase_scan):
        return phase_scan.results(**tiny)


# --- cells and results ---


def test_the_notebooks_own_parameters_are_the_book_profile(declared_defaults):
    assert declared_defaults("phase_scan") == BOOK


def test_the_book_profile_shares_the_standard_runs_of_the_two_fields():
    from rbmbook.studies.tfim_pruning import study as tfim_pruning

    cells = phase_scan.cells()
    # Eight fields: a ground state each, and for ten seeds a run and its even part.
    assert len(set(cells)) == len(cells) == 8 + 8 * 10 * 2
    standard = {cell for cell in tfim_pruning.cells() if cell.compute.__name__ == "prune_trained"}
    assert len(set(cells) & standard) == 20


def test_a_bad_parameter_is_named():
    with pytest.raises(ValueError, match="fields must be different positive numbers"):
        phase_scan.cells(fields=[1.0, 0.0])


def test_the_entropy_is_that_of_the_middle_cut(results):
    for field in (0.5, 2.0):
        state = MatrixProductState.from_dataset(ground_state(6, field))
        assert float(results.entropy.sel(field=field)) == pytest.approx(
            entanglement_entropies(state)[2], abs=1e-9
        )


def machine_of(dataset):
    weights = dataset.weights.transpose("visible", "hidden").values
    return RBM(weights, dataset.visible_bias.values, dataset.hidden_bias.values, weights != 0)


def test_the_even_part_is_the_average_over_the_flip_of_all_spins(results):
    states = list(itertools.product((0, 1), repeat=6))
    exact = MatrixProductState.from_dataset(ground_state(6, 0.5)).probabilities()
    for seed, stage in itertools.product(range(2), (0, 3)):
        here = results.sel(field=0.5, seed=seed, stage=stage)
        p = machine_of(here).probabilities()
        kl, overlap = 0.0, 0.0
        for v in states:
            code = sum(bit << site for site, bit in enumerate(v))
            flipped = sum((1 - bit) << site for site, bit in enumerate(v))
            even = (p[code] + p[flipped]) / 2
            kl += exact[code] * np.log(exact[code] / even)
            overlap += np.sqrt(exact[code] * even)
        assert float(here.even.sel(even_measure="kl")) == pytest.approx(kl, rel=1e-9)
        assert float(here.even.sel(even_measure="infidelity")) == pytest.approx(1 - overlap**2, rel=1e-6)
        assert kl <= float(here.pruning.sel(measure="kl"))


def test_chains_too_long_to_enumerate_have_no_even_part():
    tensor = np.array([[[0.8], [0.6]]])
    state = MatrixProductState((tensor,) * 21, -21.0).to_dataset()
    trained = xr.Dataset(
        {"weights": (("stage", "visible", "hidden"), np.ones((2, 21, 1)))}, {"stage": [0, 1]}
    )
    assert np.isnan(measure_even(state, trained).even).all()


def test_imbalances_are_differences_of_probabilities(results):
    found = rules.imbalances(results)
    assert found.sizes == {"source": 3, "field": 3, "seed": 2}
    up = results.up_spins.isel(stage=0).sel(field=0.5, seed=1).values
    dense = found.sel(source="dense machine", field=0.5, seed=1)
    assert float(dense) == pytest.approx(abs(sum(up[4:]) - sum(up[:3])))
    data = results.data_up_spins.sel(field=2.0, seed=0).values
    assert float(found.sel(source="data", field=2.0, seed=0)) == pytest.approx(
        abs(sum(data[4:]) - sum(data[:3]))
    )


# --- levels ---


def test_a_crossing_is_where_the_interpolated_curve_first_reaches_the_level():
    removed = np.array([0.0, 0.1, 0.3, 0.6])
    curve = np.array([1.0, 1.5, 8.0, 2.0])
    fine = np.linspace(0, 0.6, 600_001)
    dense = np.exp(np.interp(fine, removed, np.log(curve)))
    for level in (1.2, 3.0, 7.9):
        assert crossing(curve, removed, level) == pytest.approx(fine[np.argmax(dense >= level)], abs=2e-6)
    assert crossing(curve, removed, 9.0) == 1.0
    assert crossing(curve, removed, 1.0) == 0.0


def test_doubling_is_relative_to_each_seeds_own_dense_value():
    removed = np.linspace(0, 0.9, 10)
    growth = np.exp(np.outer([0.5, 1.5], removed))
    scale = np.array([[1.0], [100.0]])
    assert doubled(scale * growth, removed) == pytest.approx(np.log(2))


def test_the_rank_correlation_is_spearmans():
    rng = np.random.default_rng(2)
    for _ in range(5):
        first, second = rng.integers(0, 5, size=(2, 8)).astype(float)
        assert rules.rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert rules.rank_correlation(np.ones(4), np.arange(4.0)) == 0.0


# --- the scan ---

FIELDS = np.array([0.5, 0.8, 1.0, 1.3, 1.6, 2.0])
REMOVED = np.linspace(0, 0.9, 19)
N_SEEDS = 10


def synthetic(doubling, scatter=0.02, uneven=0.0):
    """Curves flat up to a share and steep behind it, whose divergence doubles at ``doubling`` (a share a field); ``uneven`` adds
    a term to the divergence that pruning does not change.
    """
    rng = np.random.default_rng(4)
    slope = 20.0
    start = np.asarray(doubling) - np.log(2) / slope
    logs = slope * np.maximum(REMOVED - start[:, None], 0) + np.log(1e-3)
    seeds = scatter * rng.normal(size=(len(FIELDS), N_SEEDS, 1))
    errors = np.exp(logs[:, None] + seeds)
    pruning = np.repeat(errors[..., None], len(MEASURES), axis=3)
    pruning[..., list(MEASURES).index("kl")] += uneven
    dims = ("field", "seed", "stage")
    return xr.Dataset(
        {
            "pruning": ((*dims, "measure"), pruning),
            "even": ((*dims, "even_measure"), np.stack([errors, errors / 2], axis=-1)),
            "removed": ("stage", REMOVED),
            "entropy": ("field", 1 / FIELDS),
            "exact_correlation": (
                ("field", "seed", "distance"),
                np.ones((len(FIELDS), N_SEEDS, 5)) / FIELDS[:, None, None],
            ),
            "up_spins": ((*dims, "up"), np.full((len(FIELDS), N_SEEDS, 19, 19), 1 / 19)),
            "data_up_spins": (("field", "seed", "up"), np.full((len(FIELDS), N_SEEDS, 19), 1 / 19)),
        },
        {
            "field": FIELDS,
            "seed": range(N_SEEDS),
            "measure": list(MEASURES),
            "even_measure": ["kl", "infidelity"],
        },
    )


RISING = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7])


def test_the_scan_finds_where_each_field_doubles():
    scan = removable(synthetic(RISING))
    doubled = scan.shares.sel(reading=rules.DOUBLED)
    np.testing.assert_allclose(doubled.value, RISING, atol=0.03)
    assert (doubled.low <= doubled.value).all()
    assert (doubled.value <= doubled.high).all()
    assert scan.by_entropy.value == scan.by_correlation.value == pytest.approx(-1.0)
    assert scan.by_entropy.high < 0


def test_a_divergence_that_pruning_does_not_touch_hides_the_doubling_of_the_machine_but_not_of_its_even_part():
    even, raw = (removable(synthetic(RISING, uneven=u)).shares.value for u in (0.0, 1.0))
    np.testing.assert_array_equal(even.sel(reading=rules.DOUBLED), raw.sel(reading=rules.DOUBLED))
    assert (raw.sel(reading=rules.UNEVEN) > even.sel(reading=rules.UNEVEN) + 0.1).all()


def test_the_conclusion_says_where_the_share_is_least_and_what_it_goes_with():
    results = synthetic(RISING)
    text = rules.conclusion(results, removable(results))
    assert text.startswith("Over 6 fields the share of the weights")
    assert "least at h/J = 0.5 (2" in text
    assert " and most at h/J = 2 (" in text
    assert text.count("falls (rank correlation -1.00") == 2
    assert text.endswith(".")


def test_the_conclusion_claims_no_trend_and_no_contrast_that_its_intervals_do_not_show():
    results = synthetic(np.full(6, 0.5), scatter=0.3)
    text = rules.conclusion(results, removable(results))
    assert "most, with overlapping intervals, at" in text
    assert "shows no definite trend" in text
    few = results.isel(field=[0, 5])
    assert rules.conclusion(few, removable(few)).endswith("5 fields or more would show what it goes with.")
    one = results.isel(seed=[0])
    assert "too small for a conclusion" in rules.conclusion(one, removable(one))


def test_a_share_that_rises_with_the_entropy_is_said_to_rise():
    results = synthetic(RISING[::-1])
    assert rules.conclusion(results, removable(results)).count("rises (rank correlation +1.00") == 2


def test_a_chain_too_long_to_enumerate_has_onsets_only_and_its_figures():
    results = synthetic(RISING)
    results["pruning"] = results.pruning.where(~results.measure.isin(["kl", "kl_data", "infidelity"]))
    results["even"] = results.even * np.nan
    scan = removable(results)
    assert scan.shares.reading.values.tolist() == ["eroe", "mroe", "correlation_mse"]
    assert rules.numbers(results, scan)["scan-critical"] == "\u2013"
    entropy, correlation = results.entropy.values, rules.mean_correlation(results)
    for made, panels in (
        (figures.scan_curves(results), 1),
        (figures.removable_shares(scan.shares, entropy, correlation), 1),
        (figures.well_balance(results, rules.imbalances(results)), 1),
    ):
        assert made.html.count("<svg") == panels + 1  # one more holds the definitions


def test_numbers_and_figures_of_a_small_run(results):
    scan = removable(results)
    found = rules.numbers(results, scan)
    assert found["scan-lowest"] == "0.5"
    assert "\u2013" not in found.values()
    assert found.keys() == rules.numbers(results.sel(field=[0.5]), removable(results.sel(field=[0.5]))).keys()
    entropy, correlation = results.entropy.values, rules.mean_correlation(results)
    for made in (
        figures.scan_curves(results),
        figures.removable_shares(scan.shares, entropy, correlation),
        figures.well_balance(results, rules.imbalances(results)),
    ):
        assert made.html.count("<svg") == 3
