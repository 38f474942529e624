"""A server that does nothing: it returns tasks that it serialised at its start.

    python -m benchmarks.workflows.null_server --port 8099 [--batch 256] [--asgi] [--flush FILE]

It answers `Exchange` with as many no-op tasks as the runner asks for, and `NextTask` of the public API with one. It
never runs out of tasks. So the rate of a runner against it shows the cost of the runner, an event loop and sockets.
With `--asgi`, an application under uvicorn answers, as in the real server; that alone takes longer than the runner. With
`--flush`, it writes each report of the public API to disk before it answers, which is the least that a durable server
does.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from typing import Any

from benchmarks.clients.disk import Disk
from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import task_pb2

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\ntilebox-extensions: runners/1\r\ncontent-length: %d\r\n\r\n"
)


def exchange_response(size: int) -> bytes:
    """Return a serialised `ExchangeResponse` with this many tasks."""
    answer = runners_pb2.ExchangeResponse()
    answer.lease.seconds = 60
    answer.extend_after.seconds = 20
    if size:
        answer.jobs.add(job_id=bytes(range(16)), name="nothing")
    for number in range(size):
        answer.tasks.add(task_id=number.to_bytes(16, "big"), lease_number=1, display="Nothing")
    return answer.SerializeToString()


def next_task_response() -> bytes:
    """Return a serialised `NextTaskResponse` of the public API with one task."""
    answer = task_pb2.NextTaskResponse()
    task = answer.next_task
    task.id.uuid = task.job.id.uuid = bytes(range(16))
    task.identifier.name, task.identifier.version = "Leaf", "v0.0"
    task.display, task.job.name = "Leaf", "nothing"
    task.lease.lease.seconds, task.lease.recommended_wait_until_next_extension.seconds = 300, 150
    return answer.SerializeToString()


class NullServer:
    """The responses of the server.

    Args:
        batch: Maximum of tasks per response.
        flush: Called before each response of the public API.
    """

    def __init__(self, batch: int, flush: Callable[[], None] | None = None) -> None:
        self._batch = batch
        self._flush = flush
        self._answers = [exchange_response(size) for size in range(batch + 1)]
        self._public_answer = next_task_response()

    def answer(self, path: bytes, body: bytes) -> bytes:
        """Return the body of the response to a request."""
        if path.endswith(b"/NextTask"):
            if self._flush is not None:
                self._flush()
            return self._public_answer
        if not path.endswith(b"/Exchange"):
            return b""
        return self._answers[min(runners_pb2.ExchangeRequest.FromString(body).max_tasks, self._batch)]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Respond as an ASGI application."""
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        content = self.answer(scope["path"].encode(), body)
        headers = [(b"content-length", b"%d" % len(content)), (b"tilebox-extensions", b"runners/1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


class NullProtocol(asyncio.Protocol):
    """Enough HTTP for one client that waits for each response before it sends the next request."""

    def __init__(self, server: NullServer) -> None:
        self._server = server
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport for responses."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond to a request once it is complete."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._buffer = b""
            content = self._server.answer(head.partition(b" HTTP/")[0], body)
            self._transport.write(HEAD % len(content) + content)


async def serve(server: NullServer, port: int) -> None:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: NullProtocol(server), "127.0.0.1", port)
    await listening.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--asgi", action="store_true")
    parser.add_argument("--flush", metavar="FILE")
    arguments = parser.parse_args()
    server = NullServer(arguments.batch, Disk(arguments.flush).write_durably if arguments.flush else None)
    if arguments.asgi:
        import uvicorn

        uvicorn.run(server, port=arguments.port, http="zttp", log_level="warning", lifespan="off", access_log=False)
    else:
        asyncio.run(serve(server, arguments.port))


if __name__ == "__main__":
    main()
