"""Wake-ups of waiting requests: as many runners are woken as tasks become ready, and no wake-up is lost."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tilebox.server.orchestration.wakeups import JobChanges, Waiter, WaitQueue
from tilebox.server.store.work.interface import Claim, Queue

pytestmark = pytest.mark.anyio

KIND = (1, "Task", 1)
# Longer than the time-out of a test, so that a lost wake-up fails the test.
LONG = 3600.0


@pytest.fixture
def anyio_backend():
    return "asyncio"


def queue(minor=0, *, name="Task", major=1):
    return Queue(number=minor, cluster=1, name=name, major=major, minor=minor)


def add(wait_queue, *minors):
    waiters = [Waiter({KIND: minor}) for minor in minors]
    for waiter in waiters:
        wait_queue.add(waiter)
    return waiters


def woken(waiters):
    return [index for index, waiter in enumerate(waiters) if waiter.is_woken]


@pytest.mark.parametrize(("tasks", "expected"), [(0, 0), (1, 1), (3, 3), (9, 5)])
def test_as_many_are_woken_as_there_are_tasks_the_first_ones_first(tasks, expected):
    wait_queue = WaitQueue()
    waiters = add(wait_queue, *[0] * 5)
    wait_queue.wake(queue(), tasks)
    assert woken(waiters) == [*range(expected)]


def test_a_woken_runner_is_passed_over():
    wait_queue = WaitQueue()
    waiters = add(wait_queue, 0, 0, 0)
    wait_queue.wake(queue(), 1)
    wait_queue.wake(queue(), 1)
    assert woken(waiters) == [0, 1]
    waiters[0].clear()
    wait_queue.wake(queue(), 1)
    assert woken(waiters) == [0, 1]


def test_only_runners_that_can_execute_the_task_are_woken():
    wait_queue = WaitQueue()
    waiters = add(wait_queue, 0, 3, 5)
    wait_queue.wake(queue(minor=4), 9)
    assert woken(waiters) == [2]
    wait_queue.wake(queue(minor=1), 1)
    assert woken(waiters) == [1, 2]
    for other in (queue(name="Other"), queue(major=2), Queue(1, 2, "Task", 1, 0)):
        wait_queue.wake(other, 9)
    assert woken(waiters) == [1, 2]


def test_a_removed_runner_passes_its_wake_up_on():
    wait_queue = WaitQueue()
    first, second, third = waiters = add(wait_queue, 0, 0, 0)
    wait_queue.wake(queue(), 1)
    wait_queue.remove(first)
    assert woken(waiters) == [0, 1]
    wait_queue.remove(second)
    assert third.is_woken


def test_a_removed_runner_that_acted_on_its_wake_up_passes_nothing_on():
    wait_queue = WaitQueue()
    first, second = add(wait_queue, 0, 0)
    wait_queue.wake(queue(), 1)
    first.clear()
    wait_queue.remove(first)
    assert not second.is_woken


def test_a_removed_runner_wakes_another_for_the_same_kind_of_task():
    wait_queue = WaitQueue()
    both = Waiter({KIND: 0, (1, "Other", 1): 0})
    wait_queue.add(both)
    (first_kind,) = add(wait_queue, 0)
    other = Waiter({(1, "Other", 1): 0})
    wait_queue.add(other)
    wait_queue.wake(queue(name="Other"), 1)
    assert both.is_woken
    wait_queue.remove(both)
    assert other.is_woken
    assert not first_kind.is_woken


def test_a_removed_runner_of_a_newer_version_wakes_one_of_an_older_version():
    wait_queue = WaitQueue()
    newer, older = add(wait_queue, 5, 0)
    wait_queue.wake(queue(minor=0), 1)
    assert woken([newer, older]) == [0]
    wait_queue.remove(newer)
    assert older.is_woken, "the older version executes the task, too"


def test_wake_all_wakes_every_runner():
    wait_queue = WaitQueue()
    waiters = add(wait_queue, 0, 1, 2)
    wait_queue.wake_all()
    assert woken(waiters) == [0, 1, 2]


def test_removing_a_runner_twice_or_before_adding_it_does_nothing():
    wait_queue = WaitQueue()
    (waiter,) = add(wait_queue, 0)
    wait_queue.remove(waiter)
    wait_queue.remove(waiter)
    wait_queue.remove(Waiter({KIND: 0}))
    wait_queue.wake(queue(), 1)
    assert not waiter.is_woken


class WaitQueues(RuleBasedStateMachine):
    """Runners of one version that arrive, claim and leave, and tasks that become ready."""

    def __init__(self):
        super().__init__()
        self.wait_queue, self.waiting, self.ready = WaitQueue(), [], 0

    @rule()
    def arrive_and_claim(self):
        (waiter,) = add(self.wait_queue, 0)
        self.waiting.append(waiter)
        self._claim(waiter)

    @rule(count=st.integers(1, 3))
    def make_ready(self, count):
        self.ready += count
        self.wait_queue.wake(queue(), count)

    @precondition(lambda self: any(waiter.is_woken for waiter in self.waiting))
    @rule(pick=st.integers(0, 9))
    def claim_after_wake_up(self, pick):
        candidates = [waiter for waiter in self.waiting if waiter.is_woken]
        self._claim(candidates[pick % len(candidates)])

    @precondition(lambda self: self.waiting)
    @rule(pick=st.integers(0, 9))
    def leave(self, pick):
        self.wait_queue.remove(self.waiting.pop(pick % len(self.waiting)))

    def _claim(self, waiter):
        waiter.clear()
        if self.ready:
            self.ready -= 1
            self.waiting.remove(waiter)
            self.wait_queue.remove(waiter)

    @invariant()
    def no_runner_sleeps_while_a_task_is_ready(self):
        awake = sum(waiter.is_woken for waiter in self.waiting)
        idle = len(self.waiting) - awake
        assert self.ready <= awake or not idle


def test_no_runner_sleeps_while_a_task_is_ready():
    run_state_machine_as_test(WaitQueues, settings=settings(max_examples=100, stateful_step_count=30))


async def test_one_task_wakes_one_of_a_thousand():
    wait_queue, claimed = WaitQueue(), []

    async def wait(waiter):
        await waiter.wait(LONG)
        claimed.append(waiter)
        waiter.clear()

    waiters = add(wait_queue, *[0] * 1000)
    async with anyio.create_task_group() as group:
        for waiter in waiters:
            group.start_soon(wait, waiter)
        await anyio.wait_all_tasks_blocked()
        wait_queue.wake(queue(), 1)
        await anyio.wait_all_tasks_blocked()
        assert claimed == waiters[:1]
        group.cancel_scope.cancel()


async def test_a_wait_times_out():
    waiter = Waiter({KIND: 0})
    await waiter.wait(0)
    assert not waiter.is_woken


async def test_a_wake_up_before_the_wait_is_not_lost():
    waiter = Waiter({KIND: 0})
    waiter.wake()
    await waiter.wait(LONG)


async def test_a_wait_ends_when_the_runner_disconnects():
    waiter, disconnected = Waiter({KIND: 0}), anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.wait, LONG, disconnected.wait)
        await anyio.wait_all_tasks_blocked()
        disconnected.set()
    await waiter.wait(LONG, disconnected.wait)
    assert waiter.is_disconnected
    assert not waiter.is_woken


CLAIM = Claim(queues=(), count=2, runner=b"", claim=b"", is_fenced=True, lease_us=1)


async def asleep(wait_queue, *claims):
    """Add sleeping runners, and return them with their `wait` calls."""
    waiters = [Waiter({KIND: 0}, claim) for claim in claims]
    for waiter in waiters:
        wait_queue.add(waiter)
    waits = [asyncio.ensure_future(waiter.wait(LONG)) for waiter in waiters]
    await anyio.wait_all_tasks_blocked()
    return waiters, waits


async def test_as_many_runners_are_reserved_as_it_takes_and_each_gets_its_own_delivery():
    wait_queue = WaitQueue()
    waiters, waits = await asleep(wait_queue, CLAIM, None, CLAIM, CLAIM)
    reservations = wait_queue.reserve(queue(), 3)
    assert [reservation.waiter for reservation in reservations] == [waiters[0], waiters[2]]
    assert [list(reservation.claim.queues) for reservation in reservations] == [[queue().number]] * 2
    for name, reservation in zip("ab", reservations, strict=True):
        reservation.waiter.deliver([name])
    await asyncio.gather(waits[0], waits[2])
    assert [await waiters[0].delivered(), await waiters[2].delivered()] == [["a"], ["b"]]
    assert woken(waiters) == []
    for wait in (waits[1], waits[3]):
        wait.cancel()


async def test_a_runner_that_makes_a_claim_or_is_reserved_already_is_not_reserved():
    wait_queue = WaitQueue()
    claiming = Waiter({KIND: 0}, CLAIM)
    wait_queue.add(claiming)
    assert wait_queue.reserve(queue(), 1) == []
    (waiter,), (wait,) = await asleep(wait_queue, CLAIM)
    assert [reservation.waiter for reservation in wait_queue.reserve(queue(), 1)] == [waiter]
    assert wait_queue.reserve(queue(), 1) == []
    wait_queue.wake(queue(), 2)
    assert [claiming.is_woken, waiter.is_woken] == [True, False]
    waiter.deliver([])
    await wait
    # Whatever it was passed over for meanwhile, it finds by claiming.
    assert waiter.is_woken
    assert await waiter.delivered() == []


async def test_a_reserved_runner_waits_for_its_delivery_even_after_its_time_out():
    wait_queue = WaitQueue()
    waiter = Waiter({KIND: 0}, CLAIM)
    wait_queue.add(waiter)
    wait = asyncio.ensure_future(waiter.wait(0.001))
    await asyncio.sleep(0)
    wait_queue.reserve(queue(), 1)
    await wait
    delivery = asyncio.ensure_future(waiter.delivered())
    await anyio.wait_all_tasks_blocked()
    waiter.deliver(["task"])
    assert await delivery == ["task"]


async def test_a_change_of_a_job_notifies_all_requests_that_wait_for_it_and_no_others():
    changes, notified = JobChanges(), []
    mine, other = uuid4().bytes, uuid4().bytes

    async def wait_for(job):
        await changes.next_change(job).wait()
        notified.append(job)

    async with anyio.create_task_group() as group:
        for job in (mine, mine, other):
            group.start_soon(wait_for, job)
        await anyio.wait_all_tasks_blocked()
        changes.notify([mine, uuid4().bytes])
        await anyio.wait_all_tasks_blocked()
        assert notified == [mine, mine]
        changes.notify(iter([other]))
    assert notified == [mine, mine, other]


def test_an_event_reports_changes_from_its_creation_on():
    changes, job = JobChanges(), uuid4().bytes
    changes.notify([job])
    change = changes.next_change(job)
    assert not change.is_set()
    changes.notify([job])
    assert change.is_set()
    assert not changes.next_change(job).is_set()


def test_events_without_a_change_are_not_kept():
    changes = JobChanges()
    for _ in range(100):
        changes.next_change(uuid4().bytes)
    assert len(changes._events) == 0
