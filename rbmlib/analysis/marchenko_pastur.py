r"""The law of Marchenko and Pastur (1967): eigenvalues of :math:`W^T W` for independent entries of W.

They are the squared singular values of W (n_visible x n_hidden), nothing divided out, one for each hidden unit.
Let the entries have mean zero and variance :math:`\sigma^2`, and let m be the smaller and M the larger of the two
sides. The min(n_visible, n_hidden) eigenvalues that are not zero by counting lie between the edges

.. math:: \lambda_\pm = \sigma^2 \bigl(\sqrt{M} \pm \sqrt{m}\bigr)^2

and have, for :math:`\lambda = \sigma^2 M (1 + s^2 - 2 s \cos\theta)`, :math:`s^2 = m / M`, the distribution function

.. math:: F(\theta) = \frac{1}{2 \pi s^2} \Bigl[(1 + s^2)\, \theta + 2 s \sin\theta
          - 2 (1 - s^2) \arctan\Bigl(\frac{1 + s}{1 - s} \tan\frac{\theta}{2}\Bigr)\Bigr] .

If n_hidden is larger than n_visible, the share 1 - n_visible / n_hidden of the eigenvalues is exactly zero.

The variance is that of all entries, zeros included: a dilution that keeps the share :math:`1 - p_0` of entries of
variance :math:`\sigma_1^2` leaves :math:`\sigma^2 = (1 - p_0)\, \sigma_1^2`, and the law holds as long as the
zeros are placed at random.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BISECTIONS = 60


@dataclass(frozen=True)
class MarchenkoPastur:
    """The law of the eigenvalues of W^T W for independent entries of W.

    Attributes
    ----------
    variance : float
        Of the entries, zeros included.
    n_visible, n_hidden : int
        Shape of W.

    Raises
    ------
    ValueError
        If the variance is not positive and finite or a side is below 1.
    """

    variance: float
    n_visible: int
    n_hidden: int

    def __post_init__(self) -> None:
        if not 0 < self.variance < np.inf:
            raise ValueError(f"variance must be positive and finite, not {self.variance!r}")
        for name in ("n_visible", "n_hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")

    @property
    def zeros(self) -> float:
        """Share of eigenvalues that are exactly zero, 1 - n_visible / n_hidden where that is positive."""
        return max(0.0, 1 - self.n_visible / self.n_hidden)

    @property
    def edges(self) -> tuple[float, float]:
        """Lower and upper edge of the eigenvalues that are not zero."""
        small, large = np.sqrt(self._sides())
        return float(self.variance * (large - small) ** 2), float(self.variance * (large + small) ** 2)

    def density(self, eigenvalues: ArrayLike) -> NDArray[np.float64]:
        """Density of the continuous part at any values; it integrates to ``1 - zeros``."""
        x = np.asarray(eigenvalues, np.float64)
        lower, upper = self.edges
        inside = (x > lower) & (x < upper)
        value = np.where(inside, x, upper)  # anything positive
        root = np.sqrt(np.where(inside, (upper - x) * (x - lower), 0.0))
        return root / (2 * np.pi * self.variance * self.n_hidden * value)

    def distribution(self, eigenvalues: ArrayLike) -> NDArray[np.float64]:
        """Share of eigenvalues up to any values (the cumulative distribution function)."""
        x = np.asarray(eigenvalues, np.float64)
        small, large = self._sides()
        cosine = (1 + small / large - x / (self.variance * large)) / (2 * np.sqrt(small / large))
        rest = _distribution(np.arccos(np.clip(cosine, -1, 1)), np.sqrt(small / large))
        return np.where(x < 0, 0.0, self.zeros + (1 - self.zeros) * rest)

    def quantile(self, share: ArrayLike) -> NDArray[np.float64]:
        """The value below which a share of the eigenvalues lies, by bisection in the angle.

        Raises
        ------
        ValueError
            If a share lies outside [0, 1].
        """
        u = np.asarray(share, np.float64)
        if not ((u >= 0) & (u <= 1)).all():
            raise ValueError(f"share must lie in [0, 1], not {u[~((u >= 0) & (u <= 1))].flat[0]:g}")
        small, large = self._sides()
        s = np.sqrt(small / large)
        wanted = (u - self.zeros) / (1 - self.zeros)
        low, high = np.zeros(u.shape), np.full(u.shape, np.pi)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            below = _distribution(middle, s) < wanted
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        # (1 - s)^2 + 4 s sin^2(theta / 2) loses no digits at the lower edge.
        values = self.variance * large * ((1 - s) ** 2 + 4 * s * np.sin(high / 2) ** 2)
        return np.where(wanted < 0, 0.0, values)

    def expected_spectrum(self) -> NDArray[np.float64]:
        """What n_hidden eigenvalues look like in descending order: quantiles at 1 - (i - 1/2) / n_hidden.

        Returns
        -------
        array, (n_hidden,)
        """
        ranks = np.arange(1, self.n_hidden + 1)
        return self.quantile(1 - (ranks - 0.5) / self.n_hidden)

    def _sides(self) -> tuple[int, int]:
        return min(self.n_visible, self.n_hidden), max(self.n_visible, self.n_hidden)


def _distribution(angle: NDArray[np.float64], s: float) -> NDArray[np.float64]:
    """F(theta) of the module's docstring."""
    turned = np.arctan2((1 + s) * np.sin(angle / 2), (1 - s) * np.cos(angle / 2))
    return ((1 + s * s) * angle + 2 * s * np.sin(angle) - 2 * (1 - s * s) * turned) / (2 * np.pi * s * s)
