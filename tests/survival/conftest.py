"""Stages for scenarios."""

from __future__ import annotations

import pytest
from postgres import postgres_server
from survival.harness.proxy import Proxy
from survival.harness.stage import Stage

__all__ = ["postgres_server"]


@pytest.fixture
def stage(tmp_path):
    """A function that starts a server process, with settings; everything started on it is ended at the end."""
    stages = []

    def start(**settings):
        made = Stage(tmp_path / f"stage-{len(stages)}", **settings)
        made.folder.mkdir()
        stages.append(made)
        return made.__enter__()

    yield start
    for made in stages:
        made.__exit__(None, None, None)


@pytest.fixture
def proxy():
    """A function that starts a proxy before a stage's server."""
    proxies = []

    def start(stage):
        made = Proxy(stage.port)
        proxies.append(made)
        return made.__enter__()

    yield start
    for made in proxies:
        made.__exit__(None, None, None)
