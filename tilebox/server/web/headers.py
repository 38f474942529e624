"""The headers of a request, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers of a request by lower-case name; the last one counts where a name repeats."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def header(scope: Scope, name: bytes) -> bytes:
    """Return the first header of a name, or nothing."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


def is_grpc(scope: Scope) -> bool:
    """Tell whether the caller speaks gRPC; otherwise it speaks Connect."""
    return header(scope, b"content-type").startswith(b"application/grpc")
