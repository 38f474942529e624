"""Values in a bucket of S3, for the async client: aiobotocore, one client per loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tilebox._io.client_cache.aio import ClientCache
from tilebox._io.concurrency.aio import to_thread
from tilebox._io.s3.sync import is_missing, translated
from tilebox.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from tilebox._core import cache_keys

__all__ = ["Bucket", "is_missing", "translated"]


class Bucket:
    """A bucket, or the part of it below a prefix.

    Args:
        name: The name of the bucket.
        prefix: The names with which all object names begin.
        region: The AWS region; by default that of the AWS configuration.
        endpoint_url: The URL of the store, if it is not Amazon's.
    """

    def __init__(
        self, name: str, prefix: cache_keys.Names, *, region: str | None = None, endpoint_url: str | None = None
    ) -> None:
        self._settings = (name, prefix, region, endpoint_url)
        self._name = name
        self._prefix = prefix
        self._clients = ClientCache(partial(_open, name, region, endpoint_url))

    async def read(self, path: cache_keys.Names) -> bytes | None:
        """Return a value, or None if it does not exist."""
        client = await self._clients.client()
        with translated(self._name):
            try:
                answer = await client.get_object(**self._object(path))
            except Exception as error:
                if is_missing(error):
                    return None
                raise
            async with answer["Body"] as body:
                value: bytes = await body.read()
                return value

    async def write(self, path: cache_keys.Names, value: bytes) -> None:
        """Store a value."""
        client = await self._clients.client()
        with translated(self._name):
            await client.put_object(**self._object(path), Body=value)

    async def delete(self, path: cache_keys.Names) -> bool:
        """Delete a value, and return whether it existed, which the answer to the request does not tell."""
        if not await self.exists(path):
            return False
        client = await self._clients.client()
        with translated(self._name):
            await client.delete_object(**self._object(path))
        return True

    async def exists(self, path: cache_keys.Names) -> bool:
        """Return whether a value exists."""
        client = await self._clients.client()
        with translated(self._name):
            try:
                await client.head_object(**self._object(path))
            except Exception as error:
                if is_missing(error):
                    return False
                raise
            return True

    async def names(self, group: cache_keys.Names) -> AsyncIterator[str]:
        """Iterate over the names of the values directly in a group, in order."""
        start = "".join(f"{name}/" for name in (*self._prefix, *group))
        client = await self._clients.client()
        with translated(self._name):
            pages = client.get_paginator("list_objects_v2")
            async for page in pages.paginate(Bucket=self._name, Prefix=start, Delimiter="/"):
                for item in page.get("Contents", ()):
                    yield item["Key"].removeprefix(start)

    def _object(self, path: cache_keys.Names) -> dict[str, str]:
        return {"Bucket": self._name, "Key": "/".join((*self._prefix, *path))}

    def __reduce__(self) -> Any:
        name, prefix, region, endpoint_url = self._settings
        return _make, (type(self), name, prefix, region, endpoint_url)

    def __repr__(self) -> str:
        return repr("/".join(("s3:/", self._name, *self._prefix)))


def _make(kind: type[Bucket], name: str, prefix: cache_keys.Names, region: str | None, url: str | None) -> Bucket:
    return kind(name, prefix, region=region, endpoint_url=url)


async def _open(bucket: str, region: str | None, endpoint_url: str | None) -> AsyncGenerator[Any, None]:
    try:
        with translated(bucket):
            session = await to_thread(_read_descriptions)
    except ImportError as error:
        raise MissingExtraError("a cache in Amazon S3", "s3") from error
    with translated(bucket):
        async with session.create_client("s3", region_name=region, endpoint_url=endpoint_url) as client:
            yield client


def _read_descriptions() -> Any:
    """Return a session that has read its service descriptions, which takes a tenth of a second and would block the loop."""
    from aiobotocore.session import get_session
    from botocore.session import Session

    session = get_session()
    reader = Session()
    reader.register_component("data_loader", session.get_component("data_loader"))
    client = reader.create_client("s3", region_name="us-east-1")
    client.get_paginator("list_objects_v2")
    client.close()
    _ = session.full_config
    return session
