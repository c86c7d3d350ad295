"""The built book in a real browser: light and dark, on a desk and on a phone, with no network.

Needs Chromium and the pages under ``_build/html`` (``make book``); ``RBMLIB_BOOK`` names another folder with pages,
``CHROMIUM`` another browser. Without them the tests are skipped and say what is missing.
"""

import functools
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from rbmbook.drawing import style
from rbmbook.drawing.slider import slider

BOOK = Path(os.environ.get("RBMLIB_BOOK", Path(__file__).resolve().parents[2] / "_build" / "html"))
PAGES = (
    sorted(str(page.relative_to(BOOK)) for page in (BOOK / "book").rglob("*.html")) if BOOK.is_dir() else []
)
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SCREENS = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 375, "height": 800}}

built = pytest.mark.skipif(not PAGES, reason=f"the book is not built: no pages in {BOOK} (make book)")
every_page = pytest.mark.parametrize("name", PAGES or ["no page"])


@dataclass
class Visit:
    """A page as one reader meets it."""

    page: object
    complaints: list[str] = field(default_factory=list)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with served(BOOK) as address:
        yield address


@contextmanager
def visit(browser, address: str, name: str) -> Iterator[Visit]:
    """Open a page, let its formulas be set, and note every complaint of the browser and every foreign request."""
    context = browser.new_context(viewport=SCREENS["phone"], color_scheme="light")
    page = context.new_page()
    seen = Visit(page)

    def request(sent) -> None:
        if not sent.url.startswith((address, "data:", "blob:")):
            seen.complaints.append(f"request to {sent.url}")

    page.on("request", request)
    page.on("requestfailed", lambda sent: seen.complaints.append(f"failed request to {sent.url}"))
    page.on("pageerror", lambda error: seen.complaints.append(f"script error: {error}"))
    page.on(
        "console",
        lambda note: seen.complaints.append(note.text) if note.type in ("error", "warning") else None,
    )
    page.on(
        "response",
        lambda got: seen.complaints.append(f"{got.status} {got.url}") if got.status >= 400 else None,
    )
    try:
        page.goto(address + name, wait_until="load")
        if page.locator("script[src*=mathjax]").count():
            page.wait_for_function("window.MathJax && MathJax.startup && MathJax.startup.promise")
            page.evaluate("MathJax.startup.promise")
        yield seen
    finally:
        context.close()


def overflow(page) -> int:
    """Pixels by which the page is wider than the screen."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def widest(page) -> list[str]:
    """The innermost elements that stick out of the screen and do not scroll in a box of their own."""
    return page.evaluate(
        """() => [...document.querySelectorAll('body *')].filter((e) => {
        if (e.children.length || e.getBoundingClientRect().right <= innerWidth) return false;
        for (let p = e; p !== document.body; p = p.parentElement)
          if (getComputedStyle(p).overflowX !== 'visible') return false;
        return true; }).slice(0, 3).map((e) => e.parentElement.outerHTML.slice(0, 200))"""
    )


def move_sliders(page) -> int:
    """Move every slider with the keyboard, check that its frame follows, and return how many there are."""
    sliders = page.locator(".rbm-slider")
    for index in range(sliders.count()):
        box = sliders.nth(index)
        frames, control = box.locator("[data-label]"), box.locator("input")
        labels = [frames.nth(k).get_attribute("data-label") for k in range(frames.count())]
        control.focus()
        for key, expected in (
            ("Home", 0),
            ("ArrowRight", 1),
            ("End", len(labels) - 1),
            ("ArrowLeft", len(labels) - 2),
        ):
            control.press(key)
            shown = [k for k in range(len(labels)) if frames.nth(k).is_visible()]
            assert shown == [expected]
            assert box.locator("output").inner_text() == labels[expected]
            assert control.get_attribute("aria-valuetext") == labels[expected]
    return sliders.count()


def check_figure(figure) -> None:
    """A figure has the colour of the text and no ground of its own."""
    look = figure.evaluate(
        """(f) => { const grounds = [];
        for (let e = f; !e.matches('.bd-article'); e = e.parentElement) grounds.push(getComputedStyle(e).backgroundColor);
        return [getComputedStyle(f.querySelector('svg[viewBox]')).fill, getComputedStyle(document.body).color, grounds]; }"""
    )
    assert look[0] == look[1], "a figure does not take the page's colour"
    assert set(look[2]) == {"rgba(0, 0, 0, 0)"}, "a figure stands on a panel of its own"


@built
@every_page
def test_a_page_reads_well_in_light_and_dark_on_a_desk_and_on_a_phone_with_no_network(
    browser, site: str, name: str
):
    with visit(browser, site, name) as seen:
        page = seen.page
        assert page.locator("mjx-merror").count() == 0
        formulas = page.locator(".bd-article .math")
        unset = formulas.evaluate_all(
            "all => all.filter((one) => !one.querySelector('mjx-container')).length"
        )
        assert unset == 0, f"{unset} of {formulas.count()} formulas are not typeset"
        grounds = set()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'", timeout=30_000)
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            for screen, size in SCREENS.items():
                page.set_viewport_size(size)
                assert overflow(page) <= 0, f"wider than the screen of a {screen}: {widest(page)}"
            for figure in page.locator(".rbm-figure").all():
                check_figure(figure)
        assert len(grounds) == 2
        move_sliders(page)
        page.wait_for_timeout(50)
        assert seen.complaints == []


@built
@every_page
def test_every_link_to_the_book_itself_arrives(name: str):
    text = (BOOK / name).read_text()
    for link in re.findall(r'(?:href|src)="([^"]+)"', text):
        target, _, anchor = unquote(link).partition("#")
        target = target.partition("?")[0]
        if re.match(r"[a-z]+:", link) or link.startswith("//"):
            continue
        arrived = (BOOK / name).parent / target if target else BOOK / name
        assert arrived.exists(), link
        if anchor and arrived.suffix == ".html":
            assert re.search(rf'(?:id|name)="{re.escape(anchor)}"', arrived.read_text()), link


@built
@every_page
def test_every_figure_has_a_numbered_caption(name: str):
    text = (BOOK / name).read_text()
    figures = text.count('class="rbm-figure')
    captions = re.findall(r"<figcaption>.*?</figcaption>", text, flags=re.DOTALL)
    assert len(captions) >= figures
    assert all("caption-number" in caption for caption in captions)


def test_the_slider_works_by_itself(browser, tmp_path: Path):
    frames = []
    for level in range(4):
        with style.context():
            figure, axes = style.figure(width=3.5)
            axes[0, 0].plot([0, 1], [0, level])
        frames.append(figure)
    made = slider(frames, [f"{k} %" for k in range(4)], name="share", title="t", description="d")
    (tmp_path / "page.html").write_text(
        f"<!doctype html><link rel=icon href=data:,><meta charset=utf-8>{made.html}"
    )
    with served(tmp_path) as address, visit(browser, address, "page.html") as seen:
        assert move_sliders(seen.page) == 1
        assert overflow(seen.page) <= 0
        assert seen.complaints == []


def test_these_checks_notice_a_bad_page(browser, tmp_path: Path):
    (tmp_path / "bad.html").write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><link rel=icon href=data:,>"
        "<div style='width:900px'>wide</div><img src='http://example.invalid/x.png'><script>undefinedFunction()</script>"
    )
    with served(tmp_path) as address, visit(browser, address, "bad.html") as seen:
        assert overflow(seen.page) > 0
        assert "request to http://example.invalid/x.png" in seen.complaints
        assert any("undefinedFunction" in complaint for complaint in seen.complaints)
