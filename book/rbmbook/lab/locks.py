"""Locks by key: what one sweep computes, another waits for."""

from __future__ import annotations

import contextlib
from pathlib import Path

from filelock import FileLock, Timeout

from rbmbook.lab.errors import StoreNotWritable


def take(cache: Path, key: str) -> FileLock | None:
    """Take the lock of a key, which the operating system gives back if this process dies.

    Parameters
    ----------
    cache : pathlib.Path
        Root of the local cache.
    key : str
        The key.

    Returns
    -------
    filelock.FileLock or None
        None if somebody else holds it.

    Raises
    ------
    StoreNotWritable
        If no file can be made for it.
    """
    path = cache / "locks" / f"{key[:32]}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except OSError as error:
        raise StoreNotWritable(
            f"cannot write {path}: {error.strerror or error}; make the folder writable, or set "
            "RBMLIB_CACHE to another folder"
        ) from error
    return lock


def give_back(lock: FileLock | None) -> None:
    """Give a lock back, and remove its file."""
    if lock is not None:
        # Removed while it is still held: who opened it meanwhile finds the result, or computes it again.
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
