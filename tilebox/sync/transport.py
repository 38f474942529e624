# Generated from tilebox/aio/transport.py by scripts/unasync.py; do not edit.
"""Calls of the Tilebox API through httpx: unary calls of the Connect protocol, and streamed responses.

Calls are retried if a retry may help and is safe. Every error raised here is one of `tilebox.errors`.
"""

from __future__ import annotations

import gzip
import logging
import platform
import ssl
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

from google.protobuf.message import DecodeError

from tilebox import __version__
from tilebox._core.wire import status
from tilebox._core.wire.backoff import Backoff, RetryPolicy
from tilebox._io.concurrency.sync import sleep
from tilebox._io.http.sync import HttpClient
from tilebox._io.http.errors import is_wrong_address, translate_errors, was_sent
from tilebox.sync.response import Response
from tilebox.errors import (
    AnswerTooLargeError,
    AuthenticationError,
    RateLimitedError,
    RequestTooLargeError,
    TileboxError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from google.protobuf.message import Message

    from tilebox._core.wire.calls import Call, ResponseMessage
    from tilebox._core.wire.config import Config

_log = logging.getLogger("tilebox.transport")

CONNECT_SECONDS = 10.0
# The longest silence, not the duration of the whole response: a count or a large commit may take the server a while.
READ_TIMEOUT_SECONDS = 120.0
# Servers and proxies close connections that were idle for a minute.
IDLE_SECONDS = 50.0
MAX_CONNECTIONS = 100
"""The number of concurrent requests of one client. Further ones wait, because a process has few file handles."""
COMPRESS_FROM_BYTES = 16_384


class Transport:
    """The connection to one server with one API key.

    Threads and event loops may share a transport. It makes no request by itself.

    Args:
        config: The URL of the server and the API key.
        policy: The retry policy.
        http_client: The caller's HTTP client. By default the transport opens and closes its own.

    Raises:
        TypeError: The HTTP client is of the wrong kind.
    """

    def __init__(
        self, config: Config, *, policy: RetryPolicy | None = None, http_client: httpx.Client | None = None
    ) -> None:
        self.config = config
        self._policy = policy or RetryPolicy()
        self._random = Random()  # noqa: S311 it spreads retries, it hides nothing
        self._extensions: frozenset[str] = frozenset()
        self._was_answered = False
        self._http = HttpClient(http_client, partial(_client_options, config))
        self._headers = _headers(is_encrypted=config.is_encrypted)

    def offers(self, extension: str) -> bool:
        """Return whether the latest response announced an extension of the API."""
        return extension in self._extensions

    def call(self, call: Call[ResponseMessage]) -> ResponseMessage:
        """Make one unary call.

        Raises:
            TransportError: No complete response arrived, even after retries.
            APIError: The server answered with an error.
        """
        body = call.body()
        backoff = self.backoff()
        while True:
            try:
                return self._send(call, body)
            except (TransportError, RateLimitedError) as error:
                if not _may_repeat(call, error):
                    raise
                self.pause(backoff, error, call.method)

    @contextmanager
    def open(self, method: str, request: Message, *, accept: str) -> Iterator[Response]:
        """Send a request and yield its response, whose body the caller reads inside the `with`. Never retried.

        Raises:
            TransportError: No complete response arrived.
            APIError: The server answered with an error.
        """
        target = self.describe(method)
        headers = {"content-type": "application/proto", "accept": accept}
        with self._exchange(method, request.SerializeToString(deterministic=True), headers) as response:
            if response.status_code != 200:
                raise self._error(response, response.read(), target)
            yield response

    def backoff(self) -> Backoff:
        """Return the backoff of a call that starts now."""
        return Backoff(self._policy, self._random, monotonic())

    def pause(self, backoff: Backoff, error: TileboxError, method: str) -> None:
        """Wait before the next attempt, or raise the error of the last attempt to give up."""
        is_hopeless = not self._was_answered and is_wrong_address(error)
        seconds = None if is_hopeless else backoff.delay(monotonic())
        if seconds is None:
            if backoff.failed > 1:
                error.add_note(f"tried {backoff.failed} times")
            raise error
        _log.debug("attempt %d of %s failed, next one in %.2f s: %s", backoff.failed, method, seconds, error)
        sleep(seconds)

    def describe(self, method: str) -> str:
        """Return the name of a method in messages, such as `DatasetService/GetDataset at https://...`."""
        return f"{method.rpartition('.')[2]} at {self.config.url}"

    def _send(self, call: Call[ResponseMessage], body: bytes) -> ResponseMessage:
        target = self.describe(call.method)
        headers = {"content-type": "application/proto", "connect-protocol-version": "1"}
        with self._exchange(call.method, body, headers) as response:
            content = response.read()
        if response.status_code != 200:
            raise self._error(response, content, target)
        try:
            return call.response_type.FromString(content)
        except DecodeError as error:
            raise TransportError(f"the response of {target} is not a message of the API; check the URL") from error

    @contextmanager
    def _exchange(self, method: str, content: bytes, headers: dict[str, str]) -> Iterator[Response]:
        """Send a request and yield its response, whatever its status."""
        target = self.describe(method)
        content, headers = self._compress(content, headers)
        with translate_errors(target, is_encrypted=self.config.is_encrypted):
            client = self._http.get()
            request = client.build_request(
                "POST",
                self.config.path(method),
                content=content,
                # Not in a local variable, because error reports may show local variables, and with them the key.
                headers={**self._headers, **self.config.headers, **headers},
            )
            # A redirect is not followed, because that would send the key to another address.
            http_response = client.send(request, stream=True, follow_redirects=False)
            try:
                response = Response(http_response, target)
                self._note(response)
                yield response
            finally:
                http_response.close()

    def _compress(self, body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        # A server without TLS is local, and compression would cost more time than it saves.
        if self.config.is_encrypted and len(body) >= COMPRESS_FROM_BYTES:
            body = gzip.compress(body, compresslevel=1)
            headers = {**headers, "content-encoding": "gzip"}
        return body, headers

    def _note(self, response: Response) -> None:
        self._was_answered = True
        extensions = response.headers.get(status.EXTENSIONS_HEADER)
        if extensions is not None:
            self._extensions = frozenset(part.strip() for part in extensions.split(","))

    def _error(self, response: Response, content: bytes, target: str) -> TileboxError:
        error = status.error_from_response(response.status_code, content, response.headers, call=target)
        if isinstance(error, AuthenticationError) and self.config.token is None:
            error.add_note("no API key was given: pass token=..., or set TILEBOX_API_KEY")
        if response.status_code == 413 and isinstance(error, RateLimitedError):
            return RequestTooLargeError(error.message, code=error.code, request_id=error.request_id)
        return error


def _may_repeat(call: Call[Any], error: TileboxError) -> bool:
    if isinstance(error, (RequestTooLargeError, AnswerTooLargeError)):
        return False  # a repetition has the same size
    if call.is_idempotent or isinstance(error, RateLimitedError):
        return True
    return isinstance(error, TransportError) and not was_sent(error)


def _client_options(config: Config) -> dict[str, Any]:
    """Return the arguments of the HTTP client that the transport opens itself; the rest are defaults of httpx."""
    import httpx

    return {
        "timeout": httpx.Timeout(READ_TIMEOUT_SECONDS, connect=CONNECT_SECONDS, pool=None),
        "limits": httpx.Limits(
            max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS, keepalive_expiry=IDLE_SECONDS
        ),
        "http2": config.is_encrypted and find_spec("h2") is not None,
        **_tls_options(config),
    }


def _tls_options(config: Config) -> dict[str, Any]:
    if config.is_encrypted or getproxies():
        return {}
    # TLS is not used, and reading the default certificate authorities takes 0.15 s.
    return {"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}


def _headers(*, is_encrypted: bool) -> dict[str, str]:
    """Return the headers of every request, without the API key."""
    version = f'name="python", version="{__version__}", runtime="python"'
    return {
        "accept-encoding": "gzip" if is_encrypted else "identity",
        "user-agent": f"tilebox-python/{__version__}",
        "tilebox-client": f'{version}, runtime-version="{platform.python_version()}"',
    }
