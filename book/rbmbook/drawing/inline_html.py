"""HTML that a notebook displays. Apart from the figures: a table needs no matplotlib, nor a folder for its caches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InlineHTML:
    """A piece of HTML that a notebook displays, and the words that stand for it where HTML cannot be shown.

    Attributes
    ----------
    html : str
        The HTML fragment.
    text : str
        Plain text: title and description.
    """

    html: str
    text: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}
