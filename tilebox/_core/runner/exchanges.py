"""What a runner and a server exchange: tasks under a lease, reports of what became of them, and a request for both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2

if TYPE_CHECKING:
    from random import Random

    from google.protobuf.duration_pb2 import Duration

Report: TypeAlias = "runners_pb2.ComputedReport | runners_pb2.FailedReport | runners_pb2.TaskLeaseNumber"
"""A task computed, failed, or handed back."""


MAX_REPORTS = 512
FIRST_PAUSE_SECONDS = 0.05


@dataclass(slots=True, eq=False)
class Lease:
    """A task that was handed to this runner, for a time.

    Args:
        task: The task.
        job: Its job.
        claimed: When it came, on the runner's clock.
        seconds: How long it is ours from then on, if nobody extends it.
    """

    task: runners_pb2.LeasedTask
    job: runners_pb2.LeasedJob
    claimed: float
    seconds: float

    def handed_back(self) -> runners_pb2.TaskLeaseNumber:
        """Return the report that gives it back unexecuted."""
        return runners_pb2.TaskLeaseNumber(task_id=self.task.task_id, lease_number=self.task.lease_number)

    def is_over(self, now: float) -> bool:
        """Whether somebody else may have the task by now."""
        return now >= self.claimed + self.seconds


@dataclass(slots=True, eq=False)
class Exchange:
    """One request: reports that are delivered, and tasks that are asked for.

    It is sent again until it was answered, as it is: the server knows it by its claim id.

    Args:
        claim_id: What the server knows it by.
        reports: What is delivered.
        max_tasks: How many tasks are asked for.
        wait_seconds: How long the server may wait for them.
        covers: Number of idle slots for which it asks.
        is_last_word: Whether there was nothing else under way when it was first sent.
        is_cut: Whether its waiting was ended from this side.
        is_repeated: Whether it was sent before.
    """

    claim_id: bytes
    reports: list[Report]
    max_tasks: int
    wait_seconds: float
    covers: int
    is_last_word: bool
    is_cut: bool = False
    is_repeated: bool = False

    def to_message(self) -> runners_pb2.ExchangeRequest:
        """Return what is different in each request; who asks, and for what kind of task, is not in it."""
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
        """Return the reports in the order in which the server answers to them."""
        return sorted(self.reports, key=_rank) if len(self.reports) > 1 else self.reports


@dataclass
class RetryPauses:
    """How long to wait before the next attempt, while nobody answers."""

    random: Random
    failed: int = 0

    def pause(self, longest: float) -> float:
        """Return how many seconds to wait before the next attempt."""
        self.failed += 1
        cap: float = min(FIRST_PAUSE_SECONDS * 2.0 ** min(self.failed - 1, 20), longest)
        return cap * self.random.uniform(0.5, 1.0)


@dataclass
class Outbox:
    """Reports that nobody carries yet."""

    reports: list[Report] = field(default_factory=list)
    since: float = 0.0
    # After a request was rejected, its reports are sent one by one, to find the one that it was.
    singly: int = 0

    def add(self, report: Report, now: float) -> None:
        """Keep a report until it is taken."""
        if not self.reports:
            self.since = now
        self.reports.append(report)

    def take(self) -> list[Report]:
        """Return the reports of the next request."""
        count = 1 if self.singly else MAX_REPORTS
        self.singly = max(0, self.singly - 1)
        taken, self.reports = self.reports[:count], self.reports[count:]
        return taken


def seconds_of(duration: Duration) -> float:
    """Return a duration in seconds."""
    return duration.seconds + duration.nanos / 1e9


def _rank(report: Report) -> int:
    if isinstance(report, runners_pb2.ComputedReport):
        return 0
    return 1 if isinstance(report, runners_pb2.FailedReport) else 2
