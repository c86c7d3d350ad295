"""Results, gains, rules, figures and words of the studies of retrained machines, on made-up and on tiny synthetic data."""

import numpy as np
import pytest
import xarray as xr

from rbmbook.evidence.claims import load_claims
from rbmbook.evidence.estimates import Estimate
from rbmbook.evidence.words import count_words
from rbmbook.studies.couplings_pca import claims as couplings_pca_claims
from rbmbook.studies.couplings_pca import classes as couplings_separation
from rbmbook.studies.couplings_pca import figures as plane_figures
from rbmbook.studies.couplings_pca import numbers as couplings_pca_numbers
from rbmbook.studies.couplings_pca import rules as couplings_pca_rules
from rbmbook.studies.couplings_pca import study as couplings_pca
from rbmbook.studies.couplings_pca.classes import CONTRASTS, difference, kinship, left_out, panel
from rbmbook.studies.digits import arms as mnist_arms
from rbmbook.studies.digits import standard as mnist_standard
from rbmbook.studies.digits.arms import ARMS, EVERYWHERE, objection
from rbmbook.studies.digits.drops import MEASURES
from rbmbook.studies.retraining import claims as retraining_claims
from rbmbook.studies.retraining import effects as retraining_effects
from rbmbook.studies.retraining import figures
from rbmbook.studies.retraining import numbers as retraining_numbers
from rbmbook.studies.retraining import rules as retraining_rules
from rbmbook.studies.retraining import study as retraining
from rbmbook.studies.retraining.effects import UNKNOWN, bootstrap_difference, bootstrap_mean, gain
from rbmbook.studies.retraining.study import Study
from rbmbook.studies.scorecard.study import CATALOGUE
from rbmlib.analysis.separation import separation
from rbmlib.mnist.images import Images

BOOK = dict(retraining.PROFILES["book"].parameters)
SIDE = 12
SMALL = {
    "n_hidden": 10, "dilutions": [0.0, 0.5], "n_replicas": 3, "k": 1, "n_chains": 16, "batch_size": 16, "n_updates": 40,
    "record_every": 20, "ais_chains": 4, "ais_temperatures": 10, "removed": [0.0, 0.4, 0.9], "n_samples": 110,
    "n_steps": 10, "n_shown": 4, "shown_dilutions": [0.5], "n_folds": 3, "negatives_removed": [0.9], "n_negatives": 30,
    "n_held_out": 10, "n_synthetic": 40, "judge_updates": 30, "judge_batch_size": 32, "judge_learning_rate": 5e-3,
    "pairs": [[0.0, 0.6], [0.5, 0.8]], "wide_pairs": [[0.0, 0.6]], "further": [0.0, 0.5, 0.9], "bias_updates": 10,
}  # fmt: skip
SPARSITY = {"(0, 86) %": 0.86, "(40, 91.6) %": 0.916}
PAIRS = list(SPARSITY)
FURTHER = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.95])


# --- a tiny study -----------------------------------------------------------------------------------------------------


def bars(n, seed):
    """Upright and lying bars, with a few flipped pixels."""
    rng = np.random.default_rng(seed)
    images, labels = np.zeros((n, SIDE, SIDE), np.uint8), np.arange(n) % 2
    for image, label, at in zip(images, labels, rng.integers(1, 8, n), strict=True):
        image[1:11, at : at + 3] = 1
        if label:
            image[:] = image.T.copy()
    return (images ^ (rng.random(images.shape) < 0.01)).reshape(n, -1).astype(np.uint8), labels


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    (train, train_labels), (test, test_labels) = bars(480, 1), bars(140, 2)
    images = Images(train, test, (SIDE, SIDE), train_labels, test_labels, "bars")
    path = tmp_path_factory.mktemp("images") / "bars.npz"
    images.save(path)
    return {**BOOK, **SMALL, "images": str(path), "images_checksum": images.checksum}


@pytest.fixture(scope="module")
def tiny(parameters, sweeping):
    with sweeping(retraining):
        return retraining.results(**parameters)


@pytest.fixture(scope="module")
def tiny_planes(parameters, sweeping):
    with sweeping(couplings_pca):
        return couplings_pca.results(**parameters)


@pytest.fixture(scope="module")
def stored(tiny, tiny_store):
    return lambda cell: tiny_store.load(tiny_store.key(cell))


def test_measures_stand_at_their_pair_arm_replica_and_share(tiny, stored, parameters):
    p, machines = mnist_arms.check(parameters), tiny.machines
    assert dict(machines.sizes) == {"pair": 2, "arm": 10, "replica": 3, "removed": 3, "part": 2}
    assert machines.arm.values.tolist() == list(ARMS)
    for pair, replica, arm in mnist_arms.design(p):
        here = machines.sel(pair=mnist_arms.label_of(pair), arm=arm, replica=replica)
        trained, drawn, judged = map(stored, retraining.arm_cells(p, arm, pair, replica))
        for source, names in (
            (drawn, ("aai", "second_moment", "kept")),
            (judged, ("quality", "quality_other", "imbalance")),
            (trained, ("log_likelihood",)),
        ):
            for name in names:
                np.testing.assert_array_equal(here[name].values, source[name].values)
    np.testing.assert_allclose(machines.total.sel(pair="(50, 80) %"), [0.8, 0.9, 0.98])
    base = stored(mnist_standard.sample_cell(p, 0.5, 2))
    assert float(tiny.base.aai.sel(pair="(50, 80) %", replica=2)) == float(base.aai[0])


def test_arms_that_a_pair_lacks_are_missing_and_no_others(tiny):
    there = tiny.machines.aai.notnull().all(["replica", "removed"])
    assert there.sel(pair="(0, 60) %").all()
    assert there.sel(pair="(50, 80) %").values.tolist() == [arm in EVERYWHERE for arm in ARMS]


def test_every_cell_is_listed_once(parameters):
    cells = retraining.cells(**parameters)
    assert len(set(cells)) == len(cells) == 3 * (10 + 6) * 3 + 2 * 3 * 3 + 1


def test_classes_are_compared_pair_by_pair(tiny_planes, tiny):
    assert list(tiny_planes.comparisons) == tiny.machines.pair.values.tolist()
    there = tiny_planes.separations.separation.notnull().all(["space", "axes"])
    assert there.sel(contrast="random-kept").values.tolist() == [True, False]
    assert there.drop_sel(contrast="random-kept").all()


def test_pages_have_words_and_figures_for_a_tiny_run(tiny, tiny_planes, parameters, root):
    found = retraining_numbers.derived(tiny)
    verdicts = retraining_claims.settle(tiny, parameters)
    assert {verdict.verdict for verdict in verdicts} == {"not decided"}
    texts = retraining_numbers.numbers(tiny, found, verdicts, parameters)
    assert quoted(root, "retraining") <= {*texts, "setting"}
    assert "nan" not in " ".join(texts.values())
    assert figures.levels_table(tiny.machines, tiny.base).html.count("<tr>") == 12
    assert figures.pruning_curves(tiny.machines, tiny.floors).html
    assert figures.drop_dots(tiny.drops, found.positions, EVERYWHERE, "quality").html
    assert texts["B5.reference-wins-verdict"].startswith("not decided (settled for MNIST; ")
    findings = couplings_pca_numbers.derived(tiny_planes)
    verdicts = couplings_pca_claims.settle(tiny_planes, parameters)
    texts = couplings_pca_numbers.numbers(tiny_planes, findings, verdicts, parameters)
    assert quoted(root, "couplings_pca") <= {*texts, "setting"}
    assert "nan" not in " ".join(texts.values())
    assert plane_figures.planes(tiny_planes.comparisons).html
    assert plane_figures.planes(tiny_planes.comparisons, plane_figures.CONTROLS).html
    assert plane_figures.separation_dots(tiny_planes.separations, 1.0).html


def quoted(root, name):
    text = (root / "notebooks" / f"{name}.md").read_text(encoding="utf-8")
    return {part.split("`", 1)[0] for part in text.split("{glue:text}`")[1:]}


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("study", [retraining, couplings_pca])
def test_the_notebooks_own_parameters_are_the_book_profile(declared_defaults, study):
    assert declared_defaults(study.__name__.split(".")[-2]) == dict(study.PROFILES["book"].parameters)


@pytest.mark.parametrize("study", [retraining, couplings_pca])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_replicas": 2, "n_folds": 2}, "n_replicas must be at least 3 for intervals over replicas, not 2"),
        ({"pairs": [[0.4, 0.3]]}, "pairs must have p above p0 = 0.4"),
        ({"further": [0.5, 0.2]}, "further must ascend from 0"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_cell(study, changed, message, monkeypatch):
    monkeypatch.setattr(study, "sweep", lambda cells: pytest.fail("a cell was asked for"))
    for ask in (study.cells, study.results):
        with pytest.raises(ValueError, match=message):
            ask(**changed)


@pytest.mark.parametrize("name", ["book", "quick"])
def test_profiles_are_accepted(name):
    mnist_arms.check(retraining.PROFILES[name].parameters)


# --- made-up machines -------------------------------------------------------------------------------------------------


def made_up(places, n_replicas=8, further=FURTHER, pairs=SPARSITY, seed=0) -> Study:
    """Machines whose Q drops, and whose errors rise, where `places` says for each arm, in shares f of what p left."""
    rng = np.random.default_rng(seed)
    labels, sparsity, n_pairs = list(pairs), np.array(list(pairs.values())), len(pairs)
    shape = (n_pairs, len(ARMS), n_replicas, len(further))
    lost = np.full(shape, np.nan)
    for at, arm in enumerate(ARMS):
        if arm in places:
            place = places[arm] + rng.normal(0, 0.02, (n_pairs, n_replicas, 1))
            lost[:, at] = 1 / (1 + np.exp(-(further - place) / 0.03))
    dims = ("pair", "arm", "replica", "removed")
    fall = xr.DataArray(lost, dims=dims)
    quality = 0.95 - 0.9 * fall
    machines = xr.Dataset(
        {
            "quality": quality, "quality_other": quality - 0.02, "digits": 10 - 8.9 * fall, "aai": 0.02 + 0.2 * fall,
            "second_moment": 1e-4 + 1e-2 * fall,
            "log_likelihood": ((*dims[:3], "part"), np.stack([-90 - 100 * lost[..., 0]] * 2, axis=-1)),
        },
        {
            "pair": labels, "arm": list(ARMS), "replica": range(n_replicas), "removed": further, "part": ["train", "test"],
            "sparsity": ("pair", sparsity), "total": (("pair", "removed"), sparsity[:, None] + further * (1 - sparsity[:, None])),
        },
    )  # fmt: skip
    whole = {"quality": 0.96, "quality_other": 0.94, "digits": 9.5, "aai": 0.02, "second_moment": 1e-4}
    base = xr.Dataset(
        {name: (("pair", "replica"), np.full((n_pairs, n_replicas), value)) for name, value in whole.items()},
        {"pair": labels, "replica": range(n_replicas)},
    )
    floors = xr.Dataset({"aai": ("set", [1e-3]), "second_moment": ("set", [1e-5])})
    return Study(machines, base, retraining.drops_of(machines, base), floors)


PLACES = {
    "frozen": -0.3, "compensated": 0.1, "biases": 0.3, "retrained": 0.5, "same-mask": 0.6, "reference": 0.75,
    "random-kept": 0.4, "rewound": 0.6, "same-mask-2": 0.6, "reference-2": 0.8,
}  # fmt: skip


@pytest.fixture(scope="module")
def study():
    return made_up(PLACES)


def test_drops_stand_where_they_were_put_in_shares_of_all_weights(study):
    position = study.drops.position.sel(measure="quality").mean("replica")
    for pair, sparsity in zip(PAIRS, (0.86, 0.916), strict=True):
        for arm in ("retrained", "reference", "same-mask"):
            expected = sparsity + PLACES[arm] * (1 - sparsity)
            assert float(position.sel(pair=pair, arm=arm)) == pytest.approx(
                expected, abs=0.05 * (1 - sparsity)
            )


def test_a_machine_that_has_failed_before_has_no_position_and_one_that_never_fails_stands_at_one(study):
    failed = study.drops.sel(arm="frozen")
    for measure in MEASURES:
        if measure != "digits":
            assert failed.position.sel(measure=measure).isnull().all(), measure
    never = made_up(dict.fromkeys(PLACES, 2.0))
    assert (never.drops.position.sel(measure="quality") == 1).all()
    assert never.drops.width.isnull().all()


def test_a_grid_that_does_not_bracket_the_drops_is_told(study):
    told = {
        name: retraining_numbers.numbers(one, retraining_numbers.derived(one), [], BOOK)["never"]
        for name, one in (
            ("some", study),
            ("none", made_up(dict.fromkeys(PLACES, 2.0))),
            ("all", made_up(dict.fromkeys(PLACES, 0.5))),
        )
    }
    assert "of 160 machines 16 had lost Q" in told["some"]
    assert "160 keep Q to its end" in told["none"]
    assert told["all"] == "The grid of further pruning brackets the drop of Q of all 160 machines."


def test_gains_are_differences_of_means_in_the_direction_that_is_better(study):
    pair = PAIRS[0]
    values = study.machines.sel(pair=pair).isel(removed=0).transpose("arm", "replica", ...)
    by_hand = np.sqrt(values.aai.sel(arm="frozen")) - np.sqrt(values.aai.sel(arm="retrained"))
    assert gain(study, "root_aai", pair, "retrained", "frozen").value == pytest.approx(float(by_hand.mean()))
    by_hand = values.quality.sel(arm="retrained") - values.quality.sel(arm="frozen")
    assert gain(study, "quality", pair, "retrained", "frozen").value == pytest.approx(float(by_hand.mean()))


def test_pairing_makes_a_shared_spread_go_away():
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 5, 15)
    first, second = shared + 1 + rng.normal(0, 0.1, 15), shared + rng.normal(0, 0.1, 15)
    together, apart = (bootstrap_difference(first, second, paired=paired) for paired in (True, False))
    assert together.value == pytest.approx(apart.value)
    assert (together.high - together.low) < 0.1 * (apart.high - apart.low)


def test_a_bootstrap_interval_holds_the_true_difference_nearly_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        first, second = rng.normal(1, 1, 15), rng.normal(0, 2, 15)
        one = bootstrap_difference(first, second, paired=False, n_resamples=400, seed=seed)
        held += one.low <= 1 <= one.high
    assert 0.88 <= held / 200 <= 0.98


def test_fewer_than_three_values_are_unknown():
    assert bootstrap_mean([1.0, np.nan, 2.0]) == UNKNOWN
    assert bootstrap_difference([1.0, 2.0, 3.0], [1.0, np.nan, np.nan], paired=False) == UNKNOWN


def test_the_table_has_every_step_of_a_pair_and_says_what_is_paired(study):
    effects = retraining_effects.decomposition(study)
    assert dict(effects.sizes) == {"quantity": 8, "step": 14, "pair": 2}
    paired = dict(zip(effects.step.values, effects.paired.values, strict=True))
    assert paired["all of retraining"]
    assert not paired["both: from scratch, not retrained"]
    steps = effects.value.sel(quantity="quality", pair=PAIRS[0])
    whole = steps.sel(step="biases: trained alone") + steps.sel(step="weights: trained as well as biases")
    assert float(whole) == pytest.approx(float(steps.sel(step="all of retraining")))
    table = figures.effects_table(effects, "quality", "Q", "")
    assert table.html.count("<tr>") == 15
    assert "nan" not in table.html


def test_rules_find_what_was_put_in(study):
    found = {name: rule.find(study) for name, rule in retraining_rules.RULES.items()}
    assert found["B5.retrain-recovers"].outcome == "reproduced"
    assert found["B5.reference-wins"].outcome == "reproduced"
    assert found["B5.not-mask-alone"].outcome == "reproduced"
    sooner = [part.mark for part in found["B5.sharper"].parts if part.name.startswith("sooner")]
    assert sooner == ["holds", "holds"]
    premises = [part for part in found["B5.retrain-recovers"].parts if part.premise]
    assert [part.mark for part in premises] == ["holds", "holds"]
    for name, one in found.items():
        sentence = retraining_rules.RULES[name].says(one.parts)
        assert count_words(sentence) <= 25, sentence
        assert "nan" not in sentence


def test_rules_find_the_opposite_too():
    turned = made_up(
        {
            **PLACES,
            "retrained": 0.8,
            "same-mask": 0.5,
            "same-mask-2": 0.5,
            "reference-2": 0.5,
            "reference": 0.5,
        }
    )
    found = {name: rule.find(turned).outcome for name, rule in retraining_rules.RULES.items()}
    assert found["B5.reference-wins"] == found["B5.not-mask-alone"] == "not reproduced"


def test_a_run_without_longer_trained_references_says_so():
    few = made_up({arm: PLACES[arm] for arm in EVERYWHERE})
    assert "twice as long" in retraining_rules.not_mask_alone_rule(few).lead
    assert "no pair" in figures.pruning_curves(few.machines, few.floors, figures.WIDE).html.lower()


def test_the_share_that_weights_explain_is_that_of_the_way(study):
    share = retraining_effects.share_explained(
        study, "position", PAIRS[0], "reference", "same-mask", "retrained"
    )
    assert share.low < 0.4 < share.high
    assert share.high - share.low < 0.4


# --- classes ----------------------------------------------------------------------------------------------------------


def comparison(shift=0.0, n=12, shared=1.0, seed=0, n_coordinates=60, control=False) -> xr.Dataset:
    """Frozen and retrained machines that share a past, references that share nothing, all with noise of their own."""
    rng = np.random.default_rng(seed)
    past = shared * rng.normal(size=(n, n_coordinates))
    direction = np.full(n_coordinates, shift / np.sqrt(n_coordinates))
    points = {
        "frozen": past + direction, "retrained": past + direction, "same-mask": past,
        "reference": shared * rng.normal(size=(n, n_coordinates)),
    }  # fmt: skip
    if control:
        points["random-kept"] = shared * rng.normal(size=(n, n_coordinates))
    names = [f"{arm}_{replica}" for arm in points for replica in range(n)]
    rows = np.concatenate(list(points.values())) + rng.normal(size=(len(points) * n, n_coordinates))
    gram = (("machine", "other"), rows @ rows.T)
    return xr.Dataset({"weights": gram, "couplings": gram}, {"machine": names, "other": names})


def test_a_planted_shift_is_found_and_none_is_not():
    found = panel(comparison(8.0), "weights", CONTRASTS["reference"], "leading")
    assert found["low"] > 1
    assert found["p_value"] < 0.01
    none = panel(comparison(0.0), "weights", CONTRASTS["reference"], "leading")
    assert none["low"] < 0 < none["high"]


def test_cosines_have_unit_length():
    gram = couplings_separation.gram_of(comparison(3.0), "cosines")
    np.testing.assert_allclose(np.diag(gram), 1)


def test_every_replica_is_left_out_once_and_errors_of_both_groups_add_in_square():
    one = comparison(8.0, n=6)
    arms, _ = couplings_separation.arms_and_replicas(one)
    chosen = np.flatnonzero(arms != "same-mask")
    gram, group = one.weights.values[np.ix_(chosen, chosen)], np.where(arms[chosen] == "reference", "a", "b")
    family = couplings_separation.families(one)[chosen]
    found = left_out(gram, group, family, 2)
    variance = 0.0
    for kind in ("True", "False"):
        values = []
        for name in (f"{kind} {replica}" for replica in range(6)):
            rest = np.flatnonzero(family != name)
            values.append(separation(gram[np.ix_(rest, rest)], group[rest], family[rest], 2).separation)
        variance += 5 / 6 * np.sum((np.array(values) - np.mean(values)) ** 2)
    assert found.value == separation(gram, group, family, 2).separation
    assert (found.high - found.low) / 2 == pytest.approx(2.228 * np.sqrt(variance), rel=1e-3)


def test_two_replicas_of_a_class_have_no_interval():
    with pytest.raises(ValueError, match="at least 3 labels in each group"):
        panel(comparison(3.0, n=2), "weights", CONTRASTS["reference"], "plane")


def test_a_difference_of_independent_estimates_adds_their_errors_in_square():
    found = difference(Estimate(3.0, 2.0, 4.0), Estimate(1.0, 0.0, 2.0))
    assert found.value == 2
    assert found.interval == pytest.approx((2 - np.sqrt(2), 2 + np.sqrt(2)))


def test_kinship_is_the_squared_distance_that_was_put_in():
    values = [
        kinship(comparison(6.0, shared=0.5, seed=seed), "weights", n_resamples=10).value for seed in range(30)
    ]
    scatter = 60 * (0.5**2 + 1)
    assert np.mean(values) == pytest.approx(36 / scatter, rel=0.25)
    none = kinship(comparison(0.0, shared=2.0), "weights")
    assert none.low < 0 < none.high


def test_rules_on_classes_find_what_was_put_in():
    comparisons = {pair: comparison(14.0, n=8, shared=0.5, seed=at) for at, pair in enumerate(PAIRS)}
    study = couplings_pca.Study(comparisons, couplings_separation.separations(comparisons))
    found = {name: rule.find(study) for name, rule in couplings_pca_rules.RULES.items()}
    assert found["B6.weights-cluster"].outcome == "reproduced"
    marks = {name: [part.mark for part in one.parts if not part.premise] for name, one in found.items()}
    assert marks["B6.mask-explains"] == ["fails"] * 2
    assert marks["B6.beyond-pairs"] == ["holds"] * 8
    assert "no pair has them" in found["B6.targeted-pruning"].lead
    with_control = {
        pair: comparison(14.0, n=8, shared=0.5, seed=at, control=True) for at, pair in enumerate(PAIRS)
    }
    study = couplings_pca.Study(with_control, couplings_separation.separations(with_control))
    assert [part.mark for part in couplings_pca_rules.targeted_rule(study).parts] == ["holds"] * 4
    for name, one in found.items():
        if one.parts:
            sentence = couplings_pca_rules.RULES[name].says(one.parts)
            assert count_words(sentence) <= 25, sentence


def test_every_claim_of_both_figures_has_a_rule():
    claims = {claim.id for claim in load_claims(CATALOGUE) if claim.id.startswith(("B5.", "B6."))}
    assert claims == {*retraining_claims.CLAIMS, *couplings_pca_claims.CLAIMS}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"pairs": [[0.0, 0.86]]}, "settled for pairs"),
        ({"n_replicas": 4}, "settled for n_replicas of at least 5; this run has 4"),
        ({"n_samples": 500}, "settled for n_samples of at least 1000"),
        ({"n_hidden": 64}, "settled for n_hidden = 400"),
        ({}, None),
    ],
)
def test_a_run_at_another_setting_settles_nothing(changed, reason):
    said = objection({**BOOK, **changed})
    assert said is None if reason is None else said.startswith(reason)
