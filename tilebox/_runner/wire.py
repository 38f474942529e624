"""Calls of a runner to a server: through the runner extension if the server supports it, else the public API.

Both implementations take an exchange and return the response of the extension, so the rest of the runner does not
depend on the kind of server.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.tilebox.v1 import id_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2, task_pb2, workflows_pb2
from tilebox._core.wire import status
from tilebox._runner.channel import (
    CallCancelledError,
    CancelToken,
    Channel,
    ChannelError,
    ConnectionDroppedError,
    TLSError,
    proxy_of,
)
from tilebox.errors import APIError, AuthenticationError, RateLimitedError, RequestTooLargeError, TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilebox._core.runner.exchanges import Exchange, Report
    from tilebox._core.tasks.versions import TaskIdentifier
    from tilebox._core.wire.config import Config
    from tilebox._runner.channel import Response
    from tilebox.errors import TileboxError

_log = logging.getLogger("tilebox.workflows.runner")

EXTENSION = "runners/1"
READ_TIMEOUT_SECONDS = 30.0
MAX_DISPLAY_CHARS = 1024
# The pause before the next claim if a response has neither a task nor a suggested pause.
DEFAULT_IDLE_SECONDS = 5.0
LONGEST_IDLE_SECONDS = 300.0

ResponseT = TypeVar("ResponseT", bound=Message)


class UntrustedServerError(TransportError):
    """The server's certificate is not trusted, or it does not speak TLS. Retrying does not help."""


class Wire(Protocol):
    """The interface of a server as a runner uses it."""

    def exchange(self, exchange: Exchange, cancel_token: CancelToken) -> runners_pb2.ExchangeResponse:
        """Deliver reports and claim tasks.

        Raises:
            CallCancelledError: The token was cancelled.
            TileboxError: The call failed.
        """


class Server:
    """Blocking calls to one server, safe in any thread.

    Args:
        config: The server's URL and the API key.
    """

    def __init__(self, config: Config) -> None:
        from tilebox import __version__

        self.config = config
        self.extensions: frozenset[str] = frozenset()
        self._extensions_text: str | None = None
        headers = {**config.headers, "user-agent": f"tilebox-python/{__version__}"}
        self._channel = Channel(config.url, headers, proxy_of(config.url))

    def call(
        self,
        method: str,
        body: bytes,
        response_type: type[ResponseT],
        cancel_token: CancelToken | None = None,
        *,
        wait_seconds: float = 0.0,
        repeated_body: bytes | None = None,
    ) -> ResponseT:
        """Make a call, and repeat it once if the server had closed the reused connection.

        Args:
            method: The service and method.
            body: The serialised request.
            response_type: The message type of the response.
            cancel_token: A token with which another thread can cancel the call.
            wait_seconds: The time that the server may wait before it answers, in seconds.
            repeated_body: The serialised request for the repetition; by default `body`.

        Raises:
            CallCancelledError: The token was cancelled.
            UntrustedServerError: The server's certificate is not trusted, or it does not speak TLS.
            TransportError: There was no complete response.
            APIError: The server answered with an error.
        """
        seconds = wait_seconds + READ_TIMEOUT_SECONDS
        try:
            try:
                response = self._channel.post(method, body, seconds=seconds, cancel_token=cancel_token)
            except ConnectionDroppedError:
                response = self._channel.post(method, repeated_body or body, seconds=seconds, cancel_token=cancel_token)
        except CallCancelledError:
            raise
        except ChannelError as error:
            failure = UntrustedServerError if isinstance(error, TLSError) else TransportError
            raise failure(f"no response from {self._describe(method)}: {error}") from None
        extensions = response.headers.get(status.EXTENSIONS_HEADER)
        if extensions is not None and extensions != self._extensions_text:
            self._extensions_text = extensions
            self.extensions = frozenset(part.strip() for part in extensions.split(","))
        if response.status != 200:
            raise self._error(response, method)
        try:
            return response_type.FromString(response.body)
        except DecodeError as error:
            raise TransportError(
                f"the response of {self._describe(method)} is not a valid {response_type.__name__} message"
            ) from error

    def find_cluster(self, slug: str) -> str:
        """Return the slug of a cluster, or of the default cluster if the slug is empty."""
        request = workflows_pb2.GetClusterRequest(cluster_slug=slug)
        cluster = self.call(
            "workflows.v1.WorkflowsService/GetCluster", request.SerializeToString(), workflows_pb2.Cluster
        )
        return cluster.slug or slug

    def close(self) -> None:
        """Close idle connections."""
        self._channel.close()

    def _error(self, response: Response, method: str) -> TileboxError:
        if 300 <= response.status < 400:
            message = f"HTTP {response.status}, a redirect to {response.headers.get('location', 'nowhere')}"
            return status.error_from_code("unimplemented", message, request_id=None, call=self._describe(method))
        error = status.error_from_response(
            response.status, response.body, response.headers, call=self._describe(method)
        )
        if response.status == 413 and isinstance(error, RateLimitedError):
            return RequestTooLargeError(error.message, code=error.code)
        if isinstance(error, AuthenticationError) and self.config.token is None:
            error.add_note("no API key was given: pass token=... or set TILEBOX_API_KEY")
        return error

    def _describe(self, method: str) -> str:
        return f"{method.rpartition('.')[2]} at {self.config.url}"


def open_wire(server: Server, runner_id: bytes, cluster: str, identifiers: Sequence[TaskIdentifier]) -> Wire:
    """Return the wire for a server, whose extensions are known from an earlier response."""
    if EXTENSION in server.extensions:
        return ExtendedWire(server, runner_id, cluster, identifiers)
    _log.debug("%s does not support the extension %s; the runner claims tasks one by one", server.config.url, EXTENSION)
    return PublicWire(server, cluster, identifiers)


class ExtendedWire:
    """The wire of the runner extension: `Exchange` delivers reports and claims tasks in one request.

    Args:
        server: The server.
        runner_id: The id that the runner chose for itself, 16 bytes.
        cluster: The slug of the runner's cluster.
        identifiers: The identifiers of the tasks that it can execute.
    """

    def __init__(self, server: Server, runner_id: bytes, cluster: str, identifiers: Sequence[TaskIdentifier]) -> None:
        self._server = server
        request = runners_pb2.ExchangeRequest(
            runner_id=runner_id, cluster_slug=cluster, identifiers=map(identifier_message, identifiers)
        )
        # Serialised once: protobuf merges concatenated messages, so each request appends its own fields.
        self._identity = request.SerializeToString()
        self._repeated = runners_pb2.ExchangeRequest(is_repeated=True).SerializeToString()

    def exchange(self, exchange: Exchange, cancel_token: CancelToken) -> runners_pb2.ExchangeResponse:
        """Deliver reports and claim tasks; see `Wire`."""
        body = self._identity + exchange.to_message().SerializeToString()
        return self._server.call(
            "tilebox.ext.v1.RunnerService/Exchange",
            body,
            runners_pb2.ExchangeResponse,
            cancel_token,
            wait_seconds=exchange.wait_seconds,
            # The first request may still be waiting in the server, which would assign tasks to it that never arrive.
            repeated_body=body + self._repeated,
        )


class PublicWire:
    """The wire of the public API: `NextTask` and `TaskFailed` carry one task each, and the client waits between claims.

    Args:
        server: The server.
        cluster: The slug of the runner's cluster.
        identifiers: The identifiers of the tasks that it can execute.
    """

    def __init__(self, server: Server, cluster: str, identifiers: Sequence[TaskIdentifier]) -> None:
        self._server = server
        self._next_task_to_run = task_pb2.NextTaskToRun(
            cluster_slug=cluster, identifiers=map(identifier_message, identifiers)
        )
        self._positions = {
            (identifier.name, identifier.version): position for position, identifier in enumerate(identifiers)
        }
        self._idle_until = 0.0
        # The outcomes of partly answered exchanges, so that a repetition delivers no report twice.
        self._outcomes: dict[bytes, list[runners_pb2.ReportOutcome]] = {}

    def exchange(self, exchange: Exchange, cancel_token: CancelToken) -> runners_pb2.ExchangeResponse:
        """Deliver reports and claim a task; see `Wire`."""
        outcomes = self._outcomes.setdefault(exchange.claim_id, [])
        is_claim = exchange.max_tasks > 0 and not exchange.is_interrupted
        reports = exchange.ordered()[len(outcomes) :]
        # The request that claims the next task can report the last computed one.
        combined = reports[-1] if is_claim and reports and isinstance(reports[-1], runners_pb2.ComputedReport) else None
        for report in reports:
            if report is not combined:
                outcomes.append(self._deliver(report, cancel_token))
        response = (
            self._claim(exchange, combined, outcomes, cancel_token) if is_claim else runners_pb2.ExchangeResponse()
        )
        response.outcomes.extend(self._outcomes.pop(exchange.claim_id))
        return response

    def _deliver(self, report: Report, cancel_token: CancelToken) -> runners_pb2.ReportOutcome:
        try:
            if isinstance(report, runners_pb2.ComputedReport):
                self._next_task(task_pb2.NextTaskRequest(computed_task=_computed(report)), cancel_token)
            else:
                body = _failed(report).SerializeToString()
                self._server.call("workflows.v1.TaskService/TaskFailed", body, task_pb2.TaskStateResponse, cancel_token)
        except APIError as error:
            return _outcome_of(error)
        return runners_pb2.ReportOutcome(verdict=runners_pb2.REPORT_VERDICT_ACCEPTED)

    def _claim(
        self,
        exchange: Exchange,
        combined: runners_pb2.ComputedReport | None,
        outcomes: list[runners_pb2.ReportOutcome],
        cancel_token: CancelToken,
    ) -> runners_pb2.ExchangeResponse:
        deadline = monotonic() + exchange.wait_seconds
        if combined is not None:
            request = task_pb2.NextTaskRequest(
                computed_task=_computed(combined), next_task_to_run=self._next_task_to_run
            )
            try:
                response = self._next_task(request, cancel_token)
            except APIError as error:
                outcomes.append(_outcome_of(error))
                return runners_pb2.ExchangeResponse()
            outcomes.append(runners_pb2.ReportOutcome(verdict=runners_pb2.REPORT_VERDICT_ACCEPTED))
            if response.next_task.id.uuid:
                return self._to_exchange_response(response.next_task)
            self._set_idle_until(response)
        while True:
            if exchange.wait_seconds:
                cancel_token.sleep(max(0.0, min(self._idle_until, deadline) - monotonic()))
                if monotonic() >= deadline:
                    return runners_pb2.ExchangeResponse()
            response = self._next_task(task_pb2.NextTaskRequest(next_task_to_run=self._next_task_to_run), cancel_token)
            if response.next_task.id.uuid:
                return self._to_exchange_response(response.next_task)
            self._set_idle_until(response)
            if not exchange.wait_seconds:
                return runners_pb2.ExchangeResponse()

    def _next_task(self, request: task_pb2.NextTaskRequest, cancel_token: CancelToken) -> task_pb2.NextTaskResponse:
        body = request.SerializeToString()
        return self._server.call("workflows.v1.TaskService/NextTask", body, task_pb2.NextTaskResponse, cancel_token)

    def _set_idle_until(self, response: task_pb2.NextTaskResponse) -> None:
        seconds = DEFAULT_IDLE_SECONDS
        if response.HasField("idling"):
            suggested = response.idling.suggested_idling_duration.ToTimedelta().total_seconds()
            seconds = min(max(suggested, 0.001), LONGEST_IDLE_SECONDS)
        self._idle_until = monotonic() + seconds

    def _to_exchange_response(self, task: core_pb2.Task) -> runners_pb2.ExchangeResponse:
        position = self._positions.get((task.identifier.name, task.identifier.version))
        leased = runners_pb2.LeasedTask(
            task_id=task.id.uuid,
            # A position past the end marks a task that this runner has not registered; the executor returns it.
            identifier=len(self._positions) if position is None else position,
            input=task.input,
            display=task.display,
            retry_count=max(task.retry_count, 0),
        )
        job = runners_pb2.LeasedJob(job_id=task.job.id.uuid, name=task.job.name, trace_parent=task.job.trace_parent)
        return runners_pb2.ExchangeResponse(
            tasks=[leased],
            jobs=[job],
            lease=task.lease.lease,
            extend_after=task.lease.recommended_wait_until_next_extension,
        )


def identifier_message(identifier: TaskIdentifier) -> core_pb2.TaskIdentifier:
    """Convert an identifier to its protobuf message."""
    return core_pb2.TaskIdentifier(name=identifier.name, version=identifier.version)


def _computed(report: runners_pb2.ComputedReport) -> task_pb2.ComputedTask:
    return task_pb2.ComputedTask(
        id=id_pb2.ID(uuid=report.task_id),
        display=report.display,
        sub_tasks=report.sub_tasks if report.HasField("sub_tasks") else None,
        progress_updates=report.progress_updates,
    )


def _failed(report: Report) -> task_pb2.TaskFailedRequest:
    request = task_pb2.TaskFailedRequest(task_id=id_pb2.ID(uuid=report.task_id))
    if isinstance(report, runners_pb2.FailedReport):
        error = report.error.partition("\n")[0]
        request.display = f"{report.display}\n{error}"[:MAX_DISPLAY_CHARS]
        request.was_workflow_error = report.kind in (runners_pb2.FAILURE_KIND_TASK, runners_pb2.FAILURE_KIND_FINAL)
        request.progress_updates.extend(report.progress_updates)
    return request


def _outcome_of(error: APIError) -> runners_pb2.ReportOutcome:
    """Convert the error that a report caused to its outcome.

    Raises:
        APIError: The error is not about the report.
    """
    if error.code not in ("not_found", "failed_precondition", "already_exists", "aborted", "invalid_argument"):
        raise error
    return runners_pb2.ReportOutcome(verdict=runners_pb2.REPORT_VERDICT_STALE, message=str(error))
