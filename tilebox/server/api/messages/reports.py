"""Reports of runners, from the wire's forms to the store's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox.errors import APIError, InvalidArgumentError
from tilebox.server.orchestration.records import MAX_ERROR_CHARACTERS, ProgressUpdate, Report
from tilebox.server.rules.task_states import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from google.protobuf.duration_pb2 import Duration

    from tilebox._core.protocol.workflows.v1 import core_pb2, task_pb2
    from tilebox.server.orchestration.records import NewGroup
    from tilebox.server.orchestration.submissions import Submissions

MAX_DISPLAY_CHARACTERS = 1024
"""As the docs have it; what is longer is cut."""

MAX_LABEL_CHARACTERS = 100
_ID_BYTES = 16
_MAX_RETRY_AFTER_US = 7 * 86_400_000_000

_FAILURES = {
    runners_pb2.FAILURE_KIND_TASK: Failure.TASK,
    runners_pb2.FAILURE_KIND_FINAL: Failure.FINAL,
    runners_pb2.FAILURE_KIND_CRASH: Failure.CRASH,
}


class Reports:
    """Reads reports.

    Args:
        submissions: Reads the subtasks in them.
    """

    def __init__(self, submissions: Submissions) -> None:
        self._submissions = submissions

    async def computed(self, team: UUID, cluster: int, message: runners_pb2.ComputedReport) -> tuple[Report, str]:
        """Read what our runners say of a computed task.

        Returns:
            The report, and what is wrong with its subtasks: then it says that the task failed.
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
        """Read what runners of the public wire say of a computed task."""
        submissions = message.sub_tasks
        if message.legacy_sub_tasks:
            submissions = self._submissions.from_legacy(message.legacy_sub_tasks)
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
                groups = await self._submissions.groups(team, submissions, default_cluster=cluster, is_root=False)
        except APIError as error:
            if error.code not in {"invalid_argument", "not_found"}:
                raise
            # The runner cannot do better by trying again, so this is how the task ends.
            refusal = f"what it reported was refused: {error.message}"
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
    """Read what our runners say of a failed task."""
    if message.kind not in _FAILURES:
        raise InvalidArgumentError(f"a failed report needs a kind, not {message.kind}")
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
    """Read what runners of the public wire say of a failed task.

    What was no error of the workflow gives the task back: a runner that shuts down, or that does not know it.
    """
    # The display ends with the error, in a line of its own.
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
    """Read that a task is given back."""
    return Report(task=task_id(message.task_id), lease=message.lease_number, is_returned=True)


def task_id(value: bytes) -> bytes:
    """Return a task's id.

    Raises:
        InvalidArgumentError: It has not 16 bytes.
    """
    if len(value) != _ID_BYTES:
        raise InvalidArgumentError(f"a task id has {_ID_BYTES} bytes, not {len(value)}")
    return value


def microseconds(duration: Duration) -> int:
    """Return a duration; none below zero."""
    return int(max(0, duration.seconds * 1_000_000 + duration.nanos // 1000))


def text(value: str, length: int) -> str:
    """Return a text that can be stored, cut to a length; PostgreSQL takes no NUL."""
    return value[:length].replace("\0", "\ufffd")


def _progress_or_none(updates: Iterable[core_pb2.Progress]) -> Sequence[ProgressUpdate]:
    """Return how far a failed task came; that it failed counts also where this makes no sense."""
    try:
        return _progress(updates)
    except InvalidArgumentError:
        return ()


def _progress(updates: Iterable[core_pb2.Progress]) -> list[ProgressUpdate]:
    found = [ProgressUpdate(update.label, update.total, update.done) for update in updates]
    for update in found:
        if len(update.label) > MAX_LABEL_CHARACTERS or "\0" in update.label:
            raise InvalidArgumentError(
                f"a progress label has at most {MAX_LABEL_CHARACTERS} characters and no NUL, unlike {update.label[:40]!r}"
            )
        if max(update.total, update.done) >= 1 << 62:
            raise InvalidArgumentError(f"the progress {update.label!r} counts further than can be stored")
    return found
