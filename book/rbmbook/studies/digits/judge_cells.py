"""What trains the judges of generated digits and asks them: cells of the studies on MNIST that run torch.

Only these do, and only when they are computed: all others can do without it. Images travel between cells packed to bits,
(..., byte), first pixel in the highest bit. Bits of what went through torch depend on the processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rbmbook.studies.ising.cells import PORTABLE
from rbmlib.kernels.initialisation import derived_seed
from rbmlib.mnist import negatives
from rbmlib.mnist.diversity import diversity
from rbmlib.mnist.images import Images, permutation
from rbmlib.mnist.judge import Judge, Judgement
from rbmlib.mnist.judge import train_judge as train
from rbmlib.mnist.network import Fit
from rbmlib.mnist.quality import second_moment_standard_error

from .cells import unpacked
from .images import digits_of, moments_of

DEPENDENT = "dependent on the processor (torch)"

OVER_PRUNED, SYNTHETIC, BOTH = "over-pruned", "synthetic", "both"
RECIPES = (OVER_PRUNED, SYNTHETIC, BOTH)
"""What a judge learns to reject: images of machines pruned too far, digits taken apart, or all of these."""

_TRAINING, _PROBE = 0, 1  # parts of a seed: what is made to be learnt from, and to be tested on


def over_pruned(removed: Sequence[float], n_images: int, n_shown: int, samples: xr.Dataset) -> xr.Dataset:
    """The first images of a machine that has lost almost all of its weights; portable bits.

    Parameters
    ----------
    removed : sequence of float
        Shares f at which its images count as negatives; the samples must have them.
    n_images : int
        Images for each of these.
    n_shown : int
        How many of them are kept with the published result.
    samples : xarray.Dataset
        ``samples`` (removed, sample, byte).

    Returns
    -------
    xarray.Dataset
        ``negatives`` (removed, image, byte) and ``shown`` (removed, shown, byte).

    Raises
    ------
    ValueError
        If the machine was not sampled at one of the shares, or not often enough.
    """
    sampled = samples.removed.values
    missing = [share for share in removed if share not in sampled]
    if missing:
        raise ValueError(
            f"removed must be shares at which the machine was sampled, {', '.join(f'{f:g}' for f in sampled)}, "
            f"not {', '.join(f'{f:g}' for f in missing)}"
        )
    if n_images > samples.sizes["sample"]:
        raise ValueError(
            f"n_images must be at most the {samples.sizes['sample']} samples of a machine, not {n_images}"
        )
    rows = samples.samples.sel(removed=list(removed)).values[:, :n_images]
    return xr.Dataset(
        {
            "negatives": (("removed", "image", "byte"), rows, {"tier": "cache"}),
            "shown": (("removed", "shown", "byte"), rows[:, :n_shown]),
        },
        {"removed": list(removed)},
    ).assign_attrs(bits=PORTABLE)


def train_judge(
    images: str,
    images_checksum: str,
    recipe: str,
    fold: int,
    n_folds: int,
    held_out: int,
    n_synthetic: int,
    seed: int,
    n_updates: int,
    batch_size: int,
    learning_rate: float,
    **machines: xr.Dataset,
) -> xr.Dataset:
    """Train a judge on digits against negatives of one of the :data:`RECIPES`.

    Parameters
    ----------
    images, images_checksum : str
        The digits, as for :func:`rbmlib.mnist.data.load`; they must have labels.
    recipe : str
        Where its negatives come from. A family of digits taken apart counts as much as a machine.
    fold, n_folds : int
        The machines of this fold are those that the judge shall not see; they are left out by the caller.
    held_out : int
        Images of each machine and share f that are not learnt from.
    n_synthetic : int
        Digits that each family is made of.
    seed : int
        Seed of synthetic negatives, initial weights and batches.
    n_updates, batch_size, learning_rate
        As in :class:`rbmlib.mnist.network.Fit`.
    **machines : xarray.Dataset
        Results of :func:`over_pruned` by name.

    Returns
    -------
    xarray.Dataset
        The judge, :meth:`rbmlib.mnist.judge.Judge.to_dataset`, which remembers its recipe, fold and machines, and how often
        it is right on a fixed probe of images that it has not learnt from: ``probe_digits`` and ``probe_classes`` (share of
        test digits that are accepted, whose class is named), ``probe_machines`` (machine) and ``probe_families`` (family),
        shares rejected.

    Raises
    ------
    ValueError
        If recipe and machines do not go together, or the images have no labels.
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, not {recipe!r}")
    if bool(machines) == (recipe == SYNTHETIC):
        raise ValueError(
            f"machines must be given unless the recipe is {SYNTHETIC!r}; there are {len(machines)}"
        )
    digits = _digits(images, images_checksum)
    pools = {name: _unpacked(one.negatives, digits) for name, one in machines.items()}
    sources = [
        pool[:, : _n_learnt(name, pool, held_out)].reshape(-1, *digits.shape) for name, pool in pools.items()
    ]
    if recipe != OVER_PRUNED:
        sources += _families(digits, "train", n_synthetic, _seed_part(seed, _TRAINING)).values()
    about = {
        "recipe": recipe,
        "fold": fold,
        "n_folds": n_folds,
        "held_out": held_out,
        "images": images_checksum,
        "machines": sorted(machines),
    }
    judge = train(
        digits.train,
        digits.train_labels,
        sources,
        shape=digits.shape,
        seed=seed,
        fit=Fit(n_updates, batch_size, learning_rate),
        about=about,
    )
    found = judge.judge(digits.test)
    held = [
        _rejected(judge, pool[:, _n_learnt(name, pool, held_out) :]).mean() for name, pool in pools.items()
    ]
    families = _families(digits, "test", n_synthetic, _seed_part(seed, _PROBE))
    return (
        judge.to_dataset()
        .assign(
            probe_digits=found.quality.value,
            probe_classes=_share_right(found, digits),
            probe_machines=("machine", np.array(held, dtype=np.float64)),
            probe_families=("family", [1 - judge.judge(one).quality.value for one in families.values()]),
        )
        .assign_coords(machine=np.array(list(pools), dtype=np.str_), family=list(families))
        .assign_attrs(bits=DEPENDENT)
    )


def judge_samples(
    images: str, images_checksum: str, samples: xr.Dataset, judge: xr.Dataset, other: xr.Dataset
) -> xr.Dataset:
    """What two judges say of the samples of a machine, pruned more and more.

    Parameters
    ----------
    images, images_checksum : str
        The digits, as for :func:`rbmlib.mnist.data.load`.
    samples : xarray.Dataset
        ``samples`` (removed, sample, byte).
    judge, other : xarray.Dataset
        The judge that decides, and the one whose Q stands beside.

    Returns
    -------
    xarray.Dataset
        By share ``removed``: Q as ``quality``, of the other judge ``quality_other``, the mean ``confidence``, ``accepted``
        images and their ``counts`` by class, d_f as ``imbalance`` and the ``entropy`` of classes in nats (NaN where fewer
        than 100 images are accepted), each with its standard error over the images, ``..._error``; and that of E(2) against
        the training digits, ``second_moment_error``, which needs no judge but whose bits depend on the processor, too.

    Raises
    ------
    ValueError
        If a judge was trained for images of another size.
    """
    digits = _digits(images, images_checksum)
    first, second = (Judge.from_dataset(one) for one in (judge, other))
    reference = moments_of(images, images_checksum)
    rows: dict[str, list[float]] = {}
    counts = []
    for drawn in _unpacked(samples.samples, digits):
        found, beside = first.judge(drawn), second.judge(drawn)
        spread = diversity(found.counts)
        measured = {
            "quality": found.quality,
            "quality_other": beside.quality,
            "confidence": found.confidence,
            "imbalance": spread.imbalance,
            "entropy": spread.entropy,
        }
        for name, (value, error) in measured.items():
            rows.setdefault(name, []).append(value)
            rows.setdefault(f"{name}_error", []).append(error)
        error = second_moment_standard_error(drawn.reshape(len(drawn), -1), reference)
        rows.setdefault("second_moment_error", []).append(error)
        counts.append(found.counts)
    return xr.Dataset(
        {
            **{name: ("removed", values) for name, values in rows.items()},
            "counts": (("removed", "class"), np.array(counts)),
            "accepted": ("removed", np.array(counts).sum(axis=1)),
        },
        {"removed": samples.removed.values},
    ).assign_attrs(bits=DEPENDENT)


def judge_accuracy(
    images: str, images_checksum: str, n_synthetic: int, seed: int, judge: xr.Dataset, **machines: xr.Dataset
) -> xr.Dataset:
    """How often a judge is right: on test digits, on machines that it has seen and not seen, and on each family.

    Parameters
    ----------
    images, images_checksum : str
        The digits, as for :func:`rbmlib.mnist.data.load`.
    n_synthetic : int
        Test digits that each family is made of.
    seed : int
        Seed of the families.
    judge : xarray.Dataset
        The judge.
    **machines : xarray.Dataset
        Results of :func:`over_pruned` by the names that the judge knows them by.

    Returns
    -------
    xarray.Dataset
        ``digits``, share of the test digits that is accepted, ``digits_of`` (class) the same by class, and ``classes``, share
        whose class is named rightly; ``rejected`` (machine, removed), of machines that the judge has ``seen`` (machine) over
        those images that it has not learnt from; ``families`` (family), shares rejected.

    Raises
    ------
    ValueError
        If the judge was trained for images of another size.
    """
    digits = _digits(images, images_checksum)
    asked = Judge.from_dataset(judge)
    found = asked.judge(digits.test.reshape(-1, *digits.shape))
    seen = [name in asked.about["machines"] for name in machines]
    rejected = []
    for known, (name, one) in zip(seen, machines.items(), strict=True):
        pool = _unpacked(one.negatives, digits)
        rejected.append(_rejected(asked, pool[:, _n_learnt(name, pool, asked.about["held_out"]) * known :]))
    families = _families(digits, "test", n_synthetic, seed)
    of_class = [found.accepted[digits.test_labels == kind].mean() for kind in range(asked.n_classes)]
    return xr.Dataset(
        {
            "digits": found.quality.value,
            "digits_of": ("class", of_class),
            "classes": _share_right(found, digits),
            "rejected": (("machine", "removed"), np.array(rejected)),
            "seen": ("machine", np.array(seen)),
            "families": ("family", [1 - asked.judge(one).quality.value for one in families.values()]),
        },
        {
            "machine": np.array(list(machines), dtype=np.str_),
            "removed": next(iter(machines.values())).removed.values,
            "family": list(families),
        },
    ).assign_attrs(bits=DEPENDENT)


def compare_judges(
    images: str, images_checksum: str, machine: str, samples: xr.Dataset, **judges: xr.Dataset
) -> xr.Dataset:
    """Q of the samples of one machine, pruned more and more, by several judges.

    Parameters
    ----------
    images, images_checksum : str
        The digits, as for :func:`rbmlib.mnist.data.load`.
    machine : str
        The name that judges know the machine by.
    samples : xarray.Dataset
        ``samples`` (removed, sample, byte).
    **judges : xarray.Dataset
        The judges by name.

    Returns
    -------
    xarray.Dataset
        ``quality`` (judge, removed); ``recipe``, ``fold`` and ``seen``, whether the judge has learnt from this machine, (judge).
    """
    digits = _digits(images, images_checksum)
    asked = [Judge.from_dataset(one) for one in judges.values()]
    drawn = _unpacked(samples.samples, digits)
    quality = [[one.judge(rows).quality.value for rows in drawn] for one in asked]
    return xr.Dataset(
        {
            "quality": (("judge", "removed"), np.array(quality)),
            "recipe": ("judge", np.array([one.about["recipe"] for one in asked], dtype=np.str_)),
            "fold": ("judge", [one.about["fold"] for one in asked]),
            "seen": ("judge", [machine in one.about["machines"] for one in asked]),
        },
        {"judge": list(judges), "removed": samples.removed.values},
    ).assign_attrs(bits=DEPENDENT)


def judge_sources(images: str, images_checksum: str, n_shown: int, seed: int) -> xr.Dataset:
    """A few images of what a judge learns from that is no machine's; portable bits.

    Returns
    -------
    xarray.Dataset
        Training digits ``digits`` (class, shown, byte) and the families made from them, ``families`` (family, shown, byte), with
        the attributes ``height`` and ``width``.
    """
    digits = _digits(images, images_checksum)
    kinds = range(int(digits.train_labels.max()) + 1)
    rows = [digits.train[digits.train_labels == kind][:n_shown] for kind in kinds]
    families = _families(digits, "train", max(n_shown, min(1000, len(digits.train))), seed)
    made = [one[:n_shown] for one in families.values()]
    return xr.Dataset(
        {
            "digits": (("class", "shown", "byte"), np.packbits(np.array(rows), axis=-1)),
            "families": (("family", "shown", "byte"), np.packbits(np.array(made), axis=-1)),
        },
        {"class": list(kinds), "family": list(families)},
    ).assign_attrs(bits=PORTABLE, height=digits.shape[0], width=digits.shape[1])


def _digits(source: str, checksum: str) -> Images:
    images = digits_of(source, checksum)
    if images.train_labels is None:
        raise ValueError(f"images must have labels for a judge to learn; those of {source} have none")
    return images


def _unpacked(packed: xr.DataArray, digits: Images) -> NDArray[np.uint8]:
    """Images (removed, n, height, width) from their bits (removed, n, byte)."""
    height, width = digits.shape
    rows = packed.transpose("removed", ..., "byte").values
    n_bytes = -(-digits.n_pixels // 8)
    if rows.shape[-1] != n_bytes:
        raise ValueError(
            f"images have {n_bytes} bytes of {height} x {width} pixels, and the samples have {rows.shape[-1]}; "
            "a machine must be judged against the images that it was trained on"
        )
    return unpacked(rows, digits.n_pixels).reshape(*rows.shape[:2], height, width)


def _n_learnt(name: str, pool: NDArray[np.uint8], held_out: int) -> int:
    if not 0 < held_out < pool.shape[1]:
        raise ValueError(
            f"held_out must be from 1 to {pool.shape[1] - 1}, fewer than the images of {name}, not {held_out}"
        )
    return pool.shape[1] - held_out


def _rejected(judge: Judge, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of images that are rejected, (removed,)."""
    return np.array([1 - judge.judge(rows).quality.value for rows in images])


def _share_right(found: Judgement, digits: Images) -> float:
    return float((found.digit == digits.test_labels).mean())


def _families(digits: Images, part: str, n: int, seed: int) -> Mapping[str, NDArray[np.uint8]]:
    """Every family of negatives, each made of other digits of a part."""
    rows: NDArray[np.uint8] = getattr(digits, part)
    made = {}
    for number, name in enumerate(negatives.FAMILIES):
        key = _seed_part(seed, number)
        chosen = rows[permutation(len(rows), key)[:n]]
        made[name] = negatives.make(name, chosen, digits.shape, key)
    return made


def _seed_part(seed: int, part: int) -> int:
    return int(derived_seed(np.uint64(seed), part, 0))
