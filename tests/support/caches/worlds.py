"""One interface to every cache of the sync and the async client, so that one suite tests all of them."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from support.caches.buckets import fresh_prefix

from tilebox.aio.workflows import cache as aio
from tilebox.sync.workflows import cache as sync

if TYPE_CHECKING:
    from collections.abc import Iterator

WORLDS = {"aio": aio, "sync": sync}
BACK_ENDS = ["memory", "files", "s3", "gcs"]


class Plain:
    """A synchronous wrapper of a cache of either client.

    Args:
        cache: The cache.
        runner: What runs coroutines, if the cache is of the async world.
    """

    def __init__(self, cache: Any, runner: asyncio.Runner | None) -> None:
        self.cache = cache
        self._runner = runner

    def get(self, *arguments: Any) -> bytes | None:
        return self._wait(self.cache.get(*arguments))

    def set(self, key: Any, value: Any) -> None:
        self._wait(self.cache.set(key, value))

    def delete(self, key: Any) -> None:
        self._wait(self.cache.delete(key))

    def contains(self, key: Any) -> bool:
        return self._wait(self.cache.contains(key))

    def keys(self) -> list[str]:
        if self._runner is None:
            return list(self.cache)
        return self._runner.run(_collect(self.cache))

    def group(self, name: Any) -> Plain:
        return Plain(self.cache.group(name), self._runner)

    def again(self, cache: Any) -> Plain:
        """Wrap another cache of the same client."""
        return Plain(cache, self._runner)

    def _wait(self, result: Any) -> Any:
        if self._runner is None:
            assert not inspect.isawaitable(result)
            return result
        return self._runner.run(result)


async def _collect(cache: Any) -> list[str]:
    return [key async for key in cache]


def make_cache(request: Any, world: str, back_end: str, bucket: str = "caches") -> Any:
    """Return a cache, empty unless in another bucket, with servers and folders from the fixtures of the request."""
    classes = WORLDS[world]
    prefix = fresh_prefix() if bucket == "caches" else "jobs"
    if back_end == "memory":
        return classes.InMemoryCache()
    if back_end == "files":
        return classes.LocalFileSystemCache(request.getfixturevalue("tmp_path_factory").mktemp("cache") / "root")
    if back_end == "s3":
        url = request.getfixturevalue("s3_url")
        return classes.AmazonS3Cache(bucket, prefix, endpoint_url=url)
    request.getfixturevalue("gcs_url")
    return classes.GoogleStorageCache(bucket, prefix)


@contextmanager
def opened_cache(request: Any, world: str, back_end: str, bucket: str = "caches") -> Iterator[Plain]:
    """Open a cache, with an event loop if it needs one."""
    made = make_cache(request, world, back_end, bucket)
    if world == "sync":
        yield Plain(made, None)
        return
    with asyncio.Runner() as runner:
        yield Plain(made, runner)
