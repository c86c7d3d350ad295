"""What the tests of several studies share: a chain so small that a whole study takes a moment."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType

import pytest

from rbmbook.lab.store import Store
from rbmbook.lab.sweep import sweep
from rbmbook.studies.ising import standard
from rbmbook.studies.tfim_pruning import study as tfim_pruning

TINY_RUN = {
    "n_spins": 6, "n_hidden": 3, "fields": [1.0, 2.0], "n_seeds": 2, "n_samples": 400, "k": 2, "batch_size": 50, "n_epochs": 6,
    "finetune_epochs": 2, "prune_fraction": 0.3, "n_iterations": 4,
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny_run() -> dict:
    """Parameters of a standard run that takes a moment."""
    return dict(TINY_RUN)


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that studies share, as they share cells."""
    return Store(None, tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def sweeping(tiny_store: Store) -> Callable:
    """A context in which modules of studies sweep in this process and into that store."""

    @contextmanager
    def context(*modules: ModuleType, **options: object) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for module in (standard, tfim_pruning, *modules):
                if hasattr(module, "sweep"):
                    settings = {"store": tiny_store, "workers": 1, "progress": False, **options}
                    patch.setattr(module, "sweep", partial(sweep, **settings))
            yield

    return context


@pytest.fixture(scope="session")
def declared_defaults(root) -> Callable[[str], dict]:
    """The parameters that a notebook declares, without its profile's name."""
    from rbmbook.publish.parameters import LABEL, declared

    def read(name: str) -> dict:
        text = (root / "notebooks" / f"{name}.md").read_text(encoding="utf-8")
        source = re.split(r":tags: \[parameters[^\]]*\]", text, maxsplit=1)[1].split("```", 1)[0]
        defaults = {key: parameter.default for key, parameter in declared(source).items()}
        assert defaults.pop(LABEL) == "book"
        return defaults

    return read
