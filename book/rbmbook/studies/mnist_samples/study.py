"""Samples of diluted machines of MNIST before and after pruning (Diaz-Faloh & Mulet, Fig. 1).

The machines are those of :mod:`rbmbook.studies.mnist_dilution.study`, the first replica of some dilutions, with the samples
that are judged there: the very cells, so that nothing is trained, sampled or judged for this study alone. Its own are
only the real digits beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.evidence.words import DASH, percent, scientific
from rbmbook.lab.cell import Cell
from rbmbook.lab.profiles import Profile, resolve
from rbmbook.lab.sweep import sweep
from rbmbook.studies.digits import judges as mnist_judges
from rbmbook.studies.digits import standard as mnist_standard
from rbmbook.studies.digits.cells import unpacked
from rbmbook.studies.digits.images import digits_of
from rbmbook.studies.digits.judge_cells import OVER_PRUNED
from rbmbook.studies.digits.standard import FAILED, FIG1_REMOVED
from rbmbook.studies.ising.cells import PORTABLE
from rbmlib.analysis.drops import total_removed
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.mnist.diversity import expected_imbalance
from rbmlib.mnist.images import permutation

REPLICA = 0
"""The replica whose samples are shown."""

_FRAMES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.56, 0.6, 0.64, 0.7, 0.76, 0.8, 0.9, 0.95]
_SEED = 0x5A4D_91E5


def _profile(standard: Mapping[str, Any], frames: list[float], cost: str) -> Profile:
    return Profile({**mnist_standard.without_controls(standard), "shown_removed": frames}, cost)


PROFILES = {
    "book": _profile(
        mnist_standard.BOOK, _FRAMES, "nothing beyond the chapter on dilution, whose machines it shows"
    ),
    "quick": _profile(
        mnist_standard.QUICK,
        list(mnist_standard.QUICK["removed"]),
        "nothing beyond the chapter on dilution, which takes about a minute on two cores",
    ),
    "paper": _profile(
        mnist_standard.PAPER,
        _FRAMES,
        "nothing beyond the chapter on dilution, which needs an accelerator or a cluster",
    ),
}


def real_digits(images: str, images_checksum: str, n_shown: int, seed: int) -> xr.Dataset:
    """Some test images at random, ``digits`` (shown, byte), packed eight pixels a byte; portable bits."""
    digits = digits_of(images, images_checksum)
    chosen = permutation(len(digits.test), seed)[:n_shown]
    return xr.Dataset(
        {"digits": (("shown", "byte"), np.packbits(digits.test[chosen], axis=1))},
        attrs={"bits": PORTABLE, "height": digits.shape[0], "width": digits.shape[1]},
    )


def _check(p: Mapping[str, Any]) -> dict[str, Any]:
    """The shared parameters, checked together with this study's own."""
    shared = mnist_standard.checked_without_controls(p)
    shares, grid = list(p["shown_removed"]), list(p["removed"])
    if not shares or shares[0] != 0 or sorted(set(shares)) != shares or not set(shares) <= set(grid):
        raise ValueError(
            f"shown_removed must begin with 0 and ascend within removed = {grid}, so that these samples exist; not {shares}"
        )
    return shared


def _cells_of(p: Mapping[str, Any]) -> dict[tuple[str, float], Cell]:
    shared = {name: p[name] for name in mnist_standard.NAMES}
    of_images = {name: p[name] for name in ("images", "images_checksum", "n_shown")}
    wanted = {
        ("digits", 0.0): Cell(real_digits, {**of_images, "seed": int(derived_seed(np.uint64(_SEED), 0, 0))}),
        ("floors", 0.0): mnist_standard.floors_cell(shared),
        ("judge", 0.0): mnist_judges.judge_cell(shared, OVER_PRUNED, mnist_judges.fold_of(shared, REPLICA)),
    }
    for p0 in map(float, p["shown_dilutions"]):
        wanted["samples", p0] = mnist_standard.sample_cell(shared, p0, REPLICA)
        wanted["judged", p0] = mnist_judges.judged_cell(shared, p0, REPLICA)
    return wanted


def cells(**parameters: Any) -> list[Cell]:
    """Every cell of the study; parameters that are not given are those of the profile ``book``."""
    return list(_cells_of(_check(resolve(PROFILES, "book", parameters))).values())


def results(**parameters: Any) -> xr.Dataset:
    """The study's results: from the store where they are there, computed where not.

    Parameters
    ----------
    **parameters
        Those of the profiles; what is not given is the profile ``book``'s.

    Returns
    -------
    xarray.Dataset
        ``shown`` (dilution, removed, shown, pixel), zeros and ones; ``quality``, ``imbalance``, ``entropy``, ``aai``,
        ``aai_generated`` and ``aai_data`` (dilution, removed) of all samples of the same machine; ``total`` (dilution,
        removed), the share of all weights that is zero; ``data_shown`` (shown, pixel), real test images. Attributes:
        ``height`` and ``width``; ``n_samples``; ``floor_quality``, Q of test images by the judge of these machines, and
        ``floor_imbalance``, d_f of as many of them as a machine has samples; ``floor_aai`` likewise.

    Raises
    ------
    ValueError
        If a parameter is out of range; the message names it.
    """
    p = _check(resolve(PROFILES, "book", parameters))
    wanted = _cells_of(p)
    found = dict(zip(wanted, sweep(wanted.values()), strict=True))
    digits, floors, judge = (found[name, 0.0] for name in ("digits", "floors", "judge"))
    dilutions = [float(p0) for p0 in p["shown_dilutions"]]
    shares = [float(share) for share in p["shown_removed"]]
    n_pixels = digits.attrs["height"] * digits.attrs["width"]
    by_dilution = []
    for p0 in dilutions:
        samples, judged = (found[name, p0].sel(removed=shares) for name in ("samples", "judged"))
        pixels = unpacked(samples.shown.values, n_pixels)
        by_dilution.append(
            xr.merge(
                [
                    samples[["aai", "aai_generated", "aai_data"]],
                    judged[["quality", "imbalance", "entropy"]],
                    xr.Dataset({"shown": (("removed", "shown", "pixel"), pixels)}),
                ],
                combine_attrs="drop",
            )
        )
    joined = xr.concat(by_dilution, xr.DataArray(dilutions, dims="dilution", name="dilution"))
    total = total_removed(np.array(dilutions)[:, None], np.array(shares))
    return joined.assign(
        data_shown=(("shown", "pixel"), unpacked(digits.digits.values, n_pixels))
    ).assign_coords(total=(("dilution", "removed"), total)).assign_attrs(
        height=digits.attrs["height"],
        width=digits.attrs["width"],
        n_samples=p["n_samples"],
        floor_quality=float(judge.probe_digits),
        floor_imbalance=expected_imbalance(p["n_samples"], floors.counts.values),
        floor_aai=float(floors.aai.mean()),
    )  # fmt: skip


def numbers(results: xr.Dataset) -> dict[str, str]:
    """Numbers that the page's sentences quote, as text.

    Parameters
    ----------
    results : xarray.Dataset
        What :func:`results` returned.
    """
    first = results.isel(dilution=0)
    first = first.sel(removed=[share for share in (0.0, *FIG1_REMOVED) if share in first.removed.values])
    last = results.isel(removed=-1)
    return {
        "floor-quality": percent(results.attrs["floor_quality"], 1),
        "floor-imbalance": scientific(results.attrs["floor_imbalance"]),
        "quality-first": _by("p", first.total, [f"{value:.3f}" for value in first.quality.values]),
        "imbalance-first": _by("p", first.total, [scientific(value) for value in first.imbalance.values]),
        "half": _by(
            "p\u2080", results.dilution, [_half(one) for _, one in results.quality.groupby("dilution")]
        ),
        "quality-last": _by("p\u2080", results.dilution, [f"{value:.3f}" for value in last.quality.values]),
        "generated-last": _by(
            "p\u2080", results.dilution, [f"{value:.3f}" for value in last.aai_generated.values]
        ),
    }


def _by(name: str, shares: xr.DataArray, texts: list[str]) -> str:
    return ", ".join(
        f"{text} ({name} = {percent(float(share))})" for text, share in zip(texts, shares.values, strict=True)
    )


def _half(quality: xr.DataArray) -> str:
    """The frames between which Q falls to half of its first value for the first time."""
    values = quality.values.reshape(-1)
    fallen = np.flatnonzero(values <= FAILED * values[0])
    if not fallen.size or fallen[0] == 0:
        return DASH
    before, after = quality.removed.values[fallen[0] - 1 : fallen[0] + 1]
    return f"{percent(float(before))} and {percent(float(after))}"
