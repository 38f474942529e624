"""Jobs, over the wire."""

from __future__ import annotations

from uuid import uuid4

import pytest
from wire import CallError, submissions, task_group, wire_id

from tilebox._core.protocol.workflows.v1 import core_pb2, job_pb2


def test_a_job_is_submitted_and_found(wire):
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


def test_a_job_is_canceled_and_goes_on_when_it_is_retried(proto):
    job = proto.submit_job()
    proto.call("JobService/CancelJob", job_pb2.CancelJobRequest(job_id=job.id))
    proto.call("JobService/CancelJob", job_pb2.CancelJobRequest(job_id=job.id))
    canceled = get(proto, job)
    assert (canceled.state, canceled.canceled) == (core_pb2.JOB_STATE_CANCELED, True)
    answer = proto.call("JobService/RetryJob", job_pb2.RetryJobRequest(job_id=job.id))
    assert answer.num_tasks_rescheduled == 0
    assert get(proto, job).state == core_pb2.JOB_STATE_SUBMITTED


@pytest.mark.parametrize("method", ["GetJob", "CancelJob", "RetryJob"])
def test_a_job_that_is_not_there_is_not_found(proto, method):
    request = getattr(job_pb2, f"{method}Request")
    with pytest.raises(CallError, match="not_found: there is no job"):
        proto.call(f"JobService/{method}", request(job_id=wire_id(uuid4())))
    with pytest.raises(CallError, match="invalid_argument: job_id is required"):
        proto.call(f"JobService/{method}", request())


@pytest.mark.parametrize(
    ("tasks", "named"),
    [
        (submissions(), "no root tasks"),
        (submissions(*[task_group() for _ in range(65)]), "65 groups of root tasks"),
        (submissions(task_group(10_001)), "10,001 root tasks"),
        (submissions(task_group(0)), r"task_groups\[0\] has no inputs"),
        (submissions(task_group(2, display_pointers=[0])), "display_pointers has 1 entries for 2 inputs"),
        (submissions(task_group(2, optional_values=[True])), "optional_values has 1 entries"),
        (submissions(task_group(identifier=1)), "identifier_pointers points to 1, and identifier_lookup has 1"),
        (submissions(task_group(cluster=7)), "cluster_slug_pointers points to 7"),
        (submissions(task_group(display=2)), "display_pointers points to 2"),
        (submissions(task_group(max_retries_values=[-1])), "max_retries_values must be .* not -1"),
        (submissions(task_group(inputs=[b"x" * 2049])), "2,049 bytes, and at most 2,048"),
        (submissions(task_group(), identifiers=[("", "v1.0")]), r"identifier_lookup\[0\]: .*1 to 256 bytes"),
        (submissions(task_group(), identifiers=[("x" * 257, "v1.0")]), "1 to 256 bytes"),
        (submissions(task_group(), identifiers=[("tasks.Leaf", "1.0")]), "version"),
        (submissions(task_group(), displays=[""]), r"display_lookup\[0\] must not be empty"),
        (submissions(task_group(depends_on=[0])), "depends on itself, which is a cycle"),
        (submissions(task_group(depends_on=[3])), "depends on group 3"),
        (submissions(task_group(depends_on=[1]), task_group(depends_on=[0])), "task_groups 0, 1 .* a cycle"),
        (submissions(task_group(), clusters=["no-such-cluster"]), "not_found: there is no cluster no-such-cluster"),
    ],
)
def test_a_submission_that_breaks_a_rule_is_refused_whole(proto, tasks, named):
    request = job_pb2.SubmitJobRequest(tasks=tasks, job_name="Refused", trace_parent="00-trace")
    with pytest.raises(CallError, match=f"(invalid_argument|not_found): .*{named}|{named}"):
        proto.call("JobService/SubmitJob", request)


@pytest.mark.parametrize("missing", ["job_name", "trace_parent"])
def test_a_job_needs_a_name_and_a_trace(proto, missing):
    request = job_pb2.SubmitJobRequest(tasks=submissions(task_group()), job_name="A job", trace_parent="00-trace")
    request.ClearField(missing)
    with pytest.raises(CallError, match=f"invalid_argument: {missing} must have 1 to"):
        proto.call("JobService/SubmitJob", request)


def get(wire, job):
    return wire.call("JobService/GetJob", job_pb2.GetJobRequest(job_id=job.id))
