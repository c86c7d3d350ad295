"""How far a machine is from the ground state that it reconstructs: the error measures of Golubeva & Melko,
section II.B.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbmlib.quantum import free_fermions
from rbmlib.quantum.errors import (
    correlation_mse,
    divergences,
    empirical_distribution,
    relative_error,
    relative_observable_error,
)
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.quantum.observables import (
    Observables,
    correlation_from_samples,
    exact_observables,
    magnetization_estimates,
    sampled_observables,
    up_spin_distribution,
)
from rbmlib.rbm import RBM

MEASURES = {
    "kl": "KL divergence to the exact state",
    "kl_data": "KL divergence to the data",
    "infidelity": "infidelity",
    "energy_error": "relative error of the energy",
    "order_error": "relative error of the order parameter",
    "correlation_mse": "mean squared error of the correlations, against the data",
    "correlation_mse_exact": "mean squared error of the correlations, against the exact state",
    "eroe": "eROE: relative observable error of the energy, with its 99 % error bar",
    "mroe": "mROE: relative observable error of the order parameter, with its 99 % error bar",
}
"""Name of each measure -> what it is. The order is that of the ``measure`` dimension."""

LONGEST_ENUMERATED_CHAIN = 20


@dataclass(frozen=True, eq=False)
class Reference:
    """The exact state and the data that a machine is compared with.

    Attributes
    ----------
    n_spins, n_samples : int
        Length of the chain; size of the data set, which is also n in the relative observable errors.
    field : float
        h / J.
    energy, order : float
        Exact energy in units of J and exact mean of |m|.
    correlation, data_correlation : array, (n_spins // 2 + 1,)
        C(d) from mid-chain of the exact state and of the data.
    up_spins, data_up_spins : array, (n_spins + 1,)
        Distribution of the number of up spins of the exact state and of the data.
    exact, data : array, (2**n_spins,), or None
        Both distributions over all configurations; None for more than 20 spins.
    """

    n_spins: int
    n_samples: int
    field: float
    energy: float
    order: float
    correlation: NDArray[np.float64]
    data_correlation: NDArray[np.float64]
    up_spins: NDArray[np.float64]
    data_up_spins: NDArray[np.float64]
    exact: NDArray[np.float64] | None
    data: NDArray[np.float64] | None

    @classmethod
    def of(cls, state: MatrixProductState, field: float, data: NDArray[np.uint8]) -> Reference:
        """The reference of a ground state and a data set drawn from it."""
        n_samples, n_spins = data.shape
        shared = {
            "n_spins": n_spins,
            "n_samples": n_samples,
            "field": field,
            "energy": state.energy,
            "data_correlation": correlation_from_samples(data),
            "data_up_spins": up_spin_distribution(data),
        }
        if n_spins > LONGEST_ENUMERATED_CHAIN:
            up_spins = state.up_spin_distribution()
            correlation, exact, drawn = free_fermions.correlation_from_center(n_spins, field), None, None
        else:
            exact = state.probabilities()
            drawn = empirical_distribution(data)
            observed = exact_observables(exact, field)
            up_spins, correlation = observed.up_spins, observed.correlation
        order = magnetization_estimates(up_spins)[1].mean
        return cls(**shared, order=order, correlation=correlation, up_spins=up_spins, exact=exact, data=drawn)

    def measure(self, rbm: RBM) -> NDArray[np.float64]:
        """All measures of a machine by enumeration, in the order of ``MEASURES``; NaN for more than 20
        spins.
        """
        return self.measure_with_observables(rbm)[0]

    def measure_with_observables(self, rbm: RBM) -> tuple[NDArray[np.float64], Observables | None]:
        """The measures of :meth:`measure` and the exact observables of the machine that they rest on."""
        if self.exact is None or self.data is None:
            return np.full(len(MEASURES), np.nan), None
        probabilities = rbm.probabilities()
        found = divergences(probabilities, self.exact, self.data)
        observed = exact_observables(probabilities, self.field)
        return self._row(
            {"kl": found.kl, "kl_data": found.kl_data, "infidelity": found.infidelity}, observed
        ), observed

    def measure_samples(
        self, rbm: RBM, samples: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], Observables]:
        """The measures that samples of a machine can give (the others NaN), and the observables that they
        rest on.
        """
        observed = sampled_observables(samples, rbm.free_energy, self.field)
        return self._row({}, observed), observed

    def _row(self, measures: dict[str, float], observed: Observables) -> NDArray[np.float64]:
        energy, order = observed.energy, observed.absolute_magnetization
        measures |= {
            "energy_error": relative_error(energy.mean, self.energy),
            "order_error": relative_error(order.mean, self.order),
            "correlation_mse": correlation_mse(observed.correlation, self.data_correlation),
            "correlation_mse_exact": correlation_mse(observed.correlation, self.correlation),
            "eroe": relative_observable_error(energy.mean, energy.std, self.energy, self.n_samples),
            "mroe": relative_observable_error(order.mean, order.std, self.order, self.n_samples),
        }
        return np.array([measures.get(name, np.nan) for name in MEASURES])
