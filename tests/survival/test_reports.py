"""Reports that come twice, late, out of order or all at once, sent by hand; and claims whose answer got lost."""

from __future__ import annotations

import select
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

import pytest
from survival.harness.hand import ACCEPTED, LEAF, REPEATED, STALE, Hand
from survival.harness.invariants import read_sqlite
from survival.harness.proxy import answer_body, read_message
from survival.harness.stage import wait_until
from wire import CallError, submissions, task_group

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import task_pb2, workflows_pb2
from tilebox.server.orchestration import leases
from tilebox.server.rules.task_states import TaskState
from tilebox.server.store.work.verbs import OrchestrationVerbs

pytestmark = pytest.mark.slow


@pytest.fixture
def hand(fresh_server):
    """A function that starts a server, and a runner by hand."""
    hands = []

    def start(**settings):
        hands.append(Hand(fresh_server(**settings)))
        return hands[-1]

    yield start
    for one in hands:
        one.wire.http.close()


def test_a_report_that_comes_many_times_at_once_is_accepted_once(hand):
    runner = hand()
    runner.submit()
    (task,) = runner.claim()
    report = runner.computed(task, children=5)
    with ThreadPoolExecutor(16) as pool:
        verdicts = [verdict for answer in pool.map(lambda _: runner.report(report), range(64)) for verdict in answer]
    assert sorted(verdicts) == [ACCEPTED, *[REPEATED] * 63]
    assert len(runner.finish().tasks) == 6


def test_reports_in_any_order_and_doubled_within_one_request(hand):
    runner = hand()
    runner.submit(task_group(4))
    tasks = runner.claim(4)
    reports = [runner.computed(task, children=index) for index, task in enumerate(tasks)]
    assert runner.report(reports[3], reports[1], reports[3]) == [ACCEPTED, ACCEPTED, REPEATED]
    assert runner.report(*reports) == [ACCEPTED, REPEATED, ACCEPTED, REPEATED]
    assert len(runner.finish().tasks) == 4 + 0 + 1 + 2 + 3


def test_a_report_after_the_lease_has_passed_on_is_stale(hand):
    runner = hand(lease_seconds=3)
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


def test_a_claim_whose_answer_got_lost_is_answered_the_same_again(hand):
    runner = hand()
    runner.submit(task_group(10))
    claim = uuid4().bytes
    tasks = runner.claim(4, claim=claim)
    again = runner.exchange(count=4, claim=claim, is_repeated=True).tasks
    assert list(again) == tasks
    # Together with reports that were accepted the first time.
    reports = [runner.computed(task) for task in tasks]
    second = uuid4().bytes
    answers = [runner.exchange(computed=reports, count=3, claim=second, is_repeated=bool(n)) for n in range(3)]
    assert [[one.verdict for one in answer.outcomes] for answer in answers] == [[ACCEPTED] * 4, *[[REPEATED] * 4] * 2]
    assert answers[0].tasks == answers[1].tasks == answers[2].tasks
    for task in answers[0].tasks:
        runner.note("start", task.task_id)
    runner.report(*[runner.computed(task) for task in answers[0].tasks])
    assert len(runner.finish().tasks) == 10


def test_the_public_wire_says_twice_what_it_says_once(hand):
    runner = hand()
    runner.submit()
    cluster = runner.wire.call("WorkflowsService/GetCluster", workflows_pb2.GetClusterRequest())
    wanted = task_pb2.NextTaskToRun(cluster_slug=cluster.slug, identifiers=[LEAF])
    task = runner.wire.call("TaskService/NextTask", task_pb2.NextTaskRequest(next_task_to_run=wanted)).next_task
    runner.note("start", task.id.uuid)
    runner.note("end", task.id.uuid, 2)
    done = task_pb2.ComputedTask(id=task.id, sub_tasks=submissions(task_group(2)))
    for _ in range(3):
        runner.wire.call("TaskService/NextTask", task_pb2.NextTaskRequest(computed_task=done))
    # Nor can a failure undo it.
    failure = task_pb2.TaskFailedRequest(task_id=task.id, was_workflow_error=True)
    with suppress(CallError):
        runner.wire.call("TaskService/TaskFailed", failure)
    assert len(runner.finish().tasks) == 3


def test_of_two_hundred_that_wait_one_gets_the_one_task_and_the_others_do_not_stir(hand, monkeypatch):
    looks = []
    exchange = OrchestrationVerbs.exchange

    async def counted(self, *arguments, **rules):
        looks.append(arguments)
        return await exchange(self, *arguments, **rules)

    monkeypatch.setattr(OrchestrationVerbs, "exchange", counted)
    # Nobody looks for other reasons meanwhile.
    monkeypatch.setattr(leases, "POLL_SECONDS", 3600.0)
    runner = hand()
    waiting = [ask(runner, number.to_bytes(16, "big"), wait=30) for number in range(200)]
    wait_until(lambda: len(looks) == 200, "the first looks of all")
    runner.submit()
    (answered,), _, _ = select.select(waiting, [], [], 300)
    (task,) = answer_body(b"".join(read_message(answered))).tasks
    # The one may have been woken, or handed it by whoever submitted it.
    assert len(looks) <= 201
    for connection in waiting:
        connection.close()
    assert task.lease_number == 1
    runner.note("start", task.task_id)
    assert runner.report(runner.computed(task)) == [ACCEPTED]
    runner.finish()


def ask(runner, name, **values):
    """Send a request for one task, and return the connection, on which the answer will be."""
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
    """Say that the runner is dead, and return how many tasks that was put down to, and how many were given back."""
    leases = [runners_pb2.TaskLeaseNumber(task_id=task.task_id, lease_number=task.lease_number) for task in executing]
    request = runners_pb2.ReportDeathRequest(runner_id=who, executing=leases, cause=cause)
    answer = runner.wire.call("RunnerService/ReportDeath", request)
    return answer.crashed, answer.returned


def test_a_death_is_put_down_to_what_was_executed_and_nothing_else(hand):
    runner = hand()
    runner.submit(task_group(5))
    poison, done, *waiting = runner.claim(4)
    (elsewhere,) = runner.claim(1, runner=b"s" * 16)
    lost = runner.computed(done)
    assert died(runner, poison, cause="process 7 on earth\nended without a word") == (1, 3)
    # It may be said again, and the reports of the dead may arrive after it.
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


def test_a_report_that_is_ahead_of_the_death_counts(hand):
    runner = hand()
    runner.submit(task_group(3))
    first, second, third = runner.claim(3)
    assert runner.report(runner.computed(first)) == [ACCEPTED]
    # What was executed had ended meanwhile, and its report was on its way.
    assert runner.report(runner.computed(second)) == [ACCEPTED]
    assert died(runner, first, second) == (0, 1)
    assert runner.finish().attempts == []
    assert third.lease_number == 1


def test_a_death_with_more_tasks_than_one_transaction_settles(hand, monkeypatch):
    monkeypatch.setattr(leases, "_DEATH_BATCH", 10)
    runner = hand()
    runner.submit(task_group(35))
    tasks = runner.claim(35)
    assert died(runner, *tasks[:12]) == (12, 23)
    assert len(runner.finish().attempts) == 12


def test_what_takes_runners_down_waits_longer_and_longer(hand):
    runner = hand(lease_seconds=5, max_crashes=3)
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
    """Claim tasks until there are so many, and die of all of them."""
    tasks = []
    while len(tasks) < count:
        tasks += runner.claim(count - len(tasks), wait=20)
    assert died(runner, *tasks) == (count, 0)


def test_of_tasks_that_were_executed_together_one_that_has_crashed_as_often_is_not_given_up_as_soon(hand):
    runner = hand(lease_seconds=5, max_crashes=1)
    runner.submit(task_group(2))

    def states():
        return {task["state"] for task in read_sqlite(runner.server.data_dir / "tilebox.sqlite").tasks.values()}

    for _ in range(2):
        together(runner, 2)
        assert states() == {TaskState.QUEUED}
    together(runner, 2)
    assert states() == {TaskState.FAILED}


def test_of_tasks_that_were_executed_together_the_one_that_has_crashed_most_often_is_given_up(hand):
    runner = hand(lease_seconds=5, max_crashes=1)
    runner.submit(task_group(1))
    together(runner, 1)
    innocent = runner.submit(task_group(1))
    together(runner, 2)
    tasks = read_sqlite(runner.server.data_dir / "tilebox.sqlite").tasks.values()
    found = {task["job_id"] == innocent.id.uuid: (task["state"], task["crashes"]) for task in tasks}
    assert found == {True: (TaskState.QUEUED, 1), False: (TaskState.FAILED, 2)}


@pytest.mark.parametrize("how", ["runner", "task"])
def test_a_death_that_names_nobody_is_refused(hand, how):
    runner = hand()
    lease = runners_pb2.TaskLeaseNumber(task_id=b"short", lease_number=1)
    executing, who = ([lease], b"r" * 16) if how == "task" else ([], b"")
    request = runners_pb2.ReportDeathRequest(runner_id=who, executing=executing)
    with pytest.raises(CallError, match=r"invalid_argument: .*16 bytes"):
        runner.wire.call("RunnerService/ReportDeath", request)
