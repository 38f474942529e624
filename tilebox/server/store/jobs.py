"""What is read of jobs and their tasks. What changes them is in `orchestration`.

Ids of jobs, groups and tasks are 16 bytes that sort by the time at which they were made. Every verb takes the team,
and answers for jobs of other teams as for jobs that do not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tilebox._core.scheduling import ENDED, JobCounts, JobState, TaskState, job_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class LabelProgress:
    """How far the tasks of a job are with something, together."""

    label: str
    total: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it is now.

    Args:
        id: Its id.
        name: What its submitter calls it.
        trace_parent: The trace that it belongs to.
        automation: What submitted it, or None.
        submitted_us: When it was submitted.
        is_canceled: Whether somebody canceled it, and nobody retried it since.
        is_completed: Whether all of its root tasks are completed.
        counts: How many of its tasks are in which state.
        first_started_us: When its first task was started, or None.
        last_stopped_us: When its last task stopped, or None.
        compute_us: How long its tasks were executed, together.
        progress: What its tasks said of their progress.
    """

    id: bytes
    name: str
    trace_parent: str
    automation: bytes | None
    submitted_us: int
    is_canceled: bool
    is_completed: bool
    counts: JobCounts
    first_started_us: int | None
    last_stopped_us: int | None
    compute_us: int
    progress: Sequence[LabelProgress] = ()

    @property
    def state(self) -> JobState:
        """Where it is."""
        return job_state(
            self.counts,
            is_canceled=self.is_canceled,
            is_completed=self.is_completed,
            was_started=self.first_started_us is not None,
        )

    @property
    def has_ended(self) -> bool:
        """Whether it hands out no tasks."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class JobBrief:
    """What of a job never changes, and travels with its tasks."""

    name: str
    trace_parent: str


class JobStore(Protocol):
    """The verbs."""

    async def job(self, team: UUID, job: bytes) -> Job | None:
        """Return a job by id."""

    async def job_brief(self, team: UUID, job: bytes) -> JobBrief | None:
        """Return what of a job never changes."""

    async def job_clusters(self, team: UUID, job: bytes) -> list[int]:
        """Return the clusters of a job's root tasks."""

    async def task_state(self, team: UUID, task: bytes) -> TaskState | None:
        """Return the state of a task."""

    async def task_cluster(self, team: UUID, task: bytes) -> int | None:
        """Return the cluster that a task is meant for."""
