"""Who waits inside a request: as many are woken as there are tasks, and nobody's wake is lost."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tilebox.server.orchestration.wakeups import JobWatch, Waiter, WaitingRoom
from tilebox.server.store.work.interface import Claim, Queue

pytestmark = pytest.mark.anyio

KIND = (1, "Task", 1)
# Longer than the timeout of a test: what is not woken hangs.
LONG = 3600.0


@pytest.fixture
def anyio_backend():
    return "asyncio"


def queue(minor=0, *, name="Task", major=1):
    return Queue(number=minor, cluster=1, name=name, major=major, minor=minor)


def enter(room, *minors):
    waiters = [Waiter({KIND: minor}) for minor in minors]
    for waiter in waiters:
        room.enter(waiter)
    return waiters


def woken(waiters):
    return [index for index, waiter in enumerate(waiters) if waiter.is_woken]


@pytest.mark.parametrize(("tasks", "expected"), [(0, 0), (1, 1), (3, 3), (9, 5)])
def test_as_many_are_woken_as_there_are_tasks_the_first_ones_first(tasks, expected):
    room = WaitingRoom()
    waiters = enter(room, *[0] * 5)
    room.wake(queue(), tasks)
    assert woken(waiters) == [*range(expected)]


def test_who_is_woken_already_is_passed_over():
    room = WaitingRoom()
    waiters = enter(room, 0, 0, 0)
    room.wake(queue(), 1)
    room.wake(queue(), 1)
    assert woken(waiters) == [0, 1]
    waiters[0].look()
    room.wake(queue(), 1)
    assert woken(waiters) == [0, 1]


def test_only_those_are_woken_who_could_execute_it():
    room = WaitingRoom()
    waiters = enter(room, 0, 3, 5)
    room.wake(queue(minor=4), 9)
    assert woken(waiters) == [2]
    room.wake(queue(minor=1), 1)
    assert woken(waiters) == [1, 2]
    for other in (queue(name="Other"), queue(major=2), Queue(1, 2, "Task", 1, 0)):
        room.wake(other, 9)
    assert woken(waiters) == [1, 2]


def test_a_leaver_passes_its_wake_on():
    room = WaitingRoom()
    first, second, third = waiters = enter(room, 0, 0, 0)
    room.wake(queue(), 1)
    room.leave(first)
    assert woken(waiters) == [0, 1]
    room.leave(second)
    assert third.is_woken


def test_a_leaver_that_looked_passes_nothing_on():
    room = WaitingRoom()
    first, second = enter(room, 0, 0)
    room.wake(queue(), 1)
    first.look()
    room.leave(first)
    assert not second.is_woken


def test_a_leaver_passes_on_what_it_was_woken_for():
    room = WaitingRoom()
    both = Waiter({KIND: 0, (1, "Other", 1): 0})
    room.enter(both)
    (one,) = enter(room, 0)
    other = Waiter({(1, "Other", 1): 0})
    room.enter(other)
    room.wake(queue(name="Other"), 1)
    assert both.is_woken
    room.leave(both)
    assert other.is_woken
    assert not one.is_woken


def test_a_leaver_with_a_newer_version_passes_on_to_an_older_one():
    room = WaitingRoom()
    newer, older = enter(room, 5, 0)
    room.wake(queue(minor=0), 1)
    assert woken([newer, older]) == [0]
    room.leave(newer)
    assert older.is_woken, "the task was one that the older version executes, too"


def test_everyone_looks_when_nobody_knows_what_changed():
    room = WaitingRoom()
    waiters = enter(room, 0, 1, 2)
    room.wake_everyone()
    assert woken(waiters) == [0, 1, 2]


def test_leaving_twice_or_without_entering_does_nothing():
    room = WaitingRoom()
    (waiter,) = enter(room, 0)
    room.leave(waiter)
    room.leave(waiter)
    room.leave(Waiter({KIND: 0}))
    room.wake(queue(), 1)
    assert not waiter.is_woken


class Rooms(RuleBasedStateMachine):
    """Runners of one version that come, look and go; tasks that become ready. Nobody waits while a task does."""

    def __init__(self):
        super().__init__()
        self.room, self.waiting, self.ready = WaitingRoom(), [], 0

    @rule()
    def come_and_look(self):
        (waiter,) = enter(self.room, 0)
        self.waiting.append(waiter)
        self._look(waiter)

    @rule(count=st.integers(1, 3))
    def become_ready(self, count):
        self.ready += count
        self.room.wake(queue(), count)

    @precondition(lambda self: any(waiter.is_woken for waiter in self.waiting))
    @rule(pick=st.integers(0, 9))
    def woken_looks(self, pick):
        candidates = [waiter for waiter in self.waiting if waiter.is_woken]
        self._look(candidates[pick % len(candidates)])

    @precondition(lambda self: self.waiting)
    @rule(pick=st.integers(0, 9))
    def go(self, pick):
        self.room.leave(self.waiting.pop(pick % len(self.waiting)))

    def _look(self, waiter):
        waiter.look()
        if self.ready:
            self.ready -= 1
            self.waiting.remove(waiter)
            self.room.leave(waiter)

    @invariant()
    def no_task_waits_beside_an_idle_runner(self):
        awake = sum(waiter.is_woken for waiter in self.waiting)
        idle = len(self.waiting) - awake
        assert self.ready <= awake or not idle


def test_no_task_waits_beside_an_idle_runner_whoever_comes_and_goes():
    run_state_machine_as_test(Rooms, settings=settings(max_examples=100, stateful_step_count=30))


async def test_one_task_wakes_one_of_a_thousand():
    room, looked = WaitingRoom(), []

    async def wait(waiter):
        await waiter.wait(LONG)
        looked.append(waiter)
        waiter.look()

    waiters = enter(room, *[0] * 1000)
    async with anyio.create_task_group() as group:
        for waiter in waiters:
            group.start_soon(wait, waiter)
        await anyio.wait_all_tasks_blocked()
        room.wake(queue(), 1)
        await anyio.wait_all_tasks_blocked()
        assert looked == waiters[:1]
        group.cancel_scope.cancel()


async def test_a_wait_ends_with_the_time():
    waiter = Waiter({KIND: 0})
    await waiter.wait(0)
    assert not waiter.is_woken


async def test_a_wake_before_the_wait_is_not_lost():
    waiter = Waiter({KIND: 0})
    waiter.wake()
    await waiter.wait(LONG)


async def test_a_wait_ends_when_the_runner_is_gone():
    waiter, gone = Waiter({KIND: 0}), anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.wait, LONG, gone.wait)
        await anyio.wait_all_tasks_blocked()
        gone.set()
    await waiter.wait(LONG, gone.wait)
    assert waiter.is_gone
    assert not waiter.is_woken


WISH = Claim(queues=(), count=2, runner=b"", claim=b"", is_fenced=True, lease_us=1)


async def asleep(room, *wishes):
    """Let runners wait that others may get tasks for, and return them with what they wait for."""
    waiters = [Waiter({KIND: 0}, wish) for wish in wishes]
    for waiter in waiters:
        room.enter(waiter)
    waits = [asyncio.ensure_future(waiter.wait(LONG)) for waiter in waiters]
    await anyio.wait_all_tasks_blocked()
    return waiters, waits


async def test_tasks_are_handed_to_as_many_as_take_them_all_and_each_gets_its_own():
    room = WaitingRoom()
    waiters, waits = await asleep(room, WISH, None, WISH, WISH)
    chosen = room.choose(queue(), 3)
    assert [one.waiter for one in chosen] == [waiters[0], waiters[2]]
    assert [list(one.claim.queues) for one in chosen] == [[queue().number]] * 2
    for name, one in zip("ab", chosen, strict=True):
        one.waiter.hand([name])
    await asyncio.gather(waits[0], waits[2])
    assert [await waiters[0].handed(), await waiters[2].handed()] == [["a"], ["b"]]
    assert woken(waiters) == []
    for wait in (waits[1], waits[3]):
        wait.cancel()


async def test_who_looks_at_this_moment_or_is_served_already_is_not_chosen():
    room = WaitingRoom()
    looking = Waiter({KIND: 0}, WISH)
    room.enter(looking)
    assert room.choose(queue(), 1) == []
    (waiter,), (wait,) = await asleep(room, WISH)
    assert [one.waiter for one in room.choose(queue(), 1)] == [waiter]
    assert room.choose(queue(), 1) == []
    room.wake(queue(), 2)
    assert [looking.is_woken, waiter.is_woken] == [True, False]
    waiter.hand([])
    await wait
    # Whatever it was passed over for meanwhile, it finds by looking.
    assert waiter.is_woken
    assert await waiter.handed() == []


async def test_whose_time_is_over_while_it_is_served_waits_for_what_it_gets():
    room = WaitingRoom()
    waiter = Waiter({KIND: 0}, WISH)
    room.enter(waiter)
    wait = asyncio.ensure_future(waiter.wait(0.001))
    await asyncio.sleep(0)
    room.choose(queue(), 1)
    await wait
    getting = asyncio.ensure_future(waiter.handed())
    await anyio.wait_all_tasks_blocked()
    waiter.hand(["it"])
    assert await getting == ["it"]


async def test_a_job_that_changes_wakes_all_who_watch_it_and_nobody_else():
    watch, told = JobWatch(), []
    mine, other = uuid4().bytes, uuid4().bytes

    async def look_at(job):
        await watch.next_change(job).wait()
        told.append(job)

    async with anyio.create_task_group() as group:
        for job in (mine, mine, other):
            group.start_soon(look_at, job)
        await anyio.wait_all_tasks_blocked()
        watch.tell([mine, uuid4().bytes])
        await anyio.wait_all_tasks_blocked()
        assert told == [mine, mine]
        watch.tell(iter([other]))
    assert told == [mine, mine, other]


def test_a_watch_begins_when_it_is_taken():
    watch, job = JobWatch(), uuid4().bytes
    watch.tell([job])
    change = watch.next_change(job)
    assert not change.is_set()
    watch.tell([job])
    assert change.is_set()
    assert not watch.next_change(job).is_set()


def test_who_watches_in_vain_leaves_nothing_behind():
    watch = JobWatch()
    for _ in range(100):
        watch.next_change(uuid4().bytes)
    assert len(watch._watched) == 0
