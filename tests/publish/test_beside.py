"""A run beside the published one: numbers, sentences, links, and what came out."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from rbmbook.publish.beside import ABSENT, address_of, compare, page_with_label, readable
from rbmbook.publish.errors import UnknownName
from rbmbook.publish.page import render

PROSE = """\
# Counting

The total is {glue:text}`total`, the rest {glue:text}`rest` and {glue:text}`same`.

:::{div} published-run
It is {glue:text}`total`, which is large.
:::

See {doc}`Methods </book/methods>`, {eq}`eq-kept`, {doc}`/book/executed/summary` and {ref}`nowhere-at-all`.
"""


def made(values: dict, parameters: dict) -> nbformat.NotebookNode:
    prefix = "application/papermill.record/"
    outputs = [
        new_output(
            "display_data",
            data={f"{prefix}text/plain": repr(text)},
            metadata={"scrapbook": {"name": key, "mime_prefix": prefix}},
        )
        for key, text in values.items()
    ]
    record = {"parameters": parameters, "profile": "quick"}
    return new_notebook(
        cells=[new_code_cell("1", outputs=outputs), new_markdown_cell(PROSE)], metadata={"rbmlib": record}
    )


OURS = {
    "total": "1",
    "rest": "\u2013",
    "same": "5",
    "setting": "1 item",
    "A1.x-verdict": "not decided",
    "A1.x-evidence": "too small",
}
THEIRS = {**OURS, "total": "9", "rest": "3", "A1.x-verdict": "reproduced", "A1.x-evidence": "9 [8, 10]"}


@pytest.fixture
def published(workshop):
    project = workshop.project
    nbformat.write(made(THEIRS, {"n": 3}), project.executed_path("counting"))
    workshop.edit_notebook(
        "counting",
        "  name: python3\n",
        '  name: python3\nrbmlib:\n  outcome:\n    all: "{total} of {rest}"\n',
    )
    (project.root / "book" / "methods.md").write_text("# The methods\n\n```{math}\n:label: eq-kept\nx\n```\n")
    (project.root / "pyproject.toml").write_text(
        '[project.urls]\nRepository = "https://example.org/us/clone"\n'
    )
    return project


def text_of(page: str) -> str:
    body = page[page.rindex("<body>") :]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", body))


def test_a_run_has_the_published_numbers_beside_its_own_and_words_for_those_it_lacks(published):
    page = render(made(OURS, {"n": 1}), "counting", published)
    text = text_of(page)
    assert "The total is 1 (published: 9), the rest not in this run (published: 3) and 5." in text
    assert '<span class="published">(published: 9)</span>' in page


def test_what_interprets_the_published_figure_keeps_its_numbers_and_says_so(published):
    assert "In the published run It is 9, which is large." in text_of(
        render(made(OURS, {"n": 1}), "counting", published)
    )
    same = text_of(render(made(THEIRS, {"n": 3}), "counting", published))
    assert "It is 9, which is large." in same
    assert "published run" not in same
    assert "(published:" not in same


def test_a_page_opens_with_whose_run_it_is_and_ends_with_what_came_out(published):
    page = render(made(OURS, {"n": 1}), "counting", published)
    text = text_of(page)
    assert text.index("Your run: 1 item.") < text.index("The total is")
    assert "n = 1 (3)" in text
    assert 'href="https://example.org/us/clone/blob/main/book/executed/counting.ipynb"' in page
    outcome = text[text.index("What came out") :]
    assert f"1 of ({ABSENT})" in outcome or f"1 of {ABSENT}" in outcome
    assert "9 of 3" in outcome
    assert "A1.x" in outcome
    assert "not decided: too small" in outcome
    assert "reproduced: 9 [8, 10]" in outcome


def test_links_to_other_pages_lead_there_or_are_plain_words(published):
    page = render(made(OURS, {"n": 1}), "counting", published)
    methods = "https://example.org/us/clone/blob/main/book/methods.md"
    assert f'<a class="reference external" href="{methods}">Methods</a>' in page
    assert f'<a class="reference external" href="{methods}">equation in The methods</a>' in page
    assert "Summary" in text_of(page)
    assert page_with_label(published, "nothing") is None


def test_where_the_book_is_built_a_page_of_the_same_clone_links_to_it(published, tmp_path):
    built = published.root / "_build" / "html" / "book"
    built.mkdir(parents=True)
    (built / "methods.html").write_text("x")
    out = published.root / "rbmlib-output" / "counting"
    assert address_of(published, "/book/methods", out) == "../../_build/html/book/methods.html"
    assert address_of(published, "book/methods", tmp_path / "elsewhere").endswith(
        "/blob/main/book/methods.md"
    )
    assert address_of(published, "book/nothing", out) == ""


def test_a_number_that_sums_up_and_is_not_glued_is_named(published):
    with pytest.raises(UnknownName, match="'rest'"):
        compare(made({"total": "1"}, {"n": 1}), "counting", published)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\u2013", ABSENT),
        ("nan", ABSENT),
        ("35 %\u201347 %", "35 %\u201347 %"),
        ("\u2013 (eROE), 0.2 (mROE)", f"({ABSENT}) (eROE), 0.2 (mROE)"),
        ("+0.2 [-inf, +inf]", "+0.2"),
        ("infidelity 0.1", "infidelity 0.1"),
    ],
)
def test_a_missing_number_is_told_in_words(text, words):
    assert readable(text) == words
