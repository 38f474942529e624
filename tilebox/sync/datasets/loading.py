# Generated from tilebox/aio/datasets/loading.py by scripts/unasync.py; do not edit.
"""Execution of queries: load everything, iterate over pages, count, or find one datapoint."""

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

# The number of parts prefetched while one is decoded. Two hide any jitter; more only cost memory.
_PREFETCH_DEPTH = 2

# Decoding up to this many datapoints takes no longer than a switch to a thread and back.
_MAX_INLINE_ROWS = 256
_SLOW_IMPORTS = frozenset({"shapely", "xarray"})

P = ParamSpec("P")
R = TypeVar("R")


def load(
    transport: Transport, query: Query, *, lazy: bool, show_progress: bool | Callable[[float], object]
) -> xr.Dataset:
    """Return all datapoints of a query; download and decoding overlap."""
    source = open_source(transport, query)
    decoder = source.decoder(lazy=lazy)
    with _progress_over_time(query, show_progress) as progress:
        with prefetched(source.parts(), depth=_PREFETCH_DEPTH, interrupt=source.interrupt) as parts:
            for part in parts:
                _compute(part.rows, decoder.add, part.values)
                progress.update(_position(query, part), part.rows)
    dataset = _compute(decoder.rows, decoder.dataset)
    if query.is_descending and not source.is_ordered and "time" in dataset.sizes:
        dataset = dataset.isel(time=slice(None, None, -1)).isel(time=slice(query.limit))
    return dataset


def pages(transport: Transport, query: Query, *, page_size: int) -> Generator[xr.Dataset, None]:
    """Yield the datapoints of a query in pages of equal size, with constant memory; the last page may be smaller.

    Raises:
        ValueError: The server does not support descending order.
    """
    source = open_source(transport, query, page_size=page_size)
    if query.is_descending and not source.is_ordered:
        raise ValueError("this server cannot return pages in descending order; use query(descending=True) instead")
    decoder = source.decoder()
    with prefetched(source.parts(), depth=_PREFETCH_DEPTH, interrupt=source.interrupt) as parts:
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
    """Return the number of datapoints of a query."""
    if transport.offers(arrow_schema.EXTENSION):
        answer = transport.call(dataset_calls.count_datapoints(query.request()))
        return int(answer.count)
    pages_state = Pages()
    while (page := pages_state.next_request()) is not None:
        response = transport.call(dataset_calls.query_page(query.page_request(page)))
        pages_state.feed(len(response.data.value), response.next_page)
    return pages_state.rows


def find(
    transport: Transport,
    *,
    dataset: UUID,
    schema: Schema,
    collections: tuple[UUID, ...],
    datapoint: UUID,
    skip_data: bool,
) -> xr.Dataset:
    """Return one datapoint by id, as a dataset without the dimension `time`.

    Raises:
        NotFoundError: The datapoint does not exist.
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
    """Run a function over datapoints: in a thread, unless they are few."""
    # The first use of these libraries imports them, which takes a second however few the datapoints are.
    if rows <= _MAX_INLINE_ROWS and sys.modules.keys() >= _SLOW_IMPORTS:
        return function(*args, **kwargs)
    return to_thread(function, *args, **kwargs)


def _progress_over_time(query: Query, show: bool | Callable[[float], object]) -> Progress:
    interval = query.progress_interval
    return Progress(show, title=f"Fetching {query.title}", total=_seconds(interval.start, interval.end))


def _position(query: Query, part: Part) -> float:
    """Return the seconds of the interval that are loaded up to a part."""
    interval = query.progress_interval
    if part.until_ms is None:
        return _seconds(interval.start, interval.end)
    reached = part.until_ms / 1000
    if query.is_descending:
        return interval.end.timestamp() - reached
    return reached - interval.start.timestamp()


def _seconds(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()
