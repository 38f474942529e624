"""The rules of the orchestrator's store, one in each test, on every database."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from support.work.world import LEASE_US, World, done, group

from tilebox.errors import NotFoundError
from tilebox.server.rules.task_states import Failure, JobState, TaskState, Verdict
from tilebox.server.store.work.interface import HeldTask, Limits, ProgressUpdate, new_ids
from tilebox.server.store.work.jobs import LabelProgress

pytestmark = pytest.mark.anyio

QUEUED, RUNNING, COMPUTED, FAILED, SKIPPED, FAILED_OPTIONAL = TaskState
SECOND_US = 1_000_000


@pytest.fixture
async def world(store):
    return await World.make(store)


def labels(tasks):
    return [task.input.decode() for task in tasks]


async def test_a_job_of_one_task(world):
    job, effects = await world.submit(group(world.task("a")))
    assert effects.ready == {world.queues[0]: 1}
    assert await world.state(job) is JobState.SUBMITTED

    (task,) = await world.claim()
    assert (task.input, task.display, task.queue, task.lease, task.job) == (b"a", "a", world.queues[0], 1, job)
    assert await world.state(job) is JobState.RUNNING
    assert await world.claim() == []

    answer = await world.exchange([done(task)])
    assert answer.verdicts == [Verdict.ACCEPTED]
    assert answer.effects.ended == {job}
    assert await world.state(job) is JobState.COMPLETED


async def test_a_dependent_task_is_claimed_once_its_dependencies_are_completed(world):
    job, _ = await world.submit(group(world.task("a"), world.task("b")), group(world.task("c"), after=[0]))
    first, second = await world.claim(9)
    await world.report(first)
    assert await world.claim() == []
    # A computed task is completed only once its subtasks are computed too.
    assert await world.report(second, groups=[group(world.task("b1"))]) is Verdict.ACCEPTED
    (below,) = await world.claim(9)
    assert below.input == b"b1"
    answer = await world.exchange([done(below)], world.claim_request())
    assert labels(answer.tasks) == ["c"]
    await world.report(answer.tasks[0])
    assert await world.state(job) is JobState.COMPLETED


async def test_a_diamond_of_groups_waits_for_both_sides(world):
    await world.submit(
        group(world.task("a")),
        group(world.task("b"), after=[0]),
        group(world.task("c"), after=[0]),
        group(world.task("d"), after=[1, 2]),
    )
    claimed = []
    while tasks := await world.claim(9):
        claimed.append(sorted(labels(tasks)))
        # One report in each request, so that each side decrements the counter in a transaction of its own.
        for task in tasks:
            await world.report(task)
    assert claimed == [["a"], ["b", "c"], ["d"]]


async def test_both_sides_of_a_diamond_may_end_in_one_request(world):
    await world.submit(group(world.task("b")), group(world.task("c")), group(world.task("d"), after=[0, 1]))
    answer = await world.exchange([done(task) for task in await world.claim(9)], world.claim_request(9))
    assert labels(answer.tasks) == ["d"]


async def test_a_long_chain(world):
    await world.submit(group(world.task("t0")), *[group(world.task(f"t{n}"), after=[n - 1]) for n in range(1, 100)])
    claimed, tasks = [], await world.claim(9)
    while tasks:
        claimed += labels(tasks)
        tasks = (await world.exchange([done(task) for task in tasks], world.claim_request(9))).tasks
    assert claimed == [f"t{n}" for n in range(100)]


async def test_a_released_task_that_is_claimed_at_once_skips_the_queue(world):
    await world.submit(group(world.task("a")), group(world.task("b"), after=[0]))
    answer = await world.exchange([done(task) for task in await world.claim()], world.claim_request())
    assert labels(answer.tasks) == ["b"]
    assert answer.effects.ready.get(world.queues[0], 0) == 0
    assert answer.effects.last_rank == world.last_rank == 2
    assert await world.states() == {"a": COMPUTED, "b": RUNNING}
    assert (await world.tasks())["b"]["lease_number"] == answer.tasks[0].lease == 1


@pytest.mark.parametrize("size", [1, 3, 20])
async def test_released_tasks_that_are_not_claimed_at_once_are_ready(world, size):
    tasks = [world.task(f"b{number}", queue=1) for number in range(size)]
    await world.submit(group(world.task("a")), group(*tasks, after=[0]))
    claimed = await world.claim()
    # The claim is for another queue than that of the released tasks.
    answer = await world.exchange([done(task) for task in claimed], world.claim_request(queues=world.queues[:1]))
    assert answer.tasks == []
    assert answer.effects.ready == {world.queues[1]: size}
    assert labels(await world.claim(30)) == [f"b{number}" for number in range(size)]


async def test_a_claim_smaller_than_two_released_groups_leaves_one_task(world):
    tasks = [world.task(f"b{number}") for number in range(4)]
    await world.submit(group(world.task("a")), group(*tasks[:2], after=[0]), group(*tasks[2:], after=[0]))
    answer = await world.exchange([done(task) for task in await world.claim()], world.claim_request(3))
    assert labels(answer.tasks) == ["b0", "b1", "b2"]
    assert answer.effects.ready == {world.queues[0]: 1}
    assert labels(await world.claim(3)) == ["b3"]


@pytest.mark.parametrize("size", [1, 20])
async def test_released_tasks_compete_with_ready_ones_by_rank(world, size):
    await world.submit(group(world.task("a")), group(*[world.task(f"b{number}") for number in range(size)], after=[0]))
    (first,) = await world.claim()
    await world.submit(group(*[world.task(f"large{number}") for number in range(6)]))
    assert labels(await world.claim(4)) == ["large0", "large1", "large2", "large3"]
    # The next rank of the small job is lower than the next one of the large job, but not lower than claimed ones.
    answer = await world.exchange([done(first)], world.claim_request())
    assert labels(answer.tasks) == ["b0"]
    # Waiting runners wake up for the rest of the group, and for the ready task that was locked meanwhile.
    assert answer.effects.ready == {world.queues[0]: size}
    left = labels(await world.claim(30))
    assert sorted(left) == sorted(["large4", "large5", *[f"b{number}" for number in range(1, size)]])


@pytest.mark.parametrize("size", [8, 9])
async def test_the_effects_count_the_tasks_that_are_left(world, size):
    await world.submit(group(world.task("a")), group(*[world.task(f"b{number}") for number in range(size)], after=[0]))
    (first,) = await world.claim()
    await world.submit(group(*[world.task(f"large{number}") for number in range(12)]))
    await world.claim(4)
    # Eight tasks are ready, and tasks of the released group have lower ranks than some of them.
    answer = await world.exchange([done(first)], world.claim_request(8))
    assert {label[0] for label in labels(answer.tasks)} == {"b", "l"}
    assert answer.effects.ready == {world.queues[0]: size}
    assert len(await world.claim(30)) == size


async def test_a_ready_task_precedes_a_released_one_with_a_higher_rank(world):
    await world.submit(group(world.task("a")), group(world.task("b"), after=[0]))
    (first,) = await world.claim()
    await world.submit(group(world.task("other")))
    world.last_rank = 50
    answer = await world.exchange([done(first)], world.claim_request())
    assert labels(answer.tasks) == ["other"]
    assert answer.effects.ready == {world.queues[0]: 1}
    assert (await world.tasks())["b"]["rank"] == 50


async def test_a_completion_propagates_to_dependents_of_distant_ancestors(world):
    await world.submit(group(world.task("top")), group(world.task("last"), after=[0]))
    (task,) = await world.claim()
    for label in ("middle", "bottom"):
        answer = await world.exchange([done(task, groups=[group(world.task(label))])], world.claim_request())
        (task,) = answer.tasks
    answer = await world.exchange([done(task)], world.claim_request())
    assert labels(answer.tasks) == ["last"]
    rows = await world.tasks()
    assert {label: (row["open_tasks"], row["open_groups"], row["open_dependencies"]) for label, row in rows.items()} == {
        "top": (0, 0, 0), "middle": (0, 0, 0), "bottom": (0, 0, 0), "last": (1, 0, 0),
    }  # fmt: skip


async def test_two_descendants_release_a_dependent_of_both_ancestors(world):
    await world.submit(group(world.task("a")), group(world.task("b")), group(world.task("last"), after=[0, 1]))
    for task in await world.claim(2):
        await world.report(task, groups=[group(world.task(f"below {task.input.decode()}"))])
    answer = await world.exchange([done(task) for task in await world.claim(2)], world.claim_request())
    assert labels(answer.tasks) == ["last"]


async def test_a_report_in_a_canceled_job_makes_no_task_claimable(world):
    job, _ = await world.submit(group(world.task("a")), group(world.task("b"), after=[0]))
    (task,) = await world.claim()
    await world.cancel(job)
    answer = await world.exchange([done(task)], world.claim_request())
    assert (answer.verdicts, answer.tasks, answer.effects.ready) == ([Verdict.ACCEPTED], [], {})
    row = (await world.tasks())["b"]
    assert (row["state"], row["rank"], row["open_dependencies"]) == (QUEUED, None, 0)


async def test_a_repeated_request_gets_the_tasks_that_its_report_released(world):
    await world.submit(group(world.task("a")), group(world.task("b"), after=[0]))
    (task,) = await world.claim()
    request = world.claim_request()
    first = await world.exchange([done(task)], request)
    await world.submit(group(world.task("other")))
    again = await world.exchange([done(task)], replace(request, is_repeated=True))
    assert again.verdicts == [Verdict.REPEATED]
    assert again.tasks == first.tasks
    assert labels(again.tasks) == ["b"]
    assert labels(await world.claim(2)) == ["other"]


async def test_a_repeated_report_changes_nothing(world):
    await world.submit(group(world.task("a")))
    (task,) = await world.claim()
    report = done(task, groups=[group(world.task("b"))])
    assert (await world.exchange([report, report])).verdicts == [Verdict.ACCEPTED, Verdict.REPEATED]
    before = await world.everything()
    assert (await world.exchange([report])).verdicts == [Verdict.REPEATED]
    assert (await world.exchange([replace(report, failure=Failure.TASK)])).verdicts == [Verdict.STALE]
    assert (await world.exchange([replace(report, is_returned=True)])).verdicts == [Verdict.STALE]
    assert await world.everything() == before


async def test_the_report_of_a_lost_lease_changes_nothing(world):
    await world.submit(group(world.task("a")))
    (lost,) = await world.claim()
    world.now_us += LEASE_US + 1
    assert (await world.expire())[0] == 1
    before = await world.everything()
    assert await world.report(lost) is Verdict.STALE
    assert await world.everything() == before

    (task,) = await world.claim()
    assert (task.task, task.lease) == (lost.task, 2)
    for changes in ({}, {"failure": Failure.TASK}, {"is_returned": True}, {"groups": [group(world.task("z"))]}):
        assert await world.report(lost, **changes) is Verdict.STALE
    assert await world.report(replace(task, lease=3)) is Verdict.STALE
    assert await world.report(replace(task, lease=None)) is Verdict.STALE
    assert await world.report(task) is Verdict.ACCEPTED


async def test_a_runner_without_lease_numbers(world):
    await world.submit(group(world.task("a")), group(world.task("b"), after=[0]))
    (task,) = await world.claim(is_fenced=False)
    assert await world.report(task) is Verdict.STALE
    assert await world.report(replace(task, lease=None)) is Verdict.ACCEPTED
    assert await world.report(replace(task, lease=None)) is Verdict.REPEATED
    # It must not report a task whose lease is fenced.
    (task,) = await world.claim()
    assert await world.report(replace(task, lease=None)) is Verdict.STALE


async def test_reports_on_unknown_tasks_and_those_of_another_team_are_stale(world, store):
    other = await World.make(store)
    await world.submit(group(world.task("a")))
    (task,) = await world.claim()
    assert await other.report(task) is Verdict.STALE
    assert await other.report(replace(task, task=new_ids(1, 0)[0])) is Verdict.STALE
    extend = lambda team: store.extend_leases(team, [(task.task, 1)], until_us=1)  # noqa: E731
    assert await extend(other.team) == [False]
    assert await extend(world.team) == [True]
    for verb in (other.cancel, other.retry):
        with pytest.raises(NotFoundError):
            await verb(task.job)
    assert await other.tasks() == {}


async def test_a_failed_attempt_submits_no_subtasks(world):
    await world.submit(group(world.task("a", max_retries=1)))
    (task,) = await world.claim()
    below = [group(world.task("b"))]
    assert await world.report(task, failure=Failure.TASK, groups=below, error="broke") is Verdict.ACCEPTED
    assert await world.report(task, groups=below) is Verdict.STALE
    assert await world.states() == {"a": QUEUED}
    (again,) = await world.claim()
    assert (again.retries, again.lease) == (1, 2)
    await world.report(again, groups=below)
    assert await world.states() == {"a": COMPUTED, "b": QUEUED}
    (attempt,) = await world.attempts()
    assert (attempt["lease_number"], attempt["outcome"], attempt["error"]) == (1, "failed", "broke")


async def test_a_job_fails_once_the_retries_of_a_task_are_used_up(world):
    job, _ = await world.submit(group(world.task("a", max_retries=2), world.task("b")))
    for attempt in range(3):
        assert await world.state(job) in {JobState.SUBMITTED, JobState.STARTED}
        (task,) = await world.claim()
        assert (task.input, task.retries) == (b"a", attempt)
        await world.report(task, failure=Failure.TASK, error=f"attempt {attempt}")
    assert await world.state(job) is JobState.FAILED
    assert await world.claim() == []
    tasks = await world.tasks()
    assert (tasks["a"]["state"], tasks["a"]["error"], tasks["b"]["state"]) == (FAILED, "attempt 2", QUEUED)
    assert [row["error"] for row in await world.attempts()] == [f"attempt {number}" for number in range(3)]


async def test_a_failure_that_is_final_is_not_retried(world):
    job, _ = await world.submit(group(world.task("a", max_retries=9)))
    (task,) = await world.claim()
    await world.report(task, failure=Failure.FINAL)
    assert await world.state(job) is JobState.FAILED


async def test_crashes_and_retries_have_separate_limits(world):
    world.limits = Limits(max_crashes=10)
    job, _ = await world.submit(group(world.task("a", max_retries=1)), group(world.task("poison")))
    for crash in range(11):
        tasks = {task.input: task for task in await world.claim(9)}
        assert tasks[b"a"].retries == min(crash, 1)
        await world.exchange(
            [
                done(tasks[b"a"], failure=Failure.TASK if crash == 0 else Failure.CRASH),
                done(tasks[b"poison"], failure=Failure.CRASH),
            ]
        )
    states = await world.tasks()
    assert (states["a"]["retries"], states["a"]["crashes"], states["a"]["state"]) == (1, 10, QUEUED)
    assert (states["poison"]["crashes"], states["poison"]["state"]) == (11, FAILED)
    assert await world.state(job) is JobState.FAILED
    # A retry of the job resets the counters.
    assert (await world.retry(job))[0] == 1
    assert (await world.tasks())["poison"]["crashes"] == 0


async def test_a_returned_task_goes_first_and_uses_no_retry(world):
    await world.submit(group(*[world.task(f"t{number}") for number in range(5)]))
    first, second = await world.claim(2)
    assert labels([first, second]) == ["t0", "t1"]
    await world.report(second, is_returned=True)
    (task,) = await world.claim()
    assert (task.input, task.lease, task.retries) == (b"t1", 2, 0)
    assert (await world.tasks())["t1"]["crashes"] == 0
    assert await world.attempts() == []


async def test_tasks_held_by_a_runner(world, store):
    await world.submit(group(*(world.task(label) for label in "abcdef")))
    crashed, computed, waiting, returned = await world.claim(4)
    await world.claim(runner=b"s" * 16)
    await world.claim(is_fenced=False)
    await world.report(crashed, failure=Failure.CRASH)
    (again,) = await world.claim()
    await world.report(computed)
    await world.report(returned, is_returned=True)
    other = await World.make(store)
    assert await store.held_by_runner(other.team, b"r" * 16, count=9) == []
    held = await store.held_by_runner(world.team, b"r" * 16, count=9)
    wanted = [HeldTask(crashed.task, 2, crashes=1), HeldTask(waiting.task, 1, crashes=0)]
    assert again.task == crashed.task
    assert sorted(held, key=lambda task: task.task) == sorted(wanted, key=lambda task: task.task)
    assert len(await store.held_by_runner(world.team, b"r" * 16, count=1)) == 1


async def test_an_extended_lease_does_not_expire(world, store):
    await world.submit(group(world.task("a"), world.task("b")))
    kept, lost = await world.claim(2)
    extend = [(kept.task, 1), (lost.task, 2), (lost.task, None), (new_ids(1, 0)[0], 1)]
    answer = await store.extend_leases(world.team, extend, until_us=world.now_us + 3 * LEASE_US)
    assert answer[:2] == [True, False]
    assert answer[3] is False
    world.now_us += LEASE_US + 1
    assert (await world.expire())[0] == 1
    assert await world.states() == {"a": RUNNING, "b": QUEUED}
    assert await store.extend_leases(world.team, [(lost.task, 1)], until_us=world.now_us) == [False]
    assert [row["outcome"] for row in await world.attempts()] == ["expired"]


async def test_a_heartbeat_after_the_report_changes_nothing(world, store):
    await world.submit(group(world.task("a")))
    (task,) = await world.claim()
    await world.report(task)
    before = await world.everything()
    assert await store.extend_leases(world.team, [(task.task, 1)], until_us=world.now_us) == [False]
    assert await world.everything() == before


async def test_leases_expire_in_batches(world):
    await world.submit(group(*[world.task(f"t{number}") for number in range(5)]))
    await world.claim(5)
    world.now_us += LEASE_US
    assert (await world.expire())[0] == 0, "a lease expires after its last microsecond"
    world.now_us += 1
    assert [(await world.expire(2))[0] for _ in range(4)] == [2, 2, 1, 0]


async def test_leases_and_pauses_are_shortened_when_the_clock_is_set_back(world, store):
    await world.submit(group(*[world.task(label, max_retries=1) for label in "abc"]))
    asleep, _, public = [(await world.claim(is_fenced=label != "c"))[0] for label in "abc"]
    await store.extend_leases(world.team, [(public.task, None)], until_us=world.now_us + 9 * LEASE_US)
    await world.report(asleep, failure=Failure.TASK, retry_after_us=5 * SECOND_US)
    await store.record_runner(b"r" * 16, world.cluster, "[]", world.now_us)
    noted, hour_us = world.now_us, 3600 * SECOND_US

    async def times():
        tasks = await world.tasks()
        return [tasks["a"]["wake_us"], tasks["b"]["leased_until_us"], tasks["c"]["leased_until_us"]]

    before = [noted + 5 * SECOND_US, noted + LEASE_US, noted + 9 * LEASE_US]
    # A clock that advances or is set forward changes nothing.
    await store.rewind_deadlines(now_us=noted, lease_us=LEASE_US)
    await store.rewind_deadlines(now_us=noted + hour_us, lease_us=LEASE_US)
    assert await times() == before
    # Two servers notice the same step, and then a second step follows.
    for hours in (1, 1, 3):
        await store.rewind_deadlines(now_us=noted - hours * hour_us, lease_us=LEASE_US)
        assert await times() == [moment - hours * hour_us for moment in before]


async def test_a_pause_before_the_next_attempt(world):
    await world.submit(group(world.task("a", max_retries=1)))
    (task,) = await world.claim()
    answer = await world.exchange([done(task, failure=Failure.TASK, retry_after_us=5 * SECOND_US)])
    assert answer.effects.has_pauses
    assert answer.effects.ready == {}
    due = world.now_us + 5 * SECOND_US
    assert (await world.wake())[0] == due
    assert await world.claim() == []
    world.now_us = due
    following, effects = await world.wake()
    assert (following, effects.ready) == (None, {world.queues[0]: 1})
    assert labels(await world.claim()) == ["a"]


async def test_a_pause_outlasts_cancel_and_retry(world):
    job, _ = await world.submit(group(world.task("a", max_retries=1)))
    (task,) = await world.claim()
    await world.report(task, failure=Failure.TASK, retry_after_us=5 * SECOND_US)
    await world.cancel(job)
    await world.retry(job)
    assert await world.claim() == []
    await world.cancel(job)
    world.now_us += 5 * SECOND_US
    await world.wake()
    assert await world.claim() == []
    await world.retry(job)
    assert labels(await world.claim()) == ["a"]


async def test_tasks_of_a_canceled_job_cannot_be_claimed(world):
    job, _ = await world.submit(group(world.task("a"), world.task("b")), group(world.task("c"), after=[0]))
    (task,) = await world.claim()
    effects = await world.cancel(job)
    assert effects.ended == {job}
    assert await world.state(job) is JobState.CANCELED
    assert await world.claim() == []
    # A running task may finish. Its subtasks wait.
    assert await world.report(task, groups=[group(world.task("a1"))]) is Verdict.ACCEPTED
    assert await world.claim() == []
    assert (await world.retry(job))[0] == 0
    claimed = await world.claim(9)
    assert sorted(labels(claimed)) == ["a1", "b"]


async def test_a_job_that_ended_cannot_be_canceled(world):
    job, _ = await world.submit(group(world.task("a")))
    (task,) = await world.claim()
    await world.report(task, failure=Failure.TASK)
    before = await world.everything()
    assert (await world.cancel(job)).ended == set()
    assert await world.everything() == before
    await world.retry(job)
    (task,) = await world.claim()
    await world.report(task)
    before = await world.everything()
    assert (await world.cancel(job)).ended == set()
    assert (await world.retry(job))[0] == 0
    assert await world.everything() == before
    assert await world.state(job) is JobState.COMPLETED


async def test_a_retry_queues_only_failed_tasks(world):
    job, _ = await world.submit(group(*[world.task(label) for label in "abcd"]))
    a, b, c, d = await world.claim(4)
    await world.report(a, groups=[group(world.task("a1"))])
    await world.report(b, failure=Failure.TASK)
    await world.report(c, failure=Failure.TASK)
    assert await world.claim(9) == []
    failed, effects = await world.retry(job)
    assert (failed, effects.ready) == (2, {world.queues[0]: 3})
    assert await world.states() == {"a": COMPUTED, "b": QUEUED, "c": QUEUED, "d": RUNNING, "a1": QUEUED}
    assert sorted(labels(await world.claim(9))) == ["a1", "b", "c"]
    assert await world.report(d) is Verdict.ACCEPTED
    assert await world.report(b, failure=Failure.TASK) is Verdict.STALE


async def test_an_optional_task_may_fail(world):
    job, _ = await world.submit(group(world.task("a", is_optional=True)), group(world.task("b"), after=[0]))
    (task,) = await world.claim()
    await world.report(task, failure=Failure.TASK)
    (task,) = await world.claim()
    assert task.input == b"b"
    await world.report(task)
    assert await world.state(job) is JobState.COMPLETED
    assert await world.states() == {"a": FAILED_OPTIONAL, "b": COMPUTED}


async def _optional_family(world):
    """Submit a job with an optional task; return its id and the running subtasks of that task."""
    job, _ = await world.submit(group(world.task("top", is_optional=True)), group(world.task("after"), after=[0]))
    (top,) = await world.claim()
    below = [
        group(world.task("x"), world.task("y"), world.task("z", max_retries=1)),
        group(world.task("behind"), after=[0]),
    ]
    await world.report(top, groups=below)
    tasks = {task.input.decode(): task for task in await world.claim(2)}
    tasks |= {task.input.decode(): task for task in await world.claim(1)} if "z" not in tasks else {}
    return job, tasks


async def test_a_failure_below_an_optional_task_skips_its_queued_descendants(world):
    job, tasks = await _optional_family(world)
    await world.report(tasks["x"], failure=Failure.TASK)
    assert await world.states() == {
        "top": COMPUTED, "x": FAILED_OPTIONAL, "y": RUNNING, "z": RUNNING, "behind": SKIPPED, "after": QUEUED,
    }  # fmt: skip
    # A running task may finish. Its subtasks are skipped.
    await world.report(tasks["y"], groups=[group(world.task("y1")), group(world.task("y2"), after=[0])])
    assert await world.claim() == []
    await world.report(tasks["z"])
    states = await world.states()
    assert (states["y1"], states["y2"]) == (SKIPPED, SKIPPED)
    (after,) = await world.claim(9)
    assert after.input == b"after"
    await world.report(after)
    assert await world.state(job) is JobState.COMPLETED


@pytest.mark.parametrize("how", [{"is_returned": True}, {"failure": Failure.TASK}, {"failure": Failure.CRASH}, None])
@pytest.mark.parametrize("together", [None, "before", "after"])
async def test_a_task_requeued_below_a_failed_optional_task_is_skipped(world, how, together):
    """The order does not matter: the task may be requeued before, after or in the same request as the failure."""
    _, tasks = await _optional_family(world)
    failure = done(tasks["x"], failure=Failure.TASK)
    if how is None:
        await world.exchange([failure])
        world.now_us += LEASE_US + 1
        await world.expire()
    elif together is None:
        await world.exchange([failure])
        await world.report(tasks["z"], **how)
    else:
        back = done(tasks["z"], **how)
        await world.exchange([failure, back] if together == "after" else [back, failure])
    states = await world.states()
    assert (states["x"], states["z"]) == (FAILED_OPTIONAL, SKIPPED)
    if how is not None:
        await world.report(tasks["y"])
    assert labels(await world.claim(9)) == ["after"]


async def test_subtasks_reported_with_the_failure_beside_them_are_skipped(world):
    for together in (False, True):
        fresh = await World.make(world.store)
        _, tasks = await _optional_family(fresh)
        reports = [done(tasks["y"], groups=[group(fresh.task("y1"))]), done(tasks["x"], failure=Failure.TASK)]
        await fresh.exchange(reports if together else reports[::-1])
        assert (await fresh.states())["y1"] == SKIPPED


async def test_a_repeated_claim_gets_the_same_tasks(world):
    await world.submit(group(*[world.task(f"t{number}") for number in range(5)]))
    request = world.claim_request(2)
    claimed = (await world.exchange((), request)).tasks
    again = replace(request, is_repeated=True)
    before = await world.everything()
    assert sorted((await world.exchange((), again)).tasks, key=lambda task: task.input) == claimed
    assert await world.everything() == before
    # A claim of another runner with the same id is a different claim.
    other = await world.exchange((), replace(again, runner=b"o" * 16))
    assert labels(other.tasks) == ["t2", "t3"]
    # So is a claim of another team.
    stranger = await World.make(world.store)
    assert (await stranger.exchange((), replace(again, queues=stranger.queues))).tasks == []
    # Once the tasks are reported, the request counts as a new one.
    await world.exchange([done(task) for task in claimed])
    assert labels((await world.exchange((), again)).tasks) == ["t4"]


async def test_tasks_are_claimed_in_the_order_of_ranks_across_queues(world):
    await world.submit(group(*[world.task(f"t{number}", queue=number % 2) for number in range(8)]))
    assert labels(await world.claim(3)) == ["t0", "t1", "t2"]
    assert labels(await world.claim(3, queues=world.queues[1:])) == ["t3", "t5", "t7"]
    assert labels(await world.claim(9, queues=world.queues[:1])) == ["t4", "t6"]


async def test_a_small_job_overtakes_a_large_one(world):
    await world.submit(group(*[world.task(f"large{number}") for number in range(2000)]))
    await world.claim(10)
    world.now_us += 1000
    await world.submit(group(world.task("small")))
    # With equal ranks, the older job goes first.
    assert labels(await world.claim(2)) == ["large10", "small"]


async def test_jobs_of_one_cluster_take_turns(world):
    await world.submit(group(*[world.task(f"a{number}") for number in range(50)]))
    await world.claim(1)
    await world.submit(group(*[world.task(f"b{number}") for number in range(50)]))
    claimed = labels(await world.claim(20))
    assert sum(label.startswith("a") for label in claimed) == 10


async def test_a_job_that_was_idle_does_not_catch_up(world):
    await world.submit(group(world.task("late")))
    (late,) = await world.claim()
    await world.submit(group(*[world.task(f"a{number}") for number in range(100)]))
    await world.claim(50)
    await world.report(late, groups=[group(*[world.task(f"late{number}") for number in range(50)])])
    claimed = labels(await world.claim(20))
    assert 9 <= sum(label.startswith("late") for label in claimed) <= 11


async def test_more_is_to_come(world, store):
    job, _ = await world.submit(group(world.task("a", max_retries=1)), group(world.task("b", queue=1), after=[0]))
    here, there = world.queues[:1], world.queues[1:]
    # A runner whose claim came a moment too early must not conclude that all work is done.
    assert await store.is_more_to_come(here)
    assert not await store.is_more_to_come(there)
    (task,) = await world.claim()
    assert not await store.is_more_to_come(here)
    assert await store.is_more_to_come(there)
    await world.report(task, failure=Failure.TASK, retry_after_us=SECOND_US)
    assert await store.is_more_to_come(here)
    await world.cancel(job)
    assert not await store.is_more_to_come(world.queues)


async def test_progress_is_replaced_by_that_of_the_last_attempt(world, store):
    job, _ = await world.submit(group(world.task("a"), world.task("b")))

    async def progress():
        return (await store.job(world.team, job)).progress

    a, b = await world.claim(2)
    await world.report(b, progress=[ProgressUpdate("bands", 4, 4)])
    await world.report(a, progress=[ProgressUpdate("bands", 3, 1), ProgressUpdate("old", 1, 0)], failure=Failure.TASK)
    assert await progress() == [LabelProgress("bands", 7, 5), LabelProgress("old", 1, 0)]
    await world.retry(job)
    (a,) = await world.claim()
    await world.report(a, progress=[ProgressUpdate("bands", 3, 3)])
    assert await progress() == [LabelProgress("bands", 7, 7)]


async def test_times_of_a_job(world, store):
    job, _ = await world.submit(group(world.task("a", max_retries=1)))
    begun = world.now_us
    (task,) = await world.claim()
    world.now_us += 3 * SECOND_US
    await world.report(task, failure=Failure.TASK)
    world.now_us += SECOND_US
    (task,) = await world.claim()
    world.now_us += 9 * SECOND_US
    await world.report(task, execution_us=4 * SECOND_US)
    known = await store.job(world.team, job)
    times = known.first_started_us, known.last_stopped_us, known.compute_us
    assert times == (begun, world.now_us, 7 * SECOND_US)


async def test_queues_are_created_once(store, world):
    wanted = [("Task0", 1, 0), ("Task0", 1, 1), ("Task0", 1, 1)]
    first, second, third = await store.add_queues(world.cluster, wanted)
    assert first.number == world.queues[0]
    assert second == third
    assert {queue.number for queue in await store.queues(world.cluster)} == {*world.queues, second.number}


async def test_ranks_only_rise(store, world):
    assert (await store.record_ranks({world.cluster: 7}))[world.cluster] == 7
    assert (await store.record_ranks({world.cluster: 3}))[world.cluster] == 7
    assert (await store.record_ranks({}))[world.cluster] == 7


async def test_an_invalid_job_is_not_stored(world):
    invalid = replace(world.task("b"), max_retries=-1)
    with pytest.raises(Exception, match="refused a value"):
        await world.submit(group(world.task("a")), group(invalid))
    assert await world.everything() == [[], [], []]


async def test_an_invalid_report_undoes_its_whole_request(world):
    await world.submit(group(world.task("a"), world.task("b")))
    a, b = await world.claim(2)
    before = await world.everything()
    invalid = group(replace(world.task("z"), max_retries=-1))
    with pytest.raises(Exception, match="refused a value"):
        await world.exchange([done(a), done(b, groups=[invalid])])
    assert await world.everything() == before


def test_ids_ascend_and_hold_their_time():
    ids = new_ids(1000, 1_790_000_000_123_456)
    assert ids == sorted(set(ids))
    assert {int.from_bytes(identity[:6], "big") for identity in ids} == {1_790_000_000_123}
    assert {(identity[6] >> 4, identity[8] >> 6) for identity in ids} == {(7, 2)}
    assert not {*ids} & {*new_ids(1000, 1_790_000_000_123_456)}
    assert len({uuid4().bytes, *ids}) == 1001
