"""Fixtures for scenarios: stages and proxies."""

from __future__ import annotations

import pytest
from support.store.postgres import postgres_server
from survival.harness.proxy import Proxy
from survival.harness.stage import Stage

__all__ = ["postgres_server"]


@pytest.fixture
def start_stage(tmp_path):
    """A function that starts a stage with server settings; all of its processes are killed after the test."""
    stages = []

    def start(**settings):
        created = Stage(tmp_path / f"stage-{len(stages)}", **settings)
        created.folder.mkdir()
        stages.append(created)
        return created.__enter__()

    yield start
    for created in stages:
        created.__exit__(None, None, None)


@pytest.fixture
def start_proxy():
    """A function that starts a proxy in front of a stage's server."""
    proxies = []

    def start(stage):
        created = Proxy(stage.port)
        proxies.append(created)
        return created.__enter__()

    yield start
    for created in proxies:
        created.__exit__(None, None, None)
