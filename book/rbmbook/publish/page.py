"""An executed notebook as one HTML file that needs nothing beside it: no network, no folder of assets.

The prose is read by the same MyST parser as the book, without Sphinx. What only Sphinx knows (citations,
references between pages, directives of its extensions) is reduced to readable text.
"""

from __future__ import annotations

import html
import os
import re
import tempfile
from pathlib import Path

import nbformat
from docutils import nodes
from docutils.core import publish_doctree, publish_from_doctree
from docutils.writers.html5_polyglot import Writer
from nbformat import NotebookNode

from rbmbook.publish.beside import Comparison, address_of, compare
from rbmbook.publish.crossref import resolve, understanding
from rbmbook.publish.mathjax import mathjax_script
from rbmbook.publish.notebook import title_of, write_whole
from rbmbook.publish.project import Project

EXTENSIONS = ["amsmath", "colon_fence", "deflist", "dollarmath", "linkify", "substitution", "tasklist"]
#: MathJax in one piece: no menu and no assistive layer, because those load further files on demand.
MATHJAX_SETTINGS = """
window.MathJax = {
  options: {enableMenu: false},
  tex: {inlineMath: [["\\\\(", "\\\\)"]], processEscapes: true, packages: {"[-]": ["require"]}},
  svg: {fontCache: "global"}
};
"""
STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --soft: #59636e; --panel: #f6f8fa; --line: #d1d9e0;
  --link: #0b62c4; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --soft: #a0a8b0; --panel: #1d2126; --line: #3a4149; --link: #6cb0ff; }
  body { background: #121417; }
}
body { color: var(--text); font: 17px/1.6 system-ui, sans-serif; margin: 0 auto; max-width: 50rem;
  padding: 1rem; }
a { color: var(--link); }
h1, h2, h3 { line-height: 1.25; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; font-size: .85rem;
  line-height: 1.45; overflow-x: auto; padding: .6rem .8rem; }
code { font-size: .9em; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .7rem; text-align: left; vertical-align: top; }
figure { margin: 1.5rem 0; }
figcaption { color: var(--soft); font-size: .95rem; }
img, svg { height: auto; max-width: 100%; }
div.math { overflow-x: auto; overflow-y: hidden; }
mjx-container svg { max-width: none; }
aside.admonition, div.aside { background: var(--panel); border-left: 4px solid var(--line); margin: 1rem 0;
  padding: .2rem 1rem; }
.admonition-title { font-weight: 600; }
.published { color: var(--soft); }
table.outcome { display: table; width: 100%; }
summary { color: var(--soft); cursor: pointer; font-size: .9rem; }
footer { border-top: 1px solid var(--line); color: var(--soft); font-size: .85rem; margin-top: 3rem;
  overflow-wrap: anywhere; }
"""
#: The same code colours on a light and on a dark page.
CODE_STYLE = """
.code .k, .code .kn, .code .kc, .code .ow { color: #8250df; }
.code .s1, .code .s2, .code .sd, .code .sa { color: #2a8a4a; }
.code .mi, .code .mf, .code .nb, .code .bp { color: #2f7fd0; }
.code .c1, .code .cm { color: #808890; font-style: italic; }
.code .nf, .code .nc, .code .nd { color: #c06a10; }
"""
REQUEST = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|input)\b[^>]*?\bsrc\s*=\s*["']?(?:https?:)?//[^"'>\s]+"""
    r"""|<link\b[^>]*?\bhref\s*=\s*["']?(?:https?:)?//[^"'>\s]+|@import\s+[^;]*//[^;]+|url\(\s*["']?(?:https?:)?//[^)]+""",
    re.IGNORECASE,
)


def external_requests(page: str) -> list[str]:
    """Everything in a page's markup or styles that would make a browser ask another machine.

    Parameters
    ----------
    page : str
        HTML; scripts' own text is not looked at.

    Returns
    -------
    list of str
        The offending pieces; links that a reader may click are none.
    """
    return REQUEST.findall(
        re.sub(r"(<script\b[^>]*>).*?</script>", r"\1", page, flags=re.DOTALL | re.IGNORECASE)
    )


def write_page(notebook: Path, destination: Path, project: Project | None = None) -> Path:
    """Write an executed notebook as one self-contained HTML page.

    Parameters
    ----------
    notebook : Path
        The executed notebook.
    destination : Path
        The page.
    project : Project, optional
        The clone, for its bibliography and for numbers quoted from other pages.

    Returns
    -------
    Path
        The destination.

    Raises
    ------
    PublishError
        If MathJax is not installed.
    """
    content = nbformat.read(notebook, as_version=4)
    return write_whole(destination, render(content, notebook.stem, project, destination.parent))


def render(
    notebook: NotebookNode, name: str, project: Project | None = None, folder: Path | None = None
) -> str:
    """The HTML of an executed notebook's page, which will lie in `folder`; see `write_page`."""
    run = compare(notebook, name, project)
    body = _body(notebook, name, project, run, folder)
    if notebook.metadata.get("rbmlib"):
        head, title, rest = body.partition("</h1>")
        banner = _banner(notebook, run, address_of(project, f"book/executed/{name}", folder))
        body = f"{head}{title}\n{banner}{rest}" if title else banner + body
        body += _outcome(run)
    title = html.escape(re.sub(r"[$`*]", "", title_of(notebook, name)))
    script = mathjax_script("tex-svg-full.js").read_text(encoding="utf-8").replace("</script", r"<\/script")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}{CODE_STYLE}</style>\n<script>{MATHJAX_SETTINGS}</script>\n<script>{script}</script>\n"
        f"</head>\n<body>\n{body}\n{_footer(notebook, name)}\n</body>\n</html>\n"
    )


def _banner(notebook: NotebookNode, run: Comparison, address: str) -> str:
    """Whose run a page shows, and where the published chapter is."""
    record = notebook.metadata["rbmlib"]
    setting = run.yours.get("setting") or f"profile {record.get('profile', 'unknown')}"
    said = [f"<strong>Your run:</strong> {html.escape(setting)}."]
    if run.differs:
        changes = ", ".join(f"{key} = {value} ({other})" for key, (value, other) in run.changed.items())
        said.append(
            f"It differs from the published one, whose values stand in brackets here and in grey below, in {html.escape(changes)}."
        )
    elif run.published:
        said.append("Its parameters are those of the published one.")
    if run.published and address:
        said.append(f'The published chapter: <a href="{html.escape(address)}">{html.escape(run.title)}</a>.')
    return f'<aside class="admonition run"><p>{" ".join(said)}</p></aside>\n'


def _outcome(run: Comparison) -> str:
    """The numbers that sum a run up and the verdicts with what decides them, beside the published ones, as a table."""
    lines = run.lines()
    if not lines:
        return ""
    heads = ["", "your run", *(["published run"] if run.differs else [])]
    rows = [heads, *([line.what, line.yours, *([line.published] if run.differs else [])] for line in lines)]
    cells = [["th" if at == 0 else "td" for _ in row] for at, row in enumerate(rows)]
    table = "\n".join(
        "<tr>"
        + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for tag, text in zip(tags, row, strict=True))
        + "</tr>"
        for tags, row in zip(cells, rows, strict=True)
    )
    return f'<section id="outcome">\n<h2>What came out</h2>\n<table class="outcome">\n{table}\n</table>\n</section>\n'


def _body(
    notebook: NotebookNode,
    name: str,
    project: Project | None,
    run: Comparison | None = None,
    folder: Path | None = None,
) -> str:
    from myst_nb.docutils_ import Parser

    with (
        tempfile.TemporaryDirectory(prefix="rbmlib-") as temporary,
        understanding(notebook, project, run) as readable,
    ):
        settings = {
            "_disable_config": True,
            "doctitle_xform": False,
            "embed_stylesheet": False,
            "halt_level": 5,
            "image_loading": "embed",
            "initial_header_level": 1,
            "math_output": "MathJax mathjax",
            "myst_enable_extensions": EXTENSIONS,
            "nb_append_css": False,
            "nb_execution_mode": "off",
            "nb_output_folder": temporary,
            "report_level": 5,
            "stylesheet_path": [],
            "warning_stream": False,
        }
        source_path = os.path.join(temporary, f"{name}.ipynb")
        text = nbformat.writes(readable)
        tree = publish_doctree(text, source_path=source_path, parser=Parser(), settings_overrides=settings)
        resolve(tree, project, folder)
        _fold_code(tree)
        writer = Writer()
        publish_from_doctree(tree, writer=writer, settings_overrides=settings)
        return writer.parts["html_body"]


def _fold_code(tree: nodes.document) -> None:
    """Hide the code of cells tagged so behind a line to click, and drop what is tagged to be removed."""
    for cell in [node for node in tree.findall(nodes.container) if "cell" in node.get("classes", [])]:
        tags = {name.removeprefix("tag_") for name in cell["classes"]}
        for part in list(cell.children):
            kind = "input" if "cell_input" in part.get("classes", []) else "output"
            if tags & {"remove-cell", f"remove-{kind}"}:
                cell.remove(part)
            elif tags & {"hide-cell", f"hide-{kind}"}:
                at = cell.index(part)
                label = "Code" if kind == "input" else "Output"
                opening = nodes.raw("", f"<details><summary>{label}</summary>", format="html")
                cell[at : at + 1] = [opening, part, nodes.raw("", "</details>", format="html")]


def _footer(notebook: NotebookNode, name: str) -> str:
    record = notebook.metadata.get("rbmlib", {})
    if not record:
        return ""
    values = ", ".join(f"{key} = {value}" for key, value in record.get("parameters", {}).items())
    lines = [
        f"Notebook {name}, profile {record.get('profile', 'unknown')}.",
        f"Parameters: {values or 'none'}.",
        f"Code {str(record.get('code'))[:12]}, source {str(record.get('source'))[:12]}.",
    ]
    return "<footer>\n" + "\n".join(f"<p>{html.escape(line)}</p>" for line in lines) + "\n</footer>"
