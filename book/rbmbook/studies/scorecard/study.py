"""Every claim of both papers with its verdict, as far as the stored results go.

The claims stand in ``claims.toml`` of :mod:`rbmbook.evidence`. A study settles some of them: a module
``claims`` in its room lists their ids in ``CLAIMS`` and has a function ``verdicts(profile)`` with one verdict for each.
The scorecard finds these modules by walking through the rooms. It reads results and never computes them: where a
study's results are not stored, its claims are not decided, and the reason says what to run.
"""

from __future__ import annotations

import csv
import html
import importlib
import importlib.util
import io
import pkgutil
from collections import Counter
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from rbmbook.drawing.inline_html import InlineHTML
from rbmbook.evidence.claims import CATALOGUE, Claim, Verdict, load_claims, rules_written
from rbmbook.evidence.words import DASH
from rbmbook.lab.cell import Cell
from rbmbook.lab.errors import ResultNotFound
from rbmbook.lab.store import Store

SYMBOLS = {
    "reproduced": "\u2713",
    "reproduced in part": "\u25d0",
    "not reproduced": "\u2717",
    "not decided": "\u25cb",
}
"""A verdict's symbol, so that no reader depends on colour."""

MARKS = {"holds": "\u2713", "fails": "\u2717", "open": "\u25cb"}
"""The symbol of a part's mark."""

_COLORS = dict(zip(SYMBOLS, ("#0f9d77", "#d97a0b", "#c2559d", "#7f7f7f"), strict=True))

NOT_RUN = "not run yet"

Entry = tuple[Claim, Verdict]


class Study(NamedTuple):
    """Rules for some claims, and the experiments whose stored results they read."""

    claims: ModuleType
    experiments: tuple[ModuleType, ...]


def studies() -> tuple[Study, ...]:
    """Every study that settles claims: the rooms beside this one that have a module ``claims``.

    No statement imports them: the notebook's front matter says that it ``follows`` them, so that its page is stale when
    a rule changes.
    """
    package = importlib.import_module(__name__.rsplit(".", 2)[0])
    found = []
    for room in pkgutil.iter_modules(package.__path__):
        name = f"{package.__name__}.{room.name}"
        if room.ispkg and importlib.util.find_spec(f"{name}.claims") is not None:
            experiment = importlib.import_module(f"{name}.study")
            found.append(Study(importlib.import_module(f"{name}.claims"), (experiment,)))
    return tuple(found)


def scorecard(profile: str = "book", store: Store | None = None) -> list[Entry]:
    """All claims in the order of the papers, each with its verdict.

    Parameters
    ----------
    profile : str
        The profile whose results decide.
    store : Store, optional
        Where to look whether the results are there; the clone's own by default.

    Returns
    -------
    list of (Claim, Verdict)
        One entry a claim; a claim without results is not decided, and says why.

    Raises
    ------
    ValueError
        If no study has such a profile, or a study's verdicts are not those that it announces.
    """
    claims = load_claims(CATALOGUE)
    store = Store.default() if store is None else store
    rules = studies()
    known = sorted(
        {name for study in rules for experiment in study.experiments for name in experiment.PROFILES}
    )
    if profile not in known:
        raise ValueError(f"profile must be one of {', '.join(known)}, not {profile!r}")

    settled: dict[str, Verdict] = {}
    for study in rules:
        announced = tuple(study.claims.CLAIMS)
        if missing := _missing_results(study, profile, store):
            verdicts = [_undecided(claim, profile, missing) for claim in announced]
        else:
            verdicts = study.claims.verdicts(profile)
        given = Counter(verdict.id for verdict in verdicts)
        if given != Counter(announced):
            wrong = sorted((given - Counter(announced)) + (Counter(announced) - given))
            raise ValueError(
                f"{study.claims.__name__} must give one verdict for each id in CLAIMS; see {wrong}"
            )
        if foreign := sorted((set(given) & set(settled)) | (set(given) - {claim.id for claim in claims})):
            raise ValueError(
                f"{study.claims.__name__} settles claims that are unknown or not its own: {foreign}"
            )
        settled |= {verdict.id: verdict for verdict in verdicts}
    return [(claim, settled.get(claim.id) or _undecided(claim.id, profile, NOT_RUN)) for claim in claims]


def entries_of(verdicts: Iterable[Verdict]) -> list[Entry]:
    """Pair verdicts with their claims, for the table of a chapter that settles them.

    Raises
    ------
    ValueError
        If a verdict is on a claim that the catalogue does not have.
    """
    claims = {claim.id: claim for claim in load_claims(CATALOGUE)}
    found = list(verdicts)
    unknown = [verdict.id for verdict in found if verdict.id not in claims]
    if unknown:
        raise ValueError(f"verdicts must be on claims of the catalogue, not on {', '.join(unknown)}")
    return [(claims[verdict.id], verdict) for verdict in found]


def glued(verdicts: Iterable[Verdict]) -> dict[str, str]:
    """What pages quote of each claim: ``ID-verdict``, ``ID-finding`` and ``ID-count``; a dash where there is nothing."""
    found: dict[str, str] = {}
    for one in verdicts:
        found |= {
            f"{one.id}-verdict": one.verdict,
            f"{one.id}-finding": one.finding or DASH,
            f"{one.id}-count": one.count or DASH,
        }
    return found


def oldest_results(profile: str = "book", store: Store | None = None) -> dict[str, str]:
    """The day on which the oldest result was computed that a claim's verdict rests on, by the claim's id.

    Claims whose results are not all stored are left out.
    """
    store = Store.default() if store is None else store
    found: dict[str, str] = {}
    for study in studies():
        if _missing_results(study, profile, store):
            continue
        keys: dict[Cell, str] = {}
        cells = [
            cell for each in study.experiments for cell in each.cells(**each.PROFILES[profile].parameters)
        ]
        days = [store.origin(store.key(cell, keys)).get("date") for cell in cells]
        if known := [day for day in days if day]:
            found |= dict.fromkeys(study.claims.CLAIMS, min(known))
    return found


def records(profile: str = "book", store: Store | None = None) -> list[dict[str, Any]]:
    """Every claim with all that is known of it, as what JSON holds.

    Next to what claim and verdict say of themselves there are ``rule_commit`` and ``rule_date``, when the rule's words last
    changed; ``oldest_result``, the day of the oldest result; and ``rule_before_results``, whether the former is before the
    latter and the rule was not amended; all null where nobody can tell.
    """
    written, oldest = rules_written(CATALOGUE), oldest_results(profile, store)
    found = []
    for claim, verdict in scorecard(profile, store):
        rule, day = written.get(claim.id), oldest.get(claim.id)
        found.append(
            {
                "id": claim.id,
                "paper": claim.paper,
                "where": claim.where,
                "statement": claim.statement,
                "rule": claim.rule,
                "quantifier": claim.quantifier,
                "amended": claim.amended,
                **verdict.to_json(),
                "count": verdict.count,
                "rule_commit": rule and rule.commit,
                "rule_date": rule and rule.date,
                "oldest_result": day,
                "rule_before_results": False if claim.amended else rule.before(day) if rule and day else None,
            }
        )
    return found


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Records as comma-separated values: a line per part, or one for a claim that has none."""
    out = io.StringIO()
    shared = [name for name in rows[0] if name not in ("parts", "interval", "value")]
    table = csv.writer(out, lineterminator="\n")
    table.writerow(
        [*shared, "part", "value", "low", "high", "unit", "claimed_from", "claimed_to", "mark", "premise"]
    )
    for row in rows:
        first = [row[name] for name in shared]
        for part in row["parts"] or [None]:
            ends = (
                [
                    part["name"],
                    part["value"],
                    *part["interval"],
                    part["unit"],
                    *part["claimed"],
                    part["mark"],
                    part["premise"],
                ]
                if part
                else [""] * 9
            )
            table.writerow([*first, *ends])
    return out.getvalue()


def summary(entries: Iterable[Entry]) -> str:
    """One line with the number of claims for each verdict."""
    verdicts = [verdict for _, verdict in entries]
    counts = Counter(verdict.verdict for verdict in verdicts)
    parts = [f"{counts[name]} {name}" for name in SYMBOLS]
    waiting = sum(verdict.reason.startswith(NOT_RUN) for verdict in verdicts)
    return f"{len(verdicts)} claims: {', '.join(parts)}" + (f" ({waiting} {NOT_RUN})" if waiting else "")


def scorecard_table(entries: Sequence[Entry], paper: str | None = None) -> InlineHTML:
    """The claims as a table: what the paper says, how it is settled, and the verdict with what it rests on.

    Every row can be linked to as ``#claim-ID``.

    Parameters
    ----------
    entries : sequence of (Claim, Verdict)
        What `scorecard` returned.
    paper : str, optional
        Show the claims of this paper only, ``"A"`` or ``"B"``.

    Returns
    -------
    InlineHTML
        To be displayed as a cell's last value; its text form has one line a claim.

    Raises
    ------
    ValueError
        If there is no claim of this paper.
    """
    shown = [entry for entry in entries if paper is None or entry[0].paper == paper]
    if not shown:
        known = sorted({claim.paper for claim, _ in entries})
        raise ValueError(f"paper must be one of {', '.join(known) or 'none'}, not {paper!r}")
    rows = "\n".join(_row(claim, verdict) for claim, verdict in shown)
    head = "<tr><th scope='col'>Claim</th><th scope='col'>What it says</th><th scope='col'>Verdict</th></tr>"
    table = f"<table>\n<thead>{head}</thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    page = f'<div class="rbm-scorecard">\n<style>{_STYLE}</style>\n{table}\n</div>'
    return InlineHTML(page, "\n".join(f"{claim.id}: {_in_words(verdict)}" for claim, verdict in shown))


def _missing_results(study: Study, profile: str, store: Store) -> str:
    """Why a study cannot be judged, or an empty string if all its results are stored."""
    for experiment in study.experiments:
        name = experiment.__name__.split(".")[-2]
        if profile not in experiment.PROFILES:
            return f"{NOT_RUN}: {name} has no profile {profile}"
        cells = experiment.cells(**experiment.PROFILES[profile].parameters)
        if not _all_stored(cells, store):
            # Without a count: what lies in somebody's cache shall not change the page.
            return (
                f"{NOT_RUN} to the end; rbmlib sweep {name} --profile {profile} computes what is missing of "
                f"{len(cells)} results"
            )
    return ""


def _all_stored(cells: Sequence[Cell], store: Store) -> bool:
    keys: dict[Cell, str] = {}
    try:
        return all(store.has(store.key(cell, keys)) for cell in cells)
    except ResultNotFound:  # an input is missing, and so is what needs it
        return False


def _undecided(claim: str, profile: str, reason: str) -> Verdict:
    return Verdict(
        id=claim, verdict="not decided", value=None, interval=None, seeds=0, profile=profile, reason=reason
    )


def _evidence(verdict: Verdict) -> str:
    """Value, interval, seeds and profile of a verdict, as far as it has them."""
    parts = []
    if verdict.value is not None:
        parts.append(f"{verdict.value:.3g}")
    if verdict.interval is not None:
        low, high = verdict.interval
        parts.append(f"[{low:.3g}, {high:.3g}]")
    if verdict.seeds:
        parts.append(f"{verdict.seeds} seed{'s' if verdict.seeds > 1 else ''}, profile {verdict.profile}")
    return " ".join(parts)


def evidence(verdict: Verdict) -> str:
    """The numbers that decide a verdict; why nothing does, where it has none."""
    if verdict.value is None:
        return verdict.reason
    if verdict.interval is None:
        return f"{verdict.value:.3g}"
    low, high = verdict.interval
    return f"{verdict.value:.3g} [{low:.3g}, {high:.3g}]"


def _in_words(verdict: Verdict) -> str:
    """A verdict as one line of text."""
    told = verdict.finding.removesuffix(".") or verdict.reason
    return ". ".join(part for part in (verdict.verdict, verdict.count, told, _evidence(verdict)) if part)


def _small(text: str, extra: str = "") -> str:
    return f"<div class='rbm-small{extra}'>{html.escape(text)}</div>" if text else ""


def _parts(verdict: Verdict) -> str:
    """The parts with their marks, folded."""
    if not verdict.parts:
        return _small(verdict.reason)
    rows = "".join(
        f"<li><span aria-hidden='true'>{MARKS[part.mark]}</span> {part.mark}: {html.escape(part.told)}"
        f"{' (premise)' if part.premise else ''}</li>"
        for part in verdict.parts
    )
    return (
        f"<details class='rbm-small'><summary>parts and what stands beside</summary><ul class='rbm-parts'>{rows}</ul>"
        f"{html.escape(verdict.reason)}</details>"
    )


def _row(claim: Claim, verdict: Verdict) -> str:
    """One row of the table, with the claim's anchor."""
    anchor = html.escape(f"claim-{claim.id}")
    badge = (
        f"<span class='rbm-badge' style='border-color:{_COLORS[verdict.verdict]}'>"
        f"<span aria-hidden='true'>{SYMBOLS[verdict.verdict]}</span> {verdict.verdict}</span>"
    )
    amended = _small(f"Rule amended {claim.amended}" if claim.amended else "")
    return (
        f"<tr id='{anchor}'>"
        f"<td><a href='#{anchor}'>{html.escape(claim.id)}</a>{_small(claim.where)}</td>"
        f"<td>{html.escape(claim.statement)}"
        f"<details class='rbm-small'><summary>settled by</summary>{html.escape(claim.rule)}</details>{amended}</td>"
        f"<td>{badge}{_small(verdict.count)}<div>{html.escape(verdict.finding)}</div>{_small(_evidence(verdict))}{_parts(verdict)}</td></tr>"
    )


_STYLE = """
.rbm-scorecard { overflow-x: auto; }
.rbm-scorecard table { border-collapse: collapse; display: table; min-width: 36rem; width: 100%; }
.rbm-scorecard th, .rbm-scorecard td { background: none; border-bottom: 1px solid #7f7f7f66; color: inherit;
  padding: .4rem .6rem; text-align: left; vertical-align: top; white-space: normal; }
.rbm-scorecard td:first-child { overflow-wrap: anywhere; width: 11rem; }
.rbm-scorecard td:last-child { width: 20rem; }
.rbm-scorecard .rbm-parts { list-style: none; margin: .3rem 0; padding: 0; }
.rbm-scorecard tr:target { outline: 2px solid #2f6fd0; outline-offset: -2px; }
.rbm-scorecard .rbm-small { font-size: .85em; }
.rbm-scorecard .rbm-badge { border-left: .35em solid; padding-left: .4em; white-space: nowrap; }
@media (max-width: 40rem) {
  .rbm-scorecard table { min-width: 0; }
  .rbm-scorecard thead { display: none; }
  .rbm-scorecard tr { border-bottom: 1px solid #7f7f7f66; display: block; padding: .5rem 0; }
  .rbm-scorecard td, .rbm-scorecard td:first-child, .rbm-scorecard td:last-child { border: 0; display: block;
    padding: .15rem .4rem; width: auto; }
}
html[data-theme="dark"] .bd-content div.cell_output .text_html:has(.rbm-scorecard) { background: none;
  color: inherit; padding: 0; }
"""
