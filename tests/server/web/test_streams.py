"""Interrupted requests: the server fails during a response, or the client disconnects."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from uuid import UUID

import anyio
import anyio.lowlevel
import httpx
import pyarrow as pa
import pytest
from google.protobuf.json_format import MessageToJson
from support.http.wire import FIELDS, DatasetKind, Schema, datapoint, query

from tilebox._core.protocol.datasets.v1 import collections_pb2, core_pb2, data_ingestion_pb2, datasets_pb2
from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2
from tilebox._core.schema.arrow_schema import ERROR_KEY
from tilebox.server.points import open_points
from tilebox.server.process.app import build_app
from tilebox.server.process.run import first_start
from tilebox.server.process.workflow_parts import Orchestrator
from tilebox.server.settings import Settings
from tilebox.server.store import open_store

ARROW = "/tilebox.ext.v1.DatapointService/QueryArrow"


class Faulty:
    """Real datapoint storage whose streams send one batch and then run a step of the test; records their closing."""

    def __init__(self, points, then):
        self._points, self._then = points, then
        self.before_ingest = None
        self.closed = asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._points, name)

    async def ingest(self, *arguments, **options):
        if self.before_ingest is not None:
            await self.before_ingest()
        return await self._points.ingest(*arguments, **options)

    @asynccontextmanager
    async def stream(self, table, query):
        async with self._points.stream(table, query) as stream:
            try:
                yield _Broken(stream, self._then)
            finally:
                self.closed.set()


class _Broken:
    def __init__(self, stream, then):
        self._stream, self._then = stream, then
        self.snapshot, self.schema = stream.snapshot, stream.schema

    async def __aiter__(self):
        async for batch in self._stream:
            yield batch
        await self._then()


@asynccontextmanager
async def application(folder, then):
    """The application with its real parts, without a socket, and one dataset of ten datapoints."""
    store = open_store(f"sqlite:///{folder / 'control.sqlite'}")
    await store.migrate()
    points = open_points(folder / "points", writer_lock=store.writer_lock)
    token = await first_start(store, folder)
    faulty = Faulty(points, then)
    app = build_app(store, faulty, Settings(), Orchestrator(store, Settings()))
    try:
        yield app, faulty, token, await fill(app, token)
    finally:
        await points.close()
        await store.close()


async def fill(app, token):
    wanted = Schema.of(DatasetKind.SPATIOTEMPORAL, FIELDS).to_dataset_type()
    transport = httpx.ASGITransport(app)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/proto"}
    async with httpx.AsyncClient(transport=transport, base_url="http://server", headers=headers) as client:

        async def call(path, request, answer):
            response = await client.post(f"/datasets.v1.{path}", content=request.SerializeToString())
            return answer.FromString(response.content)

        request = datasets_pb2.CreateDatasetRequest(name="D", code_name="d", type=wanted)
        dataset = await call("DatasetService/CreateDataset", request, core_pb2.Dataset)
        request = collections_pb2.CreateCollectionRequest(dataset_id=dataset.id, name="c")
        info = await call("CollectionService/CreateCollection", request, core_pb2.CollectionInfo)
        request = data_ingestion_pb2.IngestRequest(
            collection_id=info.collection.id, values=[datapoint(dataset, row) for row in range(10)]
        )
        stored = await call("DataIngestionService/Ingest", request, data_ingestion_pb2.IngestResponse)
        assert stored.num_created == 10
        return dataset


def test_a_failure_during_a_stream_is_reported_in_the_closing_batch(tmp_path, caplog):
    async def fail():
        raise OSError("disk gone, at /secret/place")

    async def main():
        async with application(tmp_path, fail) as (app, _, token, dataset):
            headers = {"authorization": f"Bearer {token}", "content-type": "application/proto"}
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://server", headers=headers
            ) as client:
                request = datapoints_pb2.QueryArrowRequest(query=query(dataset))
                return await client.post(ARROW, content=request.SerializeToString())

    answer = anyio.run(main)
    batches = list(pa.ipc.open_stream(answer.content).iter_batches_with_custom_metadata())
    assert [batch.batch.num_rows for batch in batches] == [10, 0]
    error = json.loads(batches[-1].custom_metadata[ERROR_KEY])
    assert error["code"] == "internal"
    assert answer.headers["x-request-id"] in error["message"]
    assert "secret" not in answer.text
    assert "disk gone" in caplog.text


@pytest.mark.parametrize("already_sent", [1, 2], ids=["after the head", "after a batch"])
def test_a_client_that_disconnects_stops_the_scan(tmp_path, already_sent):
    async def main():
        async with application(tmp_path, anyio.sleep_forever) as (app, points, token, dataset):
            gone, sent = anyio.Event(), []
            body = datapoints_pb2.QueryArrowRequest(query=query(dataset)).SerializeToString()
            messages = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def receive():
                for message in messages:
                    return message
                await gone.wait()
                return {"type": "http.disconnect"}

            async def send(message):
                sent.append(message)
                if len(sent) == already_sent:
                    gone.set()
                    await anyio.sleep_forever()  # like a socket whose peer does not read

            with anyio.fail_after(20):
                await app(scope(ARROW, token), receive, send)
            assert points.closed.is_set()

    anyio.run(main)


@pytest.mark.parametrize("kind", ["application/proto", "application/json"])
def test_an_ingest_completes_although_its_request_is_cancelled(tmp_path, kind):
    """A server that stops cancels requests that exceed its grace period."""

    async def main():
        async with application(tmp_path, anyio.sleep_forever) as (app, points, token, dataset):
            at_points, may_go_on = asyncio.Event(), asyncio.Event()

            async def wait():
                at_points.set()
                await may_go_on.wait()

            points.before_ingest = wait
            (summary,) = (await points.summary(table := UUID(bytes=dataset.id.uuid))).values()
            assert summary.count == 10
            collection = await collection_id(app, token, dataset)
            request = data_ingestion_pb2.IngestRequest(collection_id=collection, values=[datapoint(dataset, 5000)])
            body = MessageToJson(request).encode() if kind.endswith("json") else request.SerializeToString()
            messages = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def receive():
                return next(messages)

            async def send(message):
                """Discard the response."""

            ingest = scope("/datasets.v1.DataIngestionService/Ingest", token, kind)
            with anyio.fail_after(20):
                task = asyncio.ensure_future(app(ingest, receive, send))
                await at_points.wait()
                task.cancel()
                await anyio.wait_all_tasks_blocked()
                may_go_on.set()
                with pytest.raises(asyncio.CancelledError):
                    await task
            (summary,) = (await points.summary(table)).values()
            assert summary.count == 11

    anyio.run(main)


@pytest.mark.parametrize("kind", ["application/proto", "application/json"])
def test_a_read_stops_when_its_client_disconnects(tmp_path, kind):
    async def main():
        async with application(tmp_path, anyio.sleep_forever) as (app, points, token, dataset):
            at_points, gone = anyio.Event(), anyio.Event()

            async def count_forever(*_):
                at_points.set()
                await anyio.sleep_forever()

            points.count = count_forever
            request = datapoints_pb2.CountRequest(query=query(dataset))
            body = MessageToJson(request).encode() if kind.endswith("json") else request.SerializeToString()
            messages = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def receive():
                for message in messages:
                    return message
                await gone.wait()
                return {"type": "http.disconnect"}

            async def send(message):
                """Discard the response."""

            with anyio.fail_after(20):
                async with anyio.create_task_group() as group:
                    group.start_soon(app, scope("/tilebox.ext.v1.DatapointService/Count", token, kind), receive, send)
                    await at_points.wait()
                    gone.set()

    anyio.run(main)


async def collection_id(app, token, dataset):
    headers = {"authorization": f"Bearer {token}", "content-type": "application/proto"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://server", headers=headers
    ) as client:
        request = collections_pb2.ListCollectionsRequest(dataset_id=dataset.id)
        answer = await client.post(
            "/datasets.v1.CollectionService/ListCollections", content=request.SerializeToString()
        )
        return collections_pb2.ListCollectionsResponse.FromString(answer.content).data[0].collection.id


def scope(path, token, kind="application/proto"):
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"content-type", kind.encode())]
    return {"type": "http", "method": "POST", "path": path, "root_path": "", "headers": headers}
