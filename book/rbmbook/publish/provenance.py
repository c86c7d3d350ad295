"""The sentence on every page that says which profile made it, with what changes, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rbmbook.publish.errors import UnknownName

if TYPE_CHECKING:
    from rbmbook.lab.profiles import Profile


@dataclass(frozen=True)
class ProfileNotice:
    """What a page says about how it was made; displays itself as Markdown.

    Parameters
    ----------
    profile : str
        Name of the profile.
    cost : str
        What the unmodified profile costs, in words.
    changes : mapping
        Parameters whose values differ from the profile's, with the values used.
    """

    profile: str
    cost: str
    changes: Mapping[str, Any]

    def __str__(self) -> str:
        text = f"made with profile {self.profile}"
        if self.changes:
            changes = ", ".join(f"{name} = {value}" for name, value in self.changes.items())
            return f"{text}, changed to {changes} (the profile as it stands costs {self.cost})"
        return f"{text}, which costs {self.cost}"

    def _repr_markdown_(self) -> str:
        text = f"This page was made with profile **{self.profile}**"
        if self.changes:
            changes = ", ".join(f"`{name} = {value}`" for name, value in self.changes.items())
            return f"{text}, changed to {changes}. The profile as it stands costs {self.cost}."
        return f"{text}, which costs {self.cost}."


def profile_notice(
    profiles: Mapping[str, Profile], profile: str, parameters: Mapping[str, Any] | None = None
) -> ProfileNotice:
    """The sentence for a page, from its experiment's profiles and the parameters that it was executed with.

    Parameters
    ----------
    profiles : mapping of str to Profile
        The experiment's ``PROFILES``.
    profile : str
        Name of the profile, as the notebook's parameter ``profile`` holds it.
    parameters : mapping, optional
        Values used; those that differ from the profile's are named.

    Raises
    ------
    UnknownName
        If there is no such profile.
    """
    if profile not in profiles:
        raise UnknownName("profile", profile, profiles)
    expected = profiles[profile].parameters
    changes = {
        name: value
        for name, value in (parameters or {}).items()
        if name in expected and _plain(value) != _plain(expected[name])
    }
    return ProfileNotice(profile, profiles[profile].cost, changes)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
