"""A Dask cluster as an executor: cells travel there, their results travel back, and the sweep writes them.

A worker needs the same version of this package and nothing else: no store, no shared disk. What is sent is
bytes and one function that travels by value, so that a scheduler needs no more than Dask, and a worker that
has no such package, or another version of it, can say so.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import logging
import math
import os
import pickle
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, InvalidStateError, wait
from contextlib import contextmanager, suppress
from typing import Any

import xarray as xr

from rbmbook.lab.errors import ClusterError, SchedulerLost, SchedulerUnreachable, UnfitWorker, WorkersDied
from rbmbook.lab.worker import THREADS

CONNECT_SECONDS = 30.0  # how long a scheduler may take to answer, on a machine that is busy with cells
_GREETING_SECONDS = 2.0  # and how much longer for a first word
SILENCE = "5 minutes"  # as long as Dask itself waits for a sign of life from a worker
_LOOK_SECONDS = 2.0  # between two questions to the scheduler how many workers it has
_QUESTIONS = 4  # that a silent scheduler is asked: a pause of this process looks like one unanswered question
_INPUTS_KEPT = 8  # inputs that stay on the cluster for cells to come
_QUIETED = ("distributed", "distributed.client")

_one_at_a_time = threading.Lock()


@contextmanager
def cluster(
    address: str, timeout: float | None = None, silence: float | str | None = None
) -> Iterator[ClusterExecutor]:
    """Connect to a running Dask scheduler.

    Parameters
    ----------
    address : str
        Where it listens, such as ``tcp://10.0.0.1:8786``.
    timeout : float, optional
        Seconds that it may take to answer; default 10.
    silence : float or str, optional
        Time without any answer after which it counts as lost, in seconds or with a unit (``"10 minutes"``);
        default Dask's setting ``rbmlib.scheduler-silence``, or 5 minutes. How long a cell takes does not matter.

    Yields
    ------
    ClusterExecutor
        For the argument `executor` of :func:`rbmbook.lab.sweep.sweep`. What it was still computing when the
        block ends is given up.

    Raises
    ------
    ModuleNotFoundError
        If the package ``distributed`` is not installed.
    SchedulerUnreachable
        If no scheduler answers there.
    ClusterError
        If `silence` is not a time above zero.
    """
    try:
        import dask.config
        import distributed
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"a cluster needs the package {error.name}: pip install 'rbmlib[cluster]'", name=error.name
        ) from None
    timeout = CONNECT_SECONDS if timeout is None else timeout
    silence = _seconds(dask.config.get("rbmlib.scheduler-silence", SILENCE) if silence is None else silence)
    # Inputs are sent in the graph on purpose: there they outlive the worker that holds them.
    large = {"distributed.admin.large-graph-warning-threshold": "1 TiB"}
    with _quiet(), dask.config.set(large):
        client = _connect(distributed.Client, address, timeout)
        executor = ClusterExecutor(client, address, silence)
        try:
            yield executor
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            with suppress(Exception):
                client.close(timeout=timeout)


def _connect(client: Callable[..., Any], address: str, timeout: float) -> Any:
    """Make a client, or raise; Dask's own limit covers the connection, not the greeting that follows it."""
    made: Future = Future()

    def connect() -> None:
        options = {"timeout": timeout, "set_as_default": False, "name": "rbmlib"}
        try:
            try:
                connected = client(address, **options)
            except AssertionError:  # a thread of Dask's own did not come to run within ten seconds
                connected = client(address, **options)
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that asked
            with suppress(InvalidStateError):
                made.set_exception(error)
            return
        try:
            made.set_result(connected)
        except InvalidStateError:
            connected.close()  # it woke up when nobody was waiting any more

    threading.Thread(target=connect, daemon=True, name="rbmlib-connect").start()
    if not wait([made], timeout + _GREETING_SECONDS).done and made.cancel():
        raise SchedulerUnreachable(address, "whatever listens there says nothing")
    try:
        return made.result()
    except Exception as error:
        raise SchedulerUnreachable(address, " ".join(str(error).split())) from error


def _seconds(given: float | str) -> float:
    from dask.utils import parse_timedelta

    try:
        seconds = float(parse_timedelta(given))
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ClusterError(
            f"the silence after which a scheduler counts as lost is {given!r}; it must be a time above zero, such "
            "as 300 or '5 minutes'"
        )
    return seconds


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own log off the terminal: what matters of it is raised here, in one sentence."""
    loggers = [logging.getLogger(name) for name in _QUIETED]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class ClusterExecutor(Executor):
    """Runs functions on the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        A connected client.
    address : str
        The scheduler's address, as it should read in errors.
    silence : float
        Seconds without any answer from the scheduler after which it counts as lost.
    """

    def __init__(self, client: Any, address: str, silence: float) -> None:
        self._client, self._address, self._silence = client, address, silence
        self._executor = client.get_executor(pure=False)
        self._entry = _entry()
        self._inputs: OrderedDict[int, tuple[xr.Dataset, str, Any]] = OrderedDict()
        self._unfinished: set[Future] = set()
        self._lost: SchedulerLost | None = None
        self._unanswered = 0
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._threads: dict[str, int] = {}
        with suppress(Exception):
            self._look(CONNECT_SECONDS)
        threading.Thread(target=self._watch, daemon=True, name="rbmlib-scheduler-watch").start()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Have a function called by a worker; datasets among its arguments are sent once for all calls.

        The future raises :class:`SchedulerLost`, :class:`UnfitWorker` or :class:`WorkersDied` besides what the
        function raises.
        """
        inputs: dict[str, Any] = {}
        task = self._pack((function, args, kwargs), inputs)
        try:
            inner = self._executor.submit(self._entry, task, list(inputs), *inputs.values())
        except Exception as error:
            raise SchedulerLost(self._address) from error
        outer: Future = Future()
        with self._lock:
            if self._lost is not None:
                raise self._lost
            self._unfinished.add(outer)
        outer.add_done_callback(self._unfinished.discard)
        outer.add_done_callback(lambda future: inner.cancel() if future.cancelled() else None)
        inner.add_done_callback(lambda future: self._hand_over(future, outer))
        return outer

    def _pack(self, call: tuple[Any, ...], inputs: dict[str, Any]) -> bytes:
        executor = self

        class Pickler(pickle.Pickler):
            def persistent_id(self, value: Any) -> str | None:
                if not isinstance(value, xr.Dataset):
                    return None
                name, inputs[name] = executor._sent(value)
                return name

        packed = io.BytesIO()
        Pickler(packed, protocol=5).dump(call)
        return packed.getvalue()

    def _sent(self, dataset: xr.Dataset) -> tuple[str, Any]:
        """Put a dataset on the cluster, where it is made again if the worker that holds it dies."""
        if id(dataset) not in self._inputs:
            content = pickle.dumps(dataset, protocol=5)
            name = f"rbmlib-input-{hashlib.sha256(content).hexdigest()[:32]}"
            try:
                held = self._client.submit(bytes, content, key=name)
            except Exception as error:
                raise SchedulerLost(self._address) from error
            self._inputs[id(dataset)] = (dataset, name, held)
            if len(self._inputs) > _INPUTS_KEPT:
                self._inputs.popitem(last=False)
        self._inputs.move_to_end(id(dataset))
        return self._inputs[id(dataset)][1:]

    def _hand_over(self, inner: Future, outer: Future) -> None:
        try:
            self._finish(outer, result=self._result(inner))
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the future
            self._finish(outer, error=error)

    def _finish(self, outer: Future, result: Any = None, error: BaseException | None = None) -> None:
        """Settle a future, unless that has been done or nobody wants it any more."""
        with self._lock:
            if (outer.done() and not outer.cancelled()) or not outer.set_running_or_notify_cancel():
                return
            if error is not None:
                outer.set_exception(error)
            else:
                outer.set_result(result)

    def _result(self, inner: Future) -> Any:
        from distributed import KilledWorker

        if inner.cancelled():
            raise SchedulerLost(self._address)
        try:
            answer = inner.result()
        except KilledWorker as error:
            raise WorkersDied(
                f"every worker that tried died of it (killed, out of memory, or a crash in compiled code), the "
                f"last at {error.last_worker.address}"
            ) from None
        if isinstance(answer, str):
            raise UnfitWorker(answer)
        return pickle.loads(answer)

    def _look(self, timeout: float) -> None:
        """Ask the scheduler which workers it has; raises if no answer comes in time."""
        self._threads = dict(self._client.nthreads(callback_timeout=timeout))

    def _watch(self) -> None:
        """Ask again and again, and give up every call when nothing has been heard for too long."""
        each = self._silence / _QUESTIONS
        while self._unanswered < _QUESTIONS:
            if self._closed.wait(min(_LOOK_SECONDS, each)):
                return
            asked = time.monotonic()
            try:
                self._look(each)
                self._unanswered = 0
            except Exception:  # noqa: BLE001 - no answer, for whatever reason
                self._unanswered += 1
                if self._closed.wait(max(0.0, asked + each - time.monotonic())):
                    return
        with self._lock:
            self._lost = SchedulerLost(self._address, f"gave no sign of life for {self._silence:g} s")
            given_up = list(self._unfinished)
        for outer in given_up:
            self._finish(outer, error=self._lost)

    @property
    def n_workers(self) -> int:
        """Number of worker processes that the scheduler had a moment ago."""
        return len(self._threads)

    def remarks(self) -> list[str]:
        """Say what whoever waits should know: a scheduler that is silent, or has no worker; threads that idle."""
        if self._unanswered:
            return [
                f"the scheduler at {self._address} does not answer; the sweep waits for it, {self._silence:g} s at most"
            ]
        if not self.n_workers:
            return [f"the scheduler at {self._address} has no worker; the sweep waits for one"]
        if any(threads > 1 for threads in self._threads.values()):
            return [
                "some workers have several threads, and a process computes one cell at a time: start more workers "
                "with --nthreads 1 instead"
            ]
        return []

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; the cluster itself goes on."""
        self._closed.set()
        self._inputs.clear()
        with suppress(Exception):
            self._executor.shutdown(wait=wait and not cancel_futures)


def _entry() -> Callable[..., bytes | str]:
    """Make the function that is sent; being local to this one, it travels by value and needs no package."""

    def rbmlib_cell(task: bytes, names: list[str], *inputs: bytes) -> bytes | str:
        try:
            from rbmbook.lab.cluster import receive
        except ImportError as error:
            import platform
            import sys

            return (
                f"a worker on {platform.node()} ({sys.executable}) cannot import rbmlib ({error}); install the "
                "version that the sweep runs in every worker's environment"
            )
        return receive(task, dict(zip(names, inputs, strict=True)))

    return rbmlib_cell


def receive(task: bytes, inputs: dict[str, bytes]) -> bytes | str:
    """Do in a worker what :meth:`ClusterExecutor.submit` sent, one call at a time in a process.

    Parameters
    ----------
    task : bytes
        The call, pickled, with names in place of datasets.
    inputs : dict of str to bytes
        The datasets, pickled.

    Returns
    -------
    bytes or str
        The result, pickled; or a sentence that says why this worker cannot do it.
    """

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, name: str) -> xr.Dataset:
            return pickle.loads(inputs[name])

    with _one_at_a_time:  # cells may rely on a process of their own: libraries keep global state
        _settle_in()
        try:
            function, args, kwargs = Unpickler(io.BytesIO(task)).load()
        except Exception as error:  # noqa: BLE001 - a module that is not there or cannot be imported
            import platform

            return (
                f"a worker on {platform.node()} ({sys.executable}) cannot load the code of a cell "
                f"({type(error).__name__}: {error}); install the version that the sweep runs in every worker's "
                "environment"
            )
        return pickle.dumps(function(*args, **kwargs), protocol=5)


def _settle_in() -> None:
    """Give this worker a compiler cache of its own and one thread, before numba is imported."""
    if "numba" in sys.modules:
        return
    for name in THREADS:
        os.environ.setdefault(name, "1")
    if "NUMBA_CACHE_DIR" not in os.environ:
        # Workers that share a folder, on a network disk perhaps, overwrite each other's machine code.
        scratch = importlib.import_module("distributed").get_worker().local_directory
        os.environ["NUMBA_CACHE_DIR"] = os.path.join(scratch, "numba")
