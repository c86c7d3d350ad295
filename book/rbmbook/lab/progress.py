"""How a sweep tells what it does: a bar in a terminal, a line every half minute and at the end elsewhere, nothing if
nothing was missing.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from tqdm import tqdm

from rbmbook.lab.ticking import ticking

Progress = Callable[[str], None] | bool | None


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


class Reporter:
    """Shows a sweep's progress.

    Parameters
    ----------
    progress : callable, bool or None
        A function that takes a line of text every half minute and when the sweep ends; None or True for a bar if
        standard error is a terminal and those lines on standard error if not; False for silence.
    label : str
        What is being swept.
    """

    def __init__(self, progress: Progress, label: str) -> None:
        progress = None if progress is True else progress
        if progress not in (None, False) and not callable(progress):
            raise TypeError(f"progress is {progress!r}; it must be a function of one line, a bool or None")
        self._tell: Callable[[str], None] | None = (
            None if progress is False else progress if callable(progress) else _to_stderr
        )
        self._in_terminal = progress is None and sys.stderr.isatty()
        self._label = label
        self._bar: tqdm | None = None
        self._total = 0
        self._stands = (0, 0, 0)
        self._ticking = contextlib.ExitStack()
        self._ticks = False

    def start(self, total: int, stored: int) -> None:
        """Begin, with so many cells in all and so many of them stored."""
        self._total, self._stands = total, (stored, 0, 0)
        if self._tell is not None and not self._in_terminal and not self._ticks:
            self._ticks = True
            self._ticking.enter_context(ticking(self._tell, self._line))
        if self._in_terminal and self._bar is None:
            columns, shape = None, {}
            with contextlib.suppress(OSError, ValueError):
                columns = os.get_terminal_size(sys.stderr.fileno()).columns
            if columns == 0:
                shape = {
                    "ncols": 80,
                    "nrows": 24,
                }  # such a terminal exists; left alone, tqdm shows nothing there
            self._bar = tqdm(
                total=total,
                initial=stored,
                desc=self._label,
                unit="cell",
                dynamic_ncols=columns != 0,
                file=sys.stderr,
                **shape,
            )

    def update(self, done: int, running: int, failed: int) -> None:
        """Show where the sweep stands; also moves the clock on while nothing happens."""
        self._stands = (done, running, failed)
        if self._bar is not None:
            self._bar.n = done
            self._bar.set_postfix(running=running, failed=failed, refresh=False)
            self._bar.refresh()

    def _line(self, seconds: float) -> str:
        done, running, failed = self._stands
        state = [f"{done} of {self._total} cells stored"]
        state += [f"{count} {what}" for count, what in ((running, "running"), (failed, "failed")) if count]
        return f"{self._label}: {', '.join(state)} after {seconds:.0f} s"

    def note(self, line: str) -> None:
        """Tell something that the reader should know at once."""
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        elif self._tell is not None:
            self._tell(line)

    def failed(self, line: str) -> None:
        """Tell of a failed cell, in a terminal; elsewhere the error at the end is enough."""
        if self._bar is not None:
            self.note(line)

    def close(self) -> None:
        """Leave the bar as it stands, and tell no more."""
        self._ticking.close()
        self._ticks = False
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def finish(self, stored: int, computed: int, failed: int, seconds: float) -> None:
        """Sum up in one line, unless everything was stored or a bar has shown it."""
        self.close()
        if self._tell is None or self._in_terminal or not (computed or failed):
            return
        failures = f", {failed} failed" if failed else ""
        cells = stored + computed + failed
        self._tell(
            f"{self._label}: {cells} cells, {stored} already stored, {computed} computed{failures} "
            f"in {seconds:.0f} s"
        )
