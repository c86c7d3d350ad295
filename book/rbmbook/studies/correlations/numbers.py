"""Numbers that the sentences of the chapter on correlations quote, as text; a dash where a run does not have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.evidence.curves import falls_below, removed_at
from rbmbook.evidence.estimates import mean_interval
from rbmbook.evidence.words import DASH
from rbmbook.evidence.words import removed_percent as percent
from rbmbook.studies.ising.long_chains import is_enumerated
from rbmbook.studies.ising.standard import CRITICAL

from . import decay as rules
from .study import Study

FOLLOWED = {"order_error": "order parameter", "energy_error": "energy", "correlation_mse_exact": "C_MSE"}
"""The measures that say whether training has come to rest."""

Derived = Mapping[tuple[int, float], xr.Dataset]


def derived(study: Study, parameters: Mapping[str, Any]) -> dict[tuple[int, float], xr.Dataset]:
    """What the rules make of every length and field; see :func:`rbmbook.studies.correlations.decay.derived`."""
    return {
        place: rules.derived(machines, parameters["n_samples"]) for place, machines in study.machines.items()
    }


def numbers(study: Study, machines: Derived, parameters: Mapping[str, Any]) -> dict[str, str]:
    """The numbers, all at the critical point where the run has it, else at its lowest field.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.correlations.study.results` returned.
    machines : mapping
        What :func:`derived` made of it.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    dict of str to str
        One text a name; those by length read ``0.95 (N = 50), 1.15 (N = 100)``.
    """
    fields = {field for _, field in machines}
    field = CRITICAL if CRITICAL in fields else min(fields)
    here = {n: one for (n, h), one in sorted(machines.items()) if h == field}
    fitted = {n: one for n, one in here.items() if "preference" in one and not is_enumerated(n)}
    long = {n: one for n, one in here.items() if not is_enumerated(n)}

    def by_length(chosen: Mapping[int, xr.Dataset], told: Callable[[int, xr.Dataset], str]) -> str:
        return ", ".join(f"{told(n, one)} (N = {n})" for n, one in chosen.items()) or DASH

    def preferred(stage: int) -> str:
        return by_length(fitted, lambda _, one: _interval(one.preference.isel(stage=stage).values))

    def misfits(stage: int) -> str:
        return by_length(
            fitted,
            lambda _, one: " and ".join(
                f"{np.median(one.reduced_chi2.isel(stage=stage).sel(form=form)):.3g}"
                for form in (rules.POWER_LAW, rules.EXPONENTIAL)
            ),
        )

    def lost(level: float) -> str:
        def told(n: int, one: xr.Dataset) -> str:
            shares = _stages(one.retained)
            falls = falls_below(shares, level).any(axis=1)
            at = removed_at(shares[falls], one.removed.values, level)
            return _of_some(at, falls)

        return by_length(here, told)

    def broken(pieces: str) -> str:
        return by_length(
            here, lambda _, one: f"{int((_stages(one[pieces])[:, -1] > 1).sum())} of {one.sizes['seed']}"
        )

    return {
        "exact-preference": by_length(fitted, lambda _, one: f"{float(one.exact_preference):.2f}"),
        "dense-preference": preferred(0),
        "last-preference": preferred(-1),
        "turns": by_length(fitted, lambda _, one: percent(_turn(one))),
        "dense-misfits": misfits(0),
        "last-misfits": misfits(-1),
        "dense-share": by_length(
            here,
            lambda n, one: _share(
                rules.retained(one, rules.largest_distance(n), of_dense=False)[:, 0].mean()
            ),
        ),
        "light": lost(rules.LIGHT),
        "heavy": lost(rules.HEAVY),
        "last-retained": by_length(here, lambda _, one: _share(_stages(one.retained)[:, -1].mean())),
        "forced": by_length(here, lambda _, one: _share(1 - float(one.fewest_weights) / float(one.kept[0]))),
        "first-apart": by_length(here, lambda _, one: _first_apart(one)),
        "apart": broken("components"),
        "visible-apart": broken("visible_pieces"),
        "last-removed": _share(float(next(iter(here.values())).removed[-1])),
        "drift": by_length(long, lambda _, one: _drift(one)),
        "trained-order": by_length(
            long,
            lambda _, one: _share(
                float((one.training_order.isel(epoch=-1) / one.exact_order).mean()), digits=1
            ),
        ),
        "longer": by_length(
            {n: one for n, one in long.items() if (n, field) in study.longer},
            lambda n, one: _longer(one.isel(seed=0), study.longer[n, field]),
        ),
        "mixing": _mixing(study, parameters),
        "mixed": _mixed(study),
        "steps-in-all": f"{parameters['gibbs_steps'] * (parameters['n_iterations'] + 1):,}",
    }


def _stages(array: xr.DataArray) -> np.ndarray:
    return array.transpose("seed", "stage").values


def _share(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def _interval(values: np.ndarray) -> str:
    found = mean_interval(values)
    if not np.isfinite(found.low):
        return f"{found.value:.2f}"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _turn(one: xr.Dataset) -> float:
    """Share removed from which on the mean over seeds prefers the exponential; 1 if it never does for good."""
    prefers = one.preference.mean("seed").values < 0
    if not prefers[-1]:
        return 1.0
    first = prefers.size - int(np.argmin(prefers[::-1])) if not prefers.all() else 0
    return float(one.removed[first])


def _first_apart(one: xr.Dataset) -> str:
    pieces = _stages(one.components)
    apart = (pieces > 1).any(axis=1)
    return _of_some(rules.removed_when_disconnected(pieces[apart], one.removed.values), apart)


def _of_some(shares: np.ndarray, which: np.ndarray) -> str:
    """Mean share of the seeds to which something happens, and how many these are."""
    if not which.any():
        return "never"
    return _share(shares.mean()) + ("" if which.all() else f" in {int(which.sum())} of {which.size}")


def _drift(one: xr.Dataset) -> str:
    """Largest change of a followed measure between the last two tenths of training, in standard deviations over
    seeds.
    """
    if one.sizes["seed"] < 2:
        return DASH
    end = float(one.epoch[-1])
    last = one.training.sel(epoch=one.epoch[one.epoch > 0.9 * end])
    before = one.training.sel(epoch=one.epoch[(one.epoch > 0.8 * end) & (one.epoch <= 0.9 * end)])
    if not before.sizes["epoch"]:
        return DASH
    changes = {}
    for measure, name in FOLLOWED.items():
        late = last.sel(measure=measure).mean("epoch").values
        changes[name] = (late - before.sel(measure=measure).mean("epoch").values).mean() / late.std(ddof=1)
    name = max(changes, key=lambda key: abs(changes[key]))
    return f"{changes[name]:+.1f} for the {name}" if name != "C_MSE" else f"{changes[name]:+.1f} for C_MSE"


def _longer(base: xr.Dataset, longer: xr.Dataset) -> str:
    ends = [float(one.training_order.isel(epoch=-1) / base.exact_order) for one in (base, longer)]
    return f"{_share(ends[0], 1)} after {int(base.epoch[-1])} epochs and {_share(ends[1], 1)} after {int(longer.epoch[-1])}"


def _mixing(study: Study, parameters: Mapping[str, Any]) -> str:
    """Of the longest chain: how far |m| from measurements is from its end, and from random spins, at the number of
    steps that measuring uses; the largest over the stages.
    """
    if not study.mixing:
        return DASH
    one = study.mixing[max(study.mixing)].absolute_magnetization
    steps = one.step.values
    used = steps[steps <= parameters["gibbs_steps"]][-1]
    end = one.isel(step=-1).mean("start")
    told = []
    for start, name in (
        ("measurements", "measurements"),
        ("random", "random spins"),
        ("all up", "all spins up"),
    ):
        off = (one.sel(start=start, step=used) / end - 1).values
        told.append(f"{100 * off[np.argmax(np.abs(off))]:+.1f} % from {name}")
    return ", ".join(told)


def _mixed(study: Study, tolerance: float = 0.02) -> str:
    """Of the longest chain: the first number of steps from which on |m| from every start is near its end."""
    if not study.mixing:
        return DASH
    one = study.mixing[max(study.mixing)].absolute_magnetization
    off = np.abs(one / one.isel(step=-1).mean("start") - 1).max(["mixed_stage", "start"]).values
    late = np.flatnonzero(off > tolerance)
    first = late[-1] + 1 if late.size else 0
    return str(int(one.step[first])) if first < off.size else "no number of"


def setting(study: Study, parameters: Mapping[str, Any]) -> str:
    """The setting in words, for captions."""
    seeds: dict[int, list[str]] = {}
    for (n, _), one in sorted(study.machines.items()):
        seeds.setdefault(n, []).append(str(one.sizes["seed"]))
    told = ", ".join(f"{' and '.join(dict.fromkeys(counts))} for N = {n}" for n, counts in seeds.items())
    return f"{parameters['hidden_per_visible']:g} hidden units a spin, {parameters['n_samples']:,} samples; seeds: {told}"
