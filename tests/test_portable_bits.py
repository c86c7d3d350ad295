"""The same bits under every instruction set: a whole small cell in processes that believe themselves on other processors."""

import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding as llvm

from rbmlib.quantum import tfim

SCRIPT = Path(__file__).with_name("portable_cell.py")
NEEDED = {
    "x86-64-v2": ("ssse3", "sse4.2", "popcnt"),
    "x86-64-v3": ("avx2", "fma", "bmi2"),
    "x86-64-v4": ("avx512f", "avx512bw", "avx512dq", "avx512vl"),
}


def target(name):
    return {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ""}


OLD_LIBM = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F"}
OLD_NUMPY = {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL"}
OLD_BLAS = {"OPENBLAS_CORETYPE": "Nehalem"}
OLDEST = {**target("x86-64-v2"), **OLD_LIBM, **OLD_NUMPY, **OLD_BLAS}


def setting(name, environment, n_threads, *marks):
    return pytest.param(environment, n_threads, id=name, marks=marks)


SETTINGS = [
    setting("oldest of everything, 2 threads", OLDEST, 2),
    setting("x86-64-v3", target("x86-64-v3"), 1),
    setting("x86-64-v2", target("x86-64-v2"), 1, pytest.mark.stress),
    setting("x86-64-v4", target("x86-64-v4"), 1, pytest.mark.stress),
    setting("old libm", OLD_LIBM, 1, pytest.mark.stress),
    setting("old numpy", OLD_NUMPY, 1, pytest.mark.stress),
    setting("old BLAS", OLD_BLAS, 1, pytest.mark.stress),
    setting("2 threads", {}, 2, pytest.mark.stress),
]


@pytest.fixture(scope="module")
def digests(tmp_path_factory, pytestconfig, request):
    """Function (environment, n_threads) -> {array's name: hash}, from a process of its own.

    The processes of all selected tests run at the same time, one a core: most of what they do is compiling.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"bits are promised on x86-64, not on {platform.machine()}")
    state = tfim.ground_state(8, 1.0).to_dataset()
    path = tmp_path_factory.mktemp("input") / "ground_state.npz"
    np.savez(path, **{name: state[name].values for name in ("tensors", "bond_dimensions", "energy")})

    def key(environment, n_threads):
        return (*sorted(environment.items()), n_threads)

    def run_once(environment, n_threads):
        features = llvm.get_host_cpu_features()
        missing = [
            name for name in NEEDED.get(environment.get("NUMBA_CPU_NAME"), ()) if not features.get(name)
        ]
        if missing:
            pytest.skip(
                f"this processor cannot run {environment['NUMBA_CPU_NAME']}: it lacks {', '.join(missing)}"
            )
        changed = {name for param in SETTINGS for name in param.values[0]}
        inherited = {name: value for name, value in os.environ.items() if name not in changed}
        threads = {
            name: str(n_threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        }
        # Machine code is kept between runs of the tests; this processor's own has its usual place.
        folder = "-".join(f"{name}={environment[name]}" for name in sorted(environment))
        cache = {"NUMBA_CACHE_DIR": str(pytestconfig.cache.mkdir("kernels") / folder)} if environment else {}
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(path), str(n_threads)],
            env={**inherited, **environment, **threads, **cache},
            cwd=path.parent, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    calls = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    chosen = [(one.params["environment"], one.params["n_threads"]) for one in calls if one]
    wanted = {key(*one): one for one in [({}, 1), (OLDEST, 2), *chosen]}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        begun = {name: pool.submit(run_once, *one) for name, one in wanted.items()}
        yield lambda environment, n_threads: begun[key(environment, n_threads)].result()


@pytest.fixture(scope="module")
def here(digests):
    """The hashes on this processor as it is."""
    return digests({}, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "n_threads"), SETTINGS)
def test_a_whole_cell_has_the_same_bits_under(environment, n_threads, here, digests):
    found = digests(environment, n_threads)
    assert found.keys() == here.keys()
    assert [name for name in here if name != "libm" and found[name] != here[name]] == []


@pytest.mark.slow
def test_the_settings_bite_a_kernel_that_calls_the_math_library_differs(here, digests):
    if not llvm.get_host_cpu_features().get("fma") or platform.libc_ver()[0] != "glibc":
        pytest.skip("the math library has one variant only here: no FMA, or not glibc")
    assert digests(OLDEST, 2)["libm"] != here["libm"]


@pytest.mark.slow
def test_the_cell_under_test_trains_prunes_and_samples(here):
    assert {"cell.training", "cell.pruning", "cell.sampled", "cell.weights"} <= here.keys()
    drawn = [here[f"sample {size}"] for size in ("18x9", "50x36", "3x4", "6x1")]
    assert len(set(drawn)) == len(drawn)
