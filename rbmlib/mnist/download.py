"""The one place that imports torchvision: MNIST from where torchvision knows it to lie."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from pathlib import Path


def download(folder: Path, names: tuple[str, ...]) -> None:
    """Let torchvision fetch and verify the files of MNIST, and move them into a folder.

    Nothing appears in the folder before it is verified, so several processes may do this at once.

    Parameters
    ----------
    folder : pathlib.Path
        Where to put them; made if missing.
    names : tuple of str
        The compressed files.

    Raises
    ------
    ImportError, OSError, RuntimeError
        If torchvision is not installed, or cannot reach or verify them.
    """
    datasets = _datasets()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".download-", dir=folder))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            datasets.MNIST(temporary, download=True)
        for name in names:
            (temporary / "MNIST" / "raw" / name).replace(folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _datasets():  # noqa: ANN202 - torchvision's module
    try:
        from torchvision import datasets
    except RuntimeError as error:
        # Where torchvision's compiled operators were built for another torch than this one (a CPU build), it fails
        # when it registers shapes for them. Data sets need none of them: that they are declared is enough.
        if "torchvision::nms" not in str(error):
            raise
        import torch

        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision import datasets

        datasets.declared = library  # the declarations last as long as this object
    return datasets
