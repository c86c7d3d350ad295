"""Sparse training: which machines a tiny run has, what they share and where they differ, and what is refused."""

from functools import partial

import numpy as np
import pytest

from rbmbook.lab.store import Store
from rbmbook.lab.sweep import sweep
from rbmbook.studies.ising.cells import Recipe, draw_data, ground_state
from rbmbook.studies.ising.reference import MEASURES
from rbmbook.studies.sparse_training import figures
from rbmbook.studies.sparse_training import study as sparse_training
from rbmbook.studies.sparse_training.study import PROFILES, SHARES, shuffled
from rbmlib.clusters import cluster_mask, standing_out
from rbmlib.masks import constructed_mask
from rbmlib.pruning import connected_components
from rbmlib.rbm import RBM

TINY = {
    "n_spins": 6, "n_hidden": 3, "fields": [1.0], "n_seeds": 2, "n_samples": 300, "k": 1, "batch_size": 50, "n_epochs": 10,
    "finetune_epochs": 2, "prune_fraction": 0.2, "n_iterations": 2, "window": 5, "ablation_seeds": 1, "wide_hidden": 5,
    "check_seeds": 1,
}  # fmt: skip
KEPT = 12  # round(0.8**2 * 18)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(None, tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def study(store):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse_training, "sweep", partial(sweep, store=store, workers=1, progress=False))
        return sparse_training.results(**TINY)


def mask(study, variant, seed=0):
    return study.main.weights.sel(variant=variant, field=1.0, seed=seed).values != 0


def test_every_variant_has_its_place_and_missing_seeds_are_nan(study):
    main = study.main
    assert main.variant.values.tolist() == list(sparse_training.variants({**TINY}))
    assert main.final.dims == ("variant", "field", "seed", "measure")
    assert main.measure.values.tolist() == list(MEASURES)
    few = ["sc 1", "sc 2", *map(shuffled, SHARES), "relocated"]
    assert np.isnan(main.final.sel(variant=few, seed=1)).all()
    assert np.isfinite(main.final.sel(variant=few, seed=0)).all()
    assert np.isfinite(main.final.drop_sel(variant=few)).all()
    assert study.wide.weights.transpose("field", "seed", "visible", "hidden").shape == (1, 1, 6, 5)
    assert study.checks.variant.values.tolist() == list(sparse_training.CHECKED)
    assert np.isfinite(study.checks.final).all()


def test_every_sparse_machine_has_as_many_weights_as_the_pruned_one(study):
    for variant in (
        "pruned",
        "ss",
        "os",
        "other weights",
        "repeat",
        "sc",
        "sc 1",
        "sc 2",
        "random",
        *map(shuffled, SHARES),
    ):
        assert mask(study, variant).sum() == KEPT
    assert mask(study, "dense").all()


def test_masks_come_from_where_their_names_say(study):
    for variant in ("ss", "other weights", "repeat"):
        np.testing.assert_array_equal(mask(study, variant), mask(study, "pruned"))
    np.testing.assert_array_equal(mask(study, "os", seed=0), mask(study, "pruned", seed=1))
    np.testing.assert_array_equal(mask(study, "os", seed=1), mask(study, "pruned", seed=0))
    np.testing.assert_array_equal(mask(study, "sc"), constructed_mask(6, 3, KEPT))
    for share in SHARES:
        moved = mask(study, shuffled(share))
        np.testing.assert_array_equal(moved.sum(axis=0), mask(study, "pruned").sum(axis=0))
    dense = study.main.weights.sel(variant="dense", field=1.0, seed=0).values
    np.testing.assert_array_equal(mask(study, "relocated"), ~cluster_mask(standing_out(dense)))


def test_components_are_those_of_the_graphs(study):
    found = study.main.components.sel(field=1.0, seed=0)
    for variant in study.main.variant.values:
        assert found.sel(variant=variant) == connected_components(mask(study, variant))


def retrained(variant, mask_from, seeds, study):
    """The machine of a variant, trained here from its mask, its initial weights and its seeds."""
    data, _ = draw_data(ground_state(6, 1.0), 1.0, 300, seeds["data_seed"])
    start = RBM.random(6, 3, seeds["init_seed"], mask=mask_from)
    how = Recipe(k=1, batch_size=50, n_epochs=10, learning_rate=0.05, final_learning_rate=0.05)
    trained = how.train(start, data, seeds["training_seed"]).rbm
    np.testing.assert_array_equal(
        trained.weights, study.main.weights.sel(variant=variant, field=1.0, seed=0).values
    )


def test_variants_of_a_seed_share_data_and_chains_and_differ_in_mask_or_initial_weights_alone(study):
    own, other = (sparse_training._seeds(1.0, seed) for seed in (0, 1))
    retrained("dense", None, own, study)
    retrained("ss", mask(study, "pruned"), own, study)
    retrained("os", mask(study, "pruned", seed=1), own, study)
    retrained("other weights", mask(study, "pruned"), {**own, "init_seed": other["init_seed"]}, study)
    retrained("sc", constructed_mask(6, 3, KEPT), own, study)


def test_a_repetition_differs_in_its_chains(study):
    weights = study.main.weights.sel(field=1.0, seed=0)
    assert (weights.sel(variant="repeat") != weights.sel(variant="ss")).any()


def test_final_errors_are_means_over_the_window_and_the_checks_are_last_values(study, store):
    training = study.main.training.sel(variant="ss", field=1.0, seed=0)
    assert training.epoch.values.tolist() == [1, 5, 10, 11, 12, 13, 17, 19]
    final = study.main.final.sel(variant="ss", field=1.0, seed=0)
    np.testing.assert_allclose(final, training.sel(epoch=10))
    pruned = study.main.sel(variant="pruned", field=1.0, seed=0)
    # Two epochs after the first iteration; two and the window after the second. Epochs 1, 5 and 7 of it are recorded.
    assert pruned.training.dropna("epoch").epoch.values.tolist() == [11, 12, 13, 17, 19]
    np.testing.assert_allclose(pruned.final, pruned.training.sel(epoch=[17, 19]).mean("epoch"))


def test_nothing_is_trained_twice():
    cells = sparse_training.cells()
    assert len(set(cells)) == len(cells)
    # Two fields: eight variants of ten seeds (dense and pruned are one cell), seven and the wide one of five, four
    # checks of three (again dense and pruned are one).
    assert len(cells) == 2 * (7 * 10 + 8 * 5 + 4 * 3)


def test_a_second_call_computes_nothing(study, store, monkeypatch):
    lines = []
    monkeypatch.setattr(
        sparse_training, "sweep", partial(sweep, store=store, workers=1, progress=lines.append)
    )
    assert sparse_training.results(**TINY).main.identical(study.main)
    assert lines == []


def test_parts_that_are_left_out_are_none(store, monkeypatch):
    monkeypatch.setattr(sparse_training, "sweep", partial(sweep, store=store, workers=1, progress=False))
    left = sparse_training.results(**{**TINY, "ablation_seeds": 0, "check_seeds": 0})
    assert left.wide is None
    assert left.checks is None
    assert "relocated" not in left.main.variant


@pytest.mark.parametrize("smaller", [False, True])
def test_every_figure_draws_a_whole_run_and_one_that_leaves_parts_out(study, smaller):
    main, wide, checks = study.main, study.wide, study.checks
    if smaller:
        few = [
            name for name, number in sparse_training.variants({**TINY, "ablation_seeds": 0}).items() if number
        ]
        main, wide, checks = main.sel(variant=few), None, None
    drawn = [
        figures.training_curves(main), figures.final_errors(main), figures.mask_pictures(main),
        figures.cluster_pictures(main, wide),
    ]  # fmt: skip
    assert all("<svg" in one.html for one in drawn)
    parts = [figures.breaking_curves(main, SHARES), figures.rate_comparison(main, checks)]
    assert [("leaves this part out" in one.text) for one in parts] == [smaller, smaller]
    table = figures.cluster_table({"three hidden units": main.weights.sel(variant="dense", field=1.0)})
    assert "three hidden units" in table.html
    assert "% with one cluster" in table.text


def test_the_notebooks_own_parameters_are_the_book_profile(root):
    from rbmbook.publish.parameters import LABEL, declared

    text = (root / "notebooks" / "sparse_training.md").read_text(encoding="utf-8")
    source = text.split(":tags: [parameters]", 1)[1].split("```", 1)[0]
    defaults = {name: parameter.default for name, parameter in declared(source).items()}
    assert defaults.pop(LABEL) == "book"
    assert defaults == dict(PROFILES["book"].parameters)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_spins": 1}, "n_spins must be an integer >= 2, not 1"),
        (
            {"n_spins": 21},
            "n_spins must be at most 20, because errors are summed over all configurations, not 21",
        ),
        ({"n_seeds": 1, "ablation_seeds": 1, "check_seeds": 1}, "n_seeds must be at least 2"),
        ({"fields": [0.0]}, "fields must be different positive numbers"),
        ({"learning_rate": -1.0}, r"learning_rate must be a positive number, not -1\.0"),
        ({"window": 0}, "window must be an integer >= 1, not 0"),
        ({"window": 501}, "window must be at most n_epochs = 500, not 501"),
        ({"ablation_seeds": 11}, "ablation_seeds must be at most n_seeds = 10, not 11"),
        ({"ablation_seeds": -1}, r"ablation_seeds must be an integer >= 0 \(0 leaves .* not -1"),
        ({"wide_hidden": 1.5}, r"wide_hidden must be an integer >= 0 .* not 1\.5"),
        ({"check_seeds": 11}, "check_seeds must be at most n_seeds = 10, not 11"),
        (
            {"n_iterations": 18},
            "n_iterations must be smaller than 18 for this size: n_keep must be larger than 24",
        ),
        ({"n_hiden": 3}, "n_hiden.*n_hidden"),
    ],
)
def test_a_bad_parameter_is_named_before_anything_is_computed(change, message):
    with pytest.raises((ValueError, LookupError), match=message):
        sparse_training.cells(**change)
