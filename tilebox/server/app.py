"""The ASGI application: every service of the wire on its paths, health beside them, one layer around all."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tilebox.server.access.gatekeeper import Gatekeeper
from tilebox.server.access.keys import Permission
from tilebox.server.api.collections import CollectionService
from tilebox.server.api.data_access import DataAccessService
from tilebox.server.api.data_ingestion import DataIngestionService
from tilebox.server.api.datapoints import DatapointService, QueryArrow
from tilebox.server.api.datasets import DatasetService
from tilebox.server.api.messages.columns import IngestColumns
from tilebox.server.api.otlp import OTLP_PATHS, Otlp
from tilebox.server.services.catalogue import Catalogue
from tilebox.server.services.ingestion import Ingestion
from tilebox.server.services.queries import Queries
from tilebox.server.web.connect_service import Service, to_connect_error
from tilebox.server.web.envelope import Envelope, answer_error
from tilebox.server.web.unary import Direct, direct_calls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tilebox.server.orchestrator import Orchestrator
    from tilebox.server.points.interface import Points
    from tilebox.server.settings import Settings
    from tilebox.server.store.interface import Store

logger = logging.getLogger("tilebox.server")

_PROBE_SECONDS = 5
_NO_DATAPOINT = bytes(16)


def build_app(store: Store, points: Points, settings: Settings, orchestrator: Orchestrator) -> Envelope:
    """Return the whole application over a store and points that are open."""
    gatekeeper = Gatekeeper(store)
    catalogue = Catalogue(store, points)
    queries = Queries(catalogue, points)
    ingestion = Ingestion(catalogue, points)
    datapoints = DatapointService(queries, ingestion)
    implementations = (
        DatasetService(catalogue),
        CollectionService(catalogue),
        DataAccessService(queries, settings),
        DataIngestionService(ingestion),
        datapoints,
        *orchestrator.services,
    )
    health = _Health(store, points)
    routes = [Route("/healthz", health.alive, methods=["GET"]), Route("/readyz", health.ready, methods=["GET"])]
    calls: dict[str, ASGIApp] = {}
    direct: dict[str, Direct] = {}
    for implementation in implementations:
        service = Service(
            implementation.descriptor,
            implementation,
            implementation.permissions,
            gatekeeper,
            max_body_bytes=settings.max_body_bytes,
        )
        calls |= dict.fromkeys(service.paths(), service)
        direct |= direct_calls(service, implementation, gatekeeper, max_body_bytes=settings.max_body_bytes)
        if implementation is datapoints:
            columns = IngestColumns(datapoints, gatekeeper, service, max_body_bytes=settings.max_body_bytes)
            calls[IngestColumns.path] = columns
    calls |= direct
    calls |= dict.fromkeys(OTLP_PATHS, Otlp(gatekeeper, max_body_bytes=settings.max_body_bytes))
    calls[QueryArrow.path] = QueryArrow(queries, gatekeeper, max_body_bytes=settings.max_body_bytes)
    routes += [Route(path, call, methods=["POST"]) for path, call in calls.items()]
    routes.append(Route("/{path:path}", _Elsewhere(gatekeeper)))
    return Envelope(_Calls(calls, Starlette(routes=routes)), max_body_bytes=settings.max_body_bytes)


class _Calls:
    """Finds a call by its path at once: to try one route after the other costs as much as a small task.

    Args:
        calls: What answers a POST, by path.
        otherwise: What answers everything else.
    """

    def __init__(self, calls: Mapping[str, ASGIApp], otherwise: ASGIApp) -> None:
        self._calls = calls
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._calls.get(scope["path"]) if scope.get("method") == "POST" else None
        await (found or self._otherwise)(scope, receive, send)


class _Health:
    """Probes, which need no key and tell nothing but yes or no."""

    def __init__(self, store: Store, points: Points) -> None:
        self._store = store
        self._points = points

    async def alive(self, _: Request) -> JSONResponse:
        """Say that the process answers."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _: Request) -> JSONResponse:
        """Say whether store and datapoints can be reached."""
        try:
            with anyio.fail_after(_PROBE_SECONDS):
                await self._store.ping()
                for dataset in (await self._store.all_datasets())[:1]:
                    await self._points.find(dataset.id, (), _NO_DATAPOINT)
        except Exception:
            logger.exception("not ready: the database or the datapoints cannot be reached")
            return JSONResponse({"status": "unavailable"}, status_code=503)
        return JSONResponse({"status": "ok"})


class _Elsewhere:
    """Answers on every path that is not part of the wire, and only to those who have a key."""

    def __init__(self, gatekeeper: Gatekeeper) -> None:
        self._gatekeeper = gatekeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        headers = dict(scope["headers"])
        try:
            authorization = headers.get(b"authorization", b"").decode("latin-1")
            await self._gatekeeper.admit(authorization, Permission.READ)
        except Exception as error:  # noqa: BLE001
            failure = to_connect_error(error)
            await answer_error(scope, send, failure.code.value, failure.message)
            return
        await answer_error(scope, send, "unimplemented", f"there is nothing at {scope['path'][:200]}")
