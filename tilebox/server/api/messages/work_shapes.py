"""Messages of the wire for clusters, jobs and tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.tilebox.v1.id_pb2 import ID
from tilebox._core.protocol.workflows.v1 import core_pb2, job_pb2, workflows_pb2
from tilebox.server.rules.task_states import JobState, TaskState

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from tilebox.server.orchestration.queued_reasons import Explanation
    from tilebox.server.orchestration.records import Cluster, Job, JobTask

_LEGACY_STATES = {
    JobState.SUBMITTED: core_pb2.LEGACY_JOB_STATE_QUEUED,
    JobState.RUNNING: core_pb2.LEGACY_JOB_STATE_STARTED,
    JobState.STARTED: core_pb2.LEGACY_JOB_STATE_STARTED,
    JobState.COMPLETED: core_pb2.LEGACY_JOB_STATE_COMPLETED,
    JobState.FAILED: core_pb2.LEGACY_JOB_STATE_STARTED,
    JobState.CANCELED: core_pb2.LEGACY_JOB_STATE_STARTED,
}


_FAILED = (TaskState.FAILED, TaskState.FAILED_OPTIONAL)


def cluster(record: Cluster) -> workflows_pb2.Cluster:
    """Build the message of a cluster."""
    return workflows_pb2.Cluster(
        slug=record.slug,
        display_name=record.display_name,
        description=record.description,
        deletable=not record.is_default,
    )


def job(record: Job) -> core_pb2.Job:
    """Build the message of a job, including the fields that earlier clients read."""
    state = record.state
    message = core_pb2.Job(
        id=ID(uuid=record.id),
        name=record.name,
        trace_parent=record.trace_parent,
        # Earlier versions of the wire have no state for failed jobs and report them as canceled.
        canceled=state in (JobState.CANCELED, JobState.FAILED),
        legacy_state=_LEGACY_STATES[state],
        state=state.value,  # type: ignore[arg-type]
        progress=[core_pb2.Progress(label=item.label, total=item.total, done=item.done) for item in record.progress],
        execution_stats=_stats(record),
    )
    message.submitted_at.CopyFrom(timestamp(record.submitted_us))
    if record.first_started_us is not None:
        message.started_at.CopyFrom(timestamp(record.first_started_us))
    if record.automation is not None:
        message.automation_id.uuid = record.automation
    return message


def task_summary(record: JobTask) -> job_pb2.TaskSummary:
    """Build the message of a task of a job."""
    message = job_pb2.TaskSummary(
        id=ID(uuid=record.id),
        parent_id=None if record.parent is None else ID(uuid=record.parent),
        display=_display(record),
        state=record.state.value,  # type: ignore[arg-type]
        input=record.input,
        retry_count=record.retries,
        max_retries=record.max_retries,
        has_children=record.has_children,
        cluster_slug=record.cluster_slug,
        optional=record.is_optional,
    )
    # The first 48 bits of an id are the milliseconds at which it was created.
    message.submitted_at.FromMilliseconds(int.from_bytes(record.id[:6], "big"))
    if record.started_us is not None:
        message.started_at.CopyFrom(timestamp(record.started_us))
    if record.stopped_us is not None:
        message.stopped_at.CopyFrom(timestamp(record.stopped_us))
    return message


def queued_task(explanation: Explanation) -> runners_pb2.QueuedTask:
    """Build the message of a queued task, with the explanation why it is queued."""
    task = explanation.task
    return runners_pb2.QueuedTask(
        task_id=ID(uuid=task.id),
        display=task.display.partition("\n")[0],
        cluster_slug=task.cluster_slug,
        identifier=core_pb2.TaskIdentifier(name=task.identifier.name, version=task.identifier.version),
        reason=explanation.reason.value,  # type: ignore[arg-type]
        explanation=explanation.sentence,
        waits_for=[ID(uuid=task_id) for task_id in explanation.waits_for],
    )


def timestamp(microseconds: int) -> Timestamp:
    """Build a timestamp from microseconds since 1970."""
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def _display(record: JobTask) -> str:
    """Return the display of a task, followed by its error: the wire has no field of its own for the error."""
    if record.error and "\n" not in record.display and record.state in _FAILED:
        return f"{record.display}\n{record.error}"
    return record.display


def _stats(record: Job) -> core_pb2.ExecutionStats:
    counts = record.counts
    stats = core_pb2.ExecutionStats(total_tasks=counts.total)
    for state, count in (
        (TaskState.QUEUED, counts.queued),
        (TaskState.RUNNING, counts.running),
        (TaskState.COMPUTED, counts.computed),
        (TaskState.FAILED, counts.failed),
        (TaskState.SKIPPED, counts.skipped),
        (TaskState.FAILED_OPTIONAL, counts.failed_optional),
    ):
        if count:
            stats.tasks_by_state.add(state=state.value, count=count)
    _set_duration(stats.compute_time, record.compute_us)
    first, last = record.first_started_us, record.last_stopped_us
    if first is not None:
        stats.first_task_started_at.CopyFrom(timestamp(first))
    if last is not None:
        stats.last_task_stopped_at.CopyFrom(timestamp(last))
    if first is not None and last is not None and last > first:
        _set_duration(stats.elapsed_time, last - first)
        stats.parallelism = record.compute_us / (last - first)
    return stats


def _set_duration(duration: Duration, microseconds: int) -> None:
    duration.seconds, duration.nanos = microseconds // 1_000_000, microseconds % 1_000_000 * 1000
