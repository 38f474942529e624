"""Errors of the HTTP client, told in our own words; the same for both clients."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tilebox.errors import ConnectTimeout, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["translated", "was_sent"]

_ADVICE = "check the URL, the network, and whether the server is running"


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise what httpx raises as errors of ours.

    Args:
        what: What was asked, for the message.

    Raises:
        ConnectTimeout: No answer in time.
        TransportError: No complete answer.
    """
    import httpx

    try:
        yield
    except httpx.TimeoutException as error:
        raise ConnectTimeout(f"no answer in time from {what}; {_ADVICE}, or ask for less") from _bare(error)
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise TransportError(f"no complete answer from {what}: {reason}; {_ADVICE}") from _bare(error)


def was_sent(error: TransportError) -> bool:
    """Tell whether the request may have reached the server before it failed."""
    import httpx

    return not isinstance(error.__cause__, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))


def _bare(error: BaseException) -> BaseException:
    """Take the frames off an error and its causes: their local variables hold the request's headers, key included."""
    seen: BaseException | None = error
    while seen is not None:
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__
    return error
