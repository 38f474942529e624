"""Every error that Tilebox raises on purpose.

    TileboxError
    ├── TransportError            no answer: refused, reset, cut off, not now; a retry may help
    │   ├── ConnectTimeout        no answer in time
    │   └── AnswerTooLargeError   an answer larger than the client takes; ask for less at once
    ├── APIError                  the server answered, with an error
    │   ├── AuthenticationError   no key, an unknown key, a revoked or expired key
    │   ├── PermissionDeniedError the key is good, its role does not allow this
    │   ├── NotFoundError         no such dataset, collection or datapoint (a KeyError too)
    │   ├── InvalidArgumentError  the request makes no sense (a ValueError too)
    │   ├── ConflictError         it exists already, or changed meanwhile
    │   ├── RateLimitedError      too many requests; wait
    │   │   └── RequestTooLargeError  a request larger than the server takes; send less at once
    │   └── ServerError           the server failed; the request id finds it in its log
    ├── PageError                 an answer that would have lost or repeated data
    ├── JobFailedError            a job that was waited for failed or was cancelled
    ├── JobTimeoutError           a job that was waited for did not end in time (a TimeoutError too)
    ├── TaskDefinitionError       a class of tasks that cannot work; raised where it is defined (a TypeError too)
    ├── NonRetryableError         raise it in a task: another attempt would not help
    ├── LeaseLostError            the server gave a task to another runner; what this one computes is in vain
    └── MissingExtraError         an optional dependency is not installed (an ImportError too)

Bad arguments that need no server to be told raise `ValueError` or `TypeError` before any request.
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
    """The root: `except TileboxError` catches whatever Tilebox raises on purpose."""


class TransportError(TileboxError):
    """The request got no complete answer, or one that says to come again later. Retryable."""


class ConnectTimeout(TransportError, TimeoutError):  # noqa: N818 - the name users know from httpx
    """The request got no answer in time."""


class AnswerTooLargeError(TransportError):
    """The answer is larger than the client takes, which a retry does not change."""


class APIError(TileboxError):
    """The server answered with an error.

    Args:
        message: What went wrong, on what, and what to do.
        code: The Connect code of the answer, such as `not_found`.
        request_id: The server's name for this request, to find it in the server's log.
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
    """The API key is valid, but its role does not allow this."""

    code = "permission_denied"


class NotFoundError(APIError, KeyError):
    """There is no dataset, collection or datapoint of that name or id."""

    code = "not_found"

    # KeyError quotes its message, which is made for keys and not for sentences.
    __str__ = APIError.__str__


class InvalidArgumentError(APIError, ValueError):
    """The request makes no sense as it stands; the message names the argument."""

    code = "invalid_argument"


class ConflictError(APIError):
    """What should be created exists already, or changed since it was read."""

    code = "already_exists"


class RateLimitedError(APIError):
    """Too many requests, or one that is too large."""

    code = "resource_exhausted"


class RequestTooLargeError(RateLimitedError):
    """The request is larger than the server takes, which waiting does not change."""


class ServerError(APIError):
    """The server failed. Nothing of the request was stored in part."""

    code = "internal"


class PageError(TileboxError):
    """A page came back cut short, out of order or for the second time; nothing was returned in part."""


class JobFailedError(TileboxError):
    """A job that was waited for failed or was cancelled; the message names the tasks that failed, with their errors.

    Args:
        message: What happened.
        job: The job as it ended, a `tilebox.workflows.Job`. Untyped here: jobs raise these errors, not the reverse.
        tasks: Tasks that failed, as `tilebox.workflows.TaskSummary`; of many only some.
    """

    def __init__(self, message: str, *, job: Any = None, tasks: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.job = job
        self.tasks = list(tasks)


class JobTimeoutError(TileboxError, TimeoutError):
    """A job that was waited for did not end in time; it goes on.

    Args:
        message: What happened.
        job: The job as it was then, a `tilebox.workflows.Job`.
    """

    def __init__(self, message: str, *, job: Any = None) -> None:
        super().__init__(message)
        self.job = job


class TaskDefinitionError(TileboxError, TypeError):
    """A class of tasks cannot work as it is written; the message names the class and says what to write instead."""


class NonRetryableError(TileboxError):
    """Raise it, or a subclass, in a task that cannot succeed: it fails at once, whatever retries it has left."""


class LeaseLostError(TileboxError):
    """The server gave up on this runner's task and hands it to another; what goes on here changes nothing."""


class MissingExtraError(TileboxError, ImportError):
    """An optional dependency is not installed.

    Args:
        feature: What needs it, as the subject of a sentence.
        extra: The extra that brings it, as in `pip install "tilebox-open[extra]"`.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f'{feature} needs an optional dependency: pip install "tilebox-open[{extra}]"')
        self.extra = extra


ArgumentError = InvalidArgumentError
"""The name that the official SDK gives it."""

NetworkError = TransportError
"""The name that the official SDK gives it."""
