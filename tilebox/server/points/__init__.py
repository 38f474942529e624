"""Datapoints: an interface of a dozen verbs, and the Lance tables behind it.

May import: `tilebox._core`, `tilebox.errors`, anyio, pyarrow, lance, shapely.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta
    from uuid import UUID

    from tilebox.server.points.lance import LancePoints


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
    """
    from tilebox.server.points.lance import LancePoints
    from tilebox.server.points.upkeep import RETENTION

    text = os.fspath(place)
    if "://" not in text:
        folder = Path(text).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        text = str(folder)
    return LancePoints(
        text, writer_lock=writer_lock, storage_options=storage_options or {}, retention=retention or RETENTION
    )
