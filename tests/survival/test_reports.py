"""Scripted runners: repeated, late, reordered and concurrent reports, and claims whose response was lost."""

from __future__ import annotations

import select
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

import pytest
from support.http.wire import CallError, submissions, task_group
from survival.harness.invariants import read_sqlite
from survival.harness.proxy import answer_body, read_message
from survival.harness.scripted_runner import ACCEPTED, LEAF, REPEATED, STALE, ScriptedRunner
from survival.harness.stage import wait_until

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import task_pb2, workflows_pb2
from tilebox.server.orchestration import leases
from tilebox.server.rules.task_states import TaskState
from tilebox.server.store.work.verbs import OrchestrationVerbs

pytestmark = pytest.mark.slow


@pytest.fixture
def start_runner(fresh_server):
    """A function that starts a server and a scripted runner."""
    runners = []

    def start(**settings):
        runners.append(ScriptedRunner(fresh_server(**settings)))
        return runners[-1]

    yield start
    for runner in runners:
        runner.wire.http.close()


def test_concurrent_copies_of_a_report_are_accepted_once(start_runner):
    runner = start_runner()
    runner.submit()
    (task,) = runner.claim()
    report = runner.computed(task, children=5)
    with ThreadPoolExecutor(16) as pool:
        verdicts = [verdict for answer in pool.map(lambda _: runner.report(report), range(64)) for verdict in answer]
    assert sorted(verdicts) == [ACCEPTED, *[REPEATED] * 63]
    assert len(runner.finish().tasks) == 6


def test_reports_in_any_order_and_repeated_within_one_request(start_runner):
    runner = start_runner()
    runner.submit(task_group(4))
    tasks = runner.claim(4)
    reports = [runner.computed(task, children=index) for index, task in enumerate(tasks)]
    assert runner.report(reports[3], reports[1], reports[3]) == [ACCEPTED, ACCEPTED, REPEATED]
    assert runner.report(*reports) == [ACCEPTED, REPEATED, ACCEPTED, REPEATED]
    assert len(runner.finish().tasks) == 4 + 0 + 1 + 2 + 3


def test_a_report_after_the_task_was_leased_again_is_stale(start_runner):
    runner = start_runner(lease_seconds=3)
    runner.submit()
    (old,) = runner.claim()
    (new,) = wait_until(runner.claim, "the end of the lease")
    assert (old.task_id, old.lease_number + 1) == (new.task_id, new.lease_number)
    late = runner.computed(old, children=7)
    assert runner.report(late) == [STALE]
    failure = runners_pb2.FailedReport(
        task_id=old.task_id, lease_number=old.lease_number, kind=runners_pb2.FAILURE_KIND_FINAL
    )
    assert [one.verdict for one in runner.exchange(failed=[failure]).outcomes] == [STALE]
    lease = runners_pb2.TaskLeaseNumber(task_id=old.task_id, lease_number=old.lease_number)
    extended = runner.wire.call("RunnerService/ExtendLeases", runners_pb2.ExtendLeasesRequest(leases=[lease]))
    assert list(extended.lost) == [lease]
    assert runner.report(runner.computed(new, children=1)) == [ACCEPTED]
    assert runner.report(late) == [STALE]
    assert len(runner.finish().tasks) == 2


def test_a_repeated_claim_gets_the_same_response(start_runner):
    runner = start_runner()
    runner.submit(task_group(10))
    claim = uuid4().bytes
    tasks = runner.claim(4, claim=claim)
    again = runner.exchange(count=4, claim=claim, is_repeated=True).tasks
    assert list(again) == tasks
    # The request also repeats reports that were accepted the first time.
    reports = [runner.computed(task) for task in tasks]
    second = uuid4().bytes
    answers = [runner.exchange(computed=reports, count=3, claim=second, is_repeated=bool(n)) for n in range(3)]
    assert [[outcome.verdict for outcome in answer.outcomes] for answer in answers] == [
        [ACCEPTED] * 4,
        *[[REPEATED] * 4] * 2,
    ]
    assert answers[0].tasks == answers[1].tasks == answers[2].tasks
    for task in answers[0].tasks:
        runner.note("start", task.task_id)
    runner.report(*[runner.computed(task) for task in answers[0].tasks])
    assert len(runner.finish().tasks) == 10


def test_a_repeated_report_on_the_public_wire_gets_the_same_response(start_runner):
    runner = start_runner()
    runner.submit()
    cluster = runner.wire.call("WorkflowsService/GetCluster", workflows_pb2.GetClusterRequest())
    wanted = task_pb2.NextTaskToRun(cluster_slug=cluster.slug, identifiers=[LEAF])
    task = runner.wire.call("TaskService/NextTask", task_pb2.NextTaskRequest(next_task_to_run=wanted)).next_task
    runner.note("start", task.id.uuid)
    runner.note("end", task.id.uuid, 2)
    done = task_pb2.ComputedTask(id=task.id, sub_tasks=submissions(task_group(2)))
    for _ in range(3):
        runner.wire.call("TaskService/NextTask", task_pb2.NextTaskRequest(computed_task=done))
    # A later failure does not undo it.
    failure = task_pb2.TaskFailedRequest(task_id=task.id, was_workflow_error=True)
    with suppress(CallError):
        runner.wire.call("TaskService/TaskFailed", failure)
    assert len(runner.finish().tasks) == 3


def test_one_of_two_hundred_waiting_runners_is_woken_for_one_task(start_runner, monkeypatch):
    exchanges = []
    exchange = OrchestrationVerbs.exchange

    async def counted(self, *arguments, **rules):
        exchanges.append(arguments)
        return await exchange(self, *arguments, **rules)

    monkeypatch.setattr(OrchestrationVerbs, "exchange", counted)
    # No runner polls during the test.
    monkeypatch.setattr(leases, "POLL_SECONDS", 3600.0)
    runner = start_runner()
    waiting = [ask(runner, number.to_bytes(16, "big"), wait=30) for number in range(200)]
    wait_until(lambda: len(exchanges) == 200, "the first exchange of every runner")
    runner.submit()
    (answered,), _, _ = select.select(waiting, [], [], 300)
    (task,) = answer_body(b"".join(read_message(answered))).tasks
    # That runner may have been woken, or may have got the task from the submission.
    assert len(exchanges) <= 201
    for connection in waiting:
        connection.close()
    assert task.lease_number == 1
    runner.note("start", task.task_id)
    assert runner.report(runner.computed(task)) == [ACCEPTED]
    runner.finish()


def ask(runner, name, **values):
    """Send a request for one task, and return the connection with the pending response."""
    body = runner.request(runner=name, count=1, **values).SerializeToString()
    host, port = runner.server.url.removeprefix("http://").split(":")
    head = (
        "POST /tilebox.ext.v1.RunnerService/Exchange HTTP/1.1\r\nhost: test\r\ncontent-type: application/proto\r\n"
        f"authorization: Bearer {runner.server.token}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection((host, int(port)), timeout=300)
    connection.sendall(head.encode() + body)
    return connection


def died(runner, *executing, cause="process 7 on earth ended without a word", who=b"r" * 16):
    """Report the death of a runner, and return the number of tasks with a crash and of requeued tasks."""
    leases = [runners_pb2.TaskLeaseNumber(task_id=task.task_id, lease_number=task.lease_number) for task in executing]
    request = runners_pb2.ReportDeathRequest(runner_id=who, executing=leases, cause=cause)
    answer = runner.wire.call("RunnerService/ReportDeath", request)
    return answer.crashed, answer.returned


def test_only_executing_tasks_count_a_crash_after_a_death(start_runner):
    runner = start_runner()
    runner.submit(task_group(5))
    poison, done, *waiting = runner.claim(4)
    (elsewhere,) = runner.claim(1, runner=b"s" * 16)
    lost = runner.computed(done)
    assert died(runner, poison, cause="process 7 on earth\nended without a word") == (1, 3)
    # The death may be reported again, and late reports of the dead runner may follow.
    assert died(runner, poison) == (0, 0)
    assert runner.report(lost, runner.computed(waiting[0])) == [STALE, STALE]
    assert runner.report(runner.computed(elsewhere)) == [ACCEPTED]
    again = runner.claim(9, runner=b"t" * 16)
    assert {task.task_id for task in again} == {task.task_id for task in (poison, done, *waiting)}
    assert died(runner, poison) == (0, 0)
    assert runner.report(*[runner.computed(task) for task in again]) == [ACCEPTED] * 4
    tasks = runner.finish()
    assert {task["id"]: task["crashes"] for task in tasks.tasks.values() if task["crashes"]} == {poison.task_id: 1}
    (attempt,) = tasks.attempts
    assert attempt["outcome"] == "crashed"
    assert attempt["error"] == "the runner died while it executed this task: process 7 on earth ended without a word"


def test_a_report_before_the_death_counts(start_runner):
    runner = start_runner()
    runner.submit(task_group(3))
    first, second, third = runner.claim(3)
    assert runner.report(runner.computed(first)) == [ACCEPTED]
    # The executing task had ended, and its report arrived first.
    assert runner.report(runner.computed(second)) == [ACCEPTED]
    assert died(runner, first, second) == (0, 1)
    assert runner.finish().attempts == []
    assert third.lease_number == 1


def test_a_death_with_more_tasks_than_fit_one_transaction(start_runner, monkeypatch):
    monkeypatch.setattr(leases, "_DEATH_BATCH", 10)
    runner = start_runner()
    runner.submit(task_group(35))
    tasks = runner.claim(35)
    assert died(runner, *tasks[:12]) == (12, 23)
    assert len(runner.finish().attempts) == 12


def test_a_task_that_kills_runners_waits_longer_each_time(start_runner):
    runner = start_runner(lease_seconds=5, max_crashes=3)
    job = runner.submit()
    for _ in range(4):
        (task,) = runner.claim(wait=20)
        assert died(runner, task) == (1, 0)
    (task,) = read_sqlite(runner.server.data_dir / "tilebox.sqlite").tasks.values()
    attempts = read_sqlite(runner.server.data_dir / "tilebox.sqlite").attempts
    stopped = [attempt["stopped_us"] for attempt in attempts]
    started = [attempt["started_us"] for attempt in attempts]
    pauses = [later - earlier for earlier, later in zip(stopped, started[1:], strict=False)]
    assert min(pauses[1:]) >= 500_000
    assert (task["crashes"], task["state"]) == (4, TaskState.FAILED)
    assert "the runner died while it executed this task: process 7" in task["error"]
    assert job.id.uuid == task["job_id"]


def together(runner, count):
    """Claim some number of tasks, and die while executing all of them."""
    tasks = []
    while len(tasks) < count:
        tasks += runner.claim(count - len(tasks), wait=20)
    assert died(runner, *tasks) == (count, 0)


def test_a_task_with_an_equal_suspect_may_crash_more_often(start_runner):
    runner = start_runner(lease_seconds=5, max_crashes=1)
    runner.submit(task_group(2))

    def states():
        return {task["state"] for task in read_sqlite(runner.server.data_dir / "tilebox.sqlite").tasks.values()}

    for _ in range(2):
        together(runner, 2)
        assert states() == {TaskState.QUEUED}
    together(runner, 2)
    assert states() == {TaskState.FAILED}


def test_the_suspect_with_the_most_crashes_fails(start_runner):
    runner = start_runner(lease_seconds=5, max_crashes=1)
    runner.submit(task_group(1))
    together(runner, 1)
    innocent = runner.submit(task_group(1))
    together(runner, 2)
    tasks = read_sqlite(runner.server.data_dir / "tilebox.sqlite").tasks.values()
    found = {task["job_id"] == innocent.id.uuid: (task["state"], task["crashes"]) for task in tasks}
    assert found == {True: (TaskState.QUEUED, 1), False: (TaskState.FAILED, 2)}


@pytest.mark.parametrize("how", ["runner", "task"])
def test_a_death_without_a_valid_runner_id_is_refused(start_runner, how):
    runner = start_runner()
    lease = runners_pb2.TaskLeaseNumber(task_id=b"short", lease_number=1)
    executing, who = ([lease], b"r" * 16) if how == "task" else ([], b"")
    request = runners_pb2.ReportDeathRequest(runner_id=who, executing=executing)
    with pytest.raises(CallError, match=r"invalid_argument: .*16 bytes"):
        runner.wire.call("RunnerService/ReportDeath", request)
