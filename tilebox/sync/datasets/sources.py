# Generated from tilebox/aio/datasets/sources.py by scripts/unasync.py; do not edit.
"""The sources of a query's datapoints: one Arrow stream, or a sequence of protobuf pages.

Both yield parts, each with the input of a decoder, the number of datapoints, and the time that they reach.
"""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tilebox._core.queries import dataset_calls
from tilebox._core.queries.arrow_answers import ArrowAnswer
from tilebox._core.results.frames import ArrowDecoder, MessageDecoder
from tilebox._core.schema import arrow_schema
from tilebox._core.values import ids
from tilebox._core.wire.pages import Pages
from tilebox.errors import APIError, PageError, RateLimitedError, TransportError

if TYPE_CHECKING:
    from collections.abc import Generator

    from tilebox._core.queries.query import Query
    from tilebox.sync.response import Response
    from tilebox.sync.transport import Transport

_log = logging.getLogger("tilebox.datasets")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the datapoints.

    Args:
        values: The datapoints in the form of the source's decoder; can be sliced.
        rows: The number of datapoints.
        until_ms: The time of the last datapoint in milliseconds since 1970, or None if it is unknown.
    """

    values: Any
    rows: int
    until_ms: int | None

    def rows_between(self, start: int, stop: int) -> Any:
        """Return the values from row `start` up to, but not including, row `stop`."""
        if isinstance(self.values, list):
            return self.values[start:stop]
        return self.values.slice(start, stop - start)


class ArrowSource:
    """The response as one Arrow stream, which is resumed when the connection breaks."""

    is_ordered = True

    def __init__(self, transport: Transport, query: Query) -> None:
        self._transport = transport
        self._answer = ArrowAnswer(query)
        self._response: Response | None = None
        self._was_interrupted = False
        self.decoder = partial(ArrowDecoder, query.schema, skip_data=query.skip_data)

    def parts(self) -> Generator[Part, None]:
        """Yield the parts of the response.

        Raises:
            PageError: The response ended early and could not be resumed, or does not match the query.
            TransportError: The server cannot be reached any more.
            APIError: The server answered with an error.
        """
        backoff = self._transport.backoff()
        while not self._answer.is_complete:
            rows_before = self._answer.rows
            try:
                with closing(self._parts_of_one_request()) as parts:
                    for part in parts:
                        yield part
            except (TransportError, RateLimitedError) as error:
                if self._was_interrupted or self._answer.is_complete:
                    return
                if not self._answer.is_resumable:
                    raise PageError(
                        f"{error}; the response has no snapshot to resume from, so load it again"
                    ) from error
                if self._answer.rows > rows_before:
                    backoff = self._transport.backoff()
                self._transport.pause(backoff, error, dataset_calls.QUERY_ARROW)
            except APIError as error:
                if rows_before:
                    raise PageError(
                        f"the response ended early and cannot be resumed: {error}; load it again"
                    ) from error
                raise

    def interrupt(self) -> None:
        """End the wait of a thread that reads the response."""
        self._was_interrupted = True
        if self._response is not None:
            self._response.interrupt()

    def _parts_of_one_request(self) -> Generator[Part, None]:
        answer = self._answer
        request = answer.next_request()
        with self._transport.open(dataset_calls.QUERY_ARROW, request, accept=arrow_schema.MEDIA_TYPE) as response:
            self._response = response
            while count := response.read_into(answer.get_buffer()):
                batch = answer.buffer_updated(count)
                if batch is not None:
                    last = batch.column("id")[batch.num_rows - 1].as_py()
                    yield Part(batch, batch.num_rows, ids.time_ms(last))
            self._response = None
        answer.eof_received()


class PageSource:
    """Pages of protobuf messages, which every server offers; always in ascending order."""

    is_ordered = False

    def __init__(self, transport: Transport, query: Query, *, page_size: int | None = None) -> None:
        self._transport = transport
        self._query = query
        self._was_interrupted = False
        # A descending query wants the last datapoints, so its limit applies only after all pages are loaded.
        limit = None if query.is_descending else query.limit
        self._pages = Pages(limit=limit, page_size=page_size)
        self.decoder = partial(MessageDecoder, query.schema, skip_data=query.skip_data)

    def parts(self) -> Generator[Part, None]:
        """Yield the pages.

        Raises:
            PageError: A page repeats, or goes back in time.
            TransportError: A page did not arrive, even after retries.
            APIError: The server answered with an error.
        """
        while (page := self._pages.next_request()) is not None and not self._was_interrupted:
            answer = self._transport.call(dataset_calls.query_page(self._query.page_request(page)))
            values = list(answer.data.value)
            wanted = self._pages.feed(len(values), answer.next_page)
            cursor = answer.next_page.starting_after.uuid
            yield Part(values[:wanted], wanted, ids.time_ms(cursor) if cursor else None)

    def interrupt(self) -> None:
        """Request no further page."""
        self._was_interrupted = True


Source = ArrowSource | PageSource


def open_source(transport: Transport, query: Query, *, page_size: int | None = None) -> Source:
    """Return the fastest source that the server and the installed packages support."""
    if not transport.offers(arrow_schema.EXTENSION):
        _log.debug("the server offers no Arrow streams: loading %s as protobuf pages", query.target)
    elif find_spec("pyarrow") is None:
        _log.debug('pyarrow is missing (pip install "tilebox-open[arrow]"): loading %s as protobuf pages', query.target)
    else:
        return ArrowSource(transport, query)
    return PageSource(transport, query, page_size=page_size)
