"""Servers for runners."""

from __future__ import annotations

import threading

import pytest
from runner.exchange_server import WAIT_SECONDS, ExchangeServer

from tilebox.workflows import Client


@pytest.fixture
def scripted():
    """A function that starts a scripted server; all servers are stopped at the end."""
    started = []

    def start(**options):
        server = ExchangeServer(**options)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def running():
    """A function that runs a runner in a thread: `running(server, tasks)`. All are stopped and awaited at the end."""
    started = []

    def start(server, tasks, *, run="run_forever", **options):
        runner = Client(server.url, "key").runner(tasks=tasks, **options)
        runner.error = None

        def main():
            try:
                getattr(runner, run)()
            except BaseException as error:  # noqa: BLE001 - the test checks it
                runner.error = error

        runner.thread = threading.Thread(target=main, daemon=True)
        runner.thread.start()
        started.append(runner)
        return runner

    yield start
    for runner in started:
        runner.stop()
    for runner in started:
        runner.thread.join(WAIT_SECONDS)
        assert not runner.thread.is_alive()
