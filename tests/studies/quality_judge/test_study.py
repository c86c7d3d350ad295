"""The study of the judge: who has seen whom, accuracies against plain counts, what is refused, and the verdict."""

import re
import socket
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import xarray as xr

from rbmbook.evidence.claims import load_claims
from rbmbook.evidence.words import DASH
from rbmbook.lab.compare import deviations
from rbmbook.lab.sweep import sweep
from rbmbook.studies.digits import judge_cells as compute
from rbmbook.studies.digits import judges as mnist_judges
from rbmbook.studies.digits.judge_cells import BOTH, OVER_PRUNED, RECIPES, SYNTHETIC
from rbmbook.studies.mnist_dilution import study as mnist_dilution
from rbmbook.studies.quality_judge import claims, figures
from rbmbook.studies.quality_judge import study as quality_judge
from rbmbook.studies.quality_judge.study import PROFILES, Study
from rbmbook.studies.tolerances import TOLERANCES
from rbmlib.mnist import negatives
from rbmlib.mnist.data import DataFileError
from rbmlib.mnist.diversity import imbalance_of
from rbmlib.mnist.images import Images
from rbmlib.mnist.judge import Judge
from rbmlib.mnist.quality import second_moment_standard_error

BOOK = dict(PROFILES["book"].parameters)
SIDE = 12
SMALL = {
    "n_hidden": 12, "dilutions": [0.0, 0.5], "n_replicas": 2, "k": 1, "n_chains": 16, "batch_size": 16, "n_updates": 60,
    "record_every": 30, "ais_chains": 4, "ais_temperatures": 10, "removed": [0.0, 0.5, 0.9, 0.95], "n_samples": 120,
    "n_steps": 20, "n_shown": 4, "shown_dilutions": [0.0, 0.5], "n_folds": 2, "n_negatives": 40, "n_held_out": 10,
    "n_synthetic": 60, "judge_updates": 60, "judge_batch_size": 32, "judge_learning_rate": 5e-3,
}  # fmt: skip


def glyphs(n, seed):
    """Upright bars, lying bars and frames on a small grid, with a few flipped pixels."""
    rng = np.random.default_rng(seed)
    images, labels = np.zeros((n, SIDE, SIDE), np.uint8), np.arange(n) % 3
    for image, label, at in zip(images, labels, rng.integers(1, 5, n), strict=True):
        if label == 0:
            image[1:11, at : at + 3] = 1
        elif label == 1:
            image[at : at + 3, 1:11] = 1
        else:
            image[at : at + 7, 2:9] = 1
            image[at + 2 : at + 5, 4:7] = 0
    flipped = (rng.random(images.shape) < 0.01).astype(np.uint8)
    return (images ^ flipped).reshape(n, -1), labels


@pytest.fixture(scope="module")
def images():
    (train, train_labels), (test, test_labels) = glyphs(300, 1), glyphs(150, 2)
    return Images(train, test, (SIDE, SIDE), train_labels, test_labels, "glyphs")


@pytest.fixture(scope="module")
def source(images, tmp_path_factory):
    """What cells are told of the images."""
    path = tmp_path_factory.mktemp("images") / "glyphs.npz"
    images.save(path)
    return {"images": str(path), "images_checksum": images.checksum}


@pytest.fixture(scope="module")
def parameters(source):
    return {**BOOK, **source, **SMALL}


@pytest.fixture(scope="module")
def shared(parameters):
    """The parameters as the modules under the study take them."""
    return quality_judge._checked(parameters)


@pytest.fixture(scope="module")
def study(parameters, sweeping):
    with sweeping(quality_judge):
        return quality_judge.results(**parameters)


@pytest.fixture(scope="module")
def computed(study, tiny_store):
    """The stored results of cells that the study has computed."""
    return partial(sweep, store=tiny_store, workers=1, progress=False)


# --- cells ---


def test_the_notebooks_own_parameters_are_the_book_profile(declared_defaults):
    assert declared_defaults("quality_judge") == BOOK


def test_profiles_have_the_same_parameters_and_are_accepted():
    assert len({tuple(profile.parameters) for profile in PROFILES.values()}) == 1
    for name in ("book", "quick"):
        assert quality_judge.cells(**PROFILES[name].parameters)
        assert PROFILES[name].cost


def test_machines_samples_and_judges_are_those_of_the_study_of_dilution():
    def parts(cells):
        return {part for cell in cells for part in cell.with_needs()}

    own = parts(quality_judge.cells())
    theirs = parts(mnist_dilution.cells())
    machines = {cell for cell in own if cell.name.rpartition(".")[2] in ("train_machine", "sample_pruned")}
    judges = {cell for cell in own if cell.name.endswith("train_judge")}
    assert len(machines) == 2 * 9 * 15
    assert len(judges) == 5 + 1 + 5
    assert machines <= theirs
    assert len(judges & theirs) == 5 + 1


def test_no_machine_is_judged_by_a_judge_that_has_seen_it():
    cells = [cell for cell in mnist_dilution.cells() if cell.name.endswith("judge_samples")]
    assert len(cells) > 9 * 15  # controls are among them
    for cell in cells:
        machine = cell.needs["samples"].needs["machine"]
        seen = {
            need.needs["samples"].needs["machine"]
            for name, need in cell.needs["judge"].needs.items()
            if name.startswith("machine")
        }
        assert len(seen) == 9 * 12
        assert machine not in seen
        assert not cell.needs["other"].needs


def test_judges_have_seeds_of_their_own():
    judges = {cell for cell in quality_judge.cells() if cell.name.endswith("train_judge")}
    assert len({cell.parameters["seed"] for cell in judges}) == len(judges)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compared_dilution": 0.05}, "compared_dilution must be among dilutions = "),
        ({"shown_dilutions": []}, "shown_dilutions must hold at least one of the dilutions; it is empty"),
        ({"n_held_out": 500}, "n_held_out must be below n_negatives = 500, not 500"),
        ({"n_folds": 16}, "n_folds must be at most n_replicas = 15, not 16"),
        ({"control_removed": [0.0]}, "unknown parameter 'control_removed'"),
    ],
)
def test_a_bad_parameter_is_named_before_anything_is_computed(change, message):
    with pytest.raises((ValueError, LookupError), match=f"^{message}"):
        quality_judge.cells(**change)


@pytest.mark.parametrize(
    ("recipe", "fold", "message"),
    [
        ("early", 0, "recipe must be one of over-pruned, synthetic, both, not 'early'"),
        (SYNTHETIC, 1, "fold must be below 1 for the recipe 'synthetic', not 1"),
        (BOTH, 5, "fold must be below 5 for the recipe 'both', not 5"),
    ],
)
def test_a_judge_that_does_not_exist_is_refused(recipe, fold, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        mnist_judges.judge_cell(quality_judge._checked(BOOK), recipe, fold)


def test_whoever_trains_and_samples_machines_does_not_import_torch():
    code = (
        "import sys; from rbmbook.studies.digits import cells; from rbmbook.studies.mnist_dilution import study as mnist_dilution; "
        "from rbmbook.studies.quality_judge import study as quality_judge; "
        "from rbmbook.studies.scorecard import study as scorecard; "
        "quality_judge.cells(); mnist_dilution.cells(); scorecard.studies(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- what is computed ---


def test_accuracies_are_counts_over_images_that_the_judge_has_not_learnt_from(
    study, shared, computed, images
):
    for recipe, fold in ((OVER_PRUNED, 0), (BOTH, 1), (SYNTHETIC, 0)):
        (stored,) = computed([mnist_judges.judge_cell(shared, recipe, fold)])
        judge, own = Judge.from_dataset(stored), study.accuracy.sel(recipe=recipe, fold=fold)
        accepted = judge.judge(images.test).probability >= 0.5
        assert own.digits == accepted.mean()
        assert own.classes == (judge.judge(images.test).digit == images.test_labels).mean()
        np.testing.assert_array_equal(
            own.digits_of, [accepted[images.test_labels == kind].mean() for kind in range(3)]
        )
        for p0, replica in ((0.0, 0), (0.5, 1)):
            (machine,) = computed([mnist_judges.negatives_cell(shared, p0, replica)])
            seen = recipe != SYNTHETIC and replica % 2 != fold
            assert own.seen.sel(replica=replica) == seen
            rows = np.unpackbits(machine.negatives.values, axis=-1, count=SIDE * SIDE)[:, 30 * seen :]
            expected = [(judge.judge(one).probability < 0.5).mean() for one in rows]
            np.testing.assert_allclose(
                own.rejected.sel(dilution=p0, replica=replica), expected, rtol=0, atol=1e-12
            )


def test_a_recipe_without_folds_has_one_judge(study):
    synthetic = study.accuracy.sel(recipe=SYNTHETIC)
    assert np.isnan(synthetic.digits.values).tolist() == [False, True]
    assert not synthetic.seen.any()
    assert study.accuracy.recipe.values.tolist() == list(RECIPES)


def test_a_judge_remembers_what_it_was_trained_on_and_its_file_who_trained_it(shared, computed, tiny_store):
    cell = mnist_judges.judge_cell(shared, OVER_PRUNED, 1)
    (stored,) = computed([cell])
    about = Judge.from_dataset(stored).about
    assert (about["recipe"], about["fold"], about["n_folds"]) == (OVER_PRUNED, 1, 2)
    assert about["machines"] == ["machine_0_0", "machine_500_0"]
    assert about["images"] == shared["images_checksum"]
    assert (about["n_negatives"], about["n_updates"]) == (2 * 2 * 30, 60)
    origin = tiny_store.origin(tiny_store.key(cell))
    assert "torch" in origin["versions"]
    assert set(origin["needs"]) == {"machine_0_0", "machine_500_0"}
    assert stored.attrs["bits"].startswith("dependent")


def test_families_count_as_machines_where_a_judge_learns_from_both(shared, computed):
    n = {}
    for recipe in RECIPES:
        (stored,) = computed([mnist_judges.judge_cell(shared, recipe, 0)])
        n[recipe] = Judge.from_dataset(stored).about["n_machines"]
    assert n == {OVER_PRUNED: 2, SYNTHETIC: len(negatives.FAMILIES), BOTH: 2 + len(negatives.FAMILIES)}


def test_samples_are_judged_one_set_at_a_time(shared, computed, images):
    cell = mnist_judges.judged_cell(shared, 0.5, 1)
    found, samples, judge, other = computed(
        [cell, *(cell.needs[name] for name in ("samples", "judge", "other"))]
    )
    rows = np.unpackbits(samples.samples.values, axis=-1, count=SIDE * SIDE)
    judge, other = Judge.from_dataset(judge), Judge.from_dataset(other)
    for at, drawn in enumerate(rows):
        one, said = found.isel(removed=at), judge.judge(drawn)
        assert one.quality == (said.probability >= 0.5).mean()
        assert one.quality_other == (other.judge(drawn).probability >= 0.5).mean()
        assert one.confidence == pytest.approx(said.probability.mean(), abs=1e-6)
        assert one.counts.values.tolist() == [
            int((said.accepted & (said.digit == kind)).sum()) for kind in range(3)
        ]
        assert one.accepted == said.accepted.sum()
        if one.accepted >= 100:
            assert one.imbalance == pytest.approx(imbalance_of(one.counts.values / int(one.accepted)))
        else:
            assert np.isnan(one.imbalance)
            assert np.isnan(one.entropy)
        assert one.second_moment_error == pytest.approx(second_moment_standard_error(drawn, images.train))


def test_all_judges_are_asked_about_the_same_samples(study, shared, computed):
    cell = mnist_judges.judged_cell(shared, 0.0, 1)
    (judged,) = computed([cell])
    curves = study.curves.sel(replica=1)
    np.testing.assert_array_equal(curves.quality.sel(recipe=OVER_PRUNED, fold=1), judged.quality)
    np.testing.assert_array_equal(curves.quality.sel(recipe=SYNTHETIC, fold=0), judged.quality_other)
    assert curves.seen.sel(recipe=BOTH).values.tolist() == [True, False]
    np.testing.assert_array_equal(claims.cross_fitted(study.curves, OVER_PRUNED)[1], judged.quality)


def test_pictures_are_the_first_images_of_each_source(study, shared, computed, images):
    pictures = study.pictures
    assert dict(pictures.attrs) == {"bits": "portable", "height": SIDE, "width": SIDE}
    digits = np.unpackbits(pictures.digits.values, axis=-1, count=SIDE * SIDE)
    for kind in range(3):
        np.testing.assert_array_equal(digits[kind], images.train[images.train_labels == kind][:10])
    (machine,) = computed([mnist_judges.negatives_cell(shared, 0.5, 1)])
    np.testing.assert_array_equal(
        pictures.machines.sel(dilution=0.5, replica=1), machine.negatives.isel(image=slice(0, 10))
    )


# --- what is refused ---


def samples_of(n_pixels, removed=(0.0, 0.9), n=20):
    rows = np.random.default_rng(1).integers(0, 2, (len(removed), n, n_pixels), dtype=np.uint8)
    return xr.Dataset(
        {"samples": (("removed", "sample", "byte"), np.packbits(rows, axis=-1))}, {"removed": list(removed)}
    )


@pytest.fixture(scope="module")
def machine():
    return compute.over_pruned((0.9,), 20, 2, samples_of(SIDE * SIDE))


@pytest.mark.parametrize(
    ("removed", "n_images", "message"),
    [
        ((0.9, 0.97), 5, "removed must be shares at which the machine was sampled, 0, 0.9, not 0.97"),
        ((0.9,), 21, "n_images must be at most the 20 samples of a machine, not 21"),
    ],
)
def test_negatives_that_were_not_sampled_are_refused(removed, n_images, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        compute.over_pruned(removed, n_images, 1, samples_of(SIDE * SIDE))


TRAINING = {
    "recipe": OVER_PRUNED, "fold": 0, "n_folds": 2, "held_out": 5, "n_synthetic": 20, "seed": 1, "n_updates": 2,
    "batch_size": 8, "learning_rate": 1e-3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "early"}, "recipe must be one of over-pruned, synthetic, both, not 'early'"),
        ({"recipe": SYNTHETIC}, "machines must be given unless the recipe is 'synthetic'; there are 1"),
        ({"held_out": 20}, "held_out must be from 1 to 19, fewer than the images of m, not 20"),
        ({"n_updates": 0}, "n_updates must be an integer >= 1, not 0"),
    ],
)
def test_what_cannot_be_learnt_gets_one_sentence(source, machine, changes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        compute.train_judge(**source, **{**TRAINING, **changes}, m=machine)


def test_images_without_labels_cannot_teach_a_judge(images, machine, tmp_path):
    bare = Images(images.train, images.test, images.shape)
    bare.save(tmp_path / "bare.npz")
    with pytest.raises(
        ValueError, match=r"^images must have labels for a judge to learn; those of .*bare\.npz have none$"
    ):
        compute.train_judge(str(tmp_path / "bare.npz"), bare.checksum, **TRAINING, m=machine)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            np.zeros((5, 18), np.uint8),
            "train must hold at least two different images; its 5 are all the same",
        ),
        (np.zeros((0, 18), np.uint8), "train must hold at least one image; it is empty"),
    ],
)
def test_a_constant_or_empty_set_of_images_cannot_teach_a_judge(machine, tmp_path, rows, message):
    labels = np.zeros(len(rows), np.uint8)
    np.savez(
        tmp_path / "wrong.npz", shape=[SIDE, SIDE], name="wrong", checksum="0", train=rows, test=rows, train_labels=labels,
        test_labels=labels,
    )  # fmt: skip
    with pytest.raises(DataFileError, match=f"wrong.npz is not a complete set of images: {message}$"):
        compute.train_judge(str(tmp_path / "wrong.npz"), "0", **TRAINING, m=machine)


def test_a_judge_trained_for_another_size_says_so_in_every_cell(images, machine, source, tmp_path):
    judge = compute.train_judge(**source, **TRAINING, m=machine)
    square = images.train.reshape(-1, SIDE, SIDE)[:30, :10, :8]
    smaller = Images(square.reshape(30, -1), square.reshape(30, -1), (10, 8), *2 * [images.train_labels[:30]])
    smaller.save(tmp_path / "smaller.npz")
    other = {"images": str(tmp_path / "smaller.npz"), "images_checksum": smaller.checksum}
    sentence = re.escape(
        f"images have 10 x 8 pixels, and this judge was trained for {SIDE} x {SIDE}; train one for their size"
    )
    samples = samples_of(80)
    for call in (
        lambda: compute.judge_samples(**other, samples=samples, judge=judge, other=judge),
        lambda: compute.judge_accuracy(**other, n_synthetic=5, seed=1, judge=judge, m=machine),
        lambda: compute.compare_judges(**other, machine="m", samples=samples, first=judge),
    ):
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            call()
    with pytest.raises(
        ValueError, match=r"a machine must be judged against the images that it was trained on$"
    ):
        compute.judge_samples(**source, samples=samples, judge=judge, other=judge)


def test_judges_are_trained_and_asked_without_the_network(source, machine, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("there is no network")

    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    judge = compute.train_judge(**source, **{**TRAINING, "recipe": BOTH}, m=machine)
    samples = samples_of(SIDE * SIDE)
    assert compute.judge_samples(**source, samples=samples, judge=judge, other=judge).quality.size == 2


# --- tolerances ---


def test_a_judge_trained_elsewhere_is_held_to_its_accuracies(source, machine):
    rule = TOLERANCES["train_judge"]
    stored = compute.train_judge(**source, **{**TRAINING, "recipe": BOTH, "n_updates": 20}, m=machine)
    assert all(one.allowed for one in deviations(stored, stored.copy(deep=True), rule))
    for name in ("probe_digits", "probe_classes", "probe_machines", "probe_families"):
        for change, allowed in ((0.02, True), (-0.04, False)):
            other = stored.assign({name: stored[name] + change, "dense.weight": stored["dense.weight"] + 1})
            assert all(one.allowed for one in deviations(stored, other, rule)) is allowed
    renamed = stored.assign_coords(machine=["another"])
    assert not all(one.allowed for one in deviations(stored, renamed, rule))


def test_what_a_given_judge_says_may_differ_by_single_images(study, shared, computed):
    (judged,) = computed([mnist_judges.judged_cell(shared, 0.0, 0)])
    rule = TOLERANCES["judge_samples"]
    assert all(one.allowed for one in deviations(judged, judged.copy(deep=True), rule))
    assert not all(
        one.allowed for one in deviations(judged, judged.assign(quality=judged.quality + 0.01), rule)
    )
    counts = judged.counts.values.copy()
    counts[0] = np.roll(counts[0], 1) + 5
    moved = judged.assign(counts=(("removed", "class"), counts))
    assert not all(one.allowed for one in deviations(judged, moved, rule))


# --- verdict, numbers, figures ---


def synthetic(digits=0.995, seen=0.999, unseen=0.99, n_replicas=15, n_folds=5):
    """Accuracies of judges that are all alike, with a little scatter between machines."""
    p0, at = np.arange(9) / 10, np.arange(n_replicas)
    known = at[None, :] % n_folds != np.arange(n_folds)[:, None]
    scatter = 0.0005 * np.cos(np.arange(9 * n_replicas * 2)).reshape(9, n_replicas, 2)
    rejected = np.where(known[:, None, :, None], seen, unseen) + scatter
    accuracy = xr.Dataset(
        {
            "digits": (("recipe", "fold"), np.full((1, n_folds), digits)),
            "rejected": (("recipe", "fold", "dilution", "replica", "removed"), rejected[None]),
            "seen": (("recipe", "fold", "replica"), known[None]),
        },
        {
            "recipe": [OVER_PRUNED],
            "fold": range(n_folds),
            "dilution": p0,
            "replica": at,
            "removed": [0.9, 0.95],
        },
    )
    return Study(accuracy, xr.Dataset(), xr.Dataset())


@pytest.mark.parametrize(
    ("accuracies", "outcome"),
    [
        ({}, "reproduced"),
        ({"unseen": 0.9}, "reproduced in part"),
        ({"unseen": 0.9, "seen": 0.95}, "not reproduced"),
        ({"digits": 0.9}, "not reproduced"),
        ({"unseen": 0.975}, "not decided"),
        ({"unseen": 0.975, "seen": 0.975}, "not decided"),
    ],
)
def test_both_new_images_and_new_machines_settle_whether_the_judge_is_right(accuracies, outcome):
    (verdict,) = claims.settle(synthetic(**accuracies), BOOK)
    assert (verdict.id, verdict.seeds, verdict.profile) == ("B7.judge", 15, "book")
    assert verdict.verdict == outcome
    assert verdict.interval[0] <= verdict.value <= verdict.interval[1] <= 1
    assert verdict.reason.endswith(".")


def test_shares_by_machine_are_means_over_the_judges_that_count():
    accuracy = synthetic().accuracy
    accuracy["rejected"] = accuracy.rejected + 0.001 * xr.DataArray(np.arange(5), dims="fold")
    of = accuracy.rejected.sel(recipe=OVER_PRUNED)
    unseen = claims.by_machine(accuracy, OVER_PRUNED, seen=False)
    seen = claims.by_machine(accuracy, OVER_PRUNED, seen=True)
    for replica in range(15):
        own = replica % 5
        np.testing.assert_allclose(unseen.sel(replica=replica), of.sel(replica=replica, fold=own))
        others = [fold for fold in range(5) if fold != own]
        np.testing.assert_allclose(
            seen.sel(replica=replica), of.sel(replica=replica, fold=others).mean("fold")
        )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"images": "own.npz", "images_checksum": "0"},
            "settled for MNIST; this run has the images of own.npz",
        ),
        ({"n_hidden": 64}, "settled for n_hidden = 400; this run has 64"),
        ({"n_replicas": 4}, "needs at least 5 replicas; this run has 4"),
    ],
)
def test_a_run_that_cannot_settle_the_claim_decides_nothing_and_says_why(changes, reason):
    (verdict,) = claims.settle(synthetic(), {**BOOK, **changes})
    assert (verdict.verdict, verdict.value, verdict.reason) == ("not decided", None, reason)


def test_the_claim_is_the_catalogues(root):
    catalogue = {
        claim.id: claim for claim in load_claims(root / "book" / "rbmbook" / "evidence" / "claims.toml")
    }
    assert "98.5 %" in catalogue[claims.CLAIMS[0]].rule


def test_every_number_that_the_chapter_quotes_is_there_for_any_run(study, parameters, root):
    numbers = claims.numbers(study, parameters)
    text = (root / "notebooks" / "quality_judge.md").read_text(encoding="utf-8")
    quoted = {part.split("`", 1)[0] for part in text.split("{glue:text}`")[1:]}
    assert quoted <= set(numbers) | {"setting", *(f"{name}-verdict" for name in claims.CLAIMS)}
    assert all(isinstance(one, str) and one and "nan" not in one for one in numbers.values())
    without = Study(
        study.accuracy.sel(recipe=list(RECIPES[:2])),
        study.curves.sel(recipe=list(RECIPES[:2])),
        study.pictures,
    )
    assert claims.numbers(without, parameters)["machines-by-both"] == DASH


def test_figures_are_drawn_for_a_small_run(study):
    accuracy, curves = study.accuracy, study.curves
    assert "<image" in figures.pictures(study.pictures).html
    machines = figures.by_machine(
        claims.by_machine(accuracy, OVER_PRUNED, seen=False),
        claims.by_machine(accuracy, SYNTHETIC, seen=False),
        0.985,
    )
    assert machines.html.count("<svg") == 3
    table = figures.matrix(
        accuracy, claims.rejected(accuracy, seen=True), claims.rejected(accuracy, seen=False)
    )
    for family in negatives.FAMILIES:
        assert family in table.text
    assert "machines seen: over-pruned machines" in table.text
    drawn = figures.quality_curves(
        curves, claims.cross_fitted_by_recipe(curves), claims.digits_by_recipe(accuracy)
    )
    assert "without pruning" in drawn.text
