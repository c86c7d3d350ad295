"""Files of our own: written whole or not at all, and read so that whatever is wrong with one is told as one error.

Nothing that is read can run code: archives of arrays are opened without pickles.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.npyio import NpzFile

_ZIP = b"PK"


def write_whole(path: str | os.PathLike[str], content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file so that others see the old one or the new one, never a part.

    A new file has the mode that the process's umask gives; one that was there keeps its own.

    Parameters
    ----------
    path : path-like
        The file; its folder must exist.
    content : bytes or callable
        What it holds, or a function that writes it to the open file that it is given.

    Raises
    ------
    OSError
        If it cannot be written, with `path` as the file's name; nothing is left behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError):
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextlib.contextmanager
def reading_arrays(path: str | os.PathLike[str], what: str, error: type[Exception]) -> Iterator[NpzFile]:
    """Open a ``.npz`` file of plain arrays; whatever is raised while it is open means that the file is not what it
    should be.

    Parameters
    ----------
    path : path-like
        The file.
    what : str
        What it should be, for the message: ``"a complete RBM file"``.
    error : type of Exception
        What to raise, with the file and the reason.

    Yields
    ------
    numpy.lib.npyio.NpzFile
        Arrays by name. Each is held to its checksum when it is read.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    error
        If the file is damaged or foreign, or the block under ``with`` raises.
    """
    # Opened here: numpy leaves a file open that is a damaged zip.
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below, and what `open` raises is told apart
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as cause:
        raise error(f"{os.fspath(path)} is not {what}: {_reason(cause)}") from cause
    # zipfile, zlib, NumPy and what is made of the arrays raise whatever they like on bytes that someone else wrote.
    try:
        with file:
            start = file.read(len(_ZIP))
            if start != _ZIP:
                raise ValueError("it is empty" if not start else "it is not a .npz archive of arrays")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                yield archive
    except Exception as cause:
        raise error(f"{os.fspath(path)} is not {what}: {_reason(cause)}") from cause


def read_json(path: str | os.PathLike[str], what: str, error: type[Exception]) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Parameters
    ----------
    path, what, error
        As in :func:`reading_arrays`.

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    error
        If the file is damaged or foreign.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, not an object")
    except FileNotFoundError:
        raise
    except Exception as cause:
        raise error(f"{os.fspath(path)} is not {what}: {_reason(cause)}") from cause
    return content


def _reason(cause: Exception) -> str:
    """What an exception says, in words even where it has none of its own."""
    words = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause).strip("'\"")
    return " ".join(words.split()) or type(cause).__name__


def missing_arrays(archive: NpzFile, *names: str) -> str:
    """Say which of some arrays an archive lacks and what it holds; empty if it lacks none."""
    missing = [name for name in names if name not in archive.files]
    return (
        f"it has no {' and no '.join(missing)}, only {', '.join(archive.files) or 'nothing'}"
        if missing
        else ""
    )
