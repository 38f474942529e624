"""A transport with scripted responses for each method of the wire, for both clients."""

from __future__ import annotations

import threading

import httpx
from google.protobuf.message import Message
from support.http.scripted import proto

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import job_pb2, workflows_pb2
from tilebox._core.wire.status import EXTENSIONS_HEADER

_MODULES = (job_pb2, workflows_pb2, runners_pb2)


class Answers(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Responds to the requests of each method with its steps, one after the other; the last one repeats.

    A step is a message, a response, an error to raise, or a function of the request's message that returns one of
    these.

    Args:
        extensions: What the server says it offers beyond the public wire.
        steps: By method, one step or a list of steps.
    """

    def __init__(self, extensions: str = "", **steps) -> None:
        self._steps = {method: step if isinstance(step, list) else [step] for method, step in steps.items()}
        self._headers = {EXTENSIONS_HEADER: extensions} if extensions else {}
        self._lock = threading.Lock()
        self.requests: list[tuple[str, Message]] = []

    @property
    def methods(self) -> list[str]:
        """The requested methods, in order."""
        return [method for method, _ in self.requests]

    def asked(self, method: str) -> list[Message]:
        """Return the messages sent to one method."""
        return [message for name, message in self.requests if name == method]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        method = request.url.path.rpartition("/")[2]
        message = _request_class(method).FromString(request.read())
        with self._lock:
            self.requests.append((method, message))
            steps = self._steps[method]
            step = steps[min(len(self.asked(method)), len(steps)) - 1]
        answer = step
        if callable(step):
            answer = step(message)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Message):
            return proto(answer, **self._headers)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self.handle_request(request)


def _request_class(method: str) -> type[Message]:
    for module in _MODULES:
        found = getattr(module, f"{method}Request", None)
        if found is not None:
            return found
    raise AssertionError(f"no message is known for {method}")
