"""Inner products of many long vectors, each sum in the order of its entries: portable bits."""

from __future__ import annotations

from .options import jit


@jit
def gram_matrix(rows, gram):
    """Inner products of the rows of a matrix (n, length) of float64, into ``gram`` (n, n)."""
    n, length = rows.shape
    for first in range(n):
        for second in range(first + 1):
            total = 0.0
            for at in range(length):
                total += rows[first, at] * rows[second, at]
            gram[first, second] = total
            gram[second, first] = total
