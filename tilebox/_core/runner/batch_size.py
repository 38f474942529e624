"""How many tasks a runner asks for at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BATCH_SECONDS = 0.05
MAX_BATCH = 256


class BatchSize:
    """How many tasks to ask for, for each slot: one, unless the last ones were short.

    A batch should not be worth more than `BATCH_SECONDS`, by what tasks of the same kinds took; and it
    grows only from one that came whole, so a few tasks spread over all who wait for them.
    """

    def __init__(self) -> None:
        self.size = 1
        self.came_whole = False
        self._seconds: dict[int, float] = {}
        self._recent: set[int] = set()

    def finished(self, identifier: int, seconds: float) -> None:
        """Note how long a task took. What takes longer than thought is believed sooner."""
        known = self._seconds.get(identifier, seconds)
        self._seconds[identifier] = known + (0.5 if seconds > known else 0.2) * (seconds - known)
        self._recent.add(identifier)

    def answered(self, wanted: int, identifiers: Iterable[int], received: int) -> None:
        """Note what came of asking for tasks."""
        self._recent.update(identifiers)
        self.came_whole = received >= wanted
        self.size = self.size * 2 if self.came_whole else max(1, min(self.size, received))

    def surprised(self) -> None:
        """Note that a task takes longer than all those like it."""
        self.size = 1
        self._recent.clear()

    def expected(self, identifier: int) -> float | None:
        """Return how many seconds a task of a kind takes, if that is known."""
        return self._seconds.get(identifier)

    def __call__(self) -> int:
        """Return how many tasks to ask for, now."""
        worst = max((self._seconds.get(one, BATCH_SECONDS) for one in self._recent), default=BATCH_SECONDS)
        self._recent.clear()
        self.size = max(1, min(self.size, MAX_BATCH, int(BATCH_SECONDS / max(worst, 1e-6))))
        return self.size
