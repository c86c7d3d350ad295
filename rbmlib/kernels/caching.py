"""Where compiled kernels are kept: below the local cache, never beside the source, and nowhere if that cannot be written.

Importing the package writes nothing and asks for no folder. A kernel that is compiled is kept if it can be; a full disk, a
folder that may only be read and a damaged file cost the time of compiling again, no more. ``NUMBA_CACHE_DIR`` names another
folder, as for everything that numba compiles.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, NullCache
from numba.misc.appdirs import AppDirs

from rbmlib.cache import absolute, cache_root

from . import options


@cache
def folder() -> Path | None:
    """Folder of compiled code, absolute; None where there is no home to keep it in. Settled once a process."""
    try:
        if numba.config.CACHE_DIR:
            return absolute(numba.config.CACHE_DIR)
        try:
            return absolute(cache_root()) / "numba"
        except ModuleNotFoundError:  # the library alone, without the command's packages
            return absolute(AppDirs("rbmlib", appauthor=False).user_cache_dir) / "numba"
    except (ValueError, OSError):
        return None


class _Place:
    """What numba calls a locator: the folder of one function's machine code, made when there is something to keep."""

    def __init__(self, function: Callable[..., Any], source: str, root: Path) -> None:
        place = Path(source).absolute().parent
        self._path = (
            root / f"{place.name}_{hashlib.sha1(str(place).encode(), usedforsecurity=False).hexdigest()}"
        )
        self._line = function.__code__.co_firstlineno
        self._py_file = source  # by this name numba's warnings ask for it

    @classmethod
    def from_function(cls, function: Callable[..., Any], source: str) -> _Place | None:
        root = folder()
        return None if root is None else cls(function, source, root)

    def get_cache_path(self) -> str:
        return str(self._path)

    def ensure_cache_path(self) -> None:
        self._path.mkdir(parents=True, exist_ok=True)

    def get_disambiguator(self) -> str:
        return str(self._line)

    def get_source_stamp(self) -> str:
        return ""  # the stamp of all kernels takes its place


class _Kept(CompileResultCacheImpl):
    _locator_classes = [_Place]  # noqa: RUF012 - numba's own way to say it


class KernelCache(options._KernelCache):
    """The disk cache of kernels, which may fail to keep and to find, and says nothing."""

    _impl_class = _Kept

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was kept for a signature, or None."""
        with contextlib.suppress(Exception):  # whatever a damaged file can raise
            return super().load_overload(sig, target_context)
        with contextlib.suppress(Exception):
            self.flush()  # so that what is compiled now can be kept
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature, if there is room."""
        with contextlib.suppress(Exception):
            super().save_overload(sig, data)


def kernel_cache(function: Callable[..., Any]) -> KernelCache | NullCache:
    """The cache of one kernel; one that keeps nothing where there is no place for it."""
    try:
        inspect.getfile(function)
        return KernelCache(function)
    except (RuntimeError, OSError, TypeError):
        return NullCache()


# Where machine code is kept decides no result, so the text that keys are taken from does not name it.
options._KernelCache = kernel_cache
