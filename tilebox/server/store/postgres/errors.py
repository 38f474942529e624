"""Errors of PostgreSQL and its driver, in our words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

from tilebox.errors import InvalidArgumentError, ServerError, TileboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All that the driver raises; a time limit that passed is a TimeoutError, which is an OSError."""

COLLISIONS = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    # A migration changed a table after its statements were prepared; asyncpg has forgotten them by now.
    asyncpg.InvalidCachedStatementError,
)
"""Nothing was changed, and the same transaction may succeed now."""

_LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
)

# Classes of SQLSTATE: connection, authorization, unknown database, collision, resources, state, operator, system.
_UNAVAILABLE = frozenset({"08", "28", "3D", "40", "53", "55", "57", "58"})
_REFUSED = frozenset({"22", "23"})


def is_lost(error: BaseException) -> bool:
    """Tell whether an error means that the connection is gone."""
    # A value that the driver cannot encode is an InterfaceError as well, and a ValueError.
    return isinstance(error, _LOST) and not isinstance(error, ValueError | TimeoutError)


@contextmanager
def explained(name: str, *, is_change: bool = False) -> Iterator[None]:
    """Say in our words what the driver raises.

    Args:
        name: What to call the database.
        is_change: Whether something was to be changed, so that the error says whether it was.

    Raises:
        InvalidArgumentError: The database refused a value.
        ServerError: Anything else failed.
    """
    try:
        yield
    except FAILURES as error:
        raise told(error, name, is_change=is_change) from error


def told(error: Exception, name: str, *, is_change: bool) -> TileboxError:
    """Return what a caller is told of an error of the driver."""
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    state = getattr(error, "sqlstate", None) or ""
    is_refused_by_driver = isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
    if (is_refused_by_driver and not isinstance(error, asyncpg.ClientConfigurationError)) or state[:2] in _REFUSED:
        return InvalidArgumentError(f"the database refused a value: {reason}")
    if isinstance(error, asyncpg.UndefinedTableError):
        return ServerError(
            f"the database {name} has no tables ({reason}): start `tilebox serve` on it once, which makes them",
            code="unavailable",
        )
    if isinstance(error, TimeoutError):
        reason = "it did not answer in time"
    if isinstance(error, TimeoutError) or is_lost(error) or state[:2] in _UNAVAILABLE:
        # A commit may have been done though its answer got lost.
        advice = ". Look whether the change was made before trying again" if is_change else ""
        return ServerError(f"the database {name} cannot be used now: {reason}{advice}", code="unavailable")
    return ServerError(f"the database {name} failed: {reason}{'. Nothing was stored' if is_change else ''}")
