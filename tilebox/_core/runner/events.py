"""The input and output of a runner's state machine: events and commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
    from tilebox._core.runner.exchanges import Exchange, Lease, Report

DELIVERY_WORKER = -1
"""The number of the worker that delivers reports while no slot is idle."""

# The upper bound of the pause between attempts while the server does not answer.
LONGEST_PAUSE_SECONDS = 5.0

# Events


@dataclass(slots=True)
class Started:
    """The runner starts."""


@dataclass(slots=True)
class Answered:
    """The server answered an exchange."""

    worker: int
    exchange: Exchange
    response: runners_pb2.ExchangeResponse


@dataclass(slots=True)
class Unanswered:
    """An exchange got no answer, or one to try again; the pause before that is at most `longest` seconds."""

    worker: int
    exchange: Exchange
    longest: float = LONGEST_PAUSE_SECONDS


@dataclass(slots=True)
class Rejected:
    """The server will never accept this exchange, because a part of it is too large or malformed."""

    worker: int
    exchange: Exchange
    message: str


@dataclass(slots=True)
class Interrupted:
    """An exchange was interrupted by the runner while it waited for an answer."""

    worker: int
    exchange: Exchange


@dataclass(slots=True)
class Finished:
    """A task ended. The report is None if the server would not accept one."""

    slot: int
    report: Report | None
    seconds: float


@dataclass(slots=True)
class LeaseLost:
    """The lease of the task in a slot is lost; another runner may have the task."""

    slot: int
    lease: Lease


@dataclass(slots=True)
class ClockTicked:
    """The time of `Machine.next_tick` has come."""


@dataclass(slots=True)
class StopRequested:
    """The runner must stop: claim no more tasks, and return those that do not finish within the grace period."""

    grace_seconds: float


Event: TypeAlias = (
    Started | Answered | Unanswered | Rejected | Interrupted | Finished | LeaseLost | ClockTicked | StopRequested
)

# Commands


@dataclass(slots=True)
class Send:
    """A worker pauses, then sends an exchange and returns the outcome as an event."""

    worker: int
    exchange: Exchange
    pause_seconds: float = 0.0


@dataclass(slots=True)
class Run:
    """A slot executes a task."""

    slot: int
    lease: Lease


@dataclass(slots=True)
class Interrupt:
    """Interrupt an exchange that is waiting for its answer."""

    exchange: Exchange


@dataclass(slots=True)
class Abandon:
    """End the execution in a slot if possible, because its task was returned to the server."""

    slot: int
    lease: Lease


@dataclass(slots=True)
class LogWarning:
    """Log that a report was not accepted."""

    task_id: bytes
    message: str


@dataclass(slots=True)
class End:
    """All workers end. `undelivered` is the number of reports that could not be delivered."""

    undelivered: int


Command: TypeAlias = Send | Run | Interrupt | Abandon | LogWarning | End
