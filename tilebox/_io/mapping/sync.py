"""The shape of a cache for the sync client: that of a dict, in which only the keys of one group are seen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from tilebox._core.cache_keys import not_cached

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Interface", "Sugar"]


class Interface(ABC):
    """What a cache of one's own must implement, and what it gets for it."""

    @abstractmethod
    def __getitem__(self, key: str) -> bytes:
        """Return a value, or raise KeyError."""

    @abstractmethod
    def __setitem__(self, key: str, value: bytes) -> None:
        """Keep a value; groups that the key names need not exist."""

    @abstractmethod
    def __delitem__(self, key: str) -> None:
        """Remove a value, or raise KeyError."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys directly in this group."""

    def get(self, key: str, default: bytes | None = None) -> bytes | None:
        """Return a value.

        Args:
            key: Its key.
            default: What to return if there is none.
        """
        try:
            return self[key]
        except KeyError:
            return default

    def set(self, key: str, value: bytes) -> None:
        """Keep a value, in place of the one that the key has.

        Args:
            key: Its key; groups that it names need not exist.
            value: Bytes.
        """
        self[key] = value

    def delete(self, key: str) -> None:
        """Remove a value.

        Raises:
            KeyError: There is none.
        """
        del self[key]

    def keys(self) -> Iterator[str]:
        """Iterate over the keys directly in this group, not over groups in it."""
        return iter(self)

    def contains(self, key: str) -> bool:
        """Tell whether a key has a value."""
        return key in self

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        # A cache is there also when it is empty, and `if cache:` should list no bucket.
        return True


class Sugar(Interface):
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
