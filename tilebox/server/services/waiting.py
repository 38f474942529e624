"""Who waits inside a request: runners for tasks, and people for jobs. All of it is about this process.

What changed is told after its transaction was committed. A runner that waits is woken when a task becomes ready that
it could execute, and only as many runners are woken as there are tasks: a thousand idle runners cost one claim.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tilebox.server.store.orchestration import Queue

Kind = tuple[int, str, int]
"""Cluster, name and major version: within it, runners differ by their minor version only."""


class Waiter:
    """A runner that waits.

    Args:
        minors: The highest minor version that it executes, by kind.

    Attributes:
        reason: The kind and minor version of the task that it was woken for, if it was for one.
    """

    def __init__(self, minors: dict[Kind, int]) -> None:
        self.minors = minors
        self.reason: tuple[Kind, int] | None = None
        self._woken = asyncio.Event()

    @property
    def is_woken(self) -> bool:
        """Whether a task was ready for it since it last looked."""
        return self._woken.is_set()

    def wake(self, reason: tuple[Kind, int] | None = None) -> None:
        """Make it look for a task."""
        self.reason = reason
        self._woken.set()

    def look(self) -> None:
        """Note that it looks for a task now."""
        self.reason = None
        self._woken.clear()

    async def wait(self, seconds: float, gone: anyio.Event | None = None) -> None:
        """Wait to be woken, at most so long, and not if the runner went away."""
        async with anyio.create_task_group() as beside:
            beside.cancel_scope.deadline = anyio.current_time() + seconds
            if gone is not None:
                beside.start_soon(_cancel_when, gone, beside.cancel_scope)
            await self._woken.wait()
            beside.cancel_scope.cancel()


class WaitingRoom:
    """The runners that wait, first come first served."""

    def __init__(self) -> None:
        self._waiters: dict[Kind, dict[Waiter, None]] = defaultdict(dict)

    def enter(self, waiter: Waiter) -> None:
        """Let a runner wait."""
        for kind in waiter.minors:
            self._waiters[kind][waiter] = None

    def leave(self, waiter: Waiter) -> None:
        """Let a runner go. If it was woken and did not look, somebody else is woken in its place."""
        for kind in waiter.minors:
            self._waiters[kind].pop(waiter, None)
            if not self._waiters[kind]:
                del self._waiters[kind]
        if waiter.reason is not None:
            kind, minor = waiter.reason
            self._wake(kind, minor, 1)

    def wake(self, queue: Queue, count: int) -> None:
        """Wake as many runners as there are tasks in a queue."""
        self._wake((queue.cluster, queue.name, queue.major), queue.minor, count)

    def wake_everyone(self) -> None:
        """Make every runner look, because nobody knows what changed."""
        for waiter in {waiter for waiters in self._waiters.values() for waiter in waiters}:
            waiter.wake(waiter.reason)

    def _wake(self, kind: Kind, minor: int, count: int) -> None:
        for waiter in self._able(kind, minor):
            if count <= 0:
                return
            waiter.wake((kind, minor))
            count -= 1

    def _able(self, kind: Kind, minor: int) -> Iterator[Waiter]:
        for waiter in self._waiters.get(kind, ()):
            if waiter.minors[kind] >= minor and not waiter.is_woken:
                yield waiter


async def _cancel_when(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


class JobWatch:
    """Those who wait for a job to change."""

    def __init__(self) -> None:
        # Forgotten with the last of those who wait.
        self._watched: WeakValueDictionary[bytes, asyncio.Event] = WeakValueDictionary()

    def next_change(self, job: bytes) -> asyncio.Event:
        """Return what is set when a job changes from now on. Who takes it before reading the job misses nothing."""
        return self._watched.setdefault(job, asyncio.Event())

    def tell(self, jobs: Iterable[bytes]) -> None:
        """Say that jobs changed."""
        for job in jobs if self._watched else ():
            event = self._watched.pop(job, None)
            if event is not None:
                event.set()
