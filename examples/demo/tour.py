"""The steps of the demo: start a server, fill a dataset, query it, draw it, and run a workflow over it."""

from __future__ import annotations

import asyncio
import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from tilebox.cli import invocation
from tilebox.datasets import DatasetKind, field
from tilebox.datasets.aio import Client
from tilebox.testing import LocalServer
from demo import acquisitions, coverage
from demo import map as maps
from tilebox.workflows.cache import InMemoryCache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import xarray as xr

    from demo.transcript import Stopwatch, Transcript

DATASET = "open_data.copernicus.sentinel2_msi"
IMPORTED = "open_data.imported"
_CONCURRENT_QUERIES = 4
_CLEAR_PERCENT = 20
_AROUND_THE_ALPS = (5.0, 43.5, 17.0, 48.5)


@dataclass(frozen=True)
class Catalogue:
    """The dataset that the demo queries and draws.

    Args:
        slug: Slug of the dataset.
        collections: Names of the collections.
        first: First day with datapoints.
        last: Last day with datapoints.
        title: Title of the maps.
        note: The origin of the footprints, printed below the title.
    """

    slug: str
    collections: tuple[str, ...]
    first: np.datetime64
    last: np.datetime64
    title: str
    note: str

    @property
    def interval(self) -> tuple[str, str]:
        """The half-open interval of the days, as a query takes it."""
        return str(self.first), str(self.last + np.timedelta64(1, "D"))


@contextmanager
def running_server(data_dir: Path, transcript: Transcript) -> Iterator[LocalServer]:
    """Run a server for the duration of the block.

    Args:
        data_dir: The folder of its data. Data of an earlier run is used again.
        transcript: The output.

    Raises:
        RuntimeError: The server did not start.
    """
    transcript.step("Start a server: one command, no other service")
    transcript.code(f"tilebox serve --data-dir {shlex.quote(str(data_dir))}")
    with transcript.timed() as starting:
        server = LocalServer(data_dir).start()
    transcript.say(
        f"The server is ready at {server.url} after {starting.seconds:.1f} s. The demo runs it in a thread of its process. "
        f"Its API key is in {data_dir / 'api-key'}."
    )
    try:
        yield server
    finally:
        server.stop()


def fill(server: LocalServer, transcript: Transcript) -> Catalogue:
    """Compute a week of acquisitions and store it."""
    client = server.datasets()
    transcript.step("Compute a week of Sentinel-2 and store it as a dataset")
    transcript.code(
        f"""
        dataset = client.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, "{DATASET}", fields)
        dataset.get_or_create_collection("S2A_S2MSI1C").ingest(columns)
        """
    )
    transcript.say("The orbits are propagated with SGP4 from published elements of that week. A rule determines the")
    transcript.say("acquisitions and footprints, and a random field the clouds. No such images exist: the field")
    transcript.say("`computed` of every datapoint is true.")
    with transcript.timed() as computing:
        computed = dict(acquisitions.collections())
    count = sum(len(columns["time"]) for columns in computed.values())
    transcript.say(f"Computed  {computing.rate(count, 'datapoints')}.")
    with transcript.timed() as storing:
        dataset = client.create_or_update_dataset(
            DatasetKind.SPATIOTEMPORAL,
            DATASET,
            acquisitions.FIELDS,
            name="Sentinel-2 MSI (computed)",
            summary="A week of Sentinel-2, computed for a demo; no such images exist.",
            description=acquisitions.DESCRIPTION,
        )
        stored = [dataset.get_or_create_collection(name).ingest(columns) for name, columns in computed.items()]
    transcript.say(f"Stored    {storing.rate(count, 'datapoints')}.")
    if not any(batch.created for batch in stored):
        transcript.say("All of them exist from an earlier run. Ids are content hashes, so nothing is stored twice.")
    for collection in dataset.collections().values():
        transcript.say(f"  {collection.info()}")
    days = acquisitions.FIRST_DAY.date()
    last = np.datetime64(days) + (acquisitions.DAYS - 1)
    names = tuple(name for name in computed if name.endswith("1C"))
    return Catalogue(
        DATASET,
        names,
        np.datetime64(days),
        last,
        f"A week of Sentinel-2, {_span(np.datetime64(days), last)}",
        "orbits of 2A, 2B and 2C from published elements, footprints computed, clouds random",
    )


def fill_from_stac(server: LocalServer, source: str, transcript: Transcript) -> Catalogue:
    """Import STAC items as `tilebox import stac` does."""
    from tilebox.cli.stac.command import command

    transcript.step("Import STAC items into a dataset")
    transcript.code(f"tilebox import stac {source} --dataset {IMPORTED}")
    arguments = ["stac", source, "--dataset", IMPORTED, "--url", server.url, "--token", server.token]
    with transcript.timed() as watch:
        _run_command(command, arguments)
    collections = server.datasets().dataset(IMPORTED).collections()
    filled = {name: info for name, collection in collections.items() if (info := collection.info()).count}
    count = sum(info.count or 0 for info in filled.values())
    transcript.say(f"\n  {watch.rate(count, 'datapoints')}.")
    edges = [info.availability for info in filled.values() if info.availability is not None]
    first, last = (
        np.datetime64(time.replace(tzinfo=None), "D")
        for time in (min(edge.start for edge in edges), max(edge.end for edge in edges))
    )
    return Catalogue(
        IMPORTED, tuple(filled), first, last, f"{count:,} STAC items, {_span(first, last)}", source.rpartition("/")[2]
    )


def query(server: LocalServer, catalogue: Catalogue, transcript: Transcript) -> xr.Dataset:
    """Load all datapoints with the sync client."""
    transcript.step("Load it with the sync client, as an xarray.Dataset")
    transcript.code(
        f"""
        from tilebox.datasets import Client
        dataset = Client().dataset("{catalogue.slug}")
        data = dataset.query(collections={list(catalogue.collections)!r}, temporal_extent={catalogue.interval!r})
        """
    )
    with transcript.timed() as watch:
        dataset = server.datasets().dataset(catalogue.slug)
        data = dataset.query(collections=list(catalogue.collections), temporal_extent=catalogue.interval)
    transcript.say(f"{watch.rate(_rows(data), 'datapoints')}.")
    transcript.show(data)
    return data


def query_concurrently(server: LocalServer, catalogue: Catalogue, transcript: Transcript) -> None:
    """Load the same datapoints with four concurrent queries of the async client."""
    transcript.step(f"Load it with the async client: {_CONCURRENT_QUERIES} queries at once")
    transcript.code(
        f"""
        from tilebox.datasets.aio import Client
        dataset = await Client().dataset("{catalogue.slug}")
        parts = await asyncio.gather(*(dataset.query(temporal_extent=part) for part in quarters))
        """
    )

    async def load() -> list[xr.Dataset]:
        dataset = await Client(url=server.url, token=server.token).dataset(catalogue.slug)
        queries = (
            dataset.query(collections=list(catalogue.collections), temporal_extent=part)
            for part in _parts(catalogue, _CONCURRENT_QUERIES)
        )
        return list(await asyncio.gather(*queries))

    with transcript.timed() as watch:
        parts = asyncio.run(load())
    sizes = [_rows(part) for part in parts]
    transcript.say(f"{' + '.join(f'{size:,}' for size in sizes)} = {watch.rate(sum(sizes), 'datapoints')}.")


def query_by_place_and_field(server: LocalServer, catalogue: Catalogue, transcript: Transcript) -> None:
    """Query by area and by cloud cover; the server evaluates both."""
    dataset = server.datasets().dataset(catalogue.slug)
    place, bounds = _choose_area(dataset, catalogue)
    conditions: dict[str, Any] = {"spatial_extent": shapely.box(*bounds)}
    condition = ""
    cloud_cover = dataset.schema.get("cloud_cover")
    if cloud_cover is not None and cloud_cover.queryable:
        conditions["filter"] = field("cloud_cover") < _CLEAR_PERCENT
        condition = f', filter=field("cloud_cover") < {_CLEAR_PERCENT}'
    transcript.step(f"Query by area and cloud cover: {place}")
    transcript.code(
        f"""
        area = shapely.box{tuple(bounds)!r}
        data = dataset.query(collections={list(catalogue.collections)!r}, spatial_extent=area{condition})
        """
    )
    with transcript.timed() as watch:
        data = dataset.query(collections=list(catalogue.collections), **conditions)
    _report_found(data, watch, transcript)


def draw(data: xr.Dataset, catalogue: Catalogue, output: Path, transcript: Transcript) -> None:
    """Draw the footprints as a picture and as a page."""
    transcript.step("Draw the footprints")
    footprints = maps.Footprints.of({str(name): data[name].to_numpy() for name in data.variables})
    note = f"{len(footprints):,} footprints; {catalogue.note}"
    for name, write in (("map.png", maps.write_png), ("map.html", maps.write_html)):
        with transcript.timed() as watch:
            write(footprints, output / name, title=catalogue.title, note=note)
        transcript.say(f"{(output / name).resolve()}  ({watch.seconds:.1f} s)")
    transcript.say("The page works without a network. Drag, zoom, choose days, or point at a footprint.")


def map_coverage(server: LocalServer, catalogue: Catalogue, output: Path, transcript: Transcript) -> None:
    """Run a workflow over the dataset: one task per tile, four at a time, and one that draws the map."""
    transcript.step("Run a workflow: how often did the satellites see each place in Europe?")
    transcript.code(
        f"""
        from tilebox.workflows import Client
        job = Client().jobs().submit("coverage", CoverageMap("{catalogue.slug}", ...))
        Client().runner(tasks=[CoverageMap, CountTile, DrawMap], cache=InMemoryCache(), concurrency=4).run_all()
        """
    )
    client = server.workflows()
    resources = coverage.RunnerContext(server.datasets(), output)
    root = coverage.CoverageMap(catalogue.slug, list(catalogue.collections), *catalogue.interval, list(coverage.EUROPE))
    with transcript.timed() as watch:
        submitted = client.jobs().submit("coverage", root)
        client.runner(tasks=coverage.TASKS, cache=InMemoryCache(), context=resources, concurrency=4).run_all()
        job = client.jobs().wait(submitted, show_progress=False, raise_on_failure=True)
    transcript.say(str(job))
    transcript.say(f"{watch.rate(job.execution_stats.total_tasks, 'tasks')}.")
    diagram = output / "coverage-job.svg"
    diagram.write_text(client.jobs().visualize(job))
    transcript.say(f"{(output / 'coverage.png').resolve()}")
    transcript.say(f"{diagram.resolve()}: the tasks, coloured by state")
    transcript.say("The code of the tasks is in examples/demo/coverage.py.")


def explain_next(data_dir: Path, catalogue: Catalogue, transcript: Transcript) -> None:
    """Print the commands that start the server again and query it."""
    folder = shlex.quote(str(data_dir.resolve()))
    transcript.step("Continue: the server is stopped, its data is kept")
    transcript.code(
        f"""
        {invocation.tilebox_serve()} --data-dir {folder}

        export TILEBOX_API_URL=http://127.0.0.1:8080
        export TILEBOX_API_KEY=$(cat {folder}/api-key)
        {invocation.python()} -c 'from tilebox.datasets import Client; print(Client().dataset("{catalogue.slug}").collections())'
        """
    )


def _report_found(data: xr.Dataset, watch: Stopwatch, transcript: Transcript) -> None:
    transcript.say(f"{_rows(data):,} datapoints in {watch.seconds * 1000:.0f} ms.")
    for row in range(min(_rows(data), 5)):
        datapoint = data.isel(time=row)
        cover = f"  {float(datapoint.cloud_cover):5.1f} % clouds" if "cloud_cover" in datapoint else ""
        time = np.datetime_as_string(datapoint.time.to_numpy(), unit="s")
        transcript.say(f"  {time}  {datapoint.granule_name.item()}{cover}")
    if _rows(data) > 5:
        transcript.say(f"  and {_rows(data) - 5:,} more")


def _choose_area(dataset: Any, catalogue: Catalogue) -> tuple[str, tuple[float, float, float, float]]:
    """Choose an area: the Alps, or the place of the first footprint if the dataset does not cover the Alps."""
    alps = shapely.box(*_AROUND_THE_ALPS)
    if dataset.count(collections=list(catalogue.collections), spatial_extent=alps):
        return "the Alps", _AROUND_THE_ALPS
    first = dataset.query(collections=list(catalogue.collections), temporal_extent=catalogue.interval, limit=1)
    point = shapely.point_on_surface(first.geometry.to_numpy()[0])
    x, y = round(point.x, 1), round(point.y, 1)
    return f"around {abs(y)}°{'N' if y >= 0 else 'S'} {abs(x)}°{'E' if x >= 0 else 'W'}", (
        x - 0.5,
        y - 0.5,
        x + 0.5,
        y + 0.5,
    )


def _parts(catalogue: Catalogue, count: int) -> list[tuple[str, str]]:
    start, end = (np.datetime64(edge, "s") for edge in catalogue.interval)
    edges = [str(start + (end - start) * i // count) for i in range(count + 1)]
    return list(pairwise(edges))


def _run_command(command: Any, arguments: list[str]) -> None:
    import click

    try:
        command.main(arguments, standalone_mode=False)
    except click.ClickException as error:
        raise ValueError(error.format_message()) from None


def _rows(data: xr.Dataset) -> int:
    return int(data.sizes.get("time", 0))


def _span(first: np.datetime64, last: np.datetime64) -> str:
    """Return `14 to 20 July 2025`, with month and year only once if they are the same."""
    start, end = (edge.astype(object) for edge in (first, last))
    if start == end:
        return f"{end.day} {end:%B %Y}"
    shared = "" if (start.year, start.month) == (end.year, end.month) else f"{start: %B}"
    year = "" if start.year == end.year else f"{start: %Y}"
    return f"{start.day}{shared}{year} to {end.day} {end:%B %Y}"
