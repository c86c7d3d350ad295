r"""What training in batches costs: operations counted, and how many of them a device does in a second.

One Gibbs step of a chain is two products of a state with the :math:`n_v \times n_h` weights; an update is ``k`` steps of
every chain, the hidden probabilities of chains and mini-batch, their products with the visible states, and what centring
adds. A floating-point operation is half a multiply-add.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from ..rbm import RBM
from ..training import _check_positive_integer
from .tensors import Chains, on_device, to_device
from .training import BatchState


class Cost(NamedTuple):
    """What a run of training costs.

    Attributes
    ----------
    multiply_adds : int
        Multiplications with an addition, of all replicas and updates.
    random_numbers : int
        Numbers drawn by the chains.
    bytes_moved : int
        Bytes that the Gibbs steps read and write, if nothing stays in fast memory from one operation to the next.
    bytes_held : int
        Bytes on the device: parameters, gradient, masks, data, chains and mini-batches.
    """

    multiply_adds: int
    random_numbers: int
    bytes_moved: int
    bytes_held: int

    @property
    def operations(self) -> int:
        """Floating-point operations: two for each multiply-add."""
        return 2 * self.multiply_adds

    def hours(self, rate: float) -> float:
        """Hours that the run takes at a rate in multiply-adds a second, such as :func:`measured_rate`."""
        if not rate > 0:
            raise ValueError(f"rate must be a positive number of multiply-adds a second, not {rate!r}")
        return self.multiply_adds / rate / 3600


def cost(
    n_visible: int,
    n_hidden: int,
    *,
    n_replicas: int,
    n_updates: int,
    k: int,
    n_chains: int,
    batch_size: int,
    n_samples: int = 60_000,
) -> Cost:
    """Count what :func:`rbmlib.accelerator.training.train_batch` does in a whole run; masks save nothing there.

    Parameters
    ----------
    n_visible, n_hidden : int
        Size of a machine.
    n_replicas : int
        Machines trained side by side.
    n_updates, k, n_chains, batch_size : int
        As for :func:`rbmlib.accelerator.training.train_batch`.
    n_samples : int
        Rows of the data.

    Returns
    -------
    Cost
    """
    for name, value in (
        ("n_visible", n_visible), ("n_hidden", n_hidden), ("n_replicas", n_replicas), ("n_updates", n_updates), ("k", k),
        ("n_chains", n_chains), ("batch_size", batch_size), ("n_samples", n_samples),
    ):  # fmt: skip
        _check_positive_integer(name, value)
    n_weights, n_units = n_visible * n_hidden, n_visible + n_hidden
    steps = k * n_chains
    # Weights: both outer products of centring, their products with the offsets, and the step itself.
    update = 2 * steps * n_weights + 2 * (n_chains + batch_size) * n_weights + 5 * n_weights
    # For every unit that is drawn: its field written, read and written by the sigmoid, its number written, both read
    # and the state written; and the state of every unit read once by the other layer's product.
    step_bytes = 4 * (k * 2 * n_weights + steps * 8 * n_units)
    held = n_replicas * (
        n_weights * (4 + 4 + 1) + 2 * 4 * n_units + 2 * 4 * n_chains * n_units + 4 * batch_size * n_units
    )
    return Cost(
        n_replicas * n_updates * update,
        n_replicas * n_updates * steps * n_units,
        n_replicas * n_updates * step_bytes,
        held + n_samples * n_visible,
    )


def measured_rate(
    n_visible: int = 784,
    n_hidden: int = 400,
    *,
    n_replicas: int = 15,
    n_chains: int = 500,
    seconds: float = 3.0,
    device: str | None = None,
    n_threads: int = 1,
) -> float:
    """Measure how fast a device makes Gibbs steps, their random numbers included; needs torch.

    Parameters
    ----------
    n_visible, n_hidden : int
        Size of a machine.
    n_replicas, n_chains : int
        Machines, and chains of each.
    seconds : float
        Least time to measure for; the first step is made before.
    device, n_threads
        As for :func:`rbmlib.accelerator.training.train_batch`.

    Returns
    -------
    float
        Multiply-adds a second.
    """
    for name, value in (("n_replicas", n_replicas), ("n_chains", n_chains), ("n_threads", n_threads)):
        _check_positive_integer(name, value)
    if not seconds > 0:
        raise ValueError(f"seconds must be a positive number, not {seconds!r}")
    with on_device(device, n_threads) as place:
        state = BatchState.of([RBM.random(n_visible, n_hidden, seed) for seed in range(n_replicas)])
        start = np.zeros((n_replicas, n_chains, n_visible), np.uint8)
        arrays = (state.weights, state.visible_bias, state.hidden_bias)
        parameters = tuple(to_device(array, place) for array in arrays)
        chains = Chains(to_device(start, place), n_hidden)
        chains.seed(0)

        def elapsed(n_steps: int) -> float:
            begun = time.perf_counter()
            for _ in range(n_steps):
                chains.step(*parameters)
            chains.visible.sum().item()  # waits for the device
            return time.perf_counter() - begun

        elapsed(1)
        n_steps, spent = 1, elapsed(1)
        while spent < seconds:
            n_steps = max(n_steps + 1, int(1.2 * n_steps * min(seconds / spent, 20)))
            spent = elapsed(n_steps)
    return 2 * n_visible * n_hidden * n_replicas * n_chains * n_steps / spent
