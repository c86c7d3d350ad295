"""Matrix product states in the sigma^z basis: amplitudes, probabilities, perfect sampling, storage."""

from __future__ import annotations

import itertools
import math
import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.kernels import mps as kernels

from .configurations import MAX_ENUMERATED_SPINS, check_positive_integer, check_seed, check_states

if TYPE_CHECKING:
    import xarray as xr

_CANONICAL_TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class MatrixProductState:
    """A normalised, right-canonical matrix product state of N spins with real amplitudes.

    The amplitude of a configuration v is the product of the matrices ``tensors[i][:, v_i, :]`` from left to
    right.

    Parameters
    ----------
    tensors : sequence of numpy.ndarray of float64, shape (chi_left, 2, chi_right)
        One tensor for each site, site 0 first; the middle index is 0 for spin down, 1 for spin up. Neighbours
        share a bond dimension and the outer bonds have dimension 1. Every tensor is right-canonical: sum_s
        B^s (B^s)^T = 1.
    energy : float
        Energy of the state in units of J (NaN if unknown).

    Raises
    ------
    ValueError
        If the tensors do not fit together, are not finite or are not right-canonical.
    """

    tensors: tuple[NDArray[np.float64], ...]
    energy: float = math.nan

    def __post_init__(self) -> None:
        tensors = tuple(np.array(tensor, dtype=np.float64, order="C") for tensor in self.tensors)
        if not tensors:
            raise ValueError("tensors must hold at least one tensor.")
        bond = 1
        for site, tensor in enumerate(tensors):
            if tensor.ndim != 3 or tensor.shape[0] != bond or tensor.shape[1] != 2 or tensor.shape[2] < 1:
                raise ValueError(
                    f"tensors[{site}] must have the shape ({bond}, 2, chi_right), not {tensor.shape}."
                )
            bond = tensor.shape[2]
            if not np.isfinite(tensor).all():
                raise ValueError(f"tensors[{site}] must be finite, but holds NaN or infinity.")
            overlap = np.tensordot(tensor, tensor, axes=([1, 2], [1, 2]))
            if np.abs(overlap - np.eye(len(overlap))).max() > _CANONICAL_TOLERANCE:
                raise ValueError(f"tensors[{site}] must be right-canonical (sum over s of B^s (B^s)^T = 1).")
            tensor.flags.writeable = False
        if bond != 1:
            raise ValueError(f"The last tensor must have chi_right = 1, not {bond}.")
        if isinstance(self.energy, bool) or not isinstance(self.energy, numbers.Real):
            raise TypeError(f"energy must be a number, not {self.energy!r}.")
        object.__setattr__(self, "tensors", tensors)
        object.__setattr__(self, "energy", float(self.energy))

    def __reduce__(self) -> tuple[type[MatrixProductState], tuple[tuple[NDArray[np.float64], ...], float]]:
        # Copied and unpickled through the constructor: arrays that NumPy copies can be written to.
        return type(self), (self.tensors, self.energy)

    @property
    def n_spins(self) -> int:
        """Number of spins."""
        return len(self.tensors)

    @property
    def bond_dimensions(self) -> tuple[int, ...]:
        """The N + 1 bond dimensions from left to right, the first and the last being 1."""
        return (1, *(tensor.shape[2] for tensor in self.tensors))

    def amplitudes(self) -> NDArray[np.float64]:
        """Amplitudes of all 2**N configurations in the order of their codes.

        Site 0 is the least significant bit of a code. The bits are the same on every processor.

        Returns
        -------
        numpy.ndarray, shape (2**N,)

        Raises
        ------
        ValueError
            If N > 24: use :meth:`log_probability` for single configurations or :meth:`sample`.
        """
        if self.n_spins > MAX_ENUMERATED_SPINS:
            raise ValueError(
                f"amplitudes enumerates at most {MAX_ENUMERATED_SPINS} spins, not {self.n_spins}; use "
                "log_probability for single configurations or sample to draw them."
            )
        left = np.ones((1, 1))
        for tensor in self.tensors:
            extended = np.empty((tensor.shape[2], 2 * left.shape[1]))
            kernels.extend_amplitudes(left, tensor, extended)
            left = extended
        return left[0]

    def probabilities(self) -> NDArray[np.float64]:
        """Probabilities of all 2**N configurations, with the order and the limit of :meth:`amplitudes`."""
        return self.amplitudes() ** 2

    def log_probability(self, states: ArrayLike) -> NDArray[np.float64]:
        """Natural logarithm of the probabilities of configurations.

        Parameters
        ----------
        states : array_like, shape (n_samples, n_spins)
            Zeros (spin down) and ones (spin up).

        Returns
        -------
        numpy.ndarray, shape (n_samples,)
            Minus infinity where the amplitude is zero.
        """
        checked = check_states(states, self.n_spins)
        result = np.empty(checked.shape[0])
        kernels.log_probabilities(*pack(self.tensors), checked, result)
        return result

    def sample(self, n_samples: int, seed: int, *, first_sample: int = 0) -> NDArray[np.uint8]:
        """Independent draws from the distribution of sigma^z measurements (perfect sampling, no Markov
        chain).

        Sample i is a function of the state, the seed and i alone: the samples i, i + 1, ... of a long run are
        drawn by ``first_sample=i``, with the same bits on every processor.

        Parameters
        ----------
        n_samples : int
            How many configurations to draw.
        seed : int
            Seed in [0, 2**64).
        first_sample : int
            Index of the first sample, in [0, 2**32 - n_samples].

        Returns
        -------
        numpy.ndarray of uint8, shape (n_samples, n_spins)
            Zeros (spin down) and ones (spin up).

        Notes
        -----
        Ferris & Vidal, Phys. Rev. B 85, 165146 (2012). Cost per sample: the sum over sites of
        chi_left * chi_right.
        """
        n_samples = check_positive_integer(n_samples, "n_samples")
        seed = check_seed(seed)
        if isinstance(first_sample, bool) or not isinstance(first_sample, numbers.Integral):
            raise TypeError(f"first_sample must be an integer, not {first_sample!r}.")
        if not 0 <= first_sample <= 2**32 - n_samples:
            raise ValueError(f"first_sample must lie in [0, 2**32 - n_samples], not {first_sample}.")
        states = np.empty((n_samples, self.n_spins), np.uint8)
        kernels.sample_states(*pack(self.tensors), np.uint64(first_sample), np.uint64(seed), states)
        return states

    def up_spin_distribution(self) -> NDArray[np.float64]:
        """Exact distribution of the number of up spins, at any length.

        Returns
        -------
        numpy.ndarray, shape (n_spins + 1,)
            Probability of k up spins, k = 0 ... n_spins (to rounding; the bits depend on BLAS).

        Notes
        -----
        The Fourier transform of the characteristic function <z^k> at the N + 1 roots of unity z, each one contraction of the state.
        """
        roots = np.exp(2j * np.pi * np.arange(self.n_spins + 1) / (self.n_spins + 1))
        left = np.ones((len(roots), 1, 1), complex)
        for tensor in self.tensors:
            down, up = (tensor[:, s].T @ left @ tensor[:, s] for s in (0, 1))
            left = down + roots[:, None, None] * up
        return np.maximum(np.fft.fft(left[:, 0, 0]).real / len(roots), 0.0)

    def to_dataset(self) -> xr.Dataset:
        """The state as labelled arrays: all tensors' elements in a row, the bond dimensions, the energy."""
        import xarray as xr

        flat = np.concatenate([tensor.ravel() for tensor in self.tensors])
        return xr.Dataset(
            {
                "tensors": (
                    "element",
                    flat,
                    {"long_name": "tensors (chi_left, 2, chi_right), site after site"},
                ),
                "bond_dimensions": ("bond", np.array(self.bond_dimensions)),
                "energy": ((), self.energy, {"units": "J"}),
            }
        )

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> MatrixProductState:
        """The inverse of :meth:`to_dataset`.

        Raises
        ------
        ValueError
            If variables are missing or do not fit together.
        """
        missing = {"tensors", "bond_dimensions", "energy"} - set(dataset.variables)
        if missing:
            raise ValueError(f"dataset must hold {', '.join(sorted(missing))} to be a matrix product state.")
        flat = dataset["tensors"].values
        bonds = dataset["bond_dimensions"].values
        if bonds.dtype.kind not in "iu" or bonds.ndim != 1 or bonds.size < 2 or bonds.min() < 1:
            raise ValueError("bond_dimensions must be a row of at least two positive integers.")
        sizes = 2 * bonds[:-1] * bonds[1:]
        if flat.ndim != 1 or flat.size != sizes.sum():
            raise ValueError(
                f"tensors must hold {sizes.sum()} elements to fit bond_dimensions, not {flat.size}."
            )
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        shapes = itertools.pairwise(bonds)
        tensors = (part.reshape(left, 2, right) for part, (left, right) in zip(parts, shapes, strict=True))
        return cls(tuple(tensors), float(dataset["energy"]))


def pack(
    tensors: tuple[NDArray[np.float64], ...],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Panels, layout and signs that :func:`rbmlib.kernels.mps.sample_states` reads (explained there)."""
    width = kernels.PANEL
    panels: list[NDArray[np.float64]] = []
    layout = np.zeros((len(tensors), 5), np.int64)
    signs = np.ones((len(tensors), max(tensor.shape[2] for tensor in tensors)))
    start = 0
    order, left_signs = np.zeros(1, np.int64), np.ones(1)
    for site, stored in enumerate(tensors):
        tensor = stored[order]
        right_signs = _flip_signs(tensor, left_signs)
        if right_signs is None:
            rows = np.concatenate([tensor[:, 1] + tensor[:, 0], tensor[:, 1] - tensor[:, 0]]) * 0.5
            n_x, y_start, n_y = len(tensor), 0, len(tensor)
            # Once the symmetry is lost, no later bond has signs.
            order, right_signs = np.arange(tensor.shape[2]), np.full(tensor.shape[2], np.nan)
        else:
            rows = tensor[:, 1]
            n_x = int((left_signs > 0).sum())
            y_start, n_y = n_x, len(tensor) - n_x
            order = np.argsort(-right_signs, kind="stable")
        rows, left_signs = rows[:, order], right_signs[order]
        n_columns = rows.shape[1]
        signs[site, :n_columns] = np.where(np.isnan(left_signs), 1.0, left_signs)
        layout[site] = start, n_x, y_start, n_y, n_columns
        padded = np.zeros((rows.shape[0], -(-n_columns // width) * width))
        padded[:, :n_columns] = rows
        panels.append(padded.reshape(len(rows), -1, width).transpose(1, 0, 2).ravel())
        start += panels[-1].size
    return np.concatenate(panels), layout, signs


def _flip_signs(tensor: NDArray[np.float64], left_signs: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Signs g_b with B^0_ab = g_a g_b B^1_ab exactly, or None where there are none."""
    down, up = tensor[:, 0] * left_signs[:, None], tensor[:, 1]
    same, opposite = (down == up).all(axis=0), (down == -up).all(axis=0)
    if not (same | opposite).all():
        return None
    return np.where(same, 1.0, -1.0)
