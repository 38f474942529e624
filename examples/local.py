"""A client for the examples: of the server in the environment, or of one that runs as long as the example."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tilebox.workflows import Client

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def workflows() -> Iterator[Client]:
    """Yield a workflows client."""
    if "TILEBOX_API_URL" in os.environ:
        yield Client()
        return
    from tilebox.testing import LocalServer

    with LocalServer() as server:
        yield server.workflows()
