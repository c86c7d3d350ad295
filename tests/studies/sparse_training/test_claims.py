"""The rules on synthetic errors and weights: every verdict that each of them can reach."""

import re

import numpy as np
import pytest
import xarray as xr

from rbmbook.studies.ising.reference import MEASURES
from rbmbook.studies.sparse_training import claims, cluster_rules, rules
from rbmbook.studies.sparse_training.study import PROFILES, Study, shuffled, variants

BOOK = dict(PROFILES["book"].parameters)
VARIANTS = list(variants(BOOK))
SEEDS = 10
EPOCHS = np.array([1, *range(5, 705, 5)])
SIGNS = np.array([-1, 1] * 5)
# Seeds differ a little, in a pattern that no difference between variants follows.
LEVELS = 1 + 0.02 * np.linspace(-1, 1, SEEDS)
OPEN = 1 + 0.9 * SIGNS  # as often well below as well above


def errors(factors=None, by_value=False):
    """Errors of 1 everywhere, times the factors given for (variant, field, measure), None standing for all."""
    shape = (len(VARIANTS), 2, SEEDS, len(MEASURES))
    final = xr.DataArray(
        np.ones(shape) * LEVELS[:, None],
        dims=("variant", "field", "seed", "measure"),
        coords={"variant": VARIANTS, "field": [1.0, 2.0], "seed": range(SEEDS), "measure": list(MEASURES)},
    )
    # Pairs that are equal to the last bit have no interval.
    final = final * (1 + 0.001 * np.random.default_rng(0).normal(size=shape))
    for (variant, field, measure), factor in (factors or {}).items():
        where = {
            "variant": slice(None) if variant is None else variant,
            "field": slice(None) if field is None else field,
            "measure": slice(None) if measure is None else measure,
        }
        by_seed = xr.DataArray(np.broadcast_to(factor, SEEDS), dims="seed")
        final.loc[where] = final.loc[where] * by_seed
    return rules.Errors(final, by_value)


def everywhere(names, factor):
    return {(name, None, None): factor for name in names}


SPARSE = {(name, None, None): 1.0 for name in rules.SPARSE}
CASES = {
    rules.trainable_rule: {
        "reproduced": {},
        "reproduced in part": {("sc", None, "kl"): 3.0},
        "not reproduced": everywhere(rules.SPARSE, 2.0),
        "not decided": everywhere(rules.SPARSE, 1.5 + 0.4 * SIGNS),
    },
    rules.ss_best_rule: {
        "reproduced": everywhere(["ss"], 0.8),
        "reproduced in part": {("ss", None, "kl"): 0.8, ("ss", None, "mroe"): 1.2},
        "not reproduced": everywhere(["sc"], 0.8),
        "not decided": everywhere(["ss"], OPEN),
    },
    rules.none_beats_pruned_rule: {
        "reproduced": {**everywhere(["os", "sc"], 1.5), **everywhere(["ss"], 1.1)},
        "reproduced in part": {**everywhere(rules.SPARSE, 1.1), ("os", None, "kl"): 0.9},
        "not reproduced": {**everywhere(rules.SPARSE, 1.1), ("sc", None, None): 0.9},
        "not decided": {**everywhere(rules.SPARSE, 1.1), ("os", None, None): OPEN},
    },
    rules.worst_differs_rule: {
        "reproduced": {("os", 2.0, None): 1.5, ("sc", 1.0, None): 1.5},
        "reproduced in part": {("os", 2.0, None): 1.5, ("os", 1.0, None): 1.5},
        "not reproduced": {("sc", 2.0, None): 1.5, ("os", 1.0, None): 1.5},
        "not decided": everywhere(["os", "sc"], OPEN),
    },
    rules.ad_hoc_rule: {
        "reproduced": everywhere(["sc", "sc 1"], 2.0),
        "reproduced in part": {("sc", 1.0, None): 2.0, ("sc 2", 1.0, None): 2.0},
        "not reproduced": everywhere(["sc 2"], 2.0),
        "not decided": everywhere(["sc", "sc 1"], 1.5 + 0.4 * SIGNS),
    },
    rules.transfer_rule: {
        "reproduced": everywhere(["random"], 2.0),
        "reproduced in part": {("random", 1.0, None): 2.0, ("random", 2.0, None): 0.5},
        "not reproduced": everywhere(["random"], 0.5),
        "not decided": everywhere(["random"], OPEN),
    },
    rules.initial_conditions_rule: {
        "reproduced": {**everywhere(["other weights"], np.exp(0.5 * SIGNS)), **everywhere(["repeat"], np.exp(0.05 * SIGNS))},
        "reproduced in part": {
            ("other weights", 1.0, None): np.exp(0.5 * SIGNS), ("repeat", None, None): np.exp(0.05 * SIGNS),
        },
        "not reproduced": {**everywhere(["other weights"], np.exp(0.05 * SIGNS)), **everywhere(["repeat"], np.exp(0.05 * SIGNS))},
        "not decided": {
            **everywhere(["other weights"], np.exp(0.3 * SIGNS * [0.2, 0.2, 3, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2])),
            **everywhere(["repeat"], np.exp(0.1 * SIGNS)),
        },
    },
    cluster_rules.breaking_rule: {
        "reproduced": {(shuffled(share), None, None): 1 + share for share in (0.25, 0.5, 0.75, 1.0)},
        "reproduced in part": {
            **{(shuffled(share), 1.0, None): 1 + share for share in (0.25, 0.5, 0.75, 1.0)},
            **{(shuffled(share), 2.0, None): 3.0 for share in (0.25, 0.5, 0.75, 1.0)},
        },
        "not reproduced": {(shuffled(share), None, None): 3.0 for share in (0.25, 0.5, 0.75, 1.0)},
        "not decided": {
            (shuffled(share), None, None): factor
            for share, factor in ((0.25, 1.5 + 0.2 * SIGNS), (0.5, 1.6), (0.75, 1.8), (1.0, 2.0))
        },
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "outcome", "factors"),
    [(rule, outcome, factors) for rule, each in CASES.items() for outcome, factors in each.items()],
    ids=lambda value: value.__name__ if callable(value) else value if isinstance(value, str) else "",
)
def test_errors_settle_each_claim(rule, outcome, factors):
    found = rule(errors(factors))
    assert found.outcome == outcome
    assert found.interval[0] <= found.value <= found.interval[1]
    assert found.text


@pytest.mark.parametrize(
    "rule", [rules.trainable_rule, rules.ss_best_rule, rules.none_beats_pruned_rule, rules.worst_differs_rule]
)
def test_judged_by_value_alone_nothing_is_open(rule):
    factors = {
        (name, None, None): 1 + 0.3 * SIGNS + shift
        for name, shift in (("ss", 0.1), ("os", 0.2), ("sc", -0.1))
    }
    found = rule(errors(factors, by_value=True))
    assert found.outcome != "not decided"
    assert found.interval == (found.value, found.value)


def test_differences_are_in_units_of_the_mean_dense_error_over_the_seeds_that_both_have():
    found = errors({("ss", None, None): 2.0, (None, None, None): 7.0})
    assert found.difference(1.0, "kl", "ss", "pruned").value == pytest.approx(1.0, abs=0.01)
    found.final.loc[{"variant": "sc 1", "seed": slice(5, None)}] = np.nan
    first, second = found.of(1.0, "kl", "ss", "sc 1")
    assert len(first) == len(second) == 5


def test_the_spread_over_initial_weights_is_that_of_two_draws():
    rng = np.random.default_rng(1)
    weights, repetitions = (np.exp(width * rng.normal(size=(2, SEEDS))) for width in (0.3, 0.1))
    factors = {("other weights", 1.0, None): weights[0] / weights[1], ("repeat", 1.0, None): repetitions[0]}
    ratio, spread = rules.scatter(errors(factors), 1.0).value
    expected = np.sqrt((np.log(weights[0] / weights[1]) ** 2).mean() / 2)
    assert spread == pytest.approx(expected, rel=0.02)
    assert ratio == pytest.approx(expected / np.sqrt((np.log(repetitions[0]) ** 2).mean() / 2), rel=0.05)


# --- speed ---


def plain_epochs_to(values, epochs, level):
    """One history, epoch by epoch."""
    for end in epochs:
        window = [
            value for value, epoch in zip(values, epochs, strict=True) if end - rules.SMOOTHING < epoch <= end
        ]
        if end >= rules.SMOOTHING and sum(window) / len(window) <= level:
            return float(end)
    return float(epochs[-1])


def test_the_epoch_at_which_a_level_is_reached_is_that_of_a_plain_search():
    rng = np.random.default_rng(2)
    epochs = EPOCHS[EPOCHS <= 500]
    values = 1 + 10 * np.exp(-epochs / rng.uniform(20, 200, (6, 1))) + rng.normal(0, 0.3, (6, len(epochs)))
    history = xr.DataArray(values, dims=("seed", "epoch"), coords={"epoch": epochs})
    level = np.array([1.1, 1.5, 2.0, 3.0, 0.1, 100.0])
    expected = [plain_epochs_to(one, epochs, each) for one, each in zip(values, level, strict=True)]
    np.testing.assert_array_equal(rules.epochs_to(history, level), expected)
    assert expected[4:] == [500.0, 50.0]


def histories(times, noise=1.0):
    """Training that falls exponentially to 1: times by (variant, field), scattered over seeds."""
    times = {
        (variant, field): times.get((variant, field), times.get(variant, 60.0))
        for variant in VARIANTS
        for field in (1.0, 2.0)
    }
    scatter = noise * np.random.default_rng(3).normal(size=(len(times), SEEDS))
    values = np.array(
        [
            1 + 20 * np.exp(-EPOCHS / (time + one[:, None]))
            for time, one in zip(times.values(), scatter, strict=True)
        ]
    )
    array = xr.DataArray(
        values.reshape(len(VARIANTS), 2, SEEDS, len(EPOCHS), 1),
        dims=("variant", "field", "seed", "epoch", "measure"),
        coords={
            "variant": VARIANTS,
            "field": [1.0, 2.0],
            "seed": range(SEEDS),
            "epoch": EPOCHS,
            "measure": ["kl"],
        },
    )
    array.loc[{"variant": [name for name in VARIANTS if name != "pruned"], "epoch": EPOCHS[EPOCHS > 500]}] = (
        np.nan
    )
    array.loc[{"variant": "pruned", "epoch": EPOCHS[EPOCHS <= 500]}] = np.nan
    return array, array.isel(epoch=0, drop=True) * 0 + 1.0


@pytest.mark.parametrize(
    ("outcome", "times"),
    [
        ("reproduced", {"ss": 30.0}),
        ("reproduced in part", {("ss", 1.0): 30.0, ("ss", 2.0): 90.0}),
        ("not reproduced", {"os": 30.0}),
        ("not decided", {}),
    ],
)
def test_speeds_settle_whether_the_same_seed_is_fastest(outcome, times):
    training, final = histories(times, noise=4.0)
    found = rules.fastest_rule(training, final)
    assert found.outcome == outcome
    assert "to dense value" in found.text or "to own value" in found.text


# --- clusters ---


def machines(n_clusters=1, size=3, seeds=SEEDS, n_visible=18, n_hidden=9, seed=4):
    """Weights (seed, visible, hidden) with planted clusters, apart from one another."""
    weights = np.random.default_rng(seed).normal(0, 0.01, (seeds, n_visible, n_hidden))
    for hidden in range(n_hidden):
        for cluster in range(n_clusters):
            start = 1 + cluster * (size + 2)
            weights[:, start : start + size, hidden] = 1.0
    return xr.DataArray(weights, dims=("seed", "visible", "hidden"), coords={"seed": range(seeds)})


def mixed():
    """In half of the seeds' machines all hidden units have one cluster, in the others none."""
    weights = machines()
    weights[::2, ::2] = 0.001
    weights[::2, 1::2] = 0.002
    return weights


@pytest.mark.parametrize(
    ("outcome", "weights"),
    [
        ("reproduced", machines()),
        ("reproduced in part", machines(size=5)),
        ("not reproduced", machines(n_clusters=2, size=2)),
    ],
)
def test_planted_clusters_settle_whether_each_unit_has_one_of_three(outcome, weights):
    found = cluster_rules.one_cluster_rule({"planted": weights})
    assert found.outcome == outcome
    assert "planted" in found.parts[0].name
    assert found.parts[1].name == "size of a cluster, planted"


def test_clusters_of_some_machines_alone_decide_nothing():
    assert cluster_rules.one_cluster_rule({"mixed": mixed()}).outcome in ("not decided", "not reproduced")


def weights_of(dense, relocated):
    """Weights of all variants at both fields, from those of two."""
    found = dict.fromkeys(VARIANTS, dense) | {"relocated": relocated}
    both = xr.concat(list(found.values()), xr.DataArray(VARIANTS, dims="variant", name="variant"))
    return both.expand_dims(field=[1.0, 2.0], axis=1)


def without_first_clusters():
    """Machines that lack the places of the planted clusters and have others."""
    weights = np.random.default_rng(5).normal(0, 0.01, (SEEDS, 18, 9))
    weights[:, 1:4] = 0.0
    weights[:, 9:12] = 1.0
    return xr.DataArray(weights, dims=("seed", "visible", "hidden"), coords={"seed": range(SEEDS)})


@pytest.mark.parametrize(
    ("outcome", "factor", "relocated"),
    [
        ("reproduced", 1.2, without_first_clusters()),
        ("not reproduced", 2.0, without_first_clusters()),
        ("not reproduced", 1.2, machines(n_clusters=2)),
        ("not decided", 1.5 + 0.4 * SIGNS, without_first_clusters()),
    ],
)
def test_errors_and_new_clusters_settle_whether_clusters_relocate(outcome, factor, relocated):
    found = cluster_rules.relocate_rule(
        errors({("relocated", None, None): factor}), weights_of(machines(), relocated)
    )
    assert found.outcome == outcome
    assert found.parts[1].name.startswith("h/J = 2 (")


# --- from a study to verdicts ---


@pytest.fixture(scope="module")
def study():
    training, _ = histories({"ss": 30.0})
    found = errors().final
    main = xr.Dataset(
        {
            "final": found,
            "training": training,
            "weights": weights_of(machines(), without_first_clusters()),
            "components": (("variant", "field", "seed"), np.ones((len(VARIANTS), 2, SEEDS))),
        }
    )
    wide = xr.Dataset({"weights": machines(n_hidden=36).expand_dims(field=[1.0, 2.0])})
    checks = xr.Dataset({"final": found.sel(variant=["dense", "pruned", "ss", "os", "sc"], seed=slice(0, 2))})
    return Study(main, wide, checks)


def test_a_study_gives_one_verdict_for_each_claim(study):
    found = claims.settle(study, BOOK)
    assert tuple(verdict.id for verdict in found) == claims.CLAIMS
    assert {verdict.profile for verdict in found} == {"book"}
    by_id = {verdict.id: verdict for verdict in found}
    assert by_id["A5.breaking-degrades"].seeds == 5
    assert by_id["A5.sparse-trainable"].seeds == 10
    assert by_id["A5.one-cluster-per-unit"].verdict == "reproduced"
    assert "with a decaying rate (seeds: 3)" in by_id["A5.pm-ss-best"].reason
    for verdict in found:
        assert verdict.value is not None
        assert verdict.reason.endswith(".")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n_spins": 10}, "settled for n_spins = 18; this run has 10"),
        ({"wide_hidden": 0}, "settled for wide_hidden = 36; this run has 0"),
        ({"fields": [1.0]}, "needs h/J = 1 and 2; this run has 1"),
        ({"n_epochs": 100}, "needs at least 500 epochs; this run has 100"),
        ({"n_seeds": 4, "ablation_seeds": 4}, "needs n_seeds of at least 5; this run has 4"),
        ({"ablation_seeds": 2}, "needs ablation_seeds of at least 5; this run has 2"),
    ],
)
def test_a_run_that_cannot_settle_the_claims_says_why(study, change, reason):
    for verdict in claims.settle(study, {**BOOK, **change}):
        assert verdict.verdict == "not decided"
        assert verdict.reason == reason


def test_every_number_of_the_page_is_there(study):
    found = claims.numbers(study)
    assert "\u2013" not in found.values()
    assert found["sparse-disconnected"] == "none"
    assert found["sparse-moved-critical"] == "8.0"
    less = Study(study.main.sel(field=[1.0], variant=VARIANTS[:8]), None, None)
    fewer = claims.numbers(less)
    assert fewer.keys() == found.keys()
    assert fewer["sparse-final-paramagnet"] == fewer["sparse-breaking-critical"] == "\u2013"


def test_graphs_that_fell_apart_are_counted(study):
    main = study.main.copy(deep=True)
    main.components.loc[{"variant": "random", "seed": [1, 2]}] = 2
    assert claims.numbers(Study(main, None, None))["sparse-disconnected"] == "random 4"


def test_the_page_quotes_no_number_or_verdict_that_is_not_there(root, study):
    text = (root / "notebooks" / "sparse_training.md").read_text(encoding="utf-8")
    quoted = set(re.findall(r"\{glue:text\}`([^`]+)`", text))
    given = {*claims.numbers(study), *(f"{name}-verdict" for name in claims.CLAIMS)}
    assert quoted <= given | {"setting", "kept", "window", "rate", "wide"}
    assert given <= quoted
