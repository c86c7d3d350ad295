"""Why a run cannot settle claims about a paper's setting: each function says it in words, or returns None."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rbmbook.evidence.rules import other_setting
from rbmlib.mnist.data import MNIST_CHECKSUM

from .tfim_pruning_rules import CRITICAL, FEWEST_SEEDS, PARAMAGNETIC


def missing_fields(fields: Iterable[float]) -> str | None:
    """The critical point or the paramagnet is not among the fields."""
    given = [float(field) for field in fields]
    if {CRITICAL, PARAMAGNETIC} <= set(given):
        return None
    return f"needs h/J = 1 and 2; this run has {', '.join(f'{h:g}' for h in given)}"


def other_machines(parameters: Mapping[str, Any]) -> str | None:
    """The machines are not those of the paper on MNIST."""
    if parameters["images_checksum"] != MNIST_CHECKSUM:
        return f"settled for MNIST; this run has the images of {parameters['images']}"
    return other_setting(parameters, {"n_hidden": 400})


def too_few_seeds(n_seeds: int) -> str | None:
    """An interval over so few seeds says nothing."""
    return f"needs at least {FEWEST_SEEDS} seeds; this run has {n_seeds}" if n_seeds < FEWEST_SEEDS else None
