"""The state machine of a runner, which takes events and returns commands.

The machine has slots, each of which executes one task at a time, and a delivery worker, which sends reports while all
slots are busy. `Machine.step` takes an event and the time and returns commands. Threads and sockets are elsewhere
(`tilebox._runner.run`), so everything here can be tested without waiting.

    idle slot  --Send-->  sending  --Answered-->  idle
    idle slot  --Run-->  executing  --Finished-->  idle

Finished tasks leave a report in the outbox. Each request for tasks takes the outbox along, so a task costs one
request. Many short tasks share one request, and the delivery worker claims more before the last ones are done.
At most two requests are under way: the poll, which may wait in the server until there are tasks for idle slots, and
the immediate request, which does not wait and delivers what finishes meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.runner.batch_size import BatchSize
from tilebox._core.runner.events import (
    DELIVERY_WORKER,
    LONGEST_PAUSE_SECONDS,
    Abandon,
    Answered,
    End,
    Finished,
    Interrupt,
    Interrupted,
    LeaseLost,
    LogWarning,
    Rejected,
    Run,
    Send,
    StopRequested,
    Unanswered,
)
from tilebox._core.runner.exchanges import Exchange, Lease, Outbox, RetryDelays, seconds_of

if TYPE_CHECKING:
    from random import Random

    from tilebox._core.runner.events import Command, Event
    from tilebox._core.runner.exchanges import Report

POLL_SECONDS = 20.0
# The poll of a runner that ends when everything is done. It learns this late that others have done the rest.
LAST_POLL_SECONDS = 1.0
# Reports wait this long for the next task of their batch to finish.
DELIVER_SECONDS = 0.02
# Claimed tasks that have not started after this time, because a slot is busy, are returned for other runners.
PATIENCE_SECONDS = 0.05
# A request sent less than this ago may not have arrived. If interrupted, it could arrive after its own repetition.
SETTLE_SECONDS = 0.2
# Batches of at least this size are followed by the next claim while half of the tasks are still to be executed.
EARLY_BATCH = 8
# The time to return tasks after the grace period is over.
LAST_SECONDS = 2.0


class SlotState(Enum):
    """The state of a slot."""

    IDLE = "idle"
    SENDING = "sending"
    EXECUTING = "executing"
    ABANDONED = "abandoned"  # it still executes a task that was returned, and takes no more tasks


@dataclass(slots=True)
class _Slot:
    state: SlotState = SlotState.IDLE
    lease: Lease | None = None
    is_lost: bool = False


class Machine:
    """The state of one runner.

    Args:
        slots: The number of tasks that the runner executes at once.
        ends_when_done: Whether the runner ends when no tasks are left, rather than waiting for more.
        random: The source of claim ids and of the jitter of delays.
    """

    def __init__(self, slots: int, *, ends_when_done: bool, random: Random) -> None:
        self._slots = [_Slot() for _ in range(slots)]
        self._ends_when_done = ends_when_done
        self._random = random
        self._delays = RetryDelays(random)
        self._batch = BatchSize()
        self._outbox = Outbox()
        self._ready: list[Lease] = []  # in reverse order, because the next one is popped from the end
        self._poll: Exchange | None = None
        self._immediate: Exchange | None = None
        self._poll_sent = 0.0
        self._is_poll_unwanted = False
        self._was_answered_empty = False
        self._is_done = False
        self._last_start = 0.0
        self._deadline: float | None = None
        self._last_deadline: float | None = None
        self.is_ended = False

    @property
    def is_draining(self) -> bool:
        """Whether the runner claims no more tasks."""
        return self._deadline is not None

    def executing(self) -> dict[int, Lease]:
        """Return the leases of the executing tasks by slot."""
        slots = enumerate(self._slots)
        return {number: slot.lease for number, slot in slots if slot.state is SlotState.EXECUTING and slot.lease}

    def expected_seconds(self, lease: Lease) -> float | None:
        """Return the expected duration of a task in seconds; None if none of its kind was executed before."""
        return self._batch.expected(lease.task.identifier)

    def step(self, event: Event, now: float) -> list[Command]:
        """Process an event.

        Args:
            event: The event.
            now: The time on a monotonic clock, in seconds.

        Returns:
            The commands to carry out. A worker never has more than one `Send` or `Run` under way.
        """
        if self.is_ended:
            return []
        commands: list[Command] = []
        freed = self._note(event, now, commands)
        self._return_late(now, commands)
        self._start(freed, now, commands)
        self._send(freed, now, commands)
        self._end(now, commands)
        return commands

    def next_tick(self) -> float | None:
        """Return the time at which the machine needs a `ClockTicked` event, or None if only other events matter."""
        times = []
        if self._outbox.reports and self._immediate is None:
            times.append(self._outbox.since + DELIVER_SECONDS)
        if self._ready:
            times.append(self._last_start + PATIENCE_SECONDS)
        if self._poll and not self._poll.is_interrupted and (self.is_draining or self._is_poll_unwanted):
            times.append(self._poll_sent + SETTLE_SECONDS)
        if self._last_deadline is not None:
            times.append(self._last_deadline)
        elif self._deadline is not None:
            times.append(self._deadline)
        return min(times, default=None)

    def _note(self, event: Event, now: float, commands: list[Command]) -> int | None:
        """Update the state, and return the worker that the event leaves without work."""
        match event:
            case Finished(slot, report, seconds):
                self._note_finished(slot, report, seconds, now, commands)
                return slot
            case Answered(worker, exchange, response):
                self._settle(worker, exchange)
                self._note_answer(exchange, response, now, commands)
                return worker
            case Unanswered(worker, exchange, longest):
                exchange.is_repeated = True
                commands.append(Send(worker, exchange, self._delays.next_delay(longest)))
            case Rejected(worker, exchange, message):
                self._note_rejection(worker, exchange, message, now, commands)
                return worker
            case Interrupted(worker, exchange):
                # The answer may have been on its way, with tasks. The repetition gets the same ones.
                exchange.wait_seconds, exchange.is_repeated = 0.0, True
                commands.append(Send(worker, exchange))
            case LeaseLost(slot, lease) if self._slots[slot].lease is lease:
                self._slots[slot].is_lost = True
            case StopRequested(grace_seconds):
                deadline = now + grace_seconds
                self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
        return None

    def _note_finished(
        self, number: int, report: Report | None, seconds: float, now: float, commands: list[Command]
    ) -> None:
        slot = self._slots[number]
        lease, slot.lease = slot.lease, None
        if slot.state is SlotState.ABANDONED or lease is None:
            return
        slot.state = SlotState.IDLE
        self._batch.finished(lease.task.identifier, seconds)
        if slot.is_lost:
            commands.append(LogWarning(lease.task.task_id, "its lease was lost, so its result is not accepted"))
        elif report is not None:
            self._outbox.add(report, now)

    def _note_answer(
        self, exchange: Exchange, response: runners_pb2.ExchangeResponse, now: float, commands: list[Command]
    ) -> None:
        self._delays.failed = 0
        if exchange.reports:
            self._note_outcomes(exchange, response, commands)
        tasks = list(response.tasks)
        if exchange.max_tasks:
            self._batch.answered(exchange.max_tasks, {task.identifier for task in tasks}, len(tasks))
            self._was_answered_empty = not tasks
        if tasks:
            seconds = seconds_of(response.lease) or float("inf")
            jobs = response.jobs
            self._ready[:0] = [Lease(task, jobs[task.job], now, seconds) for task in reversed(tasks)]
        elif exchange.max_tasks and not response.is_more_to_come and self._ends_when_done:
            self._note_empty_queue(exchange)

    def _note_outcomes(
        self, exchange: Exchange, response: runners_pb2.ExchangeResponse, commands: list[Command]
    ) -> None:
        for report, outcome in zip(exchange.ordered(), response.outcomes, strict=False):
            if outcome.verdict == runners_pb2.REPORT_VERDICT_ACCEPTED:
                continue
            if outcome.verdict == runners_pb2.REPORT_VERDICT_STALE:
                message = outcome.message or "its lease is no longer valid, so its result is not accepted"
                commands.append(LogWarning(report.task_id, message))
            elif outcome.verdict == runners_pb2.REPORT_VERDICT_REFUSED:
                commands.append(LogWarning(report.task_id, f"it counts as failed: {outcome.message}"))

    def _note_empty_queue(self, exchange: Exchange) -> None:
        if self._outbox.reports or self._is_executing():
            return
        if exchange.is_final:
            self._is_done = True
        else:
            self._is_poll_unwanted = True

    def _note_rejection(
        self, worker: int, exchange: Exchange, message: str, now: float, commands: list[Command]
    ) -> None:
        if not exchange.reports:
            # Without reports there is nothing to leave out, so the request is repeated.
            commands.append(Send(worker, exchange, self._delays.next_delay(LONGEST_PAUSE_SECONDS)))
            return
        self._settle(worker, exchange)
        if len(exchange.reports) > 1:
            self._outbox.singles = len(exchange.reports)
            self._outbox.reports = [*exchange.reports, *self._outbox.reports]
            self._outbox.since = now
            return
        report = exchange.reports[0]
        commands.append(LogWarning(report.task_id, f"its report was rejected: {message}"))
        if isinstance(report, runners_pb2.ComputedReport):
            failure = runners_pb2.FailedReport(
                task_id=report.task_id,
                lease_number=report.lease_number,
                kind=runners_pb2.FAILURE_KIND_FINAL,
                error=f"the server did not accept the subtasks or the display of the task: {message}",
            )
            self._outbox.add(failure, now)

    def _settle(self, worker: int, exchange: Exchange) -> None:
        """Record that a worker's request is no longer under way."""
        if exchange is self._poll:
            self._poll, self._is_poll_unwanted = None, False
        else:
            self._immediate = None
        if worker != DELIVERY_WORKER:
            self._slots[worker].state = SlotState.IDLE

    def _return_late(self, now: float, commands: list[Command]) -> None:
        """Return tasks that would start too late, and after the grace period those that are still executing."""
        if self._ready and (self.is_draining or self._is_stuck(now)):
            for lease in reversed(self._ready):
                self._outbox.add(lease.handed_back(), now)
            self._ready = []
            self._batch.reset()
        if self._deadline is not None and now >= self._deadline and self._last_deadline is None:
            self._last_deadline = now + LAST_SECONDS
            self._abandon(now, commands)

    def _is_stuck(self, now: float) -> bool:
        return now >= self._last_start + PATIENCE_SECONDS and self._idle(None) is None

    def _abandon(self, now: float, commands: list[Command]) -> None:
        for number, slot in enumerate(self._slots):
            if slot.state is SlotState.EXECUTING and slot.lease is not None:
                if not slot.is_lost:
                    self._outbox.add(slot.lease.handed_back(), now)
                commands.append(Abandon(number, slot.lease))
                slot.state = SlotState.ABANDONED

    def _start(self, freed: int | None, now: float, commands: list[Command]) -> None:
        while self._ready and (number := self._idle(freed)) is not None:
            lease = self._ready.pop()
            if lease.is_over(now):
                commands.append(LogWarning(lease.task.task_id, "its lease expired before it could start"))
                continue
            slot = self._slots[number]
            slot.state, slot.lease, slot.is_lost = SlotState.EXECUTING, lease, False
            self._last_start = now
            commands.append(Run(number, lease))

    def _send(self, freed: int | None, now: float, commands: list[Command]) -> None:
        if self.is_draining or self._is_poll_unwanted:
            self._interrupt_poll(now, commands)
        if self.is_draining:
            if self._outbox.reports and self._immediate is None:
                self._send_now(self._idle(freed), 0, 0, commands)
            return
        if self._is_done or self._immediate is not None:
            return
        worker = self._idle(freed)
        if worker is None:
            if self._runs_low():
                self._send_now(None, len(self._slots) * self._batch(), 0, commands)
            elif self._outbox.reports and now >= self._outbox.since + DELIVER_SECONDS:
                self._send_now(None, 0, 0, commands)
        elif self._poll is None:
            self._ask(worker, now, commands)
        elif self._outbox.reports:
            free = sum(slot.state in (SlotState.IDLE, SlotState.SENDING) for slot in self._slots)
            idle_slots = max(0, free - self._poll.idle_slots)
            self._send_now(worker, idle_slots * self._batch() if idle_slots else 0, idle_slots, commands)

    def _ask(self, worker: int, now: float, commands: list[Command]) -> None:
        idle_slots = sum(slot.state is SlotState.IDLE for slot in self._slots)
        wait = POLL_SECONDS
        if self._ends_when_done:
            wait = LAST_POLL_SECONDS if self._was_answered_empty else 0.0
        if not wait:
            self._send_now(worker, idle_slots * self._batch(), idle_slots, commands)
            return
        self._poll = self._exchange(idle_slots * self._batch(), wait, idle_slots)
        self._poll_sent = now
        self._slots[worker].state = SlotState.SENDING
        commands.append(Send(worker, self._poll))

    def _runs_low(self) -> bool:
        """Return whether to claim short tasks early, so that the server works while the rest of a batch is executed."""
        size = self._batch.size
        return (
            self._poll is None
            and self._batch.was_full
            and size >= EARLY_BATCH
            and bool(self._outbox.reports)
            and len(self._ready) <= len(self._slots) * size // 2
        )

    def _send_now(self, worker: int | None, max_tasks: int, idle_slots: int, commands: list[Command]) -> None:
        self._immediate = self._exchange(max_tasks, 0.0, idle_slots)
        if worker is not None:
            self._slots[worker].state = SlotState.SENDING
        commands.append(Send(DELIVERY_WORKER if worker is None else worker, self._immediate))

    def _exchange(self, max_tasks: int, wait_seconds: float, idle_slots: int) -> Exchange:
        reports = self._outbox.take()
        is_final = not (self._outbox.reports or self._is_executing() or self._poll or self._immediate)
        claim_id = self._random.randbytes(16)
        return Exchange(claim_id, reports, max_tasks, wait_seconds, idle_slots, is_final)

    def _interrupt_poll(self, now: float, commands: list[Command]) -> None:
        if self._poll is not None and not self._poll.is_interrupted and now >= self._poll_sent + SETTLE_SECONDS:
            self._poll.is_interrupted = True
            self._poll.is_final = not (self._immediate or self._outbox.reports or self._is_executing())
            commands.append(Interrupt(self._poll))

    def _end(self, now: float, commands: list[Command]) -> None:
        is_under_way = bool(self._poll or self._immediate)
        is_over = self._is_done and not is_under_way
        if self.is_draining:
            is_over = not (is_under_way or self._outbox.reports or self._is_executing())
            is_over = is_over or (self._last_deadline is not None and now >= self._last_deadline)
        if is_over:
            self.is_ended = True
            under_way = [exchange for exchange in (self._poll, self._immediate) if exchange is not None]
            undelivered = len(self._outbox.reports) + sum(len(exchange.reports) for exchange in under_way)
            unsent = [command.exchange for command in commands if isinstance(command, Send)]
            commands[:] = [command for command in commands if not isinstance(command, Send)]
            commands += [Interrupt(exchange) for exchange in under_way if exchange not in unsent]
            commands.append(End(undelivered))

    def _idle(self, freed: int | None) -> int | None:
        """Return an idle slot; preferably the freed one, whose thread is already awake."""
        if freed is not None and freed != DELIVERY_WORKER and self._slots[freed].state is SlotState.IDLE:
            return freed
        for number, slot in enumerate(self._slots):
            if slot.state is SlotState.IDLE:
                return number
        return None

    def _is_executing(self) -> bool:
        return bool(self._ready) or any(slot.state is SlotState.EXECUTING for slot in self._slots)
