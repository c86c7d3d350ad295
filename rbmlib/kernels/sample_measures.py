"""Measures of samples with floating-point values; what only counts spins is exact in integers anyway."""

from __future__ import annotations

import numpy as np

from .elementary import exp
from .options import jit


@jit
def add_flip_ratios(free_energies, flipped_free_energies, ratios):
    """Add sqrt(p(v^i) / p(v)) = exp((F(v) - F(v^i)) / 2) of every sample."""
    for i in range(ratios.shape[0]):
        ratios[i] += exp(0.5 * (free_energies[i] - flipped_free_energies[i]))


@jit
def mean_and_deviation(values):
    """Mean and standard deviation (divisor n), summed one after the other, the deviation about the mean."""
    n = values.shape[0]
    total = 0.0
    for i in range(n):
        total += values[i]
    mean = total / n
    square = 0.0
    for i in range(n):
        deviation = values[i] - mean
        square += deviation * deviation
    return mean, np.sqrt(square / n)
