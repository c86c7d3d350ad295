"""Numbers that the sentences of the chapter on large systems quote, as text; a dash where a run does not have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.evidence.curves import doubled
from rbmbook.evidence.words import DASH
from rbmbook.evidence.words import removed_percent as percent
from rbmbook.studies.ising.long_chains import Place, n_hidden
from rbmbook.studies.ising.standard import CRITICAL, PARAMAGNETIC

from .cells import METHODS

NAMES = ("critical", "paramagnet")
ESTIMATES = tuple(name for name in METHODS if name != "exact")


def setting(results: Mapping[Place, xr.Dataset], parameters: Mapping[str, Any]) -> str:
    """Lengths, seeds and sizes of a run, for captions."""
    lengths, fields = sorted({n for n, _ in results}), sorted({field for _, field in results})
    seeds = ", ".join(
        f"{' and '.join(str(results[n, field].sizes['seed']) for field in fields)} (N = {n})" for n in lengths
    )
    at = " and ".join(f"{field:g}" for field in fields)
    return f"{parameters['n_samples']:,} training samples; seeds at h/J = {at}: {seeds}"


def covered(results: xr.Dataset, method: str) -> tuple[int, int]:
    """How many 95 % intervals of a method hold the exact log Z, and of how many machines; (0, 0) without it."""
    exact = results.log_partition.sel({"method": "exact"}, drop=True)
    found = results.sel({"method": method}, drop=True)
    judged = exact.notnull() & found.log_partition.notnull()
    inside = (found.log_partition_low <= exact) & (exact <= found.log_partition_high)
    return int((inside & judged).sum()), int(judged.sum())


def scores(results: xr.Dataset, name: str) -> np.ndarray:
    """Deviations from the exact value in standard errors: of a method's log Z, or of ``kl`` and ``log_fidelity``."""
    if name in METHODS:
        found = results.sel({"method": name}, drop=True)
        exact = results.log_partition.sel({"method": "exact"}, drop=True)
        error = (found.log_partition_high - found.log_partition_low) / (2 * 1.959964)
        values = ((found.log_partition - exact) / error).values.ravel()
    elif f"exact_{name}" in results:
        values = ((results[name] - results[f"exact_{name}"]) / results[f"{name}_error"]).values.ravel()
    else:
        return np.empty(0)
    return values[np.isfinite(values)]


def calibration(results: Mapping[Place, xr.Dataset]) -> dict[str, np.ndarray]:
    """By estimate, the deviations in standard errors of all machines whose exact value is known."""
    names = (*ESTIMATES, "kl", "log_fidelity")
    every = {name: np.concatenate([scores(one, name) for one in results.values()]) for name in names}
    return {name: values for name, values in every.items() if values.size}


def numbers(results: Mapping[Place, xr.Dataset], parameters: Mapping[str, Any]) -> dict[str, str]:
    """The numbers; those by length read ``0.01 (N = 18), 0.02 (N = 50)``.

    Parameters
    ----------
    results : mapping of (int, float) to xarray.Dataset
        What :func:`rbmbook.studies.large_systems.study.results` returned.
    parameters : mapping
        The parameters that it was given.
    """
    lengths = sorted({n for n, _ in results})
    found: dict[str, str] = {}

    def by_length(field: float, told: Callable[[int, xr.Dataset], str]) -> str:
        parts = [(n, told(n, results[n, field])) for n in lengths if (n, field) in results]
        return ", ".join(f"{text} (N = {n})" for n, text in parts if text) or DASH

    for name, field in zip(NAMES, (CRITICAL, PARAMAGNETIC), strict=True):
        found |= {
            f"kl-dense-{name}": by_length(field, lambda n, one: _mean(one.kl.isel(stage=0) / n)),
            f"kl-last-{name}": by_length(field, lambda n, one: _mean(one.kl.isel(stage=-1) / n)),
            f"fidelity-dense-{name}": by_length(
                field, lambda n, one: _fidelity(one.log_fidelity.isel(stage=0))
            ),
            f"fidelity-last-{name}": by_length(
                field, lambda n, one: _fidelity(one.log_fidelity.isel(stage=-1))
            ),
            f"kl-doubled-{name}": by_length(field, lambda n, one: _doubled(one.kl, one.removed)),
            f"even-doubled-{name}": by_length(field, lambda n, one: _doubled(one.even_kl, one.removed)),
            f"infidelity-doubled-{name}": by_length(
                field, lambda n, one: _doubled(-one.log_fidelity, one.removed)
            ),
            f"wells-{name}": by_length(
                field,
                lambda n, one: _mean((one.kl - one.even_kl).isel(stage=0) / one.kl.isel(stage=0), percent),
            ),
        }
    for method in ("annealed", "reverse"):
        found[f"{method}-coverage"] = ", ".join(_coverage(results, lengths, method)) or DASH
    floors = [
        (n, (n * n_hidden(parameters, n) + n + n_hidden(parameters, n)) / (2 * parameters["n_samples"]))
        for n in lengths
    ]
    found["floor"] = ", ".join(f"{value / n:.2g} (N = {n})" for n, value in floors)
    longest = [one for (n, _), one in results.items() if n == lengths[-1]]
    low = np.concatenate(
        [one.log_partition_low.sel({"method": "annealed"}).values.ravel() for one in longest]
    )
    high = np.concatenate(
        [one.log_partition_high.sel({"method": "reverse"}).values.ravel() for one in longest]
    )
    found["bracket"] = f"{np.median(high - low):.2g} (largest {np.max(high - low):.2g})"
    middle, error = 0.5 * (low + high), 0.5 * np.abs(high - low)
    for method in ("importance", "bridge"):
        ends = [
            np.concatenate([one[name].sel({"method": method}).values.ravel() for one in longest])
            for name in ("log_partition_low", "log_partition_high")
        ]
        known = np.isfinite(ends[0])
        apart = np.abs(0.5 * (ends[0] + ends[1]) - middle) > np.hypot(0.5 * (ends[1] - ends[0]), error)
        found[f"{method}-agrees"] = f"{int((~apart)[known].sum())} of {int(known.sum())}"
    every = [one.log_partition.sel({"method": "importance"}) for one in results.values()]
    found["refused"] = f"{sum(int(one.isnull().sum()) for one in every)} of {sum(one.size for one in every)}"
    shares = np.concatenate(
        [one.log_partition_share.sel({"method": "importance"}).values.ravel() for one in longest]
    )
    found["smallest-share"] = f"{100 * shares.min():.2g} %"
    shares = np.concatenate([one.log_fidelity_share.values.ravel() for one in results.values()])
    found["smallest-fidelity-share"] = f"{100 * shares.min():.2g} %"
    for name in ("kl", "log_fidelity"):
        far = np.concatenate([scores(one, name) for one in results.values()])
        held = int((np.abs(far) < 1.959964).sum())
        found[f"{name}-coverage".replace("_", "-")] = f"{held} of {far.size}" if far.size else DASH
    return found


def _coverage(results: Mapping[Place, xr.Dataset], lengths: list[int], method: str) -> list[str]:
    parts = []
    for n in lengths:
        counts = np.sum([covered(one, method) for (m, _), one in results.items() if m == n], axis=0)
        if counts[1]:
            parts.append(f"{counts[0]} of {counts[1]} ({100 * counts[0] / counts[1]:.0f} %) at N = {n}")
    return parts


def _fidelity(logarithms: xr.DataArray) -> str:
    return f"{float(np.exp(logarithms).mean()):.3f}"


def _mean(values: xr.DataArray, told: Callable[[float], str] = lambda value: f"{value:.2g}") -> str:
    return told(float(values.mean()))


def _doubled(errors: xr.DataArray, removed: xr.DataArray) -> str:
    # An estimate may fall below zero where the divergence is less than its error.
    positive = np.maximum(errors.transpose("seed", "stage").values, 1e-9)
    return percent(doubled(positive, removed.values))
