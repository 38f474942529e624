"""The ASGI application: the services of the wire and the health probes, inside the admission and outermost layers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
from starlette.responses import JSONResponse

from tilebox.server.access.admission import Admission
from tilebox.server.access.gatekeeper import Gatekeeper
from tilebox.server.api.arrow_queries import QueryArrow
from tilebox.server.api.collections import CollectionService
from tilebox.server.api.data_access import DataAccessService
from tilebox.server.api.data_ingestion import DataIngestionService
from tilebox.server.api.datapoints import DatapointService
from tilebox.server.api.datasets import DatasetService
from tilebox.server.api.otlp import Otlp
from tilebox.server.datasets.catalogue import Catalogue
from tilebox.server.datasets.ingestion import Ingestion
from tilebox.server.datasets.queries import Queries
from tilebox.server.web.envelope import Envelope
from tilebox.server.web.routes import Routes
from tilebox.server.web.unary import unary_routes

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from tilebox.server.access.keys import Permission
    from tilebox.server.points.interface import Points
    from tilebox.server.process.workflow_parts import Orchestrator
    from tilebox.server.settings import Settings
    from tilebox.server.store.interface import Store

logger = logging.getLogger("tilebox.server")

PUBLIC_PATHS = frozenset({"/healthz", "/readyz"})
"""Paths that need no key; they reveal nothing but a yes or no."""

_PROBE_SECONDS = 5
_NO_DATAPOINT = bytes(16)


def build_app(store: Store, points: Points, settings: Settings, orchestrator: Orchestrator) -> Envelope:
    """Return the application, given an open store and open datapoint storage."""
    routes, permissions = build_routes(store, points, settings, orchestrator)
    admission = Admission(routes, Gatekeeper(store), permissions, public=PUBLIC_PATHS)
    return Envelope(admission, max_body_bytes=settings.max_body_bytes)


def build_routes(
    store: Store, points: Points, settings: Settings, orchestrator: Orchestrator
) -> tuple[Routes, dict[str, Permission]]:
    """Return all routes, and the permission of each path that is not public."""
    routes, permissions = Routes(), {}
    catalogue = Catalogue(store, points)
    queries = Queries(catalogue, points)
    ingestion = Ingestion(catalogue, points)
    services = (
        DatasetService(catalogue),
        CollectionService(catalogue),
        DataAccessService(queries, settings),
        DataIngestionService(ingestion),
        DatapointService(queries, ingestion),
        *orchestrator.services,
    )
    for service in services:
        for path, app in unary_routes(service, max_body_bytes=settings.max_body_bytes).items():
            routes.add(path, app)
            permissions[path] = service.permissions[path.rpartition("/")[2]]
    routes.add(QueryArrow.path, QueryArrow(queries, max_body_bytes=settings.max_body_bytes))
    permissions[QueryArrow.path] = QueryArrow.permission
    for path in Otlp.paths:
        routes.add(path, Otlp(max_body_bytes=settings.max_body_bytes))
        permissions[path] = Otlp.permission
    health = _Health(store, points)
    routes.add("/healthz", health.alive, methods=("GET", "HEAD"))
    routes.add("/readyz", health.ready, methods=("GET", "HEAD"))
    return routes, permissions


class _Health:
    """Liveness and readiness probes."""

    def __init__(self, store: Store, points: Points) -> None:
        self._store = store
        self._points = points

    async def alive(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Report that the process responds."""
        await JSONResponse({"status": "ok"})(scope, receive, send)

    async def ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Report whether the store and the datapoints can be reached."""
        try:
            with anyio.fail_after(_PROBE_SECONDS):
                await self._store.ping()
                for dataset in (await self._store.all_datasets())[:1]:
                    await self._points.find(dataset.id, (), _NO_DATAPOINT)
        except Exception:
            logger.exception("not ready: the database or the datapoints cannot be reached")
            await JSONResponse({"status": "unavailable"}, status_code=503)(scope, receive, send)
            return
        await JSONResponse({"status": "ok"})(scope, receive, send)
