"""Submissions of jobs over the wire: the limits, and the legacy form."""

from __future__ import annotations

import pytest
from support.http.wire import CallError, submissions, task_group

from tilebox._core.protocol.workflows.v1 import core_pb2, job_pb2


@pytest.mark.parametrize(
    ("tasks", "message"),
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
def test_an_invalid_submission_is_refused_as_a_whole(proto, tasks, message):
    request = job_pb2.SubmitJobRequest(tasks=tasks, job_name="Refused", trace_parent="00-trace")
    with pytest.raises(CallError, match=f"(invalid_argument|not_found): .*{message}|{message}"):
        proto.call("JobService/SubmitJob", request)


@pytest.mark.parametrize("missing", ["job_name", "trace_parent"])
def test_a_job_needs_a_name_and_a_trace_parent(proto, missing):
    request = job_pb2.SubmitJobRequest(tasks=submissions(task_group()), job_name="A job", trace_parent="00-trace")
    request.ClearField(missing)
    with pytest.raises(CallError, match=f"invalid_argument: {missing} must have 1 to"):
        proto.call("JobService/SubmitJob", request)


def test_tasks_in_the_legacy_form_are_accepted(proto):
    def task(*dependencies):
        return core_pb2.SingleTaskSubmission(
            identifier=core_pb2.TaskIdentifier(name="tasks.Leaf", version="v1.0"),
            display="Leaf",
            dependencies=dependencies,
        )

    request = job_pb2.SubmitJobRequest(
        legacy_tasks=[task(), task(), task(0), task(1), task(0)], job_name="Legacy", trace_parent="00-trace"
    )
    job = proto.call("JobService/SubmitJob", request)
    prototype = proto.call("JobService/GetJobPrototype", job_pb2.GetJobPrototypeRequest(job_id=job.id))
    tasks = prototype.root_tasks
    # The order may differ, but the dependencies are the same.
    roots = [position for position, task in enumerate(tasks) if not task.dependencies]
    assert len(roots) == 2
    assert sorted(len([task for task in tasks if list(task.dependencies) == [root]]) for root in roots) == [1, 2]
    request.legacy_tasks[0].dependencies.append(2)
    with pytest.raises(CallError, match=r"invalid_argument: .* a cycle"):
        proto.call("JobService/SubmitJob", request)
    request.legacy_tasks[0].dependencies[0] = 5
    with pytest.raises(CallError, match="invalid_argument: task 0 depends on task 5, and there are 5 tasks"):
        proto.call("JobService/SubmitJob", request)
    request.tasks.CopyFrom(submissions(task_group()))
    with pytest.raises(CallError, match="not both"):
        proto.call("JobService/SubmitJob", request)
