"""What Diaz-Faloh & Mulet say of their Fig. 5, and what the results say of it: machines that are pruned and trained again.

The rules are those of :mod:`rbmbook.studies.retraining.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rbmbook.evidence.claims import Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.lab.profiles import label, resolve
from rbmbook.studies.digits.arms import objection

from . import study as retraining
from .rules import RULES
from .study import PROFILES, Study

CLAIMS = tuple(RULES)

Parameters = Mapping[str, Any]


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
