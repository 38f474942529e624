"""Keeps the leases of a runner: starts its companion process when it is needed, or a thread where there can be none."""

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
from tilebox._runner.heartbeat.companion import Companion
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
        url: The server.
        headers: What requests carry, the key among it; it travels through a pipe, which nobody else reads.
        runner_id: The runner.
        is_extended: Whether the server knows the extension for runners.
        slots: How many tasks execute at once.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], *, runner_id: bytes, is_extended: bool, slots: int
    ) -> None:
        self.table = LeaseTable.create(slots)
        self._url = url
        self._headers = dict(headers)
        self._runner_id = runner_id
        self._is_extended = is_extended
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._times: tuple[float, float] | None = None
        self._check_seconds = LONGEST_CHECK_SECONDS
        self._check_is_due = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The companion's process, if there is one."""
        return None if self._process is None else self._process.pid

    def beat(self) -> None:
        """Ensure that the companion process runs, which extends the leases."""
        with self._lock:
            if self._stop.is_set() or self._thread is not None:
                return
            if self._process is not None:
                if self._process.poll() is None:
                    return
                _log.debug("the companion process ended (%s); starting another one", self._process.returncode)
                self._discard(self._process)
            self._process = self._start()

    def note_answer(self, response: runners_pb2.ExchangeResponse) -> bool:
        """Note the leases of tasks that came, and how long they last.

        Returns:
            Whether leases are to be checked more often from now on: call `check_soon` on the loop then.
        """
        if len(response.tasks) > 1:
            # Without regard to their expected duration: if one of them kills the runner, the companion must report all.
            self.beat()
        lease = seconds_of(response.lease)
        extend_after = seconds_of(response.extend_after) or lease / 3
        with self._lock:
            # One that comes alone may have to wait as well, behind those that came before it.
            self.table.note_batch([(task.task_id, task.lease_number) for task in response.tasks], monotonic())
            if not extend_after or (extend_after, lease) == self._times:
                return False
            self._times = extend_after, lease
            self.table.set_times(extend_after, lease)
            before = self._check_seconds
            self._check_seconds = min(max(extend_after / 2, SHORTEST_CHECK_SECONDS), LONGEST_CHECK_SECONDS)
            return self._check_seconds < before

    async def wait_for_check(self) -> None:
        """Wait until leases are to be checked."""
        with anyio.move_on_after(self._check_seconds):
            await self._check_is_due.wait()
        self._check_is_due.clear()

    def check_soon(self) -> None:
        """End the wait for the next check; on the loop."""
        self._check_is_due.set()

    def close(self) -> None:
        """End it."""
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

    def _start(self) -> subprocess.Popen[bytes] | None:
        settings = {
            "url": self._url,
            "headers": self._headers,
            "table": self.table.path,
            "rows": self.table.rows,
            "runner_id": self._runner_id.hex(),
            "is_extended": self._is_extended,
            "proxy": proxy_of(self._url),
            "runner_pid": os.getpid(),
        }
        path = os.pathsep.join(filter(None, [PACKAGE_ROOT, os.environ.get("PYTHONPATH")]))
        # What a process was started with can be read by others of the same user, for as long as it lives.
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
            _log.warning("no companion process (%s): a thread extends leases, which code can hold up", error)
            self._start_thread()
            return None
        with suppress(OSError):  # it died at once; the next beat sees it
            assert process.stdin is not None  # noqa: S101
            process.stdin.write(json.dumps(settings).encode() + b"\n")
            process.stdin.flush()
        return process

    def _start_thread(self) -> None:
        companion = Companion(
            Channel(self._url, self._headers, proxy_of(self._url)),
            self.table,
            runner_id=self._runner_id,
            is_extended=self._is_extended,
            runner_pid=0,
        )

        def run() -> None:
            while not self._stop.is_set():
                companion.run(self._stop)

        self._thread = threading.Thread(target=run, name="tilebox-heartbeat", daemon=True)
        self._thread.start()

    @staticmethod
    def _discard(process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
