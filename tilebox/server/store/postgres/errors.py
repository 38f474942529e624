"""Errors of PostgreSQL and asyncpg, and their translation into errors of `tilebox.errors`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

from tilebox.errors import InvalidArgumentError, ServerError, TileboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All errors that asyncpg raises. A time limit raises a TimeoutError, which is an OSError."""

TRANSIENT_ERRORS = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    # A migration changed a table after its statements were prepared. asyncpg has dropped those statements by now.
    asyncpg.InvalidCachedStatementError,
)
"""Errors after which nothing was changed, and the same transaction may succeed on the next attempt."""

_CONNECTION_ERRORS = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
)

# Classes of SQLSTATE: connection, authorization, unknown database, transaction rollback, resources, object state,
# operator intervention, system error.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNAVAILABLE_CLASSES = frozenset({"08", "28", "3D", "40", "53", "55", "57", "58"})
# Data exception, integrity constraint violation.
_INVALID_VALUE_CLASSES = frozenset({"22", "23"})


def is_connection_lost(error: BaseException) -> bool:
    """Return whether an error means that the connection is gone."""
    # A value that asyncpg cannot encode raises an InterfaceError too, but one that is also a ValueError.
    return isinstance(error, _CONNECTION_ERRORS) and not isinstance(error, ValueError | TimeoutError)


@contextmanager
def translated_errors(name: str, *, is_change: bool = False) -> Iterator[None]:
    """Translate the errors that asyncpg raises in the block.

    Args:
        name: The name of the database in messages.
        is_change: Whether the block changes data. If so, the message says whether the change was stored.

    Raises:
        InvalidArgumentError: The database refused a value.
        ServerError: Any other failure.
    """
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translate(error, name, is_change=is_change) from error


def translate(error: Exception, name: str, *, is_change: bool) -> TileboxError:
    """Return the error for the caller that corresponds to an error of asyncpg.

    Args:
        error: The error of asyncpg.
        name: The name of the database in the message.
        is_change: Whether the failed transaction changes data.
    """
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    state = getattr(error, "sqlstate", None) or ""
    is_refused_by_driver = isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
    if (is_refused_by_driver and not isinstance(error, asyncpg.ClientConfigurationError)) or (
        state[:2] in _INVALID_VALUE_CLASSES
    ):
        return InvalidArgumentError(f"the database refused a value: {reason}")
    if isinstance(error, asyncpg.UndefinedTableError):
        return ServerError(
            f"the database {name} has no tables ({reason}): start `tilebox serve` on it once to create them",
            code="unavailable",
        )
    if isinstance(error, TimeoutError):
        reason = "it did not answer in time"
    if isinstance(error, TimeoutError) or is_connection_lost(error) or state[:2] in _UNAVAILABLE_CLASSES:
        # The database may have committed, and only its answer was lost.
        advice = ". Check whether the change was made before you try again" if is_change else ""
        return ServerError(f"the database {name} cannot be used now: {reason}{advice}", code="unavailable")
    return ServerError(f"the database {name} failed: {reason}{'. Nothing was stored' if is_change else ''}")
