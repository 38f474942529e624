"""The store of control data: its interface, and its implementations on SQLite and PostgreSQL.

May import: `tilebox._core`, `tilebox.errors`, anyio and the database drivers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tilebox.errors import MissingExtraError

if TYPE_CHECKING:
    from tilebox.server.store.interface import Store

__all__ = ["open_store"]


def open_store(url: str, *, flushes_reports: bool = True, is_served: bool = False) -> Store:
    """Return the store of a database URL. It connects to the database when it is first used.

    The caller must close it in every case: the pool of PostgreSQL keeps an event loop from ending.

    Args:
        url: `sqlite:///absolute/path` or `postgresql://user:password@host/database`.
        flushes_reports: Whether SQLite flushes reports of runners to disk before it acknowledges them. PostgreSQL has
            its own setting for this, synchronous_commit.
        is_served: Whether a server opens the store and will write much, so that SQLite prepares for it.

    Raises:
        ValueError: The URL has another form.
        MissingExtraError: The URL names a PostgreSQL database, and its driver is not installed.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        from tilebox.server.store.sqlite.store import SqliteStore

        return SqliteStore(_sqlite_path(url), flushes_reports=flushes_reports, is_served=is_served)
    if parts.scheme in {"postgresql", "postgres"}:
        try:
            from tilebox.server.store.postgres.store import PostgresStore
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "asyncpg":
                raise
            raise MissingExtraError("a PostgreSQL database", "postgres") from error

        return PostgresStore(url)
    # The message names only the scheme, because the rest of the URL may hold a password.
    raise ValueError(f"database URL must start with sqlite:/// or postgresql://, not {parts.scheme!r}")


def _sqlite_path(url: str) -> Path:
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.netloc or parts.query or parts.fragment or not path.is_absolute() or path.parent == path:
        raise ValueError(f"SQLite database URL must be sqlite:///absolute/path/of/a/file, not {url!r}")
    # sqlite:///a/b and sqlite:////a/b both mean /a/b, but pathlib would keep two leading slashes.
    return Path("/", *path.parts[1:])
