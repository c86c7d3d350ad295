"""Claims under test, their verdicts, and the statistics that the rules share.

Two kinds of rule. A claim of a difference is settled by an interval that excludes zero
(:func:`decide_difference`). A claim of no difference is settled by an interval that lies inside a margin
written down before the run (:func:`decide_equivalence`). What neither settles is not decided. Intervals are
over seeds, the first axis of the values; one seed alone gives an unbounded interval and decides nothing.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import stdtrit

Outcome = Literal["reproduced", "reproduced in part", "not reproduced", "not decided"]
OUTCOMES: tuple[Outcome, ...] = ("reproduced", "reproduced in part", "not reproduced", "not decided")

_FIELDS = ("id", "paper", "where", "statement", "settled_by")


@dataclass(frozen=True)
class Claim:
    """A statement that a reader of a paper is told.

    Attributes
    ----------
    id : str
        Its name in the scorecard, such as ``"A2.pm-75"``.
    paper : str
        The paper's letter.
    where : str
        Section, figure or table.
    statement : str
        What is claimed.
    rule : str
        The measurement that settles it, in words.
    """

    id: str
    paper: str
    where: str
    statement: str
    rule: str


@dataclass(frozen=True)
class Verdict:
    """What the results say of a claim.

    Attributes
    ----------
    id : str
        The claim's.
    verdict : str
        ``"reproduced"``, ``"reproduced in part"``, ``"not reproduced"`` or ``"not decided"``.
    value : float or None
        The measured quantity that decides; None if there is none.
    interval : (float, float) or None
        Its interval; a bound may be infinite.
    seeds : int
        How many seeds it rests on.
    profile : str
        The profile whose results it rests on.
    reason : str
        One sentence: how the rule came to it.

    Raises
    ------
    ValueError
        If the verdict is none of the four, a number is NaN, or the interval is reversed.
    """

    id: str
    verdict: Outcome
    value: float | None
    interval: tuple[float, float] | None
    seeds: int
    profile: str
    reason: str

    def __post_init__(self) -> None:
        if self.verdict not in OUTCOMES:
            raise ValueError(f"verdict is {self.verdict!r}; it must be one of {', '.join(OUTCOMES)}")
        if self.value is not None:
            object.__setattr__(self, "value", float(self.value))
            if not math.isfinite(self.value):
                raise ValueError(f"value of {self.id} is {self.value}; it must be a finite number or None")
        if self.interval is not None:
            object.__setattr__(self, "interval", _bounds(self.interval))
        if isinstance(self.seeds, bool) or int(self.seeds) != self.seeds or self.seeds < 0:
            raise ValueError(f"seeds of {self.id} is {self.seeds!r}; it must be an integer of 0 or more")
        object.__setattr__(self, "seeds", int(self.seeds))

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as what JSON holds; an infinite bound becomes null."""
        interval = self.interval and [bound if math.isfinite(bound) else None for bound in self.interval]
        return {
            "id": self.id,
            "verdict": self.verdict,
            "value": self.value,
            "interval": interval,
            "seeds": self.seeds,
            "profile": self.profile,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Estimate:
    """A value and the interval around it; arrays where a statistic was taken of several quantities at once.

    Attributes
    ----------
    value, low, high : float or numpy.ndarray
        The estimate and the ends of its interval.
    """

    value: Any
    low: Any
    high: Any

    @property
    def interval(self) -> tuple[Any, Any]:
        """The two ends."""
        return self.low, self.high


def load_claims(path: str | PathLike[str]) -> list[Claim]:
    """Read a catalogue of claims.

    Parameters
    ----------
    path : path-like
        A TOML file of ``[[claim]]`` tables with ``id``, ``paper``, ``where``, ``statement`` and
        ``settled_by``, the last of which becomes the claim's rule.

    Returns
    -------
    list of Claim
        In the order of the file.

    Raises
    ------
    ValueError
        If the file is not TOML, a claim has other fields, one of them is empty, or an id stands twice.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8")).get("claim", [])
    except (ValueError, RecursionError) as error:  # not TOML, or not even text
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    claims: dict[str, Claim] = {}
    for number, table in enumerate(tables, start=1):
        name = table.get("id", f"number {number}")
        if set(table) != set(_FIELDS):
            raise ValueError(f"claim {name} has fields {sorted(table)}; it must have {', '.join(_FIELDS)}")
        empty = [field for field in _FIELDS if not isinstance(table[field], str) or not table[field].strip()]
        if empty:
            raise ValueError(f"claim {name} has no text in {', '.join(empty)}")
        if name in claims:
            raise ValueError(f"claim {name} stands twice in {path}")
        claims[name] = Claim(*(table[field].strip() for field in _FIELDS))
    return list(claims.values())


def _values(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[0] == 0:
        raise ValueError(f"{name} has shape {array.shape}; its first axis must hold at least one seed")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity; leave out what was not measured")
    return array


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; it must lie between 0 and 1")


def _bounds(interval: Estimate | Sequence[float]) -> tuple[float, float]:
    low, high = (float(end) for end in (interval.interval if isinstance(interval, Estimate) else interval))
    if not low <= high:
        raise ValueError(f"interval is ({low}, {high}); it must be two numbers in ascending order")
    return low, high


def _estimate(value: Any, low: Any, high: Any) -> Estimate:
    return Estimate(*(float(x) if np.ndim(x) == 0 else x for x in (value, low, high)))


def mean_interval(values: Any, confidence: float = 0.95) -> Estimate:
    """Mean over seeds with Student's t interval.

    Parameters
    ----------
    values : array_like, shape (n_seeds, ...)
        One value, or one array of them, a seed.
    confidence : float
        Coverage, between 0 and 1.

    Returns
    -------
    Estimate
        With ``n_seeds - 1`` degrees of freedom; unbounded for one seed.

    Raises
    ------
    ValueError
        If there is no seed, a value is not finite, or `confidence` is out of range.
    """
    array = _values("values", values)
    _check_confidence(confidence)
    n, mean = array.shape[0], array.mean(axis=0)
    if n == 1:
        return _estimate(mean, np.full_like(mean, -np.inf), np.full_like(mean, np.inf))
    half = stdtrit(n - 1, (1 + confidence) / 2) * array.std(axis=0, ddof=1) / math.sqrt(n)
    return _estimate(mean, mean - half, mean + half)


def bootstrap_interval(
    values: Any,
    statistic: Callable[[np.ndarray], Any],
    confidence: float = 0.95,
    n_resamples: int = 4000,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap over seeds, for a statistic that is not a mean.

    Parameters
    ----------
    values : array_like, shape (n_seeds, ...)
        One value, or one array of them, a seed. Seeds are drawn with replacement and whole, so quantities of
        one seed stay together.
    statistic : callable
        Takes an array of the shape of `values`; returns a number or an array.
    confidence : float
        Coverage, between 0 and 1.
    n_resamples : int
        How many samples are drawn.
    seed : int
        Seed of the draws: the same seed gives the same interval.

    Returns
    -------
    Estimate
        The statistic of `values` and its interval; unbounded for one seed.

    Raises
    ------
    ValueError
        If there is no seed, a value or a resampled statistic is not finite, or an argument is out of range.
    """
    array = _values("values", values)
    _check_confidence(confidence)
    if n_resamples < 100:
        raise ValueError(f"n_resamples is {n_resamples!r}; it must be 100 or more")
    value = np.asarray(statistic(array), dtype=np.float64)
    n = array.shape[0]
    if n == 1:
        return _estimate(value, np.full_like(value, -np.inf), np.full_like(value, np.inf))
    draws = np.random.default_rng(seed).integers(0, n, size=(n_resamples, n))
    resampled = _values("statistic of a resample", [statistic(array[draw]) for draw in draws])
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return _estimate(value, low, high)


def paired_difference(first: Any, second: Any, confidence: float = 0.95) -> Estimate:
    """Mean of ``first - second`` over seeds, the two paired seed by seed.

    Parameters
    ----------
    first, second : array_like, shape (n_seeds, ...)
        Values of the two, in the same order of seeds.
    confidence : float
        Coverage, between 0 and 1.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If the shapes differ, and as :func:`mean_interval`.
    """
    first, second = _values("first", first), _values("second", second)
    if first.shape != second.shape:
        raise ValueError(f"first has shape {first.shape} and second {second.shape}; pairs need equal shapes")
    return mean_interval(first - second, confidence)


def decide_difference(interval: Estimate | Sequence[float], sign: int) -> Outcome:
    """Settle a claim that a quantity lies above (or below) zero.

    Parameters
    ----------
    interval : Estimate or (float, float)
        Interval of the quantity.
    sign : {1, -1}
        The side of zero that is claimed.

    Returns
    -------
    str
        ``"reproduced"`` if the interval lies on that side, ``"not reproduced"`` if on the other, else
        ``"not decided"``. An end at zero excludes nothing.

    Raises
    ------
    ValueError
        If `sign` is not 1 or -1, or the interval is reversed or NaN.
    """
    if sign not in (1, -1):
        raise ValueError(f"sign is {sign!r}; it must be 1 or -1")
    low, high = _bounds(interval)
    if sign < 0:
        low, high = -high, -low
    return "reproduced" if low > 0 else "not reproduced" if high < 0 else "not decided"


def decide_equivalence(interval: Estimate | Sequence[float], margin: float | tuple[float, float]) -> Outcome:
    """Settle a claim that a quantity is as good as zero.

    Parameters
    ----------
    interval : Estimate or (float, float)
        Interval of the quantity.
    margin : float or (float, float)
        How far from zero still counts as none: an effect size fixed before the run; a pair sets both sides.

    Returns
    -------
    str
        ``"reproduced"`` if the interval lies inside the margin (ends included), ``"not reproduced"`` if it
        lies outside, else ``"not decided"``.

    Raises
    ------
    ValueError
        If the margin is not positive or reversed, or the interval is reversed or NaN.
    """
    low, high = _bounds(interval)
    if isinstance(margin, (int, float, np.number)):
        if not margin > 0:
            raise ValueError(f"margin is {margin!r}; it must be positive")
        margin = (-float(margin), float(margin))
    least, most = _bounds(margin)
    if least <= low and high <= most:
        return "reproduced"
    return "not reproduced" if high < least or low > most else "not decided"


def combine(outcomes: Iterable[Outcome]) -> Outcome:
    """Settle a claim of several parts.

    Parameters
    ----------
    outcomes : iterable of str
        What was found of each part.

    Returns
    -------
    str
        The outcome of all parts where they agree; ``"reproduced in part"`` where some are reproduced, wholly
        or in part, and others are not; ``"not decided"`` where none is reproduced and some are open.

    Raises
    ------
    ValueError
        If there is no part, or an outcome is none of the four.
    """
    found = set(outcomes)
    if not found or not found <= set(OUTCOMES):
        raise ValueError(f"outcomes are {sorted(found)}; they must be some of {', '.join(OUTCOMES)}")
    if len(found) == 1:
        return found.pop()
    return "reproduced in part" if found & {"reproduced", "reproduced in part"} else "not decided"
