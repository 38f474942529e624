"""D1 to D3: load a whole collection as an Arrow stream, lazily, and as protobuf pages, against the official client."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import catalogue
from benchmarks.measure import Table, official_missing, rate, run_client, running_server

# The official client loads only one of ten years: all of them take more than a minute, at the same rate.
OFFICIAL_INTERVAL = ("2015-06-23", "2016-06-22")


def main(table: Table, *, rows: int = 1_100_000, runs: int = 3) -> None:
    """Fill a server with `rows` datapoints and load them in fresh client processes."""
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder) / "data") as server:
        fill(server.url, server.token, rows)
        arguments = (server.url, server.token, catalogue.SLUG, "S2A")
        arrow = run_client("load_ours.py", *arguments, "arrow", runs=runs)
        pages = run_client("load_ours.py", *arguments, "pages", runs=1)
        lazy = run_client("load_ours.py", *arguments, "lazy", runs=runs)
        ours = arrow["rows"] / arrow["seconds"]
        paged = pages["rows"] / pages["seconds"]
        missing = official_missing()
        if missing is None:
            official = {
                transport: run_client(
                    "load_official.py", *arguments, transport, *OFFICIAL_INTERVAL, official=True, runs=1
                )
                for transport in ("grpc", "http1")
            }
            speeds = {name: result["rows"] / result["seconds"] for name, result in official.items()}
            best = max(speeds.values())
            peer, against = f"official, best of both transports: {best:,.0f}/s", f"{ours / best:.1f}×"
            paged_against = f"{paged / best:.1f}×"
        else:
            peer, against, paged_against = missing, "–", "–"
        what = f"load {rows:,} × 25 fields, disk → HTTP → xarray"
        table.add("D1", what, f"{ours:,.0f}/s ({arrow['seconds']:.2f} s)", peer, against, "≥ 500,000/s, ≥ 10×")
        table.add(
            "D1",
            "the same, lazy=True (columns decoded on access; not like for like)",
            rate(lazy["rows"], lazy["seconds"]),
        )
        table.add("D2", "the same over protobuf pages", f"{paged:,.0f}/s", peer, paged_against, "≥ 4×")
        memory = arrow["peak_mib"] / arrow["size_mib"]
        size = f"{arrow['peak_mib']:,.0f} MiB for a result of {arrow['size_mib']:,.0f} MiB"
        table.add("D3", "peak client memory of D1", size, "–", f"{memory:.2f}× the result", "≤ 2×")


def fill(url: str, token: str, rows: int) -> None:
    """Ingest the benchmark dataset into one collection."""
    from tilebox.datasets import Client, DatasetKind

    client = Client(url, token)
    dataset = client.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, catalogue.SLUG, catalogue.FIELDS)
    collection = dataset.get_or_create_collection("S2A")
    step = 100_000
    for seed, start in enumerate(range(0, rows, step)):
        collection.ingest(catalogue.datapoints(min(step, rows - start), seed))
