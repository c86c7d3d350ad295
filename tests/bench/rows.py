"""What is timed: each row makes one pair of callables that do the same work on the same input."""

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np
import tenpy.linalg.np_conserved as npc
import torch
from qucumber.nn_states import PositiveWaveFunction
from qucumber.utils import training_statistics
from tenpy.networks.mps import MPS
from tenpy.networks.site import SpinHalfSite

from rbmlib import quantum
from rbmlib.rbm import RBM
from rbmlib.training import train

warnings.simplefilter("ignore")
torch.set_num_threads(1)

FIELD = 1.0  # h/J: the critical point
SEED = 1


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two sides to be timed, in ``turns`` turns.

    Their seconds are divided by their units: the faster side does more of the same in a turn, so that what else the
    machine does falls on both sides alike.
    """

    ours: Callable[[], object]
    peer: Callable[[], object]
    turns: int
    units_ours: int = 1
    units_peer: int = 1


def repeated(times: int, work: Callable[[], object]) -> Callable[[], object]:
    """Do the same several times."""
    return lambda: [work() for _ in range(times)]


def in_qucumber(machine: RBM) -> PositiveWaveFunction:
    """The same machine as QuCumber holds it: in double precision, weights transposed."""
    state = PositiveWaveFunction(machine.n_visible, machine.n_hidden, gpu=False)
    state.rbm_am.weights.data = torch.tensor(machine.weights.T, dtype=torch.double)
    state.rbm_am.visible_bias.data = torch.tensor(machine.visible_bias, dtype=torch.double)
    state.rbm_am.hidden_bias.data = torch.tensor(machine.hidden_bias, dtype=torch.double)
    return state


def contrastive_divergence(n_spins: int, n_hidden: int, turns: int) -> Pair:
    """One epoch of CD-10 over 1e5 samples in mini-batches of 100."""
    samples = quantum.ground_state(n_spins, FIELD).sample(100_000, SEED)
    machine = RBM.random(n_spins, n_hidden, SEED)
    theirs = in_qucumber(machine)
    data = torch.tensor(samples, dtype=torch.double)
    batches = {"pos_batch_size": 100, "neg_batch_size": 100}

    def ours() -> object:
        return train(machine, samples, n_epochs=1, learning_rate=0.01, seed=SEED, k=10, batch_size=100)

    return Pair(
        repeated(8, ours), lambda: theirs.fit(data, epochs=1, k=10, lr=0.01, **batches), turns, units_ours=8
    )


def divergence_and_fidelity(n_spins: int, n_hidden: int) -> Pair:
    """Kullback-Leibler divergence and fidelity to the ground state, over all configurations."""
    exact = quantum.ground_state(n_spins, FIELD).probabilities()
    samples = quantum.ground_state(n_spins, FIELD).sample(100_000, SEED)
    machine = train(
        RBM.random(n_spins, n_hidden, SEED), samples, n_epochs=3, learning_rate=0.1, seed=SEED
    ).rbm
    theirs = in_qucumber(machine)
    space = theirs.generate_hilbert_space()
    # QuCumber counts the first site as the most significant bit.
    codes = quantum.encode(space.numpy().astype(np.uint8))
    target = torch.zeros(2, len(exact), dtype=torch.double)
    target[0] = torch.tensor(np.sqrt(exact[codes]))

    def ours() -> tuple[float, float]:
        probabilities = machine.probabilities()
        return (
            quantum.kullback_leibler(exact, probabilities),
            1.0 - quantum.infidelity(exact, probabilities),
        )

    def peer() -> tuple[float, float]:
        return training_statistics.KL(theirs, target, space), training_statistics.fidelity(
            theirs, target, space
        )

    np.testing.assert_allclose(ours(), peer(), rtol=1e-9)
    return Pair(repeated(40, ours), peer, 15, units_ours=40)


def mps_sampling(n_spins: int) -> Pair:
    """One measurement of all spins of a ground state, drawn from the same tensors."""
    state = quantum.ground_state(n_spins, FIELD)
    tensors = [npc.Array.from_ndarray_trivial(tensor, labels=["vL", "p", "vR"]) for tensor in state.tensors]
    bonds = [np.ones(size) for size in state.bond_dimensions]
    theirs = MPS([SpinHalfSite(conserve=None)] * n_spins, tensors, bonds, bc="finite", form="B")
    generator = np.random.default_rng(SEED)
    drawn, drawn_by_peer = 100_000, 12

    def peer() -> list[tuple[list[int], float]]:
        # The tensors are normalised to what the truncation leaves, not to TeNPy's default of 1e-12.
        return [theirs.sample_measurements(rng=generator, norm_tol=1e-6) for _ in range(drawn_by_peer)]

    for spins, amplitude in peer():
        log_probability = state.log_probability(np.array([spins], dtype=np.uint8))[0]
        np.testing.assert_allclose(log_probability, 2.0 * np.log(abs(amplitude)), rtol=1e-9, atol=1e-9)
    return Pair(lambda: state.sample(drawn, SEED), peer, 5, drawn, drawn_by_peer)


ROWS: dict[str, Callable[[], Pair]] = {
    "cd10_18x9_vs_qucumber": lambda: contrastive_divergence(18, 9, 7),
    "cd10_50x25_vs_qucumber": lambda: contrastive_divergence(50, 25, 5),
    "mps_sampling_n50_vs_tenpy": lambda: mps_sampling(50),
    "kl_fidelity_18x9_vs_qucumber": lambda: divergence_and_fidelity(18, 9),
}
