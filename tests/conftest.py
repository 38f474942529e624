"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# A test must not fail because the machine is busy. CI tries the same examples every time, other runs try new ones.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("untimed"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "untimed")


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, help="play only this seed of the simulation (tests/simulation)")


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A real server in a thread, one a test process; `.url` and `.token`. Tests choose names of their own in it."""
    from tilebox.testing import LocalServer

    with LocalServer(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
def fresh_server(tmp_path):
    """A function that starts a server of one's own: `fresh_server(page_rows=10)`. All are stopped at the end."""
    from tilebox.testing import LocalServer

    started = []

    def start(data_dir=None, **settings):
        running = LocalServer(data_dir or tmp_path / f"data-{len(started)}", **settings).start()
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()
