"""What there is to run: every notebook with its parameters, its profiles and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rbmbook.publish.notebook import parameters_of, read_source, title_of
from rbmbook.publish.parameters import LABEL, bind
from rbmbook.publish.project import Project


def catalogue(project: Project, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Describe every notebook of a project, or those of the given names.

    Returns
    -------
    list of dict
        One entry a notebook, in JSON's types: ``name``, ``title``, ``parameters`` (each with ``name``,
        ``type``, ``default``, ``help``) and ``profiles`` (by name: ``cost``, all ``parameters``, and the
        ``changes`` against the defaults).
    """
    entries: list[dict[str, Any]] = []
    for name in project.names() if names is None else names:
        declared = {key: value for key, value in parameters_of(project, name).items() if key != LABEL}
        experiment = project.experiment(name)
        profiles: dict[str, dict[str, Any]] = {}
        for profile, content in (experiment.PROFILES if experiment is not None else {}).items():
            values = bind(declared, content.parameters)
            changes = {key: value for key, value in values.items() if value != declared[key].default}
            profiles[profile] = {"cost": content.cost, "parameters": values, "changes": changes}
        parameters = [
            {"name": item.name, "type": item.type, "default": item.default, "help": item.help}
            for item in declared.values()
        ]
        title = title_of(read_source(project.source(name)), name)
        entries.append({"name": name, "title": title, "parameters": parameters, "profiles": profiles})
    return entries
