"""What is timed: each row makes one pair of callables that do the same work on the same input."""

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np

from rbmlib.quantum import tfim

warnings.simplefilter("ignore")

FIELD = 1.0  # h/J: the critical point


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two sides to be timed; ``units`` are divided out, so that sides may differ in how much they do in one turn."""

    ours: Callable[[], object]
    peer: Callable[[], object]
    turns: int
    units_ours: int = 1
    units_peer: int = 1


def mps_sampling(n_spins: int) -> Pair:
    """One measurement of all spins of a ground state, drawn from the same tensors."""
    import tenpy.linalg.np_conserved as npc
    from tenpy.networks.mps import MPS
    from tenpy.networks.site import SpinHalfSite

    state = tfim.ground_state(n_spins, FIELD)
    site = SpinHalfSite(conserve=None)
    tensors = [
        npc.Array.from_ndarray_trivial(np.ascontiguousarray(tensor), labels=["vL", "p", "vR"])
        for tensor in state.tensors
    ]
    weights = [np.ones(bond) for bond in state.bond_dimensions]
    theirs = MPS([site] * n_spins, tensors, weights, bc="finite", form="B")
    generator = np.random.default_rng(1)
    drawn, tried = 100_000, 12

    def peer() -> list[object]:
        # The tensors are normalised to within what the truncation leaves, not to the default 1e-12.
        return [theirs.sample_measurements(rng=generator, norm_tol=1e-6) for _ in range(tried)]

    for spins, amplitude in peer():
        # TeNPy counts spin up as 0 in the site's basis; these tensors have it as 1.
        log_probability = state.log_probability(np.array([spins], dtype=np.uint8))[0]
        np.testing.assert_allclose(log_probability, 2 * np.log(abs(amplitude)), rtol=1e-9, atol=1e-9)
    return Pair(lambda: state.sample(drawn, 1), peer, 5, drawn, tried)


ROWS: dict[str, Callable[[], Pair]] = {
    "mps_sampling_n50_vs_tenpy": lambda: mps_sampling(50),
}
