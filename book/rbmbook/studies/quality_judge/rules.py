"""The rule on judges of images, with its threshold; written before the results."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rbmbook.evidence.estimates import Estimate, mean_interval
from rbmbook.evidence.rules import Finding, above, finding, last
from rbmbook.evidence.words import percent

CLAIMED_ACCURACY = 0.985
"""An accuracy that rounds to the 99 % of the paper."""


def judge_rule(
    digits: NDArray[np.float64], seen: NDArray[np.float64], unseen: NDArray[np.float64]
) -> Finding:
    """Whether the judge is right in 99 % of a test set, half digits and half negatives.

    Parameters
    ----------
    digits : array, (n_folds,)
        Share of the test digits that each fold's judge accepts.
    seen : array, (n_machines,)
        Share of each machine's held-out negatives that a judge rejects which was trained on others of them.
    unseen : array, (n_machines,)
        The same by the judge that has never seen the machine.
    """
    parts = []
    for name, rejected in (("images of machines it has seen", seen), ("machines it has never seen", unseen)):
        value, low, high = mean_interval(rejected).map(lambda x: (digits.mean() + x) / 2)
        parts.append(above(f"new {name}", Estimate(value, low, min(high, 1.0)), CLAIMED_ACCURACY, "%"))
    return finding(f"accuracy, half on digits ({percent(digits.mean(), 1)}) and half on", parts, last)
