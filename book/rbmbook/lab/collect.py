"""Joins results of cells along the labels of their places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import xarray as xr


def gather(datasets: Mapping[tuple[str, float, int], xr.Dataset], name: str) -> xr.Dataset:
    """Join cells along (name, field, seed), in the order in which they come; what is missing is NaN."""

    def ordered(values: Iterable[Any]) -> list[Any]:
        return list(dict.fromkeys(values))

    def joined(parts: Sequence[xr.Dataset], dim: str, values: list[Any]) -> xr.Dataset:
        index = xr.DataArray(values, dims=dim, name=dim)
        return xr.concat(parts, dim=index, data_vars="all", coords="minimal", join="outer", compat="override")

    firsts = ordered(first for first, _, _ in datasets)
    outer = []
    for first in firsts:
        fields = ordered(field for label, field, _ in datasets if label == first)
        rows = []
        for field in fields:
            seeds = [seed for label, h, seed in datasets if label == first and h == field]
            rows.append(joined([datasets[first, field, seed] for seed in seeds], "seed", seeds))
        outer.append(joined(rows, "field", fields))
    return joined(outer, name, firsts)
