"""Rules for the share of the weights that can be removed, field by field.

Every threshold stands here and was written before the results. Two readings stand beside each other: the
onsets of :func:`rbmbook.evidence.curves.onsets`, whose threshold is the scatter of the dense machines,
and levels that a curve crosses, interpolated between stages: twice the dense divergence, and a given infidelity,
both of the machines' even parts, which do not depend on how the two wells of the ordered phase are balanced.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import rankdata

from rbmbook.evidence.curves import DOUBLING, crossing, log_growth, onsets
from rbmbook.evidence.estimates import Estimate, bootstrap_interval
from rbmbook.evidence.words import DASH, listed
from rbmbook.evidence.words import removed_percent as percent
from rbmbook.studies.ising.standard import CRITICAL, MEASURE_NAMES, PARAMAGNETIC, PLOTTED

INFIDELITY = 0.01
"""So does this infidelity, whatever the dense one is."""
FEWEST_FIELDS = 5
"""A rank correlation over fewer fields says nothing."""
DOUBLED, LEVEL, UNEVEN = (
    "KL of the even part doubled",
    f"infidelity of the even part {INFIDELITY:g}",
    "KL doubled",
)
"""Names of the crossings; the first one decides, the last one is that of the machines as they are."""


class Scan(NamedTuple):
    """What :func:`removable` found.

    Attributes
    ----------
    shares : xarray.Dataset
        ``value``, ``low`` and ``high`` (reading, field): share of the weights removed at the onset of each
        measure, and where the geometric means over seeds cross their levels; 1.0 means never.
    by_entropy, by_correlation : Estimate
        Rank correlation over the fields of the share at which the even part's KL doubles (without divergences:
        of the first reading) with the entanglement entropy and with the mean correlation of the exact state.
    """

    shares: xr.Dataset
    by_entropy: Estimate
    by_correlation: Estimate


def mean_correlation(results: xr.Dataset) -> NDArray[np.float64]:
    """Mean over d = 1 ... N/2 of the exact correlation C(d) from mid-chain, for each field."""
    exact = results.exact_correlation.isel(seed=0).transpose("field", "distance").values
    return exact[:, 1:].mean(axis=1)


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Spearman's rank correlation, ties sharing their rank; 0.0 where one of the two does not vary."""
    ranks = [rankdata(one) - (len(one) + 1) / 2 for one in (first, second)]
    norm = np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
    return float((ranks[0] * ranks[1]).sum() / norm) if norm else 0.0


def removable(results: xr.Dataset, n_resamples: int = 2000) -> Scan:
    """Share of the weights that can be removed at each field, with bootstrap intervals over seeds.

    Parameters
    ----------
    results : xarray.Dataset
        What :func:`rbmbook.studies.phase_scan.study.results` returned. Measures that it does not have (no
        divergences for chains too long to enumerate) are left out.
    n_resamples : int
        Resamples of the bootstrap.

    Returns
    -------
    Scan
    """
    measured = [name for name in PLOTTED if results.pruning.sel(measure=name).notnull().all()]
    enumerated = "kl" in measured
    names = [*measured, *([DOUBLED, LEVEL, UNEVEN] if enumerated else [])]
    removed = results.removed.values
    values = results.pruning.sel(measure=measured).transpose("seed", "field", "stage", "measure").values
    # Resampled seeds repeat, which narrows their spread: the threshold's is that of all seeds.
    spread = values[:, :, 0].std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1::2])
    n_measures, everything = len(measured), values
    if enumerated:
        even = results.even.transpose("seed", "field", "stage", "even_measure").values
        kl = values[..., measured.index("kl")]
        curves = [log_growth(even[..., 0]), np.log(even[..., 1]), log_growth(kl)]
        everything = np.concatenate([values, np.stack(curves, axis=-1)], axis=-1)

    def readings(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        found = []
        means = np.exp(drawn[..., n_measures:].mean(axis=0))
        for field in range(drawn.shape[1]):
            row = list(onsets(drawn[:, field, :, :n_measures], removed, dense_sd=spread[field]))
            levels = (DOUBLING, INFIDELITY, DOUBLING)
            row += [
                crossing(curve, removed, level) for curve, level in zip(means[field].T, levels, strict=False)
            ]
            found.append(row)
        return np.array(found).T

    entropy, correlation = results.entropy.values, mean_correlation(results)

    def statistic(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        found = readings(drawn)
        last = found[names.index(DOUBLED)] if DOUBLED in names else found[0]
        return np.append(
            found.ravel(), [rank_correlation(last, entropy), rank_correlation(last, correlation)]
        )

    all_of_them = bootstrap_interval(everything, statistic, n_resamples=n_resamples)
    shape = (len(names), results.sizes["field"])
    shares = xr.Dataset(
        {
            name: (("reading", "field"), getattr(all_of_them, name)[:-2].reshape(shape))
            for name in ("value", "low", "high")
        },
        {"reading": names, "field": results.field.values},
    )
    ranks = [
        Estimate(*(float(getattr(all_of_them, name)[place]) for name in ("value", "low", "high")))
        for place in (-2, -1)
    ]
    return Scan(shares, *ranks)


def conclusion(results: xr.Dataset, scan: Scan) -> str:
    """What the scan says, in one sentence."""
    if DOUBLED not in scan.shares.reading or results.sizes["seed"] < 2 or results.sizes["field"] < 2:
        return "This run is too small for a conclusion: it takes several seeds, several fields and chains that can be enumerated."
    shares = scan.shares.sel(reading=DOUBLED)
    least, most = int(np.argmin(shares.value.values)), int(np.argmax(shares.value.values))

    def told(place: int) -> str:
        one = shares.isel(field=place)
        return (
            f"h/J = {float(one.field):g} ({percent(float(one.value))} of the weights, 95 % interval "
            f"{percent(float(one.low))} to {percent(float(one.high))})"
        )

    apart = float(shares.high[least]) < float(shares.low[most])
    contrast = "most" if apart else "most, with overlapping intervals,"
    sentence = (
        f"Over {results.sizes['field']} fields the share of the weights that can go before the KL divergence of the "
        f"machine's even part has doubled is least at {told(least)} and {contrast} at {told(most)}"
    )
    if results.sizes["field"] < FEWEST_FIELDS:
        return sentence + f"; {FEWEST_FIELDS} fields or more would show what it goes with."
    return (
        f"{sentence}; with the entanglement of the two halves it {_going(scan.by_entropy)}, with the mean correlation it "
        f"{_going(scan.by_correlation)}."
    )


def _going(rank: Estimate) -> str:
    """A rank correlation in words: a trend only where its interval excludes zero."""
    numbers = f"rank correlation {rank.value:+.2f} [{rank.low:+.2f}, {rank.high:+.2f}]"
    if rank.low > 0:
        return f"rises ({numbers})"
    if rank.high < 0:
        return f"falls ({numbers})"
    return f"shows no definite trend ({numbers})"


def imbalances(results: xr.Dataset) -> xr.DataArray:
    """How unevenly the two directions of the magnetization are occupied: absolute difference of the
    probabilities of m > 0 and m < 0, (source, field, seed), for the data and for the machines, dense and with
    half of the weights removed.

    The exact states are even. The machines' probabilities are exact up to 20 spins.
    """
    half = int(np.argmax(results.removed.values >= 0.5))
    spins = results.sizes["up"] - 1
    sign = xr.DataArray(np.sign(2 * np.arange(spins + 1) - spins), dims="up")
    dense = results.up_spins.isel(stage=0, drop=True)
    sources = {"data": results.data_up_spins, "dense machine": dense}
    if half:
        sources["half of the weights removed"] = results.up_spins.isel(stage=half, drop=True)
    index = xr.DataArray(list(sources), dims="source", name="source")
    return xr.concat(
        [np.abs((one * sign).sum("up")) for one in sources.values()], dim=index, coords="minimal"
    )


def numbers(results: xr.Dataset, scan: Scan) -> dict[str, str]:
    """Numbers that the chapter's sentences quote, as text; a dash where a run does not have them."""
    names = (
        "critical",
        "paramagnet",
        "kl-lowest",
        "even-kl-lowest",
        "kl-half-lowest",
        "raw-lowest",
        "even-lowest",
    )
    found = {f"scan-{name}": DASH for name in names}
    fields = [float(h) for h in results.field.values]
    lowest = min(fields)
    found |= {"scan-conclusion": conclusion(results, scan), "scan-lowest": f"{lowest:g}"}
    here = results.sel(field=lowest)
    onset = scan.shares.value.sel(field=lowest)
    known = [name for name in onset.reading.values if name in MEASURE_NAMES]
    found["scan-onsets-lowest"] = listed(
        {MEASURE_NAMES[name]: percent(float(onset.sel(reading=name))) for name in known}
    )
    balance = imbalances(results).sel(field=lowest).mean("seed")
    for place, source in enumerate(("data", "dense", "half")):
        known = place < balance.sizes["source"]
        found[f"scan-imbalance-{source}"] = f"{float(balance[place]):.2f}" if known else DASH
    if DOUBLED not in scan.shares.reading:
        return found
    for name, field in (("critical", CRITICAL), ("paramagnet", PARAMAGNETIC), ("even-lowest", lowest)):
        if field in fields:
            found[f"scan-{name}"] = _told(scan.shares.sel(reading=DOUBLED, field=field))
    found["scan-raw-lowest"] = _told(scan.shares.sel(reading=UNEVEN, field=lowest))
    half = int(np.argmax(results.removed.values >= 0.5))
    kl = here.pruning.sel(measure="kl")
    for name, values in (
        ("kl-lowest", kl.isel(stage=0)),
        ("even-kl-lowest", here.even.sel(even_measure="kl").isel(stage=0)),
        ("kl-half-lowest", kl.isel(stage=half)),
    ):
        found[f"scan-{name}"] = f"{np.exp(np.log(values).mean()):.2g}"
    return found


def _told(share: xr.Dataset) -> str:
    """A share with its interval in words."""
    value, low, high = (percent(float(share[name])) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
