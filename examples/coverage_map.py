"""Datasets and workflows together: a map of how often satellites saw each place in Europe in a week.

The tasks are in `demo/coverage.py`. The root task splits the area into tiles, one task per tile queries and counts
footprints, and the last task waits for all tiles and draws the map. If no server is set in the environment, the script
starts one and stores a computed week of Sentinel-2 first.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tilebox.datasets import Client as DatasetsClient
from tilebox.datasets import DatasetKind
from demo import acquisitions
from demo.coverage import EUROPE, TASKS, CoverageMap, RunnerContext
from tilebox.workflows import Client
from tilebox.workflows.cache import InMemoryCache

if TYPE_CHECKING:
    from collections.abc import Iterator

DATASET = "open_data.copernicus.sentinel2_msi"
COLLECTIONS = ["S2A_S2MSI1C", "S2B_S2MSI1C", "S2C_S2MSI1C"]


def main(output: str = ".") -> Path:
    """Draw the map and return its path."""
    with clients() as (datasets, workflows):
        jobs = workflows.jobs()
        job = jobs.submit("coverage", CoverageMap(DATASET, COLLECTIONS, "2026-03-16", "2026-03-23", list(EUROPE)))
        runner = workflows.runner(
            tasks=TASKS, cache=InMemoryCache(), context=RunnerContext(datasets, Path(output)), concurrency=4
        )
        runner.run_all()
        print(jobs.wait(job, show_progress=False, raise_on_failure=True))
        (Path(output) / "coverage-job.svg").write_text(jobs.visualize(job))
    return Path(output) / "coverage.png"


@contextmanager
def clients() -> Iterator[tuple[DatasetsClient, Client]]:
    """Yield clients of the server in the environment, or of a new server with a computed week."""
    if "TILEBOX_API_URL" in os.environ:
        yield DatasetsClient(), Client()
        return
    from tilebox.testing import LocalServer

    with LocalServer() as server:
        datasets = server.datasets()
        dataset = datasets.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, DATASET, acquisitions.FIELDS)
        for name, columns in acquisitions.collections():
            dataset.create_collection(name).ingest(columns)
        yield datasets, server.workflows()


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
