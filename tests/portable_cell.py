"""Compute one whole small cell and print a hash of every array in it, as JSON: what test_portable_bits.py runs in many processes.

Usage: python portable_cell.py GROUND_STATE.npz N_THREADS
"""

import hashlib
import json
import math
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import xarray as xr

from rbmbook.studies.digits.cells import real_floors, sample_pruned, train_machine
from rbmbook.studies.ising.cells import prune_trained
from rbmlib.analysis.couplings import exact_couplings, gaussian_couplings
from rbmlib.annealing import annealed_importance_sampling, reverse_annealed_importance_sampling
from rbmlib.kernels.elementary import exp_array, log_array
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.mnist.images import Images
from rbmlib.persistent import LinearDecay, sample_chains, train_persistent
from rbmlib.quantum.mps import MatrixProductState
from rbmlib.quantum.observables import exact_observables
from rbmlib.rbm import RBM
from rbmlib.training import LearningRate, train


@numba.njit
def libm_exponentials(x, out):
    for i in range(x.size):
        out[i] = math.exp(x[i])


def digest(array):
    array = np.ascontiguousarray(array)
    return hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode() + array.tobytes()).hexdigest()


def without_spin_flip_symmetry(n_spins):
    """A right-canonical state from a Pythagorean rotation, whose entries need no linear algebra."""
    along, across = np.array([0.8, 0.6]), np.array([-0.6, 0.8])
    middle = np.array([np.outer(along, along), np.outer(across, along)])
    last = np.array([along, across])[:, :, None]
    return MatrixProductState((middle[:1], *[middle] * (n_spins - 2), last), -1.0)


def drawn_in_parts(rbm, n_samples, n_threads):
    """Samples whose chains are shared out among threads, in parts that end within a tile."""
    edges = np.linspace(0, n_samples, n_threads + 1).astype(int)
    with ThreadPoolExecutor(n_threads) as pool:
        parts = pool.map(
            lambda i: rbm.sample(edges[i + 1] - edges[i], 77, 5, first_chain=edges[i]), range(n_threads)
        )
        return np.concatenate(list(parts))


def cells_of_images(samples):
    """Results of the cells that train, prune and sample machines of binary images, and of their floors."""
    images = Images(samples[:70], samples[70:], (10, 12))
    with tempfile.TemporaryDirectory() as folder:
        source = {"images": str(Path(folder) / "images.npz"), "images_checksum": images.checksum}
        images.save(source["images"])
        machine = train_machine(
            **source, n_hidden=20, dilution=0.3, mask_seed=1, init_seed=2, training_seed=3, k=1, n_chains=21, batch_size=33,
            n_updates=4, learning_rate=0.1, held=0.5, record_every=9, ais_chains=20, ais_temperatures=9, ais_seed=4,
        )  # fmt: skip
        yield machine
        yield sample_pruned(
            **source, criterion="magnitude", order_seed=1, removed=(0.0, 0.6), n_samples=30, n_steps=3, sampling_seed=2,
            reference_seed=3, n_shown=2, machine=machine,
        )  # fmt: skip
        yield real_floors(**source, n_samples=15, n_sets=2, seed=5)


def arrays(ground_state, n_threads):
    """Name and value of everything sampled, trained or enumerated."""
    cell = prune_trained(
        n_hidden=5, field=1.0, n_samples=160, data_seed=1, init_seed=2, training_seed=3, k=3, batch_size=40, n_epochs=3,
        learning_rate=0.1, final_learning_rate=0.01, finetune_epochs=2, finetune_rate=0.02, final_finetune_rate=0.01,
        prune_fraction=0.3, n_iterations=3, ground_state=ground_state,
    )  # fmt: skip
    for name, variable in cell.data_vars.items():
        yield f"cell.{name}", variable.values

    x = np.concatenate([np.linspace(-710, 710, 5_001), np.linspace(-1, 1, 5_001)])
    out = np.empty_like(x)
    exp_array(x, out)
    yield "exp", out
    log_array(out.copy(), out)
    yield "log", out
    yield "derived_seed", np.array([derived_seed(np.uint64(2**63 + 5), i, 7) for i in range(8)])
    yield "rates", np.array([LearningRate(0.1, 0.001).at(epoch, 500) for epoch in range(500)])
    yield "mps.sample", without_spin_flip_symmetry(12).sample(200, 5)
    yield "mps.amplitudes", without_spin_flip_symmetry(12).amplitudes()

    # Block widths 10, 9, 6, 4 and 1, and more units than a word of packed states.
    for n_visible, n_hidden in ((18, 9), (50, 36), (3, 4), (6, 1)):
        rbm = RBM.random(n_visible, n_hidden, 11, scale=0.7).replace(hidden_bias=np.linspace(-1, 1, n_hidden))
        samples = drawn_in_parts(rbm, 101, n_threads)
        yield f"sample {n_visible}x{n_hidden}", samples
        yield f"free energy {n_visible}x{n_hidden}", rbm.free_energy(samples)
        models = {"Gaussian": gaussian_couplings(rbm)}
        if n_visible <= 18:
            models["exact"] = exact_couplings(rbm)
        for name, model in models.items():
            yield f"{name} fields {n_visible}x{n_hidden}", model.fields
            yield f"{name} couplings {n_visible}x{n_hidden}", model.couplings
        for name, annealed in (
            ("forwards", annealed_importance_sampling(rbm, 33, 20, 5, base=np.linspace(-1, 1, n_visible))),
            ("backwards", reverse_annealed_importance_sampling(rbm, samples[:33], 20, 5)),
        ):
            yield f"annealed {name} {n_visible}x{n_hidden}", annealed.log_weights
            yield f"annealed states {name} {n_visible}x{n_hidden}", annealed.states
        mask = np.arange(n_visible * n_hidden).reshape(n_visible, n_hidden) % 3 > 0
        state = train(
            rbm.replace(mask=mask),
            samples,
            n_epochs=2,
            learning_rate=0.05,
            seed=9,
            k=2,
            batch_size=33,
            n_chains=21,
            weight_decay=1e-3,
        )
        yield f"PCD {n_visible}x{n_hidden}", state.rbm.weights
        yield f"PCD chains {n_visible}x{n_hidden}", state.chains
        if n_visible <= 18:
            yield f"probabilities {n_visible}x{n_hidden}", state.rbm.probabilities()
            yield f"log Z {n_visible}x{n_hidden}", np.array(state.rbm.log_partition())
        if n_visible == 18:
            # More states than a block of the kernels' tables.
            for name, value in vars(exact_observables(state.rbm.probabilities(), 1.3)).items():
                yield f"exact {name}", np.array(value)

    # Whole panels of sixteen units and parts of one; few enough weights for sparse sums, and too many.
    for n_visible, n_hidden, kept in ((120, 48, 3), (50, 20, 8)):
        mask = np.arange(n_visible * n_hidden).reshape(n_visible, n_hidden) * 7 % 20 < kept
        rbm = RBM.random(n_visible, n_hidden, 11, scale=0.7, mask=mask)
        samples = sample_chains(rbm, np.zeros((101, n_visible)), 4, 77, n_threads=n_threads)
        settings = {"n_updates": 3, "learning_rate": LinearDecay(0.1), "n_chains": 21, "batch_size": 33}
        state = train_persistent(rbm, samples, seed=9, k=2, n_threads=n_threads, **settings)
        yield f"large sample {n_visible}x{n_hidden}", samples
        for name in ("weights", "visible_bias", "hidden_bias"):
            yield f"large PCD {name} {n_visible}x{n_hidden}", getattr(state.rbm, name)
        for name in ("chains", "visible_offset", "hidden_offset"):
            yield f"large PCD {name} {n_visible}x{n_hidden}", getattr(state, name)
        if n_visible == 120:
            for dataset in cells_of_images(samples):
                for name, variable in dataset.data_vars.items():
                    yield f"images {name} {sorted(dataset.sizes)}", variable.values

    x = np.linspace(-20, 20, 100_001)
    out = np.empty_like(x)
    libm_exponentials(x, out)
    yield "libm", out


if __name__ == "__main__":
    with np.load(sys.argv[1]) as archive:
        state = xr.Dataset(
            {
                "tensors": ("element", archive["tensors"]),
                "bond_dimensions": ("bond", archive["bond_dimensions"]),
                "energy": ((), archive["energy"]),
            }
        )
    print(json.dumps({name: digest(value) for name, value in arrays(state, int(sys.argv[2]))}))
