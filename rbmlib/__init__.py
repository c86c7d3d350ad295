"""Restricted Boltzmann machines: fast portable kernels, pruning, and what to measure."""

from __future__ import annotations

from .rbm import RBM

__all__ = ["RBM", "__version__"]
__version__ = "0.1.0"
