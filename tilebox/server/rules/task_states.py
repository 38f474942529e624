"""The state machines of tasks and jobs, without IO. The store applies them.

A task is queued, runs, and ends:

    QUEUED ──CLAIM──► RUNNING ──COMPUTE──► COMPUTED
       ▲                 │├─────FAIL───────────► FAILED             and its job stops
       │                 │└─────FAIL_OPTIONAL──► FAILED_OPTIONAL    the job continues
       ├──────REQUEUE────┘
       ├──────RETRY───── FAILED                                     when its job is retried
       └──────SKIP─────► SKIPPED                                    an optional task above it failed

An event that the table does not list for a state leaves the task unchanged, so a report that arrives twice, late or
out of order changes nothing. COMPUTED, SKIPPED and FAILED_OPTIONAL are final. A task is *completed* once it is in
a final state and all tasks that it submitted are completed; tasks that depend on it wait for that.

The numbers of the states are those of the wire (`workflows.v1.TaskState`, `JobState`) and of the database.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum, IntEnum


class TaskState(IntEnum):
    """The state of a task."""

    QUEUED = 1
    RUNNING = 2
    COMPUTED = 3
    FAILED = 4
    SKIPPED = 5
    FAILED_OPTIONAL = 6


class TaskEvent(Enum):
    """An event that can change the state of a task."""

    CLAIM = "claim"
    COMPUTE = "compute"
    REQUEUE = "requeue"
    FAIL = "fail"
    FAIL_OPTIONAL = "fail_optional"
    SKIP = "skip"
    RETRY = "retry"


TRANSITIONS: dict[tuple[TaskState, TaskEvent], TaskState] = {
    (TaskState.QUEUED, TaskEvent.CLAIM): TaskState.RUNNING,
    (TaskState.QUEUED, TaskEvent.SKIP): TaskState.SKIPPED,
    (TaskState.RUNNING, TaskEvent.COMPUTE): TaskState.COMPUTED,
    (TaskState.RUNNING, TaskEvent.REQUEUE): TaskState.QUEUED,
    (TaskState.RUNNING, TaskEvent.FAIL): TaskState.FAILED,
    (TaskState.RUNNING, TaskEvent.FAIL_OPTIONAL): TaskState.FAILED_OPTIONAL,
    (TaskState.FAILED, TaskEvent.RETRY): TaskState.QUEUED,
}

FINAL = frozenset({TaskState.COMPUTED, TaskState.SKIPPED, TaskState.FAILED_OPTIONAL})
"""States that no event changes."""


def next_state(state: TaskState, event: TaskEvent) -> TaskState:
    """Return the state after an event: the same state if the table has no such transition."""
    return TRANSITIONS.get((state, event), state)


class JobState(IntEnum):
    """The state of a job."""

    SUBMITTED = 1
    RUNNING = 2
    STARTED = 3
    COMPLETED = 4
    FAILED = 5
    CANCELED = 6


ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})
"""States in which no task of a job can be claimed. A retry ends the last two."""


@dataclass(frozen=True, slots=True)
class JobCounts:
    """The number of tasks of a job by state.

    Args:
        total: Tasks that were submitted so far.
        running: Tasks that are being executed.
        computed: Tasks that were executed, whatever the state of their subtasks.
        failed: Tasks without further attempts, which stop the job.
        failed_optional: Optional tasks without further attempts.
        skipped: Tasks that are not executed, or not again, because an optional task above them failed.
    """

    total: int
    running: int = 0
    computed: int = 0
    failed: int = 0
    failed_optional: int = 0
    skipped: int = 0

    @property
    def queued(self) -> int:
        """Tasks that wait to be claimed."""
        return self.total - self.running - self.computed - self.failed - self.failed_optional - self.skipped


def job_state(counts: JobCounts, *, is_canceled: bool, is_completed: bool, was_started: bool) -> JobState:
    """Return the state of a job.

    Args:
        counts: Its tasks by state.
        is_canceled: Whether it was canceled and not retried since.
        is_completed: Whether all of its root tasks are completed.
        was_started: Whether any of its tasks was ever executed.
    """
    # The first condition that holds decides, so a failed job stays failed when it is canceled.
    if counts.failed:
        return JobState.FAILED
    if is_completed:
        return JobState.COMPLETED
    if is_canceled:
        return JobState.CANCELED
    if counts.running:
        return JobState.RUNNING
    if was_started or counts.computed or counts.failed_optional or counts.skipped:
        return JobState.STARTED
    return JobState.SUBMITTED


class Failure(Enum):
    """The reason why an attempt failed."""

    TASK = "failed"
    """The code of the task failed. It uses up one retry."""

    FINAL = "final"
    """The code of the task failed and declared that another attempt would not help."""

    CRASH = "crashed"
    """The executing process died. Crashes are counted apart from retries."""

    EXPIRED = "expired"
    """The lease expired because the runner went silent. It counts as a crash."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """The failed attempts of a task.

    Args:
        retries: Attempts in which the code of the task failed.
        crashes: Attempts in which the executing process died or went silent.
    """

    retries: int
    crashes: int

    def after(self, failure: Failure) -> Attempts:
        """Return the attempts after one more failure."""
        if failure in (Failure.CRASH, Failure.EXPIRED):
            return Attempts(self.retries, self.crashes + 1)
        return Attempts(self.retries + 1, self.crashes)


def after_failure(
    failure: Failure, attempts: Attempts, *, max_retries: int, max_crashes: int, is_optional: bool
) -> TaskEvent:
    """Return the event that a failed attempt causes for its task.

    Args:
        failure: The reason of the failure.
        attempts: The failed attempts of the task, this one included.
        max_retries: The number of retries that the submitter allows.
        max_crashes: The number of crashes that do not count against the task; one more fails it.
        is_optional: Whether the task, or one above it, is optional.
    """
    if failure in (Failure.CRASH, Failure.EXPIRED):
        may_retry = attempts.crashes <= max_crashes
    else:
        may_retry = failure is not Failure.FINAL and attempts.retries <= max_retries
    if may_retry:
        return TaskEvent.REQUEUE
    return TaskEvent.FAIL_OPTIONAL if is_optional else TaskEvent.FAIL


def crash_backoff_seconds(task: bytes, lease_number: int, crashes: int, max_seconds: float) -> float:
    """Return how long to delay a task after its runner died: exponential backoff with jitter.

    The first crash may be bad luck and causes no delay. Without growing delays after that, one task could take down
    all runners as fast as a supervisor restarts them, until the supervisor gives up. Of several tasks that a runner
    executed concurrently, only one caused the crash. The jitter separates them, or they would be claimed together
    again and crash together until all of them fail.

    Args:
        task: Id of the task.
        lease_number: The lease under which it was executed.
        crashes: The number of its crashes, this one included.
        max_seconds: The duration of a lease, which is how long the task would wait if the crash were not reported.
    """
    seconds = min(2.0 ** min(crashes - 1, 30) - 1, max_seconds)
    # Deterministic jitter: every process computes the same delay for a crash.
    digest = hashlib.blake2b(task + lease_number.to_bytes(8, "big"), digest_size=4).digest()
    fraction = int.from_bytes(digest, "big") / 2**32
    return seconds * (0.5 + fraction / 2)


class Verdict(IntEnum):
    """The server's decision on a report. The numbers are those of the wire."""

    ACCEPTED = 1
    REPEATED = 2
    STALE = 3
    REFUSED = 4


def judge(
    state: TaskState, *, lease_number: int, is_fenced: bool, reported_lease: int | None, was_computed: bool
) -> Verdict:
    """Decide whether a report counts.

    A report counts if the task is running under the lease that the report names. The public wire has no lease
    numbers, so a report over it counts if the task was claimed over it. Such a report may belong to an earlier
    lease of the task, which cannot be distinguished from the current one.

    Args:
        state: The current state of the task.
        lease_number: The number of its latest lease.
        is_fenced: Whether the latest lease went to a runner that knows its number.
        reported_lease: The lease number in the report, or None.
        was_computed: Whether the report says that the task was computed.
    """
    # A report without a lease number never counts for a fenced lease, nor one with a number for an unfenced lease.
    is_same_lease = reported_lease == lease_number if is_fenced else reported_lease is None
    if not is_same_lease:
        return Verdict.STALE
    if state is TaskState.RUNNING:
        return Verdict.ACCEPTED
    # A runner repeats a report when the answer to the first one got lost.
    if was_computed and state is TaskState.COMPUTED:
        return Verdict.REPEATED
    return Verdict.STALE
