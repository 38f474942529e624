"""An exhaustive search of all reachable states of three tasks and two runners, one of which may crash.

From every state, every step is taken. After each step the store agrees with the model, also if the state was reached
before in another way. From every state, the job can still be completed.
"""

from __future__ import annotations

import pickle
import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

import pytest
from support.work.model import Model
from support.work.world import LEASE_US, World, group

from tilebox.server.rules.task_states import Failure, JobState
from tilebox.server.store.sql.migrate import apply_pending, migrations
from tilebox.server.store.sqlite.store import SqliteStore, run_steps
from tilebox.server.store.work.interface import Limits, Report

# (retries, is_optional) of three tasks: `a`; `b`, which depends on `a`; and `c`, which `a` submits.
JOBS = {
    "plain": ((0, False), (0, False), (0, False)),
    "retried": ((1, False), (0, False), (0, False)),
    "optional": ((0, True), (0, False), (0, False)),
    "optional below": ((0, False), (0, False), (0, True)),
}


class MemoryStore(SqliteStore):
    """A store in this thread. Its verbs join the open transaction, so that steps can be undone by savepoints."""

    def __init__(self):
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        run_steps(self.connection, apply_pending(migrations("sqlite")))

    async def read(self, verb):
        return run_steps(self.connection, verb())

    write = read

    async def write_grouped(self, verb, tasks=(), *, is_repeatable=False):
        return run_steps(self.connection, verb())


def run(coroutine):
    """Return the result of a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError


@dataclass
class State:
    """The state outside the database: the leases of both runners, the last report, and the faults still to come."""

    model: Model
    held: list = field(default_factory=lambda: [None, None])
    last: tuple | None = None
    crashes_left: int = 1
    cancels_left: int = 0

    @property
    def key(self):
        tasks = self.model.tasks
        leases = [lease and (lease[0], tasks[lease[0]].lease == lease[2]) for lease in (*self.held, self.last)]
        states = [(t.label, t.state, t.retries, t.crashes, t.is_abandoned) for t in tasks.values()]
        job = next(iter(self.model.jobs.values()))
        # The two runners are interchangeable, so states that differ only by their order are one.
        return (*sorted(leases[:2], key=str), leases[2], job.is_canceled, self.crashes_left, self.cancels_left, *states)


class Search:
    """A depth-first search of all states.

    Args:
        kinds: (retries, is_optional) of `a`, `b` and `c`.
        cancels: How often the job may be canceled.
        is_repeating: Whether the last report may be repeated at any time.
    """

    def __init__(self, kinds, *, cancels, is_repeating):
        self.is_repeating = is_repeating
        self.store = MemoryStore()
        self.world = run(World.make(self.store, queues=1))
        self.world.limits = Limits(max_crashes=1)
        self.tasks = {
            label: (label, 0, retries, optional) for label, (retries, optional) in zip("abc", kinds, strict=True)
        }
        model = Model(max_crashes=1)
        self.job, _ = run(self.world.submit(self.stored("a"), replace(self.stored("b"), dependencies=[0])))
        model.submit(self.job, [([self.tasks["a"]], []), ([self.tasks["b"]], [0])])
        self.start = State(model, cancels_left=cancels)
        self.edges = defaultdict(set)
        self.goals = set()
        self.computed = Counter()

    def stored(self, label):
        _, queue, retries, optional = self.tasks[label]
        return group(self.world.task(label, queue=queue, max_retries=retries, is_optional=optional))

    def explore(self, state):
        """Take every step from a state, recursively, and undo each."""
        if state.model.jobs[self.job].state is JobState.COMPLETED:
            self.goals.add(state.key)
        edges = self.edges[state.key] = set()
        before = pickle.dumps(state)
        for step in self.steps(state):
            self.store.connection.execute("SAVEPOINT step")
            # Copying by pickle is several times as fast as by `deepcopy`.
            following = pickle.loads(before)
            step(following)
            self.check(following)
            edges.add(key := following.key)
            if key not in self.edges:
                self.explore(following)
            self.store.connection.execute("ROLLBACK TO step")
            self.store.connection.execute("RELEASE step")

    def steps(self, state):
        for runner in range(2):
            if state.held[runner] is None:
                yield lambda state, runner=runner: self.claim(state, runner)
            else:
                for kind in ("computed", "failed", "returned"):
                    yield lambda state, runner=runner, kind=kind: self.report(state, state.held[runner], kind, runner)
                if state.crashes_left:
                    yield lambda state, runner=runner: self.crash(state, runner)
        if state.last is not None:
            yield lambda state: self.report(state, state.last, "computed")
        yield self.expire
        yield self.retry
        if state.cancels_left:
            yield self.cancel

    def claim(self, state, runner):
        claim = bytes([runner]) * 16
        claimed = run(self.world.claim(claim=claim))
        assert bool(claimed) is bool(state.model.startable({0}))
        for task in claimed:
            label = task.input.decode()
            state.model.claim(label, claim, self.world.now_us + LEASE_US, is_fenced=True)
            state.held[runner] = (label, task.task, task.lease)

    def report(self, state, lease, kind, runner=None):
        label, task, number = lease
        below = [([self.tasks["c"]], [])] if (label, kind) == ("a", "computed") else []
        report = Report(
            task=task,
            lease=number,
            failure=Failure.TASK if kind == "failed" else None,
            is_returned=kind == "returned",
            groups=[self.stored("c")] if below else [],
        )
        answer = run(self.world.exchange([report]))
        assert answer.verdicts == state.model.report([(label, number, kind, below, 0)], self.world.now_us)
        assert all(times == 1 for times in state.model.computed.values())
        if runner is not None:
            state.held[runner], state.last = None, lease if self.is_repeating else None

    def crash(self, state, runner):
        """Let a runner die. Another one takes its place."""
        state.held[runner] = None
        state.crashes_left -= 1

    def expire(self, state):
        late = self.world.now_us + LEASE_US + 1
        expired, _ = run(self.store.expire_leases(now_us=late, virtual_rank=0, limits=self.world.limits, count=10))
        assert expired == state.model.expire(late)

    def cancel(self, state):
        run(self.world.cancel(self.job))
        state.model.cancel(self.job)
        state.cancels_left -= 1

    def retry(self, state):
        assert run(self.world.retry(self.job))[0] == state.model.retry(self.job)

    def check(self, state):
        rows = run(self.world.tasks())
        assert rows.keys() == state.model.tasks.keys()
        for label, task in state.model.tasks.items():
            row = rows[label]
            found = row["state"], row["rank"] is not None, row["retries"], row["crashes"], row["lease_number"]
            assert found == (task.state, task.can_start, task.retries, task.crashes, task.lease), label
        assert run(self.world.state(self.job)) is state.model.jobs[self.job].state

    def dead_ends(self):
        """Return the states from which the job can never be completed."""
        before = defaultdict(set)
        for key, following in self.edges.items():
            for after in following:
                before[after].add(key)
        reached, frontier = set(self.goals), [*self.goals]
        while frontier:
            frontier = [key for after in frontier for key in before[after] if key not in reached]
            reached.update(frontier)
        return self.edges.keys() - reached


def check_all(kinds, **rules):
    search = Search(JOBS[kinds], **rules)
    search.check(search.start)
    search.explore(search.start)
    assert len(search.edges) > 100
    assert search.goals
    assert not search.dead_ends()


@pytest.mark.parametrize("kinds", JOBS)
def test_every_state_of_three_tasks_and_two_runners(kinds):
    check_all(kinds, cancels=0, is_repeating=False)


@pytest.mark.slow
@pytest.mark.parametrize("kinds", JOBS)
def test_every_state_with_cancel_and_repeated_reports(kinds):
    check_all(kinds, cancels=1, is_repeating=True)
