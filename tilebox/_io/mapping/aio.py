"""The interface of a cache for the async client: coroutines, because a subscript cannot be awaited."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Interface", "MappingMixin"]


class Interface(ABC):
    """The abstract methods that a custom cache implements, and the methods that it inherits."""

    @abstractmethod
    async def get(self, key: str, default: bytes | None = None) -> bytes | None:
        """Return the value of a key.

        Args:
            key: The key.
            default: The return value if the key has no value.
        """

    @abstractmethod
    async def set(self, key: str, value: bytes) -> None:
        """Store a value, replacing the old value of the key.

        Args:
            key: The key, whose groups need not exist.
            value: The value in bytes.
        """

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Delete the value of a key.

        Raises:
            KeyError: The key has no value.
        """

    @abstractmethod
    def keys(self) -> AsyncIterator[str]:
        """Iterate over the keys directly in this group, without those of nested groups."""

    async def contains(self, key: str) -> bool:
        """Return whether a key has a value."""
        return await self.get(key) is not None

    def __aiter__(self) -> AsyncIterator[str]:
        return self.keys()


class MappingMixin:
    """Adds nothing, because subscripts cannot be awaited."""
