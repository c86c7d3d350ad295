"""Masks built by rule and masks whose entries have moved."""

import copy
import pickle

import numpy as np
import pytest

from rbmlib.clusters import clusters
from rbmlib.masks import constructed_mask, random_mask, shuffled_mask
from rbmlib.pruning import is_connected
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.rbm import RBM


@pytest.mark.parametrize("seed", [None, 0, 1, 2, 3])
@pytest.mark.parametrize(
    ("n_visible", "n_hidden", "n_keep"), [(18, 9, 96), (10, 5, 30), (12, 1, 12), (7, 7, 20)]
)
def test_a_constructed_mask_has_one_cluster_a_unit_and_a_connected_graph(n_visible, n_hidden, n_keep, seed):
    mask = constructed_mask(n_visible, n_hidden, n_keep, seed)
    found = clusters(mask)
    sizes = [len(each[0]) for each in found]
    assert [len(each) for each in found] == [1] * n_hidden
    assert sum(sizes) == mask.sum() == n_keep
    assert max(sizes) - min(sizes) <= 1
    assert is_connected(mask)


def test_the_papers_size_takes_six_clusters_of_eleven_and_three_of_ten():
    mask = constructed_mask(18, 9, 96)
    assert mask.sum(axis=0).tolist() == [11] * 6 + [10] * 3
    starts = mask.argmax(axis=0)
    assert (starts[0], starts[-1]) == (0, 8)
    assert set(np.diff(starts)) <= {0, 1, 2}


def test_drawn_placements_follow_their_seed():
    first = constructed_mask(18, 9, 96, 1)
    np.testing.assert_array_equal(first, constructed_mask(18, 9, 96, 1))
    assert (first != constructed_mask(18, 9, 96, 2)).any()


def test_places_are_drawn_again_until_the_graph_is_connected():
    # With 15 weights on 12 visible units few placements connect the graph.
    for seed in range(10):
        assert is_connected(constructed_mask(12, 3, 15, seed))


@pytest.mark.parametrize("seed", [None, 1])
def test_clusters_too_short_to_meet_are_refused(seed):
    with pytest.raises(ValueError, match="n_keep must be larger than 6: 3 clusters with so few weights"):
        constructed_mask(12, 3, 6, seed)


@pytest.mark.parametrize("n_keep", [2, 37])
def test_a_number_of_weights_out_of_range_is_refused(n_keep):
    with pytest.raises(
        ValueError, match=f"n_keep must lie between 3, one weight a hidden unit, and 36, not {n_keep}"
    ):
        constructed_mask(12, 3, n_keep)


def test_a_random_mask_has_as_many_weights_as_asked_for():
    assert random_mask(18, 9, 96, 3).sum() == 96
    assert (random_mask(18, 9, 96, 3) != random_mask(18, 9, 96, 4)).any()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_moving_entries_keeps_the_weights_of_every_hidden_unit(share):
    mask = constructed_mask(18, 9, 96, 1)
    moved = shuffled_mask(mask, share, 2)
    assert (moved.sum(axis=0) == mask.sum(axis=0)).all()
    # Some come back to where they were, or go where another left.
    assert ((mask & ~moved).sum(axis=0) <= np.round(share * mask.sum(axis=0))).all()
    assert share == 0 or (moved != mask).any()


def test_entries_that_stay_at_a_large_share_stay_at_a_small_one():
    # A full column has no free place: what is taken out goes back, so compare on one that is half full.
    mask = np.zeros((400, 1), dtype=bool)
    mask[:200] = True
    gone = [set(np.flatnonzero(mask & ~shuffled_mask(mask, share, 3))) for share in (0.25, 0.5, 1.0)]
    small, middle, large = (len(each) for each in gone)
    # Entries that left may be refilled by chance; with half of the places free about a half of them is not.
    assert small < middle < large
    assert len(gone[0] & gone[1]) > 0.4 * small


def test_moving_everything_forgets_the_mask():
    mask = np.zeros((40, 30), dtype=bool)
    mask[:10] = True
    mean = np.mean([shuffled_mask(mask, 1.0, seed)[:10].mean() for seed in range(20)])
    # Each of 6,000 places is taken with probability 1/4; places of one unit are drawn without replacement.
    assert abs(mean - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 6000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 2)), 0.5, 1), "mask must be a boolean array"),
        ((np.ones(3, dtype=bool), 0.5, 1), "mask must be a boolean array"),
        ((np.ones((2, 2), dtype=bool), 1.5, 1), r"share must lie in \[0, 1\], not 1\.5"),
        ((np.ones((2, 2), dtype=bool), 0.5, -1), "seed must be an integer"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        shuffled_mask(*arguments)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda machine: pickle.loads(pickle.dumps(machine)),
    "pickle 2": lambda machine: pickle.loads(pickle.dumps(machine, protocol=2)),
    "deepcopy in a list": lambda machine: copy.deepcopy([machine])[0],
    "replace": lambda machine: machine.replace(),
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_of_a_machine_keeps_its_mask_as_safely(way):
    mask = np.random.default_rng(1).random((5, 4)) < 0.5
    machine = RBM.random(5, 4, 3, mask=mask)
    twin = COPIES[way](machine)
    for name in ("weights", "visible_bias", "hidden_bias", "mask"):
        np.testing.assert_array_equal(getattr(twin, name), getattr(machine, name))
        assert getattr(twin, name).dtype == getattr(machine, name).dtype
        assert not getattr(twin, name).flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        twin.weights[~mask] = 1.0


@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle"])
def test_a_copy_of_a_matrix_product_state_can_be_written_to_as_little(way):
    tensor = np.zeros((1, 2, 1))
    tensor[0, :, 0] = 0.6, 0.8
    state = MatrixProductState((tensor, tensor), -1.5)
    twin = COPIES[way](state)
    assert twin.energy == -1.5
    for one, other in zip(twin.tensors, state.tensors, strict=True):
        np.testing.assert_array_equal(one, other)
        assert not one.flags.writeable
