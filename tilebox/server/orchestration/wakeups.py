"""Wake-ups of requests that wait in this process: runners that wait for tasks, and clients that wait for jobs.

Notifications follow the commit of the transaction that made the change. A task that becomes ready wakes one waiting
runner that can execute it, so a thousand idle runners cost one claim.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from tilebox.server.orchestration.claims import TaskKind
    from tilebox.server.store.work.interface import Claim, ClaimedTask, Queue

    Disconnected = Callable[[], Awaitable[None]]
    """A coroutine function that returns when the client of a request has disconnected."""


class Waiter:
    """The request of a runner that waits for a task.

    Two things can end the wait. A wake-up says that a task is ready, and the request then claims it itself. A
    reservation says that another request claims tasks on its behalf; a delivery with these tasks follows.

    Args:
        minors: The highest minor version that the runner executes, by kind.
        claim: The claim that other requests may make on its behalf; None if they may not.

    Attributes:
        woken_for: Kind and minor version of the task that caused the last wake-up; None for a general wake-up.
        is_disconnected: Whether the runner disconnected while it waited.
        was_reserved: Whether a claim was made on its behalf at any time.
    """

    def __init__(self, minors: dict[TaskKind, int], claim: Claim | None = None) -> None:
        self.minors = minors
        self.claim = claim
        self.woken_for: tuple[TaskKind, int] | None = None
        self.is_disconnected = False
        self.was_reserved = False
        self._is_woken = False
        self._sleep: asyncio.Future[None] | None = None
        self._delivery: asyncio.Future[list[ClaimedTask]] | None = None

    @property
    def is_woken(self) -> bool:
        """Whether it was woken since it last tried to claim a task."""
        return self._is_woken

    @property
    def is_asleep(self) -> bool:
        """Whether it is inside `wait`, and nothing ended the wait yet."""
        return self._sleep is not None and not self._sleep.done()

    @property
    def is_reserved(self) -> bool:
        """Whether a claim on its behalf is under way."""
        return self._delivery is not None

    def wake(self, woken_for: tuple[TaskKind, int] | None = None) -> None:
        """Make the runner try to claim a task."""
        self.woken_for = woken_for
        self._is_woken = True
        self._end_sleep()

    def clear(self) -> None:
        """Clear the wake-up, because the runner tries to claim a task now."""
        self.woken_for = None
        self._is_woken = False

    def reserve(self) -> None:
        """Announce a claim on its behalf. The caller must follow with `deliver`."""
        self.was_reserved = True
        self._delivery = asyncio.get_running_loop().create_future()

    def deliver(self, tasks: list[ClaimedTask]) -> None:
        """Deliver the tasks of a claim on its behalf.

        An empty delivery wakes the runner, because wake-ups passed it over while it was reserved.
        """
        if self._delivery is not None:
            self._delivery.set_result(tasks)
        self._is_woken = self._is_woken or not tasks
        self._end_sleep()

    async def delivered(self) -> list[ClaimedTask]:
        """Return the tasks of a claim on its behalf, waiting until the claim is decided; empty without a claim."""
        if self._delivery is None:
            return []
        tasks = await self._delivery
        self._delivery = None
        return tasks

    async def wait(self, seconds: float, disconnected: Disconnected | None = None) -> None:
        """Wait for a wake-up or a delivery.

        Args:
            seconds: Longest wait.
            disconnected: Ends the wait when the runner disconnects.
        """
        if self._is_woken or self._delivery is not None:
            return
        loop = asyncio.get_running_loop()
        self._sleep = loop.create_future()
        timer = loop.call_later(seconds, self._end_sleep)
        disconnect = None if disconnected is None else asyncio.ensure_future(disconnected())
        if disconnect is not None:
            disconnect.add_done_callback(self._on_disconnect)
        try:
            await self._sleep
        finally:
            self._sleep = None
            timer.cancel()
            if disconnect is not None:
                disconnect.cancel()

    def _on_disconnect(self, disconnect: asyncio.Future[None]) -> None:
        if not disconnect.cancelled():
            disconnect.exception()  # a receive error means the same; reading it keeps asyncio from logging it
            self.is_disconnected = True
            self._end_sleep()

    def _end_sleep(self) -> None:
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A waiting runner that will be handed tasks of a queue, and the claim to make on its behalf."""

    waiter: Waiter
    queue: Queue
    claim: Claim


class WaitQueue:
    """The runners that wait for tasks, first in, first out."""

    def __init__(self) -> None:
        self._waiters: dict[TaskKind, dict[Waiter, None]] = defaultdict(dict)

    def add(self, waiter: Waiter) -> None:
        """Append a waiting runner."""
        for kind in waiter.minors:
            self._waiters[kind][waiter] = None

    def remove(self, waiter: Waiter) -> None:
        """Remove a runner. If it leaves with a wake-up that it did not act on, the next runner gets the wake-up."""
        for kind in waiter.minors:
            self._waiters[kind].pop(waiter, None)
            if not self._waiters[kind]:
                del self._waiters[kind]
        if waiter.woken_for is not None:
            kind, minor = waiter.woken_for
            self._wake(kind, minor, 1)

    def wake(self, queue: Queue, count: int) -> None:
        """Wake as many runners as tasks became ready in a queue."""
        self._wake((queue.cluster, queue.name, queue.major), queue.minor, count)

    def reserve(self, queue: Queue, count: int) -> list[Reservation]:
        """Reserve runners for tasks that are about to become ready in a queue.

        Only sleeping runners are reserved: one that is making a claim of its own might be leased twice what it asks
        for. The caller must `deliver` to the waiter of each reservation, also when the claim fails.

        Args:
            queue: Queue of the tasks.
            count: Number of tasks.

        Returns:
            As many reservations as it takes to claim all tasks, or fewer if there are fewer runners.
        """
        reservations = []
        for waiter in self._able((queue.cluster, queue.name, queue.major), queue.minor):
            if count <= 0:
                break
            if waiter.claim is not None and waiter.is_asleep:
                waiter.reserve()
                reservations.append(Reservation(waiter, queue, replace(waiter.claim, queues=[queue.number])))
                count -= waiter.claim.count
        return reservations

    def wake_all(self) -> None:
        """Wake every runner, because notifications may have been missed."""
        for waiter in {waiter for waiters in self._waiters.values() for waiter in waiters}:
            waiter.wake(waiter.woken_for)

    def _wake(self, kind: TaskKind, minor: int, count: int) -> None:
        for waiter in self._able(kind, minor):
            if count <= 0:
                return
            waiter.wake((kind, minor))
            count -= 1

    def _able(self, kind: TaskKind, minor: int) -> Iterator[Waiter]:
        # A woken or reserved runner is about to claim or to get a task; waking it for a second one would lose that wake-up.
        for waiter in self._waiters.get(kind, ()):
            if waiter.minors[kind] >= minor and not waiter.is_woken and not waiter.is_reserved:
                yield waiter


class JobChanges:
    """Notifies requests that wait for a job to change."""

    def __init__(self) -> None:
        # Weak, so that an event disappears with the last request that waits for it.
        self._events: WeakValueDictionary[bytes, asyncio.Event] = WeakValueDictionary()

    def next_change(self, job: bytes) -> asyncio.Event:
        """Return an event that the next change of a job sets. Take it before reading the job, to miss no change."""
        return self._events.setdefault(job, asyncio.Event())

    def notify(self, jobs: Iterable[bytes]) -> None:
        """Set the events of jobs that changed."""
        for job in jobs if self._events else ():
            event = self._events.pop(job, None)
            if event is not None:
                event.set()
