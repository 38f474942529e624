"""Connections whose answers leave in one piece, over which small calls that come again take a short way.

Uvicorn writes the head of a small answer, its body and its end one by one, and each of them would wake the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto_zttp_impl import AutoZttpProtocol

from tilebox.server.short_way import ShortWay

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from tilebox.server.web.envelope import ShortCall

AT_ONCE_BYTES = 16_384
"""From so many bytes on, what was written is sent without waiting for more."""


class Connection(AutoZttpProtocol):
    """Uvicorn's connection over a transport that gathers what is written.

    Args:
        short_calls: What may take the short way, by path.
        uvicorn: What uvicorn gives its connections.
    """

    def __init__(self, *, short_calls: Mapping[str, ShortCall], **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._short_calls = short_calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the way to the client."""
        super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]

    def _switch(self, http2: bool, initial_data: bytes = b"") -> None:
        if http2:
            super()._switch(http2, initial_data)
            return
        protocol = ShortWay(
            short_calls=self._short_calls,
            config=self.config,
            server_state=self.server_state,
            app_state=self.app_state,
            _loop=self.loop,
        )
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)  # type: ignore[arg-type]
        if initial_data:
            protocol.data_received(initial_data)


class Gathering:
    """A transport that sends together what is written before the loop goes on; otherwise it is the one it is made of.

    Args:
        transport: The way to the client.
        loop: The loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Send some bytes, soon."""
        if not data:
            return
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= AT_ONCE_BYTES:
            self._send()

    def write_at_once(self, data: bytes) -> None:
        """Send some bytes, behind what was written before."""
        self._pieces.append(data)
        self._send()

    def close(self) -> None:
        """Send what was written, then close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        pieces, self._pieces, self._size = self._pieces, [], 0
        if pieces and not self._transport.is_closing():
            self._transport.writelines(pieces)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
