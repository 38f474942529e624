"""Jobs, tasks and clusters as the wire has them, and how they print."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tilebox._core.jobs import states
from tilebox._core.jobs.job import (
    Cluster,
    Job,
    JobList,
    QueuedTask,
    QueueStats,
    TaskList,
    TaskSummary,
    failure,
    in_tree_order,
    job_html,
    timeout,
)
from tilebox._core.jobs.states import JobState, QueueReason, TaskState
from tilebox._core.jobs.stats import ExecutionStats, Progress
from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2, job_pb2, workflows_pb2
from tilebox._core.tasks.versions import TaskIdentifier
from tilebox._core.values import ids

JOB = UUID("018dd029-58ca-74e5-8b58-b4f99d610f9a")
AT = datetime(2024, 2, 22, 12, 30, 15, 250_000, tzinfo=UTC)


def at(seconds: float = 0.0) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(AT + timedelta(seconds=seconds))
    return stamp


def job_message(state=core_pb2.JOB_STATE_FAILED) -> core_pb2.Job:
    message = core_pb2.Job(
        id=ids.to_wire(JOB),
        name="movies-stats",
        trace_parent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        submitted_at=at(),
        state=state,
        progress=[core_pb2.Progress(total=4, done=3), core_pb2.Progress(label="tiles", total=10, done=10)],
        execution_stats=core_pb2.ExecutionStats(
            first_task_started_at=at(1),
            last_task_stopped_at=at(5),
            parallelism=1.5,
            total_tasks=5,
            tasks_by_state=[
                core_pb2.TaskStateCount(state=core_pb2.TASK_STATE_COMPUTED, count=3),
                core_pb2.TaskStateCount(state=core_pb2.TASK_STATE_FAILED, count=1),
                core_pb2.TaskStateCount(state=core_pb2.TASK_STATE_QUEUED, count=1),
                core_pb2.TaskStateCount(state=core_pb2.TASK_STATE_RUNNING, count=0),
            ],
        ),
    )
    message.execution_stats.compute_time.FromSeconds(6)
    message.execution_stats.elapsed_time.FromSeconds(4)
    return message


def task(number, parent=None, state=TaskState.COMPUTED, display="Task", **more):
    parent_id = None if parent is None else UUID(int=parent)
    return TaskSummary(UUID(int=number), parent_id, display, state, **more)


def test_a_cluster_prints_as_documented():
    message = workflows_pb2.Cluster(slug="testing-CvufcSxcC9SKfe", display_name="testing", description="For tests")
    cluster = Cluster.from_wire(message)
    assert repr(cluster) == "Cluster(slug='testing-CvufcSxcC9SKfe', display_name='testing')"
    assert repr([cluster]) == "[Cluster(slug='testing-CvufcSxcC9SKfe', display_name='testing')]"
    assert (cluster.description, cluster.deletable) == ("For tests", False)


def test_a_job_tells_all_that_the_wire_does():
    job = Job.from_wire(job_message())
    assert str(job.id) == "018dd029-58ca-74e5-8b58-b4f99d610f9a"
    assert (job.name, job.state, job.submitted_at) == ("movies-stats", JobState.FAILED, AT)
    assert job.started_at == AT + timedelta(seconds=1)
    assert job.trace_parent.startswith("00-1111")
    assert job.automation_id is None
    assert job.progress == (Progress(None, 4, 3), Progress("tiles", 10, 10))
    stats = job.execution_stats
    assert (stats.compute_time, stats.elapsed_time) == (timedelta(seconds=6), timedelta(seconds=4))
    assert stats.tasks_by_state == {TaskState.COMPUTED: 3, TaskState.FAILED: 1, TaskState.QUEUED: 1}
    assert stats.count(TaskState.COMPUTED, TaskState.FAILED) == 4
    assert repr(job) == (
        "Job movies-stats [FAILED]: 3 of 5 tasks computed, 1 queued, 1 failed, 018dd029-58ca-74e5-8b58-b4f99d610f9a"
    )


def test_a_job_of_which_nothing_is_told():
    job = Job.from_wire(core_pb2.Job(id=ids.to_wire(JOB), name="x"))
    assert (job.state, job.submitted_at, job.started_at, job.progress) == (JobState.UNSPECIFIED, None, None, ())
    assert job.execution_stats == ExecutionStats()
    assert repr(job) == f"Job x [UNSPECIFIED]: {JOB}"
    assert "x" in job._repr_html_()


@pytest.mark.parametrize("state", [one for one in JobState if one != "UNSPECIFIED"])
def test_every_job_state_of_the_wire(state):
    job = Job.from_wire(job_message(core_pb2.JobState.Value(f"JOB_STATE_{state}")))
    assert job.state is state
    assert job.state == state.name
    assert job.state.has_ended == (state.name in ("COMPLETED", "FAILED", "CANCELED"))
    assert job.canceled == (state.name in ("FAILED", "CANCELED"))


def test_states_of_the_wire_are_all_known():
    assert {f"JOB_STATE_{one}" for one in JobState} == set(core_pb2.JobState.keys())
    assert {f"TASK_STATE_{one}" for one in TaskState} == set(core_pb2.TaskState.keys())
    assert {f"QUEUE_REASON_{one}" for one in QueueReason} == set(runners_pb2.QueueReason.keys())


def test_a_state_of_a_newer_server_is_not_an_error():
    assert states.job_state(99) is JobState.UNSPECIFIED
    assert states.task_state(99) is TaskState.UNSPECIFIED


def test_a_task():
    message = job_pb2.TaskSummary(
        id=ids.to_wire(UUID(int=2)),
        parent_id=ids.to_wire(UUID(int=1)),
        display="PrintMovieStats\nKeyError('Title')",
        state=core_pb2.TASK_STATE_FAILED,
        submitted_at=at(),
        started_at=at(1),
        stopped_at=at(3),
        input=b"",
        retry_count=2,
        max_retries=1,
        has_children=True,
        cluster_slug="dev",
        optional=True,
    )
    found = TaskSummary.from_wire(message)
    assert found == TaskSummary(
        UUID(int=2),
        UUID(int=1),
        "PrintMovieStats\nKeyError('Title')",
        TaskState.FAILED,
        AT,
        AT + timedelta(seconds=1),
        AT + timedelta(seconds=3),
        b"",
        2,
        1,
        has_children=True,
        cluster="dev",
        optional=True,
    )
    assert found.run_time == timedelta(seconds=2)
    assert repr(found) == f"Task PrintMovieStats [FAILED]: {UUID(int=2)}"
    bare = TaskSummary.from_wire(job_pb2.TaskSummary(id=ids.to_wire(UUID(int=1))))
    assert (bare.parent_id, bare.input, bare.started_at, bare.run_time) == (None, None, None, None)


def test_a_queued_task_tells_why():
    message = runners_pb2.QueuedTask(
        task_id=ids.to_wire(UUID(int=1)),
        display="Sum",
        cluster_slug="gpu",
        identifier=core_pb2.TaskIdentifier(name="Sum", version="v1.2"),
        reason=runners_pb2.QUEUE_REASON_DEPENDENCIES,
        explanation="It waits for 2 tasks.",
        waits_for=[ids.to_wire(UUID(int=2)), ids.to_wire(UUID(int=3))],
    )
    queued = QueuedTask.from_wire(message)
    assert (queued.cluster, queued.identifier, queued.reason) == ("gpu", TaskIdentifier("Sum", 1, 2), "DEPENDENCIES")
    assert queued.waits_for == (UUID(int=2), UUID(int=3))
    assert not queued.reason.needs_runner
    assert repr(queued) == "Task Sum [DEPENDENCIES]: It waits for 2 tasks."


def test_queue_stats():
    stats = job_pb2.GetTaskQueueStatsResponse(waiting_jobs=2, running_jobs=1, queued_tasks=7)
    assert QueueStats.from_wire(stats) == QueueStats(2, 1, 7, None)
    stats.oldest_waiting_job.CopyFrom(job_message())
    assert QueueStats.from_wire(stats).oldest_waiting_job == Job.from_wire(job_message())


def test_jobs_print_as_a_table():
    found = JobList([Job.from_wire(job_message()), Job(JOB, "y" * 100, JobState.SUBMITTED)])
    lines = repr(found).splitlines()
    assert lines[0] == "2 jobs"
    assert lines[1].split() == ["name", "state", "submitted", "at", "tasks", "id"]
    assert lines[2].split() == ["movies-stats", "FAILED", "2024-02-22", "12:30:15", "UTC", "3/5", str(JOB)]
    assert "y …" in lines[3]
    assert len(lines[3]) < 150
    assert found[0].name == "movies-stats"
    assert "<td" in found._repr_html_()
    assert repr(JobList()) == "0 jobs"
    assert repr(JobList([found[0]] * 103)).endswith("… and 3 more")


def test_tasks_print_as_a_tree():
    times = {"started_at": AT, "stopped_at": AT + timedelta(seconds=75)}
    tasks = TaskList(
        [
            task(1, display="Root(2)", **times),
            task(2, 1, display="Leaf 0"),
            task(3, 1, TaskState.FAILED, "Leaf 1\nKeyError('Title')", retry_count=2),
        ]
    )
    assert repr(tasks).splitlines() == [
        "3 tasks",
        "  task      state     time        attempts  error",
        "  Root(2)   COMPUTED  1 min 15 s",
        "    Leaf 0  COMPUTED",
        "    Leaf 1  FAILED                2 failed  KeyError('Title')",
    ]
    assert "KeyError(&#x27;Title&#x27;)" in tasks._repr_html_()


def test_tasks_are_put_into_the_order_of_a_tree():
    listed = [task(1), task(2), task(3, 1), task(4, 2), task(5, 1), task(6, 3)]
    assert [one.id.int for one in in_tree_order(listed)] == [1, 3, 6, 5, 2, 4]
    assert in_tree_order([]) == []


def test_a_deep_tree_is_no_recursion():
    chain = [task(0), *(task(number, number - 1) for number in range(1, 5000))]
    assert [one.id.int for one in in_tree_order(chain)] == list(range(5000))
    assert repr(in_tree_order(chain))


def test_html_escapes_what_users_wrote_and_keeps_a_diagram_to_itself():
    job = Job(
        JOB,
        "<script>alert(1)</script>",
        JobState.RUNNING,
        progress=(Progress("<b>", 2, 1),),
        execution_stats=ExecutionStats(total_tasks=4, tasks_by_state={TaskState.COMPUTED: 1, TaskState.RUNNING: 3}),
    )
    html = job_html(job, "<svg><script>alert(2)</script></svg>")
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    assert "data:image/svg+xml;base64," in html
    assert "width: 25.00%" in html
    assert "width: 75.00%" in html
    assert "1 of 4 tasks computed, 3 running" in html
    assert '<progress max="2" value="1">' in html


def test_a_failure_names_tasks_and_their_errors():
    job = Job.from_wire(job_message())
    failed = [task(9, 1, TaskState.FAILED, "PrintMovieStats\nKeyError('Title')")]
    error = failure(job, failed)
    assert str(error).splitlines() == [
        f"job movies-stats failed ({JOB}): 1 task failed",
        f"  PrintMovieStats: KeyError('Title') (task {UUID(int=9)})",
    ]
    assert (error.job, error.tasks) == (job, failed)
    many = failure(job, failed * 11)
    assert len(str(many).splitlines()) == 12
    assert str(many).endswith("…")
    assert "was cancelled" in str(failure(Job(JOB, "x", JobState.CANCELED), []))
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.job, copy.tasks) == (str(error), job, failed)


def test_a_timeout_tells_how_far_the_job_is():
    error = timeout(Job.from_wire(job_message(core_pb2.JOB_STATE_RUNNING)), 5.0)
    assert isinstance(error, TimeoutError)
    assert str(error).startswith("job movies-stats is still RUNNING after 5 s: 3 of 5 tasks computed")


def test_values_can_be_compared_hashed_where_that_makes_sense_and_pickled():
    job = Job.from_wire(job_message())
    assert pickle.loads(pickle.dumps(job)) == job
    assert len({Cluster("a"), Cluster("a")}) == 1
