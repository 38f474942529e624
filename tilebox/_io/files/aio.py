"""Values in files, for the async client: the sync side's folder, in threads, since disks cannot be awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._io.concurrency.aio import to_thread
from tilebox._io.files import sync

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator

    from tilebox._core import cache_keys

__all__ = ["Folder"]


class Folder:
    """A folder of values.

    Args:
        root: The folder; made when the first value is written.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._folder = sync.Folder(root)

    async def read(self, path: cache_keys.Names) -> bytes | None:
        """Return a value, or None."""
        return await to_thread(self._folder.read, path)

    async def write(self, path: cache_keys.Names, value: bytes) -> None:
        """Keep a value."""
        await to_thread(self._folder.write, path, value)

    async def delete(self, path: cache_keys.Names) -> bool:
        """Remove a value, and tell whether there was one."""
        return await to_thread(self._folder.delete, path)

    async def exists(self, path: cache_keys.Names) -> bool:
        """Tell whether there is a value."""
        return await to_thread(self._folder.exists, path)

    async def names(self, group: cache_keys.Names) -> AsyncIterator[str]:
        """Iterate over the names of the values directly in a group, in order."""
        for name in await to_thread(self._folder.names, group):
            yield name

    def __repr__(self) -> str:
        return repr(self._folder)
