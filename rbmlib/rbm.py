r"""The restricted Boltzmann machine.

Visible units v and hidden units h are 0 or 1 and interact between layers only,

.. math:: E(v, h) = -\sum_{ij} v_i W_{ij} h_j - \sum_i b_i v_i - \sum_j c_j h_j, \qquad p(v, h) = e^{-E(v, h)} / Z ,

so that the hidden layer sums out in closed form: :math:`p(v) = e^{-F(v)} / Z` with the free energy

.. math:: F(v) = -\sum_i b_i v_i - \sum_j \log\bigl(1 + e^{c_j + \sum_i v_i W_{ij}}\bigr) .

A mask is part of the machine: a masked weight is exactly zero, whatever trains, samples or saves it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import check_counter, plain_array
from .files import missing_arrays, reading_arrays, write_whole
from .kernels import enumeration as _enumeration
from .kernels.gibbs import gibbs_sample as _gibbs_sample
from .kernels.initialisation import normal_numbers as _normal_numbers
from .kernels.philox import STREAM_SAMPLING as _STREAM_SAMPLING

LARGEST_ENUMERATED_LAYER = 28
LARGEST_ENUMERATED_STATES = 24
_LARGEST_FIELD = 600.0
_FIELDS = ("weights", "visible_bias", "hidden_bias", "mask")


class ModelFileError(ValueError):
    """A file that should hold an RBM is damaged, foreign or of another shape."""


def check_seed(name: str, seed: int) -> int:
    """``seed`` as an int in [0, 2**64), or an error that names the argument."""
    if (
        isinstance(seed, (bool, np.bool_))
        or not isinstance(seed, (int, np.integer))
        or not 0 <= int(seed) < 2**64
    ):
        raise ValueError(f"{name} must be an integer in [0, 2**64), not {seed!r}")
    return int(seed)


def check_binary(name: str, states: ArrayLike, n_units: int | None = None) -> NDArray[np.uint8]:
    """``states`` as a contiguous uint8 array (n_samples, n_units) of zeros and ones, or an error that names
    the argument.
    """
    array = plain_array(name, states)
    if array.ndim != 2 or (n_units is not None and array.shape[1] != n_units):
        columns = "n_units" if n_units is None else n_units
        raise ValueError(f"{name} must have the shape (n_samples, {columns}), not {array.shape}")
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name} must hold the numbers 0 and 1, not {array.dtype}")
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        raise ValueError(f"{name} must hold 0 and 1 only, not {array[wrong].ravel()[0]}")
    return np.ascontiguousarray(array, dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class RBM:
    """A restricted Boltzmann machine with binary units.

    Parameters
    ----------
    weights : array, (n_visible, n_hidden)
        Couplings W; kept as float32. Where ``mask`` is False they become zero.
    visible_bias : array, (n_visible,)
        Biases b of the visible units; float32.
    hidden_bias : array, (n_hidden,)
        Biases c of the hidden units; float32.
    mask : array of bool, (n_visible, n_hidden), optional
        Which weights exist. All of them if not given.

    Raises
    ------
    ValueError
        If shapes do not fit together or a number is not finite.
    """

    weights: NDArray[np.float32]
    visible_bias: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    mask: NDArray[np.bool_] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        weights = np.array(plain_array("weights", self.weights), dtype=np.float32, order="C")
        if weights.ndim != 2 or 0 in weights.shape:
            raise ValueError(
                f"weights must have the shape (n_visible, n_hidden), both positive, not {weights.shape}"
            )
        mask = np.ones(weights.shape, bool) if self.mask is None else plain_array("mask", self.mask)
        if mask.shape != weights.shape:
            raise ValueError(f"mask must have the shape of weights, {weights.shape}, not {mask.shape}")
        if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
            raise ValueError(f"mask must be boolean, not {mask.dtype} with other values than 0 and 1")
        mask = np.array(mask, dtype=bool, order="C")
        fields: dict[str, NDArray[Any]] = {"weights": weights, "mask": mask}
        for name, units in (("visible_bias", weights.shape[0]), ("hidden_bias", weights.shape[1])):
            bias = np.array(plain_array(name, getattr(self, name)), dtype=np.float32)
            if bias.shape != (units,):
                raise ValueError(f"{name} must have the shape ({units},) to fit weights, not {bias.shape}")
            fields[name] = bias
        for name in ("weights", "visible_bias", "hidden_bias"):
            if not np.isfinite(fields[name]).all():
                raise ValueError(f"{name} must be finite, not NaN or infinite")
        weights[~mask] = 0.0
        for name, value in fields.items():
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[type[RBM], tuple[NDArray[Any], ...]]:
        # Copied and unpickled through the constructor: arrays that NumPy copies can be written to, and a mask broken.
        return type(self), tuple(getattr(self, name) for name in _FIELDS)

    @property
    def n_visible(self) -> int:
        """Number of visible units."""
        return self.weights.shape[0]

    @property
    def n_hidden(self) -> int:
        """Number of hidden units."""
        return self.weights.shape[1]

    @property
    def n_weights(self) -> int:
        """Number of weights that exist."""
        return int(self.mask.sum())

    def __repr__(self) -> str:
        return f"RBM({self.n_visible} visible, {self.n_hidden} hidden, {self.n_weights} of {self.weights.size} weights)"

    @classmethod
    def random(
        cls,
        n_visible: int,
        n_hidden: int,
        seed: int,
        scale: float | None = None,
        mask: ArrayLike | None = None,
    ) -> RBM:
        """A machine with normal weights and zero biases.

        Parameters
        ----------
        n_visible, n_hidden : int
            Sizes of the layers.
        seed : int
            Seed of the weights, in [0, 2**64). Weight (i, j) depends on the seed and its place alone.
        scale : float, optional
            Standard deviation of the weights; 1 / sqrt(n_visible) if not given, as in QuCumber.
        mask : array of bool, (n_visible, n_hidden), optional
            Which weights exist.
        """
        for name, value in (("n_visible", n_visible), ("n_hidden", n_hidden)):
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")
        if scale is not None and not (np.isfinite(scale) and scale >= 0):
            raise ValueError(f"scale must be a finite number >= 0, not {scale!r}")
        numbers = np.empty(n_visible * n_hidden)
        _normal_numbers(numbers, np.uint64(check_seed("seed", seed)))
        width = 1.0 / np.sqrt(np.float64(n_visible)) if scale is None else np.float64(scale)
        weights = (numbers * width).reshape(n_visible, n_hidden)
        return cls(weights, np.zeros(n_visible), np.zeros(n_hidden), mask)

    def replace(self, **fields: Any) -> RBM:
        """A copy with some of ``weights``, ``visible_bias``, ``hidden_bias``, ``mask`` replaced."""
        unknown = set(fields) - set(_FIELDS)
        if unknown:
            raise TypeError(f"an RBM has the fields {', '.join(_FIELDS)}, not {', '.join(sorted(unknown))}")
        return RBM(**{name: fields.get(name, getattr(self, name)) for name in _FIELDS})

    def transposed(self) -> RBM:
        """The same machine with its layers' roles exchanged."""
        return RBM(self.weights.T, self.hidden_bias, self.visible_bias, self.mask.T)

    # --- energies and conditionals ---

    def energy(self, visible: ArrayLike, hidden: ArrayLike) -> NDArray[np.float64]:
        """E(v, h) of pairs of states, (n_samples,)."""
        v = check_binary("visible", visible, self.n_visible).astype(np.float64)
        h = check_binary("hidden", hidden, self.n_hidden).astype(np.float64)
        if len(v) != len(h):
            raise ValueError(f"hidden must have as many rows as visible, {len(v)}, not {len(h)}")
        coupling = np.einsum("ni,ij,nj->n", v, self.weights.astype(np.float64), h)
        return -(
            coupling + v @ self.visible_bias.astype(np.float64) + h @ self.hidden_bias.astype(np.float64)
        )

    def free_energy(self, visible: ArrayLike) -> NDArray[np.float64]:
        """F(v) = -log sum_h exp(-E(v, h)) of visible states, (n_samples,); portable bits."""
        states = check_binary("visible", visible, self.n_visible)
        tiles = np.empty(((len(states) + 7) // 8, self.n_visible, 8))
        _enumeration.tiles_of_rows(states, tiles)
        log_weights = np.empty(8 * len(tiles))
        _enumeration.log_weights_of_tiles(tiles, *self._float64(), log_weights)
        return -log_weights[: len(states)]

    def hidden_probabilities(self, visible: ArrayLike) -> NDArray[np.float64]:
        """p(h_j = 1 | v), (n_samples, n_hidden)."""
        states = check_binary("visible", visible, self.n_visible).astype(np.float64)
        return _logistic(states @ self.weights.astype(np.float64) + self.hidden_bias)

    def visible_probabilities(self, hidden: ArrayLike) -> NDArray[np.float64]:
        """p(v_i = 1 | h), (n_samples, n_visible)."""
        states = check_binary("hidden", hidden, self.n_hidden).astype(np.float64)
        return _logistic(states @ self.weights.T.astype(np.float64) + self.visible_bias)

    # --- exact enumeration ---

    def log_partition(self) -> float:
        """The exact log Z, by summing over all states of the smaller layer; portable bits.

        Raises
        ------
        ValueError
            If the smaller layer has more than 28 units (use annealed importance sampling), or fields beyond
            600.
        """
        n = min(self.n_visible, self.n_hidden)
        if n > LARGEST_ENUMERATED_LAYER:
            raise ValueError(
                f"log_partition enumerates a layer of at most {LARGEST_ENUMERATED_LAYER} units, not {n}; "
                "estimate log Z by annealed importance sampling instead"
            )
        machine = self if self.n_visible == n else self.transposed()
        high, low, bias_high, bias_low, chunks = machine._half_tables()
        return float(
            _enumeration.log_sum_of_weights(high, low, bias_high, bias_low, chunks, 2 ** (n - n // 2))
        )

    def log_probabilities(self) -> NDArray[np.float64]:
        """log p(v) of all 2**n_visible states by code (bit i is unit i); portable bits."""
        log_weights = self._log_weights()
        return log_weights - self.log_partition()

    def probabilities(self) -> NDArray[np.float64]:
        """p(v) of all 2**n_visible states by code (bit i is unit i); portable bits.

        Raises
        ------
        ValueError
            If there are more than 24 visible units (sample instead).
        """
        log_weights = self._log_weights()
        if log_weights.size < 8:
            return np.array([_enumeration.exp(x - self.log_partition()) for x in log_weights])
        probabilities = np.empty_like(log_weights)
        _enumeration.normalized(log_weights, self.log_partition(), probabilities)
        return probabilities

    def _log_weights(self) -> NDArray[np.float64]:
        n = self.n_visible
        if n > LARGEST_ENUMERATED_STATES:
            raise ValueError(
                f"all 2**n_visible probabilities are listed for at most {LARGEST_ENUMERATED_STATES} visible units, not {n}; "
                "use sample() and free_energy() instead"
            )
        high, low, bias_high, bias_low, chunks = self._half_tables()
        out = np.empty((bias_high.size, bias_low.size))
        _enumeration.log_weights(high, low, bias_high, bias_low, chunks, out)
        return out[:, : 2 ** (n - n // 2)].ravel()

    def _float64(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        return tuple(x.astype(np.float64) for x in (self.weights, self.visible_bias, self.hidden_bias))  # type: ignore[return-value]

    def _half_tables(self) -> tuple[NDArray[Any], ...]:
        """Tables over the high and the low half of the visible codes, and chunks of hidden units safe from
        overflow.
        """
        weights, visible_bias, hidden_bias = self._float64()
        positive = np.maximum(weights, 0).sum(axis=0) + np.abs(hidden_bias)
        negative = np.maximum(-weights, 0).sum(axis=0) + np.abs(hidden_bias)
        largest = np.maximum(positive, negative)
        if largest.max() > _LARGEST_FIELD:
            raise ValueError(
                f"weights give fields up to {largest.max():.4g}; exact enumeration handles fields up to {_LARGEST_FIELD:.0f}"
            )
        chunks = [0]
        reached = 0.0
        for j, field in enumerate(positive):
            if reached + field + 1.0 > _LARGEST_FIELD:
                chunks.append(j)
                reached = 0.0
            reached += field + 1.0
        chunks.append(self.n_hidden)
        n_high = self.n_visible // 2
        n_low = self.n_visible - n_high
        n_low_codes = max(2**n_low, 8)
        high = np.empty((self.n_hidden, 2**n_high))
        low = np.empty((self.n_hidden, n_low_codes))
        bias_high, bias_low = np.empty(2**n_high), np.empty(n_low_codes)
        _enumeration.half_table(weights, hidden_bias, n_low, n_high, 2**n_high, high)
        _enumeration.half_table(weights, np.zeros(self.n_hidden), 0, n_low, n_low_codes, low)
        _enumeration.bias_table(visible_bias, n_low, n_high, bias_high)
        _enumeration.bias_table(visible_bias, 0, n_low, bias_low)
        return high, low, bias_high, bias_low, np.array(chunks)

    # --- sampling ---

    def sample(
        self,
        n_samples: int,
        seed: int,
        n_steps: int = 100,
        initial: ArrayLike | None = None,
        first_chain: int = 0,
    ) -> NDArray[np.uint8]:
        """Visible states after block Gibbs sampling, one chain a sample; portable bits.

        Parameters
        ----------
        n_samples : int
            Number of chains.
        seed : int
            Seed in [0, 2**64); chain c's step t depends on (seed, c, t) alone.
        n_steps : int
            Gibbs steps v -> h -> v.
        initial : array, (n_samples, n_visible), optional
            Visible states to start from; all zero if not given.
        first_chain : int
            Number of the first chain, in [0, 2**32 - n_samples], so that a set of chains can be drawn in parts with
            the same bits.

        Returns
        -------
        array of uint8, (n_samples, n_visible)
        """
        for name, value, least in (
            ("n_samples", n_samples, 1),
            ("n_steps", n_steps, 0),
            ("first_chain", first_chain, 0),
        ):
            if not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{name} must be an integer >= {least}, not {value!r}")
        check_counter("first_chain", int(first_chain), int(n_samples), "n_samples")
        check_counter("n_steps", int(n_steps), 0, "0")
        if initial is None:
            states = np.zeros((n_samples, self.n_visible), np.uint8)
        else:
            states = check_binary("initial", initial, self.n_visible).copy()
            if len(states) != n_samples:
                raise ValueError(f"initial must have n_samples = {n_samples} rows, not {len(states)}")
        _gibbs_sample(
            self.weights, self.visible_bias, self.hidden_bias, states, n_steps, 0, first_chain, _STREAM_SAMPLING,
            np.uint64(check_seed("seed", seed)),
        )  # fmt: skip
        return states

    # --- files ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the machine to a ``.npz`` file of plain arrays, whole or not at all."""
        arrays = {name: getattr(self, name) for name in _FIELDS}
        write_whole(path, lambda file: np.savez(file, **arrays))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RBM:
        """Read a machine written by :meth:`save`; nothing in the file can run.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ModelFileError
            If the file is damaged or holds something else.
        """
        with reading_arrays(path, "a complete RBM file", ModelFileError) as archive:
            if missing := missing_arrays(archive, *_FIELDS):
                raise ValueError(f"{missing}; rbmlib.interchange reads machines of other programs")
            return cls(**{name: archive[name] for name in _FIELDS})


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
