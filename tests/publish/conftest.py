"""A project small enough to execute in seconds: an experiment, its notebook, and one that sums up."""

import itertools
import textwrap
from pathlib import Path

import pytest

from rbmbook.publish.project import Project

COUNTING = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

(sec:counting)=
# Counting to $n$

Energies follow {eq}`eq:energy` of {cite:t}`smith2020`, as section {ref}`sec:counting` says.

```{math}
:label: eq:energy
E = -h n
```

```{code-cell} ipython3
:tags: [parameters]

n_items: int = 3  # how many; more than zero
fields: list[float] = [1.0, 2.0]  # transverse fields h/J
label: str = "plain"  # name in the title
fast: bool = False  # skip the check
profile: str = "book"  # set by the command
```

```{code-cell} ipython3
:tags: [hide-input]

import sys

from myst_nb import glue
from PACKAGE.counting.study import total
from PACKAGE.drawing import picture

glue("total", total(n_items, fields), display=False)
print("first")
print("second", file=sys.stderr)
print(object())
```

```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig:bars
    caption: |
      The bars.
---
picture(total(n_items, fields))
```

The total is {glue:text}`total:.2f`, see {numref}`fig:bars`.
"""

SUMMARY = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# Summary

```{code-cell} ipython3
from PACKAGE import overview

overview.report()
```

The other page says {glue:text}`/book/executed/counting.ipynb::total:.1f`.
"""

PACKAGE = {
    "__init__.py": "",
    "counting/__init__.py": "",
    "counting/study.py": """
        import xarray as xr

        from rbmbook.lab.cell import Cell


        class Profile:
            def __init__(self, parameters, cost):
                self.parameters, self.cost = parameters, cost


        PROFILES = {
            "quick": Profile({"n_items": 1, "fields": (1.0,), "label": "plain", "fast": True}, "a blink"),
            "book": Profile(
                {"n_items": 3, "fields": (1.0, 2.0), "label": "plain", "fast": False}, "two blinks"
            ),
        }


        def count(n_items, field):
            return xr.Dataset({"total": ((), n_items * field)})


        def cells(n_items, fields, label, fast):
            if n_items < 1:
                raise ValueError(f"n_items must be at least 1, got {n_items}")
            return [Cell(count, {"n_items": n_items, "field": field}) for field in fields]


        def total(n_items, fields):
            return float(sum(n_items * field for field in fields))


        def unused():
            return 1
        """,
    "drawing.py": """
        from IPython.display import HTML


        def picture(height):
            return HTML(f"<svg width='10' height='{height:.0f}'></svg>")
        """,
    "overview.py": """
        from .counting import study as counting


        def title():
            return "Overview"


        def report():
            print("all is well" if counting.PROFILES else "nothing there")
        """,
}

numbers = itertools.count()


class Workshop:
    """The small project on disk."""

    def __init__(self, folder: Path, package: str) -> None:
        self.package = package
        self.code = folder / "code" / package
        self.project = Project(folder / "clone", experiments=package)
        self.code.mkdir(parents=True)
        self.project.notebooks.mkdir(parents=True)
        self.project.executed.mkdir(parents=True)
        for name, text in PACKAGE.items():
            self.write_code(name, textwrap.dedent(text).lstrip())
        self.write_notebook("counting", COUNTING)
        self.write_notebook("summary", SUMMARY)
        (self.project.root / "_toc.yml").write_text(
            "format: jb-book\nroot: book/executed/summary\nchapters:\n  - file: book/executed/counting\n"
        )
        (self.project.root / "_config.yml").write_text(
            'title: Small\nonly_build_toc_files: true\nexecute: {execute_notebooks: "off"}\n'
            "bibtex_bibfiles: [book/references.bib]\n"
        )
        (self.project.root / "book" / "references.bib").write_text(
            "@article{smith2020, author={Smith, Ann and Li, Bo}, title={On counting}, year={2020}, "
            "doi={10.1/x}, journal={J}}"
        )

    def write_code(self, name: str, text: str) -> None:
        (self.code / name).parent.mkdir(exist_ok=True)
        (self.code / name).write_text(text)

    def edit_code(self, name: str, old: str, new: str) -> None:
        text = (self.code / name).read_text()
        assert old in text
        self.write_code(name, text.replace(old, new))

    def write_notebook(self, name: str, text: str) -> None:
        (self.project.notebooks / f"{name}.md").write_text(text.replace("PACKAGE", self.package))

    def edit_notebook(self, name: str, old: str, new: str) -> None:
        path = self.project.source(name)
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path, f"small_experiments_{next(numbers)}")
    monkeypatch.syspath_prepend(made.code.parent)
    monkeypatch.setenv("PYTHONPATH", str(made.code.parent))
    monkeypatch.setenv("RBMLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return made


@pytest.fixture
def project(workshop: Workshop) -> Project:
    return workshop.project
