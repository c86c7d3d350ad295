"""The rules on synthetic curves: every verdict that each of them can reach."""

import re

import numpy as np
import pytest
import xarray as xr

from rbmbook.evidence.curves import onsets
from rbmbook.studies.ising.reference import MEASURES
from rbmbook.studies.ising.standard import PLOTTED
from rbmbook.studies.tfim_pruning import claims, rules
from rbmbook.studies.tfim_pruning.study import PROFILES, Study
from rbmlib.pruning import schedule

KEPT = schedule(162, 0.1, 18)
REMOVED = 1 - KEPT / 162
N_SEEDS, N_STAGES = 10, 19
# Equal steps with mean zero over the seeds, and a pattern of both signs.
SPREAD = np.linspace(-1, 1, N_SEEDS)
SIGNS = np.array([-1, 1] * 5)
BOOK = dict(PROFILES["book"].parameters)


def step(stage, height):
    """A factor 1 that becomes ``height`` from a stage on."""
    return np.where(np.arange(N_STAGES) >= stage, height, 1.0)


def scattered(stages, mean, amplitude):
    """A factor 1 except at some stages, where it differs from seed to seed: (seed, stage)."""
    factor = np.ones((N_SEEDS, N_STAGES))
    factor[:, stages] = (mean + amplitude * SIGNS)[:, None]
    return factor


def curves(shapes=None, noise=0.02, by_value=False, scales=None):
    """Curves that are 1 everywhere, with ``noise`` over seeds, times the factors given for (field, measure) or for a measure."""
    values = np.ones((2, N_SEEDS, N_STAGES, len(MEASURES)))
    values *= (1 + noise * SPREAD)[None, :, None, None]
    array = xr.DataArray(
        values,
        dims=("field", "seed", "stage", "measure"),
        coords={
            "field": [1.0, 2.0],
            "seed": range(N_SEEDS),
            "stage": range(N_STAGES),
            "measure": list(MEASURES),
        },
    )
    for key, factor in (shapes or {}).items():
        field, measure = key if isinstance(key, tuple) else (slice(None), key)
        at = array.sel(field=field, measure=measure)
        array.loc[{"field": field, "measure": measure}] = at * np.broadcast_to(factor, (N_SEEDS, N_STAGES))
    return rules.Curves(array, REMOVED, scales or {1.0: 1.0, 2.0: 1.0}, by_value)


def everywhere(factor, measures=PLOTTED):
    return dict.fromkeys(measures, factor)


# --- onsets ---

STAGE_27, STAGE_77 = 3, 14  # 27 % and 77 % removed


def test_an_onset_is_the_first_of_two_stages_in_a_row_above_the_threshold():
    values = np.ones((2, 6, 3)) + np.array([0.0, 0.001])[:, None, None]
    values[:, 2, 0] = 5.0  # once only
    values[:, 4:, 0] = 5.0
    values[:, 1:, 1] = 1.7
    removed = np.linspace(0, 0.5, 6)
    assert onsets(values, removed).tolist() == [0.4, 0.1, 1.0]
    assert onsets(values, removed, "1.5x").tolist() == [0.4, 0.1, 1.0]
    assert onsets(values, removed, "2x").tolist() == [0.4, 1.0, 1.0]
    assert onsets(values, removed, dense_sd=np.array([10.0, 0.0, 0.0])).tolist() == [1.0, 0.1, 1.0]


def test_a_rise_at_the_last_stage_alone_is_no_onset():
    values = np.ones((2, 6, 1)) + np.array([0.0, 0.001])[:, None, None]
    values[:, 5] = 9.0
    assert onsets(values, np.linspace(0, 0.5, 6)).tolist() == [1.0]


# A rise by two standard deviations that half of the seeds have: resampled means fall on either side.
UNSURE = 1 + 2 * 0.02 * SPREAD.std(ddof=1)
ONSETS = {
    "reproduced": everywhere(step(STAGE_27, 3.0)),
    "not reproduced": everywhere(step(1, 3.0)),
    "reproduced in part": {**everywhere(step(STAGE_27, 3.0)), "kl": 1.0},
    "not decided": everywhere(scattered([3, 4, 5, 6, 7], UNSURE, 0.2) * step(8, 3.0)),
}


@pytest.mark.parametrize(("outcome", "shapes"), ONSETS.items())
def test_onsets_near_the_claimed_share_settle_the_claim(outcome, shapes):
    found = rules.onset_rule(curves(shapes), 1.0, 0.25)
    assert found.outcome == outcome
    assert found.interval[0] <= found.value <= found.interval[1]
    assert "above dense + 2 SD" in found.text


def test_onsets_are_judged_at_the_field_that_is_asked_for():
    shapes = {(1.0, name): step(STAGE_27, 3.0) for name in PLOTTED}
    shapes |= {(2.0, name): step(STAGE_77, 3.0) for name in PLOTTED}
    found = curves(shapes)
    assert rules.onset_rule(found, 1.0, 0.25).outcome == "reproduced"
    assert rules.onset_rule(found, 2.0, 0.75).outcome == "reproduced"
    assert rules.onset_rule(found, 2.0, 0.25).outcome == "not reproduced"
    never = rules.onset_rule(curves(), 2.0, 0.75)
    assert (never.value, never.outcome) == (1.0, "not reproduced")
    assert never.parts[0].told == "KL 100 %"


def test_judged_by_value_alone_nothing_is_open():
    found = rules.onset_rule(curves(ONSETS["not decided"], by_value=True), 1.0, 0.25)
    assert found.outcome != "not decided"
    assert found.interval == (found.value, found.value)


# --- sizes of the damage ---

SMALL = {
    "reproduced": {"mroe": step(1, 2.0)},
    "not reproduced": everywhere(step(1, 1.2)),
    "reproduced in part": {"mroe": step(2, 2.0)},
    "not decided": {"eroe": scattered([1, 2], 1.5, 0.5)},
}


@pytest.mark.parametrize(("outcome", "shapes"), SMALL.items())
def test_growth_at_the_first_two_steps_settles_whether_little_pruning_hurts(outcome, shapes):
    assert rules.small_amount_rule(curves(shapes)).outcome == outcome


def test_only_physical_measures_at_the_critical_point_count_as_hurt():
    assert rules.small_amount_rule(curves({"kl": step(1, 9.0)})).outcome == "not reproduced"
    assert rules.small_amount_rule(curves({(2.0, "mroe"): step(1, 9.0)})).outcome == "not reproduced"


HALF = {
    "reproduced": everywhere(step(1, 1.3)),
    "not reproduced": everywhere(step(7, 2.0)),
    "reproduced in part": {"kl": step(7, 2.0)},
    "not decided": everywhere(scattered([7], 1.5, 0.4)),
}


@pytest.mark.parametrize(("outcome", "shapes"), HALF.items())
def test_the_change_at_half_settles_whether_half_can_go(outcome, shapes):
    found = rules.half_rule(curves(shapes))
    assert found.outcome == outcome
    assert found.text.startswith("at 52 % removed")


def test_at_half_a_fall_counts_as_a_change_too():
    assert rules.half_rule(curves(everywhere(step(7, 0.3)))).outcome == "not reproduced"


# --- sensitivities ---


def rising(slope):
    """1 + slope * removed; a slope for each seed makes (seed, stage)."""
    return 1 + np.multiply.outer(slope, REMOVED)


FLAT = {"energy_error": rising(0.1), "correlation_mse_exact": rising(0.5) ** 2, "order_error": rising(2.0)}
ORDER_FIRST = {
    "reproduced": {**FLAT, "mroe": step(1, 1.1)},
    "not reproduced": {**FLAT, "order_error": rising(0.0), "mroe": step(1, 0.9)},
    "reproduced in part": {**FLAT, "mroe": step(1, 0.9)},
    "not decided": {
        "energy_error": rising(1.0 * SIGNS), "order_error": rising(0.0), "correlation_mse_exact": rising(1.0 * SIGNS) ** 2,
        "mroe": scattered(slice(1, None), 1.0, 0.1),
    },
}  # fmt: skip


def test_slopes_are_those_of_the_relative_errors():
    found = curves(FLAT, noise=0.0, scales={1.0: 0.5}).slopes(1.0)
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(found, (N_SEEDS,))
    np.testing.assert_allclose(found["energy"], 0.1)
    np.testing.assert_allclose(found["order"], 2.0)
    np.testing.assert_allclose(found["correlation"], 1.0)


@pytest.mark.parametrize(("outcome", "shapes"), ORDER_FIRST.items())
def test_slopes_and_the_first_step_settle_whether_the_order_parameter_breaks_first(outcome, shapes):
    assert rules.order_first_rule(curves(shapes, noise=0.0)).outcome == outcome


ENERGY_LEAST = {
    "reproduced": FLAT,
    "not reproduced": {**FLAT, "energy_error": rising(5.0)},
    "reproduced in part": {**FLAT, (2.0, "order_error"): 1 / rising(2.0)},
    "not decided": {**ORDER_FIRST["not decided"]},
}


@pytest.mark.parametrize(("outcome", "shapes"), ENERGY_LEAST.items())
def test_slopes_at_both_fields_settle_whether_the_energy_is_least_sensitive(outcome, shapes):
    assert rules.energy_least_rule(curves(shapes, noise=0.0)).outcome == outcome


# --- training ---

EPOCHS = np.arange(5, 1501, 5)


def training(early=0.0, measures=PLOTTED):
    """Values 1 + 0.1 SPREAD over seeds at late epochs; ``early`` late standard deviations are added up to epoch 500."""
    values = np.ones((2, N_SEEDS, EPOCHS.size, len(MEASURES))) + 0.1 * SPREAD[:, None, None]
    sd = 0.1 * SPREAD.std(ddof=1)
    chosen = [list(MEASURES).index(name) for name in measures]
    added = np.zeros_like(values)
    added[..., chosen] = (np.broadcast_to(early, N_SEEDS) * sd)[None, :, None, None]
    values += added * (EPOCHS <= 500)[:, None]
    return xr.DataArray(
        values,
        dims=("field", "seed", "epoch", "measure"),
        coords={"field": [1.0, 2.0], "seed": range(N_SEEDS), "epoch": EPOCHS, "measure": list(MEASURES)},
    )


CONVERGED = {
    "reproduced": training(1.5),
    "not reproduced": training(8.0),
    "reproduced in part": training(8.0, ["kl"]),
    "not decided": training(4.0 + 4.0 * SIGNS),
}


@pytest.mark.parametrize(("outcome", "values"), CONVERGED.items())
def test_early_and_late_averages_settle_whether_training_has_converged(outcome, values):
    found = rules.converged_rule(values)
    assert found.outcome == outcome
    assert "1200-1500" in found.text


def test_epochs_after_the_five_hundredth_and_before_the_last_three_hundred_do_not_count():
    values = training()
    values.loc[{"epoch": slice(505, 1195)}] = 1e6
    values.loc[{"epoch": slice(5, 395)}] = 1e6
    assert rules.converged_rule(values).outcome == "reproduced"


# --- whole studies ---


def synthetic_study(shapes=None, *, kept=KEPT, last_components=2, convergence=None, checks=None):
    values = curves(shapes).values
    both = xr.concat([values, values], dim=xr.DataArray(["cd", "exact"], dims="algorithm", name="algorithm"))
    components = np.ones((2, 2, N_SEEDS, N_STAGES), int)
    components[..., 18] = last_components
    dims = ("algorithm", "field", "seed")
    dataset = xr.Dataset(
        {
            "pruning": both,
            "components": ((*dims, "stage"), components),
            "exact_correlation": ((*dims, "distance"), np.ones((2, 2, N_SEEDS, 10))),
            "weights": (
                (*dims, "stage", "visible", "hidden"),
                np.zeros((2, 2, N_SEEDS, N_STAGES, 18, 9), np.float32),
            ),
            "kept": ("stage", kept),
            "removed": ("stage", 1 - kept / kept[0]),
        }
    )
    return Study(dataset, convergence, checks)


def settled(study, **changes):
    return {verdict.id: verdict for verdict in claims.settle(study, {**BOOK, **changes})}


def long_runs():
    runs = [training(1.5), training(8.0), training(8.0)]
    runs[1] = runs[1].where(runs[1].seed < 3)
    rate = xr.DataArray(["constant 0.05", "constant 0.01", "decayed"], dims="rate", name="rate")
    return xr.concat(runs, dim=rate).to_dataset(name="training")


def test_a_study_settles_every_claim_in_order_and_says_what_it_rests_on():
    shapes = {(1.0, name): step(STAGE_27, 3.0) for name in PLOTTED}
    shapes |= {(2.0, name): step(STAGE_77, 3.0) for name in PLOTTED}
    verdicts = claims.settle(synthetic_study(shapes, convergence=long_runs()), BOOK)
    assert tuple(verdict.id for verdict in verdicts) == claims.CLAIMS
    outcomes = {verdict.id: verdict.verdict for verdict in verdicts}
    for name in (
        "A2.pm-75",
        "A2.qcp-25",
        "A2.half-pm",
        "A2.disconnect-18",
        "A2.schedule",
        "A2.converged-by-500",
    ):
        assert outcomes[name] == "reproduced"
    assert outcomes["A2.small-amount-hurts"] == "not reproduced"
    for verdict in verdicts:
        assert (verdict.seeds, verdict.profile) == (10, "book")
        assert verdict.reason[0].isupper()
        assert verdict.reason.endswith(".")
        assert verdict.value is not None
    reasons = {verdict.id: verdict.reason for verdict in verdicts}
    assert "Exact gradient: reproduced" in reasons["A2.pm-75"]
    assert "Constant 0.01 rate: not reproduced, at most KL at h/J = 1 1.5" in reasons["A2.converged-by-500"]
    assert "27.2 %" in reasons["A2.qcp-25"]


def test_the_claims_are_those_of_the_catalogue(root):
    from rbmbook.evidence.claims import load_claims

    catalogue = {claim.id for claim in load_claims(root / "book" / "rbmbook" / "evidence" / "claims.toml")}
    assert set(claims.CLAIMS) <= catalogue


def test_other_choices_that_disagree_are_named():
    shapes = {(2.0, name): step(STAGE_77, 3.0) for name in PLOTTED}
    agreeing, differing = curves(shapes).values, curves().values
    few = [agreeing.where(agreeing.seed < 3), differing.where(differing.seed < 3)]
    variants = xr.DataArray(["CD-1", "exact, 10x penalty"], dims="variant", name="variant")
    checks = xr.concat(few, dim=variants).to_dataset(name="pruning").assign(removed=("stage", REMOVED))
    reason = settled(synthetic_study(shapes, checks=checks))["A2.pm-75"].reason
    assert "this is reproduced, as under 1 of 2 other choices; " in reason
    assert reason.endswith("; not reproduced under 'exact, 10x penalty'.")


def test_without_long_runs_convergence_is_not_decided():
    verdict = settled(synthetic_study())["A2.converged-by-500"]
    assert (verdict.verdict, verdict.value) == ("not decided", None)
    assert "1,500 epochs" in verdict.reason
    short = long_runs().sel(epoch=slice(0, 1000))
    assert settled(synthetic_study(convergence=short))["A2.converged-by-500"].verdict == "not decided"


def test_another_schedule_than_the_tables_is_not_reproduced():
    other = KEPT.copy()
    other[5] += 3
    assert settled(synthetic_study())["A2.schedule"].verdict == "reproduced"
    assert settled(synthetic_study(kept=other))["A2.schedule"].verdict == "not reproduced"


def test_graphs_that_hold_together_at_the_last_iteration_contradict_the_claim():
    assert settled(synthetic_study())["A2.disconnect-18"].value == 18
    assert settled(synthetic_study(last_components=1))["A2.disconnect-18"].verdict == "not reproduced"
    more = KEPT.copy()
    more[18] = 26
    assert settled(synthetic_study(kept=more))["A2.disconnect-18"].verdict == "not reproduced"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_spins": 10}, "settled for n_spins = 18; this run has 10"),
        ({"n_hidden": 5}, "settled for n_hidden = 9; this run has 5"),
        ({"prune_fraction": 0.2}, r"settled for prune_fraction = 0\.1; this run has 0\.2"),
        ({"n_iterations": 4}, "settled for n_iterations = 18; this run has 4"),
        ({"fields": [1.0, 3.0]}, "needs h/J = 1 and 2; this run has 1, 3"),
        ({"algorithms": ["exact"]}, "contrastive divergence decides, and this run leaves it out"),
        ({"n_seeds": 4, "check_seeds": 3}, "needs at least 5 seeds; this run has 4"),
    ],
)
def test_a_run_that_cannot_settle_the_claims_decides_nothing_and_says_why(changes, reason):
    verdicts = claims.settle(synthetic_study(), {**BOOK, **changes})
    assert tuple(verdict.id for verdict in verdicts) == claims.CLAIMS
    for verdict in verdicts:
        assert (verdict.verdict, verdict.value, verdict.interval) == ("not decided", None, None)
        assert verdict.profile.startswith("book, modified")
    assert re.search(reason, verdicts[0].reason)


def test_more_fields_and_tuples_are_no_objection():
    assert settled(synthetic_study(), fields=(2.0, 1.0))["A2.schedule"].verdict == "reproduced"


def test_convergence_at_a_rate_with_one_seed_decides_nothing():
    epochs = [400, 450, 500, 1200, 1400, 1500]
    training = xr.DataArray(
        np.ones((2, 1, len(epochs), len(PLOTTED))),
        dims=("field", "seed", "epoch", "measure"),
        coords={"field": [1.0, 2.0], "seed": [0], "epoch": epochs, "measure": list(PLOTTED)},
    )
    assert rules.converged_rule(training).outcome == "not decided"
