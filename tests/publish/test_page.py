"""One executed notebook as one file: values, references and pictures inside, no request to anywhere."""

import base64
import re
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from rbmbook.publish.mathjax import mathjax_script
from rbmbook.publish.page import external_requests, render, write_page
from rbmbook.publish.project import Project

PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360f8cfc000000301010018dd8db00000000049454e44ae426082"
    )
).decode()


def glued(key: str, text: str) -> dict:
    prefix = "application/papermill.record/"
    about = {"scrapbook": {"name": key, "mime_prefix": prefix}}
    return new_output("display_data", data={f"{prefix}text/plain": text}, metadata=about)


def page_of(*cells, project: Project | None = None, **metadata) -> str:
    """The page's body."""
    page = render(new_notebook(cells=list(cells), metadata=metadata), "sample", project)
    assert external_requests(page) == []
    assert "system-message" not in page
    return page[page.rindex("<body>") :]


def test_glued_values_are_filled_in() -> None:
    body = page_of(
        new_code_cell("1", outputs=[glued("kl", "0.12345"), glued("word", "'yes'")]),
        new_markdown_cell("KL is {glue:text}`kl:.2f`, {glue:text}`word:s`."),
    )
    assert re.sub("<[^>]+>", "", body).count("KL is 0.12, yes.") == 1


def test_values_of_other_pages_come_from_their_executed_notebooks(project: Project, tmp_path: Path) -> None:
    import nbformat

    other = new_notebook(cells=[new_code_cell("1", outputs=[glued("total", "9.0")])])
    nbformat.write(other, project.executed_path("counting"))
    text = "{glue:text}`/book/executed/counting.ipynb::total:.1f` and {glue:text}`gone.ipynb::total:.1f`"
    body = page_of(new_markdown_cell(text), project=project)
    assert "9.0 and (number on another page)" in body


def test_references_become_links_and_citations_names(project: Project) -> None:
    body = page_of(
        new_markdown_cell(
            "(sec:a)=\n# Title\n\n```{math}\n:label: eq:one\nx = 1\n```\n\n$$\ny\n$$ (eq:two)\n"
        ),
        new_markdown_cell(
            "See {ref}`sec:a`, {eq}`eq:two`, {cite:p}`smith2020`, {doc}`there </book/methods>`."
        ),
        new_markdown_cell("{py:func}`~rbmlib.rbm.RBM` and {unheard:of}`thing` and {ref}`elsewhere`"),
        project=project,
    )
    text = re.sub(r"\s+", " ", re.sub("<[^>]+>", "", body))
    assert "See Title, (2), (Smith and Li 2020), there." in text
    assert "RBM and thing and elsewhere" in text
    assert 'href="#eq-two"' in body
    assert r"\tag{2}" in body
    assert "https://doi.org/10.1/x" in body


def test_figures_are_inside_the_page_numbered_and_named_by_their_caption() -> None:
    cell = new_code_cell("draw()", outputs=[new_output("display_data", data={"image/png": PIXEL})])
    cell.metadata["mystnb"] = {"figure": {"name": "fig:a", "caption": "What is seen."}}
    body = page_of(cell, new_markdown_cell("In {numref}`fig:a` and {numref}`Figure %s <fig:a>`."))
    assert 'src="data:image/png;base64,' in body
    assert 'alt="Fig. 1. What is seen."' in body
    assert "In Fig. 1 and Figure 1." in re.sub("<[^>]+>", "", body)


def test_directives_of_sphinx_extensions_keep_their_content() -> None:
    body = page_of(
        new_markdown_cell(
            "```{prf:theorem} Big\n:label: thm\nIt *holds*.\n```\n\n:::{note}\nMind.\n:::\n\n"
            "```{margin}\nAside.\n```\n\n```{bibliography}\n```\n"
        )
    )
    for text in ("Big", "It <em>holds</em>.", "Mind.", "Aside."):
        assert text in body
    assert "bibliography" not in body


def test_tags_fold_or_remove_code() -> None:
    def cell(tag: str):
        return new_code_cell(f"x_{tag[:4]} = 1", metadata={"tags": [tag]}, outputs=[])

    body = page_of(cell("hide-input"), cell("remove-input"), cell("plain"))
    assert body.count("<details>") == body.count("</details>") == 1
    assert "x_hide" in body
    assert "x_remo" not in body


def test_the_footer_says_what_made_the_page() -> None:
    body = page_of(
        new_markdown_cell("# T"),
        rbmlib={"profile": "quick", "parameters": {"n": 3, "s": "<a>"}, "code": "c" * 64, "source": "s" * 64},
    )
    assert "profile quick" in body
    assert "n = 3, s = &lt;a&gt;" in body


def test_what_would_ask_another_machine_is_found() -> None:
    for bad in (
        '<script src="https://a.b/c.js"></script>',
        "<img alt=x src=//a.b/c.png>",
        '<link rel="stylesheet" href="http://a.b/c.css">',
        "<style>p{background:url(https://a.b/c)}</style>",
    ):
        assert external_requests(bad), bad
    assert external_requests('<a href="https://a.b">x</a><script>var u = "https://a.b"</script>') == []


def test_registries_of_docutils_are_left_as_they_were() -> None:
    from docutils.parsers.rst import directives, roles

    before = dict(roles._roles), dict(directives._directives)
    page_of(new_markdown_cell("{new:role}`x`\n\n```{new-directive}\ny\n```"))
    assert (dict(roles._roles), dict(directives._directives)) == before


def test_a_page_sets_its_equations_without_any_request(project: Project, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    browser_path = next(
        (p for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(p).exists()), None
    )
    if browser_path is None:
        pytest.skip("chromium is not installed")
    import nbformat

    source = tmp_path / "page.ipynb"
    cells = [
        new_markdown_cell("# T $x^2$\n\n$$\n\\ket{a} = \\cancel{b} \\text{ and } \\mathbb{R}\n$$ (eq:a)")
    ]
    nbformat.write(new_notebook(cells=cells), source)
    page = write_page(source, tmp_path / "page.html", project)
    with sync_api.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        view = browser.new_page()
        asked, complaints = [], []
        view.on("request", lambda request: asked.append(request.url))
        view.on("console", lambda message: complaints.append(message.text))
        view.on("pageerror", lambda error: complaints.append(str(error)))
        view.goto(page.as_uri())
        view.wait_for_selector("mjx-container svg", state="attached")
        view.wait_for_timeout(300)
        assert view.locator("mjx-container").count() == 2
        assert view.locator("mjx-merror, [data-mml-node=merror]").count() == 0
        browser.close()
    assert asked == [page.as_uri()]
    assert complaints == []


def test_a_missing_component_of_mathjax_is_named() -> None:
    from rbmbook.publish.errors import PublishError

    assert mathjax_script().is_file()
    with pytest.raises(PublishError, match=r"no MathJax component 'x\.js'"):
        mathjax_script("x.js")
