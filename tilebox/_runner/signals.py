"""SIGINT and SIGTERM while a runner runs: the first one drains it, the second one ends it at once."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Received:
    """The signals that came so far."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    @property
    def asks_for_interrupt(self) -> bool:
        """Whether Ctrl-C was pressed again after the first signal, so that the caller gets a KeyboardInterrupt."""
        return len(self.numbers) > 1 and signal.SIGINT in self.numbers[1:]


@contextmanager
def received(handle: Callable[[], object]) -> Iterator[Received]:
    """Receive signals, if this is the main thread and the program has no handlers of its own.

    Args:
        handle: Called for each of them, in the main thread and between any two of its instructions.

    Yields:
        What was received so far.
    """
    seen = Received()

    def note(number: int, _frame: object) -> None:
        seen.numbers.append(number)
        handle()

    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if _is_default(handler):
                previous[number] = handler
                signal.signal(number, note)
    try:
        yield seen
    finally:
        for received_number, handler in previous.items():
            signal.signal(received_number, handler)


def _is_default(handler: Any) -> bool:
    """Return whether a handler is Python's default, or the one with which asyncio cancels its main task."""
    if handler in (signal.SIG_DFL, signal.default_int_handler):
        return True
    return getattr(getattr(handler, "func", None), "__module__", None) == "asyncio.runners"
