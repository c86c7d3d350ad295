"""DMRG, exact diagonalisation and free fermions against each other and against plain matrices."""

import logging
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest

from rbmlib.quantum import (
    NotConverged,
    all_states,
    center_site,
    exact_diagonalization,
    free_fermions,
    ground_state,
)


def dense_hamiltonian(n_spins, field, sign_of_field):
    """-sum sz sz + sign h sum sx as a plain matrix over all states in the order of their codes."""
    sigma = 2.0 * all_states(n_spins) - 1.0
    matrix = np.diag(-(sigma[:, 1:] * sigma[:, :-1]).sum(axis=1))
    for code in range(2**n_spins):
        for site in range(n_spins):
            matrix[code ^ (1 << site), code] += sign_of_field * field
    return matrix


@pytest.mark.parametrize("field", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("n_spins", [2, 3, 4, 5, 8])
def test_exact_diagonalisation_agrees_with_the_full_matrix(n_spins, field):
    energies, vectors = np.linalg.eigh(dense_hamiltonian(n_spins, field, -1.0))
    exact = exact_diagonalization.ground_state(n_spins, field)
    assert exact.energy == pytest.approx(energies[0], abs=1e-12)
    assert np.abs(exact.amplitudes - np.abs(vectors[:, 0])).max() < 1e-10
    assert (exact.amplitudes > 0).all()


def test_the_papers_sign_of_the_field_changes_signs_of_amplitudes_only():
    n_spins, field = 5, 1.3
    energies, vectors = np.linalg.eigh(dense_hamiltonian(n_spins, field, +1.0))
    exact = exact_diagonalization.ground_state(n_spins, field)
    n_down = n_spins - all_states(n_spins).sum(axis=1)
    signed = exact.amplitudes * (-1.0) ** n_down
    assert energies[0] == pytest.approx(exact.energy, abs=1e-12)
    assert abs(signed @ vectors[:, 0]) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("n_spins", "field", "energy"),
    [
        (10, 1.0, -12.38149000),
        (18, 1.0, -22.56200872),
        (18, 2.0, -38.15602967),
        (50, 1.0, -63.30118916),
        (100, 1.0, -126.96187674),
        (100, 2.0, -212.57731291),
    ],
)
def test_free_fermion_energies_are_the_known_ones(n_spins, field, energy):
    assert free_fermions.ground_state_energy(n_spins, field) == pytest.approx(energy, abs=6e-9)


@pytest.mark.parametrize("n_spins", [2, 7, 100, 1000])
def test_the_critical_energy_has_its_closed_form(n_spins):
    closed = 1.0 - 1.0 / math.sin(math.pi / (4 * n_spins + 2))
    assert free_fermions.ground_state_energy(n_spins, 1.0) == pytest.approx(closed, rel=1e-12)


@pytest.mark.parametrize("field", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("n_spins", [2, 5, 10])
def test_free_fermion_energy_and_correlations_agree_with_exact_diagonalisation(n_spins, field):
    exact = exact_diagonalization.ground_state(n_spins, field)
    assert free_fermions.ground_state_energy(n_spins, field) == pytest.approx(exact.energy, abs=1e-12)
    sigma = 2.0 * all_states(n_spins) - 1.0
    enumerated = (sigma * exact.amplitudes[:, None] ** 2).T @ sigma
    assert np.abs(free_fermions.correlations(n_spins, field) - enumerated).max() < 1e-11


@pytest.mark.parametrize("n_spins", [2, 9, 30])
def test_the_correlation_from_the_centre_is_a_row_of_the_matrix(n_spins):
    row = free_fermions.correlations(n_spins, 0.9)[center_site(n_spins), center_site(n_spins) :]
    assert np.array_equal(free_fermions.correlation_from_center(n_spins, 0.9), row)
    assert len(row) == n_spins // 2 + 1


@pytest.mark.parametrize(
    ("n_spins", "field"),
    [
        (2, 0.5),
        (2, 2.0),
        (3, 1.0),
        (4, 1e-3),
        (10, 0.5),
        (10, 1.0),
        (10, 2.0),
        (9, 0.1),
        (18, 1.0),
    ],
)
def test_dmrg_agrees_with_exact_diagonalisation(chain, n_spins, field):
    state = chain(n_spins, field)
    exact = exact_diagonalization.ground_state(n_spins, field)
    amplitudes = state.amplitudes()
    assert abs(state.energy - free_fermions.ground_state_energy(n_spins, field)) < 1e-9
    assert np.abs(amplitudes - exact.amplitudes).max() < 1e-9
    assert amplitudes.min() > -1e-9


def test_a_weak_field_leaves_the_symmetric_state(chain):
    state = chain(12, 0.05)
    amplitudes = state.amplitudes()
    assert np.abs(amplitudes - amplitudes[::-1]).max() < 1e-12
    assert amplitudes[0] == pytest.approx(math.sqrt(0.5), abs=0.01)


@pytest.mark.parametrize(("n_spins", "field"), [(2, 1e-12), (2, 1e9), (12, 1e-12), (12, 1e9)])
def test_extreme_fields_converge_too(chain, n_spins, field):
    state = chain(n_spins, field)
    assert state.energy == pytest.approx(free_fermions.ground_state_energy(n_spins, field), rel=1e-12)
    magnetization = 2.0 * all_states(n_spins).mean(axis=1) - 1.0
    mean_square = state.probabilities() @ magnetization**2
    assert mean_square == pytest.approx(1.0 if field < 1 else 1.0 / n_spins, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("n_spins", "field"), [(50, 0.5), (50, 1.0)])
def test_dmrg_reaches_the_free_fermion_energy_of_a_long_chain(chain, n_spins, field):
    assert abs(chain(n_spins, field).energy - free_fermions.ground_state_energy(n_spins, field)) < 1e-9


@pytest.mark.stress
@pytest.mark.parametrize("field", [0.5, 1.0, 2.0])
def test_dmrg_reaches_the_free_fermion_energy_at_a_hundred_spins(chain, field):
    assert abs(chain(100, field).energy - free_fermions.ground_state_energy(100, field)) < 1e-9


def test_tensors_are_rotated_from_tenpys_own_basis():
    """TeNPy's expectation values of the same chain: its Sigmax is our sigma^z, its Sigmaz our sigma^x (sign removed)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tenpy.algorithms.dmrg import TwoSiteDMRGEngine
        from tenpy.models.tf_ising import TFIChain
        from tenpy.networks.mps import MPS

        model = TFIChain({"L": 8, "J": 1.0, "g": 1.2, "bc_MPS": "finite", "conserve": None})
        psi = MPS.from_product_state(model.lat.mps_sites(), ["up"] * 8, bc="finite", unit_cell_width=8)
        options = {"trunc_params": {"chi_max": 32, "svd_min": 1e-12}, "mixer": None, "max_E_err": 1e-13}
        engine = TwoSiteDMRGEngine(psi, model, options)
        _, psi = engine.run()
        engine.options.touch(*engine.options.keys())
        correlation = psi.correlation_function("Sigmax", "Sigmax")
        transverse = psi.expectation_value("Sigmaz")
    amplitudes = ground_state(8, 1.2).amplitudes()
    sigma = 2.0 * all_states(8) - 1.0
    ours = (sigma * amplitudes[:, None] ** 2).T @ sigma
    assert np.abs(ours - correlation).max() < 1e-8
    codes = np.arange(2**8)
    flips = [amplitudes @ amplitudes[codes ^ (1 << site)] for site in range(8)]
    assert np.abs(np.array(flips) - transverse).max() < 1e-8


def test_a_bond_dimension_that_is_too_small_is_told():
    with pytest.raises(NotConverged, match="raise chi_max"):
        ground_state(10, 1.0, chi_max=2)
    crude = ground_state(10, 1.0, chi_max=2, energy_tolerance=math.inf)
    assert max(crude.bond_dimensions) == 2
    assert crude.energy > free_fermions.ground_state_energy(10, 1.0) + 1e-6


def test_tenpy_is_silent_and_its_logger_is_left_as_it_was():
    script = (
        "import logging, warnings; warnings.simplefilter('error');"
        "logging.getLogger('tenpy').setLevel(logging.INFO);"
        "from rbmlib.quantum import ground_state;"
        "ground_state(4, 1.0); ground_state(7, 3.0);"
        "assert logging.getLogger('tenpy').level == logging.INFO"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert logging.getLogger("tenpy").level == logging.NOTSET


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ground_state(1, 1.0), ValueError, "n_spins must be at least 2, not 1"),
        (lambda: ground_state(2.5, 1.0), TypeError, "n_spins must be an integer, not 2.5"),
        (lambda: ground_state(True, 1.0), TypeError, "n_spins must be an integer"),
        (lambda: ground_state(4, -1.0), ValueError, "field must be positive and finite .* not -1"),
        (lambda: ground_state(4, math.nan), ValueError, "field must be positive and finite .* not nan"),
        (lambda: ground_state(4, "h"), TypeError, "field must be a number"),
        (lambda: ground_state(4, 1.0, chi_max=0), ValueError, "chi_max must be at least 1, not 0"),
        (lambda: ground_state(4, 1.0, svd_min=-1), ValueError, r"svd_min must lie in \[0, 1\)"),
        (lambda: ground_state(4, 1.0, energy_tolerance=0), ValueError, "energy_tolerance must be positive"),
        (lambda: exact_diagonalization.ground_state(19, 1.0), ValueError, "at most 18 here, not 19; .*DMRG"),
        (lambda: free_fermions.correlations(0, 1.0), ValueError, "n_spins must be at least 2, not 0"),
        (lambda: free_fermions.ground_state_energy(4, 0), ValueError, "field must be positive"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()
