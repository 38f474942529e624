"""How tasks and jobs change their states: one table, and the rules around it. Pure; the server applies them.

A task waits, is handed out, and ends:

    QUEUED ──CLAIM──► RUNNING ──COMPUTE──► COMPUTED
       ▲                 │├──────FAIL──► FAILED              and its job stops
       │                 │└─────EXCUSE─► FAILED_OPTIONAL     what is optional may fail
       ├──────REQUEUE────┘
       ├──────RETRY───── FAILED                              when its job is retried
       └──────SKIP─────► SKIPPED                             something optional above it failed

Every event that the table does not list for a state leaves the task as it is: a report that comes twice, late or
out of order changes nothing. COMPUTED, SKIPPED and FAILED_OPTIONAL are final. A task is *completed* once it is in
a final state and all tasks that it submitted are completed; those that depend on it wait for that.

The numbers of the states are those of the wire (`workflows.v1.TaskState`, `JobState`), and of the database.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum, IntEnum


class TaskState(IntEnum):
    """Where a task is."""

    QUEUED = 1
    RUNNING = 2
    COMPUTED = 3
    FAILED = 4
    SKIPPED = 5
    FAILED_OPTIONAL = 6


class TaskEvent(Enum):
    """What can happen to a task."""

    CLAIM = "claim"
    COMPUTE = "compute"
    REQUEUE = "requeue"
    FAIL = "fail"
    EXCUSE = "excuse"
    SKIP = "skip"
    RETRY = "retry"


TRANSITIONS: dict[tuple[TaskState, TaskEvent], TaskState] = {
    (TaskState.QUEUED, TaskEvent.CLAIM): TaskState.RUNNING,
    (TaskState.QUEUED, TaskEvent.SKIP): TaskState.SKIPPED,
    (TaskState.RUNNING, TaskEvent.COMPUTE): TaskState.COMPUTED,
    (TaskState.RUNNING, TaskEvent.REQUEUE): TaskState.QUEUED,
    (TaskState.RUNNING, TaskEvent.FAIL): TaskState.FAILED,
    (TaskState.RUNNING, TaskEvent.EXCUSE): TaskState.FAILED_OPTIONAL,
    (TaskState.FAILED, TaskEvent.RETRY): TaskState.QUEUED,
}

FINAL = frozenset({TaskState.COMPUTED, TaskState.SKIPPED, TaskState.FAILED_OPTIONAL})
"""States that no event changes."""


def next_state(state: TaskState, event: TaskEvent) -> TaskState:
    """Return the state after an event; the same one if the event means nothing in it."""
    return TRANSITIONS.get((state, event), state)


class JobState(IntEnum):
    """Where a job is."""

    SUBMITTED = 1
    RUNNING = 2
    STARTED = 3
    COMPLETED = 4
    FAILED = 5
    CANCELED = 6


ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})
"""States in which a job hands out no tasks. The last two end when the job is retried."""


@dataclass(frozen=True, slots=True)
class JobCounts:
    """How many of a job's tasks are in which state.

    Args:
        total: All of them, as far as they were submitted.
        running: Being executed.
        computed: Executed, whatever became of what they submitted.
        failed: Failed for good, which stops the job.
        failed_optional: Failed where that is allowed.
        skipped: Not executed, or not again, because something optional failed.
    """

    total: int
    running: int = 0
    computed: int = 0
    failed: int = 0
    failed_optional: int = 0
    skipped: int = 0

    @property
    def queued(self) -> int:
        """Tasks that wait."""
        return self.total - self.running - self.computed - self.failed - self.failed_optional - self.skipped


def job_state(counts: JobCounts, *, is_canceled: bool, is_completed: bool, was_started: bool) -> JobState:
    """Return the state of a job.

    Args:
        counts: Its tasks.
        is_canceled: Whether somebody canceled it, and nobody retried it since.
        is_completed: Whether all of its root tasks are completed.
        was_started: Whether any task of it was ever executed.
    """
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
    """Why an attempt did not end well."""

    TASK = "failed"
    """The task's own code failed: uses up one of its retries."""

    FINAL = "final"
    """Its own code failed, and said that another attempt would not help."""

    CRASH = "crashed"
    """The process that executed it died: counted apart from its retries."""

    EXPIRED = "expired"
    """Its runner was not heard of any more: a crash too, as far as anybody can tell."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """What a task has behind it.

    Args:
        retries: Attempts that its own code failed.
        crashes: Attempts in which the executing process died or went silent.
    """

    retries: int
    crashes: int

    def after(self, failure: Failure) -> Attempts:
        """Return them with one more failure."""
        if failure in (Failure.CRASH, Failure.EXPIRED):
            return Attempts(self.retries, self.crashes + 1)
        return Attempts(self.retries + 1, self.crashes)


def after_failure(
    failure: Failure, attempts: Attempts, *, max_retries: int, max_crashes: int, is_excused: bool
) -> TaskEvent:
    """Return what a failed attempt means for its task.

    Args:
        failure: Why it failed.
        attempts: What the task has behind it, this failure included.
        max_retries: How often its submitter allows it to be tried again.
        max_crashes: How many crashes are put down to bad luck; one more is put down to the task.
        is_excused: Whether the task, or one above it, is optional.
    """
    if failure in (Failure.CRASH, Failure.EXPIRED):
        may_retry = attempts.crashes <= max_crashes
    else:
        may_retry = failure is not Failure.FINAL and attempts.retries <= max_retries
    if may_retry:
        return TaskEvent.REQUEUE
    return TaskEvent.EXCUSE if is_excused else TaskEvent.FAIL


def pause_after_crash(task: bytes, lease_number: int, crashes: int, longest_seconds: float) -> float:
    """Return for how many seconds a task waits whose runner died while it was executed.

    The first time may be bad luck, and costs no time. After that it waits longer and longer, or one task would take
    all runners down as fast as they are started, and those who start them would give up. Of tasks that were executed
    beside each other, only one is to blame: each waits for a time of its own, or they would come back together, and
    crash together until all are given up.

    Args:
        task: Its id.
        lease_number: Of the lease under which it was executed.
        crashes: How many it has behind it, this one included.
        longest_seconds: A lease: so long it would have waited if nobody had told of the death.
    """
    seconds = min(2.0 ** min(crashes - 1, 30) - 1, longest_seconds)
    # As good as chance, and the same whoever asks.
    digest = hashlib.blake2b(task + lease_number.to_bytes(8, "big"), digest_size=4).digest()
    chance = int.from_bytes(digest, "big") / 2**32
    return seconds * (0.5 + chance / 2)


class Verdict(IntEnum):
    """What the server makes of a report; the numbers are those of the wire."""

    ACCEPTED = 1
    REPEATED = 2
    STALE = 3
    REFUSED = 4


def judge(
    state: TaskState, *, lease_number: int, is_fenced: bool, reported_lease: int | None, was_computed: bool
) -> Verdict:
    """Say whether a report counts.

    A report counts if the task is running under the very lease that the report names. Runners of the public wire
    name none; theirs counts if the task was handed out that way, and there it may come from an earlier lease of
    the same task, which nobody can tell from the current one.

    Args:
        state: The task's state now.
        lease_number: Its latest lease.
        is_fenced: Whether the latest lease went to a runner that knows its number.
        reported_lease: The lease that the report names, or None.
        was_computed: Whether the report says that the task was computed.
    """
    is_same_lease = reported_lease == lease_number if is_fenced else reported_lease is None
    if not is_same_lease:
        return Verdict.STALE
    if state is TaskState.RUNNING:
        return Verdict.ACCEPTED
    if was_computed and state is TaskState.COMPUTED:
        return Verdict.REPEATED
    return Verdict.STALE
