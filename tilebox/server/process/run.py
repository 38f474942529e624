"""The life of a server process: locks, store, application, background loops and signals."""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import uuid4

import anyio
import uvicorn

from tilebox.errors import ConflictError, ServerError
from tilebox.server.access.keys import make_key
from tilebox.server.points import open_points, probe
from tilebox.server.process.locks import StartError, listen, lock_data_dir, url_of
from tilebox.server.store import open_store
from tilebox.server.store.interface import Team

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from tilebox.server.settings import Settings
    from tilebox.server.store.interface import Store
    from tilebox.server.web.envelope import Envelope

logger = logging.getLogger("tilebox.server")

TEAM_SLUG = "local"
KEY_FILE = "api-key"


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts requests.

    Args:
        url: URL of the server.
        first_key: Text of the first API key, if this start created it, or None.
        stop: Stops the server after requests under way; may be called from any thread.
    """

    url: str
    first_key: str | None
    stop: Callable[[], None]


async def serve(settings: Settings, started: Callable[[Running], None]) -> None:
    """Run a server until it is stopped.

    Args:
        settings: The settings of the server.
        started: Called once, as soon as the server accepts requests.

    Raises:
        StartError: The data directory or the port is in use, or the database or the storage cannot be used.
    """
    async with AsyncExitStack() as stack:
        # With both elsewhere, several servers may share a data directory, and the database has locks of its own.
        if settings.database is None or settings.storage is None:
            stack.enter_context(lock_data_dir(settings.data_dir))
        listener = stack.enter_context(listen(settings.host, settings.port))
        # These imports take a second; a port in use is reported without that delay.
        from tilebox.server.loops.upkeep import Upkeep
        from tilebox.server.process.app import build_app
        from tilebox.server.process.workflow_parts import Orchestrator

        store = _open(
            lambda: open_store(settings.database_url, flushes_reports=settings.synchronous == "full", is_served=True),
            "database",
        )
        stack.push_async_callback(store.close)
        await _migrate(store, settings)
        points = _open(lambda: open_points(settings.storage_url, writer_lock=store.writer_lock), "storage")
        stack.push_async_callback(points.close)
        await _check_storage(settings.storage_url)
        first_key = await first_start(store, settings.data_dir)
        orchestrator = Orchestrator(store, settings)
        app = build_app(store, points, settings, orchestrator)
        async with anyio.create_task_group() as background:
            for loop in orchestrator.loops:
                background.start_soon(loop.run)
            background.start_soon(Upkeep(store, points, pause_seconds=settings.upkeep_seconds).run)
            await _Server(app, settings, listener, first_key, started).serve([listener])
            background.cancel_scope.cancel()


async def first_start(store: Store, data_dir: Path) -> str | None:
    """Create the team and a first API key of role admin, unless there are some.

    The key is also written to a file in the data directory that only the owner can read.

    Returns:
        The text of the key, or None if there was one before.
    """
    from tilebox.server.clock import now_us

    team = next(iter(await store.teams()), None)
    if team is None:
        team = Team(id=uuid4(), slug=TEAM_SLUG, name="Local", created_us=now_us())
        try:
            await store.add_team(team)
        except ConflictError:
            return None  # another process on the same database was faster, and created the key
    elif await store.keys(team.id):
        return None
    text, key = make_key(team.id, name="first key", role="admin", now_us=now_us())
    if data_dir.is_dir():  # noqa: ASYNC240 - once, before the server accepts requests
        _write_private(data_dir / KEY_FILE, text + "\n")
    # Stored last: if the start is interrupted before, the next start is a first start again.
    await store.add_key(key)
    return text


class _Server(uvicorn.Server):
    """A uvicorn server that reports its start, and treats SIGTERM as a normal shutdown."""

    def __init__(
        self,
        app: Envelope,
        settings: Settings,
        listener: socket.socket,
        first_key: str | None,
        started: Callable[[Running], None],
    ) -> None:
        config = uvicorn.Config(
            app,
            http="zttp",
            http2=True,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # The server uses neither the address nor the scheme of its callers.
            proxy_headers=False,
            timeout_graceful_shutdown=settings.grace_seconds,
            # Longer than clients keep idle connections, so that the client closes first and no request races the close.
            timeout_keep_alive=75,
        )
        super().__init__(config)
        # Uvicorn's access log has query strings, into which people put keys; the log of `Envelope` does not.
        logging.getLogger("uvicorn.access").disabled = True
        self._running = Running(url_of(settings.host, listener), first_key, self._stop)
        self._on_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started(self._running)

    @contextmanager
    def capture_signals(self) -> Any:
        """Stop on SIGTERM and SIGINT. Uvicorn would raise the signal again after the shutdown, which looks like a crash."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _stop(self) -> None:
        self.should_exit = True


def _open(open_resource: Callable[[], Any], name: str) -> Any:
    try:
        return open_resource()
    except (ValueError, OSError) as error:
        raise StartError(f"cannot open the {name}: {error}") from None


async def _migrate(store: Store, settings: Settings) -> None:
    try:
        await store.migrate()
    except ServerError as error:
        # The driver's own message: the wrapped one is about requests, and there was none yet.
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        if settings.database_url.startswith("sqlite:"):
            name = f"database {unquote(settings.database_url.removeprefix('sqlite://'))}"
            advice = "restore it from a backup, or choose another location with --data-dir or --database"
        else:
            name = "PostgreSQL database"
            advice = "check the URL in --database, and that the database runs and accepts connections from this machine"
        raise StartError(f"cannot use the {name}: {reason}; {advice}") from error


async def _check_storage(location: str) -> None:
    try:
        await probe(location)
    except OSError as error:
        raise StartError(
            f"cannot use the storage {location}: {error}; check the bucket in --storage, and the credentials, region and "
            "endpoint in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT"
        ) from None


def _write_private(path: Path, text: str) -> None:
    """Write a file that only the owner can read. An existing file is deleted first, because it may have wider rights."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
