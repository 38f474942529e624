"""Delivery of one exchange to the server; the outcome is an event of the state machine."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

from tilebox._core.runner.events import Answered, Interrupted, Rejected, Unanswered
from tilebox._runner.channel import CallCancelledError
from tilebox.errors import (
    AuthenticationError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RequestTooLargeError,
    TileboxError,
)

if TYPE_CHECKING:
    from tilebox._core.runner.events import Event, Send
    from tilebox._runner.channel import CancelToken
    from tilebox._runner.wire import Wire

_log = logging.getLogger("tilebox.workflows.runner")

REMIND_SECONDS = 60.0
# The pause between attempts after a refusal that only a change on the server can resolve.
REFUSED_PAUSE_SECONDS = 30.0


def deliver(wire: Wire, command: Send, cancel_token: CancelToken, outage: OutageLog) -> Event:
    """Send an exchange, once.

    Args:
        wire: The server.
        command: The exchange, and the pause before it.
        cancel_token: Allows another thread to end the pause and the call.
        outage: Records whether the call succeeded.

    Returns:
        The event for the state machine.
    """
    worker, exchange = command.worker, command.exchange
    try:
        if command.pause_seconds:
            cancel_token.sleep(command.pause_seconds)
        response = wire.exchange(exchange, cancel_token)
    except CallCancelledError:
        return Interrupted(worker, exchange)
    except (InvalidArgumentError, RequestTooLargeError) as error:
        _log.warning("%s", error)
        return Rejected(worker, exchange, str(error))
    except (AuthenticationError, PermissionDeniedError, NotFoundError) as error:
        outage.failed(error)
        return Unanswered(worker, exchange, REFUSED_PAUSE_SECONDS)
    except TileboxError as error:
        outage.failed(error)
        return Unanswered(worker, exchange)
    except Exception as error:  # noqa: BLE001 - the runner must survive any error
        _log.exception("unexpected error while sending a request; it will be repeated")
        outage.failed(error)
        return Unanswered(worker, exchange)
    outage.ended()
    return Answered(worker, exchange, response)


class OutageLog:
    """Logs the start and the end of an outage of the server, but not every attempt."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._logged = 0.0

    def failed(self, error: Exception) -> None:
        """Record a failed attempt."""
        now = monotonic()
        if self._since is None:
            self._since = now
        elif now - self._logged < REMIND_SECONDS:
            return
        self._logged = now
        _log.warning("%s; retrying until it succeeds", error)

    def ended(self) -> None:
        """Record an answer of the server."""
        if self._since is not None:
            _log.info("the server answers again, after %.1f s", monotonic() - self._since)
            self._since = None
