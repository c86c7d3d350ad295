"""MathJax from an installed Python package, so that equations are set without a network and without npm."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from rbmbook.publish.errors import PublishError

DISTRIBUTION = "sphinx-mathjax-offline"


def mathjax_script(name: str = "tex-svg.js") -> Path:
    """Path of one of MathJax 3's combined components.

    Parameters
    ----------
    name : str
        ``tex-svg.js``, or ``tex-svg-full.js``, which holds all TeX extensions and so never loads another
        file.

    Raises
    ------
    PublishError
        If the package that carries MathJax is not installed, or lacks the component.
    """
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise PublishError(f"pages need the package {DISTRIBUTION}: pip install 'rbmlib[book]'") from None
    path = Path(str(distribution.locate_file(f"{DISTRIBUTION}/static/mathjax/{name}")))
    if not path.is_file():
        raise PublishError(f"the package {DISTRIBUTION} has no MathJax component {name!r}")
    return path
