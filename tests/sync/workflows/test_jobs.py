# Generated from tests/aio/workflows/test_jobs.py by scripts/unasync.py; do not edit.
"""The client of jobs against a server that answers as told: requests, answers, faults."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from support.http.answers import Answers
from support.http.scripted import refusal
from worlds.sync import open_workflows

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.tilebox.v1 import query_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2, diagram_pb2, job_pb2
from tilebox._core.values import ids
from tilebox._io.progress import display
from tilebox.sync.workflows import jobs as jobs_module
from tilebox.workflows import (
    Cluster,
    JobFailedError,
    JobState,
    JobTimeoutError,
    NotFoundError,
    ServerError,
    Task,
    TaskState,
    TransportError,
)

JOB = UUID("018dd029-58ca-74e5-8b58-b4f99d610f9a")
TRACE_PARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01")
RUNNERS = "datapoints/1, runners/1"


class Hello(Task):
    name: str


class Other(Task):
    pass


def job(state="SUBMITTED", number=None, name="hello", trace_parent="", **counts):
    """Return the message of a job, with a number of tasks by state."""
    states = {core_pb2.TaskState.Value(f"TASK_STATE_{one.upper()}"): count for one, count in counts.items()}
    return core_pb2.Job(
        id=ids.to_wire(JOB if number is None else UUID(int=number)),
        name=name,
        state=core_pb2.JobState.Value(f"JOB_STATE_{state}"),
        trace_parent=trace_parent,
        execution_stats=core_pb2.ExecutionStats(
            total_tasks=sum(counts.values()),
            tasks_by_state=[core_pb2.TaskStateCount(state=one, count=count) for one, count in states.items()],
        ),
    )


def task(number, state="COMPUTED", display="Task", parent=None):
    message = job_pb2.TaskSummary(
        id=ids.to_wire(UUID(int=number)), display=display, state=core_pb2.TaskState.Value(f"TASK_STATE_{state}")
    )
    if parent is not None:
        message.parent_id.CopyFrom(ids.to_wire(UUID(int=parent)))
    return message


def jobs_over(wire):
    return open_workflows("http://box:1", "key", wire=wire).jobs()


def explained(*reasons):
    return runners_pb2.ExplainJobResponse(
        tasks=[
            runners_pb2.QueuedTask(
                task_id=ids.to_wire(UUID(int=1)),
                display="Hello",
                identifier=core_pb2.TaskIdentifier(name="Hello", version="v0.0"),
                reason=getattr(runners_pb2, f"QUEUE_REASON_{reason}"),
                explanation=f"because of {reason}",
            )
            for reason in reasons
        ]
    )


def test_a_job_is_submitted_as_documented():
    wire = Answers(SubmitJob=job(queued=1))
    submitted = jobs_over(wire).submit("my-job", Hello("World"), "dev-cluster", max_retries=5)
    assert (submitted.id, submitted.state) == (JOB, JobState.SUBMITTED)
    (request,) = wire.asked("SubmitJob")
    assert request.job_name == "my-job"
    assert TRACE_PARENT.fullmatch(request.trace_parent)
    assert list(request.tasks.cluster_slug_lookup) == ["dev-cluster"]
    assert list(request.tasks.task_groups[0].max_retries_values) == [5]
    assert request.tasks.identifier_lookup[0].name == "Hello"


def test_a_job_without_a_name_is_called_like_its_task():
    wire = Answers(SubmitJob=job())
    jobs_over(wire).submit(Hello("World"), cluster="testing-CvufcSxcC9SKfe")
    jobs_over(wire).submit([Other(), Hello("World")], cluster=[Cluster("a"), "b"])
    assert [request.job_name for request in wire.asked("SubmitJob")] == ["Hello", "Other"]


def test_bad_arguments_are_refused_before_any_request():
    wire = Answers()
    jobs = jobs_over(wire)
    with pytest.raises(TypeError, match=r"Hello\(\.\.\.\)"):
        jobs.submit("x", Hello, "dev")
    with pytest.raises(ValueError, match="one per task"):
        jobs.submit("x", [Other(), Other(), Other()], ["a", "b"])
    for method in (
        jobs.find,
        jobs.cancel,
        jobs.retry,
        jobs.visualize,
        jobs.display,
        jobs.tasks,
        jobs.queued,
        jobs.wait,
    ):
        with pytest.raises(ValueError, match="is not a valid job id"):
            method("some-job-id")
    with pytest.raises(ValueError, match="direction must be one of"):
        jobs.visualize(JOB, direction="sideways")
    with pytest.raises(ValueError, match="layout must be one of"):
        jobs.display(JOB, layout="tala")
    with pytest.raises(ValueError, match="limit must be positive"):
        jobs.query(limit=0)
    with pytest.raises(ValueError, match="timeout must not be negative"):
        jobs.wait(JOB, timeout=-1)
    assert wire.methods == []


def test_a_submission_whose_answer_was_lost_is_found_and_not_sent_again():
    sent = []

    def lost(request):
        sent.append(request)
        return httpx.ReadError("connection reset by peer")

    def found(request):
        others = [job(number=number, trace_parent="00-1-2-01") for number in (3, 2)]
        return job_pb2.QueryJobsResponse(jobs=[*others, job(trace_parent=sent[0].trace_parent)])

    wire = Answers(SubmitJob=lost, QueryJobs=found)
    assert (jobs_over(wire).submit("my-job", Hello("World"))).id == JOB
    assert wire.methods == ["SubmitJob", "QueryJobs"]
    assert wire.asked("QueryJobs")[0].filters.name == "my-job"


def test_a_submission_that_is_not_found_is_an_error_that_says_so():
    wire = Answers(SubmitJob=httpx.ReadError("reset"), QueryJobs=job_pb2.QueryJobsResponse(jobs=[job()]))
    with pytest.raises(TransportError, match="reset") as caught:
        jobs_over(wire).submit("my-job", Hello("World"))
    assert "the job was not found; before you submit it again" in caught.value.__notes__[-1]
    assert wire.methods == ["SubmitJob", "QueryJobs"]


def test_a_submission_to_a_server_that_is_gone_is_an_error_that_says_so():
    wire = Answers(SubmitJob=httpx.ReadError("reset"), QueryJobs=refusal("permission_denied", "no reading"))
    with pytest.raises(TransportError, match="reset") as caught:
        jobs_over(wire).submit("my-job", Hello("World"))
    assert (
        caught.value.__notes__[-1]
        == "it is unknown whether the job was submitted, because the query for it failed: no reading"
    )


def test_a_submission_that_never_arrived_is_sent_again():
    wire = Answers(SubmitJob=[httpx.ConnectError("refused"), httpx.ConnectError("refused"), job()])
    assert (jobs_over(wire).submit("my-job", Hello("World"))).id == JOB
    assert wire.methods == ["SubmitJob"] * 3
    assert len({request.trace_parent for request in wire.asked("SubmitJob")}) == 1


def test_every_submission_has_a_trace_of_its_own():
    wire = Answers(SubmitJob=job())
    jobs = jobs_over(wire)
    for _ in range(3):
        jobs.submit("my-job", Hello("World"))
    assert len({request.trace_parent for request in wire.asked("SubmitJob")}) == 3


def test_a_submission_belongs_to_the_trace_that_is_open():
    trace = pytest.importorskip("opentelemetry.trace")
    context = trace.SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    wire = Answers(SubmitJob=job())
    with trace.use_span(trace.NonRecordingSpan(context)):
        for _ in range(2):
            jobs_over(wire).submit("my-job", Hello("World"))
    first, second = [request.trace_parent for request in wire.asked("SubmitJob")]
    assert first.startswith(f"00-{0xABC:032x}-")
    assert second.startswith(f"00-{0xABC:032x}-")
    assert first != second
    assert TRACE_PARENT.fullmatch(first)


def test_a_job_is_found_by_itself_and_by_its_id():
    wire = Answers(GetJob=job("RUNNING", running=1))
    jobs = jobs_over(wire)
    found = jobs.find(str(JOB))
    assert repr(found) == f"Job hello [RUNNING]: 0 of 1 tasks computed, 1 running, {JOB}"
    assert jobs.find(found) == jobs.find(found.id) == found
    assert {request.job_id.uuid for request in wire.asked("GetJob")} == {JOB.bytes}


def test_an_unknown_job_is_not_found():
    wire = Answers(GetJob=refusal("not_found", f"there is no job {JOB}"))
    with pytest.raises(NotFoundError, match="there is no job 018dd029"):
        jobs_over(wire).find(JOB)


def test_jobs_are_looked_for_page_by_page_from_the_latest_on():
    def page(request):
        after = int.from_bytes(request.page.starting_after.uuid, "big") or 10
        limit = min(4, request.page.limit or 4)
        numbers = range(after - 1, max(after - 1 - limit, 0), -1)
        answer = job_pb2.QueryJobsResponse(jobs=[job(number=number) for number in numbers])
        if numbers[-1] > 1:
            answer.next_page.starting_after.CopyFrom(ids.to_wire(UUID(int=numbers[-1])))
        return answer

    wire = Answers(QueryJobs=page)
    found = jobs_over(wire).query(("2024-01-01", "2025-01-01"), job_states=JobState.SUBMITTED, clusters="dev")
    assert [one.id.int for one in found] == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert repr(found).startswith("9 jobs\n  name   state      submitted at  tasks  id\n  hello  SUBMITTED")
    requests = wire.asked("QueryJobs")
    assert len(requests) == 3
    assert all(one.sort_direction == query_pb2.SORT_DIRECTION_DESCENDING for one in requests)
    assert all(list(one.filters.cluster_slugs) == ["dev"] for one in requests)
    assert [one.id.int for one in jobs_over(wire).query(limit=5)] == [9, 8, 7, 6, 5]
    assert [request.page.limit for request in wire.asked("QueryJobs")[3:]] == [5, 1]


def test_a_job_is_cancelled_and_retried():
    wire = Answers(CancelJob=job_pb2.CancelJobResponse(), RetryJob=job_pb2.RetryJobResponse(num_tasks_rescheduled=3))
    jobs = jobs_over(wire)
    assert jobs.cancel(JOB) is None
    assert jobs.retry(JOB) == 3


def test_a_retry_whose_answer_was_lost_is_not_sent_again_but_a_cancellation_is():
    wire = Answers(CancelJob=[httpx.ReadError("reset"), job_pb2.CancelJobResponse()], RetryJob=httpx.ReadError("reset"))
    jobs = jobs_over(wire)
    jobs.cancel(JOB)
    with pytest.raises(TransportError):
        jobs.retry(JOB)
    assert wire.methods == ["CancelJob", "CancelJob", "RetryJob"]


def test_a_diagram_is_drawn_by_the_server():
    wire = Answers(VisualizeJob=diagram_pb2.Diagram(svg=b"<svg/>"))
    assert jobs_over(wire).visualize(JOB, direction="right", layout="elk", sketchy=False) == "<svg/>"
    options = wire.asked("VisualizeJob")[0].render_options
    assert (options.direction, options.layout, options.sketchy) == ("right", "elk", False)
    jobs_over(wire).visualize(JOB)
    options = wire.asked("VisualizeJob")[1].render_options
    assert (options.direction, options.layout, options.sketchy) == ("down", "dagre", True)


def test_a_notebook_shows_state_and_diagram(monkeypatch):
    shown = []
    monkeypatch.setattr(display, "in_notebook", lambda: True)
    monkeypatch.setattr(display, "show_html", shown.append)
    wire = Answers(VisualizeJob=diagram_pb2.Diagram(svg=b"<svg/>"), GetJob=job("RUNNING", computed=1, running=1))
    jobs_over(wire).display(JOB)
    assert "1 of 2 tasks computed, 1 running" in shown[0]
    assert "data:image/svg+xml" in shown[0]


def test_elsewhere_a_job_is_shown_as_text(capsys):
    tasks = job_pb2.ListJobTasksResponse(page=job_pb2.JobTaskPage(tasks=[task(1, display="Root(2)")]))
    wire = Answers(GetJob=job("COMPLETED", computed=1), ListJobTasks=tasks)
    jobs_over(wire).display(JOB)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Job hello [COMPLETED]: 1 of 1 tasks computed, {JOB}"
    assert lines[3].split() == ["Root(2)", "COMPUTED"]
    assert "jobs.visualize(job)" in lines[-1]


def test_tasks_are_listed_as_a_tree():
    def page(request):
        if request.HasField("parent_task_id"):
            parent = int.from_bytes(request.parent_task_id.uuid, "big")
            return job_pb2.ListJobTasksResponse(
                page=job_pb2.JobTaskPage(tasks=[task(parent * 10 + place, parent=parent) for place in range(2)])
            )
        roots = [task(number) for number in (1, 2)]
        for root in roots:
            root.has_children = True
        return job_pb2.ListJobTasksResponse(page=job_pb2.JobTaskPage(tasks=roots))

    wire = Answers(ListJobTasks=page)
    tasks = jobs_over(wire).tasks(JOB)
    assert [one.id.int for one in tasks] == [1, 10, 11, 2, 20, 21]
    assert repr(tasks).startswith("6 tasks\n")
    assert len(wire.requests) == 3
    assert [one.id.int for one in jobs_over(wire).tasks(JOB, limit=1)] == [1]


def test_queued_tasks_tell_why():
    wire = Answers(RUNNERS, ExplainJob=explained("NO_RUNNER", "DEPENDENCIES"))
    found = jobs_over(wire).queued(JOB, limit=7)
    assert [one.explanation for one in found] == ["because of NO_RUNNER", "because of DEPENDENCIES"]
    assert wire.asked("ExplainJob")[0].limit == 7


def test_a_server_that_cannot_tell_why_says_so():
    for answer in (refusal("unimplemented", "no such method"), httpx.Response(404, content=b"not found")):
        with pytest.raises(
            ServerError, match=r"does not offer the extension runners/1; call jobs\.tasks\(job\) to list"
        ):
            jobs_over(Answers(ExplainJob=answer)).queued(JOB)
    with pytest.raises(NotFoundError):
        jobs_over(Answers(ExplainJob=refusal("not_found"))).queued(JOB)


def test_waiting_is_one_held_request_after_the_other():
    steps = [
        job("SUBMITTED", queued=3),
        job("STARTED", computed=1, queued=299, running=1),
        job("COMPLETED", computed=301),
    ]
    wire = Answers(RUNNERS, GetJob=steps[0], AwaitJob=steps, ExplainJob=explained("NEXT"))
    heard = []
    ended = jobs_over(wire).wait(JOB, show_progress=heard.append)
    assert ended.state is JobState.COMPLETED
    assert wire.methods == ["GetJob", "AwaitJob", "ExplainJob", "AwaitJob", "AwaitJob"]
    held = wire.asked("AwaitJob")
    assert [one.wait.ToSeconds() for one in held] == [2, 20, 20]
    assert [one.computed_at_least for one in held] == [1, 1, 4]
    assert heard == [0.0, 0.0, 1 / 301, 1.0]


def test_a_server_that_does_not_hold_requests_is_not_flooded(monkeypatch):
    pauses = []
    sleep = jobs_module.sleep

    def counted(seconds):
        pauses.append(seconds)
        return sleep(0)

    monkeypatch.setattr(jobs_module, "sleep", counted)
    busy = job("RUNNING", running=1)
    wire = Answers(RUNNERS, GetJob=busy, AwaitJob=[*[busy] * 5, job("COMPLETED", computed=1)])
    jobs_over(wire).wait(JOB, show_progress=False)
    assert pauses == sorted(pauses)
    assert len(pauses) == 5


def test_a_job_that_has_ended_is_not_waited_for():
    wire = Answers(RUNNERS, GetJob=job("FAILED", failed=1))
    assert (jobs_over(wire).wait(JOB)).state is JobState.FAILED
    assert wire.methods == ["GetJob"]


def test_a_server_without_the_extension_is_asked_again_and_again():
    wire = Answers(GetJob=[job("SUBMITTED", queued=1), job("RUNNING", running=1), job("COMPLETED", computed=1)])
    assert (jobs_over(wire).wait(JOB, show_progress=False)).state is JobState.COMPLETED
    assert wire.methods == ["GetJob"] * 3


def test_a_missing_runner_is_told_once(caplog):
    wire = Answers(
        RUNNERS,
        GetJob=job(queued=1),
        AwaitJob=[job(queued=1), job(queued=1), job("COMPLETED", computed=1)],
        ExplainJob=explained("NO_RUNNER"),
    )
    with caplog.at_level(logging.WARNING, "tilebox.workflows"):
        jobs_over(wire).wait(JOB, show_progress=False)
    assert [record.getMessage() for record in caplog.records] == ["because of NO_RUNNER"]
    assert wire.methods.count("ExplainJob") == 2


def test_reasons_that_cannot_be_had_do_not_end_the_wait():
    wire = Answers(
        RUNNERS,
        GetJob=job(queued=1),
        AwaitJob=[job(queued=1), job("COMPLETED", computed=1)],
        ExplainJob=refusal("internal", "broken"),
    )
    assert (jobs_over(wire).wait(JOB, show_progress=False)).state is JobState.COMPLETED


def test_a_job_that_does_not_end_in_time():
    wire = Answers(RUNNERS, GetJob=job("RUNNING", running=1))
    with pytest.raises(JobTimeoutError, match="job hello is still RUNNING after 0 s"):
        jobs_over(wire).wait(JOB, timeout=0, show_progress=False)
    with pytest.raises(TimeoutError):
        jobs_over(Answers(GetJob=job("RUNNING", running=1))).wait(JOB, timeout=0, show_progress=False)


def test_a_failure_can_be_raised_and_names_the_tasks():
    tasks = job_pb2.ListJobTasksResponse(
        page=job_pb2.JobTaskPage(tasks=[task(1), task(2, "FAILED", "PrintMovieStats\nKeyError('Title')")])
    )
    wire = Answers(RUNNERS, GetJob=job("FAILED", computed=1, failed=1), ListJobTasks=tasks)
    with pytest.raises(JobFailedError, match=r"1 task failed\n  PrintMovieStats: KeyError\('Title'\)") as caught:
        jobs_over(wire).wait(JOB, raise_on_failure=True)
    assert caught.value.job.state is JobState.FAILED
    assert [one.state for one in caught.value.tasks] == [TaskState.FAILED]
    silent = Answers(GetJob=job("FAILED", failed=2), ListJobTasks=refusal("internal"))
    with pytest.raises(JobFailedError, match="2 tasks failed"):
        jobs_over(silent).wait(JOB, raise_on_failure=True)
    with pytest.raises(JobFailedError, match="was cancelled"):
        jobs_over(Answers(GetJob=job("CANCELED", queued=1))).wait(JOB, raise_on_failure=True)
    assert (jobs_over(Answers(GetJob=job("COMPLETED"))).wait(JOB, raise_on_failure=True)).name == "hello"


def test_a_job_is_submitted_again():
    prototype = job_pb2.GetJobPrototypeResponse(
        job_name="hello", root_tasks=[core_pb2.SingleTaskSubmission(cluster_slug="dev", input=b'"World"')]
    )
    wire = Answers(GetJobPrototype=prototype, CloneJob=job(number=5))
    assert (jobs_over(wire).clone(JOB)).id == UUID(int=5)
    jobs_over(wire).clone(JOB, "again", cluster="gpu")
    first, second = wire.asked("CloneJob")
    assert (first.job_name, first.root_tasks_overrides[0].cluster_slug) == ("hello", "dev")
    assert (second.job_name, second.root_tasks_overrides[0].cluster_slug) == ("again", "gpu")
    assert second.root_tasks_overrides[0].input == b'"World"'


def test_counts():
    counts = job_pb2.GetJobStateCountsResponse(
        state_counts=[job_pb2.JobStateCount(state=core_pb2.JOB_STATE_FAILED, count=2)], total_jobs=2
    )
    stats = job_pb2.GetTaskQueueStatsResponse(waiting_jobs=1, running_jobs=2, queued_tasks=3)
    wire = Answers(GetJobStateCounts=counts, GetTaskQueueStats=stats)
    assert jobs_over(wire).state_counts(("2024-01-01", "2024-02-01")) == {JobState.FAILED: 2}
    assert wire.asked("GetJobStateCounts")[0].time_interval.start_time.seconds == 1704067200
    found = jobs_over(wire).queue_stats(max_age=timedelta(hours=1))
    assert (found.waiting_jobs, found.running_jobs, found.queued_tasks, found.oldest_waiting_job) == (1, 2, 3, None)
    assert wire.asked("GetTaskQueueStats")[0].job_max_age.seconds == 3600
