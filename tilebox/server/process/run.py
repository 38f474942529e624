"""A server process from start to stop: its claims, its store, its application, its signals."""

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
from tilebox.server.process.locks import StartError, claim, listen, url_of
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
    """A server that answers.

    Args:
        url: Where it answers.
        first_key: The API key that was made because there was none yet, or None.
        stop: Tells it to finish requests under way and stop; may be called from any thread.
    """

    url: str
    first_key: str | None
    stop: Callable[[], None]


async def serve(settings: Settings, started: Callable[[Running], None]) -> None:
    """Run a server until it is told to stop.

    Args:
        settings: What it was told.
        started: Called once, as soon as requests are answered.

    Raises:
        StartError: The data directory or the port is taken, or the database or the storage cannot be used.
    """
    async with AsyncExitStack() as stack:
        if settings.database is None or settings.storage is None:
            stack.enter_context(claim(settings.data_dir))
        listener = stack.enter_context(listen(settings.host, settings.port))
        # These take a second, which nobody should wait for to learn that the port is taken.
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
        await _reach(settings.storage_url)
        first_key = await first_start(store, settings.data_dir)
        orchestrator = Orchestrator(store, settings)
        app = build_app(store, points, settings, orchestrator)
        async with anyio.create_task_group() as beside:
            for loop in orchestrator.loops:
                beside.start_soon(loop.run)
            beside.start_soon(Upkeep(store, points, pause_seconds=settings.upkeep_seconds).run)
            await _Server(app, settings, listener, first_key, started).serve([listener])
            beside.cancel_scope.cancel()


async def first_start(store: Store, data_dir: Path) -> str | None:
    """Create the team and an API key of role admin if there are none yet, and return the key's text.

    The key is kept beside the data, in a file that only its owner can read.
    """
    from tilebox.server.clock import now_us

    team = next(iter(await store.teams()), None)
    if team is None:
        team = Team(id=uuid4(), slug=TEAM_SLUG, name="Local", created_us=now_us())
        try:
            await store.add_team(team)
        except ConflictError:
            return None  # another process of the same database was faster, and has the key
    elif await store.keys(team.id):
        return None
    text, key = make_key(team.id, name="first key", role="admin", now_us=now_us())
    if data_dir.is_dir():  # noqa: ASYNC240 - once, before anything is served
        _write_private(data_dir / KEY_FILE, text + "\n")
    # Last: a start that breaks off before this is simply a first start again the next time.
    await store.add_key(key)
    return text


class _Server(uvicorn.Server):
    """Uvicorn, which tells when it has started, and takes SIGTERM as a wish rather than as a failure."""

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
            # Nothing here asks for a caller's address or scheme.
            proxy_headers=False,
            timeout_graceful_shutdown=settings.grace_seconds,
            # Longer than clients keep idle connections, so that theirs is the side that closes.
            timeout_keep_alive=75,
        )
        super().__init__(config)
        # Its own access log holds query strings, in which people put keys; ours does not.
        logging.getLogger("uvicorn.access").disabled = True
        self._running = Running(url_of(settings.host, listener), first_key, self._stop)
        self._tell_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell_started(self._running)

    @contextmanager
    def capture_signals(self) -> Any:
        """Stop on SIGTERM and SIGINT. Uvicorn would raise them again once stopped, which reads as a crash."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self) -> None:
        self.should_exit = True


def _open(opening: Callable[[], Any], what: str) -> Any:
    try:
        return opening()
    except (ValueError, OSError) as error:
        raise StartError(f"cannot open the {what}: {error}") from None


async def _migrate(store: Store, settings: Settings) -> None:
    try:
        await store.migrate()
    except ServerError as error:
        # The driver's own words: ours are about requests, and none was made yet.
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        if settings.database_url.startswith("sqlite:"):
            what = f"database {unquote(settings.database_url.removeprefix('sqlite://'))}"
            advice = "restore it from a backup, or choose another place with --data-dir or --database"
        else:
            what = "PostgreSQL database"
            advice = "check the URL in --database, and that the database runs and lets this machine in"
        raise StartError(f"cannot use the {what}: {reason}; {advice}") from error


async def _reach(place: str) -> None:
    try:
        await probe(place)
    except OSError as error:
        raise StartError(
            f"cannot use the storage {place}: {error}; check the bucket in --storage, and the credentials, region and "
            "endpoint in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT"
        ) from None


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, also where one with wider rights lay before."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
