"""What the chapter on weights and couplings says in words: findings and the numbers that its sentences quote, as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from rbmbook.evidence.claims import Verdict, told
from rbmbook.evidence.rules import Finding
from rbmbook.evidence.words import span

from .classes import AXES, arms_and_replicas, gram_of
from .rules import RULES, VANISHES

if TYPE_CHECKING:
    from .study import Study

_LENGTH_ARMS = ("frozen", "retrained", "same-mask", "reference")


def derived(study: Study) -> dict[str, Finding]:
    """What the rules found, by the claim's id.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.couplings_pca.study.results` returned.
    """
    return {name: rule.find(study) for name, rule in RULES.items()}


def numbers(
    study: Study,
    findings: Mapping[str, Finding],
    verdicts: Iterable[Verdict],
    parameters: Mapping[str, Any],
) -> dict[str, str]:
    """The texts by the names that the chapter quotes them under.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.couplings_pca.study.results` returned.
    findings : mapping of str to Finding
        What :func:`derived` made of it.
    verdicts : iterable of Verdict
        What :func:`rbmbook.studies.couplings_pca.claims.settle` made of it.
    parameters : mapping
        The parameters that it was given.
    """
    leading = study.separations.sel(axes="leading")
    texts = {
        "answer": _answer(leading),
        "replicas": f"{parameters['n_replicas']}",
        "pairs": ", ".join(study.comparisons),
        "margin": f"{VANISHES:g}",
        "axes": f"{AXES['leading']}",
        "lengths": _lengths(study.comparisons),
    }
    return texts | told(RULES, findings, verdicts)


def _answer(separations: xr.Dataset) -> str:
    """What was found, in a sentence."""
    told = {
        (space, contrast): span(separations.separation.sel(space=space, contrast=contrast).values, form=".2g")
        for space in ("weights", "couplings")
        for contrast in ("reference", "same-mask")
    }
    return (
        f"References lie {told['weights', 'reference']} scatters from frozen and retrained machines by their weights, "
        f"{told['weights', 'same-mask']} under equal masks; by their couplings {told['couplings', 'reference']} and "
        f"{told['couplings', 'same-mask']}."
    )


def _lengths(comparisons: Mapping[str, xr.Dataset]) -> str:
    """Mean length of J(2) by arm, in units of the references', pair by pair."""
    told = []
    for pair, comparison in comparisons.items():
        arms, _ = arms_and_replicas(comparison)
        length = np.sqrt(np.diag(gram_of(comparison, "couplings")))
        unit = length[arms == "reference"].mean()
        told.append(
            ", ".join(f"{length[arms == arm].mean() / unit:.2f}" for arm in _LENGTH_ARMS) + f" at {pair}"
        )
    return "; ".join(told)
