"""A profile's name leads to its parameters, and parameters lead to the profile's name."""

from __future__ import annotations

import pickle

import pytest

from rbmbook.lab.errors import UnknownName
from rbmbook.lab.profiles import Profile, label, resolve

PROFILES = {
    "quick": Profile({"n_seeds": 2, "field": 1.0, "sizes": (10,)}, "a minute"),
    "book": Profile({"n_seeds": 10, "field": 1.0, "sizes": (10, 18)}, "two hours"),
}


def test_overrides_replace_parameters_and_leave_the_profile_alone():
    assert resolve(PROFILES, "book") == PROFILES["book"].parameters
    assert resolve(PROFILES, "book", {"n_seeds": 3}) == {"n_seeds": 3, "field": 1.0, "sizes": (10, 18)}
    assert PROFILES["book"].parameters["n_seeds"] == 10


def test_unknown_names_are_told_with_the_valid_ones_and_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown profile 'bok'; did you mean book\? Valid: quick, book"):
        resolve(PROFILES, "bok")
    with pytest.raises(UnknownName, match="unknown parameter 'n_seed'; did you mean n_seeds") as caught:
        resolve(PROFILES, "book", {"n_seed": 3})
    assert isinstance(caught.value, ValueError)
    assert (caught.value.nearest, caught.value.valid) == ("n_seeds", ("n_seeds", "field", "sizes"))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(UnknownName) as caught:
        resolve(PROFILES, "zzzz")
    assert caught.value.nearest is None


def test_the_label_names_the_nearest_profile_and_the_changes():
    assert label(PROFILES, resolve(PROFILES, "quick")) == "quick"
    assert label(PROFILES, {"n_seeds": 10, "field": 1.0, "sizes": [10, 18]}) == "book"
    assert label(PROFILES, resolve(PROFILES, "book", {"n_seeds": 3})) == "book, modified: n_seeds = 3"
    both = resolve(PROFILES, "book", {"n_seeds": 3, "field": 2.0})
    assert label(PROFILES, both) == "book, modified: n_seeds = 3, field = 2.0"
    with pytest.raises(UnknownName, match="unknown parameter 'n'"):
        label(PROFILES, {"n": 3})
