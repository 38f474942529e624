"""The progress of a job during `wait`: a bar of its tasks, or a callback; the same for both clients."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from tilebox._core.jobs.states import JobState, TaskState
from tilebox._io.progress.bars import claim_label, close_bar, open_bar, release_label

if TYPE_CHECKING:
    from collections.abc import Callable

    from tilebox._core.jobs.job import Job

__all__ = ["JobProgress"]

_log = logging.getLogger("tilebox.workflows")

# Without a remaining time, because the total grows while tasks submit others.
_BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} tasks [{elapsed}{postfix}]"


class JobProgress:
    """The progress of one job.

    Args:
        show: True for a bar, False for nothing, or a function that is called with the finished fraction.
        title: The label of the bar, which gets a number while another bar has the same label.
    """

    def __init__(self, show: bool | Callable[[float], object], *, title: str) -> None:
        self._callback = show if callable(show) else None
        self._wants_bar = show is True
        self._title = title
        self._label = ""
        self._bar: Any = None

    def update(self, job: Job) -> None:
        """Show the current state of the job."""
        stats = job.execution_stats
        computed, total = stats.count(TaskState.COMPUTED), stats.total_tasks
        if self._callback is not None:
            self._callback(1.0 if job.state is JobState.COMPLETED else computed / max(total, 1))
        # A job that has ended before the first update needs no bar.
        if self._wants_bar and (self._bar is not None or not job.state.has_ended):
            self._draw(job, computed, total)

    def warn(self, warning: str) -> None:
        """Log a warning, above the bar if there is one."""
        if self._bar is None or self._bar.disable or hasattr(self._bar, "container"):
            _log.warning("%s", warning)
            return
        with self._bar.external_write_mode(file=self._bar.fp):
            _log.warning("%s", warning)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            close_bar(self._bar)
            release_label(self._label)

    def _draw(self, job: Job, computed: int, total: int) -> None:
        if self._bar is None:
            self._label = claim_label(self._title)
            self._bar = open_bar(desc=self._label, total=total, bar_format=_BAR_FORMAT)
        counters = [f"{counter.label or 'progress'} {counter.done}/{counter.total}" for counter in job.progress]
        self._bar.set_postfix_str(", ".join([job.state.lower(), *counters]), refresh=False)
        self._bar.total, self._bar.n = total, computed
        self._bar.refresh()
