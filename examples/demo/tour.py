"""The steps of the demonstration: start a server, fill a dataset, query it in four ways, draw it, run a workflow over it."""

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
_LOADERS = 4
_CLEAR_PERCENT = 20
_AROUND_THE_ALPS = (5.0, 43.5, 17.0, 48.5)


@dataclass(frozen=True)
class Shown:
    """What the demonstration shows.

    Args:
        slug: The dataset.
        collections: Names of the collections that are queried and drawn.
        first: First day with datapoints.
        last: Last day with datapoints.
        title: Heading of the maps.
        note: What to say about where the footprints are from.
    """

    slug: str
    collections: tuple[str, ...]
    first: np.datetime64
    last: np.datetime64
    title: str
    note: str

    @property
    def interval(self) -> tuple[str, str]:
        """The days, the end exclusive, as queries take them."""
        return str(self.first), str(self.last + np.timedelta64(1, "D"))


@contextmanager
def running_server(data_dir: Path, transcript: Transcript) -> Iterator[LocalServer]:
    """Run a server while inside.

    Args:
        data_dir: The folder of its data; data of an earlier run is used again.
        transcript: Says what happens.

    Raises:
        RuntimeError: The server did not start.
    """
    transcript.step("Start a server: one command, no other service")
    transcript.code(f"tilebox serve --data-dir {shlex.quote(str(data_dir))}")
    with transcript.timed() as starting:
        server = LocalServer(data_dir).start()
    transcript.say(
        f"It answers at {server.url} after {starting.seconds:.1f} s, here in a thread of this process. "
        f"Its API key is in {data_dir / 'api-key'}."
    )
    try:
        yield server
    finally:
        server.stop()


def fill(server: LocalServer, transcript: Transcript) -> Shown:
    """Compute a week of acquisitions and store it."""
    client = server.datasets()
    transcript.step("Compute a week of Sentinel-2, and store it as a dataset")
    transcript.code(
        f"""
        dataset = client.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, "{DATASET}", fields)
        dataset.get_or_create_collection("S2A_S2MSI1C").ingest(columns)
        """
    )
    transcript.say("Orbits from the satellites' published elements of that week, propagated with SGP4. Footprints and")
    transcript.say("what is acquired follow a rule, clouds a random field. No such images exist, and every datapoint")
    transcript.say("says so: its field `computed` is true.")
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
            summary="A week of Sentinel-2, computed for a demonstration; no such images exist.",
            description=acquisitions.DESCRIPTION,
        )
        stored = [dataset.get_or_create_collection(name).ingest(columns) for name, columns in computed.items()]
    transcript.say(f"Stored    {storing.rate(count, 'datapoints')}.")
    if not any(batch.created for batch in stored):
        transcript.say("All of them were there already from an earlier run: ids come from values, so nothing doubles.")
    for collection in dataset.collections().values():
        transcript.say(f"  {collection.info()}")
    days = acquisitions.FIRST_DAY.date()
    last = np.datetime64(days) + (acquisitions.DAYS - 1)
    names = tuple(name for name in computed if name.endswith("1C"))
    return Shown(
        DATASET,
        names,
        np.datetime64(days),
        last,
        f"A week of Sentinel-2, {_span(np.datetime64(days), last)}",
        "orbits of 2A, 2B and 2C from published elements, footprints computed, clouds random",
    )


def fill_from_stac(server: LocalServer, source: str, transcript: Transcript) -> Shown:
    """Import STAC items, as the command line does."""
    from tilebox.cli.stac.command import command

    transcript.step("Import STAC items into a dataset")
    transcript.code(f"tilebox import stac {source} --dataset {IMPORTED}")
    arguments = ["stac", source, "--dataset", IMPORTED, "--url", server.url, "--token", server.token]
    with transcript.timed() as watch:
        _run_command(command, arguments)
    collections = server.datasets().dataset(IMPORTED).collections()
    filled = {name: info for name, each in collections.items() if (info := each.info()).count}
    count = sum(info.count or 0 for info in filled.values())
    transcript.say(f"\n  {watch.rate(count, 'datapoints')}.")
    edges = [info.availability for info in filled.values() if info.availability is not None]
    first, last = (
        np.datetime64(time.replace(tzinfo=None), "D")
        for time in (min(edge.start for edge in edges), max(edge.end for edge in edges))
    )
    return Shown(
        IMPORTED, tuple(filled), first, last, f"{count:,} STAC items, {_span(first, last)}", source.rpartition("/")[2]
    )


def query(server: LocalServer, shown: Shown, transcript: Transcript) -> xr.Dataset:
    """Load everything with the plain client."""
    transcript.step("Load it: plain Python, an xarray.Dataset comes back")
    transcript.code(
        f"""
        from tilebox.datasets import Client
        dataset = Client().dataset("{shown.slug}")
        data = dataset.query(collections={list(shown.collections)!r}, temporal_extent={shown.interval!r})
        """
    )
    with transcript.timed() as watch:
        dataset = server.datasets().dataset(shown.slug)
        data = dataset.query(collections=list(shown.collections), temporal_extent=shown.interval)
    transcript.say(f"{watch.rate(_rows(data), 'datapoints')}.")
    transcript.show(data)
    return data


def query_concurrently(server: LocalServer, shown: Shown, transcript: Transcript) -> None:
    """Load the same in four parts at once with asyncio."""
    transcript.step(f"The same with asyncio: {_LOADERS} loaders at once")
    transcript.code(
        f"""
        from tilebox.datasets.aio import Client
        dataset = await Client().dataset("{shown.slug}")
        parts = await asyncio.gather(*(dataset.query(temporal_extent=part) for part in quarters))
        """
    )

    async def load() -> list[xr.Dataset]:
        dataset = await Client(url=server.url, token=server.token).dataset(shown.slug)
        queries = (
            dataset.query(collections=list(shown.collections), temporal_extent=part) for part in _parts(shown, _LOADERS)
        )
        return list(await asyncio.gather(*queries))

    with transcript.timed() as watch:
        parts = asyncio.run(load())
    sizes = [_rows(part) for part in parts]
    transcript.say(f"{' + '.join(f'{size:,}' for size in sizes)} = {watch.rate(sum(sizes), 'datapoints')}.")


def query_by_place_and_field(server: LocalServer, shown: Shown, transcript: Transcript) -> None:
    """Ask for a place and for clear skies; the server decides both."""
    dataset = server.datasets().dataset(shown.slug)
    place, bounds = _place(dataset, shown)
    conditions: dict[str, Any] = {"spatial_extent": shapely.box(*bounds)}
    condition = ""
    cloud_cover = dataset.schema.get("cloud_cover")
    if cloud_cover is not None and cloud_cover.queryable:
        conditions["filter"] = field("cloud_cover") < _CLEAR_PERCENT
        condition = f', filter=field("cloud_cover") < {_CLEAR_PERCENT}'
    transcript.step(f"Ask for a place and clear skies: {place}")
    transcript.code(
        f"""
        area = shapely.box{tuple(bounds)!r}
        data = dataset.query(collections={list(shown.collections)!r}, spatial_extent=area{condition})
        """
    )
    with transcript.timed() as watch:
        data = dataset.query(collections=list(shown.collections), **conditions)
    _report_found(data, watch, transcript)


def draw(data: xr.Dataset, shown: Shown, output: Path, transcript: Transcript) -> None:
    """Draw the footprints."""
    transcript.step("Draw it")
    footprints = maps.Footprints.of({str(name): data[name].to_numpy() for name in data.variables})
    note = f"{len(footprints):,} footprints; {shown.note}"
    for name, write in (("map.png", maps.write_png), ("map.html", maps.write_html)):
        with transcript.timed() as watch:
            write(footprints, output / name, title=shown.title, note=note)
        transcript.say(f"{(output / name).resolve()}  ({watch.seconds:.1f} s)")
    transcript.say("The page works without a network: drag, scroll, pick days, point at a footprint.")


def cover(server: LocalServer, shown: Shown, output: Path, transcript: Transcript) -> None:
    """Run a workflow over the dataset: a task for each tile of an area, four at a time, and one that draws a map."""
    transcript.step("Run a workflow over it: how often each place in Europe was seen")
    transcript.code(
        f"""
        from tilebox.workflows import Client
        job = Client().jobs().submit("coverage", CoverageMap("{shown.slug}", ...))
        Client().runner(tasks=[CoverageMap, CountTile, DrawMap], cache=InMemoryCache(), concurrency=4).run_all()
        """
    )
    client = server.workflows()
    surroundings = coverage.Surroundings(server.datasets(), output)
    root = coverage.CoverageMap(shown.slug, list(shown.collections), *shown.interval, list(coverage.EUROPE))
    with transcript.timed() as watch:
        submitted = client.jobs().submit("coverage", root)
        client.runner(tasks=coverage.TASKS, cache=InMemoryCache(), context=surroundings, concurrency=4).run_all()
        job = client.jobs().wait(submitted, show_progress=False, raise_on_failure=True)
    transcript.say(str(job))
    transcript.say(f"{watch.rate(job.execution_stats.total_tasks, 'tasks')}.")
    diagram = output / "coverage-job.svg"
    diagram.write_text(client.jobs().visualize(job))
    transcript.say(f"{(output / 'coverage.png').resolve()}")
    transcript.say(f"{diagram.resolve()}: its tasks, coloured by state")
    transcript.say("The tasks are a page of Python, examples/demo/coverage.py.")


def explain_next(data_dir: Path, shown: Shown, transcript: Transcript) -> None:
    """Print the commands that start the server again and query it."""
    folder = shlex.quote(str(data_dir.resolve()))
    transcript.step("Go on yourself: the server is stopped, its data is kept")
    transcript.code(
        f"""
        {invocation.tilebox_serve()} --data-dir {folder}

        export TILEBOX_API_URL=http://127.0.0.1:8080
        export TILEBOX_API_KEY=$(cat {folder}/api-key)
        {invocation.python()} -c 'from tilebox.datasets import Client; print(Client().dataset("{shown.slug}").collections())'
        """
    )


def _report_found(data: xr.Dataset, watch: Stopwatch, transcript: Transcript) -> None:
    transcript.say(f"{_rows(data):,} datapoints in {watch.seconds * 1000:.0f} ms.")
    for row in range(min(_rows(data), 5)):
        one = data.isel(time=row)
        cover = f"  {float(one.cloud_cover):5.1f} % clouds" if "cloud_cover" in one else ""
        transcript.say(f"  {np.datetime_as_string(one.time.to_numpy(), unit='s')}  {one.granule_name.item()}{cover}")
    if _rows(data) > 5:
        transcript.say(f"  and {_rows(data) - 5:,} more")


def _place(dataset: Any, shown: Shown) -> tuple[str, tuple[float, float, float, float]]:
    """Choose an area: the Alps, or where the first footprint is if the catalogue does not reach them."""
    alps = shapely.box(*_AROUND_THE_ALPS)
    if dataset.count(collections=list(shown.collections), spatial_extent=alps):
        return "the Alps", _AROUND_THE_ALPS
    first = dataset.query(collections=list(shown.collections), temporal_extent=shown.interval, limit=1)
    point = shapely.point_on_surface(first.geometry.to_numpy()[0])
    x, y = round(point.x, 1), round(point.y, 1)
    return f"around {abs(y)}°{'N' if y >= 0 else 'S'} {abs(x)}°{'E' if x >= 0 else 'W'}", (
        x - 0.5,
        y - 0.5,
        x + 0.5,
        y + 0.5,
    )


def _parts(shown: Shown, count: int) -> list[tuple[str, str]]:
    start, end = (np.datetime64(edge, "s") for edge in shown.interval)
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
    """Write `14 to 20 July 2025`, naming month and year once where they are the same."""
    start, end = (edge.astype(object) for edge in (first, last))
    if start == end:
        return f"{end.day} {end:%B %Y}"
    shared = "" if (start.year, start.month) == (end.year, end.month) else f"{start: %B}"
    year = "" if start.year == end.year else f"{start: %Y}"
    return f"{start.day}{shared}{year} to {end.day} {end:%B %Y}"
