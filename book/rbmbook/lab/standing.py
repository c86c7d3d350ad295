"""Where published results stand against the cells that are wanted: fresh, stale and why, missing, superseded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rbmbook.lab.cell import Cell, canonical_json
from rbmbook.lab.errors import DamagedResult, ResultNotFound
from rbmbook.lab.fingerprint import code_fingerprint
from rbmbook.lab.store import Entry, Store

#: What became of a result whose function was renamed, or is gone.
NOT_FOUND = "its function is not found in the studies any more"
State = Literal["fresh", "stale", "missing", "damaged"]


@dataclass(frozen=True)
class CellStanding:
    """Where one cell's published result stands.

    Attributes
    ----------
    cell : Cell
        The cell.
    key : str or None
        Its key; None while an input that the key depends on is not stored.
    state : str
        ``"fresh"``, ``"stale"`` (only a result of other code or other inputs is published), ``"missing"`` or
        ``"damaged"``.
    reason : str
        Why it is not fresh, in a few words; empty if it is.
    digests : mapping of str to str
        Digests of those of its inputs that are stored.
    """

    cell: Cell
    key: str | None
    state: State
    reason: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Superseded:
    """A published result that no cell asks for under its key.

    Attributes
    ----------
    entry : Entry
        The result.
    reason : str
        What became of it.
    replaced : bool
        Whether it can go: only if its cell has a fresh published result. Others are kept, since
        :func:`rbmbook.lab.restamp.restamp` may still carry them over, or their function may have been renamed.
    """

    entry: Entry
    reason: str
    replaced: bool


def _what(name: str, parameters: Mapping[str, Any]) -> str:
    return canonical_json([name, dict(parameters)])


def standings(cells: Iterable[Cell], store: Store) -> dict[Cell, CellStanding]:
    """Say of cells, and of the inputs that they rest on, where their published results stand.

    Parameters
    ----------
    cells : iterable of Cell
        What is wanted.
    store : Store
        Where results lie; only the published tier counts.

    Returns
    -------
    dict of Cell to CellStanding
        Inputs before what needs them. Files are opened: those of inputs, and those that hold a result under
        another key than the present one.
    """
    found: dict[Cell, CellStanding] = {}
    unsettled: list[Cell] = []
    for cell in (each for wanted in cells for each in wanted.with_needs()):
        if cell in found:
            continue
        digests = _stored_digests(cell, found, store)
        key = store.key_with(cell, digests) if len(digests) == len(cell.needs) else None
        state: State = "missing"
        reason = ""
        if key is not None and store.has(key, published=True):
            try:
                store.digest(key)
                state = "fresh"
            except DamagedResult as error:
                state, reason = "damaged", str(error)
            except ResultNotFound:
                pass
        found[cell] = CellStanding(cell, key, state, reason, digests)
        if state == "missing":
            unsettled.append(cell)
    if unsettled:
        held, alike = _older_forms(found, store), _alike(found)
        for cell in unsettled:  # inputs before what needs them
            what = _what(cell.name, cell.parameters)
            siblings = [found[each.cell] for each in alike[what]]
            own = [
                entry
                for entry in held.get(what, ())
                if any(owner is found[cell] for owner in _owners(entry, siblings, found))
            ]
            found[cell] = _not_fresh(found[cell], found, own, store)
    return found


def _stored_digests(cell: Cell, found: Mapping[Cell, CellStanding], store: Store) -> dict[str, str]:
    digests = {}
    for name, need in cell.needs.items():
        key = found[need].key
        if key is not None:
            with suppress(DamagedResult, ResultNotFound):
                digests[name] = store.digest(key)
    return digests


def _older_forms(found: Mapping[Cell, CellStanding], store: Store) -> dict[str, list[Entry]]:
    """Published results that are no cell's fresh one, by function and parameters."""
    fresh = {standing.key for standing in found.values() if standing.state == "fresh"}
    held: dict[str, list[Entry]] = {}
    for entry in store.entries():
        whole = {"compute", "parameters", "needs", "code"} <= set(entry.origin)
        if entry.published and whole and entry.key not in fresh:
            held.setdefault(_what(entry.origin["compute"], entry.origin["parameters"]), []).append(entry)
    return held


def _owners(
    entry: Entry, alike: Sequence[CellStanding], found: Mapping[Cell, CellStanding]
) -> Sequence[CellStanding]:
    """Of cells that share function and parameters, and differ in inputs: those whose older form a result is."""
    needs = entry.origin.get("needs", {})
    exact = [standing for standing in alike if standing.digests == needs]
    if exact:
        return exact
    # Their inputs are other ones than they were, and may become again what they were.
    possible = [
        standing
        for standing in alike
        if (absent := [need for name, need in standing.cell.needs.items() if name not in standing.digests])
        and all(found[need].state in ("stale", "damaged") for need in absent)
    ]
    return possible or [standing for standing in alike if standing.state == "fresh"] or alike


def _alike(found: Mapping[Cell, CellStanding]) -> dict[str, list[CellStanding]]:
    alike: dict[str, list[CellStanding]] = {}
    for cell, standing in found.items():
        alike.setdefault(_what(cell.name, cell.parameters), []).append(standing)
    return alike


def _not_fresh(
    standing: CellStanding,
    found: Mapping[Cell, CellStanding],
    held: Sequence[Entry],
    store: Store,
) -> CellStanding:
    cell = standing.cell
    code = code_fingerprint(cell.compute)
    if held and all(entry.origin["code"] != code for entry in held):
        return replace(standing, state="stale", reason="the code that computes it changed")
    for entry in held:
        if entry.origin["code"] == code:
            changed = [
                name for name in cell.needs if entry.origin["needs"].get(name) != standing.digests.get(name)
            ]
            if changed:
                return replace(standing, state="stale", reason=_inputs(changed, standing, found))
    damaged = [name for name, need in cell.needs.items() if found[need].state == "damaged"]
    if damaged:
        return replace(standing, reason=_inputs(damaged, standing, found))
    unpublished = standing.key is not None and store.has(standing.key, published=False)
    return replace(standing, reason="computed but not published" if unpublished else "never computed")


def _inputs(names: Sequence[str], standing: CellStanding, found: Mapping[Cell, CellStanding]) -> str:
    """Say of the first of some inputs what became of it, and how many others there are."""
    first = names[0]
    became = "changed" if first in standing.digests else f"is {found[standing.cell.needs[first]].state}"
    others = f" ({len(names) - 1} more of its inputs, too)" if names[1:] else ""
    return f"its input {first} {became}{others}"


def superseded(found: Mapping[Cell, CellStanding], store: Store) -> list[Superseded]:
    """List the published results that none of some cells asks for.

    Parameters
    ----------
    found : mapping of Cell to CellStanding
        What :func:`standings` returned for *every* cell of every study; a result of a cell that is not among
        them counts as superseded.
    store : Store
        Where results lie.

    Returns
    -------
    list of Superseded
        In the store's order; damaged files are passed over.
    """
    wanted = {standing.key for standing in found.values()}
    alike = _alike(found)
    names = {cell.name for cell in found}
    gone = []
    for entry in store.entries():
        if not entry.published or entry.key in wanted:
            continue
        origin = entry.origin
        if "compute" not in origin or "parameters" not in origin:
            gone.append(Superseded(entry, "it does not say what computed it", False))
            continue
        siblings = alike.get(_what(origin["compute"], origin["parameters"]), ())
        behind = [each for each in _owners(entry, siblings, found) if each.state != "fresh"]
        if origin["compute"] not in names:
            gone.append(Superseded(entry, NOT_FOUND, False))
        elif not siblings:
            gone.append(Superseded(entry, "no study has these parameters", False))
        elif behind:
            gone.append(Superseded(entry, f"{behind[0].reason}; nothing has replaced it yet", False))
        else:
            gone.append(Superseded(entry, "a fresh result has replaced it", True))
    return gone


def version_differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say which libraries had another version when a result was made.

    Parameters
    ----------
    then, now : mapping of str to str
        Version of each library; what ``now`` lacks is not installed.

    Returns
    -------
    list of str
        Such as ``"numpy 2.4.6, here 2.5.0"``, sorted.
    """
    return sorted(
        f"{name} {version}, here {now.get(name, 'absent')}"
        for name, version in then.items()
        if now.get(name) != version
    )
