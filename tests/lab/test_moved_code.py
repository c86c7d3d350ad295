"""Code that moves keeps its fingerprint, and code that does something else loses it, however well that hides.

The adversarial cases are those over which other caches fell: joblib#1287, redun#99 and hamilton#1715 (a changed
callee goes unseen), hamilton#1242 (functions that are almost equal share a key), cachier#34 (names collide).
"""

from __future__ import annotations

import random
import textwrap

import pytest

from rbmbook.lab.cell import Cell
from rbmbook.lab.errors import NameShared
from rbmbook.lab.fingerprint import source_reach
from rbmbook.lab.sweep import fill


@pytest.fixture
def digest(tmp_path):
    """A function that writes a package, given as texts by module, and takes the fingerprint of ``study.compute``."""
    written = []

    def take(start="study.compute", **modules):
        folder = tmp_path / str(len(written)) / "pack"
        written.append(folder)
        for name, text in ({"__init__": ""} | modules).items():
            path = folder.joinpath(*name.split("__in__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        module, _, function = start.rpartition(".")
        return source_reach(f"pack.{module}", function, {"pack": folder}).digest

    return take


# Moves: everything stays fresh


WHOLE = """
    LIMIT = 3
    RATE = 0.5
    NAMES = ("a", "b")

    def inner(x):
        return x * RATE if x < LIMIT else NAMES

    def compute(x):
        return inner(x) + 1
"""
SPLIT = {
    "study": """
        from pack.rules import inner

        def compute(x):
            return inner(x) + 1
    """,
    "rules": """
        from pack.values import NAMES, RATE
        from . import __name__
        from .limits import LIMIT

        def inner(x):
            return x * RATE if x < LIMIT else NAMES
    """,
    "values": """
        NAMES = ("a", "b")
        RATE = 0.5
    """,
    "limits": "LIMIT = 3\n",
}


def test_a_function_and_constants_that_move_away_from_their_neighbours_stay_fresh(digest):
    assert digest(study=WHOLE) == digest(**SPLIT)


def test_a_cell_s_own_function_may_move(digest):
    assert digest(study=WHOLE) == digest("elsewhere.compute", elsewhere=WHOLE)
    assert digest(study=WHOLE) == digest("rooms.one.compute", rooms__in____init__="", rooms__in__one=WHOLE)


def test_a_name_that_a_package_hands_on_is_what_it_stands_for(digest):
    handed = SPLIT | {
        "__init__": "from .rules import inner",
        "study": SPLIT["study"].replace("pack.rules", "pack"),
    }
    assert digest(**handed) == digest(**SPLIT)


def test_definitions_may_be_reordered(digest):
    parts = textwrap.dedent(WHOLE).strip().split("\n\n\n" if "\n\n\n" in WHOLE else "\n\n")
    constants, *functions = parts
    reordered = "\n\n".join([*functions[::-1], *constants.splitlines()[::-1]])
    assert reordered != textwrap.dedent(WHOLE)
    assert digest(study=WHOLE) == digest(study=reordered)


@pytest.mark.parametrize(
    "use",
    [
        "from pack.OLD import f\n\ndef compute(x):\n    return f(x)",
        "from pack.OLD import f as g\n\ndef compute(x):\n    return g(x)",
        "from .OLD import *\n\ndef compute(x):\n    return f(x)",
        "from pack import OLD\n\ndef compute(x):\n    return OLD.f(x)",
        "from . import OLD\n\ndef compute(x):\n    return OLD.f(x) + OLD.Class.limit",
        "from pack import OLD as o\n\ndef compute(x):\n    return o.f(x)",
        "from pack import OLD as o\n\ndef compute(x):\n    return getattr(o, 'f')(x)",
        "import pack.OLD as o\n\ndef compute(x):\n    return o.f(x)",
        "import pack.OLD\n\ndef compute(x):\n    return pack.OLD.f(x) + pack.OLD.Class.limit",
        "def compute(x):\n    from pack.OLD import f\n    return f(x)",
        "def compute(x):\n    from .OLD import f as g\n    return g(x)",
        "def compute(x, table=None):\n    return (table or {'f': pack.OLD.f})['f'](x)\n\nimport pack.OLD",
    ],
)
def test_a_renamed_module_leaves_all_that_use_it_fresh(digest, use):
    text = "def f(x):\n    return x\n\nclass Class:\n    limit = 3\n"
    found = {name: digest(study=use.replace("OLD", name), **{name: text}) for name in ("old", "zebra", "a")}
    assert len(set(found.values())) == 1
    assert digest(study=use.replace("OLD", "old"), old=text.replace("return x", "return -x")) != found["old"]


def test_an_outside_library_may_be_imported_under_another_name(digest):
    use = "import {} as {}\n\ndef compute(x):\n    return {}.exp(x)\n"
    assert digest(study=use.format("numpy", "np", "np")) == digest(study=use.format("numpy", "n", "n"))
    assert digest(study=use.format("numpy", "np", "np")) != digest(study=use.format("jax.numpy", "np", "np"))


# Nothing but names of modules: what is found first must not matter


def net(chooser, n_modules=6, n_functions=4):
    """A random package: by module, its functions, each with the (module, function) pairs that it calls."""
    names = [(m, f) for m in range(n_modules) for f in range(n_functions)]
    return {name: chooser.sample(names, chooser.randint(0, 3)) for name in names}


def written(calls, name_of, chooser):
    """The package of a net under some names of modules, with imports of several forms and definitions in any order."""
    modules = {}
    for module in sorted({m for m, _ in calls}):
        heads, bodies = [], []
        for m, function in calls:
            if m != module:
                continue
            terms = []
            for other, called in calls[m, function]:
                if other == module:
                    terms.append(f"f{other}{called}(x)")
                elif (other + called) % 2:
                    heads.append(f"from pack.{name_of[other]} import f{other}{called}")
                    terms.append(f"f{other}{called}(x)")
                else:
                    heads.append(f"from pack import {name_of[other]}")
                    terms.append(f"{name_of[other]}.f{other}{called}(x)")
            # Only two texts, so that many functions differ in what they call alone.
            bodies.append(f"def f{m}{function}(x):\n    return {' + '.join([str(function % 2), *terms])}\n")
        chooser.shuffle(heads)
        chooser.shuffle(bodies)
        modules[name_of[module]] = "\n".join([*heads, *bodies])
    return modules


@pytest.mark.parametrize("seed", range(4))
def test_the_digest_does_not_depend_on_how_names_of_modules_are_sorted(digest, seed):
    chooser = random.Random(seed)
    calls = net(chooser)
    numbers = sorted({m for m, _ in calls})
    orders = [numbers, numbers[::-1], *(chooser.sample(numbers, len(numbers)) for _ in range(3))]
    found = []
    for order in orders:
        name_of = {m: f"{'abcdefgh'[place]}_{m}_{chooser.randrange(100)}" for place, m in enumerate(order)}
        modules = written(calls, name_of, chooser)
        found.append([digest(f"{name_of[m]}.f{m}0", **modules) for m in numbers])
    assert all(one == found[0] for one in found)
    assert len(set(found[0])) > 1


# Changes: exactly what they reach is stale


def chain(module, last, depth=5):
    """So many functions of one name, ``step``, each calling that of the next module; the last one returns a number."""
    modules = {
        f"{module}{n}": f"from pack.{module}{n + 1} import step as next_step\n\ndef step(x):\n    return next_step(x)\n"
        for n in range(depth - 1)
    }
    return modules | {f"{module}{depth - 1}": f"def step(x):\n    return {last}\n"}


TWO_CHAINS = {
    "study": "from pack.a0 import step as left\nfrom pack.b0 import step as right\n\n"
    "def compute(x):\n    return left(x) - right(x)\n\ndef other(x):\n    return left(x)\n"
}


def test_joblib_1287_a_changed_callee_is_seen_five_calls_deep(digest):
    before, after = (TWO_CHAINS | chain("a", "x + 1") | chain("b", last) for last in ("x", "x + 2"))
    assert digest(**before) != digest(**after)
    assert digest("study.other", **before) == digest("study.other", **after)


def test_redun_99_hamilton_1715_a_changed_helper_or_constant_is_seen_through_every_form_of_import(digest):
    forms = {
        "from pack.a import f": "f(x)",
        "from pack.a import f as g": "g(x)",
        "from pack import a": "a.f(x)",
        "import pack.a as other": "other.f(x)",
        "import pack.a": "pack.a.f(x)",
        "from .a import *": "f(x)",
    }
    for head, term in forms.items():
        study = f"{head}\n\ndef compute(x):\n    return {term}\n"
        texts = [
            f"RATE = {rate}\n\ndef f(x):\n    return {sign}x * RATE\n"
            for rate, sign in ((1, ""), (2, ""), (1, "-"))
        ]
        assert len({digest(study=study, a=text) for text in texts}) == 3, head


def test_hamilton_1242_functions_that_are_equal_but_for_one_constant_are_told_apart(digest):
    text = "def first():\n    return day('2021-01-01')\n\ndef second():\n    return day('2021-01-02')\n\n"
    text += "def day(x):\n    return x\n"
    assert digest("study.first", study=text) != digest("study.second", study=text)
    left = {
        "study": "from pack.a import f\n\ndef compute():\n    return f()\n",
        "a": "def f():\n    return 1\n",
    }
    assert digest(**left) != digest(**left | {"a": "def f():\n    return 1.0\n"})
    assert digest(**left) != digest(**left | {"a": "def f():\n    return True\n"})


def test_two_chains_of_equal_text_whose_last_definitions_are_swapped_are_told_apart(digest):
    """Five calls deep, so that nothing but the whole way shows which of the two is subtracted."""
    one = digest(**TWO_CHAINS, **chain("a", "x"), **chain("b", "-x"))
    swapped = digest(**TWO_CHAINS, **chain("a", "-x"), **chain("b", "x"))
    assert one != swapped
    assert digest(**TWO_CHAINS, **chain("a", "x"), **chain("b", "x")) not in (one, swapped)


TWINS = {
    "study": "from pack.a import f as left\nfrom pack.b import f as right\n\ndef compute(x):\n    return left(x) - right(x)\n",
    "a": "from pack.c import g\n\ndef f(x):\n    return g(x)\n",
    "b": "from pack.d import g\n\ndef f(x):\n    return g(x)\n",
    "c": "def g(x):\n    return x\n",
    "d": "def g(x):\n    return -x\n",
}


def test_two_functions_of_equal_text_whose_callees_are_swapped_are_told_apart(digest):
    swapped = TWINS | {"a": TWINS["b"], "b": TWINS["a"]}
    assert digest(**TWINS) != digest(**swapped)
    # Swapped twice is what it was.
    assert digest(**TWINS) == digest(**swapped | {"c": TWINS["d"], "d": TWINS["c"]})


@pytest.mark.parametrize(
    "study",
    [
        "def compute(x):\n    from pack.ONE import g as left\n    from pack.TWO import g as right\n"
        "    return left(x) - right(x)\n",
        "def compute(x):\n    if x:\n        from pack.ONE import g\n    else:\n        from pack.TWO import g\n    return g(x)\n",
        "def compute(x):\n    import pack.ONE as left, pack.TWO as right\n    return left.g(x) - right.g(x)\n",
        "import pack.ONE\nimport pack.TWO\n\ndef compute(x):\n    return pack.ONE.g(x) - pack.TWO.g(x)\n",
        "import pack.ONE as left\nimport pack.TWO as right\n\ndef compute(x):\n    return left.g(x) - right.g(x)\n",
        "from pack import names\n\ndef compute(x, which):\n    return getattr(names, which)(x)\n",
    ],
)
def test_swapped_imports_are_seen_wherever_they_stand(digest, study):
    names = "from pack.ONE import g as left\nfrom pack.TWO import g as right\n"
    found = {
        digest(
            c=TWINS["c"], d=TWINS["d"],
            study=study.replace("ONE", one).replace("TWO", two), names=names.replace("ONE", one).replace("TWO", two),
        )
        for one, two in (("c", "d"), ("d", "c"))
    }  # fmt: skip
    assert len(found) == 2


@pytest.mark.parametrize(
    "use",
    [
        "from numpy import exp\n\ndef compute(x):\n    return exp(x)\n",
        "from numpy import *\n\ndef compute(x):\n    return exp(x)\n",
        "import numpy as library\n\ndef compute(x):\n    return library.exp(x)\n",
        "def compute(x):\n    from numpy import exp\n    return exp(x)\n",
        "try:\n    from numpy import exp\nexcept ImportError:\n    exp = None\n\ndef compute(x):\n    return exp(x)\n",
        "from pack.functions import exp\n\ndef compute(x):\n    return exp(x)\n",
        "from pack import functions\n\ndef compute(x):\n    return functions.exp(x)\n",
        "from pack import functions\n\ndef compute(x, name):\n    return getattr(functions, name)(x)\n",
    ],
)
def test_an_outside_function_that_is_exchanged_under_the_same_name_is_seen(digest, use):
    functions = "from numpy import exp\n"
    both = [
        digest(study=u, functions=f)
        for u, f in ((use, functions), (use.replace("numpy", "math"), functions.replace("numpy", "math")))
    ]
    assert both[0] != both[1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("TABLE.append(1)", "TABLE.append(2)"),
        ("TABLE[:] = [1]", "TABLE *= 2"),
        ("A = take()", "B = take()"),
        ("for name in TABLE:\n    print(name)", "TABLE.clear()"),
    ],
)
def test_two_effects_of_a_module_that_change_places_are_seen(digest, first, second):
    study = "from itertools import count\n\nTABLE = []\ntake = count().__next__\nA = B = 0\n{}\n{}\n\n"
    study += "def compute(x):\n    return TABLE, A, B\n"
    assert digest(study=study.format(first, second)) != digest(study=study.format(second, first))


def test_a_name_that_is_bound_again_counts_with_both_values_in_their_order(digest):
    found = {
        digest(study=f"{text}\n\ndef compute(x):\n    return STEPS\n")
        for text in ("STEPS = 1\nSTEPS = 2", "STEPS = 2\nSTEPS = 1", "STEPS = 2", "STEPS = 1")
    }
    assert len(found) == 4


def test_a_builtin_that_an_import_hides_is_seen(digest):
    study = "def compute(x):\n    return sum(x)\n"
    hidden = [
        digest(study=f"{head}{study}")
        for head in ("", "from numpy import sum\n\n", "from math import fsum as sum\n\n")
    ]
    assert len(set(hidden)) == 3


# Names are what results are known by


def test_cachier_34_two_functions_of_one_name_in_one_sweep_are_refused_in_one_sentence(store, cells):
    other = cells.source.with_name("other.py")
    other.write_text(cells.source.read_text().replace("FACTOR = 2.0", "FACTOR = 3.0"))
    from lab_package import other as second

    here, there = Cell(cells.scaled, {"seed": 1}), Cell(second.scaled, {"seed": 1})
    for wanted in (
        [here, there],
        [here, Cell(second.scaled, {"seed": 2})],
        [here, Cell(cells.from_large, {"seed": 1}, {"source": there})],
        [Cell(cells.from_large, {"seed": 1}, {"source": cell}) for cell in (here, there)],
    ):
        with pytest.raises(NameShared) as refused:
            fill(wanted, store, workers=1, progress=False)
        assert str(refused.value) == (
            "the functions lab_package.other.scaled and lab_package.study.scaled share the name scaled, by which results "
            "are known; rename one of them"
        )
    assert not list(store.cache.rglob("*.npz"))
    fill([here, Cell(cells.scaled, {"seed": 1})], store, workers=1, progress=False)


def test_functions_of_one_name_and_other_code_never_share_a_key(store, cells):
    before = store.key(Cell(cells.scaled, {"seed": 1}))
    cells = cells.edit("FACTOR = 2.0", "FACTOR = 3.0")
    assert store.key(Cell(cells.scaled, {"seed": 1})) != before
