"""Datapoints: an interface of a dozen verbs, and the Lance tables behind it.

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


REACH_SECONDS = 15.0
"""How long an object store may take to answer when the server starts."""

# Given up sooner than Lance would, which suits a request and not a start that somebody waits for.
_IMPATIENCE = {
    "client_max_retries": "1",
    "client_retry_timeout": "5",
    "connect_timeout": "4s",
    "request_timeout": "8s",
}
_SHOWN_CHARACTERS = 400


def open_points(
    place: str | os.PathLike[str],
    *,
    writer_lock: Callable[[UUID], AbstractAsyncContextManager[None]],
    storage_options: Mapping[str, str] | None = None,
    retention: timedelta | None = None,
) -> LancePoints:
    """Open the store of datapoints, which is created with its first table.

    Args:
        place: A folder, or a URL such as `s3://bucket/prefix`.
        writer_lock: Excludes other processes from writing to a table meanwhile.
        storage_options: Options of the object store (`aws_endpoint`, `aws_region` …); by default its
            usual environment variables count.
        retention: How long a version can be read after a client was told of it; 30 minutes by default.

    Raises:
        ValueError: The URL is of another form.
        OSError: The folder cannot be made.
    """
    text = check_place(place)
    from tilebox.server.points.lance.store import LancePoints
    from tilebox.server.points.lance.upkeep import RETENTION

    if "://" not in text:
        folder = Path(text).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        text = str(folder)
    return LancePoints(
        text, writer_lock=writer_lock, storage_options=storage_options or {}, retention=retention or RETENTION
    )


def check_place(place: str | os.PathLike[str]) -> str:
    """Return a place as text if datapoints can be kept there, by its form.

    Raises:
        ValueError: It is a URL of another kind than `s3://bucket/prefix`, or names no bucket.
    """
    text = os.fspath(place)
    scheme, separator, rest = text.partition("://")
    if separator and scheme != "s3":
        raise ValueError(
            f"datapoints are kept in a directory, given as its path, or in s3://bucket/prefix, not {text!r}"
        )
    if separator and not rest.partition("/")[0]:
        raise ValueError(f"{text!r} names no bucket: give s3://bucket/prefix")
    if not text:
        raise ValueError("datapoints need a directory or s3://bucket/prefix, not an empty text")
    return text


async def reach(
    place: str, *, storage_options: Mapping[str, str] | None = None, seconds: float = REACH_SECONDS
) -> None:
    """Ask an object store for a table that is not there, to learn whether it answers; a directory is not asked.

    Args:
        place: As for `open_points`.
        storage_options: As for `open_points`.
        seconds: How long to wait for the answer.

    Raises:
        OSError: It cannot be reached, or does not let us in; the message says what it answered.
    """
    if "://" not in place:
        return
    answer: Future[str | None] = Future()
    answer.set_running_or_notify_cancel()  # from here on it cannot be cancelled, so the thread may always answer
    uri = f"{place.rstrip('/')}/{uuid4().hex}.lance"
    options = {**_IMPATIENCE, **(storage_options or {})}
    # A daemon: a call that hangs in the driver cannot be cancelled, and must not keep the process from ending.
    threading.Thread(target=lambda: answer.set_result(_refusal(uri, options)), daemon=True).start()
    try:
        refusal = await asyncio.wait_for(asyncio.wrap_future(answer), seconds)
    except TimeoutError:
        refusal = f"no answer within {seconds:.0f} s"
    if refusal is not None:
        raise OSError(refusal)


def _refusal(uri: str, options: dict[str, str]) -> str | None:
    """Return why an object store cannot be read, None if it only says that a table is not there."""
    import lance

    try:
        lance.dataset(uri, storage_options=options)
    except (ValueError, OSError) as error:
        return None if "was not found: Not found" in str(error) else _in_short(str(error))
    return None


def _in_short(text: str) -> str:
    """Return what an object store answered, without the path that the error took through Lance."""
    answered = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL)
    if answered:
        return f"{answered[2]} ({answered[1]})"
    if "credentials" in text.lower():
        return "no credentials were found, or they were refused"
    inner = re.sub(r"^(LanceError\(IO\): |Generic \S+ error: )+|, \S+\.rs:\d+:\d+", "", text)
    return " ".join(inner.split())[:_SHOWN_CHARACTERS]
