"""Waiting for a job, without IO: how long to wait before the next look, and when there is reason to worry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.jobs import job as jobs
from tilebox._core.jobs.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tilebox._core.jobs.job import Job, QueuedTask

# The first look comes early, since a job that no runner takes should be told soon.
_FIRST_SECONDS = 2.0
_HELD_SECONDS = 20.0
_SHORTEST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
# An answer without news that comes sooner was not held: the server is stopping, or has too much to do.
_HASTY_SECONDS = 0.5
# Of all tasks; a bar does not show less, and the server has better things to do.
_STEP = 0.01


class JobWatch:
    """One wait for one job.

    Args:
        job: The job as it is now.
        timeout: For how many seconds to wait at most; None for as long as it takes.
        now: Seconds on the caller's clock.
    """

    def __init__(self, job: Job, timeout: float | None, now: float) -> None:
        self.job = job
        self._timeout = timeout
        self._started = now
        self._asked = now
        self._hold = _FIRST_SECONDS
        self._pause = _SHORTEST_PAUSE
        self._told: set[str] = set()

    @property
    def computed_at_least(self) -> int:
        """The number of computed tasks that is news."""
        stats = self.job.execution_stats
        return stats.count(TaskState.COMPUTED) + max(1, int(stats.total_tasks * _STEP))

    @property
    def is_idle(self) -> bool:
        """Whether tasks wait, and none is running."""
        stats = self.job.execution_stats
        return not self.job.state.has_ended and stats.count(TaskState.RUNNING) == 0

    def next_hold(self, now: float) -> float:
        """Return for how many seconds a server that can may hold the next request.

        Raises:
            JobTimeoutError: The time is over.
        """
        seconds = self._within(self._hold, now)
        self._asked = now
        self._hold = _HELD_SECONDS
        return seconds

    def next_pause(self, now: float) -> float:
        """Return how many seconds to wait before asking a server that cannot hold a request.

        Raises:
            JobTimeoutError: The time is over.
        """
        seconds = self._within(self._pause, now)
        self._pause = min(self._pause * 1.5, _LONGEST_PAUSE)
        return seconds

    def is_hasty(self, job: Job, now: float) -> bool:
        """Whether an answer came too soon for what it tells, so that a pause is due before the next request."""
        is_news = job.state.has_ended or job.execution_stats.count(TaskState.COMPUTED) >= self.computed_at_least
        return not is_news and now - self._asked < _HASTY_SECONDS

    def note(self, job: Job) -> None:
        """Take note of how the job is now."""
        if job != self.job:
            self._pause = _SHORTEST_PAUSE
        self.job = job

    def news(self, queued: Iterable[QueuedTask]) -> list[str]:
        """Return why tasks wait that will not be executed unless somebody starts a runner; each reason once."""
        reasons = dict.fromkeys(task.explanation for task in queued if task.reason.needs_runner)
        fresh = [reason for reason in reasons if reason not in self._told]
        self._told.update(fresh)
        return fresh

    def _within(self, seconds: float, now: float) -> float:
        if self._timeout is None:
            return seconds
        left = self._started + self._timeout - now
        if left <= 0:
            raise jobs.timeout(self.job, self._timeout)
        return min(seconds, left)
