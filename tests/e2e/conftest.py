"""Servers with something in them, and the environment variables that lead to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from e2e.docs import open_data

from tilebox.datasets import Client
from tilebox.testing import LocalServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server of the module's own."""
    with LocalServer(tmp_path_factory.mktemp("module-server") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def open_data_server(module_server: LocalServer) -> LocalServer:
    """A server with the open data that the documentation talks about."""
    open_data.fill(Client(module_server.url, module_server.token))
    return module_server


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[LocalServer], None]:
    """Make a server the one that a client without arguments finds."""

    def point_at(server: LocalServer) -> None:
        monkeypatch.setenv("TILEBOX_API_URL", server.url)
        monkeypatch.setenv("TILEBOX_API_KEY", server.token)

    return point_at
