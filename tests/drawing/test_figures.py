"""The figure style, inline SVG and the slider, each against what matplotlib and numpy say themselves."""

import io
import itertools
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from rbmbook.drawing import inline_svg as module
from rbmbook.drawing import style
from rbmbook.drawing.inline_svg import inline_svg
from rbmbook.drawing.slider import slider

LIGHT_PAGE, DARK_PAGE = "#ffffff", "#14181e"
WORDS = {"title": "A title", "description": "What it shows."}
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
COLOR_BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
    "full vision": np.eye(3),
}


def linear_rgb(color: str) -> np.ndarray:
    channels = np.array(to_rgb(color))
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(first: str, second: str) -> float:
    low, high = sorted(float(linear_rgb(color) @ [0.2126, 0.7152, 0.0722]) for color in (first, second))
    return (high + 0.05) / (low + 0.05)


def cielab(linear: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(linear, 0, 1) / [0.9505, 1.0, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def curves(shift: float = 0.0, width: float = 3.5):
    with style.context():
        figure, axes = style.figure(width=width, height=2.5)
        x = np.linspace(0, 1, 7)
        style.band(axes[0, 0], x, x + shift + np.arange(3)[:, None], label="seeds")
        axes[0, 0].plot(x, x**2, "o", markerfacecolor="white", label="$x^2$")
        axes[0, 0].set_ylim(0, 6)
        axes[0, 0].legend()
        style.reference_line(axes[0, 0], x=0.5, label="half")
    return figure


def elements(markup: str) -> list[ElementTree.Element]:
    """All elements of a fragment of HTML, made into XML first."""
    markup = re.sub("<script>.*?</script>", "", markup, flags=re.DOTALL)
    markup = re.sub("(<input[^>]*)>", r"\1/>", markup).replace(" hidden>", ">")
    return list(ElementTree.fromstring(f"<body>{markup}</body>").iter())


@pytest.mark.parametrize("color", [*style.COLORS.values(), *style.ramp(19)])
def test_every_colour_is_seen_on_a_white_and_on_a_dark_page(color: str):
    assert contrast(color, LIGHT_PAGE) >= 3
    assert contrast(color, DARK_PAGE) >= 3


@pytest.mark.parametrize("vision", COLOR_BLINDNESS)
def test_colours_of_series_stay_apart_for_every_kind_of_vision(vision: str):
    seen = [cielab(np.array(COLOR_BLINDNESS[vision]) @ linear_rgb(color)) for color in style.CYCLE]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15


def test_the_style_neither_depends_on_the_users_settings_nor_changes_them():
    plain = inline_svg(curves(), **WORDS).html
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "svg.hashsalt": None}):
        before = dict(matplotlib.rcParams)
        assert inline_svg(curves(), **WORDS).html == plain
        assert dict(matplotlib.rcParams) == before


def test_a_figure_has_the_same_bytes_in_another_process():
    script = (
        "import sys, runpy; make = runpy.run_path(sys.argv[1]);"
        "print(make['inline_svg'](make['curves'](), **make['WORDS']).html)"
    )
    other = subprocess.run(
        [sys.executable, "-c", script, __file__],
        env={**os.environ, "PYTHONHASHSEED": "12345"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert other.stdout.strip() == inline_svg(curves(), **WORDS).html


def test_what_is_drawn_is_what_matplotlib_draws_to_a_hundredth_of_a_point():
    figure = curves()
    buffer = io.StringIO()
    with style.context():
        figure.savefig(buffer, format="svg", transparent=True)
    number = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")
    original = [node.get("d") for node in ElementTree.fromstring(buffer.getvalue()).iter() if node.get("d")]
    ours = [node.get("d") for node in elements(inline_svg(figure, **WORDS).html) if node.get("d")]
    drawn = sorted(tuple(float(n) for n in number.findall(path)) for path in ours)
    expected = sorted(tuple(float(n) for n in number.findall(path)) for path in original)
    # matplotlib also writes the invisible grounds of figure and axes.
    matches = [any(len(a) == len(b) and np.allclose(a, b, atol=0.0051) for b in expected) for a in drawn]
    assert all(matches)
    assert len(expected) - len(drawn) <= 2


def test_inline_svg_takes_its_black_and_white_from_the_page():
    markup = inline_svg(curves(), **WORDS).html
    assert "#000000" not in markup
    assert "#ffffff" not in markup
    assert "currentColor" in markup
    assert "var(--pst-color-background" in markup
    assert "<style" not in markup, "a style sheet would reach the whole page"


def test_every_reference_has_its_target_and_two_figures_share_no_id():
    ids = []
    for markup in (
        inline_svg([curves(), curves(1.0)], **WORDS).html,
        slider([curves(0.1), curves(0.2)], ["a", "b"], name="shift", **WORDS).html,
    ):
        found = [node.get("id") for node in elements(markup) if node.get("id")]
        assert len(found) == len(set(found))
        wanted = set(re.findall(r'(?:href="#|url\(#|aria-describedby=")([\w.-]+)', markup))
        assert wanted <= set(found)
        ids.append(set(found))
    assert not ids[0] & ids[1]


def test_words_for_who_cannot_see_the_figure_are_there_and_escaped():
    made = inline_svg(curves(), title='<b>"A"', description="p < q & more")
    root = elements(made.html)[1]
    assert root.get("aria-label") == '<b>"A"'
    assert [node.text for node in root.iter("span")] == ["p < q & more"]
    assert made._repr_mimebundle_()["text/plain"] == '<b>"A". p < q & more'


def test_sharing_what_frames_repeat_draws_the_same():
    apart, shared = ([module.draw(curves(shift)) for shift in (0.0, 0.5, 1.0)] for _ in range(2))
    module.share_repeated(shared)

    def expanded(element, drawing) -> str:
        name = element.get("href", "#").removeprefix("#")
        if re.fullmatch("s[0-9a-f]{8}", name):
            element = drawing.definitions[name]
        attributes = sorted(
            (key, value) for key, value in element.attrib.items() if not (element.tag == "g" and key == "id")
        )
        return f"<{element.tag} {attributes}>" + "".join(expanded(child, drawing) for child in element)

    for one, other in zip(apart, shared, strict=True):
        assert [expanded(e, one) for e in one.body] == [expanded(e, other) for e in other.body]
    assert sum(len(e.findall(".//use")) for e in shared[0].body) > 3


def test_a_slider_of_many_frames_costs_little_more_than_its_curves():
    one = len(inline_svg(curves(), **WORDS).html)
    many = slider(
        [curves(k / 20) for k in range(10)], [str(k) for k in range(10)], name="shift", **WORDS
    ).html
    assert len(many) < 4 * one


def test_a_slider_shows_only_its_starting_frame_before_any_script_runs():
    markup = slider([curves(0.1), curves(0.2), curves(0.3)], ["a", "b", "c"], name="n", start=1, **WORDS).html
    assert re.findall(r'<div data-label="(\w)"( hidden)?>', markup) == [
        ("a", " hidden"),
        ("b", ""),
        ("c", " hidden"),
    ]


def test_on_a_phone_a_slider_has_a_row_of_its_own():
    markup = slider([curves()], ["iteration 0: 162 weights"], name="n", **WORDS).html
    assert "@media (max-width: 30rem) { .rbm-slider label { grid-template-columns: 1fr !important }" in markup


def test_empty_axes_say_why():
    with style.context():
        _, axes = style.figure()
    assert style.say_why_empty(axes[0, 0], [np.nan, 1.0], "Nothing there.") == ""
    assert not axes[0, 0].texts
    assert style.say_why_empty(axes[0, 0], [np.nan, np.inf], "Nothing there.") == " Nothing there."
    assert [text.get_text() for text in axes[0, 0].texts] == ["Nothing there."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": ["a"]}, "labels must name each of the 2 frames; got 1"),
        ({"start": 2}, "start must be the index of a frame, 0 to 1; got 2"),
        ({"title": " "}, "title must not be empty"),
        ({"frames": [], "labels": []}, "at least one figure"),
    ],
)
def test_a_slider_refuses_what_does_not_fit(arguments: dict, message: str):
    given = {"frames": [curves(), curves()], "labels": ["a", "b"], "name": "n", **WORDS, **arguments}
    with pytest.raises(ValueError, match=message):
        slider(given.pop("frames"), given.pop("labels"), **given)


def test_a_slider_refuses_frames_of_different_sizes():
    with pytest.raises(ValueError, match="panels of the same sizes"):
        slider([curves(), curves(width=3.0)], ["a", "b"], name="n", **WORDS)


@pytest.mark.parametrize("spread", ["range", "deviation"])
def test_a_band_is_the_mean_and_the_spread_over_seeds_without_missing_values(spread: str):
    values = np.random.default_rng(3).normal(size=(6, 5))
    values[:, 0] = [1, 1, 1, 1, 1, 0]  # a deviation above the mean no seed is
    values[2, 1] = np.nan
    values[:, 4] = np.nan
    with style.context():
        _, axes = style.figure()
        line = style.band(axes[0, 0], np.arange(5), values, spread=spread)
    means, lows, highs = [], [], []
    for column in values.T[:4]:
        seen = [value for value in column if value == value]
        mean = sum(seen) / len(seen)
        deviation = (sum((value - mean) ** 2 for value in seen) / (len(seen) - 1)) ** 0.5
        means.append(mean)
        lows.append(min(seen) if spread == "range" else max(mean - deviation, min(seen)))
        highs.append(max(seen) if spread == "range" else min(mean + deviation, max(seen)))
    assert np.allclose(line.get_ydata(), means)
    outline = axes[0, 0].collections[0].get_paths()[0].vertices
    for x, low, high in zip(range(4), lows, highs, strict=True):
        at = outline[outline[:, 0] == x, 1]
        assert np.isclose(at.min(), low)
        assert np.isclose(at.max(), high)


def test_bad_arguments_of_the_style_are_told_in_one_sentence():
    with style.context():
        _, axes = style.figure()
    with pytest.raises(ValueError, match=r"values must have shape \(n_seeds, 3\)"):
        style.band(axes[0, 0], [0, 1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="spread must be"):
        style.band(axes[0, 0], [0, 1], [[1, 2]], spread="error")
    with pytest.raises(ValueError, match="exactly one of x and y"):
        style.reference_line(axes[0, 0], label="nowhere")
    with pytest.raises(ValueError, match="width must be at most"):
        style.figure(width=9)
    with pytest.raises(ValueError, match="n_steps must be at least 1"):
        style.ramp(0)


def test_a_ramp_runs_from_blue_to_orange_and_every_step_is_new():
    colors = style.ramp(19)
    assert colors[0] == style.COLORS["blue"]
    assert colors[-1] == style.COLORS["orange"]
    assert len(set(colors)) == 19


# Series with nothing to draw

NOTHING = {
    "nothing": [],
    "no number": [np.nan, np.nan, np.nan],
    "infinities": [np.inf, -np.inf, np.inf],
    "zeros": [0.0, 0.0, 0.0],
    "negative": [-1.0, -2.0, -3.0],
    "one number": [np.nan, 2.0, np.inf],
}
DRAWN = {
    "marks": lambda axes, x, y: axes.plot(x, y, "o", label="a"),
    "line": lambda axes, x, y: axes.plot(x, y, label="a"),
    "dots": lambda axes, x, y: axes.scatter(x, y, label="a"),
    "error bars": lambda axes, x, y: axes.errorbar(x, y, np.full(len(y), np.nan), fmt="s", label="a"),
    "range": lambda axes, x, y: style.band(axes, x, np.array([y, y], float), label="a"),
    "deviation": lambda axes, x, y: style.band(
        axes, x, np.array([y, [np.nan] * len(y)], float), label="a", spread="deviation"
    ),
    "no seeds": lambda axes, x, y: style.band(axes, x, np.empty((0, len(y))), label="a"),
}


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("values", NOTHING)
def test_a_series_that_has_nothing_to_draw_gives_a_figure(values, scale):
    y = NOTHING[values]
    for number, draw in enumerate(DRAWN.values()):
        with style.context():
            figure, grid = style.figure(width=2, height=2)
            axes = grid[0, 0]
            axes.set_xscale(scale)
            axes.set_yscale(scale)
            draw(axes, [1.0, 2.0, 3.0][: len(y)], y)
            # Without a legend nothing refers to the mark, and what nothing refers to has no name.
            if number % 2:
                axes.legend()
        page = inline_svg(figure, **WORDS)
        assert "</svg>" in page.html
        assert "nan" not in re.sub(r"[a-z-]+=\"[^\"]*\"", "", page.html)


def test_axes_without_a_value_say_so_and_others_do_not():
    def drawn(y, scale):
        with style.context():
            figure, grid = style.figure()
            grid[0, 0].plot([1, 2], y, "o")
            grid[0, 0].set_yscale(scale)
        return figure

    words = []
    for y, scale in (
        ([np.nan, np.nan], "linear"),
        ([0, -1], "log"),
        ([1, np.nan], "log"),
        ([0, -1], "linear"),
    ):
        figure = drawn(y, scale)
        with module._empty_axes_named(figure):
            words.append([text.get_text() for text in figure.axes[0].texts])
        assert not figure.axes[0].texts
        assert module.draw(figure).body
    assert words == [["nothing to show"], ["nothing to show"], [], []]


def test_a_band_leaves_out_what_is_not_finite():
    with style.context():
        _, grid = style.figure()
        line = style.band(grid[0, 0], [1, 2, 3], [[1, np.inf, np.nan], [3, 4, np.nan]], spread="deviation")
    np.testing.assert_array_equal(line.get_xydata(), [[1, 2], [2, 4]])


@pytest.mark.parametrize(
    ("scale", "bottom", "top", "kept"),
    [
        ("linear", np.nan, 2.0, (0.0, 2.0)),
        ("linear", -np.inf, np.inf, (0.0, 1.0)),
        ("log", 0.0, 5.0, (0.1, 5.0)),
        ("log", 0.5, 5.0, (0.5, 5.0)),
        ("linear", 3.0, 3.0, (0.0, 1.0)),
    ],
)
def test_limits_that_data_do_not_have_are_left_alone(scale, bottom, top, kept):
    with style.context():
        _, grid = style.figure()
        axes = grid[0, 0]
        axes.set_ylim(0.1 if scale == "log" else 0.0, 1.0)
        axes.set_yscale(scale)
        style.limit_y(axes, bottom, top)
    assert axes.get_ylim() == kept
