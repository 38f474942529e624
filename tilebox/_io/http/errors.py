"""Translation of httpx errors to Tilebox errors; the same for both clients."""

from __future__ import annotations

import ssl
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tilebox.errors import ConnectTimeout, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_wrong_address", "translate_errors", "was_sent"]

_ADVICE = "check the URL, the network, and whether the server is running"
_TLS_ADVICE = "does the server expect http:// rather than https://?"


@contextmanager
def translate_errors(target: str, *, is_encrypted: bool) -> Iterator[None]:
    """Raise errors of httpx, or of httpx2 if the caller's client is from there, as errors of Tilebox.

    Args:
        target: The call in error messages.
        is_encrypted: Whether the call uses TLS. A server without TLS stays silent, or sends an answer that is not TLS.

    Raises:
        ConnectTimeout: There was no connection, or no response, in time.
        TransportError: There was no complete response.
    """
    connect_advice = f"{_TLS_ADVICE} Otherwise, {_ADVICE}" if is_encrypted else _ADVICE
    try:
        yield
    except _classes("HTTPError", "StreamError", "InvalidURL") as error:
        raise _translation(error, target, connect_advice) from _without_tracebacks(error)


def is_wrong_address(error: BaseException) -> bool:
    """Return whether an error suggests a wrong address: no connection in time, or an answer that is not TLS.

    A retry does not help then. After a response from the same address, the cause is the network, and a retry may help.
    """
    return _is_timeout(error.__cause__, "ConnectTimeout") or _tls_error(error) is not None


def was_sent(error: TransportError) -> bool:
    """Return whether the request may have reached the server before it failed."""
    cause = error.__cause__
    is_unsent = isinstance(cause, _classes("ConnectError", "PoolTimeout")) or _is_timeout(cause, "ConnectTimeout")
    return not is_unsent


def _translation(error: Exception, target: str, connect_advice: str) -> TransportError:
    if _is_timeout(error, "ConnectTimeout"):
        return ConnectTimeout(f"no connection in time for {target}; {connect_advice}")
    if _is_timeout(error, "TimeoutException"):
        return ConnectTimeout(f"no answer in time from {target}; {_ADVICE}, or request less data")
    reason = str(error) or type(error).__name__
    advice = connect_advice if _tls_error(error) is not None else _ADVICE
    return TransportError(f"no complete answer from {target}: {reason}; {advice}")


def _is_timeout(error: BaseException | None, name: str) -> bool:
    # httpx-aiohttp reports a connection that the server closed as ConnectTimeout, with aiohttp's error as the cause.
    return isinstance(error, _classes(name)) and (
        error.__cause__ is None or "Timeout" in type(error.__cause__).__name__
    )


def _classes(*names: str) -> tuple[type[Exception], ...]:
    """Return the error classes with these names, of httpx and of its continuation httpx2 if they are imported."""
    modules = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    return tuple(getattr(module, name) for module in modules for name in names)


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _without_tracebacks(error: BaseException) -> BaseException:
    """Remove the frames of an error and its causes, whose local variables have the API key in the request's headers."""
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
    return error
