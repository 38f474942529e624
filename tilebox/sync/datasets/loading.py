# Generated from tilebox/aio/datasets/loading.py by scripts/unasync.py; do not edit.
"""Queries carried out: all at once, page by page, counted, or one datapoint by id."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from tilebox._core.queries import dataset_calls
from tilebox._core.results import frames
from tilebox._core.schema import arrow_schema
from tilebox._core.wire.pages import Pages
from tilebox._io.concurrency.sync import prefetched, to_thread
from tilebox._io.progress.bars import Progress
from tilebox.sync.datasets.sources import open_source
from tilebox.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Generator, Callable
    from datetime import datetime
    from uuid import UUID

    import xarray as xr

    from tilebox._core.queries.query import Query
    from tilebox._core.schema.fields import Schema
    from tilebox.sync.datasets.sources import Part
    from tilebox.sync.transport import Transport

# Parts that may lie ready while one is decoded: two hide any jitter, more only cost memory.
_DEPTH = 2

# To decode so few datapoints takes no longer than a hop to a thread and back.
_FEW_ROWS = 256
_IMPORTED = frozenset({"shapely", "xarray"})

P = ParamSpec("P")
R = TypeVar("R")


def load(
    transport: Transport, query: Query, *, lazy: bool, show_progress: bool | Callable[[float], object]
) -> xr.Dataset:
    """Return everything that a query finds; download and decoding overlap."""
    source = open_source(transport, query)
    decoder = source.decoder(lazy=lazy)
    with _progress_over_time(query, show_progress) as progress:
        with prefetched(source.parts(), depth=_DEPTH, interrupt=source.interrupt) as parts:
            for part in parts:
                _compute(part.rows, decoder.add, part.values)
                progress.reach(_position(query, part), part.rows)
    dataset = _compute(decoder.rows, decoder.dataset)
    if query.is_descending and not source.is_ordered and "time" in dataset.sizes:
        dataset = dataset.isel(time=slice(None, None, -1)).isel(time=slice(query.limit))
    return dataset


def pages(transport: Transport, query: Query, *, page_size: int) -> Generator[xr.Dataset, None]:
    """Yield what a query finds in datasets of one size, the last one smaller; memory stays constant.

    Raises:
        ValueError: The server has no descending order.
    """
    source = open_source(transport, query, page_size=page_size)
    if query.is_descending and not source.is_ordered:
        raise ValueError("this server cannot page from the latest to the earliest; use query(descending=True) instead")
    decoder = source.decoder()
    with prefetched(source.parts(), depth=_DEPTH, interrupt=source.interrupt) as parts:
        for part in parts:
            taken = 0
            while taken < part.rows:
                stop = min(part.rows, taken + page_size - decoder.rows)
                to_thread(decoder.add, part.rows_between(taken, stop))
                taken = stop
                if decoder.rows == page_size:
                    yield to_thread(decoder.dataset)
                    decoder = source.decoder()
    if decoder.rows:
        yield to_thread(decoder.dataset)


def count(transport: Transport, query: Query) -> int:
    """Return how many datapoints a query finds."""
    if transport.offers(arrow_schema.EXTENSION):
        answer = transport.call(dataset_calls.count_datapoints(query.request()))
        return int(answer.count)
    walk = Pages()
    while (page := walk.next_request()) is not None:
        found = transport.call(dataset_calls.query_page(query.page_request(page)))
        walk.feed(len(found.data.value), found.next_page)
    return walk.rows


def find(
    transport: Transport,
    *,
    dataset: UUID,
    schema: Schema,
    collections: tuple[UUID, ...],
    datapoint: UUID,
    skip_data: bool,
) -> xr.Dataset:
    """Return one datapoint by id, without the dimension `time`.

    Raises:
        NotFoundError: There is none.
    """
    try:
        answer = transport.call(
            dataset_calls.find_datapoint(dataset, collections, datapoint, skip_data=skip_data)
        )
    except NotFoundError as error:
        message = f"No such datapoint {datapoint}"
        raise NotFoundError(message, code=error.code, request_id=error.request_id) from None
    decoder = frames.MessageDecoder(schema, skip_data=skip_data)
    _compute(1, decoder.add, [answer.value])
    return frames.single(_compute(1, decoder.dataset))


def _compute(rows: int, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function over so many datapoints: in a thread, unless they are few."""
    # What is imported on first use takes a second, however few they are.
    if rows <= _FEW_ROWS and sys.modules.keys() >= _IMPORTED:
        return function(*args, **kwargs)
    return to_thread(function, *args, **kwargs)


def _progress_over_time(query: Query, show: bool | Callable[[float], object]) -> Progress:
    interval = query.progress_interval
    return Progress(show, title=f"Fetching {query.title}", total=_seconds(interval.start, interval.end))


def _position(query: Query, part: Part) -> float:
    """Return how many seconds of the interval lie behind a part."""
    interval = query.progress_interval
    if part.until_ms is None:
        return _seconds(interval.start, interval.end)
    reached = part.until_ms / 1000
    if query.is_descending:
        return interval.end.timestamp() - reached
    return reached - interval.start.timestamp()


def _seconds(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()
