"""What is timed: each row makes one pair of callables that do the same work on the same input."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tenpy.linalg.np_conserved as npc
import torch
from qucumber.nn_states import PositiveWaveFunction
from qucumber.utils import training_statistics
from rbms.bernoulli_bernoulli.classes import BBRBM
from rbms.training.pcd import fit_batch_pcd
from tenpy.networks.mps import MPS
from tenpy.networks.site import SpinHalfSite

from rbmlib import quantum
from rbmlib.persistent import sample_chains, train_persistent
from rbmlib.rbm import RBM
from rbmlib.training import train

warnings.simplefilter("ignore")

FIELD = 1.0  # h/J: the critical point
SEED = 1
Side = Callable[[], Any]


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


N_VISIBLE, N_HIDDEN, N_CHAINS = 784, 400, 512
ACTIVE = 0.13  # of MNIST's pixels, binarised above 127


def large_machine(diluted: float = 0.0) -> RBM:
    """A machine whose fields are about as wide as a trained one's, with few visible units on."""
    mask = np.random.default_rng(SEED).random((N_VISIBLE, N_HIDDEN)) >= diluted
    bias = np.full(N_VISIBLE, np.log(ACTIVE / (1 - ACTIVE)))
    return RBM.random(N_VISIBLE, N_HIDDEN, SEED, scale=0.08, mask=mask).replace(visible_bias=bias)


def images(n_images: int) -> np.ndarray:
    """States with as many pixels on as MNIST has; what a step costs does not depend on which."""
    return (np.random.default_rng(SEED).random((n_images, N_VISIBLE)) < ACTIVE).astype(np.uint8)


def in_torch(machine: RBM) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weights, visible and hidden bias, in single precision."""
    return tuple(torch.tensor(x) for x in (machine.weights, machine.visible_bias, machine.hidden_bias))


def gibbs(machine: RBM, peer_of: Callable[[RBM, torch.Tensor], Side], threads: int = 1) -> Pair:
    """One Gibbs step v -> h -> v of 512 chains; ours takes 20 steps a call, its preparation included."""
    start, n_steps = images(N_CHAINS), 20
    peer = peer_of(machine, torch.tensor(start, dtype=torch.float32))

    def ours() -> np.ndarray:
        return sample_chains(machine, start, n_steps, SEED, n_threads=threads)

    for _ in range(n_steps):
        theirs = peer()
    means = ours().mean(axis=0), theirs.numpy().mean(axis=0)
    np.testing.assert_allclose(*means, atol=6 * np.sqrt(0.5 / N_CHAINS))
    return Pair(ours, repeated(4, peer), 15, n_steps, 4)


def torch_chains(machine: RBM, visible: torch.Tensor) -> Side:
    """Gibbs sampling as one writes it in torch: a product with the bias added, a sigmoid, a draw."""
    weights, visible_bias, hidden_bias = in_torch(machine)

    def step() -> torch.Tensor:
        nonlocal visible
        hidden = torch.bernoulli(torch.sigmoid(torch.addmm(hidden_bias, visible, weights)))
        visible = torch.bernoulli(torch.sigmoid(torch.addmm(visible_bias, hidden, weights.T)))
        return visible

    return step


def rbms_chains(machine: RBM, visible: torch.Tensor) -> Side:
    """Gibbs sampling by rbms."""
    theirs = BBRBM(*in_torch(machine))
    chains = theirs.init_chains(len(visible), start_v=visible)

    def step() -> torch.Tensor:
        nonlocal chains
        chains = theirs.sample_state(chains, n_steps=1)
        return chains["visible"]

    return step


def persistent_update() -> Pair:
    """One update of PCD-10 with the centred gradient, 512 chains, mini-batches of 512."""
    machine, data, n_updates = large_machine(), images(4 * N_CHAINS), 4
    theirs = BBRBM(*in_torch(machine))
    theirs.init_grad()
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.01, maximize=True)
    rows = torch.tensor(data, dtype=torch.float32)
    chains = theirs.init_chains(N_CHAINS, start_v=rows[:N_CHAINS])

    def ours() -> object:
        settings = {"n_updates": n_updates, "learning_rate": 0.01, "seed": SEED, "k": 10}
        return train_persistent(machine, data, n_chains=N_CHAINS, batch_size=N_CHAINS, **settings)

    def peer() -> None:
        nonlocal chains
        batch = rows[torch.randperm(len(rows))[:N_CHAINS]], torch.ones(N_CHAINS)
        optimizer.zero_grad(set_to_none=False)
        chains, _ = fit_batch_pcd(batch, chains, theirs, gibbs_steps=10, beta=1.0)
        optimizer.step()

    return Pair(ours, peer, 11, n_updates)


# Name and threads of a row, and how to make it.
ROWS: dict[tuple[str, int], Callable[[], Pair]] = {
    ("cd10_18x9_vs_qucumber", 1): lambda: contrastive_divergence(18, 9, 7),
    ("cd10_50x25_vs_qucumber", 1): lambda: contrastive_divergence(50, 25, 5),
    ("mps_sampling_n50_vs_tenpy", 1): lambda: mps_sampling(50),
    ("gibbs_784x400_dense_vs_torch", 1): lambda: gibbs(large_machine(), torch_chains),
    ("gibbs_784x400_dense_vs_rbms", 1): lambda: gibbs(large_machine(), rbms_chains),
    ("gibbs_784x400_p80_vs_torch", 1): lambda: gibbs(large_machine(0.8), torch_chains),
    ("gibbs_784x400_p80_vs_torch", 2): lambda: gibbs(large_machine(0.8), torch_chains, threads=2),
    ("pcd10_784x400_vs_rbms", 1): persistent_update,
    ("kl_fidelity_18x9_vs_qucumber", 1): lambda: divergence_and_fidelity(18, 9),
}
