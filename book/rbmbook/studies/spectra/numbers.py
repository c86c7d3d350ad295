"""The numbers and sentences that the chapter on spectra quotes, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbmbook.evidence.estimates import Estimate, bootstrap_interval, mean_interval
from rbmbook.evidence.words import interval_text, joined, number, percent, span

from .claims import PAPER_RANK, above_edge, bulk_distances, crossings, pairs_of
from .study import BIASES, Study

_Array = NDArray[np.float64]


def setting(p: Mapping[str, Any], replicas: str = "n_replicas") -> str:
    """What a caption says of the run, with as many replicas as the parameter of that name has."""
    n = p[replicas]
    many = f"{n} replica{'s' if n > 1 else ''} per dilution"
    return f"{p['n_hidden']} hidden units, {many}, PCD-{p['k']}, {p['n_updates']:,} updates"


def numbers(study: Study, p: Mapping[str, Any]) -> dict[str, str]:
    """The numbers by the names that the chapter quotes them under.

    Parameters
    ----------
    study : Study
        What :func:`rbmbook.studies.spectra.study.results` returned.
    p : mapping
        The parameters that it was given.
    """
    ranks = crossings(study.spectra.eigenvalues.transpose("replica", "dilution", "rank").values)
    return {
        "setting": setting(p),
        "setting-modes": f"{setting(p, 'mode_replicas')}, {p['n_samples']:,} samples after {p['n_steps']:,} steps",
        "setting-course": setting(p, "course_replicas"),
        "shuffles": str(p["n_shuffles"]),
        "most-modes": str(p["modes"][-1]),
        "machines": f"{study.spectra.sizes['replica'] * study.spectra.sizes['dilution']:,}",
        "answer": _answer(study, ranks),
        "edge": _edge_told(study),
        "bulk": _bulk_told(study),
        "crossing": _crossing_told(ranks),
        "crossing-course": _course_told(study),
        "crossing-means": _meaning_told(study),
        "shared": _shared_told(study),
        "modes": _modes_told(study),
    }


def _answer(study: Study, ranks: _Array) -> str:
    trained, shuffled = above_edge(study.spectra)
    crossing = _mean_rank(ranks)
    where = "do not all cross" if crossing is None else f"cross at rank {interval_text(crossing, '', '.0f')}"
    return (
        f"{span(trained.mean(axis=0), '', '.0f')} eigenvalues lie above the edge of the random law "
        f"({span(shuffled.mean(axis=0), '', '.0f')} when the weights are shuffled), the spectra of different dilutions {where}, "
        f"and {_few_told(study)}."
    )


def _few_told(study: Study) -> str:
    quality = study.truncated.quality.sel(biases=BIASES[1]).mean("replica")
    modes = _nearest(quality.modes.values.tolist())
    return (
        f"machines of their {modes} largest modes with compensated biases reach Q = "
        f"{span(quality.sel(modes=modes).values, '', '.2f')}, those of all modes {span(quality.isel(modes=-1).values, '', '.2f')}"
    )


def _mean_rank(ranks: _Array) -> Estimate | None:
    if not np.isfinite(ranks).any(axis=1).all():
        return None
    return bootstrap_interval(
        np.arange(len(ranks)), lambda drawn: float(np.nanmean(ranks[drawn.astype(int)]))
    )


def _edge_told(study: Study) -> str:
    trained, shuffled = above_edge(study.spectra)
    counts = mean_interval(trained).each()
    p0 = study.spectra.dilution.values
    return (
        f"Of {study.spectra.sizes['rank']} eigenvalues {interval_text(counts[0], '', '.0f')} lie above the edge at p0 = "
        f"{percent(p0[0])} and {interval_text(counts[-1], '', '.0f')} at {percent(p0[-1])}; of the shuffled weights "
        f"{number(shuffled.mean(), '', '.1f')} do."
    )


def _bulk_told(study: Study) -> str:
    distance = mean_interval(bulk_distances(study.spectra)).each()
    p0 = study.spectra.dilution.values
    trend = "closer to" if distance[-1].high < distance[0].low else "farther from"
    if distance[-1].low <= distance[0].high and distance[0].low <= distance[-1].high:
        trend = "neither closer to nor farther from"
    return (
        f"The distribution of the bulk differs from the law's by at most {interval_text(distance[0], '', '.3f')} at p0 = "
        f"{percent(p0[0])} and {interval_text(distance[-1], '', '.3f')} at {percent(p0[-1])}: with dilution it comes {trend} it."
    )


def _crossing_told(ranks: _Array) -> str:
    crossing = _mean_rank(ranks)
    if crossing is None:
        return "In some replicas of this run no pair of spectra crosses."
    means = [np.nanmean(column) for column in ranks.T if np.isfinite(column).any()]
    holds = "holds" if crossing.low <= PAPER_RANK <= crossing.high else "does not hold"
    spread = f", from {min(means):.0f} to {max(means):.0f} over the pairs" if len(means) > 1 else ""
    return (
        f"They cross at rank {interval_text(crossing, '', '.1f')} on average{spread}; the interval {holds} the paper's "
        f"{PAPER_RANK}. Of the pairs {percent(np.isfinite(ranks).mean())} cross."
    )


def _course_told(study: Study) -> str:
    course = study.course.transpose("replica", "dilution", "update", "rank")
    told = []
    for update in course["update"].values:
        ranks = crossings(course.eigenvalues.sel(update=update).values)
        if update > 0 and np.isfinite(ranks).any():
            told.append((int(update), float(np.nanmean(ranks))))
    if len(told) < 2:
        return "Along the training of this run the spectra cross at fewer than two of the times looked at."
    (first, early), (last, late) = told[0], told[-1]
    return (
        f"After {first:,} updates they cross at rank {early:.0f} on average, after {last:,} at {late:.0f}; in between the "
        f"mean lies at {span([rank for _, rank in told], '', '.0f')}."
    )


def _meaning_told(study: Study) -> str:
    total = study.spectra.eigenvalues.sum("rank").mean("replica").values
    largest = study.spectra.eigenvalues.isel(rank=0).mean("replica").values
    p0 = study.spectra.dilution.values

    def change(values: _Array) -> str:
        verb = "rises" if values[-1] > values[0] else "falls"
        return f"{verb} from {number(values[0], '', '.3g')} to {number(values[-1], '', '.3g')}"

    return (
        f"From p0 = {percent(p0[0])} to {percent(p0[-1])} the largest eigenvalue {change(largest)}, and the sum of all, "
        f"the squares of all weights, {change(total)}."
    )


def _nearest(modes: list[int]) -> int:
    """The number nearest to the paper's, all modes left out where there are others."""
    return min(modes[:-1] or modes, key=lambda k: abs(k - PAPER_RANK))


def _shared_told(study: Study) -> str:
    shared = study.shared
    modes = _nearest(shared.modes.values.tolist())
    overlap = shared.overlap.sel(modes=modes).transpose("machine", "other").values
    p0 = shared.dilution.values
    ends = (p0 == p0.min())[:, None] & (p0 == p0.max())[None, :]
    same = (p0[:, None] == p0[None, :]) & ~np.eye(len(p0), dtype=bool)
    data = shared.data.sel(modes=modes).values
    texts = [f"{number(overlap[ends].mean(), '', '.2f')} between the least and the most diluted machines"]
    if same.any():
        texts.append(f"{number(overlap[same].mean(), '', '.2f')} between replicas of one dilution")
    texts.append(f"{number(data.mean(), '', '.2f')} with the principal components of the images")
    return (
        f"For {modes} modes the overlap is {joined(texts)}; directions at random would have "
        f"{number(modes / shared.attrs['n_visible'], '', '.2f')}."
    )


def _modes_told(study: Study) -> str:
    truncated = study.truncated.transpose("biases", "replica", "dilution", "modes")
    modes = _nearest(truncated.modes.values.tolist())
    whole = truncated.isel(modes=-1).sel(biases=BIASES[0])
    texts = []
    for biases in BIASES:
        few = truncated.sel(biases=biases, modes=modes)
        texts.append(
            f"with biases {biases} Q is {span(few.quality.mean('replica').values, '', '.2f')} and E_AAI "
            f"{span(few.aai.mean('replica').values, '', '.2g')}"
        )
    return (
        f"At {modes} modes, over the dilutions, {joined(texts)}; the machine of all modes has "
        f"{span(whole.quality.mean('replica').values, '', '.2f')} and {span(whole.aai.mean('replica').values, '', '.2g')}."
    )


def pair_names(dilution: _Array) -> list[str]:
    """Names of the pairs of :func:`rbmbook.studies.spectra.claims.pairs_of`."""
    return [f"{100 * dilution[i]:.0f} and {percent(dilution[j])}" for i, j in pairs_of(len(dilution))]
