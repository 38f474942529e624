"""A proxy to a local port that delays all bytes. It prints the port to connect to.

It runs in its own process, because a network does not share a client's event loop and interpreter either.

usage: latency.py PORT SECONDS
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress

port, delay = int(sys.argv[1]), float(sys.argv[2])


async def main() -> None:
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy:
        print(proxy.sockets[0].getsockname()[1], flush=True)
        await proxy.serve_forever()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError):
        await asyncio.gather(pass_on(reader, upstream_writer), pass_on(upstream_reader, writer))


async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        while True:
            chunk = await source.read(2**16)
            queue.put_nowait((time.perf_counter() + delay, chunk))
            if not chunk:
                return

    async def write() -> None:
        while True:
            due, chunk = await queue.get()
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if not chunk:
                sink.close()
                return
            sink.write(chunk)
            await sink.drain()

    await asyncio.gather(read(), write())


asyncio.run(main())
