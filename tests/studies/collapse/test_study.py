"""The study of the collapse: results against single cells, what is refused, and rules on curves that were made."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import xarray as xr

from rbmbook.evidence.estimates import Estimate
from rbmbook.evidence.words import MOST_WORDS, count_words
from rbmbook.lab.profiles import resolve
from rbmbook.studies.collapse import claims, figures
from rbmbook.studies.collapse import numbers as told
from rbmbook.studies.collapse import study as collapse
from rbmbook.studies.collapse.study import BIASES, PROFILES
from rbmbook.studies.digits import judges as mnist_judges
from rbmbook.studies.digits import standard as mnist_standard

DILUTIONS = (0.0, 0.4, 0.8)


def synthetic_mnist() -> ModuleType:
    spec = spec_from_file_location(
        "synthetic_mnist", Path(__file__).parents[1] / "mnist_dilution" / "synthetic_mnist.py"
    )
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arms(later: float = 0.1, **options) -> xr.Dataset:
    """Machines that fail at the same f whatever their dilution; compensated ones later."""
    settings = {"dilutions": DILUTIONS, "n_replicas": 5, "slope": 0.0, "width": 0.03} | options
    each = [
        synthetic_mnist().machines(position=0.6 + shift, seed=seed, **settings)
        for seed, shift in enumerate((0.0, later))
    ]
    names = ["quality", "quality_other", "digits", "aai", "second_moment", "ink"]
    return xr.concat([one[names] for one in each], xr.IndexVariable("biases", list(BIASES)))


@pytest.fixture(scope="module")
def machines():
    return arms()


@pytest.fixture(scope="module")
def found(machines):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(told, "RESAMPLES", 100)
        return told.derived(machines)


def test_results_are_those_of_the_cells(monkeypatch):
    p = collapse.check(resolve(PROFILES, "quick"))
    asked = []

    def made(cell):
        key = (
            cell.needs.get("samples", cell).name,
            cell.needs.get("samples", cell).parameters["sampling_seed"],
        )
        asked.append(cell)
        value = hash(key) % 1000 / 1000
        f = xr.IndexVariable("removed", list(p["removed"]))
        names = (
            ("quality", "quality_other", "imbalance")
            if cell.name == "judge_samples"
            else ("aai", "second_moment", "ink")
        )
        return xr.Dataset(dict.fromkeys(names, ("removed", value + f.values)), {"removed": f})

    monkeypatch.setattr(collapse, "sweep", lambda cells: [made(cell) for cell in cells])
    found = collapse.results(**resolve(PROFILES, "quick"))
    assert dict(found.sizes) == {"biases": 2, "replica": 3, "dilution": 2, "removed": 7}
    assert set(asked) == set(collapse.cells(**resolve(PROFILES, "quick")))
    one = mnist_standard.compensated_cell(p, 0.5, 1)
    expected = made(mnist_judges.judged(p, one, 1)).quality
    got = found.quality.sel(biases="compensated", dilution=0.5, replica=1)
    np.testing.assert_array_equal(got, expected)
    assert float(found.total.sel(dilution=0.5, removed=0.8)) == pytest.approx(0.9)


def test_drops_at_one_f_have_one_minus_it_as_alpha_and_no_exponent(found):
    one = found[BIASES[0], "quality"]
    at = one.drops[..., 0].mean()
    assert at == pytest.approx(0.6, abs=0.01)
    assert one.collapse.alpha.value == pytest.approx(1 - at, abs=0.05)
    assert one.collapse.difference.high < 0
    assert one.exponent.low < 0.1
    assert one.exponent.high < claims.BETWEEN
    assert told.shift(found, "quality").value == pytest.approx(0.1, abs=0.01)


def test_the_rule_asks_for_alpha_step_and_scale(machines, found):
    evidence = claims.Evidence(machines, found)
    result = claims.collapse_rule(evidence)
    assert [part.mark for part in result.parts] == ["open", "fails", "fails"]
    assert count_words(claims.RULES["B4.collapse"].says(result.parts)) <= MOST_WORDS
    assert "E_AAI, biases compensated" in result.text
    papers = found[BIASES[0], "quality"]
    fit = papers.collapse._replace(alpha=(0.5, 0.48, 0.52), step=(0.5, 0.49, 0.51))
    papers = papers._replace(collapse=fit, exponent=Estimate(0.9, 0.8, 1.0))
    assert [part.mark for part in claims.collapse_parts(papers)] == ["holds"] * 3


def test_a_run_at_another_setting_decides_nothing(machines, found):
    (verdict,) = claims.settle(machines, found, resolve(PROFILES, "quick"))
    assert verdict.verdict == "not decided"
    assert "n_hidden" in verdict.reason
    (verdict,) = claims.settle(machines, found, resolve(PROFILES, "book"))
    assert verdict.verdict == "not reproduced" or verdict.parts


def test_every_number_is_there_and_figures_can_be_drawn(machines, found):
    texts = told.numbers(machines, found, PROFILES["book"].parameters)
    assert all(texts.values())
    assert not any("nan" in text for text in texts.values())
    drawn = [
        figures.scales(machines, ("quality", "aai")),
        figures.alpha_estimates(found, collapse.STEP),
        figures.widths(found, np.array(DILUTIONS)),
        figures.compensation(machines, DILUTIONS[:1]),
        figures.alpha_slider(machines, ("quality",)),
    ]
    assert all("<svg" in one.html for one in drawn)


def test_curves_without_a_drop_are_told_and_drawn_as_such():
    flat = arms()
    flat = flat.assign(
        {
            name: flat[name] * 0 + 0.5
            for name in ("quality", "quality_other", "digits", "aai", "second_moment")
        }
    )
    found = told.derived(flat)
    assert all(one.collapse is None and one.exponent is None for one in found.values())
    assert claims.collapse_rule(claims.Evidence(flat, found)).parts == ()
    assert (
        "no alpha"
        in told.numbers(flat.assign(aai=flat.aai + flat.removed), found, PROFILES["book"].parameters)[
            "answer"
        ]
    )
    assert "<svg" not in figures.alpha_estimates(found, 0.5).html
    assert "<svg" not in figures.widths(found, np.array(DILUTIONS)).html


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dilutions": [0.4], "shown_dilutions": [0.4]}, r"dilutions must be at least two .*, not \[0.4\]"),
        (
            {"n_replicas": 2, "n_folds": 2},
            "n_replicas must be at least 3 for an interval over replicas, not 2",
        ),
        ({"removed": [0.0, 0.3, 0.4], "negatives_removed": [0.4]}, "removed must bracket the drop"),
    ],
)
def test_parameters_that_cannot_be_meant_get_one_sentence_before_any_cell(changed, message, monkeypatch):
    monkeypatch.setattr(collapse, "sweep", lambda cells: pytest.fail("computed"))
    for call in (collapse.cells, collapse.results):
        with pytest.raises(ValueError, match=message):
            call(**changed)


def test_the_notebook_declares_the_profile(root):
    from rbmbook.publish.parameters import LABEL, declared

    for name in ("collapse", "spectra"):
        text = (root / "notebooks" / f"{name}.md").read_text(encoding="utf-8")
        source = text.split(":tags: [parameters, hide-input]", 1)[1].split("```", 1)[0]
        defaults = {key: one.default for key, one in declared(source).items()}
        assert defaults.pop(LABEL) == "book"
        module = __import__(f"rbmbook.studies.{name}.study", fromlist=["PROFILES"])
        assert defaults == module.PROFILES["book"].parameters
