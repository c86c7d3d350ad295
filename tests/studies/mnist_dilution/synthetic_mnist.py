"""Measures of diluted and pruned machines, made up: the layout of real results at any size, and drops at known places."""

import numpy as np
import xarray as xr

BOOK_REMOVED = [0.0, 0.1, 0.2, 0.3, 0.4, *np.round(np.arange(0.46, 0.91, 0.02), 2), 0.95]
BOOK_DILUTIONS = np.round(np.arange(0, 0.9, 0.1), 1)


def machines(
    dilutions=BOOK_DILUTIONS, n_replicas=15, removed=BOOK_REMOVED, position=0.6, slope=0.1, width=0.04, seed=0
) -> xr.Dataset:
    """Logistic drops at f = position + slope p0; E_AAI and E(2) earlier, d_f with Q."""
    rng = np.random.default_rng(seed)
    p0, f = np.asarray(dilutions, dtype=float), np.asarray(removed, dtype=float)
    shape = (n_replicas, len(p0), len(f))

    def lost(earlier=0.0):
        at = position - earlier + slope * p0[:, None] + rng.normal(0, 0.01, (n_replicas, len(p0), 1))
        return 1 / (1 + np.exp(-(f - at) / width))

    def noise(scale):
        return rng.normal(0, scale, shape)

    fall = lost()
    quality = np.clip(0.98 - 0.03 * p0[:, None] - 0.93 * fall + noise(0.006), 0, 1)
    imbalance = 4e-3 * np.exp(2.8 * fall + noise(0.2))
    imbalance[quality < 0.1] = np.nan
    curves = {
        "quality": quality,
        "quality_other": np.clip(0.9 - 0.05 * p0[:, None] - 0.8 * lost(-0.05) + noise(0.01), 0, 1),
        "quality_both": np.clip(quality - 0.01, 0, 1),
        "confidence": quality,
        "accepted": np.round(1000 * quality),
        "imbalance": imbalance,
        "entropy": 2.28 - 0.5 * fall,
        "aai": np.abs(0.02 + 0.2 * lost(0.1) + noise(0.003)),
        "aai_generated": 0.6 + 0.39 * fall,
        "aai_data": 0.62 + 0.3 * fall,
        "second_moment": np.exp(np.log(2e-5) + 5 * lost(0.08) + noise(0.1)),
        "ink": 0.13 - 0.06 * fall,
        "contact": 1.5 - 0.3 * fall,
        "off_centre": 0.8 + 0.5 * fall,
        "radius": 7 + fall,
        "variation": 0.75 - 0.4 * fall,
        "blank": 0 * fall,
    }
    dims = ("replica", "dilution", "removed")
    updates = np.arange(0, 15_001, 1500)
    trained = -95 - 200 * np.exp(-updates / 1500) - 10 * p0[:, None]
    spread = rng.normal(0, 0.5, (n_replicas, len(p0), 1))
    return xr.Dataset(
        {
            **{name: (dims, values) for name, values in curves.items()},
            "digits": (dims, 1 / (10 * np.nan_to_num(imbalance, nan=0.09) + 0.1)),
            "quality_error": (dims, 0 * fall + 0.004),
            "aai_error": (dims, 0 * fall + 0.002),
            "second_moment_error": (dims, 0 * fall + 1e-6),
            "log_likelihood": (
                ("replica", "dilution", "part"),
                -85 - 12 * p0[:, None] + spread + np.array([0.6, 0.0]),
            ),
            "log_likelihood_error": (("replica", "dilution"), spread[..., 0] * 0 + 0.3),
            "effective_chains": (("replica", "dilution"), spread[..., 0] * 0 + 40),
            "log_likelihood_below": (("dilution", "part"), (-87 - 12 * p0)[:, None] + np.array([0.6, 0.0])),
            "log_likelihood_below_error": ("dilution", 0 * p0 + 0.3),
            "effective_chains_below": ("dilution", 0 * p0 + 40),
            "pseudo_likelihood": (
                ("replica", "dilution", "update", "part"),
                (trained + spread)[..., None] + np.array([1.0, 0.0]),
            ),
        },
        {
            "replica": range(n_replicas),
            "dilution": p0,
            "removed": f,
            "update": updates,
            "part": ["train", "test"],
            "total": (("dilution", "removed"), p0[:, None] + f * (1 - p0[:, None])),
        },
        {"height": 28, "width": 28},
    )


def controls(whole: xr.Dataset, dilutions=(0.0, 0.4, 0.8), n_replicas=5) -> xr.Dataset:
    """The first replicas of some dilutions: as they are, with the drop at half of its place, and at a tenth."""
    f = np.array([0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.86, 0.9, 0.95])
    places = [(p0, replica) for p0 in dilutions if p0 in whole.dilution for replica in range(n_replicas)]
    names = ["quality", "quality_other", "aai", "second_moment", "digits"]
    chosen = [whole[names].sel(dilution=p0).isel(replica=replica, drop=True) for p0, replica in places]
    by_machine = xr.concat([one.drop_vars(["dilution", "total"]) for one in chosen], "machine")
    orders = []
    for stretch in (1.0, 2.0, 10.0):
        at = xr.DataArray(np.minimum(stretch * f, 0.95), dims="removed", coords={"removed": f})
        orders.append(by_machine.interp(removed=at).drop_vars("removed").assign_coords(removed=f))
    return xr.concat(
        orders, xr.DataArray(["magnitude", "random", "largest"], dims="order", name="order")
    ).assign_coords(
        dilution=("machine", [p0 for p0, _ in places]), replica=("machine", [r for _, r in places])
    )


def floors() -> xr.Dataset:
    """About what real digits give at 1,000 images."""
    values = {
        "aai": 3.4e-4, "aai_error": 4e-4, "second_moment": 7.5e-6, "imbalance": 1.2e-4, "entropy": 2.297, "ink": 0.13,
        "contact": 1.5, "off_centre": 0.8, "radius": 6.5, "variation": 0.75, "blank": 0.0, "quality": 0.995,
    }  # fmt: skip
    return xr.Dataset(values, attrs={"n_samples": 1000})


def samples(n_shown=48, dilutions=(0.0, 0.4, 0.8), removed=(0.0, 0.2, 0.3, 0.5, 0.7, 0.9)) -> xr.Dataset:
    """Rings that dissolve as weights go, where digits would be, in the layout of the samples that are shown."""
    rng = np.random.default_rng(1)
    side = np.arange(28) - 13.5
    distance = np.hypot(side[:, None], side)
    sizes = rng.uniform(4, 9, n_shown)
    rings = (np.abs(distance - sizes[:, None, None]) < 1.5).reshape(n_shown, -1)
    shape = (len(dilutions), len(removed), n_shown, 784)
    torn = rng.random(shape) < np.array(removed)[:, None, None]
    numbers = machines(dilutions, 1, removed).isel(replica=0, drop=True)
    names = ["quality", "imbalance", "aai", "aai_generated", "aai_data"]
    return (
        numbers[names]
        .assign(
            shown=(("dilution", "removed", "shown", "pixel"), (rings & ~torn).astype(np.uint8)),
            data_shown=(("shown", "pixel"), rings.astype(np.uint8)),
        )
        .assign_attrs(
            height=28, width=28, floor_imbalance=1.2e-4, floor_aai_generated=0.5, floor_aai_data=0.5
        )
    )
