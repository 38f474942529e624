"""What a runner does next: a state machine that is told what happened and answers with what to do.

It knows slots, each of which executes one task at a time, and a courier, who delivers when all slots
are busy. `Machine.step` takes an event and the time and returns commands; threads and sockets are
elsewhere (`tilebox._runner.run`), so everything here can be tried without waiting.

    idle slot  --Send-->  sending  --Answered-->  idle
    idle slot  --Run-->  executing  --Finished-->  idle

Finished tasks leave a report in the outbox. Whoever asks for tasks takes the outbox along, so a task
costs one request; of short tasks, many share one, and the courier fetches more before the last ones are
done. At most two requests are under way: one that may wait in the server until there is
work for idle slots (the poll), and one that does not wait (the errand), which takes along what
finishes meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.runner.batch_size import BatchSize
from tilebox._core.runner.events import (
    COURIER,
    LONGEST_PAUSE_SECONDS,
    Abandon,
    Answered,
    Cut,
    End,
    Finished,
    LeaseLost,
    Rejected,
    Run,
    Send,
    StopAsked,
    Tell,
    Unanswered,
    WasCut,
)
from tilebox._core.runner.exchanges import Exchange, Lease, Outbox, RetryPauses, seconds_of

if TYPE_CHECKING:
    from random import Random

    from tilebox._core.runner.events import Command, Event
    from tilebox._core.runner.exchanges import Report

POLL_SECONDS = 20.0
# Of a runner that ends when everything is done: it learns that others have ended the rest this late.
LAST_POLL_SECONDS = 1.0
# Finished results wait this long for a batch-mate that takes longer.
DELIVER_SECONDS = 0.02
# Tasks that have not started by then, behind others, are somebody else's.
PATIENCE_SECONDS = 0.05
# A request that was sent a moment ago may not have arrived; cut off, it could come in after its own repetition.
SETTLE_SECONDS = 0.2
# From batches of this size on, the next one is fetched while half of the last one is still to be executed.
EARLY_BATCH = 8
# To hand back what is left, after the time to finish is over.
LAST_SECONDS = 2.0


class SlotState(Enum):
    """What a slot is doing."""

    IDLE = "idle"
    SENDING = "sending"
    EXECUTING = "executing"
    ABANDONED = "abandoned"  # it executes what was handed back, and is of no use any more


@dataclass(slots=True)
class _Slot:
    state: SlotState = SlotState.IDLE
    lease: Lease | None = None
    is_lost: bool = False


class Machine:
    """The state of one runner.

    Args:
        slots: How many tasks it executes at once.
        ends_when_done: Whether it ends when there is nothing left to do, or waits for more.
        random: For ids of claims, and for pauses.
    """

    def __init__(self, slots: int, *, ends_when_done: bool, random: Random) -> None:
        self._slots = [_Slot() for _ in range(slots)]
        self._ends_when_done = ends_when_done
        self._random = random
        self._pauses = RetryPauses(random)
        self._batch = BatchSize()
        self._outbox = Outbox()
        self._ready: list[Lease] = []  # in reverse order, so that the first one is at the end
        self._poll: Exchange | None = None
        self._errand: Exchange | None = None
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
        """Whether no more tasks are taken."""
        return self._deadline is not None

    def executing(self) -> dict[int, Lease]:
        """Return the leases of the tasks that are executing, by slot."""
        slots = enumerate(self._slots)
        return {number: slot.lease for number, slot in slots if slot.state is SlotState.EXECUTING and slot.lease}

    def expected_seconds(self, lease: Lease) -> float | None:
        """Return how long a task should take, if others like it were executed before."""
        return self._batch.expected(lease.task.identifier)

    def step(self, event: Event, now: float) -> list[Command]:
        """Take note of what happened.

        Args:
            event: What happened.
            now: Seconds on a clock that only goes forward.

        Returns:
            What to do now. There is never more than one `Send` or `Run` under way for a worker.
        """
        if self.is_ended:
            return []
        commands: list[Command] = []
        here = self._note(event, now, commands)
        self._give_up_late(now, commands)
        self._start(here, now, commands)
        self._send(here, now, commands)
        self._end(now, commands)
        return commands

    def next_tick(self) -> float | None:
        """Return when time alone changes something, if nothing else happens."""
        times = []
        if self._outbox.reports and self._errand is None:
            times.append(self._outbox.since + DELIVER_SECONDS)
        if self._ready:
            times.append(self._last_start + PATIENCE_SECONDS)
        if self._poll and not self._poll.is_cut and (self.is_draining or self._is_poll_unwanted):
            times.append(self._poll_sent + SETTLE_SECONDS)
        if self._last_deadline is not None:
            times.append(self._last_deadline)
        elif self._deadline is not None:
            times.append(self._deadline)
        return min(times, default=None)

    def _note(self, event: Event, now: float, commands: list[Command]) -> int | None:
        """Take the event into the state, and return the worker whom it leaves without work."""
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
                commands.append(Send(worker, exchange, self._pauses.pause(longest)))
            case Rejected(worker, exchange, message):
                self._note_rejection(worker, exchange, message, now, commands)
                return worker
            case WasCut(worker, exchange):
                # The answer may have been on its way, with tasks in it: asking again brings the same ones.
                exchange.wait_seconds, exchange.is_repeated = 0.0, True
                commands.append(Send(worker, exchange))
            case LeaseLost(slot, lease) if self._slots[slot].lease is lease:
                self._slots[slot].is_lost = True
            case StopAsked(grace_seconds):
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
            commands.append(Tell(lease.task.task_id, "its lease was lost, so that its result does not count"))
        elif report is not None:
            self._outbox.add(report, now)

    def _note_answer(
        self, exchange: Exchange, response: runners_pb2.ExchangeResponse, now: float, commands: list[Command]
    ) -> None:
        self._pauses.failed = 0
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
            self._note_no_more(exchange)

    def _note_outcomes(
        self, exchange: Exchange, response: runners_pb2.ExchangeResponse, commands: list[Command]
    ) -> None:
        for report, outcome in zip(exchange.ordered(), response.outcomes, strict=False):
            if outcome.verdict == runners_pb2.REPORT_VERDICT_ACCEPTED:
                continue
            if outcome.verdict == runners_pb2.REPORT_VERDICT_STALE:
                message = outcome.message or "its lease is not valid any more, so that its result does not count"
                commands.append(Tell(report.task_id, message))
            elif outcome.verdict == runners_pb2.REPORT_VERDICT_REFUSED:
                commands.append(Tell(report.task_id, f"it counts as failed: {outcome.message}"))

    def _note_no_more(self, exchange: Exchange) -> None:
        if self._outbox.reports or self._is_executing():
            return
        if exchange.is_last_word:
            self._is_done = True
        else:
            self._is_poll_unwanted = True

    def _note_rejection(
        self, worker: int, exchange: Exchange, message: str, now: float, commands: list[Command]
    ) -> None:
        if not exchange.reports:
            # No report is to blame, so it is no use to leave anything out.
            commands.append(Send(worker, exchange, self._pauses.pause(LONGEST_PAUSE_SECONDS)))
            return
        self._settle(worker, exchange)
        if len(exchange.reports) > 1:
            self._outbox.singly = len(exchange.reports)
            self._outbox.reports = [*exchange.reports, *self._outbox.reports]
            self._outbox.since = now
            return
        report = exchange.reports[0]
        commands.append(Tell(report.task_id, f"its report was rejected: {message}"))
        if isinstance(report, runners_pb2.ComputedReport):
            failure = runners_pb2.FailedReport(
                task_id=report.task_id,
                lease_number=report.lease_number,
                kind=runners_pb2.FAILURE_KIND_FINAL,
                error=f"the server did not take what the task submitted or displayed: {message}",
            )
            self._outbox.add(failure, now)

    def _settle(self, worker: int, exchange: Exchange) -> None:
        """Note that a worker has nothing under way any more."""
        if exchange is self._poll:
            self._poll, self._is_poll_unwanted = None, False
        else:
            self._errand = None
        if worker != COURIER:
            self._slots[worker].state = SlotState.IDLE

    def _give_up_late(self, now: float, commands: list[Command]) -> None:
        """Hand back what would start too late, and when the time to finish is over also what does not."""
        if self._ready and (self.is_draining or self._is_stuck(now)):
            for lease in reversed(self._ready):
                self._outbox.add(lease.handed_back(), now)
            self._ready = []
            self._batch.surprised()
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

    def _start(self, here: int | None, now: float, commands: list[Command]) -> None:
        while self._ready and (number := self._idle(here)) is not None:
            lease = self._ready.pop()
            if lease.is_over(now):
                commands.append(Tell(lease.task.task_id, "its lease was over before it could start"))
                continue
            slot = self._slots[number]
            slot.state, slot.lease, slot.is_lost = SlotState.EXECUTING, lease, False
            self._last_start = now
            commands.append(Run(number, lease))

    def _send(self, here: int | None, now: float, commands: list[Command]) -> None:
        if self.is_draining or self._is_poll_unwanted:
            self._cut_poll(now, commands)
        if self.is_draining:
            if self._outbox.reports and self._errand is None:
                self._send_errand(self._idle(here), 0, 0, commands)
            return
        if self._is_done or self._errand is not None:
            return
        worker = self._idle(here)
        if worker is None:
            if self._runs_low():
                self._send_errand(None, len(self._slots) * self._batch(), 0, commands)
            elif self._outbox.reports and now >= self._outbox.since + DELIVER_SECONDS:
                self._send_errand(None, 0, 0, commands)
        elif self._poll is None:
            self._ask(worker, now, commands)
        elif self._outbox.reports:
            free = sum(slot.state in (SlotState.IDLE, SlotState.SENDING) for slot in self._slots)
            covers = max(0, free - self._poll.covers)
            self._send_errand(worker, covers * self._batch() if covers else 0, covers, commands)

    def _ask(self, worker: int, now: float, commands: list[Command]) -> None:
        covers = sum(slot.state is SlotState.IDLE for slot in self._slots)
        wait = POLL_SECONDS
        if self._ends_when_done:
            wait = LAST_POLL_SECONDS if self._was_answered_empty else 0.0
        if not wait:
            self._send_errand(worker, covers * self._batch(), covers, commands)
            return
        self._poll = self._exchange(covers * self._batch(), wait, covers)
        self._poll_sent = now
        self._slots[worker].state = SlotState.SENDING
        commands.append(Send(worker, self._poll))

    def _runs_low(self) -> bool:
        """Whether to fetch short tasks already, so that the server works while the rest of a batch is executed."""
        size = self._batch.size
        return (
            self._poll is None
            and self._batch.came_whole
            and size >= EARLY_BATCH
            and bool(self._outbox.reports)
            and len(self._ready) <= len(self._slots) * size // 2
        )

    def _send_errand(self, worker: int | None, max_tasks: int, covers: int, commands: list[Command]) -> None:
        self._errand = self._exchange(max_tasks, 0.0, covers)
        if worker is not None:
            self._slots[worker].state = SlotState.SENDING
        commands.append(Send(COURIER if worker is None else worker, self._errand))

    def _exchange(self, max_tasks: int, wait_seconds: float, covers: int) -> Exchange:
        reports = self._outbox.take()
        is_last_word = not (self._outbox.reports or self._is_executing() or self._poll or self._errand)
        claim_id = self._random.randbytes(16)
        return Exchange(claim_id, reports, max_tasks, wait_seconds, covers, is_last_word)

    def _cut_poll(self, now: float, commands: list[Command]) -> None:
        if self._poll is not None and not self._poll.is_cut and now >= self._poll_sent + SETTLE_SECONDS:
            self._poll.is_cut = True
            self._poll.is_last_word = not (self._errand or self._outbox.reports or self._is_executing())
            commands.append(Cut(self._poll))

    def _end(self, now: float, commands: list[Command]) -> None:
        is_under_way = bool(self._poll or self._errand)
        is_over = self._is_done and not is_under_way
        if self.is_draining:
            is_over = not (is_under_way or self._outbox.reports or self._is_executing())
            is_over = is_over or (self._last_deadline is not None and now >= self._last_deadline)
        if is_over:
            self.is_ended = True
            under_way = [exchange for exchange in (self._poll, self._errand) if exchange is not None]
            undelivered = len(self._outbox.reports) + sum(len(one.reports) for one in under_way)
            unsent = [one.exchange for one in commands if isinstance(one, Send)]
            commands[:] = [one for one in commands if not isinstance(one, Send)]
            commands += [Cut(exchange) for exchange in under_way if exchange not in unsent]
            commands.append(End(undelivered))

    def _idle(self, here: int | None) -> int | None:
        """Return a slot that has nothing to do; the one that is awake already, if possible."""
        if here is not None and here != COURIER and self._slots[here].state is SlotState.IDLE:
            return here
        for number, slot in enumerate(self._slots):
            if slot.state is SlotState.IDLE:
                return number
        return None

    def _is_executing(self) -> bool:
        return bool(self._ready) or any(slot.state is SlotState.EXECUTING for slot in self._slots)
