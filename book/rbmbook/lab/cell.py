"""A cell: one function, its parameters, and the cells whose results it takes as input."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

Scalar = int | float | str | bool
Value = Scalar | tuple


def canonical_json(value: object) -> str:
    """Write `value` as JSON in the one form that hashes rely on: sorted names, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _plain(name: str, value: object) -> Value:
    """Bring a parameter's value to JSON scalars and tuples of them."""
    if isinstance(value, (tuple, list)):
        return tuple(_plain(name, item) for item in value)
    if hasattr(value, "dtype") and hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # a numpy scalar hashes like the Python number that it stands for
    if not isinstance(value, (bool, int, float, str)):
        raise TypeError(
            f"parameter {name} is {value!r} of type {type(value).__name__}; "
            "allowed are int, float, str, bool and tuples of them"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"parameter {name} is {value!r}; it must be a finite number")
    return value


def _check_compute(compute: object) -> None:
    name, module = getattr(compute, "__qualname__", None), getattr(compute, "__module__", None)
    if not callable(compute) or not name or not module:
        raise TypeError(f"compute is {compute!r}; it must be a function")
    if module == "__main__":
        raise ValueError(f"compute {name} is defined in __main__; it must live in an importable module")
    if "." in name or getattr(sys.modules.get(module), name, compute) is not compute:
        raise ValueError(f"compute {module}.{name} must be a function at the top level of its module")


@dataclass(frozen=True, eq=False)
class Cell:
    """One unit of work, independent of every other except those it names in `needs`.

    Parameters
    ----------
    compute : callable
        A function at the top level of an importable module. It is called as
        ``compute(**parameters, **inputs)`` and returns an :class:`xarray.Dataset`.
    parameters : mapping of str to int, float, str, bool or tuple
        Everything that `compute` needs to know, seeds included. ``1`` and ``1.0`` are different values.
    needs : mapping of str to Cell, optional
        Cells whose results `compute` takes as arguments of these names.

    Raises
    ------
    TypeError
        If `compute` is not a function, or a value has a type that JSON does not have.
    ValueError
        If `compute` cannot be imported by name, a number is not finite, or a name stands in both mappings.
    """

    compute: Callable[..., xr.Dataset]
    parameters: Mapping[str, Value]
    needs: Mapping[str, Cell] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_compute(self.compute)
        parameters = {name: _plain(name, value) for name, value in self.parameters.items()}
        for name, value in self.needs.items():
            if not isinstance(value, Cell):
                raise TypeError(f"needs[{name!r}] is {value!r}; it must be a Cell")
            if name in parameters:
                raise ValueError(f"{name} is both a parameter and a need; one name has one meaning")
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "needs", dict(self.needs))

    @property
    def name(self) -> str:
        """The function's own name, by which results know it wherever it stands; no two cells' functions share one."""
        return self.compute.__qualname__

    @property
    def experiment(self) -> str:
        """Name of the folder that the function's module stands in, which the result is filed under; of a module of no
        such folder its own.
        """
        parts = self.compute.__module__.split(".")
        return parts[-2] if len(parts) > 2 else parts[-1]

    @cached_property
    def identity(self) -> str:
        """Canonical JSON of function, parameters and, as hashes, needs; two cells are equal when this is."""
        needs = {
            name: hashlib.sha256(cell.identity.encode()).hexdigest() for name, cell in self.needs.items()
        }
        return canonical_json({"compute": self.name, "parameters": dict(self.parameters), "needs": needs})

    def __eq__(self, other: object) -> bool:
        return self.identity == other.identity if isinstance(other, Cell) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.identity)

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"{self.name}({given})"

    def with_needs(self) -> Iterator[Cell]:
        """Yield every cell that this one rests on, inputs before what needs them, itself last."""
        for need in self.needs.values():
            yield from need.with_needs()
        yield self
