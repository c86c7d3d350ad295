"""Matplotlib figures as inline SVG that follows the page: light or dark, wide or narrow.

A figure that the browser gets as ``<img>`` keeps its own colours. As part of the page it can inherit them:
what was black takes the colour of the text (``currentColor``), what was white the colour of the page, the
background is transparent. In plain Jupyter the same output follows the Jupyter theme.

Several figures given together are panels: they stand side by side where there is room and one below the other
on a phone, so a two-panel figure is best made of two figures half a column wide.

The bytes are a function of the figure: coordinates are rounded to a hundredth of a point, ids are derived
from the content, dates are left out.

**Number, caption and cross-reference.** The caption belongs to the notebook cell, in its ``mystnb`` metadata;
it is Markdown and may hold mathematics, citations and glued numbers::

    ```{code-cell} ipython3
    ---
    tags: [hide-input]
    mystnb:
      figure:
        name: fig-tfim-pruning
        caption: |
          **What is shown, in a phrase.** What the line and the band are, over how many seeds, at which sizes;
          a caption is read alone.
    ---
    inline_svg(draw(results), title="Errors against pruning", description="What a reader who cannot see ...")
    ```

and the prose refers to it by number, with a link to it::

    What to look for in {numref}`fig-tfim-pruning` is ...

A slider takes its caption in the same way. A cell makes one figure, and prints nothing else.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rbmbook.drawing import style
from rbmbook.drawing.inline_html import InlineHTML
from rbmbook.drawing.style import COLUMN_WIDTH, PIXELS_PER_INCH

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_GEOMETRY = frozenset({"d", "points", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height"})
_PAGE_COLOR = "var(--pst-color-background, var(--jp-layout-color0, Canvas))"
_PHONE_WIDTH = 320
_EMPTY = "nothing to show"
# matplotlib sets these for every element of its document through a style sheet; in a page that rule
# would reach every other element as well.
_DEFAULTS = "fill:currentColor;stroke-linejoin:round;stroke-linecap:butt"


@dataclass(frozen=True)
class Drawing:
    """One figure as parsed SVG, cleaned but not yet put into a page.

    Attributes
    ----------
    definitions : dict of str to Element
        Glyphs, markers and clipping paths by id.
    body : list of Element
        What is drawn.
    width, height : float
        Size in points, which is also the size of the view box.
    """

    definitions: dict[str, ElementTree.Element]
    body: list[ElementTree.Element]
    width: float
    height: float


def inline_svg(figures: Figure | Sequence[Figure], *, title: str, description: str) -> InlineHTML:
    """Turn a figure, or several panels, into inline SVG that follows the colours of the page.

    Parameters
    ----------
    figures : matplotlib.figure.Figure or sequence of them
        The figure, or its panels in reading order.
    title : str
        What the figure is, in a phrase: the name that a screen reader announces.
    description : str
        What the figure shows, in a sentence or two, for a reader who cannot see it.

    Returns
    -------
    InlineHTML
        To be displayed as a cell's last value.

    Raises
    ------
    ValueError
        If there is no figure, or `title` or `description` is empty.
    """
    panels = [figures] if isinstance(figures, Figure) else list(figures)
    require_words(panels, title, description)
    drawings = [draw(panel) for panel in panels]
    prefix = content_prefix(drawings, title, description)
    fragment = (
        f'<div class="rbm-figure" role="img" aria-label="{html.escape(title)}" '
        f'aria-describedby="{prefix}text">{definitions(drawings, prefix)}{row(drawings, prefix)}'
        f'<span id="{prefix}text" hidden>{html.escape(description)}</span></div>'
    )
    return InlineHTML(fragment, f"{title}. {description}")


def require_words(frames: Sequence[object], title: str, description: str) -> None:
    """Raise ValueError unless there is something to show and words that stand for it."""
    if not frames:
        raise ValueError("figures must hold at least one figure; got none")
    for name, words in (("title", title), ("description", description)):
        if not words.strip():
            raise ValueError(
                f"{name} must not be empty: it is all that a reader gets who cannot see the figure"
            )


def draw(figure: Figure) -> Drawing:
    """Draw a figure as cleaned SVG elements: page colours, rounded numbers, only the ids in use.

    Axes of which no series has a finite value say that there is nothing to show.
    """
    buffer = io.BytesIO()
    # Ticks and their labels are made only now, and take their look from the settings in force.
    with style.context(), _empty_axes_named(figure):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(buffer.getvalue())
    width, height = (float(value) for value in root.get("viewBox", "").split()[2:])
    used = set(
        re.findall(r"#([\w.-]+)", " ".join(value for node in root.iter() for value in node.attrib.values()))
    )
    defined: dict[str, ElementTree.Element] = {}
    _clean(root, used, defined)
    return Drawing(defined, list(root), width, height)


@contextmanager
def _empty_axes_named(figure: Figure) -> Iterator[None]:
    """Write into axes that were drawn into, but with no finite value, that they are empty, for a while."""
    # Where a text says why they are empty, that stands.
    empty = [
        axes for axes in figure.axes if axes.has_data() and not axes.texts and not _shows_something(axes)
    ]
    look = {"ha": "center", "va": "center", "color": style.COLORS["grey"]}
    words = [axes.text(0.5, 0.5, _EMPTY, transform=axes.transAxes, **look) for axes in empty]
    try:
        yield
    finally:
        for text in words:
            text.remove()


def _shows_something(axes: Axes) -> bool:
    """Whether anything drawn into axes has a place on them."""
    least = (axes.dataLim.minposx, axes.dataLim.minposy)
    scales = (axes.get_xscale(), axes.get_yscale())
    return bool(np.isfinite(axes.dataLim.get_points()).all()) and all(
        scale != "log" or np.isfinite(smallest) for scale, smallest in zip(scales, least, strict=True)
    )


def _clean(parent: ElementTree.Element, used: set[str], defined: dict[str, ElementTree.Element]) -> None:
    """Clean the tree below `parent` in place and move its definitions into `defined`."""
    for node in list(parent):
        node.tag = node.tag.removeprefix(_SVG)
        node.text = node.tail = None
        if node.tag in ("metadata", "style"):
            parent.remove(node)
            continue
        for name, value in list(node.attrib.items()):
            del node.attrib[name]
            if name == "id" and value not in used:
                continue
            node.set("href" if name == _XLINK_HREF else name, _attribute(name, value))
        _clean(node, used, defined)
        if node.tag == "defs":
            parent.remove(node)
            # A marker of which no point is finite is defined, but never used.
            defined.update((child.attrib["id"], child) for child in node if "id" in child.attrib)
        elif (node.tag == "g" and not len(node)) or _is_invisible(node):
            parent.remove(node)


def _is_invisible(node: ElementTree.Element) -> bool:
    return {"fill:none", "opacity:0"} <= set(node.get("style", "").split(";"))


def _attribute(name: str, value: str) -> str:
    """Round the numbers of a geometric attribute, and give a style or colour the colours of the page."""
    if name in _GEOMETRY:
        return _rounded(" ".join(value.split()), 2)
    if name == "transform":
        # A scale multiplies whole glyphs, so it keeps more digits than a shift.
        return re.sub(
            r"(\w+)\(([^)]*)\)",
            lambda call: f"{call[1]}({_rounded(call[2], 2 if call[1] == 'translate' else 6)})",
            value,
        )
    if name in ("style", "fill", "stroke"):
        value = re.sub(r"\s*([:;])\s*", r"\1", value).replace("#000000", "currentColor")
        return re.sub(r"#ffffff(?![0-9a-f])", _PAGE_COLOR, value)
    return value


def _rounded(text: str, digits: int) -> str:
    def shorten(match: re.Match[str]) -> str:
        number = f"{float(match[0]):.{digits}f}".rstrip("0").rstrip(".") if digits else match[0]
        return "0" if number in ("-0", "") else number

    return _NUMBER.sub(shorten, text)


def share_repeated(drawings: Sequence[Drawing]) -> None:
    """Define once, in place, every group that several drawings repeat: axes, ticks and labels."""
    seen: dict[str, int] = {}
    for drawing in drawings:
        for markup in {_markup(group, "") for top in drawing.body for group in top.iter("g")}:
            seen[markup] = seen.get(markup, 0) + 1
    for drawing in drawings:
        for top in drawing.body:
            _use_shared(top, seen, drawing.definitions)


def _use_shared(
    parent: ElementTree.Element, seen: dict[str, int], defined: dict[str, ElementTree.Element]
) -> None:
    for index, child in enumerate(parent):
        markup = _markup(child, "")
        # Below some 150 characters the reference is longer than what it saves.
        if seen.get(markup, 0) > 1 and len(markup) > 150:
            name = f"s{hashlib.sha256(markup.encode()).hexdigest()[:8]}"
            child.set("id", name)
            defined[name] = child
            parent[index] = ElementTree.Element("use", {"href": f"#{name}"})
        else:
            _use_shared(child, seen, defined)


def content_prefix(drawings: Sequence[Drawing], *words: str) -> str:
    """Return the start of every id of a figure: a hash of what the figure shows."""
    digest = hashlib.sha256("\0".join(words).encode())
    for drawing in drawings:
        for element in (*drawing.definitions.values(), *drawing.body):
            digest.update(ElementTree.tostring(element))
    return f"f{digest.hexdigest()[:10]}-"


def definitions(drawings: Sequence[Drawing], prefix: str) -> str:
    """Return the definitions of all drawings once, in an SVG element that takes no room."""
    merged: dict[str, ElementTree.Element] = {}
    for drawing in drawings:
        merged.update(drawing.definitions)
    content = "".join(_markup(element, prefix) for element in merged.values())
    # Not display:none: browsers ignore clipping paths inside elements that are not rendered.
    return f'<svg aria-hidden="true" style="position:absolute;width:0;height:0"><defs>{content}</defs></svg>'


def row(drawings: Sequence[Drawing], prefix: str) -> str:
    """Return panels side by side, the next one below the last where a line is full.

    A panel shrinks to three quarters of its size, or to the width of a phone, before it moves to a new line.
    """
    panels = []
    for drawing in drawings:
        size = f"0 0 {drawing.width:g} {drawing.height:g}"
        full = round(drawing.width / 72 * PIXELS_PER_INCH)
        least = min(round(0.75 * full), _PHONE_WIDTH)
        content = "".join(_markup(element, prefix) for element in drawing.body)
        panels.append(
            f'<svg aria-hidden="true" viewBox="{size}" style="flex:1 1 {least}px;min-width:0;'
            f'max-width:{full}px;height:auto;background:none;{_DEFAULTS}">{content}</svg>'
        )
    column = round(COLUMN_WIDTH * PIXELS_PER_INCH)
    return (
        '<div style="display:flex;flex-wrap:wrap;justify-content:center;align-items:flex-start;'
        f'max-width:{column}px;margin:0 auto">{"".join(panels)}</div>'
    )


def _markup(element: ElementTree.Element, prefix: str) -> str:
    """Serialise one element with every id, and every reference to one, prefixed."""
    replace: Callable[[str], str] = lambda value: re.sub(r"(^|url\()#", rf"\g<1>#{prefix}", value)  # noqa: E731
    attributes = "".join(
        f' {name}="{html.escape(prefix + value if name == "id" else replace(value))}"'
        for name, value in element.attrib.items()
    )
    content = "".join(_markup(child, prefix) for child in element)
    return (
        f"<{element.tag}{attributes}>{content}</{element.tag}>"
        if content
        else f"<{element.tag}{attributes}/>"
    )
