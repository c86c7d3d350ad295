"""Parts of a claim that hold, fail or stay open, and the verdict that they make together.

A part says within which bounds its estimate is claimed to lie. A *difference* has one bound: it holds if the whole
interval lies on that side, and fails if it lies on the other. *No difference* has two, a margin that was written down
before: it holds if the whole interval lies inside, and fails if it lies outside. Else it is open. Bounds are effect sizes,
never standard errors.

A claim is reproduced if all of its parts hold, reproduced in part if some hold and some fail, not reproduced if none
holds and any fails, and else not decided. *Premises*, without which a claim would mean nothing, are shown and do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from .estimates import Estimate
from .words import interval_text, span

Mark = Literal["holds", "fails", "open"]
MARKS: tuple[Mark, ...] = ("holds", "fails", "open")
Outcome = Literal["reproduced", "reproduced in part", "not reproduced", "not decided"]
OUTCOMES: tuple[Outcome, ...] = ("reproduced", "reproduced in part", "not reproduced", "not decided")


class Part(NamedTuple):
    """One comparison that a claim rests on.

    Attributes
    ----------
    name : str
        What is compared.
    estimate : Estimate
        Its value and interval.
    least, most : float
        The bounds within which it is claimed to lie; one of them may be infinite.
    unit : str
        Of the estimate; ``"%"`` for shares, which are kept as parts of 1.
    premise : bool
        Whether the claim only means something if this holds.
    """

    name: str
    estimate: Estimate
    least: float = 0.0
    most: float = math.inf
    unit: str = ""
    premise: bool = False

    @property
    def mark(self) -> Mark:
        """``"holds"``, ``"fails"`` or ``"open"``, by the interval alone."""
        _, low, high = self.estimate
        if math.isfinite(self.least) and math.isfinite(self.most):  # inside a margin, its ends included
            holds, fails = self.least <= low and high <= self.most, high < self.least or low > self.most
        else:
            holds = low > self.least if math.isfinite(self.least) else high < self.most
            fails = high < self.least if math.isfinite(self.least) else low > self.most
        return "holds" if holds else "fails" if fails else "open"

    @property
    def told(self) -> str:
        """Name, value and interval."""
        return f"{self.name} {interval_text(self.estimate, self.unit)}".strip()

    def to_json(self) -> dict[str, Any]:
        """The part as what JSON holds; an infinite end becomes null."""
        value, *ends = (_plain(x) for x in self.estimate)
        return {
            "name": self.name,
            "value": value,
            "interval": ends,
            "unit": self.unit,
            "claimed": [_plain(self.least), _plain(self.most)],
            "mark": self.mark,
            "premise": self.premise,
        }


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def above(name: str, estimate: Estimate, level: float = 0.0, unit: str = "", premise: bool = False) -> Part:
    """A part that is claimed to lie above a level."""
    return Part(name, estimate, level, math.inf, unit, premise)


def below(name: str, estimate: Estimate, level: float = 0.0, unit: str = "", premise: bool = False) -> Part:
    """A part that is claimed to lie below a level."""
    return Part(name, estimate, -math.inf, level, unit, premise)


def within(name: str, estimate: Estimate, margin: float, around: float = 0.0, unit: str = "") -> Part:
    """A part that is claimed to lie within a margin around a value.

    Raises
    ------
    ValueError
        If the margin is not positive.
    """
    if not margin > 0:
        raise ValueError(f"margin is {margin!r}; it must be positive")
    return Part(name, estimate, around - margin, around + margin, unit)


def is_exactly(name: str, value: float, claimed: float, unit: str = "") -> Part:
    """A part that was counted, and is claimed to be a given number."""
    return Part(name, Estimate(value, value, value), claimed, claimed, unit)


# --- several that stand for one -------------------------------------------------------------------------------------


def every(name: str, parts: Iterable[Part]) -> Part:
    """The part that decides whether all of several hold: one that fails if any does, else one that is open if any is."""
    return _deciding(name, parts, ("fails", "open", "holds"), max)


def some(name: str, parts: Iterable[Part]) -> Part:
    """The part that decides whether any of several holds: the clearest that does, else the nearest that may."""
    return _deciding(name, parts, ("holds", "open", "fails"), min)


def most(name: str, parts: Iterable[Part]) -> Part:
    """The part that decides whether more than half of several hold: the middle one, from failing to holding."""
    ranked = sorted(parts, key=lambda part: (("fails", "open", "holds").index(part.mark), -excess(part)))
    middle = ranked[(len(ranked) - 1) // 2]
    return middle._replace(name=_joined(name, middle.name))


def _deciding(name: str, parts: Iterable[Part], order: Sequence[Mark], choose: Callable) -> Part:
    found = list(parts)
    first = min((part.mark for part in found), key=order.index)
    decides = choose((part for part in found if part.mark == first), key=excess)
    return decides._replace(name=_joined(name, decides.name))


def excess(part: Part) -> float:
    """How far a value lies beyond its bounds; negative inside."""
    return max(part.least - part.estimate.value, part.estimate.value - part.most)


def _joined(name: str, detail: str) -> str:
    return f"{name} ({detail})" if name and detail else name or detail


# --- findings -------------------------------------------------------------------------------------------------------


def decide(parts: Iterable[Part]) -> Outcome:
    """The verdict on a claim that all of its parts must bear out; premises do not count.

    Raises
    ------
    ValueError
        If there is nothing but premises.
    """
    marks = {part.mark for part in parts if not part.premise}
    if not marks:
        raise ValueError("a claim needs at least one part that is no premise")
    if "holds" in marks:
        return (
            "reproduced"
            if marks == {"holds"}
            else "reproduced in part"
            if "fails" in marks
            else "not decided"
        )
    return "not reproduced" if "fails" in marks else "not decided"


class Finding(NamedTuple):
    """What a rule found.

    Attributes
    ----------
    parts : tuple of Part
        The comparisons; none where something is missing that would be compared.
    lead : str
        What the parts are of, or what is missing.
    shown : Estimate or None
        The quantity that stands for all; None for that of the first part.
    beside : str
        What the same rule says of other settings and measures, which decide nothing.
    """

    parts: tuple[Part, ...]
    lead: str
    shown: Estimate | None = None
    beside: str = ""

    @property
    def outcome(self) -> Outcome:
        """The verdict that the parts make."""
        return decide(self.parts) if self.parts else "not decided"

    @property
    def estimate(self) -> Estimate | None:
        """The quantity that stands for all."""
        return self.shown if self.shown is not None or not self.parts else self.parts[0].estimate

    @property
    def value(self) -> float:
        """Its value."""
        return self.estimate.value

    @property
    def interval(self) -> tuple[float, float]:
        """Its interval."""
        return self.estimate.interval

    @property
    def text(self) -> str:
        """What was compared, with every part's numbers, and what stands beside."""
        listed = f"{self.lead}: {'; '.join(part.told for part in self.parts)}" if self.parts else self.lead
        return f"{listed}. {self.beside}".removesuffix(". ")

    def beside_it(self, text: str) -> Finding:
        """The finding with something beside it that decides nothing."""
        return self._replace(beside=" ".join(filter(None, (self.beside, text))))


def finding(
    lead: str, parts: Iterable[Part], shown: Callable[[Sequence[Part]], Part] | None = None, beside: str = ""
) -> Finding:
    """A finding of parts, of which `shown` picks the one that stands for all."""
    listed = tuple(parts)
    return Finding(listed, lead, shown(listed).estimate if shown else None, beside)


def missing(reason: str) -> Finding:
    """A finding that nothing can be found, and why."""
    return Finding((), reason)


def least(parts: Sequence[Part]) -> Part:
    """The part of the smallest value."""
    return min(parts, key=lambda part: part.estimate.value)


def largest(parts: Sequence[Part]) -> Part:
    """The part of the largest value."""
    return max(parts, key=lambda part: part.estimate.value)


def farthest(parts: Sequence[Part]) -> Part:
    """The part whose value is farthest from zero."""
    return max(parts, key=lambda part: abs(part.estimate.value))


def largest_excess(parts: Sequence[Part]) -> Part:
    """The part whose value is farthest on the wrong side of its bounds, or nearest to them."""
    return max(parts, key=excess)


def last(parts: Sequence[Part]) -> Part:
    """The last part."""
    return parts[-1]


# --- why a run cannot settle a claim --------------------------------------------------------------------------------


def other_setting(parameters: Mapping[str, Any], expected: Mapping[str, Any]) -> str | None:
    """A parameter is not what the claims are about."""
    for name, value in expected.items():
        if parameters[name] != value:
            return f"settled for {name} = {value}; this run has {parameters[name]}"
    return None


def beside_them(parts: Iterable[Part]) -> str:
    """What parts that decide nothing say, with their marks."""
    return "Beside it: " + "; ".join(f"{part.told} ({part.mark})" for part in parts)


def counted(parts: Iterable[Part], mark: Mark = "holds") -> str:
    """``3 of 4``: how many parts that are no premises have a mark."""
    own = [part for part in parts if not part.premise]
    return f"{sum(part.mark == mark for part in own)} of {len(own)}"


def spanned(parts: Iterable[Part], form: str = "+.2g") -> str:
    """``+0.1 to +0.4 nats``: the range of the values, with their unit; parts without a bound are left out."""
    known = [part for part in parts if np.isfinite(part.estimate.low) or np.isfinite(part.estimate.high)]
    return span((part.estimate.value for part in known), known[0].unit, form) if known else "unknown"
