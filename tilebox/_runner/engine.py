"""The engine of a runner: threads that execute and call, and a loop that keeps an eye on them.

Every slot is a thread. It asks the server for tasks, executes one, and takes its report along when it
asks again, all without a change of threads, since that costs more than a small task. What happens next
is decided by the state machine in `tilebox._core.runner`; whoever has something to tell it does so
under the lock, and passes on what it says. The loop keeps time, receives signals, and executes tasks
that are coroutines.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from queue import SimpleQueue
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio

from tilebox._core.exchanges import seconds_of
from tilebox._core.runner import Machine
from tilebox._core.runner_events import (
    COURIER,
    Abandon,
    Answered,
    Began,
    Cut,
    End,
    Finished,
    LeaseLost,
    Rejected,
    Run,
    Send,
    StopAsked,
    Tell,
    Ticked,
    Unanswered,
    WasCut,
)
from tilebox._runner.channel import Interrupted, Ticket
from tilebox._runner.leases import Heart
from tilebox._runner.signals import received
from tilebox._runner.wire import EXTENSION, Server, UntrustedServerError, Wire, open_wire
from tilebox.errors import (
    AuthenticationError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTooLargeError,
    ServerError,
    TileboxError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from tilebox._core.config import Config
    from tilebox._core.exchanges import Exchange, Lease, Report
    from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
    from tilebox._core.runner_events import Command, Event
    from tilebox._core.versions import TaskIdentifier

_log = logging.getLogger("tilebox.workflows.runner")

GRACE_SECONDS = 30.0
SHORTEST_TICK_SECONDS = 0.01
LONGEST_CHECK_SECONDS = 10.0
# A task that takes as long may well be one that holds the interpreter lock.
SHORT_TASK_SECONDS = 0.5
REMIND_SECONDS = 60.0
START_PAUSE_SECONDS = 5.0
# Of a refusal that only somebody at the server can end.
REFUSED_PAUSE_SECONDS = 30.0


T = TypeVar("T")


class Executor(Protocol):
    """Executes tasks, each in the thread of its slot."""

    def start(self, cluster: str, loop: asyncio.AbstractEventLoop) -> None:
        """Get ready, before anything is requested."""

    def run(self, slot: int, lease: Lease) -> Report:
        """Execute a task to its end."""

    def abandon(self, slot: int) -> None:
        """End what a slot executes, if that can be done; it was handed back."""

    def lose(self, slot: int) -> None:
        """Let what a slot executes know that its result does not count any more."""

    def close(self) -> None:
        """Let go of everything."""


class Engine:
    """One runner; runs once at a time.

    Args:
        config: Where the server is, and the key.
        cluster: Its cluster; an empty one is the default cluster.
        identifiers: What it can execute.
        executor: What executes it.
        concurrency: How many tasks at once.
        grace_seconds: How long tasks may take to finish when it is told to stop.
    """

    def __init__(
        self,
        config: Config,
        *,
        cluster: str,
        identifiers: Sequence[TaskIdentifier],
        executor: Executor,
        concurrency: int,
        grace_seconds: float,
    ) -> None:
        self._config = config
        self._cluster = cluster
        self._identifiers = identifiers
        self._executor = executor
        self._concurrency = concurrency
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._run: _Run | None = None

    async def run(self, *, ends_when_done: bool) -> None:
        """Execute tasks until there are none left, or until told to stop.

        Args:
            ends_when_done: Whether to end when there are none left.

        Raises:
            RuntimeError: It runs already.
            AuthenticationError: The server does not know the key.
            PermissionDeniedError: The key's role does not allow it.
            NotFoundError: There is no such cluster.
            KeyboardInterrupt: Ctrl-C was pressed twice.
        """
        run = _Run(self._executor, self._concurrency, self._grace_seconds, ends_when_done=ends_when_done)
        with self._lock:
            if self._run is not None:
                raise RuntimeError("this runner runs already; make another one, or give it more concurrency")
            self._run = run
        try:
            with received(run.stop_soon) as signals:
                await run.main(self._config, self._cluster, self._identifiers)
        finally:
            with self._lock:
                self._run = None
        if signals.asks_for_interrupt:
            raise KeyboardInterrupt

    def stop(self) -> None:
        """Drain: ask for no more tasks, and end when those that are executing have finished, or their time is over.

        From any thread, also within a task. Does nothing if nothing runs.
        """
        with self._lock:
            run = self._run
        if run is not None:
            run.stop()


class _Run:
    """One run of an engine, from its first request to its last."""

    def __init__(self, executor: Executor, concurrency: int, grace_seconds: float, *, ends_when_done: bool) -> None:
        self._executor = executor
        self._grace_seconds = grace_seconds
        random = Random()  # noqa: S311 it spreads requests, and makes up numbers that are no secrets
        self._runner_id = random.randbytes(16)
        self._machine = Machine(concurrency, ends_when_done=ends_when_done, random=random)
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._inboxes: dict[int, SimpleQueue[Command | None]] = {}
        self._tickets: dict[Exchange, Ticket] = {}
        self._stops = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._woken = asyncio.Event()
        self._opening = Ticket()
        self._tick_at = float("inf")
        self._check_seconds = LONGEST_CHECK_SECONDS
        self._times: tuple[float, float] | None = None
        self._outage = _OutageLog()
        self._cluster = ""
        self._failure: BaseException | None = None
        self._threads: anyio.CapacityLimiter
        self._wire: Wire
        self._heart: Heart

    async def main(self, config: Config, cluster: str, identifiers: Sequence[TaskIdentifier]) -> None:
        """Run."""
        self._loop = asyncio.get_running_loop()
        # Of its own, since the default one may be taken by what else goes on in the loop.
        self._threads = anyio.CapacityLimiter(2)
        server = await self._in_thread(self._open, config, cluster, identifiers)
        if server is None:
            return
        try:
            await self._in_thread(self._executor.start, self._cluster, self._loop)
            await self._supervise()
        finally:
            with anyio.CancelScope(shield=True):
                await self._in_thread(self._close, server)

    def stop_soon(self) -> None:
        """Stop, from within a signal handler."""
        self._stops += 1
        if self._loop is not None:
            # The handler may have interrupted the very code that holds the lock.
            self._loop.call_soon_threadsafe(self.stop, 0.0 if self._stops > 1 else self._grace_seconds)

    def stop(self, grace_seconds: float | None = None) -> None:
        """Ask for no more tasks, and end as soon as possible."""
        grace_seconds = self._grace_seconds if grace_seconds is None else grace_seconds
        self._opening.interrupt()
        self._advance(StopAsked(grace_seconds))
        with self._lock:
            executing = len(self._machine.executing())
        _log.info("asked to stop: no more tasks are taken; %d may finish, within %g s", executing, grace_seconds)

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what reads files, starts processes or waits for a server."""
        try:
            return await anyio.to_thread.run_sync(
                function, *arguments, limiter=self._threads, abandon_on_cancel=function == self._open
            )
        except anyio.get_cancelled_exc_class():
            self._opening.interrupt()
            raise

    def _open(self, config: Config, cluster: str, identifiers: Sequence[TaskIdentifier]) -> Server | None:
        """Find the server and the cluster, however long that takes; None if told to stop meanwhile."""
        server = Server(config)
        try:
            self._cluster = self._find(server, cluster)
            self._opening.pause(0.0)  # raises if told to stop meanwhile
            self._wire = open_wire(server, self._runner_id, self._cluster, identifiers)
            self._heart = Heart(
                config.url,
                config.headers,
                runner_id=self._runner_id,
                is_extended=EXTENSION in server.extensions,
                slots=self._concurrency,
            )
        except Interrupted:
            server.close()
            return None
        except BaseException:
            server.close()
            raise
        return server

    def _find(self, server: Server, cluster: str) -> str:
        pause = START_PAUSE_SECONDS / 64
        while True:
            try:
                return server.find_cluster(cluster)
            except (TransportError, ServerError, RateLimitedError) as error:
                is_hopeless = isinstance(error, (RequestTooLargeError, UntrustedServerError))
                if is_hopeless or getattr(error, "code", "") == "unimplemented":
                    raise
                self._outage.failed(error)
            self._opening.pause(pause)
            pause = min(2 * pause, START_PAUSE_SECONDS)

    def _close(self, server: Server) -> None:
        self._heart.close()
        self._executor.close()
        server.close()

    async def _supervise(self) -> None:
        """Let threads work until the machine says that it is over."""
        if self._opening.is_interrupted:
            return  # told to stop while there was nobody to tell
        self._heart.table.note_turn(monotonic())
        self._advance(Began())
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_time)
            try:
                await self._ended.wait()
            except asyncio.CancelledError:
                await self._drain()
                raise
            finally:
                group.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _drain(self) -> None:
        """Stop because the task that runs the runner was cancelled; cancelled once more, stop at once."""
        self.stop()
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as group:
                group.start_soon(self._keep_time)  # the other one may have been cancelled too
                try:
                    await self._ended.wait()
                except asyncio.CancelledError:
                    self.stop(0.0)
                    await self._ended.wait()
                group.cancel_scope.cancel()

    async def _keep_time(self) -> None:
        """Tell the machine the time when that matters, and look after the companion."""
        while True:
            # Never sooner, or many short batches would wake the loop for nothing.
            await anyio.sleep(SHORTEST_TICK_SECONDS)
            self._heart.table.note_turn(monotonic())
            with self._lock:
                self._woken.clear()
                tick, now = self._machine.next_tick(), monotonic()
                # Also when nothing is executing: a task that starts then needs not wake the loop to have its lease
                # checked in time, which would cost as much as a small task.
                self._tick_at = min(now + self._check_seconds, tick if tick is not None else float("inf"))
                seconds = self._tick_at - now
            with anyio.move_on_after(max(0.0, seconds)):
                await self._woken.wait()
                continue
            if self._machine.executing():
                await self._in_thread(self._check_leases)
            self._advance(Ticked())

    def _check_leases(self) -> None:
        """See to it that leases are extended, and look whether one was lost."""
        with self._lock:
            executing = self._machine.executing()
        if executing:
            self._heart.beat()
        for slot, lease in executing.items():
            if self._heart.table.is_lost(slot, lease.task.lease_number):
                self._executor.lose(slot)
                self._advance(LeaseLost(slot, lease))

    def _advance(self, event: Event, worker: int | None = None) -> Command | None:
        """Tell the machine what happened, pass on what it says, and return what the worker itself is to do."""
        mine: Command | None = None
        told: list[Tell | End] = []
        with self._lock:
            for command in self._machine.step(event, monotonic()):
                if isinstance(command, (Send, Run)):
                    if isinstance(command, Send):
                        self._tickets[command.exchange] = Ticket()
                        target = command.worker
                    else:
                        target = command.slot
                    if target == worker:
                        mine = command
                    else:
                        self._hand_over(target, command)
                elif isinstance(command, Cut):
                    self._tickets[command.exchange].interrupt()
                elif isinstance(command, Abandon):
                    self._executor.abandon(command.slot)
                else:
                    told.append(command)
            tick = self._machine.next_tick()
            if tick is not None and tick < self._tick_at - SHORTEST_TICK_SECONDS:
                self._wake()
        for one in told:
            self._note(one)
        return mine

    def _wake(self) -> None:
        """Let the loop find out anew when time matters; under the lock."""
        self._tick_at = 0.0
        self._call_soon(self._woken.set)

    def _hand_over(self, worker: int, command: Command) -> None:
        inbox = self._inboxes.get(worker)
        if inbox is None:
            inbox = self._inboxes[worker] = SimpleQueue()
            name = "tilebox-courier" if worker == COURIER else f"tilebox-slot-{worker}"
            # Daemons, since a task that never ends must not keep the program from ending.
            threading.Thread(target=self._work, args=(worker, inbox), name=name, daemon=True).start()
        inbox.put(command)

    def _note(self, command: Tell | End) -> None:
        if isinstance(command, Tell):
            _log.warning("task %s: %s", _uuid(command.task_id), command.message)
            return
        if command.undelivered:
            _log.error("%d results could not be delivered; their tasks will run again", command.undelivered)
        with self._lock:
            for inbox in self._inboxes.values():
                inbox.put(None)
        self._call_soon(self._ended.set)

    def _call_soon(self, function: Callable[[], object]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    def _work(self, worker: int, inbox: SimpleQueue[Command | None]) -> None:
        """Do what a worker is told, until it is let go."""
        try:
            command = inbox.get()
            while command is not None:
                if isinstance(command, Run):
                    event = self._execute(command)
                elif isinstance(command, Send):
                    event = self._deliver(command)
                command = self._advance(event, worker) or inbox.get()
        except BaseException as error:  # noqa: BLE001 - a mistake of ours; who waits for the runner is to hear of it
            self._failure = error
            self._call_soon(self._ended.set)

    def _execute(self, command: Run) -> Event:
        slot, lease = command.slot, command.lease
        started = monotonic()
        expected = self._machine.expected_seconds(lease)
        if expected is None or expected > SHORT_TASK_SECONDS:
            self._heart.beat()
        table = self._heart.table
        table.set(slot, lease.task.task_id, lease.task.lease_number, lease.claimed)
        try:
            if lease.claimed <= table.given_back():
                # A task held the interpreter lock for so long that the companion gave this one to others.
                report: Report = lease.handed_back()
            else:
                report = self._executor.run(slot, lease)
        finally:
            table.clear(slot)
        return Finished(slot, report, monotonic() - started)

    def _deliver(self, command: Send) -> Event:
        worker, exchange = command.worker, command.exchange
        ticket = self._tickets[exchange]
        try:
            if command.pause_seconds:
                ticket.pause(command.pause_seconds)
            response = self._wire.exchange(exchange, ticket)
        except Interrupted:
            return WasCut(worker, exchange)
        except (InvalidArgumentError, RequestTooLargeError) as error:
            _log.warning("%s", error)
            return Rejected(worker, exchange, str(error))
        except (AuthenticationError, PermissionDeniedError, NotFoundError) as error:
            self._outage.failed(error)
            return Unanswered(worker, exchange, REFUSED_PAUSE_SECONDS)
        except TileboxError as error:
            self._outage.failed(error)
            return Unanswered(worker, exchange)
        except Exception as error:  # noqa: BLE001 - whatever it is, the runner goes on
            _log.exception("a request could not be made; it is tried again")
            self._outage.failed(error)
            return Unanswered(worker, exchange)
        self._outage.ended()
        self._tickets.pop(exchange, None)
        if response.tasks:
            self._note_times(response)
            # One that comes alone may have to wait as well, behind those that came before it.
            self._note_batch(response)
        if len(response.tasks) > 1:
            # Whatever these are: if one of them takes the runner down, somebody has to speak for the others.
            self._heart.beat()
        return Answered(worker, exchange, response)

    def _note_batch(self, response: runners_pb2.ExchangeResponse) -> None:
        leases = [(task.task_id, task.lease_number) for task in response.tasks]
        with self._lock:
            self._heart.table.note_batch(leases, monotonic())

    def _note_times(self, response: runners_pb2.ExchangeResponse) -> None:
        lease = seconds_of(response.lease)
        extend_after = seconds_of(response.extend_after) or lease / 3
        if not extend_after or (extend_after, lease) == self._times:
            return
        seconds = min(max(extend_after / 2, SHORTEST_TICK_SECONDS), LONGEST_CHECK_SECONDS)
        with self._lock:
            is_sooner, self._check_seconds = seconds < self._check_seconds, seconds
            if is_sooner:
                self._wake()
            self._times = extend_after, lease
            self._heart.table.set_times(extend_after, lease)


class _OutageLog:
    """Says that the server is away, and that it is back, but not with every attempt."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._said = 0.0

    def failed(self, error: Exception) -> None:
        now = monotonic()
        if self._since is None:
            self._since = now
        elif now - self._said < REMIND_SECONDS:
            return
        self._said = now
        _log.warning("%s; trying again until it works", error)

    def ended(self) -> None:
        if self._since is not None:
            _log.info("the server answers again, after %.1f s", monotonic() - self._since)
            self._since = None


def _uuid(task_id: bytes) -> UUID | str:
    from uuid import UUID

    return UUID(bytes=task_id) if len(task_id) == 16 else task_id.hex()
