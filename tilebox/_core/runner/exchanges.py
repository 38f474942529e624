"""Exchanges between a runner and the server: leased tasks, reports of their outcome, and the request for both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2

if TYPE_CHECKING:
    from random import Random

    from google.protobuf.duration_pb2 import Duration

Report: TypeAlias = "runners_pb2.ComputedReport | runners_pb2.FailedReport | runners_pb2.TaskLeaseNumber"
"""The report of a task: computed, failed, or returned unexecuted."""


MAX_REPORTS = 512
FIRST_PAUSE_SECONDS = 0.05


@dataclass(slots=True, eq=False)
class Lease:
    """A task that this runner has claimed for a limited time.

    Args:
        task: The task.
        job: The job of the task.
        claimed: The time at which it arrived, on the runner's clock.
        seconds: The duration of the lease from then on, unless it is extended.
    """

    task: runners_pb2.LeasedTask
    job: runners_pb2.LeasedJob
    claimed: float
    seconds: float

    def handed_back(self) -> runners_pb2.TaskLeaseNumber:
        """Return the report that returns the task unexecuted."""
        return runners_pb2.TaskLeaseNumber(task_id=self.task.task_id, lease_number=self.task.lease_number)

    def is_over(self, now: float) -> bool:
        """Return whether the lease has expired, so that another runner may have the task."""
        return now >= self.claimed + self.seconds


@dataclass(slots=True, eq=False)
class Exchange:
    """One request, which delivers reports and claims tasks.

    It is repeated unchanged until the server answers; the server recognises a repetition by the claim id.

    Args:
        claim_id: The id of the request.
        reports: The reports to deliver.
        max_tasks: The largest number of tasks to claim.
        wait_seconds: The time that the server may wait for tasks.
        idle_slots: The number of idle slots for which it claims.
        is_final: Whether nothing else was under way when it was first sent.
        is_interrupted: Whether the runner interrupted its wait.
        is_repeated: Whether it was sent before.
    """

    claim_id: bytes
    reports: list[Report]
    max_tasks: int
    wait_seconds: float
    idle_slots: int
    is_final: bool
    is_interrupted: bool = False
    is_repeated: bool = False

    def to_message(self) -> runners_pb2.ExchangeRequest:
        """Convert the request to its protobuf message, without the constant fields of the runner and its tasks."""
        message = runners_pb2.ExchangeRequest(
            max_tasks=self.max_tasks, claim_id=self.claim_id, is_repeated=self.is_repeated
        )
        for report in self.ordered():
            if isinstance(report, runners_pb2.ComputedReport):
                message.computed.append(report)
            elif isinstance(report, runners_pb2.FailedReport):
                message.failed.append(report)
            else:
                message.returned.append(report)
        if self.wait_seconds:
            seconds = int(self.wait_seconds)
            message.wait.seconds, message.wait.nanos = seconds, int((self.wait_seconds - seconds) * 1e9)
        return message

    def ordered(self) -> list[Report]:
        """Return the reports in the order of the outcomes in the server's response."""
        return sorted(self.reports, key=_rank) if len(self.reports) > 1 else self.reports


@dataclass
class RetryDelays:
    """The delays between attempts while the server does not answer."""

    random: Random
    failed: int = 0

    def next_delay(self, longest: float) -> float:
        """Return the seconds to wait before the next attempt, at most `longest`."""
        self.failed += 1
        cap: float = min(FIRST_PAUSE_SECONDS * 2.0 ** min(self.failed - 1, 20), longest)
        return cap * self.random.uniform(0.5, 1.0)


@dataclass
class Outbox:
    """Reports that no request has taken yet."""

    reports: list[Report] = field(default_factory=list)
    since: float = 0.0
    # After a rejected request, this many reports are sent one by one, to find the one that is rejected.
    singles: int = 0

    def add(self, report: Report, now: float) -> None:
        """Add a report."""
        if not self.reports:
            self.since = now
        self.reports.append(report)

    def take(self) -> list[Report]:
        """Remove and return the reports of the next request."""
        count = 1 if self.singles else MAX_REPORTS
        self.singles = max(0, self.singles - 1)
        taken, self.reports = self.reports[:count], self.reports[count:]
        return taken


def seconds_of(duration: Duration) -> float:
    """Return a duration in seconds."""
    return duration.seconds + duration.nanos / 1e9


def _rank(report: Report) -> int:
    if isinstance(report, runners_pb2.ComputedReport):
        return 0
    return 1 if isinstance(report, runners_pb2.FailedReport) else 2
