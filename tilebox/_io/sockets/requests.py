"""What is said over a socket and what comes back as a whole, the same for both worlds."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import httpx

from tilebox._core.http1 import BadRequestError, Reply, request_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tilebox._core.http1 import Head


@lru_cache(256)
def url_of(address: str) -> httpx.URL:
    """Return an address taken apart."""
    return httpx.URL(address)


def head_of(method: str, url: httpx.URL, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a request.

    Raises:
        LocalProtocolError: A header has a line break in it.
    """
    try:
        return request_head(method.encode("ascii"), url.raw_path, headers)
    except BadRequestError as error:
        raise httpx.LocalProtocolError(str(error)) from None


class PostHeads:
    """The heads of a client's POSTs: from call to call, only the length is another."""

    def __init__(self) -> None:
        self._begun = lru_cache(256)(_begun_head)

    def of(self, address: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return the head of a POST, with the headers that every request has; raises as `head_of` does."""
        return b"%b%d\r\n\r\n" % (self._begun(address, tuple(headers.items())), len(body))


def _begun_head(address: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    url = url_of(address)
    given = {"host": url.netloc.decode("ascii"), **dict(headers)}
    head = head_of("POST", url, [(name.encode("ascii"), value.encode("ascii")) for name, value in given.items()])
    return head.removesuffix(b"\r\n") + b"content-length: "


def reply_of(head: Head, content: bytes) -> Reply:
    """Return an answer of which all has arrived; what is packed unasked is unpacked.

    Raises:
        DecodingError: It cannot be unpacked.
    """
    reply = Reply.of(head, content)
    if reply.headers.get("content-encoding", "identity") == "identity":
        return reply
    unpacked = httpx.Response(reply.status_code, headers=reply.headers, content=content)
    return reply._replace(content=unpacked.content)
