"""The demo's output: each step with its code, its result and its duration."""

from __future__ import annotations

import textwrap
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


class Transcript:
    """A transcript of the demo that readers can follow.

    Args:
        out: The stream to write to. Only a terminal gets colours.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._steps = 0

    def step(self, title: str) -> None:
        """Start a numbered step."""
        self._steps += 1
        self._write(f"\n{self._styled(f'{self._steps}. {title}', '1;36')}")

    def code(self, source: str) -> None:
        """Print code that the reader could type."""
        for line in textwrap.dedent(source).strip().splitlines():
            self._write(self._styled(f"    {line}", "2"))

    def say(self, text: str = "") -> None:
        """Print a line."""
        self._write(f"  {text}" if text else "")

    def show(self, value: Any) -> None:
        """Print a value, indented."""
        self._write(textwrap.indent(str(value), "    "))

    @staticmethod
    @contextmanager
    def timed() -> Iterator[Stopwatch]:
        """Measure the duration of the block."""
        watch = Stopwatch()
        yield watch
        watch.stop()

    def _write(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def _styled(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._is_terminal else text


class Stopwatch:
    """The seconds from its creation to `stop`."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.seconds = 0.0

    def stop(self) -> None:
        """Stop the watch."""
        self.seconds = time.perf_counter() - self._started

    def rate(self, count: int, noun: str) -> str:
        """Return a count with duration and rate: `1,200 datapoints in 0.30 s, 4,000 per second`."""
        return f"{count:,} {noun} in {self.seconds:.2f} s, {count / max(self.seconds, 1e-9):,.0f} per second"
