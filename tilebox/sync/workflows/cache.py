# Generated from tilebox/aio/workflows/cache.py by scripts/unasync.py; do not edit.
"""Job caches, which share bytes between the tasks of a job: in memory, in files or in a bucket.

A runner has one cache, and each task uses the group of its job: `cache.group(str(job.id))`. The rules of keys are in
`tilebox._core.cache_keys`. Caches are thread-safe.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn

from tilebox._core import cache_keys
from tilebox._core.cache_keys import NoCacheError
from tilebox._io.files.sync import Folder
from tilebox._io.gcs import sync as gcs
from tilebox._io.mapping.sync import Interface, MappingMixin
from tilebox._io.s3 import sync as s3

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from google.cloud.storage import Bucket

__all__ = [
    "AmazonS3Cache",
    "GoogleStorageCache",
    "InMemoryCache",
    "JobCache",
    "LocalFileSystemCache",
    "NoCache",
    "NoCacheError",
]


class JobCache(Interface):
    """The interface of caches: values in bytes by string keys, in nested groups. Inherit from it for a custom cache."""

    @abstractmethod
    def group(self, name: str) -> JobCache:
        """Return the cache of a group, which contains only the keys of this group.

        Args:
            name: The name of the group, or several nested names separated by `/`. The group need not exist.
        """


class _StoredCache(MappingMixin, JobCache):
    """A cache, or a group of a cache, in a store of bytes by path."""

    def __init__(self, store: Any, path: cache_keys.Names = ()) -> None:
        self._store = store
        self._path = path

    def get(self, key: str, default: bytes | None = None) -> bytes | None:
        """Return the value of a key.

        Args:
            key: The key.
            default: The return value if the key has no value.

        Raises:
            ValueError: The key is malformed; the message has the reason.
        """
        value: bytes | None = self._store.read(cache_keys.parse(key, self._path))
        return default if value is None else value

    def set(self, key: str, value: bytes) -> None:
        """Store a value, replacing the old value of the key.

        Args:
            key: The key, whose groups need not exist.
            value: The value in bytes.

        Raises:
            ValueError: The key is malformed; the message has the reason.
            TypeError: The value is not bytes.
        """
        self._store.write(cache_keys.parse(key, self._path), cache_keys.as_value(value))

    def delete(self, key: str) -> None:
        """Delete the value of a key.

        Args:
            key: The key.

        Raises:
            KeyError: The key has no value.
            ValueError: The key is malformed; the message has the reason.
        """
        if not self._store.delete(cache_keys.parse(key, self._path)):
            raise cache_keys.not_cached(key)

    def keys(self) -> Iterator[str]:
        """Iterate over the keys directly in this group in sorted order, without those of nested groups."""
        for name in self._store.names(self._path):
            if cache_keys.is_name(name):
                yield name

    def contains(self, key: str) -> bool:
        """Return whether a key has a value.

        Args:
            key: The key.

        Raises:
            ValueError: The key is malformed; the message has the reason.
        """
        exists: bool = self._store.exists(cache_keys.parse(key, self._path))
        return exists

    def group(self, name: str) -> JobCache:
        """Return the cache of a group, which contains only the keys of this group.

        Args:
            name: The name of the group, or several nested names separated by `/`. The group need not exist.

        Raises:
            ValueError: The name is malformed; the message has the reason.
        """
        return _StoredCache(self._store, cache_keys.parse(name, self._path))

    def __repr__(self) -> str:
        group = f", group {'/'.join(self._path)!r}" if self._path else ""
        return f"<{type(self).__name__.lstrip('_')} {self._store!r}{group}>"


class InMemoryCache(_StoredCache):
    """A cache in the memory of this process, for a single runner and for tests. It is lost when the process ends."""

    def __init__(self) -> None:
        super().__init__(_Memory())


class LocalFileSystemCache(_StoredCache):
    """A cache in files, for runners on one machine or with a shared file system.

    The key `a/b` of a job is the file `b` in the folder `<root>/<job id>/a`. Values are written atomically, even if
    several processes write the same key.

    Args:
        root: The path of the folder, which is created when the first value is written.
    """

    def __init__(self, root: str | os.PathLike[str] = "cache") -> None:
        super().__init__(Folder(root))


class AmazonS3Cache(_StoredCache):
    """A cache in a bucket of Amazon S3, or of a store with the same protocol.

    Credentials come from the usual sources of the AWS libraries. Needs `pip install "tilebox-open[s3]"`.

    Args:
        bucket: The name of the bucket.
        prefix: The prefix of all object names.
        region: The AWS region of the bucket; by default that of the AWS configuration.
        endpoint_url: The URL of the store, if it is not Amazon's.
    """

    def __init__(
        self, bucket: str, prefix: str = "jobs", *, region: str | None = None, endpoint_url: str | None = None
    ) -> None:
        path = cache_keys.parse_prefix(prefix)
        super().__init__(s3.Bucket(bucket, path, region=region, endpoint_url=endpoint_url))


class GoogleStorageCache(_StoredCache):
    """A cache in a bucket of Google Cloud Storage.

    Needs `pip install "tilebox-open[gcs]"`.

    Args:
        bucket: A bucket object of `google.cloud.storage.Client`, to use the credentials of that client; or the name of
            a bucket, to use the default credentials.
        prefix: The prefix of all object names.
    """

    def __init__(self, bucket: Bucket | str, prefix: str = "jobs") -> None:
        super().__init__(gcs.Bucket(bucket, cache_keys.parse_prefix(prefix)))


class NoCache(MappingMixin, JobCache):
    """The cache of a runner without a cache. Every use raises NoCacheError, which tells how to configure one."""

    def get(self, key: str, default: bytes | None = None) -> bytes | None:
        """Raise NoCacheError."""
        self._refuse(key, default)

    def set(self, key: str, value: bytes) -> None:
        """Raise NoCacheError."""
        self._refuse(key, value)

    def delete(self, key: str) -> None:
        """Raise NoCacheError."""
        self._refuse(key)

    def keys(self) -> Iterator[str]:
        """Raise NoCacheError."""
        self._refuse()

    def contains(self, key: str) -> bool:
        """Raise NoCacheError."""
        self._refuse(key)

    # A synchronous `execute` uses subscripts, with the async client too.

    def __getitem__(self, key: str) -> NoReturn:
        self._refuse(key)

    def __setitem__(self, key: str, value: bytes) -> NoReturn:
        self._refuse(key, value)

    def __delitem__(self, key: str) -> NoReturn:
        self._refuse(key)

    def __contains__(self, key: object) -> NoReturn:
        self._refuse(key)

    def __iter__(self) -> NoReturn:
        self._refuse()

    def group(self, name: str) -> JobCache:  # noqa: ARG002 there are none
        """Return this cache, so that a runner can get the group of a job; only its use fails."""
        return self

    def _refuse(self, *_: object) -> NoReturn:
        raise NoCacheError(
            "this task uses its job cache, but its runner has none: pass one to client.runner(..., cache=...), "
            "for example a LocalFileSystemCache from tilebox.workflows.cache"
        )

    def __repr__(self) -> str:
        return "<NoCache>"


class _Memory:
    """Values in memory, in one dict per group. Each operation on a dict is atomic, so it needs no lock."""

    def __init__(self) -> None:
        self._groups: dict[cache_keys.Names, dict[str, bytes]] = {}

    def read(self, path: cache_keys.Names) -> bytes | None:
        return self._groups.get(path[:-1], {}).get(path[-1])

    def write(self, path: cache_keys.Names, value: bytes) -> None:
        self._groups.setdefault(path[:-1], {})[path[-1]] = value

    def delete(self, path: cache_keys.Names) -> bool:
        return self._groups.get(path[:-1], {}).pop(path[-1], None) is not None

    def exists(self, path: cache_keys.Names) -> bool:
        return path[-1] in self._groups.get(path[:-1], {})

    def names(self, group: cache_keys.Names) -> Iterator[str]:
        for name in sorted(list(self._groups.get(group, {}))):  # noqa: C414 `list` copies the keys in one atomic step
            yield name

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an in-memory cache cannot be sent to another process, which would not see its values; "
            "use a LocalFileSystemCache"
        )

    def __repr__(self) -> str:
        return "in memory"
