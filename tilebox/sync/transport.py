# Generated from tilebox/aio/transport.py by scripts/unasync.py; do not edit.
"""Calls of the Tilebox API: Connect's unary protocol, and answers that are streams, both through httpx.

Calls are retried while that may help and can do no harm; every error that leaves this file is one of
`tilebox.errors`.
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
from tilebox._io.http.errors import is_wrong_address, translated, was_sent
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
# Of silence, not of the whole answer; a count or a large commit may take the server a while.
SILENCE_SECONDS = 120.0
# Servers and proxies close connections that were idle for a minute.
IDLE_SECONDS = 50.0
MAX_CONNECTIONS = 100
"""How many requests of one client are under way at once; more of them wait, since a process has few file handles."""
COMPRESS_FROM_BYTES = 16_384


class Transport:
    """The way to one server, with one key.

    May be shared by threads and event loops. Makes no request of its own accord.

    Args:
        config: Where the server is, and the key.
        policy: When to retry, and how often.
        http_client: The caller's `httpx.AsyncClient` (`httpx.Client` for the sync client); by default one of ours.

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
        """Tell whether the server said, in any answer so far, that it has an extension of the wire."""
        return extension in self._extensions

    def call(self, call: Call[ResponseMessage]) -> ResponseMessage:
        """Make one unary call.

        Raises:
            TransportError: No complete answer came, also after retries.
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
        """Send a request whose answer is read piece by piece, inside the `with`; never retried.

        Raises:
            TransportError: No complete answer came.
            APIError: The server answered with an error.
        """
        what = self.describe(method)
        headers = {"content-type": "application/proto", "accept": accept}
        with self._exchange(method, request.SerializeToString(deterministic=True), headers) as response:
            if response.status_code != 200:
                raise self._error(response, response.read(), what)
            yield response

    def backoff(self) -> Backoff:
        """Return the retries of one call, which starts now."""
        return Backoff(self._policy, self._random, monotonic())

    def pause(self, backoff: Backoff, error: TileboxError, method: str) -> None:
        """Wait before the next attempt, or give up by raising the error that the last one had."""
        is_hopeless = not self._was_answered and is_wrong_address(error)
        seconds = None if is_hopeless else backoff.delay(monotonic())
        if seconds is None:
            if backoff.failed > 1:
                error.add_note(f"tried {backoff.failed} times")
            raise error
        _log.debug("attempt %d of %s failed, next one in %.2f s: %s", backoff.failed, method, seconds, error)
        sleep(seconds)

    def describe(self, method: str) -> str:
        """Return how messages name a method, as in `DatasetService/GetDataset at https://...`."""
        return f"{method.rpartition('.')[2]} at {self.config.url}"

    def _send(self, call: Call[ResponseMessage], body: bytes) -> ResponseMessage:
        what = self.describe(call.method)
        headers = {"content-type": "application/proto", "connect-protocol-version": "1"}
        with self._exchange(call.method, body, headers) as response:
            content = response.read()
        if response.status_code != 200:
            raise self._error(response, content, what)
        try:
            return call.response_type.FromString(content)
        except DecodeError as error:
            raise TransportError(f"the answer of {what} is not what the API describes; check the URL") from error

    @contextmanager
    def _exchange(self, method: str, content: bytes, headers: dict[str, str]) -> Iterator[Response]:
        """Send a request, and read its response inside the `with`."""
        what = self.describe(method)
        content, headers = self._packed(content, headers)
        with translated(what, is_encrypted=self.config.is_encrypted):
            client = self._http.get()
            request = client.build_request(
                "POST",
                self.config.path(method),
                content=content,
                # In no local variable, because reports of errors may show those, and the key with them.
                headers={**self._headers, **self.config.headers, **headers},
            )
            # A redirect would take the key to wherever it points.
            found = client.send(request, stream=True, follow_redirects=False)
            try:
                response = Response(found, what)
                self._note(response)
                yield response
            finally:
                found.close()

    def _packed(self, body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        # Without TLS the server is near, and compressing costs more time than it saves.
        if self.config.is_encrypted and len(body) >= COMPRESS_FROM_BYTES:
            body = gzip.compress(body, compresslevel=1)
            headers = {**headers, "content-encoding": "gzip"}
        return body, headers

    def _note(self, response: Response) -> None:
        self._was_answered = True
        extensions = response.headers.get(status.EXTENSIONS_HEADER)
        if extensions is not None:
            self._extensions = frozenset(part.strip() for part in extensions.split(","))

    def _error(self, response: Response, content: bytes, what: str) -> TileboxError:
        error = status.error_from_response(response.status_code, content, response.headers, call=what)
        if isinstance(error, AuthenticationError) and self.config.token is None:
            error.add_note("no API key was given: pass token=..., or set TILEBOX_API_KEY")
        if response.status_code == 413 and isinstance(error, RateLimitedError):
            return RequestTooLargeError(error.message, code=error.code, request_id=error.request_id)
        return error


def _may_repeat(call: Call[Any], error: TileboxError) -> bool:
    if isinstance(error, (RequestTooLargeError, AnswerTooLargeError)):
        return False  # waiting does not make it smaller
    if call.is_idempotent or isinstance(error, RateLimitedError):
        return True
    return isinstance(error, TransportError) and not was_sent(error)


def _client_options(config: Config) -> dict[str, Any]:
    """Return the arguments of an HTTP client of ours; what they leave out is as httpx has it."""
    import httpx

    return {
        "timeout": httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, pool=None),
        "limits": httpx.Limits(
            max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS, keepalive_expiry=IDLE_SECONDS
        ),
        "http2": config.is_encrypted and find_spec("h2") is not None,
        **_tls_options(config),
    }


def _tls_options(config: Config) -> dict[str, Any]:
    if config.is_encrypted or getproxies():
        return {}
    # TLS is not used, and reading the usual authorities takes 0.15 s.
    return {"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}


def _headers(*, is_encrypted: bool) -> dict[str, str]:
    """Return the headers of every request, but for the key."""
    version = f'name="python", version="{__version__}", runtime="python"'
    return {
        "accept-encoding": "gzip" if is_encrypted else "identity",
        "user-agent": f"tilebox-python/{__version__}",
        "tilebox-client": f'{version}, runtime-version="{platform.python_version()}"',
    }
