"""Where published results stand against the cells that are wanted: fresh, stale and why, missing, superseded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rbmlib.lab.cell import Cell, canonical_json
from rbmlib.lab.errors import DamagedResult, ResultNotFound
from rbmlib.lab.fingerprint import code_fingerprint
from rbmlib.lab.store import Entry, Store

_NAMED = 3  # inputs that a reason names

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
        Why it is not fresh; empty if it is.
    """

    cell: Cell
    key: str | None
    state: State
    reason: str = ""


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
        Whether it can go: its cell has a fresh published result, or no study has such a cell. A stale result
        without a fresh one is kept, since :func:`rbmlib.lab.restamp.restamp` may still carry it over.
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
    unsettled: dict[Cell, dict[str, str]] = {}
    for cell in (each for wanted in cells for each in wanted.with_needs()):
        if cell in found:
            continue
        key, digests = None, {}
        try:
            digests = {name: store.digest(_known(found[need])) for name, need in cell.needs.items()}
            key = store.key_with(cell, digests)
            if store.has(key, published=True):
                store.digest(key)
                found[cell] = CellStanding(cell, key, "fresh")
                continue
        except DamagedResult as error:
            found[cell] = CellStanding(cell, key, "damaged", str(error))
            continue
        except ResultNotFound:
            pass
        found[cell] = CellStanding(cell, key, "missing", "never computed")
        unsettled[cell] = digests
    if unsettled:
        # A cell with the same parameters and other inputs is no older form of this one while it is wanted itself.
        fresh = {standing.key for standing in found.values() if standing.state == "fresh"}
        others: dict[str, list[Entry]] = {}
        for entry in store.entries():
            whole = {"compute", "parameters", "needs", "code"} <= set(entry.origin)
            if entry.published and whole and entry.key not in fresh:
                what = _what(entry.origin["compute"], entry.origin["parameters"])
                others.setdefault(what, []).append(entry)
        for cell, digests in unsettled.items():
            damaged = [need for need in cell.needs.values() if found[need].state == "damaged"]
            found[cell] = _not_fresh(cell, found[cell].key, digests, others, damaged, store)
    return found


def _known(standing: CellStanding) -> str:
    if standing.key is None:
        raise ResultNotFound(f"{standing.cell} is not stored")
    return standing.key


def _not_fresh(
    cell: Cell,
    key: str | None,
    digests: Mapping[str, str],
    others: Mapping[str, list[Entry]],
    damaged: list[Cell],
    store: Store,
) -> CellStanding:
    held = others.get(_what(cell.name, cell.parameters), [])
    if any(entry.origin["code"] != code_fingerprint(cell.compute) for entry in held):
        return CellStanding(cell, key, "stale", "the code that computes it changed")
    for entry in held:
        changed = [name for name in cell.needs if entry.origin["needs"].get(name) != digests.get(name)]
        if changed:
            return CellStanding(
                cell, key, "stale", f"its {_named(changed)} changed or {_is(changed)} not stored"
            )
    if damaged:
        return CellStanding(cell, key, "missing", f"its input {shortened(str(damaged[0]))} is damaged")
    if key is not None and store.has(key, published=False):
        return CellStanding(cell, key, "missing", "computed but not published")
    return CellStanding(cell, key, "missing", "never computed")


def _named(inputs: list[str]) -> str:
    """Inputs by name, the first of them where they are many: a judge learns from the samples of hundreds of cells."""
    if len(inputs) == 1:
        return f"input {inputs[0]}"
    more = f" and {len(inputs) - _NAMED} more" if len(inputs) > _NAMED else ""
    return f"inputs {', '.join(inputs[:_NAMED])}{more}"


def _is(inputs: list[str]) -> str:
    return "is" if len(inputs) == 1 else "are"


def shortened(text: str, longest: int = 200) -> str:
    """A text of at most so many characters, its middle left out where it has more."""
    half = (longest - 5) // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


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
    by_what = {_what(cell.name, cell.parameters): standing for cell, standing in found.items()}
    names = {cell.name for cell in found}
    gone = []
    for entry in store.entries():
        if not entry.published or entry.key in wanted:
            continue
        origin = entry.origin
        if "compute" not in origin or "parameters" not in origin:
            gone.append(Superseded(entry, "it does not say what computed it", False))
            continue
        standing = by_what.get(_what(origin["compute"], origin["parameters"]))
        if standing is None:
            unknown = origin["compute"] not in names
            reason = "no study has such a function" if unknown else "no study has these parameters"
            gone.append(Superseded(entry, reason, True))
        elif standing.state == "fresh":
            gone.append(Superseded(entry, "a fresh result has replaced it", True))
        else:
            gone.append(Superseded(entry, f"{standing.reason}; nothing has replaced it yet", False))
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
