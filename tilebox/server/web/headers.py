"""Access to request headers by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers of a request by lower-case name; the last value wins if a name repeats."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def header(scope: Scope, name: bytes) -> bytes:
    """Return the first value of a header, or an empty value."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


def is_grpc(scope: Scope) -> bool:
    """Return whether a request uses gRPC; all others use Connect."""
    return header(scope, b"content-type").startswith(b"application/grpc")
