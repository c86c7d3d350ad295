"""Transverse-field Ising chains: ground states, measurements in the sigma^z basis, observables, errors.

The exact oracles are the modules ``free_fermions`` (energy and correlations at any length) and
``exact_diagonalization`` (short chains), whose functions are called through the module:
``free_fermions.ground_state_energy(18, 1.0)``.
"""

from . import exact_diagonalization, free_fermions
from .configurations import all_states, center_site, decode, encode
from .errors import (
    Divergences,
    correlation_mse,
    divergences,
    empirical_distribution,
    infidelity,
    kullback_leibler,
    relative_error,
    relative_observable_error,
)
from .mps import MatrixProductState
from .observables import (
    Estimate,
    Observables,
    OccurrenceRatio,
    correlation_from_samples,
    energy_from_samples,
    exact_correlation,
    exact_energy,
    exact_observables,
    magnetization_estimates,
    occurrence_ratio,
    sampled_observables,
    up_spin_distribution,
)
from .tfim import NotConverged, ground_state

__all__ = [
    "Divergences",
    "Estimate",
    "MatrixProductState",
    "NotConverged",
    "Observables",
    "OccurrenceRatio",
    "all_states",
    "center_site",
    "correlation_from_samples",
    "correlation_mse",
    "decode",
    "divergences",
    "empirical_distribution",
    "encode",
    "energy_from_samples",
    "exact_correlation",
    "exact_diagonalization",
    "exact_energy",
    "exact_observables",
    "free_fermions",
    "ground_state",
    "infidelity",
    "kullback_leibler",
    "magnetization_estimates",
    "occurrence_ratio",
    "relative_error",
    "relative_observable_error",
    "sampled_observables",
    "up_spin_distribution",
]
