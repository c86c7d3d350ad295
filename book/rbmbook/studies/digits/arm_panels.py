"""How the arms of the design on retraining look in figures, and tables of them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from rbmbook.drawing import style
from rbmbook.drawing.inline_html import InlineHTML

_ORANGE, _BLUE, _GREEN, _MAGENTA, _BROWN, _GREY = (
    style.COLORS[name] for name in ("orange", "blue", "green", "magenta", "brown", "grey")
)
_BLACK = "#000000"
_SOLID, _DASHED, _DOTTED = "-", (0, (4, 2)), (0, (1, 1.5))

LOOKS: Mapping[str, dict[str, Any]] = {
    "frozen": {"color": _ORANGE, "linestyle": _SOLID, "label": "frozen"},
    "compensated": {"color": _ORANGE, "linestyle": _DASHED, "label": "frozen, biases compensated"},
    "biases": {"color": _BROWN, "linestyle": _SOLID, "label": "biases retrained"},
    "retrained": {"color": _MAGENTA, "linestyle": _SOLID, "linewidth": 2.4, "label": "retrained"},
    "random-kept": {"color": _MAGENTA, "linestyle": _DOTTED, "label": "any weights kept, retrained"},
    "rewound": {"color": _GREEN, "linestyle": _SOLID, "label": "same mask, initial weights of the base"},
    "same-mask": {"color": _BLUE, "linestyle": _SOLID, "label": "same mask, fresh weights"},
    "same-mask-2": {"color": _BLUE, "linestyle": _DASHED, "label": "the same, twice the updates"},
    "reference": {"color": _BLACK, "linestyle": _SOLID, "label": "reference: random mask, fresh weights"},
    "reference-2": {"color": _BLACK, "linestyle": _DASHED, "label": "reference, twice the updates"},
}
"""How an arm is drawn and called; reference, retrained and frozen nearly as in the paper: black, red, yellow."""

_STYLE = """
.rbm-effects { overflow-x: auto; }
.rbm-effects table { border-collapse: collapse; display: table; font-size: .85em; width: 100%; }
.rbm-effects caption { caption-side: top; text-align: left; padding: .2rem .5rem; color: inherit; }
.rbm-effects th, .rbm-effects td { background: none; border-bottom: 1px solid #7f7f7f66; color: inherit;
  padding: .2rem .5rem; text-align: left; vertical-align: top; white-space: nowrap; }
.rbm-effects small { font-size: .85em; }
.rbm-effects th[scope=row] { font-weight: normal; white-space: normal; min-width: 9rem; }
html[data-theme="dark"] .bd-content div.cell_output .text_html:has(.rbm-effects) { background: none;
  color: inherit; padding: 0; }
"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, text: str) -> InlineHTML:
    """A table as HTML: first column headings of rows, contents as they are."""
    top = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in head)
    body = "\n".join(
        f"<tr><th scope='row'>{html.escape(first)}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    content = (
        f"<table>\n<caption>{html.escape(caption)}</caption>\n"
        f"<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    )
    return InlineHTML(
        f'<div class="rbm-effects">\n<style>{_STYLE}</style>\n{content}\n</div>', f"{caption}\n{text}"
    )
