r"""The tensors behind :mod:`rbmlib.accelerator.training`: chains and training of several machines, each product one of a batch.

Equations and names are those of :mod:`rbmlib.kernels.large_pcd`. Torch is imported by what needs it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.initialisation import derived_seed
from ..persistent import _LARGEST_BOUND, _mini_batches

if TYPE_CHECKING:
    import torch

RUNNING = -1
"""In the place of the update in which a replica diverged, if it did not."""


@contextlib.contextmanager
def on_device(device: str | None, n_threads: int) -> Iterator[torch.device]:
    """The device to compute on; gradients are off and the processor has so many threads meanwhile.

    Parameters
    ----------
    device : str, optional
        Torch's name of it. If not given, what the environment variable ``RBMLIB_DEVICE`` names, else an accelerator
        if torch sees one, else the processor.
    n_threads : int
        Threads of the processor.

    Raises
    ------
    ValueError
        If torch cannot use the device.
    ModuleNotFoundError
        If torch is not installed; the message says how to install it.
    """
    torch = _torch()
    given = device or os.environ.get("RBMLIB_DEVICE")
    name = given or str(torch.accelerator.current_accelerator(check_available=True) or "cpu")
    try:
        place = torch.device(name)
        torch.zeros(1, device=place).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = f"{error}".partition("\n")[0]
        raise ValueError(
            f"{'device' if device else 'RBMLIB_DEVICE'} must name a device that torch can use here, such as cpu or cuda, "
            f"not {name!r}: {why}"
        ) from error
    threads = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with torch.inference_mode():
            yield place
    finally:
        torch.set_num_threads(threads)


def device_name(device: str | None = None) -> str:
    """What :func:`on_device` computes on: ``"cpu"``, or such as ``"cuda, NVIDIA H200"``."""
    torch = _torch()
    with on_device(device, torch.get_num_threads()) as place:
        if place.type == "cuda":
            return f"cuda, {torch.cuda.get_device_name(place)}"
        return place.type


def to_device(array: NDArray[Any], place: torch.device) -> torch.Tensor:
    """A copy of an array on a device, as float32."""
    torch = _torch()
    return torch.tensor(np.ascontiguousarray(array), device=place).to(torch.float32)


def to_array(tensor: torch.Tensor) -> NDArray[Any]:
    """A copy of a tensor as an array."""
    return np.array(tensor.cpu().numpy())


class Chains:
    """Chains of several machines on a device, and room for their Gibbs steps.

    Parameters
    ----------
    visible : tensor of float32, (n_machines, n_chains, n_visible)
        Their states, which change in place.
    n_hidden : int
        Hidden units of a machine.
    """

    def __init__(self, visible: torch.Tensor, n_hidden: int) -> None:
        torch = _torch()
        self.visible = visible
        self.hidden = visible.new_empty((*visible.shape[:2], n_hidden))
        self.visible_numbers = torch.empty_like(self.visible)
        self.hidden_numbers = torch.empty_like(self.hidden)
        self._generator = torch.Generator(visible.device)

    def seed(self, word: int) -> None:
        """Begin a new row of random numbers."""
        self._generator.manual_seed(word)

    def step(self, weights: torch.Tensor, visible_bias: torch.Tensor, hidden_bias: torch.Tensor) -> None:
        """One Gibbs step v -> h -> v of every chain; parameters have a first axis for the machines."""
        torch = _torch()
        torch.baddbmm(hidden_bias[:, None], self.visible, weights, out=self.hidden)
        self._draw(self.hidden, self.hidden_numbers)
        torch.baddbmm(visible_bias[:, None], self.hidden, weights.mT, out=self.visible)
        self._draw(self.visible, self.visible_numbers)

    def _draw(self, fields: torch.Tensor, numbers: torch.Tensor) -> None:
        fields.sigmoid_().gt_(numbers.uniform_(generator=self._generator))

    def states(self) -> NDArray[np.uint8]:
        """The visible states, (n_machines, n_chains, n_visible)."""
        return to_array(self.visible.byte())


class Training:
    """Replicas in training on a device.

    Parameters
    ----------
    parameters : sequence of array
        Weights (n_replicas, n_visible, n_hidden), visible and hidden biases.
    offsets : sequence of array
        Visible and hidden offsets.
    mask : array of bool, (n_replicas, n_visible, n_hidden)
        Which weights exist.
    chains : array of uint8, (n_replicas, n_chains, n_visible)
        The persistent chains.
    samples : array of uint8, (n_samples, n_visible)
        The data.
    batch_size : int
        Samples per update.
    seeds : sequence of int
        A seed for each replica.
    update : int
        Updates done.
    diverged : array of int64, (n_replicas,)
        The update in which each diverged, or :data:`RUNNING`.
    place : torch.device
        Where.
    """

    def __init__(
        self,
        parameters: Sequence[NDArray[np.float32]],
        offsets: Sequence[NDArray[np.float32]],
        mask: NDArray[np.bool_],
        chains: NDArray[np.uint8],
        samples: NDArray[np.uint8],
        batch_size: int,
        seeds: Sequence[int],
        update: int,
        diverged: NDArray[np.int64],
        place: torch.device,
    ) -> None:
        torch = _torch()
        self.parameters = tuple(to_device(array, place) for array in parameters)
        self.offsets = tuple(to_device(array, place) for array in offsets)
        self.chains = Chains(to_device(chains, place), mask.shape[2])
        self.update, self.diverged = update, diverged.copy()
        self._missing = torch.tensor(~mask, device=place)
        self._gradient = torch.empty_like(self.parameters[0])
        self._samples = torch.tensor(samples, device=place)
        self._rows = [_mini_batches(len(samples), batch_size, update, seed) for seed in seeds]
        self._seed = np.uint64(0)
        for seed in seeds:
            self._seed = np.uint64(derived_seed(self._seed ^ np.uint64(seed), 0, 0))

    @property
    def running(self) -> NDArray[np.bool_]:
        """Which replicas have not diverged."""
        return self.diverged == RUNNING

    def advance(self, k: int, rate: float, offset_rate: float) -> None:
        """One update of every replica that still runs.

        Parameters
        ----------
        k : int
            Gibbs steps.
        rate : float
            Step size per unit of mean gradient.
        offset_rate : float
            Weight of the mini-batch in the offsets.
        """
        torch = _torch()
        weights, visible_bias, hidden_bias = self.parameters
        visible_offset, hidden_offset = self.offsets
        self.chains.seed(int(derived_seed(self._seed, self.update, 1)))
        for _ in range(k):
            self.chains.step(*self.parameters)

        rows = torch.tensor(np.stack([next(rows) for rows in self._rows]), device=weights.device)
        batch, visible = self._samples[rows].to(torch.float32), self.chains.visible
        learnt = torch.baddbmm(hidden_bias[:, None], batch, weights).sigmoid_()
        believed = torch.baddbmm(hidden_bias[:, None], visible, weights).sigmoid_()
        visible_mean, hidden_mean = batch.mean(1), learnt.mean(1)
        visible_offset += offset_rate * (visible_mean - visible_offset)
        hidden_offset += offset_rate * (hidden_mean - hidden_offset)

        by_visible, by_hidden = visible_mean - visible.mean(1), hidden_mean - believed.mean(1)
        gradient = torch.bmm(batch.mT, learnt, out=self._gradient)
        gradient.baddbmm_(visible.mT, believed, beta=1 / batch.shape[1], alpha=-1 / visible.shape[1])
        gradient.baddbmm_(visible_offset[:, :, None], by_hidden[:, None], alpha=-1)
        gradient.baddbmm_(by_visible[:, :, None], hidden_offset[:, None], alpha=-1)
        gradient.masked_fill_(self._missing, 0)

        rates = to_device(self.running * rate, weights.device)[:, None]
        visible_bias += rates * (by_visible - (gradient @ hidden_offset[:, :, None])[:, :, 0])
        hidden_bias += rates * (by_hidden - (visible_offset[:, None] @ gradient)[:, 0])
        weights += gradient.mul_(rates[:, :, None])
        self.update += 1
        self._stop_diverged()

    def _stop_diverged(self) -> None:
        """Set a replica to zero that has a parameter that is not finite, or too large."""
        total = sum(parameter.abs().flatten(1).sum(1) for parameter in self.parameters)
        for replica in np.flatnonzero(~to_array(total < _LARGEST_BOUND)):
            self.diverged[replica] = self.update
            for parameter in self.parameters:
                parameter[replica] = 0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The run as it stands, in arrays of its own, by the names of :class:`rbmlib.accelerator.training.BatchState`."""
        tensors = (*self.parameters, *self.offsets)
        names = ("weights", "visible_bias", "hidden_bias", "visible_offset", "hidden_offset")
        arrays = {name: to_array(tensor) for name, tensor in zip(names, tensors, strict=True)}
        return {**arrays, "chains": self.chains.states(), "diverged": self.diverged.copy()}


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "machines in batches need the package torch: pip install 'rbmlib[torch]'", name="torch"
        ) from error
    return torch
