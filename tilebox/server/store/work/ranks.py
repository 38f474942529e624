"""Jobs as transactions of the orchestrator see them: the turns of their tasks, and the sums over these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Line:
    """What a transaction knows of a job, and what it adds to the job's counts."""

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

    def take_ranks(self, count: int, virtual_rank: int) -> int:
        """Return the first of so many ranks.

        A job's tasks go one behind the other, but never further ahead than where new jobs join the line. So a
        small job is done while a large one goes on (start-time fair queueing).
        """
        first = max(virtual_rank, self.last_rank + 1)
        self.last_rank = first + count - 1
        return first

    def ran(self, started_us: int | None, stopped_us: int) -> None:
        """Note the time of an attempt."""
        if started_us is not None:
            self.started_us = started_us if self.started_us is None else min(self.started_us, started_us)
            self.compute_us += max(0, stopped_us - started_us)
        self.stopped_us = stopped_us if self.stopped_us is None else max(self.stopped_us, stopped_us)

    def change(self, job: bytes) -> dict[str, Any]:
        """Return what to write of it, for the statement that does."""
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
