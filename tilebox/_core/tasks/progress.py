"""Progress that a task reports: total and completed work by label.

Several threads of a task may count at once. Appending to a deque is a single step of the interpreter, so nothing
here needs a lock.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from tilebox._core.protocol.workflows.v1 import core_pb2

MAX_LABEL = 100
MAX_COUNT = 2**64 - 1


class ProgressTracker:
    """Counts the total and the completed work under one label.

    Args:
        label: The label; empty for the unnamed counter.
    """

    def __init__(self, label: str = "") -> None:
        self.label = label
        self._total = _Sum()
        self._done = _Sum()

    def add(self, n: int) -> None:
        """Add to the total work.

        Args:
            n: The number of additional units of work.

        Raises:
            TypeError: `n` is not a whole number.
            ValueError: `n` is negative.
        """
        self._total.add(_count(n))

    def done(self, n: int) -> None:
        """Add to the completed work.

        Args:
            n: The number of units of work that are completed.

        Raises:
            TypeError: `n` is not a whole number.
            ValueError: `n` is negative.
        """
        self._done.add(_count(n))

    def to_message(self) -> core_pb2.Progress:
        """Convert the counter to its protobuf message; numbers beyond 64 bits become the largest one."""
        return core_pb2.Progress(
            label=self.label, total=min(self._total.value(), MAX_COUNT), done=min(self._done.value(), MAX_COUNT)
        )

    def __repr__(self) -> str:
        return f"<{self.label or 'progress'}: {self._done.value()} of {self._total.value()}>"


def checked_label(label: Any) -> str:
    """Return a label as it is reported; None means the unnamed counter.

    Raises:
        TypeError: The label is not a string.
        ValueError: The label is too long, or cannot be encoded in UTF-8.
    """
    if label is None:
        return ""
    if not isinstance(label, str):
        raise TypeError(f"a label must be a string, not {label!r}")
    if len(label) > MAX_LABEL:
        raise ValueError(f"a label may have at most {MAX_LABEL} characters, but {label[:20]!r}… has {len(label)}")
    try:
        label.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the label {label!r} cannot be encoded in UTF-8; it contains a lone surrogate") from None
    return label


class _Sum:
    """A sum that several threads add to; it is exact whenever no thread is within `add`."""

    def __init__(self) -> None:
        self._parts: deque[int] = deque()

    def add(self, number: int) -> None:
        self._parts.append(number)
        if len(self._parts) > 256:
            self._fold()

    def value(self) -> int:
        return sum(self._parts.copy())

    def _fold(self) -> None:
        # Another thread may fold at the same time. Each adds back exactly what it took out, so the sum stays the same.
        folded = 0
        try:
            for _ in range(256):
                folded += self._parts.popleft()
        except IndexError:
            pass
        self._parts.append(folded)


def _count(n: Any) -> int:
    if isinstance(n, bool) or not hasattr(type(n), "__index__"):
        raise TypeError(f"progress must be a whole number, not {n!r}")
    number = n.__index__()
    if number < 0:
        raise ValueError(f"progress must not be negative, but is {n}")
    return int(number)
