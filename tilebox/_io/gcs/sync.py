"""Values in a bucket of Google Cloud Storage, for the sync client: Google's library, one client per process."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tilebox._io.client_cache.sync import ClientCache
from tilebox.errors import AuthenticationError, MissingExtraError, PermissionDeniedError, TileboxError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tilebox._core import cache_keys

__all__ = ["Bucket"]


class Bucket:
    """A bucket, or the part of it below a prefix.

    Args:
        bucket: A `google.cloud.storage.Bucket`, or the name of a bucket for the default credentials.
        prefix: The names with which all object names begin.
    """

    def __init__(self, bucket: Any, prefix: cache_keys.Names) -> None:
        given = None if isinstance(bucket, str) else bucket
        self._name: str = bucket if given is None else given.name
        self._prefix = prefix
        self._settings = {} if given is None else _settings_of(given)
        self._clients = ClientCache(partial(_open, self._name, self._settings), given and given.client)

    def read(self, path: cache_keys.Names) -> bytes | None:
        """Return a value, or None if it does not exist."""
        blob = self._object(path)
        with _translated(self._name):
            try:
                value: bytes = blob.download_as_bytes()
            except Exception as error:
                if _is_missing(error):
                    return None
                raise
            return value

    def write(self, path: cache_keys.Names, value: bytes) -> None:
        """Store a value."""
        blob = self._object(path)
        with _translated(self._name):
            blob.upload_from_string(value, content_type="application/octet-stream")

    def delete(self, path: cache_keys.Names) -> bool:
        """Delete a value, and return whether it existed."""
        blob = self._object(path)
        with _translated(self._name):
            try:
                blob.delete()
            except Exception as error:
                if _is_missing(error):
                    return False
                raise
            return True

    def exists(self, path: cache_keys.Names) -> bool:
        """Return whether a value exists."""
        blob = self._object(path)
        with _translated(self._name):
            return bool(blob.exists())

    def names(self, group: cache_keys.Names) -> Iterator[str]:
        """Iterate over the names of the values directly in a group, in order."""
        start = "".join(f"{name}/" for name in (*self._prefix, *group))
        options = {"delimiter": "/", "fields": "items(name),nextPageToken", "page_size": 1000}
        bucket = self._bucket()
        with _translated(self._name):
            for blob in bucket.list_blobs(prefix=start, **options):
                yield blob.name.removeprefix(start)

    def _object(self, path: cache_keys.Names) -> Any:
        return self._bucket().blob("/".join((*self._prefix, *path)))

    def _bucket(self) -> Any:
        return self._clients.client().bucket(self._name, user_project=self._settings.get("user_project"))

    def __getstate__(self) -> Any:
        # A client belongs to its process. Another process opens its own, with the same credentials.
        return self._name, self._prefix, self._settings

    def __setstate__(self, state: Any) -> None:
        self._name, self._prefix, self._settings = state
        self._clients = ClientCache(partial(_open, self._name, self._settings))

    def __repr__(self) -> str:
        return repr("/".join(("gs:/", self._name, *self._prefix)))


def _settings_of(bucket: Any) -> dict[str, Any]:
    """Return the settings with which another process can open a bucket object's client again."""
    client = bucket.client
    # The library has no public name for the credentials of a client.
    credentials = client._credentials  # noqa: SLF001
    return {
        "credentials": credentials,
        "project": client.project,
        "api_endpoint": client.api_endpoint,
        "user_project": bucket.user_project,
    }


def _open(bucket: str, settings: dict[str, Any]) -> Any:
    try:
        from google.cloud import storage
    except ImportError as error:
        raise MissingExtraError("a cache in Google Cloud Storage", "gcs") from error
    if not settings:
        with _translated(bucket):
            return storage.Client()
    return storage.Client(
        settings["project"],
        settings["credentials"],
        client_options={"api_endpoint": settings["api_endpoint"]},
    )


def _is_missing(error: Exception) -> bool:
    from google.api_core.exceptions import NotFound

    # A missing bucket is an error; it must not look like a key without a value.
    return isinstance(error, NotFound) and "bucket does not exist" not in str(error)


@contextmanager
def _translated(bucket: str) -> Iterator[None]:
    """Raise errors of Google's library as Tilebox errors.

    Args:
        bucket: The name of the bucket in error messages.

    Raises:
        AuthenticationError: There are no credentials, or they are not valid.
        PermissionDeniedError: The credentials do not allow the operation.
        TransportError: There was no complete answer, even after the retries of the library.
        TileboxError: The store refused for another reason, for example because the bucket does not exist.
    """
    from google.api_core import exceptions as google
    from google.auth import exceptions as auth
    from requests import RequestException

    try:
        yield
    except (google.Unauthorized, auth.DefaultCredentialsError, auth.RefreshError) as error:
        raise AuthenticationError(f"the bucket {bucket} of a cache: {error}") from error
    except google.Forbidden as error:
        raise PermissionDeniedError(f"the bucket {bucket} of a cache: {error}") from error
    except (google.ServerError, google.RetryError, auth.TransportError, RequestException) as error:
        raise TransportError(f"no complete answer from the bucket {bucket} of a cache: {error}") from error
    except (google.GoogleAPIError, auth.GoogleAuthError) as error:
        raise TileboxError(f"the bucket {bucket} of a cache cannot be used: {error}") from error
