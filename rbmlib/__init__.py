"""Restricted Boltzmann machines: fast portable kernels, pruning, and what to measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .rbm import RBM

__all__ = ["RBM", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: the compiler behind RBM takes longer than `rbmlib --help` may.
    if name == "RBM":
        from .rbm import RBM

        return RBM
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
