"""What Golubeva & Melko say of machines that are sparse from the start (Fig. 5, sections III.B and IV), and what
the results say of it.

The rules are those of :mod:`rbmlib.experiments.sparse_training_rules` and
:mod:`rbmlib.experiments.sparse_training_cluster_rules`. Training at a constant rate decides; the check with a
decaying rate is reported beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from rbmlib.clusters import clusters, standing_out
from rbmlib.evidence.claims import Rule, Verdict
from rbmlib.evidence.claims import settle as settle_by
from rbmlib.evidence.rules import Finding, Part, other_setting
from rbmlib.evidence.words import DASH, number
from rbmlib.lab.profiles import label, resolve

from . import sparse_training
from . import sparse_training_cluster_rules as cluster_rules
from . import sparse_training_rules as rules
from .objections import missing_fields
from .sparse_training import PROFILES, Study
from .tfim_pruning_rules import FEWEST_SEEDS

_FEW = ("A5.one-cluster-per-unit", "A5.breaking-degrades", "A5.clusters-relocate")
"""Claims that rest on the seeds of the ablations."""


def machines(study: Study) -> dict[str, Any]:
    """Weights (seed, visible, hidden) of the dense machines, by number of hidden units and field."""
    found = {}
    dense = study.main.weights.sel(variant="dense")
    for weights in (dense,) if study.wide is None else (dense, study.wide.weights):
        for field in weights.field.values:
            found[f"{weights.sizes['hidden']} hidden units at h/J = {field:g}"] = weights.sel(field=field)
    return found


def final(rule: Callable[[rules.Errors], Finding], check: bool = False) -> Callable[[Study], Finding]:
    """A rule on final errors; beside it, if asked for, what it says of the values alone and of a decaying rate."""

    def find(study: Study) -> Finding:
        found = rule(rules.Errors(study.main.final))
        if not check or study.checks is None:
            return found
        here, there = (
            rule(rules.Errors(one.final, by_value=True)).outcome for one in (study.main, study.checks)
        )
        seeds = study.checks.sizes["seed"]
        return found.beside_it(
            f"Judged by values alone this is {here}, and {there} with a decaying rate (seeds: {seeds})."
        )

    return find


def _held(what: str) -> Callable[[Sequence[Part]], str]:
    """How many parts hold and fail, and which is farthest from its bound."""

    def says(parts: Sequence[Part]) -> str:
        counts = [sum(part.mark == mark for part in parts) for mark in ("holds", "fails")]
        worst = least_favourable(parts)
        return f"{what}: {counts[0]} of {len(parts)} hold, {counts[1]} fail; least favourable {worst.name}, {number(worst.estimate.value, worst.unit, '.2g')}."

    return says


def least_favourable(parts: Sequence[Part]) -> Part:
    """The part whose value is farthest on the wrong side of its bounds, or nearest to them."""
    return max(parts, key=lambda part: max(part.least - part.estimate.value, part.estimate.value - part.most))


def _by_field(text: str, form: str = ".2g") -> Callable[[Sequence[Part]], str]:
    """A sentence with the values at the critical point and in the paramagnet."""
    return lambda parts: text.format(*(number(part.estimate.value, part.unit, form) for part in parts))


RULES = {
    "A5.sparse-trainable": Rule(
        final(rules.trainable_rule, check=True), _held("Sparse no worse than pruned by half the dense error")
    ),
    "A5.ss-fastest": Rule(
        lambda study: rules.fastest_rule(study.main.training, study.main.final),
        _by_field(
            "Against its closest rival the same-seed mask takes {} epochs more at the critical point and {} in the paramagnet."
        ),
    ),
    "A5.pm-ss-best": Rule(
        final(rules.ss_best_rule, check=True), _held("In the paramagnet, same-seed masks below all others")
    ),
    "A5.qcp-none-beats-pruned": Rule(
        final(rules.none_beats_pruned_rule, check=True), _held("At the critical point, none beats pruned")
    ),
    "A5.worst-differs": Rule(final(rules.worst_differs_rule, check=True), _held("Worst mask as claimed")),
    "A5.initial-conditions": Rule(
        final(rules.initial_conditions_rule),
        _by_field(
            "Final KL scatters {} times as much over initial weights as over repetitions at the critical point, {} times in the paramagnet."
        ),
    ),
    "A5.ad-hoc-poor": Rule(
        final(rules.ad_hoc_rule),
        _by_field(
            "The middle one of three placements ends {} dense errors above its rival at the critical point and {} in the paramagnet."
        ),
    ),
    "A5.one-cluster-per-unit": Rule(
        lambda study: cluster_rules.one_cluster_rule(machines(study)), _held("One cluster of three")
    ),
    "A5.breaking-degrades": Rule(
        final(cluster_rules.breaking_rule),
        _held("Breaking clusters up degrades steadily"),
    ),
    "A5.clusters-relocate": Rule(
        lambda study: cluster_rules.relocate_rule(rules.Errors(study.main.final), study.main.weights),
        _held("Clusters form elsewhere"),
    ),
    "A5.mask-transfers": Rule(
        final(rules.transfer_rule),
        _by_field("Another seed's mask ends {} and {} dense errors from a random one, at h/J = 1 and 2."),
    ),
}
CLAIMS = tuple(RULES)


def _objection(parameters: Mapping[str, Any]) -> str | None:
    """Why a run cannot settle the claims, which are about the paper's setting; None if it can."""
    expected = {"n_spins": 18, "n_hidden": 9, "prune_fraction": 0.1, "n_iterations": 5, "wide_hidden": 36}
    if objection := other_setting(parameters, expected) or missing_fields(parameters["fields"]):
        return objection
    if parameters["n_epochs"] < 500:
        return f"needs at least 500 epochs; this run has {parameters['n_epochs']}"
    for name in ("n_seeds", "ablation_seeds"):
        if parameters[name] < FEWEST_SEEDS:
            return f"needs {name} of at least {FEWEST_SEEDS}; this run has {parameters[name]}"
    return None


def settle(study: Study, parameters: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from a study's results.

    Parameters
    ----------
    study : Study
        What :func:`rbmlib.experiments.sparse_training.results` returned.
    parameters : mapping
        The parameters that it was given.

    Returns
    -------
    list of Verdict
        In the order of ``CLAIMS``. A run at other sizes, or with too few seeds, decides nothing and says so.
    """
    p = resolve(PROFILES, "book", parameters)
    seeds = {name: p["ablation_seeds" if name in _FEW else "n_seeds"] for name in CLAIMS}
    return settle_by(RULES, study, label(PROFILES, p), seeds, _objection(p))


def verdicts(profile: str) -> list[Verdict]:
    """The verdicts on ``CLAIMS`` from the stored results of a profile."""
    parameters = resolve(PROFILES, profile)
    return settle(sparse_training.results(**parameters), parameters)


_PLACES = {1.0: "critical", 2.0: "paramagnet"}


def numbers(study: Study) -> dict[str, str]:
    """Numbers that the chapter's sentences quote, as text; a dash where a run does not have them."""
    names = (
        "final",
        "differences",
        "epochs",
        "epochs-own",
        "spread",
        "placements",
        "breaking",
        "decayed",
        "relocated",
        "moved",
    )
    found = {f"sparse-{name}-{place}": DASH for place in _PLACES.values() for name in names}
    main = study.main
    errors = rules.Errors(main.final)
    for field, place in _PLACES.items():
        if field not in main.field:
            continue
        mine = {"final": _levels(main.final, field, ("dense", "pruned", "ss", "os", "sc", "random"))}
        mine["differences"] = _differences(errors, field, "pruned", ("ss", "os", "sc"))
        speeds = rules.speeds(main.training, main.final, field)
        for name, taken in (("epochs", speeds["dense"]), ("epochs-own", speeds["own"])):
            mine[name] = ", ".join(f"{values.mean():.0f} ({variant})" for variant, values in taken.items())
        spread = rules.scatter(errors, field)
        mine["spread"] = (
            f"{100 * spread.value[1]:.0f} % over initial weights, {spread.value[0]:.1f} times as much as"
        )
        if study.checks is not None:
            mine["decayed"] = _levels(study.checks.final, field, sparse_training.CHECKED)
        if "relocated" in main.variant:
            mine["placements"] = _differences(errors, field, "ss", sparse_training.PLACEMENTS)
            (dense,) = errors.of(field, "kl", "dense")
            curve = cluster_rules.breaking_curve(errors, field).mean(axis=0) / dense.mean()
            mine["breaking"] = ", ".join(f"{value:.2f}" for value in curve)
            mine["relocated"] = _differences(errors, field, "dense", ("relocated",)).removesuffix(
                " (relocated)"
            )
            mine["moved"] = _distances(main.weights.sel(field=field))
        found |= {f"sparse-{name}-{place}": text for name, text in mine.items()}
    alone = (main.components > 1).sum("seed").sum("field")
    apart = {
        str(name): int(alone.sel(variant=name)) for name in main.variant.values if alone.sel(variant=name) > 0
    }
    found["sparse-disconnected"] = ", ".join(f"{name} {number}" for name, number in apart.items()) or "none"
    return found


def _levels(final: xr.DataArray, field: float, variants: tuple[str, ...]) -> str:
    """Mean final KL divergence of each variant."""
    means = {
        name: float(final.sel(variant=name, field=field, measure="kl").mean("seed")) for name in variants
    }
    return ", ".join(f"{mean:.2g} ({name})" for name, mean in means.items())


def _differences(errors: rules.Errors, field: float, other: str, variants: tuple[str, ...]) -> str:
    """Final KL divergence of variants minus another's, in units of the dense one."""
    each = {name: errors.difference(field, "kl", name, other) for name in variants}
    return ", ".join(
        f"{one.value:+.2f} [{one.low:+.2f}, {one.high:+.2f}] ({name})" for name, one in each.items()
    )


def _distances(weights: xr.DataArray) -> str:
    """How far the clusters of the machines without their first ones are from these, in sites: the median over
    hidden units that have one cluster in both.
    """
    distances = []
    pair = (
        weights.sel(variant=["dense", "relocated"])
        .dropna("seed")
        .transpose("variant", "seed", "visible", "hidden")
    )
    for before, after in zip(*pair.values, strict=True):
        for first, second in zip(
            clusters(standing_out(before)), clusters(standing_out(after, after != 0)), strict=True
        ):
            if len(first) == len(second) == 1:
                distances.append(abs(np.mean(first[0]) - np.mean(second[0])))
    return f"{np.median(distances):.1f}" if distances else DASH
