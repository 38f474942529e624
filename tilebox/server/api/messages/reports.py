"""Parsing of runners' reports, from messages of both wires to records of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox.errors import APIError, InvalidArgumentError
from tilebox.server.orchestration.records import MAX_ERROR_CHARACTERS, ProgressUpdate, Report
from tilebox.server.orchestration.submission_parsing import group_legacy_tasks
from tilebox.server.rules.task_states import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from google.protobuf.duration_pb2 import Duration

    from tilebox._core.protocol.workflows.v1 import core_pb2, task_pb2
    from tilebox.server.orchestration.records import NewGroup
    from tilebox.server.orchestration.submissions import Submissions

MAX_DISPLAY_CHARACTERS = 1024
"""The documented limit; longer displays are cut."""

MAX_LABEL_CHARACTERS = 100
MAX_PROGRESS = 1 << 62
_ID_BYTES = 16
_MAX_RETRY_AFTER_US = 7 * 86_400_000_000  # a week

_FAILURES = {
    runners_pb2.FAILURE_KIND_TASK: Failure.TASK,
    runners_pb2.FAILURE_KIND_FINAL: Failure.FINAL,
    runners_pb2.FAILURE_KIND_CRASH: Failure.CRASH,
}


class Reports:
    """Parses reports on computed tasks.

    Args:
        submissions: Resolves their subtasks.
    """

    def __init__(self, submissions: Submissions) -> None:
        self._submissions = submissions

    async def computed(self, team: UUID, cluster: int, message: runners_pb2.ComputedReport) -> tuple[Report, str]:
        """Parse a report on a computed task, from a runner of this SDK.

        Args:
            team: Team of the runner.
            cluster: Number of the cluster of subtasks that name none.
            message: The report.

        Returns:
            The report, and why it was refused, or an empty text. A refused report records the task as failed.
        """
        execution_us = message.execution_us if message.HasField("execution_us") else None
        return await self._computed(
            team,
            cluster,
            task_id(message.task_id),
            message.lease_number,
            message.display,
            message.sub_tasks,
            message.progress_updates,
            execution_us,
        )

    async def computed_publicly(self, team: UUID, cluster: int, message: task_pb2.ComputedTask) -> tuple[Report, str]:
        """Parse a report on a computed task, from a runner of the public wire; see `computed`."""
        submissions = message.sub_tasks
        if message.legacy_sub_tasks:
            submissions = group_legacy_tasks(message.legacy_sub_tasks)
        return await self._computed(
            team, cluster, task_id(message.id.uuid), None, message.display, submissions, message.progress_updates, None
        )

    async def _computed(
        self,
        team: UUID,
        cluster: int,
        task: bytes,
        lease: int | None,
        display: str,
        submissions: core_pb2.TaskSubmissions,
        progress: Iterable[core_pb2.Progress],
        execution_us: int | None,
    ) -> tuple[Report, str]:
        groups: Sequence[NewGroup] = ()
        updates: Sequence[ProgressUpdate] = ()
        refusal = ""
        try:
            updates = _progress(progress)
            if submissions.task_groups:
                groups = await self._submissions.resolve(team, submissions, default_cluster=cluster, is_root=False)
        except APIError as error:
            if error.code not in {"invalid_argument", "not_found"}:
                raise
            # Sending the report again would not help the runner, so the task fails.
            refusal = f"the report on this task was refused: {error.message}"
        report = Report(
            task=task,
            lease=lease,
            failure=Failure.FINAL if refusal else None,
            error=refusal,
            display=text(display, MAX_DISPLAY_CHARACTERS),
            progress=updates,
            groups=groups,
            execution_us=execution_us,
        )
        return report, refusal


def failed(message: runners_pb2.FailedReport) -> Report:
    """Parse a report on a failed task, from a runner of this SDK.

    Raises:
        InvalidArgumentError: The kind of the failure is not known, or the task id is malformed.
    """
    if message.kind not in _FAILURES:
        raise InvalidArgumentError(f"the report on a failed task has an unknown kind of failure, {message.kind}")
    return Report(
        task=task_id(message.task_id),
        lease=message.lease_number,
        failure=_FAILURES[message.kind],
        display=text(message.display, MAX_DISPLAY_CHARACTERS),
        progress=_progress_or_none(message.progress_updates),
        error=text(message.error, MAX_ERROR_CHARACTERS),
        retry_after_us=min(microseconds(message.retry_after), _MAX_RETRY_AFTER_US),
    )


def failed_publicly(message: task_pb2.TaskFailedRequest) -> Report:
    """Parse a report on a failed task, from a runner of the public wire.

    A failure that is no workflow error returns the task: the runner shuts down, or has no such task.
    """
    # The lines of the display after the first hold the error.
    _, _, error = message.display.partition("\n")
    return Report(
        task=task_id(message.task_id.uuid),
        lease=None,
        failure=Failure.TASK if message.was_workflow_error else None,
        is_returned=not message.was_workflow_error,
        display=text(message.display, MAX_DISPLAY_CHARACTERS) if message.was_workflow_error else "",
        progress=_progress_or_none(message.progress_updates),
        error=text(error or message.display, MAX_ERROR_CHARACTERS),
    )


def returned(message: runners_pb2.TaskLeaseNumber) -> Report:
    """Parse the report on a task that a runner returns unexecuted."""
    return Report(task=task_id(message.task_id), lease=message.lease_number, is_returned=True)


def task_id(value: bytes) -> bytes:
    """Return a task id.

    Raises:
        InvalidArgumentError: It does not have 16 bytes.
    """
    if len(value) != _ID_BYTES:
        raise InvalidArgumentError(f"a task id must have {_ID_BYTES} bytes, not {len(value)}")
    return value


def microseconds(duration: Duration) -> int:
    """Return a duration in microseconds; zero if it is negative."""
    return int(max(0, duration.seconds * 1_000_000 + duration.nanos // 1000))


def text(value: str, length: int) -> str:
    """Return a text in a form that can be stored: cut to a length, and without NUL, which PostgreSQL does not store."""
    return value[:length].replace("\0", "\ufffd")


def _progress_or_none(updates: Iterable[core_pb2.Progress]) -> Sequence[ProgressUpdate]:
    """Parse the progress of a failed task. Malformed progress is dropped, so that the failure is recorded all the same."""
    try:
        return _progress(updates)
    except InvalidArgumentError:
        return ()


def _progress(updates: Iterable[core_pb2.Progress]) -> list[ProgressUpdate]:
    progress = [ProgressUpdate(update.label, update.total, update.done) for update in updates]
    for update in progress:
        if len(update.label) > MAX_LABEL_CHARACTERS or "\0" in update.label:
            raise InvalidArgumentError(
                f"a progress label must have at most {MAX_LABEL_CHARACTERS} characters and no NUL, not {update.label[:40]!r}"
            )
        if max(update.total, update.done) >= MAX_PROGRESS:
            raise InvalidArgumentError(f"the counts of progress {update.label!r} must be below {MAX_PROGRESS:,}")
    return progress
