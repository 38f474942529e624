"""Waiting for a job, without IO: the time to the next request, and warnings about tasks that no runner takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.jobs import job as jobs
from tilebox._core.jobs.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tilebox._core.jobs.job import Job, QueuedTask

# The first request is short, so that the warning about a job without a runner comes soon.
_FIRST_HOLD_SECONDS = 2.0
_HOLD_SECONDS = 20.0
_SHORTEST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
# The server did not hold a request if its answer has no news and comes sooner: it is stopping or overloaded.
_EARLY_SECONDS = 0.5
# The share of all tasks that counts as progress. A bar does not show less, and each answer costs the server a query.
_MIN_PROGRESS = 0.01


class JobWatch:
    """One wait for one job.

    Args:
        job: The current job.
        timeout: The longest time to wait, in seconds; None for no limit.
        now: The time on the caller's clock, in seconds.
    """

    def __init__(self, job: Job, timeout: float | None, now: float) -> None:
        self.job = job
        self._timeout = timeout
        self._started = now
        self._requested = now
        self._hold = _FIRST_HOLD_SECONDS
        self._pause = _SHORTEST_PAUSE
        self._reported: set[str] = set()

    @property
    def computed_at_least(self) -> int:
        """The number of computed tasks from which an answer is news."""
        stats = self.job.execution_stats
        return stats.count(TaskState.COMPUTED) + max(1, int(stats.total_tasks * _MIN_PROGRESS))

    @property
    def is_idle(self) -> bool:
        """Whether the job has not ended, but no task is running."""
        stats = self.job.execution_stats
        return not self.job.state.has_ended and stats.count(TaskState.RUNNING) == 0

    def next_hold(self, now: float) -> float:
        """Return the seconds for which a server with long polling may hold the next request.

        Raises:
            JobTimeoutError: The timeout is over.
        """
        seconds = self._within(self._hold, now)
        self._requested = now
        self._hold = _HOLD_SECONDS
        return seconds

    def next_pause(self, now: float) -> float:
        """Return the seconds to wait before the next request to a server without long polling.

        Raises:
            JobTimeoutError: The timeout is over.
        """
        seconds = self._within(self._pause, now)
        self._pause = min(self._pause * 1.5, _LONGEST_PAUSE)
        return seconds

    def is_early(self, job: Job, now: float) -> bool:
        """Return whether an answer without news came too soon, so that a pause must precede the next request."""
        is_news = job.state.has_ended or job.execution_stats.count(TaskState.COMPUTED) >= self.computed_at_least
        return not is_news and now - self._requested < _EARLY_SECONDS

    def note(self, job: Job) -> None:
        """Record the current job; a change shortens the next pause."""
        if job != self.job:
            self._pause = _SHORTEST_PAUSE
        self.job = job

    def new_warnings(self, queued: Iterable[QueuedTask]) -> list[str]:
        """Return the reasons why tasks need another runner; each reason is returned only once."""
        reasons = dict.fromkeys(task.explanation for task in queued if task.reason.needs_runner)
        new_reasons = [reason for reason in reasons if reason not in self._reported]
        self._reported.update(new_reasons)
        return new_reasons

    def _within(self, seconds: float, now: float) -> float:
        if self._timeout is None:
            return seconds
        left = self._started + self._timeout - now
        if left <= 0:
            raise jobs.timeout(self.job, self._timeout)
        return min(seconds, left)
