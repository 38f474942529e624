"""SIGINT and SIGTERM during a run: the first signal drains the runner, the second ends it at once."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ReceivedSignals:
    """The signals received so far."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    @property
    def needs_keyboard_interrupt(self) -> bool:
        """Whether Ctrl-C followed the first signal, so that the caller must get a KeyboardInterrupt."""
        return len(self.numbers) > 1 and signal.SIGINT in self.numbers[1:]


@contextmanager
def handle_signals(on_signal: Callable[[], object]) -> Iterator[ReceivedSignals]:
    """Handle signals, if this is the main thread and the program has no handlers of its own.

    Args:
        on_signal: The function to call for each signal. It runs in the main thread, between any two instructions.

    Yields:
        The signals received so far.
    """
    received = ReceivedSignals()

    def handler_of_run(number: int, _frame: object) -> None:
        received.numbers.append(number)
        on_signal()

    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if _is_default(handler):
                previous[number] = handler
                signal.signal(number, handler_of_run)
    try:
        yield received
    finally:
        for restored, handler in previous.items():
            signal.signal(restored, handler)


def _is_default(handler: Any) -> bool:
    """Return whether a handler is Python's default, or the one by which asyncio cancels its main task."""
    if handler in (signal.SIG_DFL, signal.default_int_handler):
        return True
    return getattr(getattr(handler, "func", None), "__module__", None) == "asyncio.runners"
