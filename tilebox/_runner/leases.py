"""Lease keeping: starts the heartbeat process of a runner when needed, or a thread where no process can start."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import anyio

from tilebox._core.runner.exchanges import seconds_of
from tilebox._core.wire.config import TOKEN_VARIABLE
from tilebox._runner.channel import Channel, proxy_of
from tilebox._runner.heartbeat.process import Heartbeat
from tilebox._runner.heartbeat.table import LeaseTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2

_log = logging.getLogger("tilebox.workflows.runner")

PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
SHORTEST_CHECK_SECONDS = 0.01
LONGEST_CHECK_SECONDS = 10.0


class LeaseKeeper:
    """Keeps the leases of one runner alive.

    Args:
        url: The base URL of the server.
        headers: The headers of requests, including the API key. They reach the heartbeat process through a pipe,
            which no other process reads.
        runner_id: The id of the runner, 16 bytes.
        has_extension: Whether the server supports the runner extension.
        slots: The number of tasks that execute at the same time.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], *, runner_id: bytes, has_extension: bool, slots: int
    ) -> None:
        self.table = LeaseTable.create(slots)
        self._url = url
        self._headers = dict(headers)
        self._runner_id = runner_id
        self._has_extension = has_extension
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._lease_times: tuple[float, float] | None = None
        self._check_seconds = LONGEST_CHECK_SECONDS
        self._check_is_due = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The id of the heartbeat process, or None if there is none."""
        return None if self._process is None else self._process.pid

    def ensure_heartbeat(self) -> None:
        """Start the heartbeat process, which extends the leases, unless it runs."""
        with self._lock:
            if self._stop.is_set() or self._thread is not None:
                return
            if self._process is not None:
                if self._process.poll() is None:
                    return
                _log.debug(
                    "the heartbeat process ended with exit code %s; starting another one", self._process.returncode
                )
                self._discard(self._process)
            self._process = self._start_process()

    def record_response(self, response: runners_pb2.ExchangeResponse) -> bool:
        """Record the leases of claimed tasks and their duration.

        Returns:
            Whether leases must be checked more often from now on. If so, call `check_soon` on the loop.
        """
        if len(response.tasks) > 1:
            # However short the tasks are: if one of them kills the runner, the heartbeat process must report its death.
            self.ensure_heartbeat()
        lease = seconds_of(response.lease)
        extend_after = seconds_of(response.extend_after) or lease / 3
        with self._lock:
            # Record a single task as well, since it may wait behind the tasks of an earlier batch.
            self.table.record_claims([(task.task_id, task.lease_number) for task in response.tasks], monotonic())
            if not extend_after or (extend_after, lease) == self._lease_times:
                return False
            self._lease_times = extend_after, lease
            self.table.set_times(extend_after, lease)
            previous = self._check_seconds
            self._check_seconds = min(max(extend_after / 2, SHORTEST_CHECK_SECONDS), LONGEST_CHECK_SECONDS)
            return self._check_seconds < previous

    async def wait_for_check(self) -> None:
        """Wait until the next check for lost leases is due."""
        with anyio.move_on_after(self._check_seconds):
            await self._check_is_due.wait()
        self._check_is_due.clear()

    def check_soon(self) -> None:
        """End the wait for the next check. Call it on the loop."""
        self._check_is_due.set()

    def close(self) -> None:
        """End the heartbeat and remove the table."""
        with self._lock:
            self._stop.set()
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                self._discard(self._process)
                self._process = None
        if self._thread is not None:
            self._thread.join()
        self.table.close()

    def _start_process(self) -> subprocess.Popen[bytes] | None:
        settings = {
            "url": self._url,
            "headers": self._headers,
            "table": self.table.path,
            "rows": self.table.rows,
            "runner_id": self._runner_id.hex(),
            "has_extension": self._has_extension,
            "proxy": proxy_of(self._url),
            "runner_pid": os.getpid(),
        }
        path = os.pathsep.join(filter(None, [PACKAGE_ROOT, os.environ.get("PYTHONPATH")]))
        # Other processes of the user can read the environment with which a process was started, as long as it lives.
        environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "tilebox._runner.heartbeat"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env={**environment, "PYTHONPATH": path},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            _log.warning(
                "the heartbeat process could not be started (%s); a thread extends the leases instead, "
                "so a task that holds the interpreter lock for long may lose its lease",
                error,
            )
            self._start_thread()
            return None
        with suppress(OSError):  # it died at once; the next `ensure_heartbeat` starts another one
            assert process.stdin is not None  # noqa: S101
            process.stdin.write(json.dumps(settings).encode() + b"\n")
            process.stdin.flush()
        return process

    def _start_thread(self) -> None:
        heartbeat = Heartbeat(
            Channel(self._url, self._headers, proxy_of(self._url)),
            self.table,
            runner_id=self._runner_id,
            has_extension=self._has_extension,
            runner_pid=0,
        )

        def run() -> None:
            while not self._stop.is_set():
                heartbeat.run(self._stop)

        self._thread = threading.Thread(target=run, name="tilebox-heartbeat", daemon=True)
        self._thread.start()

    @staticmethod
    def _discard(process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
