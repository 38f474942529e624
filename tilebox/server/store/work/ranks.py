"""A job as a transaction of the orchestrator sees it: the ranks of its tasks, and changes of its counts.

The rank of a task is its place in the queue: runners claim the lowest rank first. Ranks follow start-time fair queueing
(Goyal, Vin and Cheng, 1996): the virtual time of a cluster is the rank that was claimed last, the *virtual rank*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class JobRank:
    """The last rank of a job, and what the transaction adds to the job's counts.

    The counts are differences, written by one statement at the end of the transaction.

    Args:
        last_rank: The highest rank that a task of the job was given.
        is_live: Whether runners may claim tasks of the job: it has not failed and is not canceled.
        total: Tasks that were submitted.
        computed: Tasks that were computed.
        failed: Tasks whose failure stops the job.
        failed_optional: Tasks whose failure an optional task absorbs.
        skipped: Tasks that will never be executed.
        closed_groups: Groups of root tasks that are completed.
        started_us: The earliest start of an attempt, or None.
        stopped_us: The latest end of an attempt, or None.
        compute_us: The sum of the execution times.
    """

    last_rank: int
    is_live: bool
    total: int = 0
    computed: int = 0
    failed: int = 0
    failed_optional: int = 0
    skipped: int = 0
    closed_groups: int = 0
    started_us: int | None = None
    stopped_us: int | None = None
    compute_us: int = 0

    def allocate_ranks(self, count: int, virtual_rank: int) -> int:
        """Allocate consecutive ranks, and return the first of them.

        The tasks of a job get consecutive ranks, but never one below the virtual rank, where new jobs start. A small
        job therefore finishes while a large one is still running (start-time fair queueing).

        Args:
            count: The number of ranks.
            virtual_rank: The rank at which new jobs enter the queue.
        """
        first = max(virtual_rank, self.last_rank + 1)
        self.last_rank = first + count - 1
        return first

    def add_attempt(self, started_us: int | None, stopped_us: int) -> None:
        """Add the execution time of an attempt."""
        if started_us is not None:
            self.started_us = started_us if self.started_us is None else min(self.started_us, started_us)
            # The clock may have been set back since the task was leased.
            self.compute_us += max(0, stopped_us - started_us)
        self.stopped_us = stopped_us if self.stopped_us is None else max(self.stopped_us, stopped_us)

    def as_arguments(self, job: bytes) -> dict[str, Any]:
        """Return the arguments of the statement `update_job_counts`."""
        return {
            "job": job,
            "total": self.total,
            "computed": self.computed,
            "failed": self.failed,
            "failed_optional": self.failed_optional,
            "skipped": self.skipped,
            "closed_groups": self.closed_groups,
            "last_rank": self.last_rank,
            "started_us": self.started_us,
            "stopped_us": self.stopped_us,
            "compute_us": self.compute_us,
        }
