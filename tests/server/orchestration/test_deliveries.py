"""A task that is submitted while a runner waits for it: the order and the content of the responses."""

from __future__ import annotations

import anyio
import pytest
from support.http.wire import submissions, task_group
from support.servers.applications import application

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2, job_pb2

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def app(tmp_path):
    """An application, and its API key."""
    async with application(tmp_path) as opened:
        yield opened


async def call(app, method, request, responses, waits=None):
    """Make a call, and append its response when it is sent. Set the event `waits` once the whole body was read."""
    serve, key = app
    body = [request.SerializeToString()]

    async def receive():
        if not body:
            if waits is not None:
                waits.set()
            await anyio.sleep_forever()
        return {"type": "http.request", "body": body.pop()}

    async def send(message):
        if message["type"] == "http.response.body":
            responses.append((method.partition("/")[2], message["body"]))

    headers = [(b"content-type", b"application/proto"), (b"authorization", f"Bearer {key}".encode())]
    scope = {"type": "http", "method": "POST", "path": f"/{method}", "headers": headers}
    await serve(scope, receive, send)


async def test_a_waiting_runner_gets_its_response_before_the_submitter(app):
    exchange = runners_pb2.ExchangeRequest(
        runner_id=b"r" * 16,
        claim_id=b"c" * 16,
        identifiers=[core_pb2.TaskIdentifier(name="Task", version="v1.0")],
        max_tasks=1,
    )
    exchange.wait.seconds = 20
    submit = job_pb2.SubmitJobRequest(
        tasks=submissions(task_group(1), identifiers=[("Task", "v1.0")]), job_name="Mosaic", trace_parent="00-trace"
    )
    responses, waits = [], anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(call, app, "tilebox.ext.v1.RunnerService/Exchange", exchange, responses, waits)
        await waits.wait()
        group.start_soon(call, app, "workflows.v1.JobService/SubmitJob", submit, responses)
    assert [method for method, _ in responses] == ["Exchange", "SubmitJob"]
    claimed = runners_pb2.ExchangeResponse.FromString(responses[0][1])
    submitted = core_pb2.Job.FromString(responses[1][1])
    assert [(task.display, claimed.jobs[task.job].name) for task in claimed.tasks] == [("Leaf", "Mosaic")]
    assert claimed.jobs[0].job_id == submitted.id.uuid
