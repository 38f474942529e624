"""One run of a runner: a task group over the state machine in `tilebox._core.runner`.

    slot 0 … n     one asyncio task per slot: claims, executes and reports
    delivery       reports and claims while all slots are executing
    heartbeats     keeps the heartbeat process alive, and checks for lost leases
    clock          sends ClockTicked events when time alone changes the state

The machine decides what happens next. Each event is passed to it under the lock, in the thread in which it occurred.
If the resulting command is for the same slot, that thread carries it out at once, so a task takes one request and no
switch of threads. A command for another slot goes to that slot's task through its inbox.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio

from tilebox._core.runner.events import (
    DELIVERY_WORKER,
    Abandon,
    Answered,
    ClockTicked,
    End,
    Finished,
    Interrupt,
    LeaseLost,
    LogWarning,
    Run,
    Send,
    Started,
    StopRequested,
)
from tilebox._runner.channel import CancelToken
from tilebox._runner.delivery import deliver
from tilebox._runner.threads import WorkerThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from tilebox._core.runner.events import Command, Event
    from tilebox._core.runner.exchanges import Exchange, Report
    from tilebox._core.runner.machine import Machine
    from tilebox._runner.delivery import OutageLog
    from tilebox._runner.executor import Executor
    from tilebox._runner.leases import LeaseKeeper
    from tilebox._runner.wire import Wire

_log = logging.getLogger("tilebox.workflows.runner")

SHORTEST_TICK_SECONDS = 0.01
# A task that is expected to take longer may hold the interpreter lock, so the heartbeat process must run before it.
SHORT_TASK_SECONDS = 0.5


class RunnerTasks:
    """The asyncio tasks of one run. Create it on the loop that runs them.

    Args:
        machine: The state machine.
        wire: The connection to the server.
        executor: The executor of the tasks.
        keeper: The keeper of their leases.
        outage: The log of outages of the server.
        slots: The number of tasks to execute at the same time.
        grace_seconds: The time that tasks have to finish when the run is cancelled, in seconds.
    """

    def __init__(
        self,
        machine: Machine,
        wire: Wire,
        executor: Executor,
        keeper: LeaseKeeper,
        outage: OutageLog,
        *,
        slots: int,
        grace_seconds: float,
    ) -> None:
        self._machine = machine
        self._wire = wire
        self._executor = executor
        self._keeper = keeper
        self._outage = outage
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()  # guards the machine, the cancel tokens and `_tick_at`
        self._loop = asyncio.get_running_loop()
        # A limiter of its own, since other code on the loop may exhaust the default one.
        self._threads = anyio.CapacityLimiter(1)
        self._inboxes: dict[int, asyncio.Queue[Command]] = {
            n: asyncio.Queue() for n in (*range(slots), DELIVERY_WORKER)
        }
        self._cancel_tokens: dict[Exchange, CancelToken] = {}
        self._tick_at = float("inf")
        self._tick_changed = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Run until the machine ends. The first cancellation drains the runner, the second ends it at once."""
        async with anyio.create_task_group() as outer:
            outer.start_soon(self._run_shielded, name="tilebox runner")
            try:
                await self._ended.wait()
            except asyncio.CancelledError:
                if not self._ended.is_set():
                    await self._drain()
                raise

    def stop(self, grace_seconds: float) -> None:
        """Claim no more tasks, and end when the executing ones finish or their time is over. Safe in any thread."""
        self._advance(StopRequested(grace_seconds))
        with self._lock:
            executing = len(self._machine.executing())
        _log.info(
            "stopping: the runner claims no more tasks; %d executing tasks have %g s to finish",
            executing,
            grace_seconds,
        )

    async def _run_shielded(self) -> None:
        try:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as group:
                    for worker in self._inboxes:
                        name = "delivery" if worker == DELIVERY_WORKER else f"slot {worker}"
                        group.start_soon(self._work, worker, name=f"tilebox {name}")
                    group.start_soon(self._keep_leases, name="tilebox heartbeats")
                    group.start_soon(self._run_clock, name="tilebox clock")
                    self._advance(Started())
                    await self._ended.wait()
                    group.cancel_scope.cancel()
        finally:
            self._ended.set()

    async def _drain(self) -> None:
        self.stop(self._grace_seconds)
        with anyio.CancelScope(shield=True):
            try:
                await self._ended.wait()
            except asyncio.CancelledError:
                self.stop(0.0)
                await self._ended.wait()

    # Tasks

    async def _work(self, worker: int) -> None:
        """Carry out the commands for a slot or for the delivery worker."""
        thread = WorkerThread("tilebox-delivery" if worker == DELIVERY_WORKER else f"tilebox-slot-{worker}")
        inbox = self._inboxes[worker]
        try:
            while True:
                await thread.run(self._carry_out, worker, await inbox.get())
        finally:
            thread.end()

    async def _keep_leases(self) -> None:
        """Keep the heartbeat process running, and report lost leases to the machine."""
        table = self._keeper.table
        while True:
            table.record_loop_time(monotonic())
            with self._lock:
                executing = self._machine.executing()
            if executing:
                await anyio.to_thread.run_sync(self._keeper.ensure_heartbeat, limiter=self._threads)
            for slot, lease in executing.items():
                if table.is_lost(slot, lease.task.lease_number):
                    self._executor.mark_lost(slot)
                    self._advance(LeaseLost(slot, lease))
            await self._keeper.wait_for_check()

    async def _run_clock(self) -> None:
        """Send the machine a ClockTicked event when its next tick is due."""
        while True:
            # A lower bound on the interval, or many short batches would wake the loop in vain.
            await anyio.sleep(SHORTEST_TICK_SECONDS)
            with self._lock:
                self._tick_changed.clear()
                tick = self._machine.next_tick()
                self._tick_at = float("inf") if tick is None else tick
                seconds = max(0.0, self._tick_at - monotonic())
            with anyio.move_on_after(seconds):
                await self._tick_changed.wait()
                continue
            self._advance(ClockTicked())

    # In any thread

    def _advance(self, event: Event, worker: int | None = None) -> Command | None:
        """Pass an event to the machine, dispatch its commands, and return the command for the calling worker."""
        own: Command | None = None
        with self._lock:
            commands = self._machine.step(event, monotonic())
            for command in commands:
                if isinstance(command, Send):
                    self._cancel_tokens[command.exchange] = CancelToken()
                if isinstance(command, (Send, Run)):
                    target = command.worker if isinstance(command, Send) else command.slot
                    if target == worker:
                        own = command
                    else:
                        self._call_soon(self._inboxes[target].put_nowait, command)
                elif isinstance(command, Interrupt):
                    self._cancel_tokens[command.exchange].cancel()
                elif isinstance(command, Abandon):
                    self._executor.abandon(command.slot)
            tick = self._machine.next_tick()
            if tick is not None and tick < self._tick_at - SHORTEST_TICK_SECONDS:
                self._tick_at = 0.0
                self._call_soon(self._tick_changed.set)
        for command in commands:
            if isinstance(command, (LogWarning, End)):
                self._log_or_end(command)
        return own

    def _log_or_end(self, command: LogWarning | End) -> None:
        if isinstance(command, LogWarning):
            task_id = command.task_id
            name = UUID(bytes=task_id) if len(task_id) == 16 else task_id.hex()
            _log.warning("task %s: %s", name, command.message)
            return
        if command.undelivered:
            _log.error(
                "%d reports could not be delivered to the server; their tasks will be executed again",
                command.undelivered,
            )
        self._call_soon(self._ended.set)

    def _call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    # In the thread of a slot or of the delivery worker

    def _carry_out(self, worker: int, command: Command) -> None:
        """Carry out a command, and then each next command for the same worker."""
        following: Command | None = command
        while following is not None:
            if isinstance(following, Run):
                event = self._execute(following)
            elif isinstance(following, Send):
                event = self._deliver(following)
            following = self._advance(event, worker)

    def _execute(self, command: Run) -> Event:
        slot, lease = command.slot, command.lease
        started = monotonic()
        expected = self._machine.expected_seconds(lease)
        if expected is None or expected > SHORT_TASK_SECONDS:
            self._keeper.ensure_heartbeat()
        table = self._keeper.table
        table.set(slot, lease.task.task_id, lease.task.lease_number, lease.claimed)
        try:
            # The heartbeat process writes this before it reads the rows, so one of the two sees the other's write.
            if lease.claimed <= table.returned_at():
                # A task held the interpreter lock for so long that the heartbeat process returned this one.
                report: Report = lease.handed_back()
            else:
                report = self._executor.run(slot, lease)
        finally:
            table.clear(slot)
        return Finished(slot, report, monotonic() - started)

    def _deliver(self, command: Send) -> Event:
        event = deliver(self._wire, command, self._cancel_tokens[command.exchange], self._outage)
        if isinstance(event, Answered):
            self._cancel_tokens.pop(command.exchange, None)
            if event.response.tasks and self._keeper.record_response(event.response):
                self._call_soon(self._keeper.check_soon)
        return event
