"""The judge's convolutional network: the only module here that runs torch, which is imported by the functions
that need it.

Two convolutions, each halving the image, and one dense layer feed two outputs: one number that says digit or
not, and one number a class. Everything runs on one thread of the CPU, so that on one processor equal seeds give
equal bits; another processor's torch may round otherwise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

CHANNELS = (8, 16)
WIDTH = 64
SMALLEST_SIDE = 4
_BATCH = 2048

Parameters = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Fit:
    """How the network is trained.

    Attributes
    ----------
    n_updates : int
        Steps of Adam.
    batch_size : int
        Images of a step, half of them digits.
    learning_rate : float
        Of the first step; it falls linearly to zero.
    """

    n_updates: int = 2500
    batch_size: int = 128
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        for name, value, least in (("n_updates", self.n_updates, 1), ("batch_size", self.batch_size, 2)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{name} must be an integer >= {least}, not {value!r}")
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(f"learning_rate must be a positive number, not {self.learning_rate!r}")


def train(
    positives: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    negatives: NDArray[np.uint8],
    machine: NDArray[np.int64],
    shape: tuple[int, int],
    n_classes: int,
    fit: Fit,
    seed: int,
) -> dict[str, NDArray[np.float32]]:
    """Train a network on digits and on what is none.

    Parameters
    ----------
    positives : array of uint8, (n, n_pixels)
        Digits.
    labels : array of uint8, (n,)
        Their classes.
    negatives : array of uint8, (m, n_pixels)
        Images that are no digits.
    machine : array of int64, (m,)
        Where each negative comes from, 0 ... n_machines - 1; every machine is drawn equally often.
    shape : (int, int)
        Height and width.
    n_classes : int
        Number of classes.
    fit : Fit
        How.
    seed : int
        Seed of initial weights and batches.

    Returns
    -------
    dict of str to array of float32
        The parameters by name.
    """
    torch = _torch()
    from torch.nn import functional

    rng = np.random.default_rng(seed)
    order = np.argsort(machine, kind="stable")
    sizes = np.bincount(machine)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    n_digits = fit.batch_size // 2
    with _reproducible():
        torch.manual_seed(int(rng.integers(2**63)))
        network = _network(shape, n_classes)
        optimiser = torch.optim.Adam(network.parameters(), lr=fit.learning_rate)
        decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=fit.n_updates)
        is_digit = torch.zeros(fit.batch_size)
        is_digit[:n_digits] = 1.0
        for _ in range(fit.n_updates):
            digits = rng.integers(len(positives), size=n_digits)
            source = rng.integers(len(sizes), size=fit.batch_size - n_digits)
            others = order[starts[source] + rng.integers(sizes[source])]
            batch = _tensor(np.concatenate([positives[digits], negatives[others]]), shape)
            digit, kind = _outputs(network, batch)
            classes = torch.from_numpy(labels[digits].astype(np.int64))
            loss = functional.binary_cross_entropy_with_logits(digit, is_digit)
            loss = loss + functional.cross_entropy(kind[:n_digits], classes)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            decay.step()
        return {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}


def outputs(
    parameters: Parameters, images: NDArray[np.uint8], shape: tuple[int, int], n_classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The network's probability that each image is a digit, (n,), and of its being each class if it is one,
    (n, n_classes).
    """
    torch = _torch()
    with _reproducible(), torch.no_grad():
        network = _network(shape, n_classes)
        network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in parameters.items()})
        parts = []
        for start in range(0, len(images), _BATCH):
            digit, kind = _outputs(network, _tensor(images[start : start + _BATCH], shape))
            parts.append((torch.sigmoid(digit).numpy(), torch.softmax(kind, dim=1).numpy()))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))  # type: ignore[return-value]


def parameter_shapes(shape: tuple[int, int], n_classes: int) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter of the network for images of a size."""
    first, second = CHANNELS
    flat = second * -(-shape[0] // 4) * -(-shape[1] // 4)
    return {
        "first.weight": (first, 1, 5, 5),
        "first.bias": (first,),
        "second.weight": (second, first, 3, 3),
        "second.bias": (second,),
        "dense.weight": (WIDTH, flat),
        "dense.bias": (WIDTH,),
        "digit.weight": (1, WIDTH),
        "digit.bias": (1,),
        "kind.weight": (n_classes, WIDTH),
        "kind.bias": (n_classes,),
    }


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the judge needs the package torch: pip install 'rbmlib[torch]'", name="torch"
        ) from error
    return torch


def _network(shape: tuple[int, int], n_classes: int) -> torch.nn.ModuleDict:
    from torch import nn

    first, second = CHANNELS
    flat = second * -(-shape[0] // 4) * -(-shape[1] // 4)
    return nn.ModuleDict(
        {
            "first": nn.Conv2d(1, first, 5, stride=2, padding=2),
            "second": nn.Conv2d(first, second, 3, stride=2, padding=1),
            "dense": nn.Linear(flat, WIDTH),
            "digit": nn.Linear(WIDTH, 1),
            "kind": nn.Linear(WIDTH, n_classes),
        }
    )


def _outputs(network: torch.nn.ModuleDict, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    from torch.nn import functional

    hidden = functional.relu(network["first"](images))
    hidden = functional.relu(network["second"](hidden))
    hidden = functional.relu(network["dense"](hidden.flatten(1)))
    return network["digit"](hidden)[:, 0], network["kind"](hidden)


def _tensor(images: NDArray[np.uint8], shape: tuple[int, int]) -> torch.Tensor:
    import torch

    return torch.from_numpy(images.reshape(-1, 1, *shape).astype(np.float32))


@contextlib.contextmanager
def _reproducible() -> Iterator[Any]:
    """One thread and random numbers of our own; what was set before is set again afterwards."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
