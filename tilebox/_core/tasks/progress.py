"""Progress that a task reports: what there is to do and what is done, under labels.

Several threads of a task may count at once. Appending to a deque is one step of the interpreter, so nothing here
needs a lock.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from tilebox._core.protocol.workflows.v1 import core_pb2

MAX_LABEL = 100
MAX_COUNT = 2**64 - 1


class ProgressTracker:
    """Counts what is to be done and what is done, under one label.

    Args:
        label: The label, empty for the unnamed one.
    """

    def __init__(self, label: str = "") -> None:
        self.label = label
        self._total = _Sum()
        self._done = _Sum()

    def add(self, n: int) -> None:
        """Say that there is more to do.

        Args:
            n: How much.
        """
        self._total.add(_count(n))

    def done(self, n: int) -> None:
        """Say that some of it is done.

        Args:
            n: How much.
        """
        self._done.add(_count(n))

    def to_message(self) -> core_pb2.Progress:
        """Return what is reported."""
        return core_pb2.Progress(
            label=self.label, total=min(self._total.value(), MAX_COUNT), done=min(self._done.value(), MAX_COUNT)
        )

    def __repr__(self) -> str:
        return f"<{self.label or 'progress'}: {self._done.value()} of {self._total.value()}>"


def checked_label(label: Any) -> str:
    """Return a label as it is reported; None stands for the unnamed counter.

    Raises:
        TypeError: It is no text.
        ValueError: It is too long, or UTF-8 cannot hold it.
    """
    if label is None:
        return ""
    if not isinstance(label, str):
        raise TypeError(f"a label must be text, not {label!r}")
    if len(label) > MAX_LABEL:
        raise ValueError(f"a label has at most {MAX_LABEL} characters, but {label[:20]!r}… has {len(label)}")
    try:
        label.encode()
    except UnicodeEncodeError:
        raise ValueError(f"a label must be text that UTF-8 can hold, which {label!r} is not") from None
    return label


class _Sum:
    """A sum that several threads add to. It is exact as soon as none of them is in the middle of adding."""

    def __init__(self) -> None:
        self._parts: deque[int] = deque()

    def add(self, number: int) -> None:
        self._parts.append(number)
        if len(self._parts) > 256:
            self._fold()

    def value(self) -> int:
        return sum(self._parts.copy())

    def _fold(self) -> None:
        # Whatever another thread takes out at the same time, it puts back as well.
        folded = 0
        try:
            for _ in range(256):
                folded += self._parts.popleft()
        except IndexError:
            pass
        self._parts.append(folded)


def _count(n: Any) -> int:
    if isinstance(n, bool) or not hasattr(type(n), "__index__"):
        raise TypeError(f"progress is counted in whole numbers, not in {n!r}")
    number = n.__index__()
    if number < 0:
        raise ValueError(f"progress does not go back: {n}")
    return int(number)
