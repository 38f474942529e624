"""The state machine of a runner: its claims and deliveries, their order, and its end."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.runner import batch_size, machine
from tilebox._core.runner.batch_size import BatchSize
from tilebox._core.runner.events import (
    DELIVERY_WORKER,
    Abandon,
    Answered,
    ClockTicked,
    End,
    Finished,
    Interrupt,
    Interrupted,
    LeaseLost,
    LogWarning,
    Rejected,
    Run,
    Send,
    Started,
    StopRequested,
    Unanswered,
)
from tilebox._core.runner.exchanges import Exchange
from tilebox._core.runner.machine import Machine

FOREVER = 1e6


def task_id(number):
    return number.to_bytes(16, "big")


def answer(*numbers, is_more_to_come=False, outcomes=(), lease_seconds=60, identifier=0):
    """Return an answer with tasks, by number."""
    tasks = [
        runners_pb2.LeasedTask(task_id=task_id(number), lease_number=1, identifier=identifier) for number in numbers
    ]
    response = runners_pb2.ExchangeResponse(tasks=tasks, is_more_to_come=is_more_to_come)
    response.jobs.add(job_id=bytes(16), name="job")
    response.lease.FromSeconds(lease_seconds)
    response.outcomes.extend(runners_pb2.ReportOutcome(verdict=verdict, message="why") for verdict in outcomes)
    return response


def computed(lease):
    return runners_pb2.ComputedReport(task_id=lease.task.task_id, lease_number=lease.task.lease_number)


class Scene:
    """A machine, its clock, and what it said last."""

    def __init__(self, slots=1, *, ends_when_done=False):
        self.machine = Machine(slots, ends_when_done=ends_when_done, random=Random(0))
        self.now = 1000.0

    def tell(self, event, after=0.0):
        self.now += after
        return self.machine.step(event, self.now)

    def answer(self, send, *numbers, after=0.0, **parts):
        return self.tell(Answered(send.worker, send.exchange, answer(*numbers, **parts)), after)

    def finish(self, run, seconds=0.001, report=None):
        return self.tell(Finished(run.slot, report or computed(run.lease), seconds), seconds)

    def tick(self):
        """Let the time pass until the machine wants to be told."""
        self.now = max(self.now, self.machine.next_tick())
        return self.tell(ClockTicked())


def numbers(reports):
    return [int.from_bytes(report.task_id, "big") for report in reports]


def test_one_slot_takes_its_report_along_when_it_asks_again():
    scene = Scene()
    [send] = scene.tell(Started())
    assert (send.worker, send.exchange.max_tasks, send.exchange.wait_seconds) == (0, 1, machine.POLL_SECONDS)
    [run] = scene.answer(send, 7)
    assert run.slot == 0
    [send] = scene.finish(run, 1.0)
    assert numbers(send.exchange.reports) == [7]
    assert send.exchange.max_tasks == 1
    assert scene.machine.next_tick() is None


def test_a_runner_that_ends_when_done_does_not_wait_for_its_first_answer():
    scene = Scene(ends_when_done=True)
    [send] = scene.tell(Started())
    assert send.exchange.wait_seconds == 0
    assert scene.answer(send) == [End(0)]
    assert scene.machine.is_ended


def test_it_waits_for_announced_tasks_and_ends_when_there_are_none():
    scene = Scene(ends_when_done=True)
    [send] = scene.tell(Started())
    [send] = scene.answer(send, is_more_to_come=True)
    assert send.exchange.wait_seconds == machine.LAST_POLL_SECONDS
    [run] = scene.answer(send, 1)
    [send] = scene.finish(run)
    assert (numbers(send.exchange.reports), send.exchange.wait_seconds) == ([1], 0)
    assert scene.answer(send, outcomes=[1]) == [End(0)]


def test_two_slots_end_only_when_neither_knows_of_more():
    scene = Scene(2, ends_when_done=True)
    [send] = scene.tell(Started())
    run, immediate = scene.answer(send, 1)
    [poll] = scene.answer(immediate)
    sent = scene.now
    assert (poll.worker, poll.exchange.max_tasks, poll.exchange.wait_seconds) == (1, 1, 1.0)
    [immediate] = scene.finish(run)
    assert (immediate.worker, immediate.exchange.wait_seconds) == (0, 0)
    # The waiting poll may have a task on its way: it is asked again before this is the end.
    assert scene.answer(immediate, outcomes=[1]) == []
    assert scene.tick() == [Interrupt(poll.exchange)]
    assert scene.now - sent == pytest.approx(machine.SETTLE_SECONDS)
    [again] = scene.tell(Interrupted(1, poll.exchange))
    assert again.exchange is poll.exchange
    assert again.exchange.is_repeated
    assert again.exchange.wait_seconds == 0
    assert scene.answer(again) == [End(0)]


def test_an_empty_answer_is_no_end_while_a_task_executes():
    scene = Scene(2, ends_when_done=True)
    [send] = scene.tell(Started())
    run, poll = scene.answer(send, 1)
    [poll] = scene.answer(poll)
    assert poll.exchange.wait_seconds == 1.0
    [immediate] = scene.finish(run)
    [other, *_] = scene.answer(immediate, 2, outcomes=[1])
    assert isinstance(other, Run)


def execute_all(scene, commands):
    """Execute short tasks as long as there are some, and return what is sent meanwhile."""
    sends = []
    while True:
        sends += [one for one in commands if isinstance(one, Send)]
        runs = [one for one in commands if isinstance(one, Run)]
        if not runs:
            return sends
        commands = scene.finish(runs[0], 1e-5)


def grow_batch(scene, send, size=machine.EARLY_BATCH // 2):
    """Feed short tasks until a batch is so large, and return the request for it."""
    number = 0
    while send.exchange.max_tasks < size:
        wanted = send.exchange.max_tasks
        [send] = execute_all(scene, scene.answer(send, *range(number, number + wanted)))
        number += wanted
    return send


def test_batches_grow_while_tasks_are_short():
    scene = Scene()
    [send] = scene.tell(Started())
    send = grow_batch(scene, send, batch_size.MAX_BATCH)
    assert len(send.exchange.reports) >= batch_size.MAX_BATCH // 4
    # An answer without tasks ends it: the next task is to start here, the one behind it elsewhere.
    [send] = scene.answer(send)
    assert send.exchange.max_tasks == 1


def test_the_next_batch_of_short_tasks_is_fetched_while_half_of_the_last_one_is_left():
    scene = Scene()
    [send] = scene.tell(Started())
    sent, number = [], 0
    while number < 1000:
        wanted = send.exchange.max_tasks
        commands = scene.answer(send, *range(number, number + wanted))
        number += wanted
        left = wanted
        while True:
            sends = [one for one in commands if isinstance(one, Send)]
            sent += [report for one in sends for report in numbers(one.exchange.reports)]
            if sends:
                break
            left -= 1
            commands = scene.finish(commands[0], 1e-5)
        [send] = sends
        if wanted >= machine.EARLY_BATCH:
            assert send.worker == DELIVERY_WORKER
            assert send.exchange.wait_seconds == 0
            assert left >= wanted // 2
            commands = [one for one in commands if isinstance(one, Run)]
        # The answer comes when the rest is done.
        assert execute_all(scene, [one for one in commands if isinstance(one, Run)]) == []
    # No report is forgotten and none sent twice, whoever carries it.
    [send] = scene.answer(send)
    sent += numbers(send.exchange.reports)
    assert sorted(sent) == [*range(number)]


def test_nothing_is_claimed_early_after_a_batch_that_was_not_full():
    scene = Scene()
    [send] = scene.tell(Started())
    send = grow_batch(scene, send, batch_size.MAX_BATCH)
    [send] = execute_all(scene, scene.answer(send, *range(1000, 1100)))
    assert (send.worker, send.exchange.max_tasks) == (0, 100)
    assert numbers(send.exchange.reports)[-100:] == [*range(1000, 1100)]


def test_batches_stay_small_when_few_tasks_come():
    batch = BatchSize()
    batch.finished(0, 1e-5)
    batch.size = 64
    batch.answered(64, {0}, 3)
    assert batch() == 3


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 100)), min_size=1), st.integers(1, 256))
def test_a_batch_never_takes_longer_than_its_limit(tasks, size):
    batch = BatchSize()
    batch.size = size
    for identifier, seconds in tasks:
        batch.finished(identifier, seconds)
    count = batch()
    worst = max(batch.expected(identifier) for identifier, _ in tasks)
    assert 1 <= count <= batch_size.MAX_BATCH
    assert count == 1 or count * worst <= batch_size.BATCH_SECONDS * 1.000001


def test_reports_do_not_wait_for_a_long_task_nor_do_tasks_after_it():
    scene = Scene()
    [send] = scene.tell(Started())
    send = grow_batch(scene, send)
    [run] = scene.answer(send, *range(1000, 1010))
    [run] = scene.finish(run)
    finished = scene.now
    [delivery] = scene.tick()
    assert scene.now - finished <= 0.020001
    assert (delivery.worker, numbers(delivery.exchange.reports), delivery.exchange.max_tasks) == (
        DELIVERY_WORKER,
        [1000],
        0,
    )
    assert scene.answer(delivery, outcomes=[1]) == []
    assert scene.tick() == []  # the rest is given up
    [delivery] = scene.tick()
    assert numbers(delivery.exchange.reports) == list(range(1002, 1010))
    assert all(isinstance(report, runners_pb2.TaskLeaseNumber) for report in delivery.exchange.reports)
    assert scene.now - finished < 0.1
    scene.answer(delivery, outcomes=[1] * 8)
    [send] = scene.finish(run, 10.0)
    assert send.exchange.max_tasks == 1


def test_a_request_without_an_answer_is_repeated_as_it_is_for_ever():
    scene = Scene()
    [send] = scene.tell(Started())
    [run] = scene.answer(send, 1)
    [send] = scene.finish(run)
    exchange, message = send.exchange, send.exchange.to_message()
    pauses = []
    for _ in range(100):
        [send] = scene.tell(Unanswered(send.worker, exchange), 1.0)
        pauses.append(send.pause_seconds)
        assert send.exchange is exchange
    message.is_repeated = True
    assert exchange.to_message() == message
    assert pauses[0] <= 0.05
    assert all(machine.LONGEST_PAUSE_SECONDS / 2 <= one <= machine.LONGEST_PAUSE_SECONDS for one in pauses[10:])
    assert len(set(pauses[10:])) > 1
    [run] = scene.answer(send, 2, outcomes=[1])
    assert isinstance(run, Run)


def test_slots_share_a_request_while_one_is_under_way():
    scene = Scene(4)
    [send] = scene.tell(Started())
    (*runs,) = scene.answer(send, 1, 2, 3, 4)
    [poll] = scene.finish(runs[0])
    [immediate] = scene.finish(runs[1])
    assert immediate.exchange.idle_slots == 1
    assert scene.finish(runs[2]) == []
    assert scene.finish(runs[3]) == []
    [next_request] = scene.answer(immediate, outcomes=[1])
    assert numbers(next_request.exchange.reports) == [3, 4]
    assert poll.exchange.idle_slots + next_request.exchange.idle_slots == 4


def test_reports_are_ordered_by_kind():
    reports = [
        runners_pb2.TaskLeaseNumber(task_id=task_id(1)),
        runners_pb2.FailedReport(task_id=task_id(2)),
        runners_pb2.ComputedReport(task_id=task_id(3)),
        runners_pb2.FailedReport(task_id=task_id(4)),
    ]
    exchange = Exchange(b"c", reports, 0, 1.5, 0, is_final=False)
    assert numbers(exchange.ordered()) == [3, 2, 4, 1]
    message = exchange.to_message()
    assert (len(message.computed), len(message.failed), len(message.returned)) == (1, 2, 1)
    assert message.wait.ToMilliseconds() == 1500


def test_reports_that_are_not_accepted_are_logged():
    scene = Scene(2)
    [send] = scene.tell(Started())
    first, second = scene.answer(send, 1, 2)
    [send] = scene.finish(first)
    scene.finish(second)
    stale, *_ = scene.answer(send, outcomes=[runners_pb2.REPORT_VERDICT_STALE])
    assert stale == LogWarning(task_id(1), "why")


def test_the_result_of_a_lost_lease_is_dropped():
    scene = Scene()
    [send] = scene.tell(Started())
    [run] = scene.answer(send, 1)
    assert scene.tell(LeaseLost(0, run.lease)) == []
    told, send = scene.finish(run)
    assert isinstance(told, LogWarning)
    assert send.exchange.reports == []


def test_a_task_whose_lease_ran_out_before_it_started_is_not_executed():
    scene = Scene()
    [send] = scene.tell(Started())
    send = grow_batch(scene, send)
    [run] = scene.answer(send, *range(1000, 1003), lease_seconds=60)
    commands = scene.tell(Finished(0, computed(run.lease), 0.001), 61)
    # Suspended for longer than the lease, say.
    assert [type(one) for one in commands] == [LogWarning, LogWarning, Send]
    assert numbers(commands[-1].exchange.reports) == [1000]


def test_a_report_that_is_rejected_fails_its_task_and_holds_up_no_other():
    scene = Scene()
    [send] = scene.tell(Started())
    send = grow_batch(scene, send)
    [command] = scene.answer(send, 2001, 2002)
    [command] = scene.finish(command)
    [send] = scene.finish(command)
    assert numbers(send.exchange.reports) == [2001, 2002]
    [send] = scene.tell(Rejected(send.worker, send.exchange, "too large"))
    assert numbers(send.exchange.reports) == [2001]
    told, send = scene.tell(Rejected(send.worker, send.exchange, "too large"))
    assert isinstance(told, LogWarning)
    assert numbers(send.exchange.reports) == [2002]
    [send] = scene.answer(send, outcomes=[1])
    [failure] = send.exchange.reports
    assert (failure.kind, numbers([failure])) == (runners_pb2.FAILURE_KIND_FINAL, [2001])
    told, send = scene.tell(Rejected(send.worker, send.exchange, "still"))
    assert send.exchange.reports == []


# Stopping


def test_an_idle_runner_stops_when_its_poll_is_interrupted_and_returns_tasks_of_the_poll():
    scene = Scene()
    [poll] = scene.tell(Started())
    assert scene.tell(StopRequested(30), 1) == [Interrupt(poll.exchange)]
    [again] = scene.tell(Interrupted(0, poll.exchange))
    [send] = scene.answer(again, 5)
    assert isinstance(send.exchange.reports[0], runners_pb2.TaskLeaseNumber)
    assert send.exchange.max_tasks == 0
    assert scene.answer(send, outcomes=[1]) == [End(0)]


def test_a_busy_runner_finishes_reports_and_returns_tasks_that_have_not_started():
    scene = Scene()
    [send] = scene.tell(Started())
    send = grow_batch(scene, send)
    [run] = scene.answer(send, 1001, 1002, 1003)
    [immediate] = scene.tell(StopRequested(30))
    assert (immediate.worker, numbers(immediate.exchange.reports)) == (DELIVERY_WORKER, [1002, 1003])
    assert scene.finish(run, 5) == []
    [send] = scene.answer(immediate, outcomes=[1, 1])
    assert (numbers(send.exchange.reports), send.exchange.max_tasks) == ([1001], 0)
    assert scene.answer(send, outcomes=[1]) == [End(0)]


def test_tasks_that_do_not_finish_in_time_are_returned():
    scene = Scene()
    [send] = scene.tell(Started())
    [run] = scene.answer(send, 1)
    assert scene.tell(StopRequested(30)) == []
    abandon, send = scene.tick()
    assert scene.now == 1030
    assert abandon == Abandon(0, run.lease)
    assert isinstance(send.exchange.reports[0], runners_pb2.TaskLeaseNumber)
    assert scene.answer(send, outcomes=[1]) == [End(0)]
    assert scene.finish(run) == []


def test_the_second_signal_leaves_two_seconds_even_without_an_answer():
    scene = Scene()
    [send] = scene.tell(Started())
    [_] = scene.answer(send, 1)
    scene.tell(StopRequested(30))
    _, send = scene.tell(StopRequested(0), 1)
    [send] = scene.tell(Unanswered(send.worker, send.exchange))
    assert scene.tick() == [Interrupt(send.exchange), End(1)]
    assert scene.now == pytest.approx(1003)


def test_a_stop_during_an_outage_waits_for_the_server_as_long_as_for_tasks():
    scene = Scene()
    [poll] = scene.tell(Started())
    [poll] = scene.tell(Unanswered(0, poll.exchange), 1)
    assert scene.tell(StopRequested(30)) == [Interrupt(poll.exchange)]
    [send] = scene.tell(Interrupted(0, poll.exchange))
    for _ in range(5):
        [send] = scene.tell(Unanswered(0, send.exchange), 5)
    scene.tick()
    assert [type(one) for one in scene.tick()] == [Interrupt, End]
    assert scene.now == pytest.approx(1033)


def test_reports_left_after_the_deadline_are_neither_sent_nor_interrupted():
    scene = Scene(slots=2)
    [send] = scene.tell(Started())
    first, second = scene.answer(send, 1, 2)
    assert (first.slot, second.slot) == (0, 1)
    scene.tell(StopRequested(1))
    [send] = scene.finish(first, 0.5)
    # The other one is handed back, but the request before has not been answered.
    assert scene.tick() == [Abandon(1, second.lease)]
    assert scene.answer(send, after=machine.LAST_SECONDS + 0.1, outcomes=[1]) == [End(1)]


class World:
    """A server and slots that do what the machine says, in an order that somebody else chooses.

    Checks on the way that no worker has two things to do, and that at most two requests are under way.
    """

    def __init__(self, slots, tasks, *, ends_when_done):
        self.machine = Machine(slots, ends_when_done=ends_when_done, random=Random(1))
        self.now = 0.0
        self.queue = list(range(1, tasks + 1))
        self.leased = {}
        self.claims = {}
        self.accepted = []
        self.returned = []
        self.under_way = {}
        self.ended = False
        self.cut = set()

    def tell(self, event):
        for command in self.machine.step(event, self.now):
            match command:
                case Send(worker) | Run(worker):
                    assert worker not in self.under_way
                    self.under_way[worker] = command
                case Interrupt(exchange):
                    self.cut.add(exchange)
                case End(undelivered):
                    assert undelivered == 0
                    self.ended = True
        assert sum(isinstance(one, Send) for one in self.under_way.values()) <= 2

    def serve(self, exchange):
        """Take reports, hand out tasks: once, however often the request comes."""
        verdicts = []
        for report in exchange.ordered():
            number = int.from_bytes(report.task_id, "big")
            valid = self.leased.pop(number, None)
            if valid is None:
                verdicts.append(runners_pb2.REPORT_VERDICT_REPEATED)
                assert exchange.is_repeated
                continue
            verdicts.append(runners_pb2.REPORT_VERDICT_ACCEPTED)
            if isinstance(report, runners_pb2.TaskLeaseNumber):
                self.returned.append(number)
                self.queue.append(number)
            else:
                self.accepted.append(number)
        if exchange.claim_id not in self.claims:
            taken, self.queue = self.queue[: exchange.max_tasks], self.queue[exchange.max_tasks :]
            self.claims[exchange.claim_id] = taken
            self.leased.update(dict.fromkeys(taken, True))
        return answer(*self.claims[exchange.claim_id], outcomes=verdicts)

    def act(self, worker, fate, seconds):
        command = self.under_way.pop(worker)
        self.now += seconds
        if isinstance(command, Run):
            self.tell(Finished(command.slot, computed(command.lease), seconds))
            return
        exchange = command.exchange
        if exchange in self.cut:
            self.cut.discard(exchange)
            if fate % 2:
                self.serve(exchange)  # and the answer does not arrive
            self.tell(Interrupted(worker, exchange))
        elif fate == 0:
            self.tell(Unanswered(worker, exchange))
        elif fate == 1:
            self.serve(exchange)
            self.tell(Unanswered(worker, exchange))
        else:
            self.tell(Answered(worker, exchange, self.serve(exchange)))


@given(
    slots=st.integers(1, 4),
    tasks=st.integers(0, 60),
    steps=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([1e-5, 0.01, 0.03, 1.0])), max_size=300
    ),
    stop_at=st.none() | st.integers(0, 40),
)
def test_every_task_is_reported_once_or_returned_whatever_happens(slots, tasks, steps, stop_at):
    world = World(slots, tasks, ends_when_done=True)
    world.tell(Started())
    # What was not said ends well, and nobody is forgotten.
    fates = [*steps, *[(number, 8, 1e-5) for number in range(2000)]]
    for count, (choice, fate, seconds) in enumerate(fates):
        if world.ended:
            break
        if count == stop_at:
            world.tell(StopRequested(FOREVER))
        tick = world.machine.next_tick()
        is_near = tick is not None and tick < world.now + FOREVER / 2
        if is_near and (choice == 9 or not world.under_way):
            world.now = max(world.now, tick)
            world.tell(ClockTicked())
        if world.under_way:
            worker = sorted(world.under_way)[choice % len(world.under_way)]
            world.act(worker, fate, seconds)
    assert world.ended
    assert len(set(world.accepted)) == len(world.accepted)
    assert not world.leased
    if stop_at is None:
        assert sorted(world.accepted) == list(range(1, tasks + 1))
    else:
        assert sorted(world.accepted + world.queue) == list(range(1, tasks + 1))
