"""Where the local cache lies: results, prepared data, checkpoints and locks, each in a folder of its own.

A path that the environment names means the same in every process and folder: the command makes it absolute once.
"""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the folder of the local cache, absolute: ``RBMLIB_CACHE``, or the user's cache folder.

    Where no home is known and ``RBMLIB_CACHE`` is not set, it is a place where nothing can be: all that only reads works
    there, and what writes says that it cannot.
    """
    root = os.environ.get("RBMLIB_CACHE")
    if root:
        return absolute(root)
    import platformdirs

    try:
        return absolute(platformdirs.user_cache_dir("rbmlib"))
    except ValueError:
        return Path(os.devnull, "rbmlib")


#: Environment variables that name folders which this package, or what it is made with, reads or writes.
PATHS = ("RBMLIB_CACHE", "RBMLIB_DATA", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME")


def absolute(path: str | os.PathLike[str]) -> Path:
    """A path that somebody gave, with ``~`` expanded, as it is from the working folder of now.

    Raises
    ------
    ValueError
        If it begins with ``~`` and there is no such home.
    """
    expanded = os.path.expanduser(os.fspath(path))
    if expanded.startswith("~") and os.fspath(path) == expanded:
        raise ValueError(f"{expanded} names a home that does not exist")
    return Path(expanded).absolute()


def settle_paths() -> None:
    """Make the paths in the environment absolute, for this process and those that it starts.

    Raises
    ------
    ValueError
        If one begins with ``~`` and there is no such home; the message names the variable.
    """
    for name in PATHS:
        if os.environ.get(name):
            try:
                os.environ[name] = str(absolute(os.environ[name]))
            except ValueError as error:
                raise ValueError(f"{name} must be a folder, and {error}") from None
