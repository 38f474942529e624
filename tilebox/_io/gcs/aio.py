"""Values in a bucket of Google Cloud Storage, for the async client: the sync side's bucket, in threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tilebox._io.concurrency.aio import to_thread
from tilebox._io.gcs import sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tilebox._core import cachekeys

__all__ = ["Bucket"]


class Bucket:
    """A bucket, or what lies below a prefix in it.

    Args:
        bucket: A `google.cloud.storage.Bucket`, or the name of a bucket for the default credentials.
        prefix: The first names of all objects.
    """

    def __init__(self, bucket: Any, prefix: cachekeys.Names) -> None:
        self._bucket = sync.Bucket(bucket, prefix)

    async def read(self, path: cachekeys.Names) -> bytes | None:
        """Return a value, or None."""
        return await to_thread(self._bucket.read, path)

    async def write(self, path: cachekeys.Names, value: bytes) -> None:
        """Keep a value."""
        await to_thread(self._bucket.write, path, value)

    async def delete(self, path: cachekeys.Names) -> bool:
        """Remove a value, and tell whether there was one."""
        return await to_thread(self._bucket.delete, path)

    async def exists(self, path: cachekeys.Names) -> bool:
        """Tell whether there is a value."""
        return await to_thread(self._bucket.exists, path)

    async def names(self, group: cachekeys.Names) -> AsyncIterator[str]:
        """Iterate over the names of the values directly in a group, in order."""
        for name in await to_thread(lambda: list(self._bucket.names(group))):
            yield name

    def __repr__(self) -> str:
        return repr(self._bucket)
