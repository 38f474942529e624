"""What a runner's state machine is told, and what it answers: events and commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
    from tilebox._core.runner.exchanges import Exchange, Lease, Report

COURIER = -1
"""The worker who delivers reports when no slot is idle."""

# Between attempts, while nobody answers.
LONGEST_PAUSE_SECONDS = 5.0

# Events


@dataclass(slots=True)
class Began:
    """The runner starts."""


@dataclass(slots=True)
class Answered:
    """The server answered."""

    worker: int
    exchange: Exchange
    response: runners_pb2.ExchangeResponse


@dataclass(slots=True)
class Unanswered:
    """No answer, or one that says to come again. `longest` bounds the pause before that."""

    worker: int
    exchange: Exchange
    longest: float = LONGEST_PAUSE_SECONDS


@dataclass(slots=True)
class Rejected:
    """The server will never take this request: something that is in it is too large or malformed."""

    worker: int
    exchange: Exchange
    message: str


@dataclass(slots=True)
class WasCut:
    """The waiting of an exchange was ended from this side."""

    worker: int
    exchange: Exchange


@dataclass(slots=True)
class Finished:
    """A task ended, one way or the other; None is no report, since there is nobody to take it."""

    slot: int
    report: Report | None
    seconds: float


@dataclass(slots=True)
class LeaseLost:
    """Somebody else has the task of a slot, or nobody."""

    slot: int
    lease: Lease


@dataclass(slots=True)
class Ticked:
    """Time has passed."""


@dataclass(slots=True)
class StopAsked:
    """No more tasks: finish those that are executing within a time, then hand them back."""

    grace_seconds: float


Event: TypeAlias = Began | Answered | Unanswered | Rejected | WasCut | Finished | LeaseLost | Ticked | StopAsked

# Commands


@dataclass(slots=True)
class Send:
    """Let a worker pause, send an exchange and tell what came of it."""

    worker: int
    exchange: Exchange
    pause_seconds: float = 0.0


@dataclass(slots=True)
class Run:
    """Let a slot execute a task."""

    slot: int
    lease: Lease


@dataclass(slots=True)
class Cut:
    """End the waiting of an exchange that is under way."""

    exchange: Exchange


@dataclass(slots=True)
class Abandon:
    """What a slot executes was handed back: end it if that can be done."""

    slot: int
    lease: Lease


@dataclass(slots=True)
class Tell:
    """Log that a report did not count."""

    task_id: bytes
    message: str


@dataclass(slots=True)
class End:
    """Let everybody go. `undelivered` reports could not be delivered."""

    undelivered: int


Command: TypeAlias = Send | Run | Cut | Abandon | Tell | End
