"""A runner process: the real state machine, and a simulated engine that carries out its commands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from simulation.messages import submissions_of
from simulation.plan import KINDS, LEASE_SECONDS
from simulation.processes.network import Request, Unreachable
from simulation.processes.server import Refused
from simulation.processes.virtual_time import Process, wait_forever

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2
from tilebox._core.runner.events import (
    Abandon,
    Answered,
    ClockTicked,
    End,
    Event,
    Finished,
    Interrupt,
    Interrupted,
    LeaseLost,
    Rejected,
    Run,
    Send,
    Started,
    StopRequested,
    Unanswered,
)
from tilebox._core.runner.exchanges import Exchange, Lease, Report
from tilebox._core.runner.machine import Machine

if TYPE_CHECKING:
    from simulation.plan import TaskPlan
    from simulation.world import World

EXTEND_AFTER = LEASE_SECONDS / 3
SHORTEST_TICK_SECONDS = 0.01
FAILURES = {
    "failed": runners_pb2.FAILURE_KIND_TASK,
    "final": runners_pb2.FAILURE_KIND_FINAL,
    "crashed": runners_pb2.FAILURE_KIND_CRASH,
}


class CutShort(Exception):  # noqa: N818 - it is what happened
    """The runner stopped waiting for an answer."""


class Runner:
    """A runner process.

    Args:
        world: The world that it belongs to.
        number: The number of its machine, on which another runner follows it.
        life: The number of runner processes on this machine so far, this one included.
        slots: How many tasks it executes at once.
        is_able: Whether it executes all kinds of tasks, or only the first kind.
    """

    def __init__(self, world: World, number: int, life: int, *, slots: int, is_able: bool) -> None:
        self._world = world
        self._number = number
        self.name = f"runner {number}.{life}"
        self.process = Process(world.loop, world.on_error)
        self._machine = Machine(slots, ends_when_done=False, random=world.random)
        identifiers = [
            core_pb2.TaskIdentifier(name=name, version=version) for name, version in KINDS[: 2 if is_able else 1]
        ]
        # The wire of a real runner does the same: protobuf merges messages that are concatenated.
        self._id = world.random.randbytes(16)
        self._request_head = runners_pb2.ExchangeRequest(
            runner_id=self._id, cluster_slug="sim", identifiers=identifiers
        ).SerializeToString()
        # The tasks that its companion sees as executing, by task and lease: whether the runner still wants the result.
        self._executing: dict[tuple[bytes, int], bool] = {}
        self._requests: dict[Exchange, Request] = {}
        self._tick: asyncio.TimerHandle | None = None
        self._resumed: asyncio.Event | None = None

    def start(self) -> None:
        """Start the state machine."""
        self._world.note(self.name, "starts")
        self._advance(Started())

    def stop(self, grace_seconds: float) -> None:
        """Ask the runner to stop within a grace period."""
        self._world.note(self.name, "is told to stop")
        self._advance(StopRequested(grace_seconds))

    def die(self) -> None:
        """Die as from SIGKILL. The companion reports the death, unless it dies too."""
        self._world.note(self.name, "dies")
        self._world.ledger.killed.update(self._executing)
        if self._world.happens("unheard"):
            self._world.note(self.name, "its companion dies with it")
        else:
            self._world.companions.start(self._report_death())
        self._end()

    async def _report_death(self) -> None:
        """Report the death, as the companion process does."""
        message = runners_pb2.ReportDeathRequest(
            runner_id=self._id,
            executing=[
                runners_pb2.TaskLeaseNumber(task_id=task, lease_number=number) for task, number in self._executing
            ],
            cause="it was killed",
        ).SerializeToString()
        deadline = self._world.loop.time() + LEASE_SECONDS
        reported = 0
        # The companion reports twice: a claim of the runner may have been under way when it died.
        while reported < 2 and self._world.loop.time() < deadline:
            self._world.note(self.name, "is reported dead")
            try:
                await self._world.network.call(self.name, "ReportDeath", message)
            except (Unreachable, Refused):
                await asyncio.sleep(0.5)
            else:
                reported += 1
                await asyncio.sleep(1.0)

    async def _fault_point(self) -> None:
        """Let the runner die or be suspended at this point."""
        if self._world.dies("runner_dies"):
            self.die()
            await wait_forever()
        if self._resumed is None and self._world.happens("suspended"):
            self._resumed = asyncio.Event()
            seconds = self._world.random.uniform(0.5, 2.5) * LEASE_SECONDS
            self._world.note(self.name, f"is suspended for {seconds:.1f} s")
            self._world.loop.call_later(seconds, self._resume)
        if self._resumed is not None:
            await self._resumed.wait()

    def _resume(self) -> None:
        if self._resumed is not None:
            self._world.note(self.name, "resumes")
            self._resumed.set()
            self._resumed = None

    def _advance(self, event: Event) -> None:
        if self.process.is_dead:
            return
        for command in self._machine.step(event, self._world.loop.time()):
            match command:
                case Send(_, exchange):
                    message = self._request_head + exchange.to_message().SerializeToString()
                    self._requests[exchange] = Request(
                        self._world.loop, self.name, "Exchange", message, exchange.wait_seconds
                    )
                    self.process.start(self._deliver(command))
                case Run(slot, lease):
                    self.process.start(self._execute(slot, lease))
                case Interrupt(exchange):
                    self._requests[exchange].fail(CutShort())
                case Abandon(_, lease):
                    # The execution continues, as a thread would, but its result is ignored.
                    self._executing[lease.task.task_id, lease.task.lease_number] = False
                case End():
                    self._world.note(self.name, "ends")
                    self._end()
                    return
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        tick = self._machine.next_tick()
        if tick is not None:
            at = max(tick, self._world.loop.time() + SHORTEST_TICK_SECONDS)
            self._tick = self._world.loop.call_at(at, self._on_tick)

    def _on_tick(self) -> None:
        if self._resumed is None:
            self._advance(ClockTicked())
        else:
            self.process.start(self._tick_when_resumed())

    async def _tick_when_resumed(self) -> None:
        if self._resumed is not None:
            await self._resumed.wait()
        self._advance(ClockTicked())

    def _end(self) -> None:
        if self._tick is not None:
            self._tick.cancel()
        self.process.kill()
        self._world.runner_ended(self._number)

    async def _deliver(self, command: Send) -> None:
        request = self._requests[command.exchange]
        if command.pause_seconds:
            await asyncio.wait([request.answered], timeout=command.pause_seconds)
        await self._fault_point()
        event = await self._exchange(command.worker, command.exchange, request)
        await self._fault_point()
        self._advance(event)

    async def _exchange(self, worker: int, exchange: Exchange, request: Request) -> Event:
        self._world.note(self.name, exchange)
        try:
            answer = await self._world.network.carry(request)
        except CutShort:
            return Interrupted(worker, exchange)
        except Unreachable:
            return Unanswered(worker, exchange)
        except Refused as error:
            self._world.note(self.name, f"is refused: {error}")
            if str(error) == "unavailable":
                return Unanswered(worker, exchange)
            return Rejected(worker, exchange, str(error))
        response = runners_pb2.ExchangeResponse.FromString(answer)
        self._world.note(self.name, response)
        return Answered(worker, exchange, response)

    async def _execute(self, slot: int, lease: Lease) -> None:
        await self._fault_point()
        key = (lease.task.task_id, lease.task.lease_number)
        self._executing[key] = True
        await self._fault_point()
        task = self._world.task_plan(lease.task.input)
        execution = self._world.started(self.name, lease.task.task_id, task)
        await self._execute_and_extend(task.seconds, slot, lease)
        await self._fault_point()
        outcome = task.outcome(execution)
        if outcome == "poison":
            self.die()
            await wait_forever()
        del self._executing[key]
        self._world.ended(self.name, lease.task.task_id, task, outcome)
        self._advance(Finished(slot, _report(lease, task, outcome), task.seconds))

    async def _execute_and_extend(self, seconds: float, slot: int, lease: Lease) -> None:
        """Let the time of an execution pass, and extend the lease meanwhile, as the companion process does."""
        end = self._world.loop.time() + seconds
        due = lease.claimed + EXTEND_AFTER
        while due < end:
            await asyncio.sleep(max(0.0, due - self._world.loop.time()))
            await self._fault_point()
            due = self._world.loop.time() + (EXTEND_AFTER if await self._extend(slot, lease) else EXTEND_AFTER / 4)
        await asyncio.sleep(max(0.0, end - self._world.loop.time()))

    async def _extend(self, slot: int, lease: Lease) -> bool:
        lease_number = runners_pb2.TaskLeaseNumber(task_id=lease.task.task_id, lease_number=lease.task.lease_number)
        request = runners_pb2.ExtendLeasesRequest(leases=[lease_number])
        try:
            answer = await self._world.network.call(self.name, "ExtendLeases", request.SerializeToString())
        except (Unreachable, Refused):
            return False
        if runners_pb2.ExtendLeasesResponse.FromString(answer).lost:
            self._world.note(self.name, f"loses its lease of {lease.task.input.decode()}")
            self._advance(LeaseLost(slot, lease))
        return True


def _report(lease: Lease, task: TaskPlan, outcome: str) -> Report:
    identity = {"task_id": lease.task.task_id, "lease_number": lease.task.lease_number}
    if outcome == "computed":
        report = runners_pb2.ComputedReport(**identity)
        if task.groups:
            report.sub_tasks.CopyFrom(submissions_of(task.groups))
        return report
    failure = runners_pb2.FailedReport(**identity, kind=FAILURES[outcome], error=outcome)
    if outcome == "failed" and task.pause_seconds:
        failure.retry_after.FromMilliseconds(round(task.pause_seconds * 1000))
    return failure
