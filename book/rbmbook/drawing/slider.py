"""A slider that needs no kernel: all frames are in the page, a range input chooses the one to show.

It works on a page opened from disk, with a finger or with the arrow keys, and follows light and dark like
every inline figure. Where scripts do not run (a notebook that Jupyter does not trust), the starting frame
stands alone. Whatever the frames have in common is in the page once, so that one costs little more than its
curves.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from matplotlib.figure import Figure

from rbmbook.drawing.inline_svg import (
    InlineHTML,
    content_prefix,
    definitions,
    draw,
    require_words,
    row,
    share_repeated,
)
from rbmbook.drawing.style import COLORS, COLUMN_WIDTH, PIXELS_PER_INCH

_SCRIPT = """
document.querySelectorAll(".rbm-slider:not([data-ready])").forEach((box) => {
  const input = box.querySelector("input"), output = box.querySelector("output");
  const frames = box.querySelectorAll("[data-label]");
  const show = () => {
    frames.forEach((frame, i) => { frame.hidden = i !== input.valueAsNumber; });
    const label = frames[input.valueAsNumber].dataset.label;
    input.setAttribute("aria-valuetext", label);
    output.textContent = label;
  };
  input.addEventListener("input", show);
  box.querySelector("label").style.display = "grid";
  box.dataset.ready = "";
  show();
});
"""


def slider(
    frames: Sequence[Figure | Sequence[Figure]],
    labels: Sequence[str],
    *,
    name: str,
    title: str,
    description: str,
    start: int = 0,
) -> InlineHTML:
    """Make a figure with a slider out of equally large frames.

    Give all frames the same axis limits: what moves is then the data.

    Parameters
    ----------
    frames : sequence of matplotlib.figure.Figure, or of sequences of them
        What each position of the slider shows: a figure, or panels that stand side by side, one below the
        other on a phone. All frames have the same number and sizes of panels.
    labels : sequence of str
        What each frame shows, short: "28 % removed".
    name : str
        What the slider changes: "Weights removed".
    title, description : str
        What the figure is, and what a reader who cannot see it should know; as in
        :func:`rbmbook.drawing.inline_svg.inline_svg`.
    start : int
        Index of the frame shown first.

    Returns
    -------
    InlineHTML
        To be displayed as a cell's last value.

    Raises
    ------
    ValueError
        If frames and labels differ in number, frames differ in size, or `start` is not one of them.
    """
    require_words(frames, title, description)
    if len(labels) != len(frames):
        raise ValueError(f"labels must name each of the {len(frames)} frames; got {len(labels)} labels")
    if not 0 <= start < len(frames):
        raise ValueError(f"start must be the index of a frame, 0 to {len(frames) - 1}; got {start}")
    rows = [[draw(panel) for panel in ([frame] if isinstance(frame, Figure) else frame)] for frame in frames]
    sizes = {tuple((drawing.width, drawing.height) for drawing in drawings) for drawings in rows}
    if len(sizes) > 1:
        raise ValueError(f"frames must all have panels of the same sizes; got {len(sizes)} different layouts")
    every = [drawing for drawings in rows for drawing in drawings]
    prefix = content_prefix(every, title, description, name, *labels)
    share_repeated(every)
    pictures = ""
    for index, (drawings, label) in enumerate(zip(rows, labels, strict=True)):
        hidden = "" if index == start else " hidden"
        pictures += f'<div data-label="{html.escape(label)}"{hidden}>{row(drawings, prefix)}</div>'
    # On a phone the words stand above and below, or the widest label would leave no width for the slider itself.
    narrow = (
        "<style>@media (max-width: 30rem) { .rbm-slider label { grid-template-columns: 1fr !important } "
        ".rbm-slider output { text-align: left !important } }</style>"
    )
    column = round(COLUMN_WIDTH * PIXELS_PER_INCH)
    control = (
        '<label style="display:none;grid-template-columns:auto 1fr auto;gap:0 0.75rem;align-items:center;'
        'margin:0.25rem 0.5rem">'
        f"<span>{html.escape(name)}</span>"
        f'<input type="range" min="0" max="{len(frames) - 1}" step="1" value="{start}" '
        f'style="width:100%;min-width:0;height:2rem;accent-color:{COLORS["blue"]};touch-action:manipulation">'
        # The widest label keeps the slider from changing its length while it moves.
        f'<output style="min-width:{max(map(len, labels))}ch;text-align:right">'
        f"{html.escape(labels[start])}</output>"
        "</label>"
    )
    fragment = (
        f'<div class="rbm-figure rbm-slider" role="group" aria-label="{html.escape(title)}" '
        f'aria-describedby="{prefix}text" style="max-width:{column}px;margin:0 auto">'
        f"{definitions(every, prefix)}{narrow}{pictures}{control}"
        f'<span id="{prefix}text" hidden>{html.escape(description)}</span></div>'
        f"<script>{_SCRIPT}</script>"
    )
    return InlineHTML(fragment, f"{title}. {description}")
