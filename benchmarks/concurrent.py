"""D8: four loads in turn and four at once, async client, server behind 20 ms of latency."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import catalogue
from benchmarks.load import fill
from benchmarks.measure import Table, running_server

DELAY_SECONDS = 0.010
"""Each way, so that a round trip takes 20 ms."""


def main(table: Table) -> None:
    """Measure through a proxy that delays what it passes on."""
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder) / "data") as server:
        fill(server.url, server.token, 40_000)
        in_turn, at_once = asyncio.run(_measure(server.url, server.token))
    table.add(
        "D8",
        "one collection's load, then four at once, 20 ms latency",
        f"{at_once * 1e3:.0f} ms",
        f"in turn {in_turn * 1e3:.0f} ms",
        f"{in_turn / at_once:.1f}×",
        "≥ 3×",
    )


async def _measure(url: str, token: str) -> tuple[float, float]:
    from tilebox.datasets.aio import Client

    async with await asyncio.start_server(_delayed_to(urlsplit(url).port or 80), "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        client = Client(f"http://127.0.0.1:{port}", token)
        collection = await (await client.dataset(catalogue.SLUG)).collection("S2A")
        days = [(f"2016-03-0{day}", f"2016-03-0{day + 1}") for day in range(1, 5)]
        await asyncio.gather(*(collection.load(day) for day in days))
        turns, onces = [], []
        for _ in range(9):
            start = time.perf_counter()
            for day in days:
                await collection.load(day)
            turns.append(time.perf_counter() - start)
            start = time.perf_counter()
            await asyncio.gather(*(collection.load(day) for day in days))
            onces.append(time.perf_counter() - start)
    return statistics.median(turns), statistics.median(onces)


def _delayed_to(port: int):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        # The end of the measurement cancels what still waits.
        with suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(_pass_on(reader, upstream_writer), _pass_on(upstream_reader, writer))

    return serve


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        while True:
            chunk = await source.read(2**16)
            queue.put_nowait((time.perf_counter() + DELAY_SECONDS, chunk))
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
