"""Every verdict and every quoted number that the published results give, as JSON.

    python tests/evidence/golden_evidence.py            compare with golden_evidence.json, end with 1 if it differs
    python tests/evidence/golden_evidence.py --write    write it anew

Verdicts and numbers come from the published results alone; nothing is computed that is not there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).with_name("golden_evidence.json")
PACKAGE = "rbmbook.studies."


def _of(module: str) -> Any:
    return import_module(PACKAGE + module)


def _correlations(study: Any, p: dict) -> dict[str, str]:
    told = _of("correlations_numbers")
    return told.numbers(study, told.derived(study, p), p)


def _dilution(study: Any, p: dict) -> dict[str, str]:
    told = _of("mnist_dilution_numbers")
    return told.numbers(study, told.derived(study), p)


def _scan(results: Any, p: dict) -> dict[str, str]:
    rules = _of("phase_scan_rules")
    return rules.numbers(results, rules.removable(results))


NUMBERS: dict[str, Callable[[Any, dict], dict[str, str]]] = {
    "rbm_graph": lambda results, p: _of("rbm_graph_claims").numbers(results),
    "tfim_pruning": lambda study, p: _of("tfim_pruning_claims").numbers(study),
    "magnetization": lambda results, p: _of("magnetization_claims").numbers(results),
    "correlations": _correlations,
    "schedules": lambda results, p: _of("schedules_claims").numbers(results, p),
    "sparse_training": lambda study, p: _of("sparse_training_claims").numbers(study),
    "error_measures": lambda results, p: _of("error_measures_claims").numbers(results),
    "mnist_dilution": _dilution,
    "quality_judge": lambda study, p: _of("quality_judge_claims").numbers(study, p),
    "phase_scan": _scan,
    "large_systems": lambda results, p: _of("large_systems_numbers").numbers(results, p),
    "mnist_samples": lambda results, p: _of("mnist_samples").numbers(results),
}
"""The numbers of each chapter, as its page asks for them."""

WITHOUT_CLAIMS = ("phase_scan", "large_systems", "mnist_samples")


def evidence(name: str) -> dict[str, Any]:
    """Verdicts and numbers of one study from its published results."""
    study = _of(name)
    p = dict(study.PROFILES["book"].parameters)
    results = study.results(**p)
    found: dict[str, Any] = {"numbers": NUMBERS[name](results, p)}
    if name not in WITHOUT_CLAIMS:
        found["verdicts"] = [one.to_json() for one in _of(f"{name}_claims").settle(results, p)]
    return found


def _decided(verdict: dict[str, Any]) -> list[Any]:
    """A verdict without its wording, its numbers to twelve digits."""
    numbers = [verdict["value"], *(verdict["interval"] or ())]
    digits = [number if number is None else float(f"{number:.12g}") for number in numbers]
    return [verdict["id"], verdict["verdict"], verdict["seeds"], verdict["profile"], *digits]


def main(arguments: list[str]) -> int:
    """Compare or write."""
    found = {name: evidence(name) for name in NUMBERS}
    text = json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if "--write" in arguments:
        GOLDEN.write_text(text, encoding="utf-8")
        return 0
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    different = 0
    for name, one in found.items():
        for kind, expected in golden[name].items():
            pairs = (
                [
                    (old["id"], _decided(old), _decided(new))
                    for old, new in zip(expected, one[kind], strict=True)
                ]
                if kind == "verdicts"
                else [(key, expected[key], one[kind].get(key)) for key in expected]
            )
            for key, old, new in pairs:
                if old != new:
                    different += 1
                    print(f"{name}: {key}\n  was {old}\n  is  {new}")
    print(f"{different} differ")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
