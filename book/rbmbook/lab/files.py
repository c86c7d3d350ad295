"""How a file is written as a whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

from rbmbook.lab.errors import StoreNotWritable
from rbmlib import files


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole or not at all.

    Raises
    ------
    StoreNotWritable
        If the folder cannot be written or the disk is full; nothing is left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(path, content)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "free some space" if full else "make the folder writable"
        raise StoreNotWritable(
            f"cannot write {path}: {error.strerror or error}; {advice}, or set RBMLIB_CACHE "
            "to another folder (what is finished stays)"
        ) from error
