"""Values in a bucket of S3, for the sync client: botocore, one client per process."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tilebox._io.client_cache.sync import ClientCache
from tilebox.errors import AuthenticationError, MissingExtraError, PermissionDeniedError, TileboxError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tilebox._core import cache_keys

__all__ = ["Bucket", "is_missing", "translated"]

_NO_SUCH_KEY = {"404", "NoSuchKey", "NotFound"}


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

    def read(self, path: cache_keys.Names) -> bytes | None:
        """Return a value, or None if it does not exist."""
        client = self._clients.client()
        with translated(self._name):
            try:
                answer = client.get_object(**self._object(path))
            except Exception as error:
                if is_missing(error):
                    return None
                raise
            with answer["Body"] as body:
                value: bytes = body.read()
                return value

    def write(self, path: cache_keys.Names, value: bytes) -> None:
        """Store a value."""
        client = self._clients.client()
        with translated(self._name):
            client.put_object(**self._object(path), Body=value)

    def delete(self, path: cache_keys.Names) -> bool:
        """Delete a value, and return whether it existed, which the answer to the request does not tell."""
        if not self.exists(path):
            return False
        client = self._clients.client()
        with translated(self._name):
            client.delete_object(**self._object(path))
        return True

    def exists(self, path: cache_keys.Names) -> bool:
        """Return whether a value exists."""
        client = self._clients.client()
        with translated(self._name):
            try:
                client.head_object(**self._object(path))
            except Exception as error:
                if is_missing(error):
                    return False
                raise
            return True

    def names(self, group: cache_keys.Names) -> Iterator[str]:
        """Iterate over the names of the values directly in a group, in order."""
        start = "".join(f"{name}/" for name in (*self._prefix, *group))
        client = self._clients.client()
        with translated(self._name):
            pages = client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._name, Prefix=start, Delimiter="/"):
                for item in page.get("Contents", ()):
                    yield item["Key"].removeprefix(start)

    def _object(self, path: cache_keys.Names) -> dict[str, str]:
        return {"Bucket": self._name, "Key": "/".join((*self._prefix, *path))}

    def __reduce__(self) -> Any:
        name, prefix, region, endpoint_url = self._settings
        return _make, (type(self), name, prefix, region, endpoint_url)

    def __repr__(self) -> str:
        return repr("/".join(("s3:/", self._name, *self._prefix)))


def is_missing(error: Exception) -> bool:
    """Return whether an error means that the object does not exist."""
    answer: dict[str, Any] = getattr(error, "response", {})
    return answer.get("Error", {}).get("Code") in _NO_SUCH_KEY


@contextmanager
def translated(bucket: str) -> Iterator[None]:
    """Raise errors of botocore as Tilebox errors.

    Args:
        bucket: The name of the bucket in error messages.

    Raises:
        AuthenticationError: There are no credentials, or the store does not accept them.
        PermissionDeniedError: The credentials do not allow the operation.
        TransportError: There was no complete answer, even after the retries of botocore.
        TileboxError: The store refused for another reason, for example because the bucket does not exist.
    """
    from botocore import exceptions as botocore

    try:
        yield
    except botocore.ClientError as error:
        raise _refused(bucket, error) from error
    except (botocore.NoCredentialsError, botocore.PartialCredentialsError, botocore.CredentialRetrievalError) as error:
        raise AuthenticationError(
            f"the bucket {bucket} of a cache: {error}; set AWS_ACCESS_KEY_ID, or a profile"
        ) from error
    except (botocore.HTTPClientError, botocore.ConnectionError, botocore.IncompleteReadError) as error:
        raise TransportError(f"no complete answer from the bucket {bucket} of a cache: {error}") from error
    except botocore.BotoCoreError as error:
        raise TileboxError(f"the bucket {bucket} of a cache cannot be used: {error}") from error


def _refused(bucket: str, error: Any) -> TileboxError:
    message = f"the bucket {bucket} of a cache: {error}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if error.response.get("Error", {}).get("Code") in {"InvalidAccessKeyId", "ExpiredToken", "SignatureDoesNotMatch"}:
        return AuthenticationError(message)
    return PermissionDeniedError(message) if status == 403 else TileboxError(message)


def _make(kind: type[Bucket], name: str, prefix: cache_keys.Names, region: str | None, url: str | None) -> Bucket:
    return kind(name, prefix, region=region, endpoint_url=url)


def _open(bucket: str, region: str | None, endpoint_url: str | None) -> Any:
    try:
        from botocore.session import Session
    except ImportError as error:
        raise MissingExtraError("a cache in Amazon S3", "s3") from error
    # A new session, because opening clients of a shared session is not thread-safe.
    with translated(bucket):
        return Session().create_client("s3", region_name=region, endpoint_url=endpoint_url)
