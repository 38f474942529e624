"""D8: four loads, sequential and concurrent, with the async client and a round trip of 20 ms."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import catalogue
from benchmarks.datasets.load import fill
from benchmarks.measure import HERE, Table, running_server

DELAY_SECONDS = 0.010
"""Delay per direction; a round trip takes twice as long."""


def main(table: Table) -> None:
    """Measure through a proxy that delays every byte."""
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder) / "data") as server:
        fill(server.url, server.token, 40_000)
        with delayed(server.url) as url:
            sequential, concurrent = asyncio.run(_measure(url, server.token))
    table.add(
        "D8",
        "one collection's load, then four at once, 20 ms latency",
        f"{concurrent * 1e3:.0f} ms",
        f"in turn {sequential * 1e3:.0f} ms",
        f"{sequential / concurrent:.1f}×",
        "≥ 3×",
    )


@contextmanager
def delayed(url: str) -> Iterator[str]:
    """Start the proxy and yield the URL of the server through it."""
    command = [sys.executable, str(HERE / "clients" / "latency.py"), str(urlsplit(url).port or 80), str(DELAY_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(proxy.stdout.readline())}"
        finally:
            proxy.terminate()


async def _measure(url: str, token: str) -> tuple[float, float]:
    from tilebox.datasets.aio import Client

    client = Client(url, token)
    collection = await (await client.dataset(catalogue.SLUG)).collection("S2A")
    days = [(f"2016-03-0{day}", f"2016-03-0{day + 1}") for day in range(1, 5)]
    await asyncio.gather(*(collection.load(day) for day in days))
    sequential, concurrent = [], []
    for _ in range(9):
        start = time.perf_counter()
        for day in days:
            await collection.load(day)
        sequential.append(time.perf_counter() - start)
        start = time.perf_counter()
        await asyncio.gather(*(collection.load(day) for day in days))
        concurrent.append(time.perf_counter() - start)
    return statistics.median(sequential), statistics.median(concurrent)
