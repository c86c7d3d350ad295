"""A line now and then while something takes long, so that nobody waits in silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 30.0
"""Seconds from one line to the next."""


@contextmanager
def ticking(
    tell: Callable[[str], None], line: Callable[[float], str], every: float | None = None
) -> Iterator[None]:
    """Tell a line every half minute while the block under ``with`` runs.

    Parameters
    ----------
    tell : callable
        Takes one line. Called from a thread of its own; not any more once the block has ended.
    line : callable
        Makes the line from the seconds that have passed.
    every : float, optional
        Seconds from one line to the next; default :data:`EVERY`.
    """
    pause = EVERY if every is None else every
    ended, turn, start = threading.Event(), threading.Lock(), time.monotonic()

    def run() -> None:
        while not ended.wait(pause):
            with turn:
                if not ended.is_set():
                    tell(line(time.monotonic() - start))

    thread = threading.Thread(target=run, daemon=True, name="ticking")
    thread.start()
    try:
        yield
    finally:
        with turn:
            ended.set()
        thread.join()
