"""The server's ASGI application with its real store and datapoints, without a socket."""

from __future__ import annotations

from contextlib import asynccontextmanager

from tilebox.server.points import open_points
from tilebox.server.process.app import build_app
from tilebox.server.process.run import first_start
from tilebox.server.process.workflow_parts import Orchestrator
from tilebox.server.settings import Settings
from tilebox.server.store import open_store


@asynccontextmanager
async def application(folder, **settings):
    """Open an application on SQLite in a folder, and yield it with an API key."""
    chosen = Settings(**settings)
    store = open_store(f"sqlite://{folder}/control.sqlite")
    points = open_points(folder / "points", writer_lock=store.writer_lock)
    try:
        await store.migrate()
        key = await first_start(store, folder)
        yield build_app(store, points, chosen, Orchestrator(store, chosen)), key
    finally:
        await points.close()
        await store.close()
