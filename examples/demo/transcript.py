"""What the demonstration prints: each step with the code that does it, what came out, and how long it took."""

from __future__ import annotations

import textwrap
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


class Transcript:
    """A record for a reader who wants to do the same.

    Args:
        out: Where it is written. Colours appear only on a terminal.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._steps = 0

    def step(self, title: str) -> None:
        """Begin a step."""
        self._steps += 1
        self._write(f"\n{self._styled(f'{self._steps}. {title}', '1;36')}")

    def code(self, source: str) -> None:
        """Show code that the reader could type."""
        for line in textwrap.dedent(source).strip().splitlines():
            self._write(self._styled(f"    {line}", "2"))

    def say(self, text: str = "") -> None:
        """Show a line."""
        self._write(f"  {text}" if text else "")

    def show(self, value: Any) -> None:
        """Show what a value prints as."""
        self._write(textwrap.indent(str(value), "    "))

    @staticmethod
    @contextmanager
    def timed() -> Iterator[Stopwatch]:
        """Measure what is done inside."""
        watch = Stopwatch()
        yield watch
        watch.stop()

    def _write(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def _styled(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._is_terminal else text


class Stopwatch:
    """Seconds from its making to its stop."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.seconds = 0.0

    def stop(self) -> None:
        """Take the time."""
        self.seconds = time.perf_counter() - self._started

    def rate(self, count: int, what: str) -> str:
        """Say how many of something that was: `1,200 datapoints in 0.3 s, 4,000 a second`."""
        return f"{count:,} {what} in {self.seconds:.2f} s, {count / max(self.seconds, 1e-9):,.0f} a second"
