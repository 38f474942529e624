"""States of tasks and jobs: every state with every event, and every possible report."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2
from tilebox.server.rules.task_states import (
    ENDED,
    FINAL,
    TRANSITIONS,
    Attempts,
    Failure,
    JobCounts,
    JobState,
    TaskEvent,
    TaskState,
    Verdict,
    after_failure,
    crash_backoff_seconds,
    job_state,
    judge,
    next_state,
)

QUEUED, RUNNING, COMPUTED, FAILED, SKIPPED, FAILED_OPTIONAL = TaskState

# A row for each state, a column for each event, in the order in which both are declared.
TABLE = {
    #                 claim    compute   requeue  fail    fail_optional    skip     retry
    QUEUED:          (RUNNING, QUEUED,   QUEUED,  QUEUED, QUEUED,          SKIPPED, QUEUED),
    RUNNING:         (RUNNING, COMPUTED, QUEUED,  FAILED, FAILED_OPTIONAL, RUNNING, RUNNING),
    COMPUTED:        (COMPUTED,) * 7,
    FAILED:          (FAILED,) * 6 + (QUEUED,),
    SKIPPED:         (SKIPPED,) * 7,
    FAILED_OPTIONAL: (FAILED_OPTIONAL,) * 7,
}  # fmt: skip


@pytest.mark.parametrize(("state", "event"), [*product(TaskState, TaskEvent)])
def test_every_state_after_every_event(state, event):
    assert next_state(state, event) is TABLE[state][list(TaskEvent).index(event)]


def test_final_states_have_no_transitions():
    assert {state for state in TaskState if all(next_state(state, event) is state for event in TaskEvent)} == FINAL


def test_every_state_is_reachable():
    reached, frontier = {QUEUED}, {QUEUED}
    while frontier:
        frontier = {next_state(state, event) for state in frontier for event in TaskEvent} - reached
        reached |= frontier
    assert reached == set(TaskState)


def test_every_transition_changes_the_state():
    assert all(after is not before for (before, _), after in TRANSITIONS.items())


@given(st.lists(st.sampled_from(TaskEvent)))
def test_a_task_is_computed_at_most_once(events):
    state, computed = QUEUED, 0
    for event in events:
        before, state = state, next_state(state, event)
        computed += before is not state is COMPUTED
    assert computed <= 1


@pytest.mark.parametrize(
    ("states", "prefix", "wire"),
    [
        (TaskState, "TASK_STATE_", core_pb2.TaskState),
        (JobState, "JOB_STATE_", core_pb2.JobState),
        (Verdict, "REPORT_VERDICT_", runners_pb2.ReportVerdict),
    ],
)
def test_states_have_the_numbers_of_the_wire(states, prefix, wire):
    numbers = {name.removeprefix(prefix): number for name, number in wire.items() if not name.endswith("UNSPECIFIED")}
    assert {state.name: state.value for state in states} == numbers


COUNTS = [
    JobCounts(total, running, computed, failed, excused, skipped)
    for total, running, computed, failed, excused, skipped in product(range(4), range(3), range(3), *[range(2)] * 3)
    if running + computed + failed + excused + skipped <= total
]


def _expected(counts, *, is_canceled, is_completed, was_started):
    """Return the state of a job by the rules of the documentation."""
    has_finished_tasks = counts.computed + counts.failed_optional + counts.skipped > 0
    rules = {
        JobState.FAILED: counts.failed > 0,
        JobState.COMPLETED: is_completed,
        JobState.CANCELED: is_canceled,
        JobState.RUNNING: counts.running > 0,
        JobState.STARTED: was_started or has_finished_tasks,
        JobState.SUBMITTED: True,
    }
    return next(state for state, holds in rules.items() if holds)


def test_the_state_of_every_small_job():
    seen = set()
    for counts, is_canceled, is_completed, was_started in product(COUNTS, *[(False, True)] * 3):
        facts = {"is_canceled": is_canceled, "is_completed": is_completed, "was_started": was_started}
        state = job_state(counts, **facts)
        assert state is _expected(counts, **facts), (counts, facts)
        seen.add(state)
    assert seen == set(JobState)


def test_a_job_ends_completed_failed_or_canceled():
    assert {JobState.COMPLETED, JobState.FAILED, JobState.CANCELED} == ENDED


def test_the_remaining_tasks_are_queued():
    assert JobCounts(21, running=1, computed=2, failed=3, failed_optional=4, skipped=5).queued == 6
    assert all(counts.queued >= 0 for counts in COUNTS)


CRASHES = {Failure.CRASH, Failure.EXPIRED}


@pytest.mark.parametrize(
    ("failure", "retries", "crashes", "max_retries", "is_optional"),
    [*product(Failure, range(4), range(5), range(3), (False, True))],
)
def test_every_failure_after_any_history(failure, retries, crashes, max_retries, is_optional):
    attempts = Attempts(retries, crashes).after(failure)
    event = after_failure(failure, attempts, max_retries=max_retries, max_crashes=2, is_optional=is_optional)

    if failure in CRASHES:
        assert attempts == Attempts(retries, crashes + 1)
        again = crashes < 2
    else:
        assert attempts == Attempts(retries + 1, crashes)
        again = failure is Failure.TASK and retries < max_retries
    assert event is (TaskEvent.REQUEUE if again else TaskEvent.FAIL_OPTIONAL if is_optional else TaskEvent.FAIL)


@pytest.mark.parametrize("max_retries", [0, 1, 5])
@pytest.mark.parametrize("max_crashes", [0, 1, 10])
def test_retries_and_crashes_are_counted_separately(max_retries, max_crashes):
    limits = {"max_retries": max_retries, "max_crashes": max_crashes, "is_optional": False}
    attempts, tried = Attempts(0, 0), 0
    for failure in [Failure.CRASH, Failure.EXPIRED] * max_crashes:
        if attempts.crashes < max_crashes:
            attempts = attempts.after(failure)
            assert after_failure(failure, attempts, **limits) is TaskEvent.REQUEUE
    event = TaskEvent.REQUEUE
    while event is TaskEvent.REQUEUE:
        attempts, tried = attempts.after(Failure.TASK), tried + 1
        event = after_failure(Failure.TASK, attempts, **limits)
    assert (event, tried) == (TaskEvent.FAIL, max_retries + 1)


def pauses(task, crashes=range(1, 12), lease_seconds=60.0):
    return [crash_backoff_seconds(task, number, number, lease_seconds) for number in crashes]


@given(st.binary(min_size=16, max_size=16))
def test_the_crash_backoff_starts_at_zero_and_is_at_most_one_lease(task):
    longest = [0, 1, 3, 7, 15, 31, 60, 60, 60, 60, 60]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses(task), longest, strict=True))
    assert crash_backoff_seconds(task, 1, 1_000_000, 0.5) <= 0.5
    assert pauses(task) == pauses(task)


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_the_crash_backoff_separates_tasks_that_crashed_together(one, other):
    if one != other:
        ahead = {mine < its for mine, its in zip(pauses(one, range(2, 40)), pauses(other, range(2, 40)), strict=True)}
        assert ahead == {True, False}


@pytest.mark.parametrize(
    ("state", "is_fenced", "reported", "was_computed"),
    [*product(TaskState, (False, True), (None, 1, 2, 3), (False, True))],
)
def test_every_report(state, is_fenced, reported, was_computed):
    """The latest lease has number 2. A report without a number counts as one of the latest lease."""
    verdict = judge(state, lease_number=2, is_fenced=is_fenced, reported_lease=reported, was_computed=was_computed)
    if reported != (2 if is_fenced else None):
        assert verdict is Verdict.STALE
    elif state is RUNNING:
        assert verdict is Verdict.ACCEPTED
    elif state is COMPUTED and was_computed:
        assert verdict is Verdict.REPEATED
    else:
        assert verdict is Verdict.STALE
