"""Profiles: named sets of parameters of an experiment, each with what it costs to run."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rbmbook.lab.cell import Value
from rbmbook.lab.errors import UnknownName


@dataclass(frozen=True)
class Profile:
    """A set of parameters with a name.

    Attributes
    ----------
    parameters : mapping of str to int, float, str, bool or tuple
        A value for every parameter of the experiment.
    cost : str
        What it takes, in words: ``"4 minutes on two cores"``.
    """

    parameters: Mapping[str, Value]
    cost: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", dict(self.parameters))


def _known(kind: str, name: str, valid: Iterable[str]) -> None:
    valid = tuple(valid)
    if name not in valid:
        nearest = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.4)
        raise UnknownName(kind, name, valid, nearest[0] if nearest else None)


def resolve(
    profiles: Mapping[str, Profile], name: str, overrides: Mapping[str, Value] | None = None
) -> dict[str, Value]:
    """Return the parameters of a profile, some of them replaced.

    Parameters
    ----------
    profiles : mapping of str to Profile
        The experiment's profiles.
    name : str
        Which one to start from.
    overrides : mapping, optional
        Other values for some of its parameters.

    Returns
    -------
    dict
        In the profile's order.

    Raises
    ------
    UnknownName
        If there is no such profile or parameter: lists the valid names and the nearest.
    """
    _known("profile", name, profiles)
    parameters = dict(profiles[name].parameters)
    for parameter, value in (overrides or {}).items():
        _known("parameter", parameter, parameters)
        parameters[parameter] = value
    return parameters


def _comparable(value: Value) -> object:
    return [_comparable(item) for item in value] if isinstance(value, (tuple, list)) else value


def label(profiles: Mapping[str, Profile], parameters: Mapping[str, Value]) -> str:
    """Name the profile that parameters belong to, and what was changed.

    Parameters
    ----------
    profiles : mapping of str to Profile
        The experiment's profiles.
    parameters : mapping
        The parameters of a run.

    Returns
    -------
    str
        ``"book"``, or ``"book, modified: n_seeds = 3"`` after the profile that differs least (of those that
        differ equally, the first).

    Raises
    ------
    UnknownName
        If no profile has one of the parameters.
    """
    changes: dict[str, list[str]] = {}
    for name, profile in profiles.items():
        for parameter in parameters:
            _known("parameter", parameter, profile.parameters)
        changes[name] = [
            f"{parameter} = {value!r}"
            for parameter, value in parameters.items()
            if _comparable(value) != _comparable(profile.parameters[parameter])
        ]
    nearest = min(changes, key=lambda name: len(changes[name]))
    if not changes[nearest]:
        return nearest
    return f"{nearest}, modified: {', '.join(changes[nearest])}"


def chosen(profiles: Mapping[str, Profile], namespace: Mapping[str, object]) -> dict[str, Value]:
    """Collect an experiment's parameters from a notebook's variables.

    Parameters
    ----------
    profiles : mapping of str to Profile
        The experiment's profiles, which say what its parameters are called.
    namespace : mapping
        ``globals()`` of the notebook.

    Returns
    -------
    dict
        In the profile's order.

    Raises
    ------
    UnknownName
        If a parameter is not among the variables.
    """
    names = next(iter(profiles.values())).parameters
    for name in names:
        _known("parameter", name, namespace)
    return {name: namespace[name] for name in names}  # type: ignore[misc]
