"""Reading of items from files in several formats, and from addresses page by page."""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilebox._core import stac
from tilebox._core.wire.backoff import Backoff, RetryPolicy
from tilebox.errors import MissingExtraError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tilebox._core.stac import Item, Page

_ROWS_PER_BATCH = 500
_TIMEOUT_SECONDS = 60.0
_RETRY_POLICY = RetryPolicy(attempts=5, first_seconds=0.5, deadline_seconds=60.0)
_PARQUET_MAGIC, _GZIP_MAGIC = b"PAR1", b"\x1f\x8b"


def read_items(source: str, *, body: dict[str, Any] | None = None) -> Iterator[Item]:
    """Yield the items of a source.

    Args:
        source: A path, `-` for standard input, or an address. Its content is an item, an item collection, a list of
            items or newline-delimited JSON, all of which may be gzip-compressed, or STAC GeoParquet.
        body: The JSON body of a STAC search, to post to the address; None to fetch the address.

    Raises:
        ValueError: The content has none of these formats, or a page links to one that was read before.
        OSError: The file cannot be read.
        TransportError: The address cannot be read, even after retries.
        MissingExtraError: The source is GeoParquet and pyarrow is not installed.
    """
    try:
        if source.startswith(("http://", "https://")):
            yield from _read_pages(stac.Page(source, "POST" if body is not None else "GET", body))
        else:
            yield from _decode(sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes())
    except ValueError as error:
        raise ValueError(f"could not read {source}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"could not read {source}: its values are nested too deeply") from error


def _decode(content: bytes) -> Iterator[Item]:
    if content.startswith(_GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, OSError) as error:
            raise ValueError(f"its gzip compression is broken: {error}") from error
    if content.startswith(_PARQUET_MAGIC):
        yield from _read_table(content)
        return
    text = content.decode("utf-8-sig")
    # Only newline-delimited JSON continues after its first value.
    with suppress(json.JSONDecodeError):
        yield from stac.parse_items(json.loads(text))
        return
    for document in stac.decode_lines(text.splitlines()):
        yield from stac.parse_items(document)


def _read_table(content: bytes) -> Iterator[Item]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("reading GeoParquet", "arrow") from error

    table = parquet.ParquetFile(io.BytesIO(content))
    missing = [name for name in ("id", "geometry") if name not in table.schema_arrow.names]
    if missing:
        raise ValueError(f"not STAC GeoParquet: the table has no column {missing[0]!r}")
    for batch in table.iter_batches(batch_size=_ROWS_PER_BATCH):
        for row in batch.to_pylist():
            yield stac.item_from_row(row)


def _read_pages(page: Page) -> Iterator[Item]:
    import httpx

    seen: set[str] = set()
    next_page: Page | None = page
    with httpx.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=True) as client:
        while next_page is not None:
            if next_page.key in seen:
                raise ValueError(f"its pages form a loop: a link leads to {next_page.url}, which was read before")
            seen.add(next_page.key)
            content = _fetch(client, next_page)
            try:
                document = json.loads(content)
            except ValueError:
                # The address has a file in another format, which is a single page.
                yield from _decode(content)
                return
            yield from stac.parse_items(document)
            next_page = stac.next_page(document, next_page)


def _fetch(client: httpx.Client, page: Page) -> bytes:
    """Fetch a page, and retry failures that may be temporary."""
    import httpx

    backoff = Backoff(_RETRY_POLICY, random.Random(), time.monotonic())  # noqa: S311 - spreads requests, guards nothing
    while True:
        try:
            response = client.request(page.method, page.url, json=page.body, headers=page.headers)
        except httpx.TransportError as error:
            problem, delay = f"{error or type(error).__name__}", backoff.delay(time.monotonic())
        else:
            if response.is_success:
                return response.content
            problem = f"it answered {response.status_code} {response.reason_phrase}"
            is_temporary = response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error
            delay = backoff.delay(time.monotonic()) if is_temporary else None
        if delay is None:
            tries = f" ({backoff.failed} tries)" if backoff.failed > 1 else ""
            raise TransportError(f"could not read {page.url}: {problem}{tries}")
        time.sleep(delay)
