"""Every notebook at extremely small parameters, through the command: a page that tells the truth, or a refusal before any cell.

The covering cases belong to the ordinary suite; the grid of all of them is a stress test.
"""

import html
import os
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import nbformat
import numpy as np
import pytest

from rbmbook.publish.beside import glued

CHAIN = {
    "n_spins": 4, "n_hidden": 2, "n_samples": 200, "k": 1, "batch_size": 50, "n_epochs": 2, "finetune_epochs": 1,
    "n_iterations": 3, "n_seeds": 2,
}  # fmt: skip
CHAINS = {
    "n_spins": "[4,6]", "small_seeds": 2, "large_seeds": "[1]", "n_samples": 200, "k": 1, "batch_size": 50, "n_epochs": 2,
    "finetune_epochs": 1, "n_iterations": 3, "gibbs_steps": 1,
}  # fmt: skip
DIGITS = {
    "n_hidden": 4, "dilutions": "[0,0.5]", "n_replicas": 2, "n_chains": 8, "batch_size": 16, "n_updates": 4, "record_every": 2,
    "ais_chains": 4, "ais_temperatures": 4, "removed": "[0,0.2,0.9]", "n_samples": 12, "n_steps": 2, "n_shown": 4,
    "shown_dilutions": "[0]", "n_folds": 2, "negatives_removed": "[0.9]", "n_negatives": 6, "n_held_out": 2, "n_synthetic": 8,
    "judge_updates": 2, "judge_batch_size": 8,
}  # fmt: skip
CONTROLS = {"control_dilutions": "[0]", "control_replicas": 1, "control_removed": "[0,0.5]"}
BASE = {
    "rbm_graph": CHAIN,
    "tfim_pruning": {**CHAIN, "convergence_epochs": 0, "check_seeds": 0},
    "error_measures": CHAIN,
    "magnetization": {**CHAIN, "gibbs_steps": 2, "min_counts": "[1,2]"},
    "phase_scan": {**CHAIN, "fields": "[0.5,1,2]"},
    "schedules": {**CHAIN, "first_fractions": "[0.3]", "later_fraction": 0.3},
    "sparse_training": {
        **CHAIN, "n_iterations": 1, "window": 1, "ablation_seeds": 1, "wide_hidden": 4, "check_seeds": 1,
    },
    "correlations": {**CHAINS, "longer_epochs": 2, "mixing_chains": 10},
    "large_systems": {
        **CHAINS, "exact_samples": 50, "model_samples": 50, "chain_steps": 2, "n_chains": 4, "temperatures_per_spin": 2,
        "largest_enumerated": 1,
    },
    "mnist_dilution": {**DIGITS, **CONTROLS},
    "mnist_samples": {**DIGITS, "shown_removed": "[0,0.2]"},
    "quality_judge": DIGITS,
}  # fmt: skip
LEAST = {"n_seeds": 1, "fields": "[0.7]", "n_spins": 2, "n_hidden": 1, "n_epochs": 1, "prune_fraction": 0}
LEAST_OF_MANY = {"small_seeds": 1, "field": "[0.7]", "n_spins": "[4]", "n_epochs": 1, "prune_fraction": 0}
LEAST_DIGITS = {"dilutions": "[0]", "n_updates": 1, "record_every": 5, "removed": "[0,0.9]"}
NOTHING = {"prune_fraction": 0.9, "n_iterations": 9}


class Case(NamedTuple):
    """What one run is given beside the base."""

    name: str
    what: str
    changes: dict


#: One run of every notebook with most things at their least, and the runs that once died after all was computed.
COVERING = [
    *(
        Case(name, "least", {**LEAST, **own})
        for name, own in {
            "rbm_graph": {},
            "tfim_pruning": {},
            "error_measures": {},
            "phase_scan": {},
            "schedules": {},
            "sparse_training": {"n_seeds": 2, "ablation_seeds": 0, "wide_hidden": 0, "check_seeds": 0},
        }.items()
    ),
    Case("magnetization", "least", {**{k: v for k, v in LEAST.items() if k != "fields"}, "field": 0.7}),
    Case("correlations", "least", LEAST_OF_MANY),
    Case("large_systems", "least", LEAST_OF_MANY),
    Case("mnist_dilution", "least", {**LEAST_DIGITS, "control_dilutions": "[]", "control_replicas": 0}),
    Case("mnist_samples", "least", {**LEAST_DIGITS, "shown_removed": "[0]"}),
    Case("quality_judge", "least", LEAST_DIGITS),
    Case("schedules", "no pruning", {"prune_fraction": 0}),
    Case(
        "sparse_training", "shorter than what is averaged over", {"n_epochs": 40, "window": 20, "n_seeds": 2}
    ),
    Case("tfim_pruning", "pruned to nothing", NOTHING),
]


def _grid() -> list[Case]:
    """Every notebook at every extreme."""
    chain = {
        "as it is": {},
        "one seed": {"n_seeds": 1},
        "five seeds": {"n_seeds": 5},
        "one field": {"fields": "[0.7]"},
        "the critical point": {"fields": "[1]"},
        "the paramagnet": {"fields": "[2]"},
        "two spins": {"n_spins": 2, "n_hidden": 1},
        "one hidden unit": {"n_hidden": 1},
        "one epoch": {"n_epochs": 1},
        "one step": {"n_iterations": 1},
        "no pruning": {"prune_fraction": 0},
        "pruned to nothing": NOTHING,
        "one sample": {"n_samples": 1},
        "where the rules hold": {"n_spins": 18, "n_hidden": 9, "n_samples": 50, "n_iterations": 18, "n_epochs": 1, "n_seeds": 5},
    }  # fmt: skip
    chains = {
        "as it is": {},
        "one seed": {"small_seeds": 1},
        "one field": {"field": "[0.7]"},
        "one length": {"n_spins": "[5]"},
        "two spins": {"n_spins": "[2]"},
        "one hidden unit": {"hidden_per_visible": 0.01},
        "one epoch": {"n_epochs": 1},
        "one step": {"n_iterations": 1},
        "no pruning": {"prune_fraction": 0},
        "pruned to nothing": NOTHING,
        "one sample": {"n_samples": 1},
        "a chain that is sampled": {"n_spins": "[4,22]", "n_samples": 20},
        "sampled chains alone": {"n_spins": "[22]", "n_samples": 20, "large_seeds": "[2]"},
    }
    digits = {
        "as it is": {},
        "one replica": {"n_replicas": 1},
        "one update": {"n_updates": 1, "record_every": 1},
        "no pruning": {"removed": "[0]", "negatives_removed": "[0]", "shown_removed": "[0]"},
        "three samples": {"n_samples": 3, "n_negatives": 3, "n_shown": 1, "n_held_out": 1},
    }
    own = {
        "tfim_pruning": {
            "one way of training": {"algorithms": "[exact]"},
            "the other": {"algorithms": "[cd]"},
            "all beside": {"convergence_epochs": 2, "check_seeds": 1},
            "a chain that is sampled": {"n_spins": 21, "n_seeds": 1, "n_samples": 20, "algorithms": "[cd]"},
        },
        "schedules": {"no controls": {"controls": "[]"}, "too small steps": {"later_fraction": 1e-6}},
        "sparse_training": {
            "nothing beside": {"ablation_seeds": 0, "wide_hidden": 0, "check_seeds": 0},
            "forty epochs": {"n_epochs": 40, "window": 40},
        },
        "correlations": {"nothing beside": {"longer_epochs": 0, "mixing_chains": 0, "n_spins": "[4,22]", "n_samples": 20}},
        "large_systems": {"two chains": {"n_chains": 2, "model_samples": 2, "exact_samples": 2}},
    }  # fmt: skip
    found = []
    for name, base in BASE.items():
        shared = digits if "n_updates" in base else chains if "small_seeds" in base else chain
        for what, changes in {**shared, **own.get(name, {})}.items():
            if name == "magnetization" and "fields" in changes:
                changes = {"field": changes["fields"].strip("[]")}
            if name in ("mnist_dilution", "quality_judge"):
                changes = {key: value for key, value in changes.items() if key != "shown_removed"}
            found.append(Case(name, what, changes))
    return found


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> dict:
    """A few blots where digits would be."""
    from rbmlib.mnist.images import Images

    rng = np.random.default_rng(0)
    labels = np.arange(300) % 10
    blots = (rng.random((300, 784)) < 0.1 + 0.02 * labels[:, None]).astype(np.uint8)
    made = Images(blots[:200], blots[200:], (28, 28), labels[:200], labels[200:])
    path = tmp_path_factory.mktemp("images") / "blots.npz"
    made.save(path)
    return {"images": path, "images_checksum": made.checksum}


class Answer(NamedTuple):
    """What the command did."""

    code: int
    out: str
    err: str
    folder: Path


@pytest.fixture(scope="module")
def answers(request, root, images, tmp_path_factory) -> dict[tuple[str, str], Future]:
    """All runs that are asked for, a few at a time: most of a run is waiting for imports."""
    wanted = [
        item.callspec.params["case"]
        for item in request.session.items
        if item.path == request.path
        and "case" in getattr(item, "callspec", SimpleNamespace(params={})).params
    ]
    shared = tmp_path_factory.mktemp("store")

    def run(number: int, case: Case) -> Answer:
        folder = shared / f"out-{number}"
        given = {**BASE[case.name], **case.changes, **(images if "n_updates" in BASE[case.name] else {})}
        start = [] if "n_updates" not in given else ["--profile", "quick"]
        options = [word for key, value in given.items() for word in ("-p", key, str(value))]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "rbmbook",
                "run",
                case.name,
                *start,
                *options,
                "--workers",
                "1",
                "--out",
                str(folder),
            ],
            cwd=root,
            env={**os.environ, "RBMLIB_CACHE": str(shared), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr, folder)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield {(case.name, case.what): pool.submit(run, number, case) for number, case in enumerate(wanted)}


def check(case: Case, answer: Answer, root: Path) -> None:
    """Accept a page that tells the truth, or one sentence before any cell."""
    if answer.code == 2:
        (sentence,) = [line for line in answer.err.splitlines() if line]
        assert "does not accept these parameters" in sentence
        assert not answer.folder.exists()
        return
    assert answer.code == 0, answer.err
    yours, published = (
        glued(nbformat.read(folder / f"{case.name}.ipynb", as_version=4))
        for folder in (answer.folder, root / "book" / "executed")
    )
    check_page((answer.folder / f"{case.name}.html").read_text(encoding="utf-8"), yours, published)
    lines = answer.out.splitlines()
    assert [line.split(":")[0] for line in lines[-2:]] == ["notebook", "page"]
    assert len(lines) > 3


def check_page(page: str, yours: dict[str, str], published: dict[str, str]) -> None:
    """A page of a run has no number of the published run but where it says so, no missing number without a word, no label."""
    body = page[page.rindex("<body>") :]
    assert "Your run:" in body
    assert "What came out" in body
    own = re.sub(r"<(script|style|svg|details|footer)\b.*?</\1>", " ", body, flags=re.DOTALL)
    own = re.sub(
        r'<aside class="admonition run">.*?</aside>|<span class="published">.*?</span>',
        " ",
        own,
        flags=re.DOTALL,
    )
    own = re.sub(
        r'<div class="aside">\s*<p class="admonition-title">In the published run</p>.*?</div>',
        " ",
        own,
        flags=re.DOTALL,
    )
    own = own.partition('<section id="outcome">')[0]
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", own)))
    prose = re.sub(r"\s+", " ", html.unescape(re.sub(r"<table.*?</table>", " ", own, flags=re.DOTALL)))
    for phrase in re.split(r"[,;] (?=\D|\d+ [a-z])", published.get("setting", "")):
        if re.search(r"\d", phrase) and phrase not in yours.get("setting", ""):
            assert not re.search(rf"(?<![\d.,]){re.escape(phrase)}", text), (
                f"a number of the published run: {phrase}"
            )
    for number in ("162 weights", "18 visible", "26 edges", "10^5", "10^{5}", "2^9"):
        assert number not in text, f"a number of the published run: {number}"
    bare = re.sub(r"<[^>]+>", " ", prose)
    assert not re.search(r"(?<![\d\w]) \u2013 (?!\d)", bare), "a dash where a number should be"
    assert not re.search(r"\bnan\b|\binf\b", text), "no number"
    for raw in re.findall(
        r"\b(?:eq|fig|sec)-[a-z]+\b|\{glue|\{doc\}|\(number on another page\)|(?<!\w)/book/\S+", bare
    ):
        raise AssertionError(f"a raw label: {raw}")


@pytest.mark.slow
@pytest.mark.parametrize("case", COVERING, ids=lambda case: f"{case.name}-{case.what}".replace(" ", "-"))
def test_the_smallest_runs_end_with_a_page_or_are_refused_before_any_cell(case, answers, root):
    check(case, answers[case.name, case.what].result(), root)


@pytest.mark.stress
@pytest.mark.parametrize("case", _grid(), ids=lambda case: f"{case.name}-{case.what}".replace(" ", "-"))
def test_no_extreme_of_any_notebook_dies_at_the_end(case, answers, root):
    check(case, answers[case.name, case.what].result(), root)


_MNIST = ("mnist_dilution", "mnist_samples", "quality_judge")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=pytest.mark.slow if name in ("rbm_graph", "tfim_pruning") else pytest.mark.stress
        )
        for name in BASE
    ],
)
def test_the_quick_page_tells_the_truth(name, root, tmp_path, tmp_path_factory):
    if name in _MNIST and "RBMLIB_DATA" not in os.environ:
        pytest.skip("RBMLIB_DATA does not say where MNIST is")
    cache = tmp_path_factory.getbasetemp() / "quick"
    done = subprocess.run(
        [sys.executable, "-m", "rbmbook", "run", name, "--profile", "quick", "--out", str(tmp_path)],
        cwd=root,
        env={**os.environ, "RBMLIB_CACHE": str(cache), "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    check(Case(name, "quick", {}), Answer(done.returncode, done.stdout, done.stderr, tmp_path), root)
    if name == "rbm_graph":
        assert "A1.few-large-weights: reproduced" in done.stdout
