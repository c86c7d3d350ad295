"""The errors that the lab raises on purpose."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path


class LabError(Exception):
    """Base class of every error of the lab."""


class FingerprintError(LabError):
    """The code of a function cannot be followed, or reaches what no result may depend on."""


class NameShared(LabError, ValueError):
    """Cells' functions of two modules have one name, so that results would be taken for each other's."""


class CodeChanged(LabError):
    """The source in a worker is not the source that the sweep took its keys from."""


class ClusterError(LabError, BrokenExecutor):
    """A cluster cannot be used, or not any longer; what is finished is stored."""


class SchedulerUnreachable(ClusterError):
    """No Dask scheduler answers at the address.

    Attributes
    ----------
    address : str
        The address.
    """

    def __init__(self, address: str, why: str = "") -> None:
        super().__init__(
            f"no Dask scheduler answers at {address}{f' ({why})' if why else ''}; start one with `dask scheduler` "
            "and pass the address that it prints"
        )
        self.address, self.why = address, why

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.address, self.why)


class SchedulerLost(ClusterError):
    """The scheduler went away while it had cells to compute.

    Attributes
    ----------
    address : str
        Its address.
    """

    def __init__(self, address: str, what: str = "was lost") -> None:
        super().__init__(
            f"the scheduler at {address} {what}; what it had finished is stored: start a scheduler and run the "
            "same command again, and only what is missing is computed"
        )
        self.address, self.what = address, what

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.address, self.what)


class UnfitWorker(ClusterError):
    """A worker of the cluster lacks this package, or the code of a cell."""


class WorkersDied(LabError):
    """One worker after another died while computing the same cell."""


class ResultNotFound(LabError, KeyError):
    """The store holds no result under this key."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class DamagedResult(LabError):
    """A file of the store is not what was written.

    Attributes
    ----------
    path : pathlib.Path
        The damaged file.
    """

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} is damaged: {what}")
        self.path = Path(path)
        self.what = what

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.what)


class ConflictingResult(LabError):
    """Other arrays are already stored under the key: what the cell computes is not determined by its key."""


class StoreNotWritable(LabError):
    """A file could not be written: the disk is full, or the folder does not allow it."""


class StoreNotReadable(LabError):
    """A folder of the store cannot be looked into."""


class RestampRefused(LabError):
    """Recomputed cells differ from what is stored, so the stored results belong to the old code alone."""


class UnknownName(LabError, ValueError):
    """A profile or parameter of this name does not exist.

    Attributes
    ----------
    name : str
        What was asked for.
    valid : tuple of str
        What exists.
    nearest : str or None
        The valid name that looks most like `name`.
    """

    def __init__(self, kind: str, name: str, valid: tuple[str, ...], nearest: str | None) -> None:
        hint = f"; did you mean {nearest}?" if nearest else ""
        super().__init__(f"unknown {kind} {name!r}{hint} Valid: {', '.join(valid) or 'none'}.")
        self.kind, self.name, self.valid, self.nearest = kind, name, valid, nearest

    def __reduce__(self) -> tuple[type, tuple[str, str, tuple[str, ...], str | None]]:
        return type(self), (self.kind, self.name, self.valid, self.nearest)


@dataclass(frozen=True)
class CellFailure:
    """One cell that a sweep could not compute.

    Attributes
    ----------
    compute : str
        Qualified name of the cell's function.
    parameters : dict
        The cell's parameters.
    reason : str
        One line: the exception, or that an input failed.
    log : pathlib.Path or None
        The file with the traceback; None for a cell that could not start because an input failed.
    """

    compute: str
    parameters: dict[str, object]
    reason: str
    log: Path | None

    @property
    def call(self) -> str:
        """What was to be computed."""
        given = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"{self.compute}({given})"

    @property
    def where(self) -> str:
        """The file with the traceback, in brackets; nothing where there is none."""
        return f" (traceback: {self.log})" if self.log else ""

    def __str__(self) -> str:
        return f"{self.call}: {self.reason}{self.where}"


class SweepFailed(LabError):
    """Some cells of a sweep failed; the others are stored, and a rerun computes only what is missing.

    The message has every reason once, however many cells failed for it, and counts the cells that waited for them.

    Attributes
    ----------
    failures : tuple of CellFailure
        The cells that failed, and those that could not start because an input failed.
    """

    def __init__(self, failures: tuple[CellFailure, ...], total: int) -> None:
        alike: dict[str, list[CellFailure]] = {}
        for failure in failures:
            if failure.log is not None:
                alike.setdefault(failure.reason, []).append(failure)
        lines = [
            f"{first}"
            if not others
            else f"{1 + len(others)} cells: {reason}\n    the first: {first.call}{first.where}"
            for reason, (first, *others) in alike.items()
        ]
        if waiting := sum(failure.log is None for failure in failures):
            lines.append(f"{waiting} {'cells that need' if waiting > 1 else 'cell that needs'} what failed")
        told = "".join(f"\n  {line}" for line in lines)
        kept = total - len(failures)
        others = "; the others are stored." if kept else "."
        super().__init__(f"{len(failures)} of {total} cells failed{others}{told}")
        self.failures, self.total = tuple(failures), total

    def __reduce__(self) -> tuple[type, tuple[tuple[CellFailure, ...], int]]:
        return type(self), (self.failures, self.total)
