"""How a file is written as a whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from rbmlib.lab.errors import StoreNotWritable


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole or not at all.

    Raises
    ------
    StoreNotWritable
        If the folder cannot be written or the disk is full; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "free some space" if full else "make the folder writable"
        raise StoreNotWritable(
            f"cannot write {path}: {error.strerror or error}; {advice}, or set RBMLIB_CACHE "
            "to another folder (what is finished stays)"
        ) from error
