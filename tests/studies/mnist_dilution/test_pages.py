"""The pages on diluted machines of MNIST: figures, numbers in the text, and the study of samples, on results that are made up."""

import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from rbmbook.evidence.estimates import Estimate
from rbmbook.studies.digits import standard as mnist_standard
from rbmbook.studies.digits.standard import FIG1_REMOVED
from rbmbook.studies.mnist_dilution import claims as mnist_dilution_claims
from rbmbook.studies.mnist_dilution import drop_figures as mnist_drops
from rbmbook.studies.mnist_dilution import figures
from rbmbook.studies.mnist_dilution import numbers as mnist_dilution_numbers
from rbmbook.studies.mnist_dilution import study as mnist_dilution
from rbmbook.studies.mnist_dilution.rules import PLAUSIBLE
from rbmbook.studies.mnist_samples import figures as sample_figures
from rbmbook.studies.mnist_samples import study as mnist_samples
from rbmlib.mnist.appearance import appearance, noise_of_equal_ink
from rbmlib.mnist.images import Images

DILUTIONS = (0.0, 0.5)
REMOVED = [0.0, 0.2, 0.3, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.95]


@pytest.fixture(scope="module")
def made_up():
    """The module with made-up results; tests are imported one by one, so it is loaded from its file."""
    import importlib.util
    from pathlib import Path

    spec = importlib.util.spec_from_file_location(
        "synthetic_mnist", Path(__file__).with_name("synthetic_mnist.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def study(made_up):
    machines = made_up.machines(DILUTIONS, 4, REMOVED)
    return SimpleNamespace(
        machines=machines,
        controls=made_up.controls(machines, DILUTIONS, n_replicas=2),
        floors=made_up.floors(),
    )


@pytest.fixture(scope="module")
def found(study):
    return mnist_dilution_numbers.derived(study)


def panels(html: str) -> int:
    return html.count("<svg aria-hidden") - 1  # the first one holds what all share


# --- the study of samples ---


def test_samples_are_taken_from_the_very_cells_of_the_study_of_dilution():
    quick = mnist_samples.PROFILES["quick"].parameters
    own = [cell for cell in mnist_samples.cells(**quick) if cell.compute is not mnist_samples.real_digits]
    p = mnist_dilution.PROFILES["quick"].parameters
    theirs = {part for cell in mnist_dilution.cells(**p) for part in (cell, *cell.needs.values())}
    assert len(own) == 2 + 2 * len(quick["shown_dilutions"])
    assert set(own) <= theirs


@pytest.mark.parametrize("name", ["mnist_samples", "mnist_dilution"])
def test_the_notebooks_own_parameters_are_the_book_profile(name, declared_defaults):
    module = {"mnist_samples": mnist_samples, "mnist_dilution": mnist_dilution}[name]
    book = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in module.PROFILES["book"].parameters.items()
    }
    assert declared_defaults(name) == book


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shown_removed": []}, "shown_removed must begin with 0"),
        ({"shown_removed": [0.0, 0.25]}, "ascend within removed"),
        ({"shown_removed": [0.2, 0.0]}, "shown_removed must begin with 0"),
        ({"shown_dilutions": []}, "shown_dilutions must hold at least one"),
        ({"shown_dilutions": [0.25]}, "shown_dilutions"),
    ],
)
def test_a_frame_or_machine_that_does_not_exist_is_refused_in_one_sentence(changes, words):
    with pytest.raises(ValueError, match=words):
        mnist_samples.cells(**{**mnist_samples.PROFILES["quick"].parameters, **changes})


def test_real_digits_are_test_images_each_at_most_once(tmp_path):
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 2, (50, 30), np.uint8), rng.integers(0, 2, (20, 30), np.uint8), (5, 6))
    images.save(tmp_path / "images.npz")
    found = mnist_samples.real_digits(str(tmp_path / "images.npz"), images.checksum, 8, 1)
    rows = np.unpackbits(found.digits.values, axis=1, count=30)
    at = [np.flatnonzero((images.test == row).all(axis=1)) for row in rows]
    assert all(len(one) == 1 for one in at)
    assert len({int(one[0]) for one in at}) == 8
    assert (found.attrs["height"], found.attrs["width"]) == (5, 6)


def test_what_is_shown_comes_from_the_right_machine_and_share(monkeypatch):
    p = {**mnist_samples.PROFILES["quick"].parameters, "shown_removed": [0.0, 0.5]}
    grid = p["removed"]

    def sampled(p0):
        # Image number 10 share + p0, as bits of the first byte.
        shown = np.zeros((len(grid), p["n_shown"], 98), np.uint8)
        shown[..., 0] = np.round(10 * np.array(grid) + 100 * p0)[:, None]
        numbers = {name: ("removed", np.array(grid) + p0) for name in ("aai", "aai_generated", "aai_data")}
        return xr.Dataset({**numbers, "shown": (("removed", "shown", "byte"), shown)}, {"removed": grid})

    def made(cell):
        p0 = None
        machine = (
            cell.needs["samples"].needs["machine"] if "samples" in cell.needs else cell.needs.get("machine")
        )
        if machine is not None and "dilution" in machine.parameters:
            p0 = machine.parameters["dilution"]
        match cell.compute.__name__:
            case "real_digits":
                return xr.Dataset(
                    {"digits": (("shown", "byte"), np.full((36, 98), 255, np.uint8))},
                    attrs={"height": 28, "width": 28},
                )
            case "real_floors":
                return xr.Dataset({"aai": ("set", [1e-3, 3e-3]), "counts": ("class", [100] * 10)})
            case "train_judge":
                return xr.Dataset({"probe_digits": 0.99})
            case "sample_pruned":
                return sampled(p0)
            case "judge_samples":
                values = {
                    name: ("removed", np.array(grid) - p0) for name in ("quality", "imbalance", "entropy")
                }
                return xr.Dataset(values, {"removed": grid})

    monkeypatch.setattr(mnist_samples, "sweep", lambda wanted: [made(cell) for cell in wanted])
    results = mnist_samples.results(**p)
    assert results.shown.dims == ("dilution", "removed", "shown", "pixel")
    for p0 in p["shown_dilutions"]:
        for share in (0.0, 0.5):
            one = results.sel(dilution=p0, removed=share)
            number = int("".join(str(bit) for bit in one.shown.values[0, :8]), 2)
            assert number == round(10 * share + 100 * p0)
            assert float(one.quality) == pytest.approx(share - p0)
            assert float(one.aai_data) == pytest.approx(share + p0)
            assert float(one.total) == pytest.approx(p0 + share * (1 - p0))
    assert results.data_shown.values.all()
    assert results.attrs["floor_quality"] == 0.99
    assert results.attrs["floor_imbalance"] == pytest.approx(0.09 / p["n_samples"])
    assert results.attrs["floor_aai"] == pytest.approx(2e-3)


# --- pictures ---


def test_images_are_tiled_row_by_row_with_gaps():
    images = np.random.default_rng(0).integers(0, 2, (7, 4, 3), np.uint8)
    tiled = sample_figures.tile(images, columns=3, rows=2)
    gap = sample_figures._GAP
    slow = np.zeros((2 * 4 + gap, 3 * 3 + 2 * gap), np.uint8)
    for number in range(6):
        row, column = divmod(number, 3)
        slow[row * (4 + gap) : row * (4 + gap) + 4, column * (3 + gap) : column * (3 + gap) + 3] = images[
            number
        ]
    np.testing.assert_array_equal(tiled, slow)


def test_rows_that_would_be_empty_are_left_out():
    images = np.ones((4, 5, 5), np.uint8)
    assert sample_figures.tile(images, columns=3, rows=8).shape == (
        2 * 5 + sample_figures._GAP,
        15 + 2 * sample_figures._GAP,
    )


def pictures(html: str) -> list[np.ndarray]:
    """Ink of every picture in a fragment."""
    found = re.findall(r'data:image/png;base64,\s*([^"]+)"', html)
    return [np.array(Image.open(io.BytesIO(base64.b64decode(one))))[..., 3] > 0 for one in found]


def test_the_page_shows_the_pixels_of_the_samples_and_nothing_else(made_up):
    results = made_up.samples(n_shown=12, dilutions=(0.0, 0.5), removed=(0.0, 0.9))
    drawn = {picture.tobytes() for picture in pictures(sample_figures.sample_slider(results).html)}
    wanted = [
        results.data_shown,
        *(results.shown.isel(dilution=i, removed=j) for i in (0, 1) for j in (0, 1)),
    ]
    assert drawn == {(sample_figures.tile(one.values.reshape(-1, 28, 28)) == 1).tobytes() for one in wanted}


def test_a_frame_for_every_share_and_the_real_digits_once(made_up):
    results = made_up.samples(removed=(0.0, 0.9))
    slider = sample_figures.sample_slider(results)
    assert slider.html.count("data-label=") == results.sizes["removed"]
    # Unpruned machines have the same samples here, so that theirs are one picture, too.
    drawn = re.findall('data:image/png[^"]+', slider.html)
    assert len(drawn) == len(set(drawn)) == 2 + (results.sizes["removed"] - 1) * results.sizes["dilution"]
    assert "90 % removed" in slider.html
    assert "Q with 80 % zero from the start" in slider.text
    assert len(slider.html) < 12_000 * results.sizes["removed"] * (1 + results.sizes["dilution"])


def test_the_first_figure_has_the_shares_of_the_paper_that_the_run_has(made_up):
    shares = (0.0, *FIG1_REMOVED)
    assert panels(sample_figures.first_dilution(made_up.samples(), shares).html) == 4
    few = made_up.samples(removed=(0.0, 0.5))
    assert panels(sample_figures.first_dilution(few, shares).html) == 2


def test_a_missing_imbalance_is_a_dash(made_up):
    results = made_up.samples(n_shown=5)
    results["imbalance"][:] = np.nan
    assert sample_figures._line(("d_f", float(results.imbalance[0, 0]), "e")) == "$d_f$ \u2013"
    assert sample_figures.sample_slider(results).html


# --- figures of curves and drops ---


def test_every_figure_is_drawn_with_its_panels(study, found):
    machines, floors = study.machines, study.floors
    p0 = machines.dilution.values
    assert panels(figures.training_curves(machines).html) == 2
    assert panels(figures.quality_by_dilution(machines, floors, PLAUSIBLE).html) == 2
    assert panels(figures.likeness_by_dilution(machines, floors).html) == 2
    assert panels(figures.pruning_curves(machines, floors, ("quality",)).html) == 2
    assert panels(figures.pruning_curves(machines, floors, ("imbalance", "aai", "second_moment")).html) == 2
    assert panels(mnist_drops.position_curves(found.drops, p0).html) == 2
    assert panels(mnist_drops.width_curves(found.drops, p0, 1 / 3).html) == 2
    assert panels(figures.order_curves(study.controls).html) == 2  # one a dilution
    assert panels(figures.failed_looks(found.looks, 0.1).html) == 4


def test_figures_and_numbers_hold_for_one_machine_without_controls_that_never_fails(made_up):
    machines = made_up.machines((0.0,), 1, [0.0, 0.2], position=0.9, slope=0.0)
    machines["imbalance"][:] = np.nan
    machines["digits"][:] = np.nan
    study = SimpleNamespace(machines=machines, controls=xr.Dataset(), floors=made_up.floors())
    found = mnist_dilution_numbers.derived(study)
    assert "digits" not in found.drops
    assert "leaves this part out" in figures.order_curves(study.controls).html
    assert "No machine of this run has failed" in figures.failed_looks(found.looks, 0.1).html
    for fragment in (
        figures.quality_by_dilution(machines.fillna(0.09), study.floors, PLAUSIBLE),
        figures.pruning_curves(machines.fillna(0.09), study.floors, ("imbalance",)),
        mnist_drops.position_curves(found.drops, machines.dilution.values),
        mnist_drops.width_curves(found.drops, machines.dilution.values, 1 / 3),
    ):
        assert panels(fragment.html) == 2
    numbers = mnist_dilution_numbers.numbers(study, found, mnist_standard.QUICK)
    assert numbers["drop-quality"] == numbers["order-quality"] == numbers["failed-ink"] == "\u2013"
    assert numbers["failed"] == "0 of 1"


def test_a_drop_is_open_where_there_is_none_and_its_interval_stays_in_total_shares(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        mnist_drops,
        "_with_interval",
        lambda axes, x, low, value, high, name, absent: drawn.append((low, value, high, absent)),
    )
    value = np.array([[0.6, 0.1], [1.0, 1.0]])
    half = np.array([[0.02, 0.01], [0.0, 0.0]])
    drops = {"quality": Estimate(value, value - half, value + half)}
    mnist_drops.position_curves(drops, np.array([0.0, 0.5]))
    (low, middle, high, absent), (f_low, _, _, _) = drawn
    np.testing.assert_allclose(middle, [0.6, 1.0])
    np.testing.assert_allclose((low, high), [[0.58, 1.0], [0.62, 1.0]])
    np.testing.assert_allclose(f_low, [0.58, 1.0])
    assert absent.tolist() == [False, True]


# --- numbers ---


def test_numbers_find_the_drops_that_were_put_in(made_up):
    machines = made_up.machines(
        (0.0, 0.8), 6, np.round(np.arange(0, 0.96, 0.05), 2), position=0.6, slope=0.0, width=0.02
    )
    study = SimpleNamespace(
        machines=machines, controls=made_up.controls(machines, (0.0,), 5), floors=made_up.floors()
    )
    numbers = mnist_dilution_numbers.numbers(
        study, mnist_dilution_numbers.derived(study), mnist_standard.BOOK
    )
    assert numbers["drop-quality"] == "60 % at p\u2080 = 0 % and 60 % at p\u2080 = 80 %"
    assert numbers["drop-quality-total"] == "60 % at p\u2080 = 0 % and 92 % at p\u2080 = 80 %"
    assert float(numbers["alpha-quality"]) == pytest.approx(0.4, abs=0.011)
    assert float(numbers["rest-quality"]) == pytest.approx(0.4, abs=0.011)
    at = [int(one) for one in re.findall(r"(\d+) %", numbers["order-quality"])]
    np.testing.assert_allclose(at, [60, 30, 6], atol=2)
    assert numbers["failed"] == "12 of 12"


def test_contact_is_zero_for_noise_and_one_for_data(study):
    machines = study.machines.copy(deep=True)
    noise = noise_of_equal_ink(0.07, (28, 28)).contact
    machines["ink"] = xr.full_like(machines.ink, 0.07)
    machines["contact"] = xr.full_like(machines.contact, noise)
    machines.contact[0] = float(study.floors.contact)
    found = mnist_dilution_numbers.failed_looks(SimpleNamespace(**{**vars(study), "machines": machines}))
    np.testing.assert_allclose(found.contact.values[0], 1)
    np.testing.assert_allclose(found.contact.values[1:], 0, atol=1e-12)
    np.testing.assert_allclose(found.ink, 0.07 / float(study.floors.ink))


def test_machines_without_ink_and_machines_that_have_not_failed_have_no_contact(study):
    machines = study.machines.copy(deep=True)
    machines["ink"][0, 0] = 0.0
    blank = appearance(np.zeros((3, 784), np.uint8), (28, 28))
    for name in ("contact", "off_centre", "variation"):
        machines[name][0, 0] = getattr(blank, name)
    machines["quality"][1, 1] = 0.9
    found = mnist_dilution_numbers.failed_looks(SimpleNamespace(**{**vars(study), "machines": machines}))
    assert found.ink[0, 0] == 0
    assert found.variation[0, 0] == 0
    assert np.isnan(found.contact[0, 0])
    assert np.isnan(found.ink[1, 1])
    assert np.isfinite(found.contact[2:]).all()
    assert figures.failed_looks(found, 0.1).html


def quoted(root, name: str) -> set[str]:
    text = (root / "notebooks" / f"{name}.md").read_text(encoding="utf-8")
    return {part.split("`", 1)[0] for part in text.split("{glue:text}`")[1:]}


def test_every_number_that_the_chapter_quotes_is_there(study, found, root):
    numbers = mnist_dilution_numbers.numbers(study, found, mnist_standard.BOOK)
    assert all(isinstance(text, str) and text for text in numbers.values())
    assert "nan" not in " ".join(numbers.values())
    assert "5 replicas" in numbers["setting-controls"]
    assert "15 replicas" in mnist_dilution_numbers.setting(mnist_standard.BOOK)
    verdicts = {f"{name}-verdict" for name in mnist_dilution_claims.CLAIMS}
    assert verdicts <= quoted(root, "mnist_dilution") <= {*numbers, "setting", *verdicts}


def test_every_number_that_the_page_of_samples_quotes_is_there(made_up, root):
    results = made_up.samples().assign_attrs(floor_quality=0.987)
    numbers = mnist_samples.numbers(results)
    assert quoted(root, "mnist_samples") == {*numbers, "setting"}
    assert numbers["floor-quality"] == "98.7 %"
    assert numbers["quality-first"].count("p = ") == 3
    assert re.match(r"50 % and 70 % \(p\u2080 = 0 %\)", numbers["half"])


def test_a_machine_whose_quality_never_halves_is_told_by_a_dash(made_up):
    results = made_up.samples(removed=(0.0, 0.2)).assign_attrs(floor_quality=0.987)
    assert mnist_samples.numbers(results)["half"].startswith("\u2013 (p")
