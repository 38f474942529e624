"""The network: it loses, duplicates, delays and reorders messages, and can be cut in each direction."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
from simulation.processes.server import Refused, Server

if TYPE_CHECKING:
    from simulation.world import World

TIMEOUT_SECONDS = 10.0
"""How long a caller waits for an answer, in addition to the time that the server may wait."""


class Unreachable(Exception):  # noqa: N818 - it is what happened
    """The caller got no answer."""


class Request:
    """A call that is in progress.

    Attributes:
        answered: The future of the answer, or of the error.
        gone: Set when the server notices that the caller is gone.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, caller: str, method: str, body: bytes, wait_seconds: float = 0.0
    ) -> None:
        self.caller, self.method, self.body = caller, method, body
        self.patience_seconds = wait_seconds + TIMEOUT_SECONDS
        self.answered: asyncio.Future[bytes] = loop.create_future()
        self.gone = anyio.Event()

    def fail(self, error: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)


class Network:
    """The network between runners, users and servers.

    Args:
        world: The world that it belongs to.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._under_way: dict[Server, dict[Request, None]] = {}
        self.late_messages = 0
        # By caller: until when the direction towards the servers is cut, and until when the direction back.
        self.cuts: dict[str, tuple[float, float]] = {}

    async def call(self, caller: str, method: str, body: bytes) -> bytes:
        """Make a call without retries; see `carry`."""
        return await self.carry(Request(self._world.loop, caller, method, body))

    async def carry(self, request: Request) -> bytes:
        """Deliver a request to a server, and return the answer.

        Raises:
            Unreachable: There was no answer.
            Refused: The answer was an error.
        """
        self._send(request, self._world.any_host())
        try:
            return await request.answered
        except BaseException:
            # In the other cases the server never learns that the caller is gone, which is one more fault.
            if not self._world.plan.faults or self._world.random.random() < 0.8:
                self._world.loop.call_later(self._world.latency(), request.gone.set)
            raise

    def drop(self, server: Server) -> None:
        """Break the connections of a server that died."""
        for request in self._under_way.pop(server, {}):
            self._world.loop.call_later(self._world.latency(), request.fail, Unreachable())

    def _send(self, request: Request, host: int) -> None:
        world = self._world
        if self._is_lost(request, 0):
            return
        self._later(self._deliver, request, host)
        if request.method != "SubmitJob" and world.happens("doubled"):
            duplicate = Request(world.loop, request.caller, request.method, request.body)
            duplicate.answered.cancel()
            self._later(self._deliver, duplicate, host, extra=world.random.expovariate(0.5))

    def _is_lost(self, request: Request, direction: int) -> bool:
        world = self._world
        is_cut = self.cuts.get(request.caller, (0.0, 0.0))[direction] > world.loop.time()
        if not is_cut and not world.happens("lost"):
            return False
        world.note(request.caller, f"{request.method}: {'answer' if direction else 'request'} is lost")
        # The caller notices a broken connection at once, and a silent one only when its time limit is over.
        is_noticed = not is_cut and world.random.random() < 0.7
        world.loop.call_later(world.latency() if is_noticed else request.patience_seconds, request.fail, Unreachable())
        return True

    def _later(self, function, *arguments, extra: float = 0.0) -> None:
        self.late_messages += 1
        self._world.loop.call_later(self._world.latency() + extra, self._arrive, function, arguments)

    def _arrive(self, function, arguments) -> None:
        self.late_messages -= 1
        function(*arguments)

    def _deliver(self, request: Request, host: int) -> None:
        server = self._world.servers[host]
        if server is None:
            request.fail(Unreachable())
            return
        self._under_way.setdefault(server, {})[request] = None
        server.process.start(self._serve(server, request))

    async def _serve(self, server: Server, request: Request) -> None:
        try:
            answer = await server.answer(request.method, request.body, request.gone)
        except Refused as error:
            self._reply(request, request.fail, error)
        else:
            self._reply(request, self._succeed, request, answer)
        self._under_way.get(server, {}).pop(request, None)

    def _reply(self, request: Request, function, *arguments) -> None:
        if not self._is_lost(request, 1):
            self._later(function, *arguments)

    @staticmethod
    def _succeed(request: Request, answer: bytes) -> None:
        if not request.answered.done():
            request.answered.set_result(answer)
