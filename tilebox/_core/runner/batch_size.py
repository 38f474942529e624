"""The number of tasks that a runner claims at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BATCH_SECONDS = 0.05
MAX_BATCH = 256


class BatchSize:
    """The number of tasks to claim per slot: one, unless the last tasks were short.

    A batch should not take longer than `BATCH_SECONDS`, by the durations of earlier tasks of the same kinds. It
    grows only after a full batch, so that few tasks spread over all waiting runners.
    """

    def __init__(self) -> None:
        self.size = 1
        self.was_full = False
        self._seconds: dict[int, float] = {}
        self._recent: set[int] = set()

    def finished(self, identifier: int, seconds: float) -> None:
        """Record the duration of a task, in a moving average that rises faster than it falls."""
        average = self._seconds.get(identifier, seconds)
        self._seconds[identifier] = average + (0.5 if seconds > average else 0.2) * (seconds - average)
        self._recent.add(identifier)

    def answered(self, wanted: int, identifiers: Iterable[int], received: int) -> None:
        """Record a claim: the number of tasks wanted, the identifiers received, and the number received."""
        self._recent.update(identifiers)
        self.was_full = received >= wanted
        self.size = self.size * 2 if self.was_full else max(1, min(self.size, received))

    def reset(self) -> None:
        """Start again with one task, because a task takes longer than earlier ones of its kind."""
        self.size = 1
        self._recent.clear()

    def expected(self, identifier: int) -> float | None:
        """Return the expected duration of a task by its identifier, in seconds; None if it is unknown."""
        return self._seconds.get(identifier)

    def __call__(self) -> int:
        """Return the number of tasks to claim now."""
        longest = max((self._seconds.get(kind, BATCH_SECONDS) for kind in self._recent), default=BATCH_SECONDS)
        self._recent.clear()
        self.size = max(1, min(self.size, MAX_BATCH, int(BATCH_SECONDS / max(longest, 1e-6))))
        return self.size
