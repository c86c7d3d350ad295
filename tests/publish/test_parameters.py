"""What a parameters cell may hold, and how given values become parameters."""

import pytest

from rbmbook.publish.errors import BadNotebook, BadParameter, UnknownName
from rbmbook.publish.parameters import bind, declared

CELL = """
# How large
n_items: int = 3  # how many; a = b and "#"
fields: list[float] = [
    1.0,
    2,
]  # transverse fields
label: str = "a # b"  # name
fast: bool = False
seeds: tuple[int, ...] = (1, 2)  # seeds
rate = 1e-3  # inferred
profile: str = "book"
"""


def test_types_defaults_and_help_are_read_from_the_assignments() -> None:
    found = declared(CELL)
    assert {name: (p.type, p.default) for name, p in found.items()} == {
        "n_items": ("int", 3),
        "fields": ("list[float]", [1.0, 2.0]),
        "label": ("str", "a # b"),
        "fast": ("bool", False),
        "seeds": ("list[int]", [1, 2]),
        "rate": ("float", 1e-3),
        "profile": ("str", "book"),
    }
    assert found["n_items"].help == 'how many; a = b and "#"'
    assert found["fields"].help == "transverse fields"
    assert found["fast"].help == ""


@pytest.mark.parametrize(
    "cell", ["n: int = f()", "n: dict = {}", "print(1)", "a = b = 1", "n: int = 'x'", "n: int =", "n: int"]
)
def test_a_parameters_cell_that_is_not_plain_assignments_is_refused(cell: str) -> None:
    with pytest.raises((BadNotebook, BadParameter)):
        declared(cell)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("n_items", "12", 12),
        ("n_items", "-4", -4),
        ("fields", "[0.5, 1]", [0.5, 1.0]),
        ("fields", "0.5,1e-3", [0.5, 1e-3]),
        ("fields", "2", [2.0]),
        ("fields", "[]", []),
        ("fields", (1, 2.5), [1.0, 2.5]),
        ("label", "3", "3"),
        ("fast", "TRUE", True),
        ("fast", "no", False),
        ("fast", True, True),
        ("rate", 2, 2.0),
        ("rate", "1e-3", 1e-3),
        ("seeds", "[7]", [7]),
        ("n_items", "1e3", 1000),
        ("n_items", "4.0", 4),
        ("n_items", 3.0, 3),
        ("seeds", "[1e2, 2]", [100, 2]),
    ],
)
def test_a_value_is_read_as_the_declared_type(name: str, given: object, expected: object) -> None:
    value = bind(declared(CELL), {name: given})[name]
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("n_items", "3.5"),
        ("n_items", "many"),
        ("n_items", True),
        ("n_items", None),
        ("n_items", 3.5),
        ("n_items", "1e-3"),
        ("n_items", "inf"),
        ("fields", "[1, x]"),
        ("fields", 1.0),
        ("fields", [[1.0]]),
        ("fields", "[1, nan]"),
        ("label", 3),
        ("fast", "maybe"),
        ("fast", 1),
        ("rate", "nan"),
        ("rate", "inf"),
        ("rate", float("nan")),
        ("seeds", "[1.5]"),
        ("seeds", "[true]"),
    ],
)
def test_a_value_of_another_type_is_refused_in_one_sentence_that_names_it(name: str, given: object) -> None:
    parameters = declared(CELL)
    with pytest.raises(BadParameter) as caught:
        bind(parameters, {name: given})
    message = str(caught.value)
    assert f"parameter {name} " in message
    assert parameters[name].type in message
    assert repr(given) in message
    assert "\n" not in message


def test_an_unknown_parameter_is_answered_with_the_nearest_and_all_valid_names() -> None:
    with pytest.raises(
        UnknownName, match=r"no parameter 'n_itens'; did you mean 'n_items'\? .*fields, label"
    ):
        bind(declared(CELL), {"n_itens": 3})


def test_the_profiles_label_cannot_be_given() -> None:
    with pytest.raises(UnknownName):
        bind(declared(CELL), {"profile": "quick"})


def test_the_last_mapping_wins() -> None:
    assert bind(declared(CELL), {"n_items": 4, "fast": True}, {"n_items": "5"})["n_items"] == 5


def test_a_list_of_lists_is_read_as_one() -> None:
    found = declared("pairs: list[list[float]] = [[0.0, 0.86], [0.4, 1]]  # p0 and p\n")
    assert (found["pairs"].type, found["pairs"].default) == ("list[list[float]]", [[0.0, 0.86], [0.4, 1.0]])
    for given in ("[[0, 0.5]]", [[0, "0.5"]], ((0.0, 0.5),)):
        assert bind(found, {"pairs": given})["pairs"] == [[0.0, 0.5]]
    for given in ("[0, 0.5]", [0.0, 0.5], [[0.0, None]], 3):
        with pytest.raises(BadParameter, match="pairs must be of type list"):
            bind(found, {"pairs": given})
    with pytest.raises(BadNotebook, match="has type list\\[dict\\]"):
        declared("a: list[dict] = []\n")
