"""Why a run cannot settle claims about a paper's setting: each function says it in words, or returns None."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rbmbook.evidence.rules import other_setting
from rbmlib.mnist.data import MNIST_CHECKSUM


def other_machines(parameters: Mapping[str, Any]) -> str | None:
    """The machines are not those of the paper on MNIST."""
    if parameters["images_checksum"] != MNIST_CHECKSUM:
        return f"settled for MNIST; this run has the images of {parameters['images']}"
    return other_setting(parameters, {"n_hidden": 400})
