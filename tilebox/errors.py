"""All errors that Tilebox raises deliberately.

    TileboxError
    ├── TransportError            no complete answer: refused, reset, cut off or unavailable; a retry may help
    │   ├── ConnectTimeout        no answer in time (a TimeoutError too)
    │   └── AnswerTooLargeError   an answer larger than the client accepts; request less data at once
    ├── APIError                  the server answered with an error
    │   ├── AuthenticationError   the API key is missing, unknown, revoked or expired
    │   ├── PermissionDeniedError the role of the API key does not allow the call
    │   ├── NotFoundError         the dataset, collection, datapoint, job or cluster does not exist (a KeyError too)
    │   ├── InvalidArgumentError  an argument is malformed (a ValueError too)
    │   ├── ConflictError         the object exists already, or has changed in the meantime
    │   ├── RateLimitedError      too many requests; wait
    │   │   └── RequestTooLargeError  a request larger than the server accepts; send less data at once
    │   └── ServerError           the server failed; its log has the request id
    ├── PageError                 an answer that would have lost or repeated data
    ├── JobFailedError            a job failed or was cancelled during `wait`
    ├── JobTimeoutError           a job did not end within the timeout of `wait` (a TimeoutError too)
    ├── TaskDefinitionError       a task class is malformed; raised at its definition (a TypeError too)
    ├── NonRetryableError         raised by a task that must not be retried
    ├── LeaseLostError            the server has given a task to another runner, so this result is not accepted
    └── MissingExtraError         an optional dependency is not installed (an ImportError too)

Arguments that can be checked without the server raise `ValueError` or `TypeError` before any request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "APIError",
    "AnswerTooLargeError",
    "ArgumentError",
    "AuthenticationError",
    "ConflictError",
    "ConnectTimeout",
    "InvalidArgumentError",
    "JobFailedError",
    "JobTimeoutError",
    "LeaseLostError",
    "MissingExtraError",
    "NetworkError",
    "NonRetryableError",
    "NotFoundError",
    "PageError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RequestTooLargeError",
    "ServerError",
    "TaskDefinitionError",
    "TileboxError",
    "TransportError",
]


class TileboxError(Exception):
    """The base class of all errors that Tilebox raises deliberately."""


class TransportError(TileboxError):
    """The request got no complete answer, or the server is unavailable at the moment. A retry may help."""


class ConnectTimeout(TransportError, TimeoutError):  # noqa: N818 - the name users know from httpx
    """The request got no answer in time."""


class AnswerTooLargeError(TransportError):
    """The answer is larger than the client accepts. A retry does not help; request less data at once."""


class APIError(TileboxError):
    """The server answered with an error.

    Args:
        message: What failed, why, and what to do.
        code: The Connect code of the error, such as `not_found`.
        request_id: The id of the request in the server's log, or None.
    """

    code = "unknown"

    def __init__(self, message: str, *, code: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.request_id = request_id

    def __str__(self) -> str:
        return self.message


class AuthenticationError(APIError):
    """The API key is missing, unknown, expired or revoked."""

    code = "unauthenticated"


class PermissionDeniedError(APIError):
    """The API key is valid, but its role does not allow the call."""

    code = "permission_denied"


class NotFoundError(APIError, KeyError):
    """The dataset, collection, datapoint, job or cluster does not exist."""

    code = "not_found"

    # KeyError would print the repr of the message, which is meant for keys and not for sentences.
    __str__ = APIError.__str__


class InvalidArgumentError(APIError, ValueError):
    """An argument of the request is malformed; the message names it."""

    code = "invalid_argument"


class ConflictError(APIError):
    """The object to create exists already, or the object to change has changed since it was read."""

    code = "already_exists"


class RateLimitedError(APIError):
    """There were too many requests, or a request is too large."""

    code = "resource_exhausted"


class RequestTooLargeError(RateLimitedError):
    """The request is larger than the server accepts. A retry does not help; send less data at once."""


class ServerError(APIError):
    """The server failed. No part of the request was stored."""

    code = "internal"


class PageError(TileboxError):
    """A page was incomplete, out of order or repeated. No partial result is returned."""


class JobFailedError(TileboxError):
    """A job failed or was cancelled. The message has the failed tasks with their errors.

    Args:
        message: What happened.
        job: The job after its end, a `tilebox.workflows.Job`. It is untyped here, because jobs import this module.
        tasks: Failed tasks, as `tilebox.workflows.TaskSummary`; only the first ones if there are many.
    """

    def __init__(self, message: str, *, job: Any = None, tasks: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.job = job
        self.tasks = list(tasks)


class JobTimeoutError(TileboxError, TimeoutError):
    """A job did not end within the timeout of `wait`. The job continues.

    Args:
        message: What happened.
        job: The job at that time, a `tilebox.workflows.Job`.
    """

    def __init__(self, message: str, *, job: Any = None) -> None:
        super().__init__(message)
        self.job = job


class TaskDefinitionError(TileboxError, TypeError):
    """A task class is malformed; the message names the class and what to write instead."""


class NonRetryableError(TileboxError):
    """Raise this, or a subclass, in a task that cannot succeed. The task fails at once, without further retries."""


class LeaseLostError(TileboxError):
    """The server has given the task to another runner, so the result of this one is not accepted."""


class MissingExtraError(TileboxError, ImportError):
    """An optional dependency is not installed.

    Args:
        feature: The feature that needs the dependency, as the subject of a sentence.
        extra: The extra that installs it, as in `pip install "tilebox-open[extra]"`.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f'{feature} needs an optional dependency: pip install "tilebox-open[{extra}]"')
        self.extra = extra


ArgumentError = InvalidArgumentError
"""The name of this error in the official SDK."""

NetworkError = TransportError
"""The name of this error in the official SDK."""
