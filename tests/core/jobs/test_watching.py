"""Waiting for a job: when to look again, and what to tell."""

from __future__ import annotations

from uuid import UUID

import pytest

from tilebox._core.jobs.job import Job, QueuedTask
from tilebox._core.jobs.states import JobState, QueueReason, TaskState
from tilebox._core.jobs.stats import ExecutionStats
from tilebox._core.jobs.watching import JobWatch
from tilebox._core.tasks.versions import TaskIdentifier
from tilebox.errors import JobTimeoutError


def job(state=JobState.RUNNING, **counts):
    by_state = {TaskState(name.upper()): count for name, count in counts.items()}
    return Job(
        UUID(int=1),
        "x",
        state,
        execution_stats=ExecutionStats(total_tasks=sum(counts.values()), tasks_by_state=by_state),
    )


def queued(reason, explanation):
    return QueuedTask(UUID(int=2), "T", "dev", TaskIdentifier("T", 0, 0), reason, explanation)


def test_the_first_request_is_held_shorter_than_the_others():
    watch = JobWatch(job(), None, 0.0)
    assert [watch.next_hold(1e9) for _ in range(3)] == [2.0, 20.0, 20.0]


def test_no_request_is_held_longer_than_the_caller_waits():
    watch = JobWatch(job(queued=1), 25.0, 100.0)
    assert watch.next_hold(100.0) == 2.0
    assert watch.next_hold(102.0) == 20.0
    assert watch.next_hold(122.0) == 3.0
    with pytest.raises(JobTimeoutError, match=r"still RUNNING after 25 s: 0 of 1 tasks computed") as caught:
        watch.next_hold(125.0)
    assert caught.value.job == watch.job


def test_a_timeout_of_nothing_is_one_look():
    with pytest.raises(JobTimeoutError):
        JobWatch(job(), 0.0, 5.0).next_hold(5.0)


def test_pauses_grow_and_start_anew_with_news():
    watch = JobWatch(job(queued=2), None, 0.0)
    pauses = []
    for _ in range(20):
        pauses.append(watch.next_pause(0.0))
        watch.note(job(queued=2))
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.2, 5.0)
    watch.note(job(queued=1, computed=1))
    assert watch.next_pause(0.0) == 0.2
    assert JobWatch(job(), 0.1, 0.0).next_pause(0.0) == 0.1


@pytest.mark.parametrize(("counts", "news"), [({}, 1), ({"queued": 5}, 1), ({"computed": 400, "queued": 600}, 410)])
def test_a_hundredth_of_the_tasks_is_news(counts, news):
    assert JobWatch(job(**counts), None, 0.0).computed_at_least == news


def test_a_job_is_idle_while_none_of_its_tasks_runs():
    assert JobWatch(job(JobState.SUBMITTED, queued=1), None, 0.0).is_idle
    assert JobWatch(job(JobState.STARTED, queued=1, computed=1), None, 0.0).is_idle
    assert not JobWatch(job(queued=1, running=1), None, 0.0).is_idle
    assert not JobWatch(job(JobState.FAILED, queued=1), None, 0.0).is_idle


def test_missing_runners_are_told_once():
    watch = JobWatch(job(queued=3), None, 0.0)
    reasons = [
        queued(QueueReason.NO_RUNNER, "nobody is there"),
        queued(QueueReason.NO_RUNNER, "nobody is there"),
        queued(QueueReason.DEPENDENCIES, "it waits"),
        queued(QueueReason.NEXT, "soon"),
    ]
    assert watch.new_warnings(reasons) == ["nobody is there"]
    assert watch.new_warnings([*reasons, queued(QueueReason.VERSION_TOO_LOW, "too old")]) == ["too old"]
    assert watch.new_warnings(reasons) == []


def test_an_answer_without_news_that_was_not_held_calls_for_a_pause():
    watch = JobWatch(job(queued=2, computed=1), None, 0.0)
    watch.next_hold(10.0)
    assert watch.is_early(job(queued=2, computed=1), 10.1)
    assert watch.is_early(job(running=2, computed=1), 10.1)
    assert not watch.is_early(job(queued=2, computed=1), 12.0)
    assert not watch.is_early(job(queued=1, computed=2), 10.1)
    assert not watch.is_early(job(JobState.FAILED, failed=2, computed=1), 10.1)
