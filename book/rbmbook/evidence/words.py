"""Numbers in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .estimates import Estimate

DASH, MINUS = "\u2013", "\u2212"
MOST_WORDS = 25
"""A sentence of finding is no longer."""
_SUPERSCRIPTS = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)


def percent(share: float, digits: int = 0) -> str:
    """A share in per cent."""
    return f"{100 * share:.{digits}f} %"


def removed_percent(share: float) -> str:
    """A share of the weights removed; 1 stands for an onset that never came."""
    return "never" if share >= 1.0 else percent(share)


def scientific(value: float) -> str:
    """A number as 3.4 times a power of ten, without markup, since glued texts carry none."""
    if not math.isfinite(value):
        return DASH
    digits, power = f"{value:.1e}".split("e")
    return f"{digits}\u00b710{str(int(power)).translate(_SUPERSCRIPTS)}"


def number(value: float, unit: str = "", form: str = ".3g") -> str:
    """A number with its unit; shares, whose unit is ``"%"``, are kept as parts of 1."""
    if not math.isfinite(value):
        return "\u221e" if value > 0 else f"{MINUS}\u221e"
    text = f"{100 * value if unit == '%' else value:{form}}"
    return f"{_positional(text)} {unit}".strip().replace("-", MINUS)


def _positional(text: str) -> str:
    """A number without a positive exponent: 1.2e+02 is 120."""
    return f"{float(text):.0f}" if "e+" in text else text


def interval_text(estimate: Estimate, unit: str = "", form: str = ".3g") -> str:
    """``0.47 [0.41, 0.53] nats``; without the interval where it has no width, and ``unknown`` where it has no end."""
    value, low, high = estimate
    if low == high:
        return number(value, unit, form)
    if not (math.isfinite(low) or math.isfinite(high)):
        return "unknown"
    bare = [number(x, unit, form).removesuffix(unit).strip() for x in estimate]
    return f"{bare[0]} [{bare[1]}, {bare[2]}] {unit}".strip()


def span(values: Iterable[float], unit: str = "", form: str = ".3g") -> str:
    """``35 to 47 %``, or the one number where both ends read the same."""
    each = list(values)
    low, high = number(min(each), unit, form), number(max(each), unit, form)
    return low if low == high else f"{low.removesuffix(unit).strip()} to {high}"


def listed(values: Mapping[str, str]) -> str:
    """``0.35 (KL), 0.41 (mROE)``."""
    return ", ".join(f"{text} ({name})" for name, text in values.items()) or DASH


def joined(words: Iterable[str]) -> str:
    """``a``, ``a and b``, or ``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def count_words(sentence: str) -> int:
    """Words of a sentence; a number, its unit and a relation are a word each, a lone dash or bracket is none."""
    return sum(any(c.isalnum() or c in "%=\u00d7\u221e" for c in word) for word in sentence.split())
