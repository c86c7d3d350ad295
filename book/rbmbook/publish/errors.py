"""What can go wrong between a notebook's source and its page, each one sentence for the person who asked."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PublishError(Exception):
    """A failure whose message is one sentence that says what to do; never shown with a traceback."""


class NotInClone(PublishError):
    """The project's notebooks were asked for outside a clone of the repository."""


class BadParameter(PublishError):
    """A parameter's value has the wrong type, or a value that its experiment does not allow."""


class BadNotebook(PublishError):
    """A notebook's source does not keep the conventions that publishing relies on."""


class NotebookFailed(PublishError):
    """A cell of a notebook raised.

    Attributes
    ----------
    traceback : str
        The cell's traceback as the kernel printed it.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class NotWritable(PublishError):
    """A file or folder that results should go to cannot be written."""


class UnknownName(PublishError):
    """A name that does not exist; the message gives the nearest one and lists those that do.

    Parameters
    ----------
    kind : str
        What was looked for, such as ``"notebook"``.
    given : str
        The name that was given.
    valid : iterable of str
        The names that exist.
    """

    def __init__(self, kind: str, given: str, valid: Iterable[str]) -> None:
        names = list(valid)
        message = f"there is no {kind} {given!r}"
        nearest = difflib.get_close_matches(given.lower(), [name.lower() for name in names], n=1, cutoff=0.5)
        if nearest:
            original = next(name for name in names if name.lower() == nearest[0])
            message += f"; did you mean {original!r}?"
        message += f" (valid: {', '.join(names)})" if names else f" (there is no {kind} at all)"
        super().__init__(message)
