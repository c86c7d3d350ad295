"""What Golubeva & Melko say of machines that are sparse from the start (Fig. 5, sections III.B and IV), and what
the results say of it.

The rules are those of :mod:`rbmbook.studies.sparse_training.rules` and
:mod:`rbmbook.studies.sparse_training.cluster_rules`. Training at a constant rate decides; the check with a
decaying rate is reported beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from rbmbook.evidence.claims import Rule, Verdict
from rbmbook.evidence.claims import settle as settle_by
from rbmbook.evidence.rules import Finding, Part, largest_excess, other_setting
from rbmbook.evidence.words import DASH, number
from rbmbook.lab.profiles import label, resolve
from rbmbook.studies.ising.standard import FEWEST_SEEDS, missing_fields
from rbmlib.clusters import clusters, standing_out

from . import cluster_rules, rules
from . import study as sparse_training
from .study import PROFILES, Study

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


def one_cluster(study: Study) -> Finding:
    """Machines with N/2 hidden units, as the paper's methods and figures have it; those with 2N, a slip, beside."""
    few, many = (
        {
            name: one
            for name, one in machines(study).items()
            if (one.sizes["hidden"] < one.sizes["visible"]) is small
        }
        for small in (True, False)
    )
    found = cluster_rules.one_cluster_rule(few)
    return found.beside_it(f"With 2N {cluster_rules.one_cluster_rule(many).outcome}." if many else "")


def _held(text: str) -> Callable[[Sequence[Part]], str]:
    """A sentence with how many parts hold and fail, and the one farthest from its bound."""

    def says(parts: Sequence[Part]) -> str:
        held, failed = (sum(part.mark == mark for part in parts) for mark in ("holds", "fails"))
        worst = largest_excess(parts)
        told = f"least favourable {worst.name.partition(' (')[0]}, {number(worst.estimate.value, worst.unit, '.2g')}"
        return f"{text}: {held} of {len(parts)} hold, {failed} fail; {told}."

    return says


def _filled(text: str, *which: int) -> Callable[[Sequence[Part]], str]:
    """A sentence with the values of some parts, all if none is named."""

    def says(parts: Sequence[Part]) -> str:
        chosen = [parts[at] for at in which or range(len(parts))]
        return text.format(*(number(part.estimate.value, part.unit, ".2g") for part in chosen))

    return says


RULES = {
    "A5.sparse-trainable": Rule(
        final(rules.trainable_rule, check=True), _held("Sparse less than half a dense error above pruned")
    ),
    "A5.ss-fastest": Rule(
        lambda study: rules.fastest_rule(study.main.training, study.main.final),
        _filled(
            "The same-seed mask takes {} epochs more than its closest rival at the critical point, {} in the paramagnet."
        ),
    ),
    "A5.pm-ss-best": Rule(
        final(rules.ss_best_rule, check=True), _held("In the paramagnet same-seed masks end below all others")
    ),
    "A5.qcp-none-beats-pruned": Rule(
        final(rules.none_beats_pruned_rule, check=True),
        _held("At the critical point no sparse mask beats pruning"),
    ),
    "A5.worst-differs": Rule(
        final(rules.worst_differs_rule, check=True), _held("The worst mask is the one claimed")
    ),
    "A5.initial-conditions": Rule(
        final(rules.initial_conditions_rule),
        _filled(
            "Final KL scatters {} times as much over initial weights as over repetitions at criticality, {} in the paramagnet.",
            0,
            2,
        ),
    ),
    "A5.ad-hoc-poor": Rule(
        final(rules.ad_hoc_rule),
        _filled(
            "The middle one of three placements ends {} dense errors above its rival at the critical point, {} in the paramagnet."
        ),
    ),
    "A5.one-cluster-per-unit": Rule(
        one_cluster,
        _filled(
            "With N/2 hidden units {} have one cluster at criticality, of {} weights, and {} in the paramagnet, of {} weights.",
        ),
    ),
    "A5.breaking-degrades": Rule(
        final(cluster_rules.breaking_rule), _held("Breaking clusters up degrades, and by no single step")
    ),
    "A5.clusters-relocate": Rule(
        lambda study: cluster_rules.relocate_rule(rules.Errors(study.main.final), study.main.weights),
        _held("Without them clusters form elsewhere and training succeeds"),
    ),
    "A5.mask-transfers": Rule(
        final(rules.transfer_rule),
        _filled("Another seed's mask ends {} and {} dense errors from a random one, at h/J = 1 and 2."),
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
        What :func:`rbmbook.studies.sparse_training.study.results` returned.
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
            if np.isfinite(list(taken.values())).all():  # a run may be too short to average over
                mine[name] = ", ".join(
                    f"{values.mean():.0f} ({variant})" for variant, values in taken.items()
                )
        mine["spread"] = _spread(errors, field)
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


def _spread(errors: rules.Errors, field: float) -> str:
    """How final errors scatter over initial weights; a dash where repetitions of the training do not differ."""
    same, again = errors.of(field, "kl", "ss", "repeat")
    if np.array_equal(same, again):
        return DASH
    spread = rules.scatter(errors, field)
    return f"{100 * spread.value[1]:.0f} % over initial weights, {spread.value[0]:.1f} times as much as"


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
