"""The catalogue of claims, and the verdicts on them."""

from __future__ import annotations

import datetime
import math
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from .rules import OUTCOMES, Finding, Outcome, Part

CATALOGUE = Path(__file__).with_name("claims.toml")
"""The claims of both papers."""
_FIELDS = ("id", "paper", "where", "statement", "settled_by")
_OPTIONAL = ("quantifier", "amended")
QUANTIFIERS = ("all", "most", "often")


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
    quantifier : str
        What its parts must do together: ``"all"`` of them hold, or what it says of ``"most"`` or ``"often"``, whose share is
        then a part.
    amended : str
        When the rule was changed after a look at results, with what changed and why; else empty.
    """

    id: str
    paper: str
    where: str
    statement: str
    rule: str
    quantifier: str = "all"
    amended: str = ""


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
        How the rule came to it, with the numbers of every part; or what is missing.
    finding : str
        What was found, in one sentence of at most 25 words; empty where nothing could be.
    parts : tuple of Part
        What the verdict is made of.

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
    finding: str = ""
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        if self.verdict not in OUTCOMES:
            raise ValueError(f"verdict is {self.verdict!r}; it must be one of {', '.join(OUTCOMES)}")
        if self.value is not None:
            object.__setattr__(self, "value", float(self.value))
            if not math.isfinite(self.value):
                raise ValueError(f"value of {self.id} is {self.value}; it must be a finite number or None")
        if self.interval is not None:
            low, high = (float(end) for end in self.interval)
            if not low <= high:
                raise ValueError(f"interval is ({low}, {high}); it must be two numbers in ascending order")
            object.__setattr__(self, "interval", (low, high))
        if isinstance(self.seeds, bool) or int(self.seeds) != self.seeds or self.seeds < 0:
            raise ValueError(f"seeds of {self.id} is {self.seeds!r}; it must be an integer of 0 or more")
        object.__setattr__(self, "seeds", int(self.seeds))

    @property
    def count(self) -> str:
        """How many parts hold, and fail, of those that are no premises; empty where there is none."""
        marks = [part.mark for part in self.parts if not part.premise]
        failed = f", {marks.count('fails')} fail" if "fails" in marks else ""
        return f"{marks.count('holds')} of {len(marks)} hold{failed}" if marks else ""

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
            "finding": self.finding,
            "parts": [part.to_json() for part in self.parts],
        }


def load_claims(path: str | PathLike[str]) -> list[Claim]:
    """Read a catalogue of claims.

    Parameters
    ----------
    path : path-like
        A TOML file of ``[[claim]]`` tables with ``id``, ``paper``, ``where``, ``statement`` and
        ``settled_by``, the last of which becomes the claim's rule, and where it applies ``quantifier`` and ``amended``.

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
        if not set(_FIELDS) <= set(table) <= {*_FIELDS, *_OPTIONAL}:
            raise ValueError(
                f"claim {name} has fields {sorted(table)}; it must have "
                f"{', '.join(_FIELDS)}, and may have {' and '.join(_OPTIONAL)}"
            )
        empty = [field for field, text in table.items() if not isinstance(text, str) or not text.strip()]
        if empty:
            raise ValueError(f"claim {name} has no text in {', '.join(empty)}")
        if name in claims:
            raise ValueError(f"claim {name} stands twice in {path}")
        if table.get("quantifier", "all") not in QUANTIFIERS:
            raise ValueError(
                f"quantifier of {name} must be one of {', '.join(QUANTIFIERS)}, not {table['quantifier']!r}"
            )
        more = {field: table[field].strip() for field in _OPTIONAL if field in table}
        claims[name] = Claim(*(table[field].strip() for field in _FIELDS), **more)
    return list(claims.values())


class Written(NamedTuple):
    """When the words of a rule were last changed.

    Attributes
    ----------
    commit : str
        The newest commit that touched them.
    date : str
        Its day in UTC, as ISO 8601.
    """

    commit: str
    date: str

    def before(self, oldest: str) -> bool | None:
        """Whether that was before the day of the oldest result; None on the same day, of which nobody can tell."""
        return None if self.date == oldest else self.date < oldest


def rules_written(path: str | PathLike[str]) -> dict[str, Written]:
    """When each rule of a catalogue was last changed in its wording, as Git knows it.

    Parameters
    ----------
    path : path-like
        The catalogue.

    Returns
    -------
    dict of str to Written
        By the claim's id; without those that are not committed, and empty where there is no history to ask.
    """
    path = Path(path)
    command = ["git", "-C", str(path.parent), "blame", "--line-porcelain", "--", path.name]
    try:
        lines = subprocess.run(
            command, capture_output=True, check=True, text=True, encoding="utf-8"
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return {}
    newest: dict[str, tuple[int, str]] = {}
    commit, seconds, claim, inside = "", 0, "", False
    for line in lines:
        word, _, rest = line.partition(" ")
        if line.startswith("\t"):
            text = line[1:]
            if text.startswith("id = "):
                claim = text.split('"')[1]
            inside = text.startswith("settled_by = ") or (inside and not re.match(r"(\w+ = |\[\[|$)", text))
            if inside:
                newest[claim] = max(newest.get(claim, (0, "")), (seconds, commit))
        elif word == "committer-time":
            seconds = int(rest)
        elif len(word) == 40 and not set(word) - set("0123456789abcdef"):
            commit = word
    days = {
        claim: datetime.datetime.fromtimestamp(at, datetime.UTC).date().isoformat()
        for claim, (at, _) in newest.items()
    }
    return {
        claim: Written(commit[:7], days[claim])
        for claim, (_, commit) in newest.items()
        if set(commit) != {"0"}
    }


class Rule(NamedTuple):
    """How a claim is settled.

    Attributes
    ----------
    find : callable
        From evidence to a :class:`~rbmbook.evidence.rules.Finding`.
    says : callable
        From the parts of the finding, in their order, to one sentence of at most 25 words: what was found.
    """

    find: Callable[[Any], Finding]
    says: Callable[[Sequence[Part]], str]


def settle(
    rules: Mapping[str, Rule],
    evidence: Any,
    profile: str,
    seeds: int | Mapping[str, int],
    objection: str | Mapping[str, str | None] | None = None,
) -> list[Verdict]:
    """The verdicts that rules give.

    Parameters
    ----------
    rules : mapping of str to Rule
        By the claim's id.
    evidence : object
        What every rule is given.
    profile : str
        The name of the run's parameters.
    seeds : int or mapping of str to int
        How many seeds the verdicts, or each of them, rest on.
    objection : str or mapping of str to str, optional
        Why nothing, or this claim, can be settled.

    Returns
    -------
    list of Verdict
        In the order of the rules.
    """
    settled = []
    for name, rule in rules.items():
        why = objection.get(name) if isinstance(objection, Mapping) else objection
        found = Finding((), why) if why else rule.find(evidence)
        estimate = found.estimate if found.parts else None
        settled.append(
            Verdict(
                name,
                found.outcome,
                None if estimate is None else float(estimate.value),
                None if estimate is None else tuple(map(float, estimate.interval)),
                seeds[name] if isinstance(seeds, Mapping) else int(seeds),
                profile,
                why or f"{found.text[0].upper()}{found.text[1:].removesuffix('.')}.",
                rule.says(found.parts) if found.parts else "",
                found.parts,
            )
        )
    return settled


def told(
    rules: Mapping[str, Rule], findings: Mapping[str, Finding], verdicts: Iterable[Verdict]
) -> dict[str, str]:
    """Under a claim's id what was found, in a sentence; under ``...-verdict`` what that makes of the claim.

    A run that cannot settle a claim has the sentence all the same, and says why with the verdict.
    """
    texts = {}
    for verdict in verdicts:
        found = findings[verdict.id]
        lead = found.lead
        texts[verdict.id] = (
            rules[verdict.id].says(found.parts) if found.parts else f"{lead[0].upper()}{lead[1:]}."
        )
        reason = (
            "" if verdict.parts else f" ({verdict.reason[0].lower()}{verdict.reason[1:].removesuffix('.')})"
        )
        texts[f"{verdict.id}-verdict"] = f"{verdict.verdict}{reason}."
    return texts
