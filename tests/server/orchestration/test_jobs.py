"""Jobs over the wire: state, listings, diagrams, clones, and requests that wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from support.http.wire import CallError, Wire, submissions, task_group, wire_id

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.tilebox.v1 import query_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2, job_pb2
from tilebox.server.orchestration import jobs, leases

# Longer than the time-out of a test, so that a missing notification fails the test.
LONG_SECONDS = 3600


@pytest.fixture(autouse=True)
def _long_waits(monkeypatch):
    for module in (jobs, leases):
        monkeypatch.setattr(module, "MAX_WAIT_SECONDS", LONG_SECONDS)


def test_a_submitted_job_can_be_read(wire):
    submitted = wire.submit_job(task_group(2), task_group(1, depends_on=[0]), name="Mosaic")
    assert (submitted.name, submitted.trace_parent) == ("Mosaic", "00-trace")
    assert submitted.state == core_pb2.JOB_STATE_SUBMITTED
    assert submitted.legacy_state == core_pb2.LEGACY_JOB_STATE_QUEUED
    assert submitted.execution_stats.total_tasks == 3
    assert [(each.state, each.count) for each in submitted.execution_stats.tasks_by_state] == [
        (core_pb2.TASK_STATE_QUEUED, 3)
    ]
    assert not submitted.HasField("automation_id")
    assert get(wire, submitted) == submitted


def test_a_canceled_job_continues_after_a_retry(proto):
    job = proto.submit_job()
    proto.call("JobService/CancelJob", job_pb2.CancelJobRequest(job_id=job.id))
    proto.call("JobService/CancelJob", job_pb2.CancelJobRequest(job_id=job.id))
    canceled = get(proto, job)
    assert (canceled.state, canceled.canceled) == (core_pb2.JOB_STATE_CANCELED, True)
    response = proto.call("JobService/RetryJob", job_pb2.RetryJobRequest(job_id=job.id))
    assert response.num_tasks_rescheduled == 0
    assert get(proto, job).state == core_pb2.JOB_STATE_SUBMITTED


@pytest.mark.parametrize("method", ["GetJob", "CancelJob", "RetryJob"])
def test_an_unknown_job_is_not_found(proto, method):
    request = getattr(job_pb2, f"{method}Request")
    with pytest.raises(CallError, match="not_found: there is no job"):
        proto.call(f"JobService/{method}", request(job_id=wire_id(uuid4())))
    with pytest.raises(CallError, match="invalid_argument: job_id is required"):
        proto.call(f"JobService/{method}", request())


def test_jobs_are_listed_page_by_page_latest_first(wire):
    automation = wire_id(uuid4())
    made = [wire.submit_job(name=f"Page {each}", automation_id=automation) for each in range(5)]
    filters = job_pb2.QueryFilters(automation_ids=[automation])
    for direction, expected in (
        (query_pb2.SORT_DIRECTION_UNSPECIFIED, made[::-1]),
        (query_pb2.SORT_DIRECTION_DESCENDING, made[::-1]),
        (query_pb2.SORT_DIRECTION_ASCENDING, made),
    ):
        request = job_pb2.QueryJobsRequest(filters=filters, sort_direction=direction)
        request.page.limit = 2
        found = []
        while True:
            response = wire.call("JobService/QueryJobs", request)
            found.append(list(response.jobs))
            if not response.next_page.HasField("starting_after"):
                break
            request.page.CopyFrom(response.next_page)
        assert [len(page) for page in found] == [2, 2, 1]
        assert [job for page in found for job in page] == expected


def test_jobs_are_filtered_by_an_interval_of_times_or_ids(proto):
    automation = wire_id(uuid4())
    first, second, third = (proto.submit_job(automation_id=automation) for _ in range(3))

    def names(**interval):
        filters = job_pb2.QueryFilters(automation_ids=[automation], **interval)
        jobs = proto.call("JobService/QueryJobs", job_pb2.QueryJobsRequest(filters=filters)).jobs
        return [[first, second, third].index(job) for job in reversed(jobs)]

    def times(**flags):
        return query_pb2.TimeInterval(start_time=first.submitted_at, end_time=third.submitted_at, **flags)

    def between(**flags):
        return query_pb2.IDInterval(start_id=first.id, end_id=third.id, **flags)

    for argument, interval in (("time_interval", times), ("id_interval", between)):
        assert names(**{argument: interval()}) == [0, 1]
        assert names(**{argument: interval(end_inclusive=True)}) == [0, 1, 2]
        assert names(**{argument: interval(start_exclusive=True)}) == [1]
        assert names(**{argument: interval(start_exclusive=True, end_inclusive=True)}) == [1, 2]


@pytest.mark.parametrize(
    ("filters", "page", "message"),
    [
        (
            {"time_interval": query_pb2.TimeInterval(), "id_interval": query_pb2.IDInterval()},
            {},
            "at most one of time_interval and id_interval",
        ),
        ({"time_interval": query_pb2.TimeInterval()}, {}, "must have start_time and end_time"),
        ({"id_interval": query_pb2.IDInterval()}, {}, "must have start_id and end_id"),
        ({"name": "x" * 101}, {}, "at most 100 characters"),
        ({"name": "nul\0"}, {}, "NUL"),
        ({"states": [77]}, {}, "filters.states: 77"),
        ({"states": [0]}, {}, "filters.states: 0"),
        ({"task_states": [77]}, {}, "filters.task_states: 77"),
        ({"automation_ids": [wire_id(b"short")]}, {}, "UUID of 16 bytes"),
        ({"cluster_slugs": ["x"] * 101}, {}, "at most 100 entries"),
        ({}, {"limit": 0}, "page.limit must be at least 1"),
        ({}, {"starting_after": wire_id(b"short")}, "UUID of 16 bytes"),
        ({}, {"starting_after": wire_id(uuid4())}, "not part of this listing"),
    ],
)
def test_an_invalid_query_is_refused(proto, filters, page, message):
    request = job_pb2.QueryJobsRequest(filters=job_pb2.QueryFilters(**filters), page=query_pb2.Pagination(**page))
    with pytest.raises(CallError, match=f"invalid_argument: .*{message}"):
        proto.call("JobService/QueryJobs", request)


def test_tasks_are_listed_page_by_page_with_their_subtasks(proto):
    runner = Executor(proto)
    job = runner.submit(task_group(3), task_group(1, depends_on=[0]))
    for _ in range(3):
        (task,) = runner.claim()
        runner.compute(task, submissions(task_group(4)))
    request = job_pb2.ListJobTasksRequest(
        job_id=job.id,
        page=query_pb2.Pagination(limit=2),
        prefetch_children=job_pb2.JobTaskChildrenPrefetch(limit=3),
    )
    first = proto.call("JobService/ListJobTasks", request)
    assert [task.has_children for task in first.page.tasks] == [True, True]
    assert [page.parent_task_id for page in first.prefetched_child_pages] == [task.id for task in first.page.tasks]
    assert [len(page.tasks) for page in first.prefetched_child_pages] == [3, 3]
    below = first.prefetched_child_pages[0]
    rest = proto.call(
        "JobService/ListJobTasks",
        job_pb2.ListJobTasksRequest(job_id=job.id, parent_task_id=below.parent_task_id, page=below.next_page),
    )
    children = [*below.tasks, *rest.page.tasks]
    assert len({task.id.uuid for task in children}) == 4
    assert {task.parent_id.uuid for task in children} == {below.parent_task_id.uuid}
    assert not rest.page.next_page.HasField("starting_after")
    request.page.CopyFrom(first.page.next_page)
    second = proto.call("JobService/ListJobTasks", request)
    roots = [*first.page.tasks, *second.page.tasks]
    assert [task.state for task in roots] == [core_pb2.TASK_STATE_COMPUTED] * 3 + [core_pb2.TASK_STATE_QUEUED]
    assert {(task.display, task.input, task.cluster_slug, task.max_retries) for task in roots} == {
        ("Leaf", b"{}", runner.slug, 0)
    }
    assert all(
        task.submitted_at.ToMicroseconds() // 1000 == job.submitted_at.ToMicroseconds() // 1000 for task in roots
    )
    assert all(task.started_at.ToMicroseconds() <= task.stopped_at.ToMicroseconds() for task in roots[:3])
    for message, values in (
        ("no task", {"parent_task_id": wire_id(uuid4())}),
        ("not part of this listing", {"page": query_pb2.Pagination(starting_after=children[0].id)}),
        ("at least 1", {"prefetch_children": job_pb2.JobTaskChildrenPrefetch()}),
    ):
        with pytest.raises(CallError, match=message):
            proto.call("JobService/ListJobTasks", job_pb2.ListJobTasksRequest(job_id=job.id, **values))


def test_the_display_of_a_failed_task_ends_with_its_error(proto):
    runner = Executor(proto)
    job = runner.submit(task_group(1))
    (task,) = runner.claim()
    runner.exchange(
        failed=[
            runners_pb2.FailedReport(
                task_id=task.task_id,
                lease_number=task.lease_number,
                kind=runners_pb2.FAILURE_KIND_TASK,
                error="ValueError: no tile",
            )
        ]
    )
    (told,) = proto.call("JobService/ListJobTasks", job_pb2.ListJobTasksRequest(job_id=job.id)).page.tasks
    assert (told.state, told.display) == (core_pb2.TASK_STATE_FAILED, "Leaf\nValueError: no tile")
    failed = get(proto, job)
    assert (failed.state, failed.canceled) == (core_pb2.JOB_STATE_FAILED, True)
    (queued,) = proto.call("JobService/GetJobPrototype", job_pb2.GetJobPrototypeRequest(job_id=job.id)).root_tasks
    assert queued.display == "Leaf"


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "new"])
def test_a_waiting_runner_gets_a_submitted_task(proto, is_known):
    runner = Executor(proto)
    if is_known:
        runner.submit(task_group(1))
        runner.compute(*runner.claim())
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(runner.exchange, max_tasks=2, wait=Duration(seconds=LONG_SECONDS))
        # The runner may wait by now or not: the task is delivered, or the runner claims it itself.
        job = runner.submit(task_group(3), task_group(1, depends_on=[0]))
        response = waiting.result()
    assert [bytes(entry.job_id) for entry in response.jobs] == [job.id.uuid]
    assert response.jobs[0].name == job.name
    assert [task.identifier for task in response.tasks] == [0, 0]
    for task in (*response.tasks, *runner.claim(5)):
        runner.compute(task)
    runner.compute(*runner.claim(5))
    assert get(proto, job).state == core_pb2.JOB_STATE_COMPLETED


@pytest.mark.parametrize("verdict", ["stale", "refused"])
def test_a_rejected_report_is_responseed_without_waiting_for_a_task(proto, verdict):
    runner = Executor(proto)
    runner.submit(task_group(1))
    (task,) = runner.claim()
    report = runners_pb2.ComputedReport(task_id=task.task_id, lease_number=task.lease_number + (verdict == "stale"))
    if verdict == "refused":
        report.progress_updates.add(label="x" * 1000, total=1, done=0)
    response = runner.exchange(computed=[report], max_tasks=1, wait=Duration(seconds=LONG_SECONDS))
    [outcome] = response.outcomes
    assert outcome.verdict == getattr(runners_pb2, f"REPORT_VERDICT_{verdict.upper()}")


def test_the_statistics_of_a_completed_job(proto):
    runner = Executor(proto)
    job = runner.submit(task_group(2))
    for done in (1, 3):
        (task,) = runner.claim()
        runner.compute(task, progress_updates=[core_pb2.Progress(label="tiles", total=4, done=done)])
    ended = get(proto, job)
    stats = ended.execution_stats
    assert ended.state == core_pb2.JOB_STATE_COMPLETED
    assert ended.legacy_state == core_pb2.LEGACY_JOB_STATE_COMPLETED
    assert [(each.label, each.total, each.done) for each in ended.progress] == [("tiles", 8, 4)]
    assert [(each.state, each.count) for each in stats.tasks_by_state] == [(core_pb2.TASK_STATE_COMPUTED, 2)]
    elapsed = stats.last_task_stopped_at.ToMicroseconds() - stats.first_task_started_at.ToMicroseconds()
    assert stats.elapsed_time.ToMicroseconds() == elapsed > 0
    assert 0 < stats.compute_time.ToMicroseconds() <= elapsed
    assert stats.parallelism == pytest.approx(stats.compute_time.ToMicroseconds() / elapsed)
    assert ended.started_at == stats.first_task_started_at


def test_a_job_is_visualized(proto):
    job = proto.submit_job(task_group(2), task_group(1, depends_on=[0]), name="Drawn & named")
    request = job_pb2.VisualizeJobRequest(
        job_id=job.id, include_job_name=True, theme=job_pb2.WORKFLOW_DIAGRAM_THEME_CONSOLE_DARK
    )
    svg = proto.call("JobService/VisualizeJob", request).svg
    assert b"<svg" in svg
    assert b"Drawn &amp; named" in svg
    request.theme = 9
    with pytest.raises(CallError, match="invalid_argument: theme 9 is not known"):
        proto.call("JobService/VisualizeJob", request)
    request.theme = 0
    request.render_options.layout = "circle"
    with pytest.raises(CallError, match="invalid_argument: layout"):
        proto.call("JobService/VisualizeJob", request)


def test_a_job_is_cloned_with_the_same_or_other_tasks(proto):
    job = proto.submit_job(task_group(2), task_group(1, depends_on=[0]), name="First")
    prototype = proto.call("JobService/GetJobPrototype", job_pb2.GetJobPrototypeRequest(job_id=job.id))
    same = proto.call("JobService/CloneJob", job_pb2.CloneJobRequest(job_id=job.id, job_name="Second"))
    assert same.name == "Second"
    again = proto.call("JobService/GetJobPrototype", job_pb2.GetJobPrototypeRequest(job_id=same.id))
    assert again.root_tasks == prototype.root_tasks
    overrides = prototype.root_tasks[:1]
    overrides[0].input = b"other"
    other = proto.call("JobService/CloneJob", job_pb2.CloneJobRequest(job_id=job.id, root_tasks_overrides=overrides))
    (task,) = proto.call("JobService/ListJobTasks", job_pb2.ListJobTasksRequest(job_id=other.id)).page.tasks
    assert (other.name, task.input) == ("First", b"other")
    overrides[0].input = b"x" * 2049
    with pytest.raises(CallError, match=r"invalid_argument: .*2,049 bytes"):
        proto.call("JobService/CloneJob", job_pb2.CloneJobRequest(job_id=job.id, root_tasks_overrides=overrides))


def test_jobs_and_queued_tasks_are_counted(proto):
    early = proto.submit_job(task_group(2))
    late = proto.submit_job(task_group(3))
    interval = query_pb2.TimeInterval(start_time=early.submitted_at, end_time=late.submitted_at, end_inclusive=True)
    counts = proto.call("JobService/GetJobStateCounts", job_pb2.GetJobStateCountsRequest(time_interval=interval))
    assert counts.total_jobs == 2
    assert [(each.state, each.count) for each in counts.state_counts] == [(core_pb2.JOB_STATE_SUBMITTED, 2)]
    stats = proto.call("JobService/GetTaskQueueStats", job_pb2.GetTaskQueueStatsRequest(job_time_interval=interval))
    assert (stats.waiting_jobs, stats.running_jobs, stats.queued_tasks) == (2, 0, 5)
    assert stats.oldest_waiting_job == early
    request = job_pb2.GetTaskQueueStatsRequest(job_time_interval=interval)
    request.job_max_age.FromSeconds(0)
    assert proto.call("JobService/GetTaskQueueStats", request) == job_pb2.GetTaskQueueStatsResponse()
    request.job_max_age.FromSeconds(3600)
    assert proto.call("JobService/GetTaskQueueStats", request) == stats


def test_a_request_waits_for_the_end_of_a_job(proto, server):
    runner = Executor(proto)
    job = runner.submit(task_group(2))
    (task,) = runner.claim()

    def ask(**values):
        request = runners_pb2.AwaitJobRequest(job_id=job.id, **values)
        request.wait.FromSeconds(LONG_SECONDS)
        with Wire(server.url, server.token) as wire:
            return wire.call("RunnerService/AwaitJob", request)

    with ThreadPoolExecutor() as pool:
        for_one, for_all = pool.submit(ask, computed_at_least=1), pool.submit(ask)
        runner.compute(task)
        one = for_one.result()
        assert (one.state, one.execution_stats.tasks_by_state[-1].count) == (core_pb2.JOB_STATE_STARTED, 1)
        assert not for_all.done()
        runner.compute(*runner.claim())
        assert for_all.result().state == core_pb2.JOB_STATE_COMPLETED
    assert ask() == get(proto, job)


def test_a_wait_that_times_out_returns_the_job(proto):
    job = proto.submit_job()
    assert proto.call("RunnerService/AwaitJob", runners_pb2.AwaitJobRequest(job_id=job.id)) == job


def test_queued_tasks_are_explained(wire):
    runner = Executor(wire)
    job = runner.submit(task_group(1), task_group(1, depends_on=[0]))
    request = runners_pb2.ExplainJobRequest(job_id=job.id)
    first, second = wire.call("RunnerService/ExplainJob", request).tasks
    assert (first.reason, first.cluster_slug, first.identifier.name, first.identifier.version) == (
        runners_pb2.QUEUE_REASON_NO_RUNNER,
        runner.slug,
        "tasks.Leaf",
        "v1.0",
    )
    assert second.reason == runners_pb2.QUEUE_REASON_DEPENDENCIES
    assert list(second.waits_for) == [first.task_id]
    assert second.explanation == "it waits for 1 task: Leaf (queued)"
    (task,) = runner.claim()
    (waiting,) = wire.call("RunnerService/ExplainJob", request).tasks
    assert waiting.explanation == "it waits for 1 task: Leaf (running)"
    runner.compute(task)
    (following,) = wire.call("RunnerService/ExplainJob", request).tasks
    assert following.reason == runners_pb2.QUEUE_REASON_NEXT
    request.limit = 1
    assert len(wire.call("RunnerService/ExplainJob", request).tasks) == 1


class Executor:
    """A runner that the test drives, in a cluster of its own."""

    def __init__(self, wire):
        self._wire = wire
        self._claims = 0
        self.slug = wire.create_cluster("Executes").slug

    def submit(self, *groups):
        request = job_pb2.SubmitJobRequest(
            tasks=submissions(*groups, clusters=[self.slug]), job_name="A job", trace_parent="00-trace"
        )
        return self._wire.call("JobService/SubmitJob", request)

    def exchange(self, **values):
        self._claims += 1
        request = runners_pb2.ExchangeRequest(
            runner_id=b"r" * 16,
            claim_id=self._claims.to_bytes(16, "big"),
            cluster_slug=self.slug,
            identifiers=[core_pb2.TaskIdentifier(name="tasks.Leaf", version="v1.0")],
            **values,
        )
        return self._wire.call("RunnerService/Exchange", request)

    def claim(self, count=1):
        return self.exchange(max_tasks=count).tasks

    def compute(self, task, sub_tasks=None, **values):
        computed = runners_pb2.ComputedReport(
            task_id=task.task_id, lease_number=task.lease_number, sub_tasks=sub_tasks, **values
        )
        (outcome,) = self.exchange(computed=[computed]).outcomes
        assert outcome.verdict == runners_pb2.REPORT_VERDICT_ACCEPTED


def get(wire, job):
    return wire.call("JobService/GetJob", job_pb2.GetJobRequest(job_id=job.id))
