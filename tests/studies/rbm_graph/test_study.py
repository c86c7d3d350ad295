"""The graph of a small machine: where training started, what the figures draw, and the rule on its weights."""

import re

import numpy as np
import pytest
import xarray as xr

from rbmbook.studies.ising.cells import Recipe, draw_data
from rbmbook.studies.rbm_graph import claims, figures
from rbmbook.studies.rbm_graph import study as rbm_graph
from rbmbook.studies.rbm_graph.study import PROFILES
from rbmlib.rbm import RBM

BOOK = dict(PROFILES["book"].parameters)
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def results(tiny_run, sweeping):
    with sweeping(rbm_graph):
        return rbm_graph.results(**tiny_run)


# --- results ---


def test_the_notebooks_own_parameters_are_the_book_profile(declared_defaults):
    assert declared_defaults("rbm_graph") == BOOK


def test_the_cells_are_one_standard_run_for_each_field_and_seed():
    cells = rbm_graph.cells()
    assert len(set(cells)) == len(cells) == 20
    assert {cell.parameters["n_hidden"] for cell in cells} == {5}
    assert {cell.needs["ground_state"].parameters["n_spins"] for cell in cells} == {10}


def test_a_bad_parameter_is_named():
    with pytest.raises(ValueError, match="n_spins must be an integer >= 2, not 0"):
        rbm_graph.cells(n_spins=0)
    with pytest.raises((ValueError, LookupError), match=r"n_spin.*n_spins"):
        rbm_graph.cells(n_spin=10)


def test_training_from_the_initial_weights_gives_the_dense_machine(results, tiny_run):
    (cell,) = rbm_graph.cells(**{**tiny_run, "fields": [2.0], "n_seeds": 1})
    need = cell.needs["ground_state"]
    given = {name: cell.parameters[name] for name in ("field", "n_samples", "data_seed")}
    data, _ = draw_data(need.compute(**need.parameters), **given)
    names = ("k", "batch_size", "n_epochs", "learning_rate", "final_learning_rate")
    recipe = Recipe(**{name: cell.parameters[name] for name in names})
    here = results.sel(field=2.0, seed=0)
    start = RBM(here.initial.transpose("visible", "hidden").values, np.zeros(6), np.zeros(3))
    trained = recipe.train(start, data, cell.parameters["training_seed"]).rbm
    dense = here.weights.isel(stage=0).transpose("visible", "hidden").values
    np.testing.assert_array_equal(trained.weights, dense)


# --- the rule ---


def synthetic(dense, initial, n_seeds=10):
    """Machines of ten by five weights, (field, seed, visible, hidden) each, pruned from fifty to eight."""
    shape = (2, n_seeds, 10, 5)
    dense, initial = (np.broadcast_to(one, shape) for one in (dense, initial))
    pruned = np.where(np.arange(50).reshape(10, 5) < 8, dense, 0.0)
    return xr.Dataset(
        {
            "weights": (("field", "seed", "stage", "visible", "hidden"), np.stack([dense, pruned], axis=2)),
            "initial": (("field", "seed", "visible", "hidden"), initial),
            "kept": ("stage", np.array([50, 8])),
        },
        {"field": [1.0, 2.0], "seed": range(n_seeds)},
    )


GAUSSIAN = RNG.normal(size=(2, 10, 10, 5))
PEAKED = GAUSSIAN**3
FLAT = np.sign(GAUSSIAN)
OTHER = RNG.normal(size=(2, 10, 10, 5))
WEIGHTS = {
    "reproduced": PEAKED,
    "not reproduced": FLAT,
    "not decided": OTHER,
    "reproduced in part": np.stack([PEAKED[0], FLAT[1]]),
}


@pytest.mark.parametrize(("outcome", "dense"), WEIGHTS.items())
def test_the_share_of_the_largest_fifth_against_the_initial_one_settles_the_claim(outcome, dense):
    (verdict,) = claims.settle(synthetic(dense, GAUSSIAN), BOOK)
    assert (verdict.id, verdict.verdict) == ("A1.few-large-weights", outcome)
    assert verdict.interval[0] <= verdict.value <= verdict.interval[1]
    assert verdict.reason.endswith("pruning leaves 8 of 50 edges.")


def test_shares_are_those_of_the_ten_largest_of_fifty():
    dense, initial = claims.concentrations(synthetic(PEAKED, GAUSSIAN), 2.0)
    for seed in range(10):
        magnitude = sorted(abs(w) for w in PEAKED[1, seed].ravel())
        assert dense[seed] == pytest.approx(sum(magnitude[-10:]) / sum(magnitude))
    assert initial.mean() == pytest.approx(claims.GAUSSIAN, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_spins": 12}, "settled for n_spins = 10; this run has 12"),
        ({"fields": [1.0]}, "needs h/J = 1 and 2; this run has 1"),
        ({"n_seeds": 4}, "needs at least 5 seeds; this run has 4"),
    ],
)
def test_a_run_that_cannot_settle_the_claim_says_why(changes, reason):
    (verdict,) = claims.settle(synthetic(PEAKED, GAUSSIAN), {**BOOK, **changes})
    assert (verdict.verdict, verdict.value, verdict.reason) == ("not decided", None, reason)


def test_numbers_of_the_prose_are_there_for_every_field_and_a_dash_for_those_that_are_missing():
    every = claims.numbers(synthetic(PEAKED, GAUSSIAN))
    assert "\u2013" not in every.values()
    some = claims.numbers(synthetic(PEAKED, GAUSSIAN).sel(field=[2.0]))
    assert some.keys() == every.keys()
    assert some["graph-dense-critical"] == "\u2013"
    assert some["graph-dense-paramagnet"] == every["graph-dense-paramagnet"]
    assert every["graph-edges-left"] == "8"


# --- figures ---


def test_the_slider_has_the_start_and_every_stage_with_a_line_for_each_weight(results):
    markup = figures.graph_slider(results).html
    labels = re.findall(r'data-label="([^"]*)"', markup)
    assert labels[:3] == ["before training", "0: 18 weights", "1: 13 weights"]
    assert len(labels) == 6
    panel = figures._graph_panel(results.sel(field=1.0, seed=0), 2)
    (lines,) = panel.axes[0].collections
    assert len(lines.get_segments()) == 9


def test_lines_are_as_wide_as_weights_are_large_and_coloured_by_sign(results):
    here = results.sel(field=1.0, seed=0)
    (lines,) = figures._graph_panel(here, 0).axes[0].collections
    weights = here.weights.transpose("stage", "visible", "hidden").values
    expected = np.sort(
        np.maximum(figures.WIDEST * np.abs(weights[0]) / np.abs(weights).max(), figures._FAINTEST), axis=None
    )
    np.testing.assert_allclose(lines.get_linewidths(), np.minimum(expected, figures.WIDEST), rtol=1e-6)
    blue = (lines.get_colors()[:, 2] > lines.get_colors()[:, 0]).sum()
    assert blue == (weights[0] > 0).sum()


def test_the_other_figures_are_made_for_one_seed_and_one_field(results):
    one = results.isel(seed=[0], field=[0])
    for made in (figures.concentration_curves(one), figures.graph_slider(one), figures.procedure()):
        assert made.html.count("<svg") >= 1
    x, held = figures._held(np.array([[3.0, -1.0]]))
    np.testing.assert_allclose(x, [0, 0.5, 1])
    np.testing.assert_allclose(held, [[0, 0.75, 1]])
