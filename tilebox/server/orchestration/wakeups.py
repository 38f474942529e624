"""Who waits inside a request: runners for tasks, and people for jobs. All of it is about this process.

What changed is told after its transaction was committed. A runner that waits is woken when a task becomes ready that
it could execute, and only as many runners are woken as there are tasks: a thousand idle runners cost one claim.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from tilebox.server.store.work.interface import Claim, ClaimedTask, Queue

    Gone = Callable[[], Awaitable[None]]
    """Returns when the runner has gone away."""

Kind = tuple[int, str, int]
"""Cluster, name and major version: within it, runners differ by their minor version only."""


class Waiter:
    """A runner that waits.

    Args:
        minors: The highest minor version that it executes, by kind.
        claim: What it wishes, if others may get tasks for it.

    Attributes:
        reason: The kind and minor version of the task that it was woken for, if it was for one.
        is_gone: Whether the runner went away while it waited.
        was_served: Whether somebody tried to get a task for it.
    """

    def __init__(self, minors: dict[Kind, int], claim: Claim | None = None) -> None:
        self.minors = minors
        self.claim = claim
        self.reason: tuple[Kind, int] | None = None
        self.is_gone = False
        self.was_served = False
        self._is_woken = False
        self._sleep: asyncio.Future[None] | None = None
        self._served: asyncio.Future[list[ClaimedTask]] | None = None

    @property
    def is_woken(self) -> bool:
        """Whether a task was ready for it since it last looked."""
        return self._is_woken

    @property
    def is_asleep(self) -> bool:
        """Whether it does nothing but wait."""
        return self._sleep is not None and not self._sleep.done()

    @property
    def is_served(self) -> bool:
        """Whether somebody else gets a task for it at this moment."""
        return self._served is not None

    def wake(self, reason: tuple[Kind, int] | None = None) -> None:
        """Make it look for a task."""
        self.reason = reason
        self._is_woken = True
        self._end_sleep()

    def look(self) -> None:
        """Note that it looks for a task now."""
        self.reason = None
        self._is_woken = False

    def serve(self) -> None:
        """Note that somebody gets a task for it, and will say with `hand` what came of it."""
        self.was_served = True
        self._served = asyncio.get_running_loop().create_future()

    def hand(self, tasks: list[ClaimedTask]) -> None:
        """Give it what was got for it. If that is nothing, it looks itself, for it was passed over meanwhile."""
        if self._served is not None:
            self._served.set_result(tasks)
        self._is_woken = self._is_woken or not tasks
        self._end_sleep()

    async def handed(self) -> list[ClaimedTask]:
        """Return what somebody got for it since this was last asked; waits until that is sure."""
        if self._served is None:
            return []
        tasks = await self._served
        self._served = None
        return tasks

    async def wait(self, seconds: float, gone: Gone | None = None) -> None:
        """Wait to be woken or handed something, at most so long, and not if the runner went away."""
        if self._is_woken or self._served is not None:
            return
        loop = asyncio.get_running_loop()
        self._sleep = loop.create_future()
        timer = loop.call_later(seconds, self._end_sleep)
        watching = None if gone is None else asyncio.ensure_future(gone())
        if watching is not None:
            watching.add_done_callback(self._leave)
        try:
            await self._sleep
        finally:
            self._sleep = None
            timer.cancel()
            if watching is not None:
                watching.cancel()

    def _leave(self, watching: asyncio.Future[None]) -> None:
        if not watching.cancelled():
            watching.exception()  # an error on the way from the runner is its end, too
            self.is_gone = True
            self._end_sleep()

    def _end_sleep(self) -> None:
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A runner that tasks of a queue are to be handed to, and what to claim for it."""

    waiter: Waiter
    queue: Queue
    claim: Claim


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

    def choose(self, queue: Queue, count: int) -> list[Chosen]:
        """Choose runners for so many tasks that are about to become ready in a queue.

        Whoever asks has to `hand` each of them what came of it. One that looks at this moment is not chosen, since it
        might be given twice what it asks for.
        """
        chosen = []
        for waiter in self._able((queue.cluster, queue.name, queue.major), queue.minor):
            if count <= 0:
                break
            if waiter.claim is not None and waiter.is_asleep:
                waiter.serve()
                chosen.append(Chosen(waiter, queue, replace(waiter.claim, queues=[queue.number])))
                count -= waiter.claim.count
        return chosen

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
            if waiter.minors[kind] >= minor and not waiter.is_woken and not waiter.is_served:
                yield waiter


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
