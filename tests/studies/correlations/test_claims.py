"""Rules on Fig. 4: fits on curves whose decay is known, robustness and connectivity on machines made up for it."""

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import curve_fit

from rbmbook.evidence.curves import removed_at
from rbmbook.evidence.estimates import unpaired_difference
from rbmbook.studies.correlations import claims as correlations_claims
from rbmbook.studies.correlations import decay as correlations_rules
from rbmbook.studies.correlations.claims import CLAIMS, Evidence, settle
from rbmbook.studies.correlations.decay import (
    EXPONENTIAL,
    POWER_LAW,
    first_disconnected,
    fit_decay,
    last_common_stage,
    preference,
    retained,
    visible_pieces,
)
from rbmbook.studies.correlations.study import PROFILES, Study
from rbmbook.studies.ising.reference import MEASURES
from rbmlib.pruning import schedule
from rbmlib.quantum.free_fermions import correlation_from_center

N_SAMPLES = 100_000
BOOK = PROFILES["book"].parameters


def curve(n_spins, form, rate):
    distance = np.arange(n_spins // 2 + 1)
    with np.errstate(divide="ignore"):
        decay = distance**-rate if form == POWER_LAW else np.exp(-rate * (distance - 1.0))
    return np.where(distance == 0, 1.0, 0.7 * decay)


def noisy(values, rng):
    return values + rng.normal(size=values.shape) * correlations_rules.sampling_error(values, N_SAMPLES)


@pytest.mark.parametrize(
    ("form", "rate"), [(POWER_LAW, 0.25), (POWER_LAW, 1.6), (EXPONENTIAL, 0.05), (EXPONENTIAL, 0.9)]
)
def test_a_fit_finds_the_decay_that_made_the_curve(form, rate):
    found = fit_decay(curve(50, form, rate), N_SAMPLES, form, 12)
    assert found.amplitude == pytest.approx(0.7, rel=1e-5)
    assert found.rate == pytest.approx(rate, rel=1e-4)
    assert found.reduced_chi2 < 1e-4


def test_a_fit_is_the_one_that_a_general_least_squares_routine_finds():
    values = noisy(correlation_from_center(50, 1.0), np.random.default_rng(5))
    distance, sigma = np.arange(1, 13), correlations_rules.sampling_error(values[1:13], N_SAMPLES)
    for form, model in (
        (POWER_LAW, lambda d, a, r: a * d**-r),
        (EXPONENTIAL, lambda d, a, r: a * np.exp(-r * (d - 1.0))),
    ):
        (amplitude, rate), _ = curve_fit(model, distance, values[1:13], p0=(0.6, 0.2), sigma=sigma)
        found = fit_decay(values, N_SAMPLES, form, 12)
        assert (found.amplitude, found.rate) == pytest.approx((amplitude, rate), rel=1e-4)
        squares = (((values[1:13] - model(distance, amplitude, rate)) / sigma) ** 2).sum()
        assert found.chi2 == pytest.approx(squares, rel=1e-6)
        assert found.reduced_chi2 == pytest.approx(squares / 10, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_misfit_of_the_right_form_is_the_sampling_error(seed):
    rng = np.random.default_rng(seed)
    reduced = [
        fit_decay(noisy(curve(100, POWER_LAW, 0.3), rng), N_SAMPLES, POWER_LAW, 25).reduced_chi2
        for _ in range(40)
    ]
    # Mean of 40 chi2 with 23 degrees of freedom: standard error 0.047.
    assert np.mean(reduced) == pytest.approx(1, abs=0.25)


def test_the_preference_has_the_sign_of_the_form_that_made_the_curve():
    rng = np.random.default_rng(1)
    assert preference(noisy(curve(100, POWER_LAW, 0.3), rng), N_SAMPLES, 25) > 1
    assert preference(noisy(curve(100, EXPONENTIAL, 0.3), rng), N_SAMPLES, 25) < -1


def test_the_exact_chain_prefers_the_power_law_at_the_critical_point_and_the_exponential_in_the_paramagnet():
    for n_spins in (50, 100):
        assert preference(correlation_from_center(n_spins, 1.0), N_SAMPLES, n_spins // 4) > 0.5
        assert preference(correlation_from_center(n_spins, 2.0), N_SAMPLES, n_spins // 4) < -0.5
    # Up to N/3 and beyond, the open ends bend the curve until the preference is lost.
    assert preference(correlation_from_center(18, 1.0), N_SAMPLES, 7) < 0


def test_noise_alone_can_be_fitted():
    values = np.random.default_rng(3).normal(size=51) * 0.003
    for form in (POWER_LAW, EXPONENTIAL):
        assert np.isfinite(fit_decay(values, N_SAMPLES, form, 25).chi2)


@pytest.mark.parametrize(
    ("form", "last", "message"),
    [("linear", 5, "form must be"), (POWER_LAW, 2, "last must"), (POWER_LAW, 60, "last must")],
)
def test_a_fit_says_what_it_cannot_do(form, last, message):
    with pytest.raises(ValueError, match=message):
        fit_decay(curve(100, POWER_LAW, 1.0), N_SAMPLES, form, last)


def test_the_removed_share_is_interpolated_and_capped():
    removed = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    share = np.array(
        [
            [1.0, 1.0, 0.95, 0.85, 0.6],  # falls through 0.9 half way from 0.2 to 0.3
            [1.0, 0.88, 0.95, 0.94, 0.8],  # a dip of one stage is none; the last stage alone counts
            [1.0, 1.0, 1.0, 1.0, 0.97],
            [0.8, 0.7, 0.6, 0.5, 0.4],
        ]
    )
    np.testing.assert_allclose(removed_at(share, removed, 0.9), [0.25, 0.3 + 0.1 * 4 / 14, 0.4, 0.0])


def test_the_retained_share_is_a_mean_of_ratios():
    machines = made_up(18, 2, lambda stage: 0.1 * stage, rng=None)
    exact = correlation_from_center(18, 1.0)
    values = machines.correlation.sel(seed=1).values
    by_hand = [np.mean([values[stage, d] / exact[d] for d in range(1, 5)]) for stage in range(19)]
    np.testing.assert_allclose(retained(machines, 4, of_dense=False)[1], by_hand)
    np.testing.assert_allclose(retained(machines, 4)[1], np.array(by_hand) / by_hand[0])


def test_an_unpaired_difference_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = [
        found.low <= 1.0 <= found.high
        for found in (unpaired_difference(rng.normal(1, 1, 5), rng.normal(0, 3, 10)) for _ in range(2000))
    ]
    # Standard error 0.005; Welch's interval is slightly off its level.
    assert np.mean(hits) == pytest.approx(0.95, abs=0.03)
    assert unpaired_difference([1.0, 1.0], [0.5, 0.5]).interval == (0.5, 0.5)
    assert unpaired_difference([1.0], [0.5, 0.6]).interval == (-np.inf, np.inf)


def test_connectivity_is_read_off_the_components():
    pieces = np.array([[1, 1, 2, 3], [1, 1, 1, 1], [1, 2, 1, 2]])
    assert first_disconnected(pieces).tolist() == [2, 4, 1]
    removed = np.array([0.0, 0.1, 0.2, 0.3])
    assert correlations_rules.removed_when_disconnected(pieces, removed).tolist() == [0.2, 0.3, 0.1]
    whole = np.ones((3, 4), int)
    assert last_common_stage(whole, whole) == 3
    assert last_common_stage(np.repeat(pieces, 2, axis=0), whole) == 2
    weights = np.array([[1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]])
    assert visible_pieces(weights) == 2  # the third hidden unit is a piece without a visible unit


# --- verdicts -------------------------------------------------------------------------------------------------------


def made_up(
    n_spins, n_seeds, rate_at, rng, components=None, field=1.0, slopes=(1, 3, 2), steep=1.0, heavy=0.0
):
    """Machines whose exact correlation is damped by exp(-rate (d - 1)), the rate growing along the stages."""
    exact = correlation_from_center(n_spins, field)
    kept = schedule(n_spins * (n_spins // 2), 0.1, 18)
    removed = 1 - kept / kept[0]
    distance = np.maximum(np.arange(exact.size) - 1, 0)
    curves = np.array([exact * np.exp(-rate_at(stage) * distance) for stage in range(19)])
    curves = np.repeat(curves[None], n_seeds, axis=0)
    if rng is not None:
        curves = noisy(curves, rng)
    sampled = np.full((n_seeds, 19, len(MEASURES)), np.nan)
    jitter = np.zeros((n_seeds, 1)) if rng is None else 0.02 * rng.normal(size=(n_seeds, 1))
    names = list(MEASURES)
    for name, slope in zip(("energy_error", "order_error", "correlation_mse_exact"), slopes, strict=True):
        values = 0.01 + (1 + jitter) * 0.01 * slope * removed
        sampled[..., names.index(name)] = values**2 * (exact**2).mean() if name.startswith("corr") else values
    for name in ("eroe", "mroe", "correlation_mse"):
        sampled[..., names.index(name)] = 0.01 * 10 ** (jitter + steep * removed)
    pieces = np.ones((n_seeds, 19), int) if components is None else np.broadcast_to(components, (n_seeds, 19))
    return xr.Dataset(
        {
            "correlation": (("seed", "stage", "distance"), curves),
            "sampled": (("seed", "stage", "measure"), sampled),
            "components": (("seed", "stage"), pieces),
            "exact_correlation": (("seed", "distance"), np.repeat(exact[None], n_seeds, axis=0)),
            "removed": ("stage", removed),
        },
        {"seed": range(n_seeds), "measure": names},
    )


def falling_apart(stage):
    return np.where(np.arange(19) >= stage, 2, 1)


def as_in_the_paper(seed=0, **changes):
    rng = np.random.default_rng(seed)
    rates = {18: 0.06, 50: 0.0008, 100: 0.0002}
    pieces = {18: falling_apart(9), 50: falling_apart(16), 100: falling_apart(18)}
    options = {n: {"components": pieces[n], **changes.get(f"at_{n}", {})} for n in rates}
    machines = {}
    for n, seeds in ((18, 10), (50, 5), (100, 5)):
        late = options[n].pop("late", 9 if n == 18 else 14)
        rate = options[n].pop("rate", rates[n])

        def grows(stage, late=late, rate=rate, n=n):
            return rate * max(stage - late + 4, 0) ** 2 * (1 if stage < 18 else 6)

        machines[n, 1.0] = made_up(n, seeds, grows, rng, **options[n])
        machines[n, 2.0] = made_up(n, max(3, seeds - 2), lambda stage: 0.0, rng, field=2.0)
    return Study(machines, {}, {})


def shown(study, name):
    found = correlations_claims.RULES[name].find(Evidence(study, BOOK))
    return found.estimate, found.text


def test_every_claim_gets_one_verdict_with_its_evidence():
    found = settle(as_in_the_paper(), BOOK)
    assert [one.id for one in found] == list(CLAIMS)
    for one in found:
        assert one.value is not None
        assert one.reason.endswith(".")
        assert one.profile == "book"
    assert [one.seeds for one in found] == [5, 5, 5, 3]


def decided(study, name):
    return correlations_claims.RULES[name].find(Evidence(study, BOOK)).outcome


def test_curves_that_turn_exponential_reproduce_the_claim_and_curves_that_stay_do_not():
    name = "A4.algebraic-to-exponential"
    assert decided(as_in_the_paper(), name) == "reproduced"
    stayed = as_in_the_paper(at_50={"rate": 0.0}, at_100={"rate": 0.0})
    assert decided(stayed, name) == "not reproduced"  # that dense machines prefer the power law is a premise
    found, text = shown(stayed, name)
    assert found.value > 0
    assert "N = 18" in text


def test_a_length_whose_exact_curve_is_exponential_decides_nothing():
    study = as_in_the_paper()
    for n in (50, 100):
        study.machines[n, 1.0] = made_up(n, 5, lambda stage: 0.0, np.random.default_rng(0), field=2.0)
    assert decided(study, "A4.algebraic-to-exponential") == "not decided"


def test_robustness_that_grows_with_the_length_is_told_from_one_that_falls_or_stays():
    name = "A4.larger-is-more-robust"
    assert decided(as_in_the_paper(), name) == "reproduced"
    found, _ = shown(as_in_the_paper(), name)
    assert 0 < found.low <= found.value <= found.high
    sturdy = as_in_the_paper(at_18={"rate": 0.0})
    assert decided(sturdy, name) == "reproduced in part"  # it does grow from 50 to 100
    assert shown(sturdy, name)[0].high < 0


def test_lengths_that_both_outlast_the_pruning_cannot_be_told_apart_however_their_weights_are_rounded():
    still = {"rate": 0.0, "components": np.ones(19, int)}
    study = as_in_the_paper(at_50=dict(still), at_100=dict(still))
    parts = correlations_claims.robustness_parts(
        study, 0.5, correlations_rules.largest_distance, of_dense=True
    )
    assert [part.mark for part in parts] == ["holds", "open"]
    assert parts[1].told == "50 to 100 at 0.5 unknown"
    earlier, *_ = correlations_claims.connectivity_parts(study, 50, 100)
    assert (earlier.mark, earlier.premise) == ("open", True)
    # The smaller falls apart in the very last iteration, the larger not at all: later by one at least.
    last = as_in_the_paper(at_18={"components": falling_apart(18)}, at_50=dict(still))
    earlier, *_ = correlations_claims.connectivity_parts(last, 18, 50)
    assert (earlier.mark, earlier.estimate.interval) == ("holds", (1.0, 1.0))
    for name in ("A4.larger-is-more-robust", "A4.connectivity-is-why"):
        assert np.isfinite(shown(study, name)[0].value)


def test_connectivity_explains_only_what_goes_away_with_the_broken_graphs():
    name = "A4.connectivity-is-why"
    # Undamaged while in one piece, and nothing left after.
    fates = {18: 9, 50: 13, 100: 18}
    rng = np.random.default_rng(4)
    machines = {
        (n, 1.0): made_up(
            n, 6, lambda stage, at=at: 3.0 if stage >= at else 0.0, rng, components=falling_apart(at)
        )
        for n, at in fates.items()
    }
    explained = [
        correlations_claims.connectivity_parts(Study(machines, {}, {}), *pair)
        for pair in correlations_claims.PAIRS
    ]
    assert {one.mark for *pair, _ in explained for one in pair} == {"holds"}
    # In one piece to the end, and yet damaged at one length.
    machines[18, 1.0] = made_up(18, 6, lambda stage: 0.1 * stage, rng)
    earlier, gone, _ = correlations_claims.connectivity_parts(Study(machines, {}, {}), 18, 50)
    assert earlier.mark == "fails"
    assert gone.mark == "fails"
    # No difference, nothing to explain.
    machines[18, 1.0] = machines[50, 1.0] = made_up(50, 6, lambda stage: 0.0, rng)
    _, gone, told = correlations_claims.connectivity_parts(Study(machines, {}, {}), 18, 50)
    assert gone.mark == "open"
    assert "too little to explain" in told
    assert decided(as_in_the_paper(), name) in ("reproduced in part", "not reproduced")


def test_lengths_are_alike_if_order_and_curves_agree():
    name = "A2.size-independent"
    assert decided(as_in_the_paper(), name) == "reproduced"
    steep = as_in_the_paper(at_100={"steep": 3.0})
    assert decided(steep, name) == "reproduced in part"
    reordered = as_in_the_paper(at_50={"slopes": (3, 1, 2)})
    assert decided(reordered, name) == "reproduced in part"
    marks = [
        part.mark
        for part in correlations_claims.order_parts(reordered, 1.0)
        + correlations_claims.order_parts(reordered, 2.0)
    ]
    assert (marks.count("holds"), len(marks)) == (9, 12)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n_spins": [18, 50]}, "needs N = 18, 50 and 100"),
        ({"field": [1.0]}, "needs h/J = 1 and 2"),
        ({"hidden_per_visible": 1.0}, "settled for hidden_per_visible = 0.5"),
        ({"n_iterations": 10}, "settled for n_iterations = 18"),
        ({"large_seeds": [4, 3]}, "needs at least 5 seeds at N = 50"),
        ({"large_seeds": [5, 2]}, "needs at least 3 seeds at N = 50, h/J = 2"),
        ({"small_seeds": 4}, "needs at least 5 seeds at N = 18"),
    ],
)
def test_a_run_at_other_settings_decides_nothing_and_says_why(change, reason):
    for one in settle(as_in_the_paper(), {**BOOK, **change}):
        assert one.verdict == "not decided"
        assert one.reason.startswith(reason)
        assert one.value is None
