# Source of tilebox/sync/workflows/cache.py, which scripts/unasync.py writes.
"""Job caches: bytes that the tasks of a job share, in memory, in files or in a bucket.

A runner is given a cache and gives every task the group of its job: `cache.group(str(job.id))`. What keys
may be is written in `tilebox._core.cache_keys`. Caches are safe to use in threads.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn

from tilebox._core import cache_keys
from tilebox._core.cache_keys import NoCacheError
from tilebox._io.files.aio import Folder
from tilebox._io.gcs import aio as gcs
from tilebox._io.mapping.aio import Interface, Sugar
from tilebox._io.s3 import aio as s3

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator

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
    """Values in bytes by keys in text, in groups: what a cache of one's own has to look like."""

    @abstractmethod
    def group(self, name: str) -> JobCache:
        """Return the cache of a group, which sees nothing outside it.

        Args:
            name: The group's name, or several with `/` between them. It need not exist.
        """


class _StoredCache(Sugar, JobCache):
    """A cache, or a group of one, in a store that knows nothing but paths and bytes."""

    def __init__(self, store: Any, path: cache_keys.Names = ()) -> None:
        self._store = store
        self._path = path

    async def get(self, key: str, default: bytes | None = None) -> bytes | None:
        """Return a value.

        Args:
            key: Its key.
            default: What to return if there is none.

        Raises:
            ValueError: That is no key; the message says why.
        """
        value: bytes | None = await self._store.read(cache_keys.parse(key, self._path))
        return default if value is None else value

    async def set(self, key: str, value: bytes) -> None:
        """Keep a value, in place of the one that the key has.

        Args:
            key: Its key; groups that it names need not exist.
            value: Bytes.

        Raises:
            ValueError: That is no key; the message says why.
            TypeError: The value is not bytes.
        """
        await self._store.write(cache_keys.parse(key, self._path), cache_keys.as_value(value))

    async def delete(self, key: str) -> None:
        """Remove a value.

        Args:
            key: Its key.

        Raises:
            KeyError: There is none.
            ValueError: That is no key; the message says why.
        """
        if not await self._store.delete(cache_keys.parse(key, self._path)):
            raise cache_keys.not_cached(key)

    async def keys(self) -> AsyncIterator[str]:
        """Iterate over the keys directly in this group, in order, and not over groups in it."""
        async for name in self._store.names(self._path):
            if cache_keys.is_name(name):
                yield name

    async def contains(self, key: str) -> bool:
        """Tell whether a key has a value.

        Args:
            key: The key.

        Raises:
            ValueError: That is no key; the message says why.
        """
        exists: bool = await self._store.exists(cache_keys.parse(key, self._path))
        return exists

    def group(self, name: str) -> JobCache:
        """Return the cache of a group, which sees nothing outside it.

        Args:
            name: The group's name, or several with `/` between them. It need not exist.

        Raises:
            ValueError: That is no name of a group; the message says why.
        """
        return _StoredCache(self._store, cache_keys.parse(name, self._path))

    def __repr__(self) -> str:
        group = f", group {'/'.join(self._path)!r}" if self._path else ""
        return f"<{type(self).__name__.lstrip('_')} {self._store!r}{group}>"


class InMemoryCache(_StoredCache):
    """A cache in the memory of this process, gone when it ends: for one runner, and for trying things out."""

    def __init__(self) -> None:
        super().__init__(_Memory())


class LocalFileSystemCache(_StoredCache):
    """A cache in files: for runners on one machine, or with a common file system.

    The key `a/b` of a job is the file `b` in the folder `<root>/<job id>/a`. Values are written whole or not
    at all, also when several processes write the same key.

    Args:
        root: The folder; it is made when the first value is written.
    """

    def __init__(self, root: str | os.PathLike[str] = "cache") -> None:
        super().__init__(Folder(root))


class AmazonS3Cache(_StoredCache):
    """A cache in a bucket of Amazon S3, or of a store that speaks its protocol.

    Credentials come from where the AWS libraries find them. Needs `pip install "tilebox-open[s3]"`.

    Args:
        bucket: The bucket's name.
        prefix: What the names of all objects begin with.
        region: Where the bucket is, if the AWS settings do not say so.
        endpoint_url: The store that has the bucket, if not Amazon's.
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
        bucket: A bucket of `google.cloud.storage.Client`, whose credentials are used; or a bucket's name, for
            the default credentials.
        prefix: What the names of all objects begin with.
    """

    def __init__(self, bucket: Bucket | str, prefix: str = "jobs") -> None:
        super().__init__(gcs.Bucket(bucket, cache_keys.parse_prefix(prefix)))


class NoCache(Sugar, JobCache):
    """What tasks get from a runner without a cache: every use says how to configure one."""

    async def get(self, key: str, default: bytes | None = None) -> bytes | None:
        """Raise NoCacheError."""
        self._refuse(key, default)

    async def set(self, key: str, value: bytes) -> None:
        """Raise NoCacheError."""
        self._refuse(key, value)

    async def delete(self, key: str) -> None:
        """Raise NoCacheError."""
        self._refuse(key)

    def keys(self) -> AsyncIterator[str]:
        """Raise NoCacheError."""
        self._refuse()

    async def contains(self, key: str) -> bool:
        """Raise NoCacheError."""
        self._refuse(key)

    # A plain `execute` uses subscripts, whichever client runs it.

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
        """Return this, so that a runner can take the group of a job; using it is what fails."""
        return self

    def _refuse(self, *_: object) -> NoReturn:
        raise NoCacheError(
            "this task uses its job cache, and its runner has none: pass one to client.runner(..., cache=...), "
            "for example a LocalFileSystemCache from tilebox.workflows.cache"
        )

    def __repr__(self) -> str:
        return "<NoCache>"


class _Memory:
    """Values in memory: a dict for each group. What it does to dicts is atomic, and needs no lock."""

    def __init__(self) -> None:
        self._groups: dict[cache_keys.Names, dict[str, bytes]] = {}

    async def read(self, path: cache_keys.Names) -> bytes | None:
        return self._groups.get(path[:-1], {}).get(path[-1])

    async def write(self, path: cache_keys.Names, value: bytes) -> None:
        self._groups.setdefault(path[:-1], {})[path[-1]] = value

    async def delete(self, path: cache_keys.Names) -> bool:
        return self._groups.get(path[:-1], {}).pop(path[-1], None) is not None

    async def exists(self, path: cache_keys.Names) -> bool:
        return path[-1] in self._groups.get(path[:-1], {})

    async def names(self, group: cache_keys.Names) -> AsyncIterator[str]:
        for name in sorted(list(self._groups.get(group, {}))):  # noqa: C414 a copy, made in one step
            yield name

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an in-memory cache cannot leave its process, where no other would see its values; "
            "use a LocalFileSystemCache"
        )

    def __repr__(self) -> str:
        return "in memory"
