"""D6 and D7: durable ingests through the client, in bulk from a DataFrame, and small ones, single and concurrent."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd

from benchmarks import catalogue
from benchmarks.measure import Server, Table, rate, running_server

BULK_ROWS = 500_000
WRITERS = 16


def main(table: Table) -> None:
    """Measure bulk and small ingests against a new server."""
    from tilebox.datasets import Client, DatasetKind

    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder) / "data") as server:
        dataset = Client(server.url, server.token).create_or_update_dataset(
            DatasetKind.SPATIOTEMPORAL, catalogue.SLUG, catalogue.FIELDS
        )
        frame = catalogue.datapoints(BULK_ROWS)
        bulk = dataset.get_or_create_collection("bulk")
        start = time.perf_counter()
        bulk.ingest(frame)
        seconds = time.perf_counter() - start
        table.add(
            "D6",
            f"bulk ingest, {BULK_ROWS:,} rows × 25 fields from a DataFrame",
            rate(BULK_ROWS, seconds),
            "PostgreSQL COPY 61,000–91,000/s without a client",
            "–",
            "≥ 300,000/s",
        )
        start = time.perf_counter()
        bulk.ingest(frame.iloc[:100_000])
        table.add("D6", "the same 100,000 rows again (all exist)", rate(100_000, time.perf_counter() - start))
        small = dataset.get_or_create_collection("small")
        for rows in (1, 100):
            parts = [catalogue.datapoints(rows, seed=1_000 * rows + i) for i in range(50)]
            times = [_timed(lambda part=part: small.ingest(part)) for part in parts]
            table.add(
                "D7",
                f"ingest of {rows} row(s), durable, p50",
                f"{statistics.median(times) * 1e3:.1f} ms",
                "PostgreSQL 7–9 ms",
                "–",
                "≤ 10 ms",
            )
        _measure_concurrent_writers(table, server)


def _measure_concurrent_writers(table: Table, server: Server) -> None:
    from tilebox.datasets import Client

    throughput = {}
    for writers in (1, WRITERS):
        times: list[float] = []
        frames = {
            w: [catalogue.datapoints(1, seed=10**6 * writers + 1000 * w + i) for i in range(30)] for w in range(writers)
        }
        collection = Client(server.url, server.token).dataset(catalogue.SLUG).collection("small")

        def write(parts: list[pd.DataFrame], times: list[float] = times) -> None:
            times.extend(_timed(lambda part=part: collection.ingest(part)) for part in parts)

        threads = [threading.Thread(target=write, args=(frames[w],)) for w in range(writers)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        throughput[writers] = len(times) / (time.perf_counter() - start)
    table.add(
        "D7",
        f"{WRITERS} writers at once, 1 row each: worst",
        f"{max(times) * 1e3:.0f} ms (p50 {statistics.median(times) * 1e3:.0f} ms)",
        "–",
        "–",
        "≤ 100 ms",
    )
    gain = throughput[WRITERS] / throughput[1]
    table.add(
        "D7",
        f"commits a second, {WRITERS} writers against 1",
        f"{throughput[WRITERS]:,.0f}/s against {throughput[1]:,.0f}/s",
        "–",
        f"{gain:.1f}×",
        "grows",
    )


def _timed(action) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
