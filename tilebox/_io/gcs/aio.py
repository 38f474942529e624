"""Values in a bucket of Google Cloud Storage, for the async client.

A bucket given by name is used through gcloud-aio-storage, with one session per loop. A bucket object of Google's
library has credentials that only that library can use, so its calls are made in threads.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from tilebox._core.wire.backoff import Backoff, RetryPolicy
from tilebox._io.client_cache.aio import ClientCache
from tilebox._io.concurrency.aio import to_thread
from tilebox._io.gcs import sync
from tilebox.errors import AuthenticationError, MissingExtraError, PermissionDeniedError, TileboxError, TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

    from tilebox._core import cache_keys

__all__ = ["Bucket"]

T = TypeVar("T")

TIMEOUT_SECONDS = 60
"""The timeout of one attempt of a call."""

_RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_POLICY = RetryPolicy()
# The library requests credentials from this host if it has found no others.
_METADATA_HOST = "metadata.google.internal"
_random = Random()  # noqa: S311 it spreads retries, it hides nothing


class Bucket:
    """A bucket, or the part of it below a prefix.

    Args:
        bucket: A `google.cloud.storage.Bucket`, or the name of a bucket for the default credentials.
        prefix: The names with which all object names begin.
    """

    def __init__(self, bucket: Any, prefix: cache_keys.Names) -> None:
        self._bucket = _BucketByName(bucket, prefix) if isinstance(bucket, str) else _BucketObject(bucket, prefix)

    async def read(self, path: cache_keys.Names) -> bytes | None:
        """Return a value, or None if it does not exist."""
        return await self._bucket.read(path)

    async def write(self, path: cache_keys.Names, value: bytes) -> None:
        """Store a value."""
        await self._bucket.write(path, value)

    async def delete(self, path: cache_keys.Names) -> bool:
        """Delete a value, and return whether it existed."""
        return await self._bucket.delete(path)

    async def exists(self, path: cache_keys.Names) -> bool:
        """Return whether a value exists."""
        return await self._bucket.exists(path)

    async def names(self, group: cache_keys.Names) -> AsyncIterator[str]:
        """Iterate over the names of the values directly in a group, in order."""
        async for name in self._bucket.names(group):
            yield name

    def __repr__(self) -> str:
        return repr(self._bucket)


class _BucketByName:
    """A bucket given by name."""

    def __init__(self, name: str, prefix: cache_keys.Names) -> None:
        self._name = name
        self._prefix = prefix
        self._clients = ClientCache(_open)

    async def read(self, path: cache_keys.Names) -> bytes | None:
        storage = await self._clients.client()
        value: bytes | None = await self._call(
            lambda: storage.download(self._name, self._object(path), timeout=TIMEOUT_SECONDS), missing=None
        )
        return value

    async def write(self, path: cache_keys.Names, value: bytes) -> None:
        storage = await self._clients.client()
        kind = "application/octet-stream"
        await self._call(
            lambda: storage.upload(self._name, self._object(path), value, content_type=kind, timeout=TIMEOUT_SECONDS)
        )

    async def delete(self, path: cache_keys.Names) -> bool:
        storage = await self._clients.client()
        answer = await self._call(
            lambda: storage.delete(self._name, self._object(path), timeout=TIMEOUT_SECONDS), missing=None
        )
        return answer is not None

    async def exists(self, path: cache_keys.Names) -> bool:
        storage = await self._clients.client()
        found = await self._call(
            lambda: storage.download_metadata(self._name, self._object(path), timeout=TIMEOUT_SECONDS), missing=None
        )
        return found is not None

    async def names(self, group: cache_keys.Names) -> AsyncIterator[str]:
        storage = await self._clients.client()
        start = "".join(f"{name}/" for name in (*self._prefix, *group))
        params = {"prefix": start, "delimiter": "/", "fields": "items(name),nextPageToken", "maxResults": "1000"}
        while True:
            page = await self._call(
                lambda: storage.list_objects(self._name, params=dict(params), timeout=TIMEOUT_SECONDS)
            )
            for item in page.get("items", ()):
                yield item["name"].removeprefix(start)
            if "nextPageToken" not in page:
                return
            params["pageToken"] = page["nextPageToken"]

    async def _call(self, call: Callable[[], Awaitable[Any]], *, missing: Any = ...) -> Any:
        """Make a call, with the retries that the library lacks.

        Args:
            call: Makes the call, which must be safe to repeat.
            missing: The return value if the object does not exist; by default that is an error.
        """
        import aiohttp

        backoff = Backoff(_POLICY, _random, monotonic())
        with _translated(self._name):
            while True:
                try:
                    return await call()
                except aiohttp.ClientResponseError as error:
                    # A missing bucket is an error; it must not look like a key without a value.
                    if error.status == 404 and missing is not ... and "bucket does not exist" not in error.message:
                        return missing
                    seconds = backoff.delay(monotonic()) if error.status in _RETRIED_STATUSES else None
                    if seconds is None:
                        raise
                except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                    seconds = None if _METADATA_HOST in str(error) else backoff.delay(monotonic())
                    if seconds is None:
                        raise
                await asyncio.sleep(seconds)

    def _object(self, path: cache_keys.Names) -> str:
        return "/".join((*self._prefix, *path))

    def __reduce__(self) -> Any:
        return _BucketByName, (self._name, self._prefix)

    def __repr__(self) -> str:
        return repr("/".join(("gs:/", self._name, *self._prefix)))


class _BucketObject:
    """A bucket object of Google's library."""

    def __init__(self, bucket: Any, prefix: cache_keys.Names) -> None:
        self._bucket = sync.Bucket(bucket, prefix)

    async def read(self, path: cache_keys.Names) -> bytes | None:
        return await to_thread(self._bucket.read, path)

    async def write(self, path: cache_keys.Names, value: bytes) -> None:
        await to_thread(self._bucket.write, path, value)

    async def delete(self, path: cache_keys.Names) -> bool:
        return await to_thread(self._bucket.delete, path)

    async def exists(self, path: cache_keys.Names) -> bool:
        return await to_thread(self._bucket.exists, path)

    async def names(self, group: cache_keys.Names) -> AsyncIterator[str]:
        for name in await to_thread(lambda: list(self._bucket.names(group))):
            yield name

    def __repr__(self) -> str:
        return repr(self._bucket)


async def _open() -> AsyncGenerator[Any, None]:
    try:
        from gcloud.aio.storage import Storage
    except ImportError as error:
        raise MissingExtraError("a cache in Google Cloud Storage", "gcs") from error
    async with Storage() as storage:
        yield storage


@contextmanager
def _translated(bucket: str) -> Iterator[None]:
    """Raise errors of the library as Tilebox errors, the same ones as the sync side."""
    import aiohttp

    try:
        yield
    except aiohttp.ClientResponseError as error:
        message = f"the bucket {bucket} of a cache: {error.status} {error.message[:200]}"
        if error.status == 401:
            raise AuthenticationError(message) from error
        if error.status == 403:
            raise PermissionDeniedError(message) from error
        if error.status in _RETRIED_STATUSES:
            raise TransportError(f"no complete answer from {message}") from error
        raise TileboxError(f"{message}: it cannot be used") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        if _METADATA_HOST in str(error):
            raise AuthenticationError(
                f"the bucket {bucket} of a cache: there are no Google credentials, and this is not a machine of Google "
                "Cloud; set GOOGLE_APPLICATION_CREDENTIALS"
            ) from error
        raise TransportError(f"no complete answer from the bucket {bucket} of a cache: {error}") from error
