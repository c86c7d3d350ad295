"""What Diaz-Faloh & Mulet say of their Fig. 5, and what the results say of it: machines that are pruned and trained again.

The rules are those of :mod:`rbmbook.studies.retraining.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rbmbook.evidence.claims import Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.lab.profiles import label, resolve
from rbmbook.studies.digits.standard import other_machines

from . import study as retraining
from .rules import RULES
from .study import PROFILES, Study

CLAIMS = tuple(RULES)
FEWEST_REPLICAS = 5
"""Fewer say little of a spread."""
FEWEST_SAMPLES = 1000
"""E_AAI of fewer samples says little."""
PAIRS = ([0.0, 0.86], [0.2, 0.888], [0.4, 0.916], [0.6, 0.944])
"""The four cases: at these p nearly all frozen machines have failed."""

Parameters = Mapping[str, Any]


def objection(p: Mapping[str, Any]) -> str | None:
    """Why a run cannot settle the claims, which are about the paper's setting and four cases; None if it can."""
    if differs := other_machines(p):
        return differs
    if [list(pair) for pair in p["pairs"]] != list(PAIRS):
        return f"settled for pairs (p0, p) = {list(PAIRS)}; this run has {p['pairs']}"
    for name, fewest in (("n_replicas", FEWEST_REPLICAS), ("n_samples", FEWEST_SAMPLES)):
        if p[name] < fewest:
            return f"settled for {name} of at least {fewest}; this run has {p[name]}"
    return None


def settle(study: Study, parameters: Parameters) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.retraining.study.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at another setting, or with too few replicas, decides nothing and says so.
    """
    p = resolve(PROFILES, "book", parameters)
    return settle_by(RULES, study, label(PROFILES, p), int(p["n_replicas"]), objection(p))


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    p = resolve(PROFILES, profile)
    return settle(retraining.results(**p), p)
