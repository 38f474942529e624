"""D10: load 20,000 items of one query into a GeoDataFrame. The peers are a local GeoParquet file and pgstac."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import catalogue
from benchmarks.datasets.load import fill
from benchmarks.datasets.pgstac import COLLECTION, environment_python, running_pgstac
from benchmarks.measure import Table, rate, run_client, running_server
from benchmarks.processes import CannotStartError

ROWS = 20_000
RUNS = 7


def main(table: Table) -> None:
    """Measure this project and the local file in one process, after a warm-up."""
    import geopandas

    from tilebox.datasets import Client, to_geodataframe, to_geoparquet

    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder) / "data") as server:
        fill(server.url, server.token, ROWS)
        collection = Client(server.url, server.token).dataset(catalogue.SLUG).collection("S2A")
        path = Path(folder) / "items.parquet"
        to_geoparquet(collection.load(catalogue.INTERVAL), path)
        ours = _median(lambda: to_geodataframe(collection.load(catalogue.INTERVAL)))
        local = _median(lambda: geopandas.read_parquet(path))
    table.add(
        "D10",
        f"{ROWS:,} items of one query into a GeoDataFrame",
        rate(ROWS, ours),
        f"the same from a local GeoParquet file: {rate(ROWS, local)}",
        f"{local / ours:.2f}×",
        "≥ 5×",
    )
    _compare_with_pgstac(table, ours)


def _compare_with_pgstac(table: Table, ours: float) -> None:
    """Measure pystac-client on the same datapoints as STAC items, or add the reason why it cannot run."""
    try:
        with running_pgstac(catalogue.datapoints(ROWS)) as url:
            for mode in ("items", "dicts"):
                done = run_client("load_pgstac.py", url, COLLECTION, mode, python=environment_python())
                peer = f"pystac-client, {mode}, on stac-fastapi with pgstac: {rate(done['rows'], done['seconds'])}"
                against = f"{done['seconds'] / done['rows'] * ROWS / ours:.0f}×"
                table.add("D10", "the same", rate(ROWS, ours), peer, against, "≥ 150×")
    except CannotStartError as error:
        table.add("D10", "the same", rate(ROWS, ours), f"pgstac not measured: {error}", "–", "≥ 150×")


def _median(action) -> float:
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
