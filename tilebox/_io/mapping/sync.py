"""The interface of a cache for the sync client: a mutable mapping of the keys of one group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from tilebox._core.cache_keys import not_cached

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Interface", "MappingMixin"]


class Interface(ABC):
    """The abstract methods that a custom cache implements, and the methods that it inherits."""

    @abstractmethod
    def __getitem__(self, key: str) -> bytes:
        """Return the value of a key, or raise KeyError."""

    @abstractmethod
    def __setitem__(self, key: str, value: bytes) -> None:
        """Store a value; the groups of the key need not exist."""

    @abstractmethod
    def __delitem__(self, key: str) -> None:
        """Delete the value of a key, or raise KeyError."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys directly in this group."""

    def get(self, key: str, default: bytes | None = None) -> bytes | None:
        """Return the value of a key.

        Args:
            key: The key.
            default: The return value if the key has no value.
        """
        try:
            return self[key]
        except KeyError:
            return default

    def set(self, key: str, value: bytes) -> None:
        """Store a value, replacing the old value of the key.

        Args:
            key: The key, whose groups need not exist.
            value: The value in bytes.
        """
        self[key] = value

    def delete(self, key: str) -> None:
        """Delete the value of a key.

        Raises:
            KeyError: The key has no value.
        """
        del self[key]

    def keys(self) -> Iterator[str]:
        """Iterate over the keys directly in this group, without those of nested groups."""
        return iter(self)

    def contains(self, key: str) -> bool:
        """Return whether a key has a value."""
        return key in self

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        # An empty cache is still a cache, and `if cache:` must not list a bucket.
        return True


class MappingMixin(Interface):
    """Subscripts for a cache that implements the named methods."""

    def __getitem__(self, key: str) -> bytes:
        value = self.get(key)
        if value is None:
            raise not_cached(key)
        return value

    def __setitem__(self, key: str, value: bytes) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        self.delete(key)

    def __iter__(self) -> Iterator[str]:
        return self.keys()

    def __contains__(self, key: str) -> bool:
        return self.contains(key)
