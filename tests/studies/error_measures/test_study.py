"""Error measures against KL: how results come together, and every verdict that each rule can reach."""

import re
from functools import partial

import numpy as np
import pytest
import xarray as xr

from rbmbook.evidence.claims import load_claims
from rbmbook.studies.error_measures import claims as error_measures_claims
from rbmbook.studies.error_measures import figures, rules
from rbmbook.studies.error_measures import study as error_measures
from rbmbook.studies.error_measures.study import PROFILES
from rbmbook.studies.ising.reference import MEASURES

BOOK = dict(PROFILES["book"].parameters)
N_SEEDS, N_STAGES = 10, 19
EPOCHS = np.array([1, *range(5, 501, 5)])
SIGNS = np.array([-1, 1] * 5)
RAMP = np.exp(np.maximum(np.arange(N_STAGES) - 6, 0) / 2.0)
"""A KL divergence that is flat at first and grows by e every two stages."""


@pytest.fixture(scope="module")
def tiny(tiny_run):
    return {**BOOK, **tiny_run}


@pytest.fixture(scope="module")
def results(tiny, sweeping):
    with sweeping(error_measures):
        return error_measures.results(**tiny)


# --- results ---


def test_the_notebooks_own_parameters_are_the_book_profile(declared_defaults):
    assert declared_defaults("error_measures") == BOOK


def test_profiles_have_the_same_parameters_and_are_accepted():
    assert len({tuple(profile.parameters) for profile in PROFILES.values()}) == 1
    for profile in PROFILES.values():
        assert error_measures.cells(**profile.parameters)
        assert profile.cost


def test_the_book_profile_asks_for_each_cell_once():
    assert len(set(error_measures.cells())) == len(error_measures.cells()) == 20


def test_results_have_a_place_for_every_cell(results):
    assert results.training.dims == ("field", "seed", "epoch", "measure")
    assert results.pruning.dims == ("field", "seed", "stage", "measure")
    assert results.seed.values.tolist() == [10, 11]
    assert list(results.measure.values) == list(MEASURES)
    assert np.isfinite(results.pruning).all()
    # The last epoch is the dense machine.
    np.testing.assert_array_equal(results.training.isel(epoch=-1), results.pruning.isel(stage=0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_spins": 21}, "n_spins must be at most 20, because the KL divergence is summed .* not 21"),
        ({"fields": []}, "fields must be different positive numbers"),
        ({"first_seed": 1.5}, r"first_seed must be an integer >= 0, not 1\.5"),
        ({"k": 0}, "k must be an integer >= 1, not 0"),
        ({"field": 1.0}, "field"),
    ],
)
def test_a_bad_parameter_is_named_before_anything_is_computed(change, message):
    with pytest.raises((ValueError, LookupError), match=message):
        error_measures.cells(**change)


# --- synthetic runs ---


def synthetic(pruning=None, training=None, noise=0.0):
    """Both fields, ten seeds. Every measure is KL itself, times factors given for (field, measure) or a measure."""
    down = np.exp(-np.linspace(0, 3, EPOCHS.size))
    parts = {}
    for name, base, factors in (("training", down, training), ("pruning", RAMP, pruning)):
        dimension = {"training": "epoch", "pruning": "stage"}[name]
        values = np.empty((2, N_SEEDS, base.size, len(MEASURES)))
        values[...] = base[None, None, :, None]
        values *= 1 + noise * np.linspace(-1, 1, N_SEEDS)[None, :, None, None]
        array = xr.DataArray(
            values,
            dims=("field", "seed", dimension, "measure"),
            coords={"field": [1.0, 2.0], "seed": range(10, 20), "measure": list(MEASURES)},
        )
        for key, factor in (factors or {}).items():
            field, measure = key if isinstance(key, tuple) else (slice(None), key)
            at = {"field": field, "measure": measure}
            array.loc[at] = array.sel(at) * np.broadcast_to(factor, (N_SEEDS, base.size))
        parts[name] = array
    return xr.Dataset(
        {
            **parts,
            "exact_correlation": (("field", "seed", "distance"), np.ones((2, N_SEEDS, 10))),
            "removed": ("stage", 1 - 0.9 ** np.arange(N_STAGES)),
        },
        {"epoch": EPOCHS, "stage": range(N_STAGES)},
    )


def naive_rank_correlation(first, second):
    """Pearson's coefficient of the ranks, ties at their mean rank."""
    ranks = [[(np.sum(x < one) + np.sum(x <= one) - 1) / 2 for one in x] for x in (first, second)]
    return np.corrcoef(ranks)[0, 1]


def test_stages_divide_training_at_a_tenth_and_pruning_at_half():
    study = synthetic()
    sizes = {stage: rules.within(study, stage).sizes["time"] for stage in rules.STAGES}
    assert sizes == {"early training": 11, "late training": 90, "early pruning": 10, "late pruning": 9}
    assert rules.within(study, "training").sizes["time"] == EPOCHS.size
    assert rules.within(study, "pruning").sizes["time"] == N_STAGES


def test_rank_correlations_are_those_of_ranks(results):
    for stage in ("training", "pruning"):
        for measure in ("mroe", "correlation_mse"):
            found = rules.rank_correlations(results, stage, 2.0, measure)
            chosen = rules.within(results, stage).sel(field=2.0)
            for seed, value in enumerate(found):
                one = chosen.isel(seed=seed)
                expected = naive_rank_correlation(
                    one.sel(measure="kl").values, one.sel(measure=measure).values
                )
                assert value == pytest.approx(expected)


def test_a_constant_measure_has_no_rank_correlation():
    flat = synthetic()
    flat.pruning.loc[{"measure": "mroe"}] = 1.0
    assert np.isnan(rules.rank_correlations(flat, "pruning", 1.0, "mroe")).all()
    assert rules.interval(np.array([0.5] * 4 + [np.nan] * 6)) is None


def varied(amplitude, size):
    """A factor that rises or falls along the way, by seeds of either sign: its rank correlations scatter."""
    return np.exp(amplitude * SIGNS[:, None] * np.linspace(0, 1, size))


FALLING = {"eroe": RAMP**-2.0, "mroe": RAMP**-2.0, "correlation_mse": RAMP**-2.0}
CORRELATED = {
    "reproduced": ({}, {}),
    "not reproduced": (FALLING, dict.fromkeys(FALLING, np.exp(np.linspace(0, 6, EPOCHS.size)))),
    "reproduced in part": (FALLING, {}),
    "not decided": (
        dict.fromkeys(FALLING, varied(20.0, N_STAGES)),
        dict.fromkeys(FALLING, varied(20.0, EPOCHS.size)),
    ),
}


@pytest.mark.parametrize(("outcome", "factors"), CORRELATED.items())
def test_rank_correlations_settle_whether_measures_follow_kl(outcome, factors):
    assert rules.correlated_rule(synthetic(*factors)).outcome == outcome


LATE = np.where(np.arange(N_STAGES) > 9, 1.0, 0.0)
STAGE_DEPENDENT = {
    "reproduced": {"mroe": np.exp(-5 * LATE * np.arange(N_STAGES))},
    "not reproduced": {},
    "reproduced in part": {(1.0, "mroe"): np.exp(-5 * LATE * np.arange(N_STAGES))},
}


@pytest.mark.parametrize(("outcome", "factors"), STAGE_DEPENDENT.items())
def test_differences_of_rank_correlations_settle_whether_they_depend_on_the_stage(outcome, factors):
    found = rules.stage_dependent_rule(synthetic(factors))
    assert found.outcome == outcome
    if outcome == "reproduced":
        assert abs(found.value) > rules.STRONG
        assert "mROE in" in found.text


def test_more_comparisons_need_more_certainty():
    # One of the comparisons differs by chance: alone it would count, among forty it does not.
    shifted = 0.24 + 0.3 * SIGNS
    alone = rules.some_differ("", {"one": shifted}, 0.0)
    among = rules.some_differ("", {"one": shifted, **{str(i): np.zeros(N_SEEDS) for i in range(40)}}, 0.0)
    assert (alone.mark, among.mark) == ("holds", "open")


# --- sensitivities ---


def power(exponent):
    """Turn KL's rise above its dense value into a measure whose rise is a power of it."""
    rise = RAMP - RAMP[0]
    return (1 + rise**exponent) / RAMP


SENSITIVE = {"eroe": power(0.8), "mroe": power(0.8), "correlation_mse": power(1.5)}
SENSITIVITY = {
    "reproduced": SENSITIVE,
    "not reproduced": {"eroe": power(1.2), "mroe": power(0.3), "correlation_mse": power(0.5)},
    "reproduced in part": {**SENSITIVE, "mroe": power(0.3)},
    "not decided": {
        name: np.where(SIGNS[:, None] > 0, power(equal + 0.3), power(equal - 0.3))
        for name, equal in rules.EQUAL_SENSITIVITY.items()
    },
}


@pytest.mark.parametrize(("outcome", "factors"), SENSITIVITY.items())
def test_slopes_settle_which_measure_is_more_sensitive(outcome, factors):
    found = rules.sensitivity_rule(synthetic(factors))
    assert found.outcome == outcome
    assert "0.5 for the linear mROE" in found.text


def test_slopes_are_those_of_the_powers_whatever_the_floors():
    study = synthetic(SENSITIVE, noise=0.1)
    study["pruning"] = study.pruning * xr.DataArray(np.linspace(1, 5, len(MEASURES)), dims="measure")
    for name, exponent in (("eroe", 0.8), ("mroe", 0.8), ("correlation_mse", 1.5)):
        np.testing.assert_allclose(rules.slopes(study, 1.0, name), exponent, rtol=1e-9)


def test_a_measure_as_quadratic_as_kl_has_slope_one_and_a_linear_one_half():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(32, 5.0))
    f = rng.normal(size=32)
    f -= p @ f
    observable = rng.normal(size=32)
    sizes = np.array([0.0, 0.001, 0.002, 0.004, 0.008])
    errors = []
    for size in sizes:
        q = p * (1 + size * f)
        kl = np.sum(p * np.log(p / q))
        errors.append((kl, abs(observable @ (q - p)), (observable @ (q - p)) ** 2))
    kl, linear, squared = np.array(errors).T
    # A dense machine that is nearly perfect: the floors are next to nothing.
    kl[0], linear[0], squared[0] = 1e-12, 1e-12, 1e-18
    assert rules.floor_subtracted_slope(kl, linear) == pytest.approx(0.5, abs=0.01)
    assert rules.floor_subtracted_slope(kl, squared) == pytest.approx(1.0, abs=0.01)


def test_too_few_risen_stages_give_no_slope():
    kl = np.array([1.0, 1.1, 1.5, 2.5, 3.0])
    assert np.isnan(rules.floor_subtracted_slope(kl, kl))
    assert rules.floor_subtracted_slope(np.array([1.0, 2.5, 3.0, 4.0]), np.array([1.0, 2.5, 3.0, 4.0])) == (
        pytest.approx(1.0)
    )


# --- energy against order ---


def off(energy, order, correlations, fields=(1.0, 2.0)):
    """Bare relative errors at every stage, at some fields; a thousandth at the others."""
    errors = {"energy_error": energy, "order_error": order, "correlation_mse_exact": np.square(correlations)}
    return {
        (field, name): np.multiply(height, 1 / RAMP) for field in fields for name, height in errors.items()
    }


SMALL = off(0.001, 0.001, 0.001)
MISLEADING = {
    "reproduced": off(0.005, 0.2, 0.2),
    "not reproduced": off(0.05, 0.01, 0.01),
    "reproduced in part": {**SMALL, **off(0.005, 0.2, 0.2, [1.0])},
    "not decided": off(0.01 * np.exp(0.5 * SIGNS)[:, None], 0.2, 0.2),
}


@pytest.mark.parametrize(("outcome", "factors"), MISLEADING.items())
def test_absolute_errors_settle_whether_the_energy_misleads(outcome, factors):
    found = rules.energy_misleads_rule(synthetic(factors, noise=0.01))
    assert found.outcome == outcome
    assert [part.name for part in found.parts[:2]] == ["energy at h/J = 1", "order parameter at h/J = 1"]
    assert "79 % removed" in found.lead  # the stage nearest to 80 %


def test_both_order_and_correlations_must_be_off():
    for errors in ((0.2, 0.01), (0.01, 0.2)):
        found = rules.energy_misleads_rule(synthetic(off(0.001, *errors), noise=0.01))
        assert [part.mark for part in found.parts].count("fails") == 2


def test_absolute_errors_tell_where_a_good_energy_hides_a_bad_state():
    factors = {"energy_error": 0.001 / RAMP, "order_error": 0.2 / RAMP, "correlation_mse_exact": 0.04 / RAMP}
    study = synthetic(factors)
    np.testing.assert_allclose(rules.relative_errors(study, 1.0)["correlations"], 0.2)
    assert rules.misleading_stages(study, 1.0).size == N_STAGES
    factors["energy_error"] = np.where(np.arange(N_STAGES) < 3, 0.001, 0.1) / RAMP
    assert rules.misleading_stages(synthetic(factors), 1.0).tolist() == [0, 1, 2]


# --- verdicts, numbers, figures ---


def test_a_study_settles_every_claim_in_order():
    verdicts = error_measures_claims.settle(synthetic(SENSITIVE, noise=0.01), BOOK)
    assert tuple(verdict.id for verdict in verdicts) == error_measures_claims.CLAIMS
    for verdict in verdicts:
        assert (verdict.seeds, verdict.profile) == (10, "book")
        assert verdict.reason[0].isupper()
        assert verdict.reason.endswith(".")


def test_the_claims_are_those_of_the_catalogue(root):
    catalogue = {claim.id for claim in load_claims(root / "book" / "rbmbook" / "evidence" / "claims.toml")}
    assert set(error_measures_claims.CLAIMS) <= catalogue


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_hidden": 5}, "settled for n_hidden = 9; this run has 5"),
        ({"fields": [1.0]}, "needs h/J = 1 and 2; this run has 1"),
        ({"n_seeds": 4}, "needs at least 5 seeds; this run has 4"),
        ({"first_seed": 0}, "the rules were thought out on seeds below 10.*starts at seed 0"),
    ],
)
def test_a_run_that_cannot_settle_the_claims_decides_nothing_and_says_why(changes, reason):
    for verdict in error_measures_claims.settle(synthetic(), {**BOOK, **changes}):
        assert (verdict.verdict, verdict.value, verdict.interval) == ("not decided", None, None)
        assert re.match(reason, verdict.reason)


def test_every_number_that_the_chapter_quotes_is_there_for_any_run(results, root):
    numbers = error_measures_claims.numbers(results)
    text = (root / "notebooks" / "error_measures.md").read_text(encoding="utf-8")
    own = {"setting", *(f"{name}-verdict" for name in error_measures_claims.CLAIMS)}
    quoted = {part.split("`", 1)[0] for part in text.split("{glue:text}`")[1:]}
    assert quoted <= set(numbers) | own
    other = error_measures_claims.numbers(results.sel(field=[2.0]))
    assert other.keys() == numbers.keys()
    assert other["slopes-critical"] == "\u2013"


def test_figures_are_drawn_for_a_tiny_run(results):
    drawn = [
        figures.scatter(results),
        figures.rank_correlation_points(rules.correlations_by_stage(results)),
        figures.rise_curves(results, rules.EQUAL_SENSITIVITY),
        figures.growth_curves(results, rules.MISLEADING_LIMITS),
    ]
    assert [one.html.count("<svg") >= 2 for one in drawn] == [True] * 4


def test_correlations_by_stage_are_the_rules_own():
    study = synthetic({"mroe": varied(3.0, N_STAGES)}, noise=0.1)
    table = rules.correlations_by_stage(study)
    one = rules.interval(rules.rank_correlations(study, "late pruning", 2.0, "mroe"))
    at = partial(table.sel, field=2.0, time="late pruning", measure="mroe")
    assert (at().value.item(), at().low.item(), at().high.item()) == (one.value, one.low, one.high)
