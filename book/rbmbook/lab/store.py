"""The result store: one file a cell, in a published tier and a local cache.

The published tier is small and kept with the project; the cache holds everything else and may be thrown
away. A variable with the attribute ``tier="cache"`` never goes to the published tier: a published result that
has such variables is split in two files, and :meth:`Store.load` gives both parts where both are there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from rbmbook.lab import container
from rbmbook.lab.cell import Cell, canonical_json
from rbmbook.lab.errors import (
    ConflictingResult,
    DamagedResult,
    ResultNotFound,
    StoreNotReadable,
    StoreNotWritable,
)
from rbmbook.lab.files import write_whole
from rbmbook.lab.fingerprint import code_fingerprint
from rbmlib.cache import absolute, local_cache

_STEM = 16  # hexadecimal digits of the key in a file's name; the file itself holds the whole key
_PART = ".cached"  # a file of the cache that holds only what the published one leaves out


@dataclass(frozen=True)
class Entry:
    """What is stored under one key.

    Attributes
    ----------
    key : str
        The key.
    path : pathlib.Path
        The file.
    published : bool
        Whether it is in the published tier.
    digest : str
        Hash over the arrays of the whole result.
    origin : dict
        Where it comes from: ``compute``, ``parameters``, ``needs``, ``code`` and more.
    digests : dict of str to str
        Hash of every variable of the whole result.
    """

    key: str
    path: Path
    published: bool
    digest: str
    origin: dict[str, Any]
    digests: dict[str, str]


def _entry(meta: Mapping[str, Any], path: Path, published: bool) -> Entry:
    return Entry(meta["key"], path, published, meta["digest"], dict(meta["origin"]), dict(meta["digests"]))


def result_key(name: str, parameters: Mapping[str, Any], code: str, needs: Mapping[str, str]) -> str:
    """Hash everything that determines a result.

    Parameters
    ----------
    name : str
        The function's own name.
    parameters : mapping
        Its parameters.
    code : str
        Fingerprint of its code.
    needs : mapping of str to str
        Digest of every input.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    text = canonical_json(
        {"compute": name, "parameters": dict(parameters), "code": code, "needs": dict(needs)}
    )
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """Results by key.

    Parameters
    ----------
    published : path-like or None
        Root of the published tier: ``<published>/<experiment>/<key>.npz``. None if there is no such tier.
    cache : path-like
        Root of the local cache; results lie in ``<cache>/results/<experiment>/``.
    """

    def __init__(self, published: str | os.PathLike[str] | None, cache: str | os.PathLike[str]) -> None:
        # Absolute from here on: a worker, or a notebook, may run in another folder.
        self.published = None if published is None else absolute(published)
        self.cache = absolute(cache)
        self._meta: dict[Path, tuple[tuple[int, int, int], dict[str, Any]]] = {}

    @classmethod
    def default(cls) -> Store:
        """Return the store of this clone: ``book/results`` beside the package, and the user's cache."""
        clone = Path(__file__).resolve().parents[3]
        published = clone / "book" / "results"
        return cls(published if (clone / "pyproject.toml").is_file() else None, local_cache())

    def __repr__(self) -> str:
        return f"Store(published={str(self.published)!r}, cache={str(self.cache)!r})"

    def key(self, cell: Cell, known: dict[Cell, str] | None = None) -> str:
        """Return the key of a cell; of cells that `known` holds it is taken from there, and others are added.

        Raises
        ------
        ResultNotFound
            If the result of one of its needs is not stored: the key holds that result's digest.
        FingerprintError
            If the code of its function cannot be followed.
        """
        known = {} if known is None else known
        if cell not in known:
            needs = {name: self.digest(self.key(need, known)) for name, need in cell.needs.items()}
            known[cell] = self.key_with(cell, needs)
        return known[cell]

    def key_with(self, cell: Cell, needs: Mapping[str, str]) -> str:
        """Return the key of a cell whose inputs have these digests."""
        return result_key(cell.name, cell.parameters, code_fingerprint(cell.compute), needs)

    def _folders(self, published: bool) -> list[Path]:
        root = self.published if published else self.cache / "results"
        if root is None:
            return []
        try:
            with os.scandir(root) as found:
                return sorted(Path(item.path) for item in found if item.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreNotReadable(
                f"cannot read {root}: {error.strerror or error}; make the folder readable, or set RBMLIB_CACHE "
                "to another folder"
            ) from error

    def _find(self, key: str, published: bool, suffix: str = "") -> Path | None:
        for folder in self._folders(published):
            path = folder / f"{key[:_STEM]}{suffix}.npz"
            if path.exists():
                return path
        return None

    def has(self, key: str, *, published: bool | None = None) -> bool:
        """Say whether a result is stored, without opening it.

        Parameters
        ----------
        key : str
            The key.
        published : bool, optional
            Look in this tier alone; default either.
        """
        tiers = (True, False) if published is None else (published,)
        return any(self._find(key, tier) is not None for tier in tiers)

    def _content(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise ResultNotFound(f"{path} is gone") from error
        except OSError as error:
            raise DamagedResult(path, f"it cannot be read ({error.strerror or error})") from error

    def _checked(self, path: Path, meta: dict[str, Any], key: str | None) -> dict[str, Any]:
        held = meta["key"]
        if (key is not None and held != key) or held[:_STEM] != path.name.partition(".")[0]:
            raise DamagedResult(path, f"it holds the result of another key, {held}")
        return meta

    def _about(self, path: Path, key: str | None = None) -> dict[str, Any]:
        """Return what a file says about itself; every byte is verified, once a version of the file."""
        try:
            status = path.stat()
        except OSError as error:
            raise ResultNotFound(f"{path} is gone") from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._meta.get(path, (None,))[0] != stamp:
            self._meta[path] = (stamp, container.decode_meta(path, self._content(path)))
        return self._checked(path, self._meta[path][1], key)

    def _read(self, path: Path, key: str) -> tuple[dict[str, Any], dict[str, xr.Variable]]:
        meta, variables = container.decode(path, self._content(path))
        return self._checked(path, meta, key), variables

    def _main(self, key: str) -> Path:
        path = self._find(key, True) or self._find(key, False)
        if path is None:
            raise ResultNotFound(f"no result is stored under {key}")
        return path

    def load(self, key: str) -> xr.Dataset:
        """Return a result: all of it where the cache has what the published tier leaves out.

        Raises
        ------
        ResultNotFound
            If nothing is stored under `key`.
        DamagedResult
            If a file is not what was written.
        """
        path = self._main(key)
        meta, variables = self._read(path, key)
        if set(meta["order"]) - set(variables):
            for suffix in (_PART, ""):
                rest = self._find(key, False, suffix)
                if rest is None:
                    continue
                other, more = self._read(rest, key)
                if other["digest"] == meta["digest"]:
                    about = {**meta["variables"], **other["variables"]}
                    return container.assemble(path, {**meta, "variables": about}, {**variables, **more})
        return container.assemble(path, meta, variables)

    def complete(self, key: str) -> bool:
        """Say whether :meth:`load` would give every variable of the result."""
        if self._find(key, True) is None:
            return self._find(key, False) is not None
        meta = self._about(self._main(key), key)
        if set(meta["order"]) == set(meta["variables"]):
            return True
        rest = self._find(key, False, _PART) or self._find(key, False)
        return rest is not None and self._about(rest, key)["digest"] == meta["digest"]

    def origin(self, key: str) -> dict[str, Any]:
        """Return where a result comes from; errors as :meth:`load`."""
        return dict(self._about(self._main(key), key)["origin"])

    def digest(self, key: str) -> str:
        """Return the hash over the arrays of the whole result; errors as :meth:`load`."""
        return str(self._about(self._main(key), key)["digest"])

    def save(self, key: str, dataset: xr.Dataset, origin: Mapping[str, Any], published: bool = False) -> None:
        """Store a result; where equal arrays are stored already, their file is left alone.

        Parameters
        ----------
        key : str
            The key.
        dataset : xarray.Dataset
            The result.
        origin : mapping
            Where it comes from; its ``experiment`` names the folder.
        published : bool
            Whether it goes to the published tier.

        Raises
        ------
        TypeError, ValueError
            If the dataset holds what the format does not.
        ConflictingResult
            If other arrays are stored under the key.
        StoreNotWritable
            If a file cannot be written.
        """
        if not isinstance(dataset, xr.Dataset):
            raise TypeError(f"dataset is of type {type(dataset).__name__}; it must be an xarray.Dataset")
        names = [str(name) for name in dataset.variables]
        digest = container.combined_digest(container.variable_digests(dataset))
        self._refuse_conflict(key, digest)
        local = {name for name in names if dataset.variables[name].attrs.get("tier") == "cache"}
        experiment = str(origin.get("experiment", "results"))
        cached = self.cache / "results" / experiment
        if not published:
            self._write(cached / f"{key[:_STEM]}.npz", key, dataset, origin, names)
            return
        if self.published is None:
            raise StoreNotWritable("there is no published tier here: results are published from a clone")
        if local and self._find(key, False) is None:
            self._write(cached / f"{key[:_STEM]}{_PART}.npz", key, dataset, origin, sorted(local))
        kept = [name for name in names if name not in local]
        self._write(self.published / experiment / f"{key[:_STEM]}.npz", key, dataset, origin, kept)

    def _refuse_conflict(self, key: str, digest: str) -> None:
        for published in (True, False):
            path = self._find(key, published)
            with contextlib.suppress(ResultNotFound, DamagedResult):
                stored = digest if path is None else self._about(path, key)["digest"]
                if stored != digest:
                    raise ConflictingResult(
                        f"{path} holds other arrays than were computed now ({stored[:12]} there, "
                        f"{digest[:12]} now): it depends on more than its parameters, code and inputs"
                    )

    def _write(
        self, path: Path, key: str, dataset: xr.Dataset, origin: Mapping[str, Any], names: list[str]
    ) -> None:
        with contextlib.suppress(ResultNotFound, DamagedResult):
            stored = self._about(path, key)
            # Equal arrays, since others were refused: the file stays, so that nothing grows by being rerun.
            if set(stored["variables"]) == set(names):
                return
        write_whole(path, container.encode(dataset, key, origin, names))

    def publish(self, key: str) -> None:
        """Copy a result of the cache to the published tier, if it is not there."""
        if not self.has(key, published=True):
            self.save(key, self.load(key), self.origin(key), published=True)

    def discard(self, key: str, *, published: bool | None = None) -> None:
        """Delete a result from one tier, or from both."""
        for tier, suffix in ((True, ""), (False, ""), (False, _PART)):
            path = self._find(key, tier, suffix) if published in (None, tier) else None
            if path is not None:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise StoreNotWritable(f"cannot delete {path}: {error.strerror or error}") from error

    def rekey(self, key: str, new: str, origin: Mapping[str, Any]) -> None:
        """File a result under another key, in its tiers as they are, with another origin."""
        moved = []
        for published, suffix in ((True, ""), (False, ""), (False, _PART)):
            path = self._find(key, published, suffix)
            if path is not None:
                meta, variables = self._read(path, key)
                meta |= {"key": new, "origin": dict(origin)}
                write_whole(path.with_name(f"{new[:_STEM]}{suffix}.npz"), container.pack(meta, variables))
                moved.append(path)
        if not moved:
            raise ResultNotFound(f"no result is stored under {key}")
        self.discard(key)

    def set_aside(self, path: Path) -> Path:
        """Move a damaged file into the cache's ``damaged`` folder and return its new place."""
        aside = self.cache / "damaged" / path.parent.name / f"{path.name}.{secrets.token_hex(4)}.damaged"
        try:
            write_whole(aside, path.read_bytes())
            path.unlink()
        except OSError as error:
            raise StoreNotWritable(f"cannot set {path} aside: {error.strerror or error}") from error
        return aside

    def clear_temporary(self, older_than: float = 3600.0) -> None:
        """Delete what killed processes left half-written, if it is older than so many seconds."""
        for folder in (*self._folders(True), *self._folders(False)):
            for path in folder.glob(".*.tmp"):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > older_than:
                        path.unlink()

    @staticmethod
    def stem(key: str) -> str:
        """Return the name, without suffix, of the file that holds the result under a key."""
        return key[:_STEM]

    def published_files(self) -> list[Path]:
        """Return every file that stands where a published result would, intact or not."""
        return [path for folder in self._folders(True) for path in sorted(folder.glob("*.npz"))]

    def inspect(self, path: Path) -> tuple[Entry, xr.Dataset]:
        """Read one published file as a whole: its description and the arrays that it holds.

        Raises
        ------
        DamagedResult
            If it is not what was written, or stands under another name than its key's.
        """
        meta, variables = container.decode(path, self._content(path))
        self._checked(path, meta, None)
        return _entry(meta, path, True), container.assemble(path, meta, variables)

    def entries(self) -> Iterator[Entry]:
        """Yield every intact stored result, once a key, the published tier first.

        Damaged files are passed over: loading them says what is wrong.
        """
        seen: set[str] = set()
        for published in (True, False):
            for folder in self._folders(published):
                for path in sorted(folder.glob("*.npz")):
                    if len(path.stem) != _STEM or path.stem in seen:
                        continue
                    try:
                        meta = self._about(path)
                    except (DamagedResult, ResultNotFound):
                        continue
                    seen.add(path.stem)
                    yield _entry(meta, path, published)
