"""What the chapter on diluted machines shows beyond its results, and the numbers that its sentences quote, as text.

A number that a run does not have is a dash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.evidence.estimates import Estimate, mean_interval
from rbmbook.evidence.words import DASH, MINUS, percent, scientific
from rbmbook.studies.digits.drops import MEASURES
from rbmbook.studies.digits.standard import FIG1_REMOVED, bound_steps, has_failed
from rbmlib.analysis.drops import NEVER, find_drop, total_removed
from rbmlib.mnist.appearance import noise_of_equal_ink

from .claims import curves_of

if TYPE_CHECKING:
    from .study import Study

ORDERS = {"magnitude": "smallest", "random": "random", "largest": "largest"}


class Derived(NamedTuple):
    """What follows from a study's results.

    Attributes
    ----------
    drops : dict of str to Estimate
        Position in f and width (n_dilutions, 2) of each measure's drop, with intervals over replicas; only of measures that
        every machine has.
    looks : xarray.Dataset
        Of failed machines at the end of the grid (replica, dilution), NaN elsewhere: ``ink`` in units of the data's,
        ``contact`` from 0 for noise of equal ink to 1 for data, ``variation`` in units of that of noise, ``off_centre`` in
        shares of the image's side; the data's as attributes ``data_variation`` and ``data_off_centre``.
    """

    drops: dict[str, Estimate]
    looks: xr.Dataset


def derived(study: Study) -> Derived:
    """Drops of all measures, and the looks of failed machines.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.mnist_dilution.study.results` returned.
    """
    curves = curves_of(study.machines)
    return Derived({name: curves.drops(name) for name in curves.values}, failed_looks(study))


def failed_looks(study: Study) -> xr.Dataset:
    """The looks of the samples of failed machines at the end of the grid, as :class:`Derived` has them."""
    machines, floors = study.machines, study.floors
    shape = machines.attrs["height"], machines.attrs["width"]
    end = machines.isel(removed=-1)
    quality = machines.quality.transpose(..., "removed")
    failed = xr.DataArray(has_failed(quality.values)[..., -1], dims=quality.dims[:-1])
    drawn = failed & (end.ink > 0) & (end.ink < 1)
    noise = xr.apply_ufunc(_contact_of_noise, end.ink.where(drawn), kwargs={"shape": shape}, vectorize=True)
    side = min(shape)
    found = {
        "ink": end.ink / float(floors.ink),
        "contact": (end.contact - noise) / (float(floors.contact) - noise),
        "variation": end.variation.fillna(0.0),
        "off_centre": end.off_centre / side,
    }
    return (
        xr.Dataset({name: one.where(failed) for name, one in found.items()})
        .drop_vars(["removed", "total"], errors="ignore")
        .transpose("replica", "dilution")
        .assign_attrs(data_variation=float(floors.variation), data_off_centre=float(floors.off_centre) / side)
    )


def _contact_of_noise(ink: float, shape: tuple[int, int]) -> float:
    return noise_of_equal_ink(ink, shape).contact if np.isfinite(ink) else np.nan


def setting(parameters: Mapping[str, Any], replicas: str = "n_replicas") -> str:
    """What a caption says of the run, with as many replicas as the parameter of that name has."""
    p = parameters
    return (
        f"{p['n_hidden']} hidden units, {p[replicas]} replicas a dilution, PCD-{p['k']}, {p['n_updates']:,} updates, "
        f"{p['n_samples']:,} samples a point"
    )


def numbers(study: Study, found: Derived, parameters: Mapping[str, Any]) -> dict[str, str]:
    """The numbers by the names that the chapter quotes them under.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.mnist_dilution.study.results` returned.
    found : Derived
        What :func:`derived` made of it.
    parameters : mapping
        The parameters that it was given.
    """
    machines, floors = study.machines, study.floors
    unpruned = machines.isel(removed=0)
    p0 = machines.dilution.values
    texts = {
        "setting-controls": setting(parameters, "control_replicas"),
        "images": f"{parameters['n_samples']:,}",
        "steps": f"{parameters['n_steps']:,}",
        "replicas": f"{machines.sizes['replica']}",
        "machines": f"{machines.sizes['replica'] * machines.sizes['dilution']:,}",
        "grid": f"{machines.sizes['removed']}",
        "highest-dilution": percent(p0[-1]),
        "pseudo-change": _last_change(machines.pseudo_likelihood.sel(part="test")),
        "likelihood": _ends(p0, machines.log_likelihood.sel(part="test"), ".1f"),
        "likelihood-error": f"{_mean(machines.log_likelihood_error):.1f}",
        "likelihood-bracket": _bracket(machines),
        "ais-chains": f"{parameters['ais_chains']:,}",
        "effective-chains": (
            f"{float(machines.effective_chains.median()):.0f} in the median over machines, "
            f"{float(machines.effective_chains.min()):.0f} at the least"
        ),
        "long-steps": f"{bound_steps(parameters):,}",
        "overfitting": _gap(machines.log_likelihood),
        "quality": _ends(p0, unpruned.quality, ".3f"),
        "quality-other": _ends(p0, unpruned.quality_other, ".3f"),
        "quality-lowest": f"{float(unpruned.quality.min()):.3f}",
        "imbalance": _ends(p0, unpruned.imbalance, ".1e"),
        "imbalance-floor": scientific(_mean(floors.imbalance)),
        "aai": _ends(p0, unpruned.aai, ".3f"),
        "aai-floor": scientific(_mean(floors.aai)),
        "aai-ratio": _ends(p0, unpruned.aai / _mean(floors.aai), ".0f"),
        "second-moment-ratio": _ends(p0, unpruned.second_moment / _mean(floors.second_moment), ".1f"),
        "diversity": _diversity(machines),
    }
    for name in MEASURES:
        key = name.replace("_", "-")
        texts |= _about_drop(key, found.drops.get(name), p0)
    return texts | _orders(study.controls) | _failures(found.looks, machines)


def _about_drop(key: str, drop: Estimate | None, p0: NDArray[np.float64]) -> dict[str, str]:
    """Position and width of a drop at the lowest and at the highest dilution, and how it moves with p0."""
    names = (f"drop-{key}", f"drop-{key}-total", f"width-{key}", f"alpha-{key}", f"rest-{key}")
    if drop is None or (drop.value[:, 0] >= NEVER).all():
        return dict.fromkeys(names, DASH)
    position, width = drop.value.T
    total = total_removed(p0, position)
    there = position < NEVER
    ratio = width[there] / position[there]
    texts = {
        name: _by_ends(
            p0, [percent(one) if here else "none" for one, here in zip(shares, there, strict=True)]
        )
        for name, shares in ((names[0], position), (names[1], total))
    }
    texts[names[2]] = (
        f"{percent(width[there].min())} to {percent(width[there].max())} of the weights left, {ratio.min():.2f} to "
        f"{ratio.max():.2f} of its position"
    )
    if not there.all() or len(p0) < 2:
        return texts | dict.fromkeys(names[3:], DASH)
    return texts | {names[3]: f"{np.polyfit(p0, total, 1)[0]:.2f}", names[4]: f"{1 - position.mean():.2f}"}


def _orders(controls: xr.Dataset) -> dict[str, str]:
    """Positions of the drops of Q, by both judges, and of E_AAI in the three orders of pruning, all machines together."""
    keys = {name: f"order-{name.replace('_', '-')}" for name in ("quality", "quality_other", "aai")}
    if not controls.sizes.get("machine", 0):
        return dict.fromkeys([*keys.values(), "controls", "crucial"], DASH)
    texts = {"controls": f"{controls.sizes['machine']}", "crucial": DASH}
    for name, key in keys.items():
        told = []
        for order, label in ORDERS.items():
            curve = controls[name].sel(order=order).mean("machine").values
            position = find_drop(controls.removed.values, curve, MEASURES[name]).position
            where = percent(position, 1 if position < 0.1 else 0) if position < NEVER else "nowhere"
            told.append(f"{where} ({label})")
            if (name, order) == ("aai", "magnitude") and position < NEVER:
                texts["crucial"] = percent(1 - position)
        texts[key] = ", ".join(told)
    return texts


def _failures(looks: xr.Dataset, machines: xr.Dataset) -> dict[str, str]:
    """How many machines have failed at the end of the grid, and what their samples look like on average."""
    n = int(looks.ink.notnull().sum())
    texts = {
        "failed": f"{n} of {looks.ink.size}",
        "end": percent(float(machines.removed[-1])),
        "data-variation": f"{looks.attrs['data_variation']:.2f}",
    }
    means = {f"failed-{name.replace('_', '-')}": one for name, one in looks.data_vars.items()}
    for key, one in means.items():
        value = float(one.mean()) if one.notnull().any() else np.nan
        told = f"{100 * value:.1f} %" if key == "failed-off-centre" else f"{value:.2f}"
        texts[key] = told.replace("-", MINUS) if np.isfinite(value) else DASH
    return texts


def _diversity(machines: xr.Dataset) -> str:
    """d_f and entropy of machines of the lowest dilution without pruning and at the shares of Fig. 1."""
    first = machines.isel(dilution=0)
    shares = [share for share in (0.0, *FIG1_REMOVED) if share in first.removed.values]
    told = []
    for share in shares:
        one = first.sel(removed=share)
        told.append(
            f"{scientific(_mean(one.imbalance))} and {_number(_mean(one.entropy), '.3f')} at p = "
            f"{percent(float(one.total))}"
        )
    return "; ".join(told)


def _last_change(history: xr.DataArray) -> str:
    """Change of a mean over replicas and dilutions between the last two records."""
    if history.sizes["update"] < 2:
        return DASH
    return f"{float(history.isel(update=[-2, -1]).diff('update').mean()):+.2f}".replace("-", MINUS)


def _bracket(machines: xr.Dataset) -> str:
    """How far the two estimates of the likelihood of test images lie apart: mean and range over first machines."""
    first = machines.isel(replica=0)
    apart = (first.log_likelihood - first.log_likelihood_below).sel(part="test").values
    told = f"{apart.mean():.1f} ({apart.min():.1f} to {apart.max():.1f})"
    return told.replace("-", MINUS)


def _gap(log_likelihood: xr.DataArray) -> str:
    difference = log_likelihood.sel(part="train") - log_likelihood.sel(part="test")
    means = difference.mean("replica").values
    return f"{means.min():.1f} to {means.max():.1f}".replace("-", MINUS)


def _ends(p0: NDArray[np.float64], values: xr.DataArray, form: str) -> str:
    """Mean over replicas with its interval at the lowest and at the highest dilution."""
    rows = values.transpose("replica", "dilution").values
    told = []
    for column in rows.T:
        known = column[np.isfinite(column)]
        if not known.size:
            told.append(DASH)
            continue
        if form == ".1e":
            told.append(scientific(float(known.mean())))
            continue
        interval = mean_interval(known)
        ends = f" [{interval.low:{form}}, {interval.high:{form}}]" if np.isfinite(interval.low) else ""
        told.append(f"{interval.value:{form}}{ends}".replace("-", MINUS))
    return _by_ends(p0, told)


def _by_ends(p0: NDArray[np.float64], told: Iterable[str]) -> str:
    """What there is to say at the lowest dilution and at the highest."""
    texts = list(told)
    if len(texts) == 1:
        return f"{texts[0]} at p\u2080 = {percent(p0[0])}"
    return f"{texts[0]} at p\u2080 = {percent(p0[0])} and {texts[-1]} at p\u2080 = {percent(p0[-1])}"


def _mean(values: xr.DataArray) -> float:
    return float(values.mean())


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if np.isfinite(value) else DASH
