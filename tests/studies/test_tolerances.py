"""Tolerances let through what linear algebra does on another processor, and nothing that a reader would see."""

import numpy as np
import pytest
import xarray as xr

from rbmbook.lab import recompute
from rbmbook.lab.compare import deviations
from rbmbook.studies.tolerances import TOLERANCES, infidelity, log_ratio
from rbmlib.quantum import tfim
from rbmlib.quantum.mps import MatrixProductState

GROUND = TOLERANCES["ground_state"]
FITTED = TOLERANCES["prune_fitted"]


@pytest.fixture(scope="module")
def state():
    return tfim.ground_state(8, 1.0)


def other_gauge(state):
    """The same state with the basis of every bond reflected."""
    draws = np.random.default_rng(3)
    tensors = [tensor.copy() for tensor in state.tensors]
    for left, right in zip(range(7), range(1, 8), strict=True):
        normal = draws.normal(size=tensors[left].shape[2])
        turn = np.eye(len(normal)) - 2 * np.outer(normal, normal) / (normal @ normal)
        tensors[left] = np.einsum("isj,jk->isk", tensors[left], turn)
        tensors[right] = np.einsum("kj,jsl->ksl", turn.T, tensors[right])
    return MatrixProductState(tuple(tensors), state.energy)


def test_the_infidelity_is_that_of_the_amplitudes(state):
    other = tfim.ground_state(8, 1.2)
    expected = 1 - float(state.amplitudes() @ other.amplitudes()) ** 2
    assert infidelity(state.to_dataset(), other.to_dataset()) == pytest.approx(expected, abs=1e-12)
    assert infidelity(state.to_dataset(), tfim.ground_state(6, 1.0).to_dataset()) == 1.0


def test_a_state_in_another_gauge_is_the_same_and_one_of_another_field_is_not(state):
    turned = other_gauge(state)
    assert np.abs(turned.tensors[4] - state.tensors[4]).max() > 0.1
    assert all(one.allowed for one in deviations(state.to_dataset(), turned.to_dataset(), GROUND))
    other = tfim.ground_state(8, 1.001)
    assert not any(one.allowed for one in deviations(state.to_dataset(), other.to_dataset(), GROUND))


def fitted(**factors):
    """A pruning result in the form of the cell's, with some measures multiplied from a stage on."""
    measures = ["kl", "kl_data", "infidelity"]
    values = np.geomspace(1e-4, 1e-2, 4)[:, None] * np.ones(3)
    for name, (stage, factor) in factors.items():
        values[stage:, measures.index(name)] *= factor
    plain = {name: ("x", [1.0, 2.0]) for name, rule in FITTED.items() if name.islower() and " " not in name}
    return xr.Dataset({**plain, "pruning": (("stage", "measure"), values)}, {"measure": measures})


@pytest.mark.parametrize(
    ("factors", "n_wrong"),
    [
        ({}, 0),
        ({"kl_data": (0, 1.0005), "kl": (0, 1.01)}, 0),
        ({"kl_data": (2, 1.1), "kl": (1, 0.6), "infidelity": (3, 1.5)}, 0),
        ({"kl_data": (0, 1.01)}, 1),
        ({"kl": (0, 1.05)}, 1),
        ({"kl_data": (3, 1.3)}, 1),
        ({"infidelity": (3, 3.0)}, 1),
        ({"infidelity": (0, np.nan)}, 2),
    ],
)
def test_a_fit_may_differ_a_little_before_pruning_and_more_along_it(factors, n_wrong):
    found = deviations(fitted(), fitted(**factors), FITTED)
    assert sum(not one.allowed for one in found) == n_wrong


def test_what_the_fit_does_not_touch_is_held_to_equality():
    changed = fitted()
    changed["data_correlation"] = ("x", [1.0, np.nextafter(2.0, 3)])
    assert [one.name for one in deviations(fitted(), changed, FITTED) if not one.allowed] == [
        "data_correlation"
    ]


def test_chains_too_long_to_enumerate_have_no_exact_measures_and_agree():
    nothing = fitted(kl=(0, np.nan))
    assert log_ratio("kl", dense=False)(nothing, nothing) == 0.0


def test_every_function_with_tolerances_exists():
    for name in TOLERANCES:
        # Found by name as verification does, which refuses a name that two modules define.
        assert callable(recompute._function(name, "rbmbook.studies"))
