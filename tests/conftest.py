"""What every test runs under: one thread, no display, no cache but its own, the same examples each time."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ["MPLBACKEND"] = "Agg"

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    try:
        from hypothesis import settings
    except ModuleNotFoundError:
        return
    settings.register_profile("rbmlib", derandomize=True, deadline=None, database=None)
    settings.load_profile("rbmlib")


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The reader's result cache is neither read nor written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RBMLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the clone."""
    return ROOT


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Where ``RBMLIB_FORBID_SKIPS`` is set, a skipped test has failed: nothing may be left out there."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("RBMLIB_FORBID_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and RBMLIB_FORBID_SKIPS is set: {report.longrepr[2]}"
    return report
