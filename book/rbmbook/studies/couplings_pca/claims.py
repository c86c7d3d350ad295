"""What Diaz-Faloh & Mulet say of their Fig. 6, and what the results say of it: classes of machines by weights and couplings.

The rules are those of :mod:`rbmbook.studies.couplings_pca.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rbmbook.evidence.claims import Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.lab.profiles import label, resolve
from rbmbook.studies.digits.arms import objection

from . import study as couplings_pca
from .rules import RULES
from .study import PROFILES, Study

CLAIMS = tuple(RULES)

Parameters = Mapping[str, Any]


def settle(study: Study, parameters: Parameters) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.couplings_pca.study.results` returned.
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
    return settle(couplings_pca.results(**p), p)
