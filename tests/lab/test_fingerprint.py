"""The fingerprint changes with code that a function reaches, and with nothing else."""

from __future__ import annotations

import ast
import textwrap

import pytest

from rbmbook.lab.errors import FingerprintError
from rbmbook.lab.fingerprint import code_fingerprint, source_reach
from rbmbook.lab.syntax import canonical

PACKAGE = {
    "__init__.py": """
        from pack.model import Machine
    """,
    "options.py": """
        import os

        FASTMATH = False

        def kernel(function):
            return function

        def unused_option():
            return 1
    """,
    "kernels/__init__.py": "",
    "kernels/gibbs.py": """
        from pack.options import kernel
        from pack import options

        STEPS = 10
        TABLE = [1, 2, 3]
        TABLE.append(4)

        @kernel
        def sample(x):
            return inner(x) + STEPS

        @kernel
        def inner(x):
            return x

        @kernel
        def other(x):
            return x - 1

        @options.kernel
        def another(x):
            return x - 2
    """,
    "model.py": '''
        """A model."""
        from __future__ import annotations

        from pack.kernels import gibbs

        class Base:
            limit = 3

        class Machine(Base):
            """A machine."""

            size: int = 4

            def energy(self):
                return self.size

            def run(self):
                return gibbs.sample(self.size)
    ''',
    "constants.py": """
        A, B = 1, 2
        C = A + 1
    """,
    "dispatch.py": """
        from functools import singledispatch

        MEMBERS = []

        def enter(members):
            return members.append

        @enter(MEMBERS)
        def member():
            return 7

        @singledispatch
        def show(x):
            return len(MEMBERS) * 0

        @show.register
        def _(x: int):
            return 1
    """,
    "late.py": """
        def late():
            return 1

        def unrelated():
            return 2
    """,
    "figures.py": """
        def draw():
            return 1
    """,
    "study.py": '''
        """A study."""
        import pack.constants
        from pack import Machine, dispatch
        from pack.figures import draw

        SEEDS = 3
        UNUSED = 4

        def compute(n):
            """Compute."""
            from pack.late import late  # where it is needed
            draws = [item for item in range(SEEDS)]
            return Machine().run() + pack.constants.C + late() + dispatch.show(n) + len(draws)

        def plot():
            return draw() + UNUSED

        def shadow(SEEDS):
            return SEEDS
    ''',
}


class Source:
    def __init__(self, folder):
        self.folder = folder / "pack"
        for name, text in PACKAGE.items():
            self.write(name, text)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def change(self, name, old, new):
        path = self.folder / name
        text = path.read_text()
        assert text.count(old) == 1, (name, old)
        path.write_text(text.replace(old, new))

    def fingerprint(self, name="compute", module="pack.study"):
        return source_reach(module, name, {"pack": self.folder}, excluded=("pack.figures",)).digest


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("study.py", "SEEDS = 3", "SEEDS = 4"),
        ("study.py", "range(SEEDS)", "range(SEEDS + 1)"),
        ("constants.py", "A, B = 1, 2", "A, B = 2, 2"),
        ("constants.py", "C = A + 1", "C = A + 2"),
        ("model.py", "return self.size", "return self.size + 1"),
        ("model.py", "size: int = 4", "size: int = 5"),
        ("model.py", "limit = 3", "limit = 4"),
        ("model.py", "gibbs.sample(self.size)", "gibbs.other(self.size)"),
        ("kernels/gibbs.py", "STEPS = 10", "STEPS = 11"),
        ("kernels/gibbs.py", "    return x\n", "    return x * 2\n"),
        ("kernels/gibbs.py", "@kernel\ndef sample", "@options.kernel\ndef sample"),
        ("kernels/gibbs.py", "@kernel\ndef inner", "def inner"),
        ("kernels/gibbs.py", "TABLE.append(4)", "TABLE.append(5)"),
        ("kernels/gibbs.py", "TABLE = [1, 2, 3]", "TABLE = [1, 2]"),
        ("options.py", "return function", "return function or None"),
        ("late.py", "return 1", "return 3"),
        ("dispatch.py", "* 0", "* 5"),
        ("dispatch.py", "return 7", "return 5"),
        ("dispatch.py", "return 1", "return 5"),
    ],
)
def test_a_change_of_what_is_reached_changes_it(source, module, old, new):
    before = source.fingerprint()
    source.change(module, old, new)
    assert source.fingerprint() != before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("study.py", '"""Compute."""', '"""Compute\n\n    with care."""'),
        ("study.py", '"""A study."""', '"""Another study."""'),
        ("study.py", "  # where it is needed", ""),
        ("study.py", "UNUSED = 4", "UNUSED = 5"),
        ("study.py", "return draw() + UNUSED", "return draw() - UNUSED"),
        ("study.py", "def shadow(SEEDS):", "def shadow(SEEDS, more=1):"),
        ("study.py", "def compute(n):", "def compute(n: int) -> float:"),
        ("study.py", "SEEDS = 3", "SEEDS   =   (3)"),
        ("study.py", "SEEDS = 3", "SEEDS: int = 3"),
        ("study.py", "def plot", "def new():\n    return 1\n\ndef plot"),
        ("model.py", '"""A machine."""', ""),
        ("options.py", "FASTMATH = False", "FASTMATH = True"),
        ("options.py", "return 1", "return 2"),
        ("kernels/gibbs.py", "return x - 1", "return x - 3"),
        ("kernels/gibbs.py", "return x - 2", "return x - 3"),
        ("late.py", "return 2", "return 3"),
        ("figures.py", "return 1", "return 2"),
    ],
)
def test_a_change_of_anything_else_leaves_it(source, module, old, new):
    before = source.fingerprint()
    source.change(module, old, new)
    assert source.fingerprint() == before


def test_the_order_of_definitions_says_nothing_but_that_of_assignments_does(source):
    before = source.fingerprint("sample", "pack.kernels.gibbs")
    text = (source.folder / "kernels/gibbs.py").read_text()
    inner = "@kernel\ndef inner(x):\n    return x\n"
    assert inner in text
    source.write("kernels/gibbs.py", text.replace(inner, "") + "\n" + inner)
    assert source.fingerprint("sample", "pack.kernels.gibbs") == before
    source.write("twice.py", "X = 1\nX = 2\ndef f():\n    return X\n")
    first = source.fingerprint("f", "pack.twice")
    source.write("twice.py", "X = 2\nX = 1\ndef f():\n    return X\n")
    assert source.fingerprint("f", "pack.twice") != first


def test_a_comprehension_s_name_does_not_hide_a_function_of_the_same_name(source):
    source.write("hidden.py", "def f():\n    return 1\ndef g(x):\n    return [f for f in x] + [f()]\n")
    before = source.fingerprint("g", "pack.hidden")
    source.change("hidden.py", "return 1", "return 2")
    assert source.fingerprint("g", "pack.hidden") != before


@pytest.mark.parametrize(
    "use",
    [
        "from pack import options\ndef f(name):\n    return getattr(options, name)\n",
        "import pack.options as o\ndef f(name):\n    return vars(o)[name]\n",
        "from pack.options import *\ndef f(name):\n    return unused_option()\n",
        "def f(name):\n    from . import options\n    return options.unused_option\n",
        "import pack.options\ndef f(name):\n    return name\n",
        "import os\nif os.name:\n    from pack.options import unused_option as u\n"
        "else:\n    u = None\ndef f(name):\n    return u\n",
    ],
)
def test_a_module_used_as_an_object_counts_whole(source, use):
    source.write("dynamic.py", use)
    before = source.fingerprint("f", "pack.dynamic")
    source.change("options.py", "return 1", "return 2")
    assert source.fingerprint("f", "pack.dynamic") != before


def test_a_module_level_effect_of_a_package_on_the_way_counts(source):
    before = source.fingerprint("sample", "pack.kernels.gibbs")
    source.write("kernels/__init__.py", "import os\nos.environ['X'] = '1'\n")
    assert source.fingerprint("sample", "pack.kernels.gibbs") != before


def test_imports_for_type_checking_are_not_followed(source):
    source.write(
        "typed.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack.figures import draw\n"
        "def f(x: draw):\n    return x\n",
    )
    assert source.fingerprint("f", "pack.typed")


def test_reaching_an_excluded_part_is_an_error_that_shows_the_way(source):
    with pytest.raises(FingerprintError, match=r"pack\.study\.plot reaches pack\.figures"):
        source.fingerprint("plot")


def test_what_is_not_defined_or_does_not_parse_is_told(source):
    with pytest.raises(FingerprintError, match="does not define nothing"):
        source.fingerprint("nothing")
    source.write("study.py", "def compute(:\n")
    with pytest.raises(FingerprintError, match="cannot be parsed"):
        source.fingerprint()


def test_the_text_of_a_tree_is_the_same_for_every_version_of_python():
    tree = ast.parse("@d(1)\ndef f(a, *, b=None, **k):\n    return {**k, 'x': a[1:-2.5]} or u'y'\n")
    assert canonical(tree) == (
        "Module(body=[FunctionDef(name=str:'f',args=arguments(args=[arg(arg=str:'a')],"
        "kwonlyargs=[arg(arg=str:'b')],kw_defaults=[Constant()],kwarg=arg(arg=str:'k')),"
        "body=[Return(value=BoolOp(op=Or(),values=[Dict(keys=[NoneType:None,Constant(value=str:'x')],"
        "values=[Name(id=str:'k'),Subscript(value=Name(id=str:'a'),slice=Slice(lower=Constant(value=int:1),"
        "upper=UnaryOp(op=USub(),operand=Constant(value=float:2.5))))]),Constant(value=str:'y')]))],"
        "decorator_list=[Call(func=Name(id=str:'d'),args=[Constant(value=int:1)])])])"
    )


def test_a_function_of_a_package_on_the_path_is_found_and_kept_for_the_process(cells):
    before = code_fingerprint(cells.scaled)
    assert code_fingerprint(cells.scaled) == before != code_fingerprint(cells.ground)
    assert code_fingerprint(cells.edit("FACTOR = 2.0", "FACTOR = 3.0").scaled) != before


def test_the_lab_itself_is_no_part_of_a_result(cells):
    cells = cells.edit(
        "def crash", "from rbmbook.lab.store import Store\ndef bad(seed):\n    return Store\ndef crash"
    )
    with pytest.raises(FingerprintError, match=r"reaches rbmbook\.lab\.store"):
        code_fingerprint(cells.bad)
    assert code_fingerprint(cells.crash)
