"""Errors of the HTTP client, told in our own words; the same for both clients."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tilebox.errors import ConnectTimeout, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_wrong_address", "translated", "was_sent"]

_ADVICE = "check the URL, the network, and whether the server is running"
_IS_IT_HTTP = "does the server expect http:// rather than https://?"


@contextmanager
def translated(what: str, *, is_encrypted: bool) -> Iterator[None]:
    """Raise what httpx raises as errors of ours.

    Args:
        what: What was asked, for the message.
        is_encrypted: Whether over TLS: a server without it keeps silent, or answers what TLS cannot read.

    Raises:
        ConnectTimeout: No connection or no answer in time.
        TransportError: No complete answer.
    """
    import httpx

    connecting = f"{_IS_IT_HTTP} Else {_ADVICE}" if is_encrypted else _ADVICE
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise ConnectTimeout(f"no connection in time for {what}; {connecting}") from _bare(error)
    except httpx.TimeoutException as error:
        raise ConnectTimeout(f"no answer in time from {what}; {_ADVICE}, or ask for less") from _bare(error)
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        advice = connecting if _tls_error(error) is not None else _ADVICE
        raise TransportError(f"no complete answer from {what}: {reason}; {advice}") from _bare(error)


def is_wrong_address(error: BaseException) -> bool:
    """Tell whether an error is what an address without our server gives: silence, or something other than TLS.

    Trying again does not help then; but after an answer from there it is the network that fails, and passes.
    """
    import httpx

    return isinstance(error.__cause__, httpx.ConnectTimeout) or _tls_error(error) is not None


def was_sent(error: TransportError) -> bool:
    """Tell whether the request may have reached the server before it failed."""
    import httpx

    return not isinstance(error.__cause__, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError) and not isinstance(seen, ssl.SSLEOFError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _bare(error: BaseException) -> BaseException:
    """Take the frames off an error and its causes: their local variables hold the request's headers, key included."""
    seen: BaseException | None = error
    while seen is not None:
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__
    return error
