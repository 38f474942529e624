"""Values in files, for the async client: the folder of the sync side, used in threads."""

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
        root: The path of the folder, which is created when the first value is written.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._folder = sync.Folder(root)

    async def read(self, path: cache_keys.Names) -> bytes | None:
        """Return a value, or None if it does not exist."""
        return await to_thread(self._folder.read, path)

    async def write(self, path: cache_keys.Names, value: bytes) -> None:
        """Store a value."""
        await to_thread(self._folder.write, path, value)

    async def delete(self, path: cache_keys.Names) -> bool:
        """Delete a value, and return whether it existed."""
        return await to_thread(self._folder.delete, path)

    async def exists(self, path: cache_keys.Names) -> bool:
        """Return whether a value exists."""
        return await to_thread(self._folder.exists, path)

    async def names(self, group: cache_keys.Names) -> AsyncIterator[str]:
        """Iterate over the names of the values directly in a group, in order."""
        for name in await to_thread(self._folder.names, group):
            yield name

    def __repr__(self) -> str:
        return repr(self._folder)
