"""The store of datapoints: an interface of a dozen verbs, and its implementation on Lance tables.

May import: `tilebox._core`, `tilebox.errors`, anyio, pyarrow, lance, shapely.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta
    from uuid import UUID

    from tilebox.server.points.lance.store import LancePoints


PROBE_SECONDS = 15.0
"""How long an object store may take to answer when the server starts."""

# Lance's own time limits suit requests; they are too long for a start that a user is waiting for.
_PROBE_OPTIONS = {
    "client_max_retries": "1",
    "client_retry_timeout": "5",
    "connect_timeout": "4s",
    "request_timeout": "8s",
}
_MAX_MESSAGE_CHARACTERS = 400


def open_points(
    location: str | os.PathLike[str],
    *,
    writer_lock: Callable[[UUID], AbstractAsyncContextManager[None]],
    storage_options: Mapping[str, str] | None = None,
    retention: timedelta | None = None,
) -> LancePoints:
    """Open the store of datapoints. Its first table creates it.

    Args:
        location: A folder, or a URL such as `s3://bucket/prefix`.
        writer_lock: Keeps other processes from writing to a table while it is held.
        storage_options: Options of the object store (`aws_endpoint`, `aws_region` …); by default its
            usual environment variables apply.
        retention: How long a version stays readable after a client learned of it; 30 minutes by default.

    Raises:
        ValueError: The URL is of another form.
        OSError: The folder cannot be created.
    """
    text = check_location(location)
    # Settings import this module for `check_location` alone, so Lance is imported only when a store is opened.
    from tilebox.server.points.lance.store import LancePoints
    from tilebox.server.points.lance.upkeep import RETENTION

    if "://" not in text:
        folder = Path(text).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        text = str(folder)
    return LancePoints(
        text, writer_lock=writer_lock, storage_options=storage_options or {}, retention=retention or RETENTION
    )


def check_location(location: str | os.PathLike[str]) -> str:
    """Return a storage location as text after checking its form.

    Raises:
        ValueError: The location is empty, a URL of another kind than `s3://bucket/prefix`, or names no bucket.
    """
    text = os.fspath(location)
    scheme, separator, rest = text.partition("://")
    if separator and scheme != "s3":
        raise ValueError(
            f"datapoints cannot be stored in {text!r}; give the path of a directory, or s3://bucket/prefix"
        )
    if separator and not rest.partition("/")[0]:
        raise ValueError(f"{text!r} names no bucket; give s3://bucket/prefix")
    if not text:
        raise ValueError("the storage location is empty; give the path of a directory, or s3://bucket/prefix")
    return text


async def probe(
    location: str, *, storage_options: Mapping[str, str] | None = None, seconds: float = PROBE_SECONDS
) -> None:
    """Check that an object store answers, by asking it for a table that does not exist. Skip directories.

    Args:
        location: As for `open_points`.
        storage_options: As for `open_points`.
        seconds: How long to wait for the answer.

    Raises:
        OSError: The store cannot be reached, or refuses access; the message says what it answered.
    """
    if "://" not in location:
        return
    outcome: Future[str | None] = Future()
    outcome.set_running_or_notify_cancel()  # a running future cannot be cancelled, so the thread can always set it
    uri = f"{location.rstrip('/')}/{uuid4().hex}.lance"
    options = {**_PROBE_OPTIONS, **(storage_options or {})}
    # A daemon thread: a call that hangs in the driver cannot be cancelled, and must not keep the process from exiting.
    threading.Thread(target=lambda: outcome.set_result(_read_failure(uri, options)), daemon=True).start()
    try:
        failure = await asyncio.wait_for(asyncio.wrap_future(outcome), seconds)
    except TimeoutError:
        failure = f"no answer within {seconds:.0f} s"
    if failure is not None:
        raise OSError(failure)


def _read_failure(uri: str, options: dict[str, str]) -> str | None:
    """Return why an object store cannot be read, or None if it only reports a missing table."""
    import lance

    try:
        lance.dataset(uri, storage_options=options)
    except (ValueError, OSError) as error:
        return None if "was not found: Not found" in str(error) else _shortened(str(error))
    return None


def _shortened(text: str) -> str:
    """Return the answer of an object store without the wrappers that Lance puts around the error."""
    xml = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL)
    if xml:
        return f"{xml[2]} ({xml[1]})"
    if "credentials" in text.lower():
        return "no credentials were found, or they were refused"
    cause = re.sub(r"^(LanceError\(IO\): |Generic \S+ error: )+|, \S+\.rs:\d+:\d+", "", text)
    return " ".join(cause.split())[:_MAX_MESSAGE_CHARACTERS]
