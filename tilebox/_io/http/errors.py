"""Errors of httpx, raised as errors of Tilebox; the same for both clients."""

from __future__ import annotations

import ssl
import sys
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
    """Raise errors of httpx, or of httpx2 if the caller's client is one of its, as errors of Tilebox.

    Args:
        what: What was asked, for the message.
        is_encrypted: Whether over TLS: a server without it keeps silent, or answers what TLS cannot read.

    Raises:
        ConnectTimeout: No connection or no answer in time.
        TransportError: No complete answer.
    """
    connecting = f"{_IS_IT_HTTP} Else {_ADVICE}" if is_encrypted else _ADVICE
    try:
        yield
    except _classes("HTTPError", "StreamError", "InvalidURL") as error:
        raise _translation(error, what, connecting) from _bare(error)


def is_wrong_address(error: BaseException) -> bool:
    """Tell whether an error is what an address without our server gives: silence, or something other than TLS.

    Trying again does not help then; but after an answer from there it is the network that fails, and passes.
    """
    return _is_timeout(error.__cause__, "ConnectTimeout") or _tls_error(error) is not None


def was_sent(error: TransportError) -> bool:
    """Tell whether the request may have reached the server before it failed."""
    cause = error.__cause__
    is_unsent = isinstance(cause, _classes("ConnectError", "PoolTimeout")) or _is_timeout(cause, "ConnectTimeout")
    return not is_unsent


def _translation(error: Exception, what: str, connecting: str) -> TransportError:
    if _is_timeout(error, "ConnectTimeout"):
        return ConnectTimeout(f"no connection in time for {what}; {connecting}")
    if _is_timeout(error, "TimeoutException"):
        return ConnectTimeout(f"no answer in time from {what}; {_ADVICE}, or ask for less")
    reason = str(error) or type(error).__name__
    advice = connecting if _tls_error(error) is not None else _ADVICE
    return TransportError(f"no complete answer from {what}: {reason}; {advice}")


def _is_timeout(error: BaseException | None, name: str) -> bool:
    # httpx-aiohttp reports a connection that the server closed as ConnectTimeout, with aiohttp's error as the cause.
    return isinstance(error, _classes(name)) and (
        error.__cause__ is None or "Timeout" in type(error.__cause__).__name__
    )


def _classes(*names: str) -> tuple[type[Exception], ...]:
    """Return the error classes of these names, of httpx and of its continuation httpx2 where they are in use."""
    modules = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    return tuple(getattr(module, name) for module in modules for name in names)


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
