"""Where the local cache lies: results, prepared data, checkpoints and locks, each in a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the folder of the local cache: ``RBMLIB_CACHE``, or the user's cache folder."""
    root = os.environ.get("RBMLIB_CACHE")
    if not root:
        import platformdirs

        root = platformdirs.user_cache_dir("rbmlib")
    return Path(root)
