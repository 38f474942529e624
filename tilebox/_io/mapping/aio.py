"""The shape of a cache for the async client: coroutines, since no subscript can be awaited."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Interface", "Sugar"]


class Interface(ABC):
    """What a cache of one's own must implement, and what it gets for it."""

    @abstractmethod
    async def get(self, key: str, default: bytes | None = None) -> bytes | None:
        """Return a value.

        Args:
            key: Its key.
            default: What to return if there is none.
        """

    @abstractmethod
    async def set(self, key: str, value: bytes) -> None:
        """Keep a value, in place of the one that the key has.

        Args:
            key: Its key; groups that it names need not exist.
            value: Bytes.
        """

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Remove a value.

        Raises:
            KeyError: There is none.
        """

    @abstractmethod
    def keys(self) -> AsyncIterator[str]:
        """Iterate over the keys directly in this group, not over groups in it."""

    async def contains(self, key: str) -> bool:
        """Tell whether a key has a value."""
        return await self.get(key) is not None

    def __aiter__(self) -> AsyncIterator[str]:
        return self.keys()


class Sugar:
    """Nothing: there are no subscripts to await."""
