r"""A judge of generated images: is it a digit, and if so, which?

A small convolutional network learns digits against images that are none (Diaz-Faloh & Mulet, appendix
A). The quality Q of a set is the share of its images that the judge takes for digits.

The negatives decide what Q means. Machines pruned too far collapse to images of their own, so negatives are
split **by machine**, never by image: a judge that is tested on other images of a machine that it has learnt
from is only asked whether it remembers. :func:`cross_fit` trains one judge for each fold of machines, on the
others, so that every machine is judged by one that has never seen it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbmlib.arguments import plain_array
from rbmlib.rbm import check_seed

from . import network
from .images import check_images
from .network import Fit
from .quality import Measured

if TYPE_CHECKING:
    import xarray as xr

ACCEPTED = 0.5
"""An image counts as a digit if the judge gives that at least this probability."""


class Judgement(NamedTuple):
    """What a judge says of a set of images.

    Attributes
    ----------
    probability : array of float32, (n,)
        Probability that each is a digit.
    digit : array of uint8, (n,)
        The likeliest class of each, accepted or not.
    n_classes : int
        Number of classes.
    """

    probability: NDArray[np.float32]
    digit: NDArray[np.uint8]
    n_classes: int

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Which images count as digits."""
        return self.probability >= ACCEPTED

    @property
    def quality(self) -> Measured:
        """Q, the share of the images that count as digits, with its standard error for independent images."""
        n, share = len(self.accepted), float(self.accepted.mean())
        return Measured(share, math.sqrt(share * (1 - share) / n))

    @property
    def confidence(self) -> Measured:
        """Mean probability, with its standard error for independent images."""
        values = self.probability.astype(np.float64)
        spread = values.std(ddof=1) if len(values) > 1 else math.inf
        return Measured(float(values.mean()), float(spread / math.sqrt(len(values))))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Accepted images by class, (n_classes,)."""
        return np.bincount(self.digit[self.accepted], minlength=self.n_classes)


@dataclass(frozen=True, eq=False)
class Judge:
    """A trained judge.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the images it was trained for.
    n_classes : int
        Number of classes.
    parameters : dict of str to array of float32
        The network's parameters.
    about : dict
        What it was trained on and how: numbers and text.
    """

    shape: tuple[int, int]
    n_classes: int
    parameters: Mapping[str, NDArray[np.float32]]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = network.parameter_shapes(self.shape, self.n_classes)
        found = {name: np.shape(value) for name, value in self.parameters.items()}
        if found != expected:
            wrong = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
            raise ValueError(
                f"parameters must be those of a judge of {self.shape[0]} x {self.shape[1]} images in "
                f"{self.n_classes} classes; {', '.join(wrong)} differ"
            )
        values = {name: np.array(value, np.float32) for name, value in self.parameters.items()}
        if not all(np.isfinite(value).all() for value in values.values()):
            raise ValueError("parameters must be finite, not NaN or infinite")
        object.__setattr__(self, "parameters", values)

    def __repr__(self) -> str:
        return f"Judge({self.shape[0]} x {self.shape[1]}, {self.n_classes} classes)"

    def judge(self, images: ArrayLike) -> Judgement:
        """Judge images; needs torch, and its bits depend on the processor.

        Parameters
        ----------
        images : array, (n, n_pixels) or (n, height, width)
            Zeros and ones, of the size that the judge was trained for.

        Returns
        -------
        Judgement

        Raises
        ------
        ValueError
            If the images are of another size, not binary, or none.
        """
        height, width = self.shape
        array = plain_array("images", images)
        if array.ndim in (2, 3) and array.shape[1:] not in ((height * width,), (height, width)):
            size = " x ".join(str(side) for side in array.shape[1:])
            raise ValueError(
                f"images have {size} pixels, and this judge was trained for {height} x {width}; train one for their size"
            )
        rows = check_images("images", array, self.shape)
        probability, kinds = network.outputs(self.parameters, rows, self.shape, self.n_classes)
        return Judgement(probability, kinds.argmax(axis=1).astype(np.uint8), self.n_classes)

    def to_dataset(self) -> xr.Dataset:
        """The judge as labelled arrays, which a result store keeps under a checksum and without pickles."""
        import xarray as xr

        variables: dict[str, Any] = {
            name: (tuple(f"{name}.{axis}" for axis in range(value.ndim)), value)
            for name, value in self.parameters.items()
        }
        variables["shape"] = ("side", np.array(self.shape))
        variables["n_classes"] = ((), self.n_classes)
        variables["about"] = ((), json.dumps(dict(self.about), sort_keys=True))
        return xr.Dataset(variables)

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> Judge:
        """The inverse of :meth:`to_dataset`.

        Raises
        ------
        ValueError
            If variables are missing or do not fit together.
        """
        missing = {"shape", "n_classes", "about"} - {str(name) for name in dataset.variables}
        if missing:
            raise ValueError(f"dataset must hold {', '.join(sorted(missing))} to be a judge")
        shape = tuple(int(side) for side in dataset["shape"].values)
        n_classes = int(dataset["n_classes"])
        names = [name for name in network.parameter_shapes(shape, n_classes) if name in dataset]
        parameters = {name: dataset[name].values for name in names}
        return cls(shape, n_classes, parameters, json.loads(str(dataset["about"].item())))


def train_judge(
    positives: ArrayLike,
    labels: ArrayLike,
    negatives: Sequence[ArrayLike],
    *,
    shape: tuple[int, int],
    seed: int,
    fit: Fit | None = None,
    about: Mapping[str, Any] | None = None,
) -> Judge:
    """Train a judge; needs torch, and its bits depend on the processor.

    Parameters
    ----------
    positives : array, (n, n_pixels)
        Digits, zeros and ones.
    labels : array of int, (n,)
        Their classes, 0 ... n_classes - 1, each of them at least once.
    negatives : sequence of array, (m, n_pixels)
        Images that are no digits, one array a machine (or another source); every source counts equally.
    shape : (int, int)
        Height and width.
    seed : int
        Seed of initial weights and batches.
    fit : Fit, optional
        How to train.
    about : mapping, optional
        What the judge shall remember of its origin, beside what is known here: numbers and text.

    Returns
    -------
    Judge

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    """
    check_seed("seed", seed)
    if min(shape) < network.SMALLEST_SIDE:
        raise ValueError(f"shape must have sides of {network.SMALLEST_SIDE} pixels or more, not {shape}")
    digits = check_images("positives", positives, shape)
    classes = plain_array("labels", labels)
    if classes.shape != (len(digits),) or classes.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be {len(digits)} integers, one a positive, not {classes.dtype} of shape {classes.shape}"
        )
    n_classes = int(classes.max()) + 1
    if classes.min() < 0 or n_classes > 256 or len(np.unique(classes)) < n_classes or n_classes < 2:
        raise ValueError(
            f"labels must be 0 ... n_classes - 1, each at least once and two or more, not {np.unique(classes)}"
        )
    sources = [check_images(f"negatives[{i}]", one, shape) for i, one in enumerate(negatives)]
    if not sources:
        raise ValueError("negatives must hold the images of at least one machine; it is empty")
    fit = fit or Fit()
    machine = np.repeat(np.arange(len(sources)), [len(one) for one in sources])
    parameters = network.train(
        digits, classes.astype(np.uint8), np.concatenate(sources), machine, shape, n_classes, fit, seed
    )
    known = {
        "n_positives": len(digits),
        "n_negatives": len(machine),
        "n_machines": len(sources),
        "n_updates": fit.n_updates,
        "batch_size": fit.batch_size,
        "learning_rate": fit.learning_rate,
        "seed": int(seed),
    }
    return Judge(tuple(shape), n_classes, parameters, {**known, **(about or {})})


def folds(n_machines: int, n_folds: int) -> NDArray[np.int64]:
    """Fold of each machine, 0 ... n_folds - 1, in turn: (n_machines,).

    Raises
    ------
    ValueError
        If there are fewer than two folds, or fewer machines than folds.
    """
    if not 2 <= n_folds <= n_machines:
        raise ValueError(f"n_folds must be from 2 to n_machines = {n_machines}, not {n_folds}")
    return np.arange(n_machines) % n_folds


def cross_fit(
    positives: ArrayLike,
    labels: ArrayLike,
    negatives: Sequence[ArrayLike],
    fold: ArrayLike,
    *,
    shape: tuple[int, int],
    seed: int,
    fit: Fit | None = None,
    about: Mapping[str, Any] | None = None,
) -> list[Judge]:
    """Train one judge for each fold of machines, on the negatives of all others.

    Parameters
    ----------
    positives, labels, negatives, shape, seed, fit, about
        As in :func:`train_judge`; judge k is trained from the seed and k.
    fold : array of int, (n_machines,)
        Fold of each machine.

    Returns
    -------
    list of Judge
        Judge k has seen no image of the machines of fold k.

    Raises
    ------
    ValueError
        If a fold leaves nothing to train on, and as :func:`train_judge`.
    """
    of = np.asarray(fold)
    if of.shape != (len(negatives),) or of.dtype.kind not in "iu" or (of.size and of.min() < 0):
        raise ValueError(f"fold must be {len(negatives)} integers >= 0, one a machine, not {fold!r}")
    judges = []
    for k in range(int(of.max()) + 1 if of.size else 0):
        seen = [one for one, its in zip(negatives, of, strict=True) if its != k]
        if not seen:
            raise ValueError(f"fold must leave machines to train on; all of them are in fold {k}")
        remembered = {**(about or {}), "fold": k}
        seeds = np.random.SeedSequence([check_seed("seed", seed), k]).generate_state(1, np.uint64)
        judges.append(
            train_judge(positives, labels, seen, shape=shape, seed=int(seeds[0]), fit=fit, about=remembered)
        )
    return judges


class Accuracy(NamedTuple):
    """How often a judge is right.

    Attributes
    ----------
    digits : float
        Share of the digits that it accepts.
    kinds : float
        Share of the digits whose class it names rightly.
    machines : array of float64, (n_machines,)
        Share of each machine's negatives that it rejects.
    """

    digits: float
    kinds: float
    machines: NDArray[np.float64]


def accuracy(
    judge: Judge, positives: ArrayLike, labels: ArrayLike, negatives: Iterable[ArrayLike]
) -> Accuracy:
    """How often a judge is right on digits and, machine by machine, on images that are none.

    Parameters
    ----------
    judge : Judge
        The judge.
    positives : array, (n, n_pixels)
        Digits that it was not trained on.
    labels : array of int, (n,)
        Their classes.
    negatives : iterable of array, (m, n_pixels)
        Images that are no digits, one array a machine.

    Returns
    -------
    Accuracy
    """
    found = judge.judge(positives)
    rejected = [1 - judge.judge(one).quality.value for one in negatives]
    kinds = float((found.digit == np.asarray(labels)).mean())
    return Accuracy(found.quality.value, kinds, np.array(rejected))
