"""The orchestrator against a model in plain Python: any sequence of verbs leaves the same tasks in the same states.

At the end, every job is run to completion. This shows that no task is lost, none is computed twice, and none is claimed
before its dependencies are completed with all of their subtasks.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from uuid import uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.work.model import RUNNING, Model
from support.work.world import LEASE_US, World, clear

from tilebox.server.rules.task_states import ENDED, Failure, JobState, Verdict
from tilebox.server.store.work import reports as reports_module
from tilebox.server.store.work.interface import NewGroup, Report
from tilebox.server.store.work.jobs import JobFilter

FAILURES = {"failed": Failure.TASK, "final": Failure.FINAL, "crashed": Failure.CRASH}
PAUSE_US = 5_000_000

tasks = st.tuples(st.integers(0, 1), st.sampled_from([0, 0, 1]), st.sampled_from([False, False, True]))
groups = st.tuples(st.lists(tasks, min_size=1, max_size=3), st.sets(st.integers(0, 2)))
# An index into the leases, the latest first; mostly one that may still be valid.
leases = st.integers(0, 5) | st.integers(0, 40)
reports = st.tuples(
    leases,
    st.sampled_from(["computed", "computed", "computed", *FAILURES, "returned"]),
    st.lists(groups, max_size=2) | st.lists(groups, max_size=3),
    st.sampled_from([0, 0, PAUSE_US]),
    # False: the report has a lease number although the lease is not fenced, or the other way round.
    st.sampled_from([True] * 7 + [False]),
)
claims = st.tuples(st.sampled_from([(0,), (1,), (0, 1)]), st.integers(1, 4), st.booleans())
indexes = st.integers(0, 9)


class Machine(RuleBasedStateMachine):
    portal = store = None

    def __init__(self):
        super().__init__()
        # A failed example leaves tasks behind, whose leases would expire in the next example.
        self.portal.call(clear, self.store)
        self.world = self.portal.call(World.make, self.store)
        self.model = Model(self.world.limits.max_crashes)
        self.serial = count()
        self.leases = []  # (label, task, lease number, is_fenced), the latest last
        self.last_claim = None
        self.before = {}

    def call(self, verb, *arguments):
        """Call a verb, and remember the state before it for `check_effects`."""
        waiting = Counter(self.model.tasks[label].queue for label in self.model.startable({0, 1}))
        states = {identity: job.state for identity, job in self.model.jobs.items()}
        self.before = waiting, states
        return self.portal.call(verb, *arguments)

    def check_effects(self, effects):
        waiting, states = self.before
        now = Counter(self.model.tasks[label].queue for label in self.model.startable({0, 1}))
        for queue, more in (now - waiting).items():
            assert effects.ready.get(self.world.queues[queue], 0) >= more, "no runner learns of a ready task"
        for identity, job in self.model.jobs.items():
            if job.state is not states.get(identity) and identity in states and job.state in ENDED:
                assert identity in effects.ended, "no request learns of the end of a job"

    def make_groups(self, drawn):
        """Return groups for the model and for the store, each task with a unique label."""
        labeled = [
            ([(f"t{next(self.serial)}", *task) for task in members], sorted(d for d in waits if d < position))
            for position, (members, waits) in enumerate(drawn)
        ]
        stored = [
            NewGroup([self.world.task(label, queue=queue, max_retries=retries, is_optional=optional)
                      for label, queue, retries, optional in members], waits)
            for members, waits in labeled
        ]  # fmt: skip
        return labeled, stored

    @rule(drawn=st.lists(groups, min_size=1, max_size=3))
    def submit(self, drawn):
        labeled, stored = self.make_groups(drawn)
        identity, effects = self.call(self.world.submit, *stored)
        self.model.submit(identity, labeled)
        self.check_effects(effects)

    @rule(drawn=st.lists(reports, max_size=3), wanted=st.none() | claims)
    def exchange(self, drawn, wanted):
        """Report on any earlier leases, in time, late, repeated or with a wrong number; then claim."""
        said, sent = [], []
        for index, kind, below, pause_us, has_right_number in drawn if self.leases else ():
            label, task, lease, is_fenced = self.leases[-1 - index % len(self.leases)]
            number = lease if is_fenced is has_right_number else None
            labeled, stored = self.make_groups(below if kind == "computed" else [])
            said.append((label, number, kind, labeled, pause_us if kind != "computed" else 0))
            failure, is_returned = FAILURES.get(kind), kind == "returned"
            retry_after_us = said[-1][-1]
            sent.append(Report(task=task, lease=number, failure=failure, is_returned=is_returned, groups=stored,
                               retry_after_us=retry_after_us, error=kind))  # fmt: skip
        self._exchange(said, sent, wanted, uuid4().bytes)

    def _exchange(self, said, sent, wanted, claim):
        queues, number, is_fenced = wanted or ((), 0, True)
        request = self.world.claim_request(
            number, queues=[self.world.queues[queue] for queue in queues], claim=claim, is_fenced=is_fenced
        )
        answer = self.call(self.world.exchange, sent, request if wanted else None)
        assert answer.verdicts == self.model.report(said, self.world.now_us)
        self._check_claim(answer.tasks, queues, number, claim, is_fenced)
        self.check_effects(answer.effects)
        if wanted:
            self.last_claim = (wanted, claim)

    def _check_claim(self, claimed, queues, number, claim, is_fenced):
        startable = self.model.startable(queues)
        assert len(claimed) == min(number, len(startable))
        for task in claimed:
            label = task.input.decode()
            assert label in startable, f"{label} was claimed, but must wait"
            startable.remove(label)
            self.model.claim(label, claim, self.world.now_us + LEASE_US, is_fenced=is_fenced)
            known = self.model.tasks[label]
            assert (task.lease, task.retries) == (known.lease, known.retries)
            assert task.queue == self.world.queues[known.queue]
            self.leases.append((label, task.task, task.lease, is_fenced))

    @precondition(lambda self: self.last_claim)
    @rule()
    def repeat_the_claim(self):
        """Repeat the last claim, as after a lost answer."""
        (queues, number, is_fenced), claim = self.last_claim
        request = self.world.claim_request(
            number, queues=[self.world.queues[q] for q in queues], claim=claim, is_fenced=is_fenced, is_repeated=True
        )
        answer = self.call(self.world.exchange, (), request)
        known = {t.label: t.lease for t in self.model.tasks.values() if t.claim == claim and t.state is RUNNING}
        if known:
            assert {task.input.decode(): task.lease for task in answer.tasks} == known
        else:
            self._check_claim(answer.tasks, queues, number, claim, is_fenced)
            self.check_effects(answer.effects)

    @rule(index=leases, has_right_number=st.booleans())
    def extend(self, index, has_right_number):
        if self.leases:
            label, task, lease, is_fenced = self.leases[-1 - index % len(self.leases)]
            number = lease if is_fenced is has_right_number else None
            until_us = self.world.now_us + LEASE_US
            extended = self.portal.call(
                lambda: self.store.extend_leases(self.world.team, [(task, number)], until_us=until_us)
            )
            assert extended == [self.model.extend(label, number, until_us)]

    @rule(seconds=st.sampled_from([1, 5, 61]))
    def time_passes(self, seconds):
        self.world.now_us += seconds * 1_000_000

    @rule()
    def expire(self):
        expired, effects = self.call(self.world.expire)
        assert expired == self.model.expire(self.world.now_us)
        self.check_effects(effects)

    @rule()
    def wake(self):
        following, effects = self.call(self.world.wake)
        assert following == self.model.wake(self.world.now_us)
        self.check_effects(effects)

    @precondition(lambda self: self.model.jobs)
    @rule(index=indexes)
    def cancel(self, index):
        identity = list(self.model.jobs)[index % len(self.model.jobs)]
        effects = self.call(self.world.cancel, identity)
        self.model.cancel(identity)
        self.check_effects(effects)

    @precondition(lambda self: self.model.jobs)
    @rule(index=indexes)
    def retry(self, index):
        identity = list(self.model.jobs)[index % len(self.model.jobs)]
        failed, effects = self.call(self.world.retry, identity)
        assert failed == self.model.retry(identity)
        self.check_effects(effects)

    async def _read(self):
        jobs = await self.store.jobs(self.world.team, JobFilter(), latest_first=False, count=1000)
        return await self.world.tasks(), {job.id: job for job in jobs}

    @invariant()
    def store_and_model_agree(self):
        found, jobs = self.portal.call(self._read)
        assert found.keys() == self.model.tasks.keys()
        for label, task in self.model.tasks.items():
            row = found[label]
            assert self._stored_state(row) == self._model_state(task), label
        for identity, job in self.model.jobs.items():
            kept, states = jobs[identity], Counter(task.state.name.lower() for task in job.tasks)
            counts = {state: getattr(kept.counts, state) for state in states}
            assert (counts, kept.counts.total) == (states, len(job.tasks))
            assert (kept.state, kept.is_canceled, kept.is_completed) == (job.state, job.is_canceled, job.is_completed)

    @staticmethod
    def _stored_state(row):
        return {
            "state": row["state"],
            "is_ready": row["rank"] is not None,
            "wake_us": row["wake_us"],
            "until_us": row["leased_until_us"],
            "attempts": (row["retries"], row["crashes"], row["lease_number"]),
            "is_abandoned": bool(row["is_abandoned"]),
            "open_below": row["open_groups"],
            "open_beside": row["open_tasks"],
        }

    @staticmethod
    def _model_state(task):
        return {
            "state": task.state,
            "is_ready": task.can_start,
            "wake_us": task.wake_us,
            "until_us": task.until_us,
            "attempts": (task.retries, task.crashes, task.lease),
            "is_abandoned": task.is_abandoned,
            "open_below": sum(not group.is_completed for group in task.groups),
            "open_beside": sum(not task.is_completed for task in task.group.tasks),
        }

    def teardown(self):
        """Run all jobs to completion, which shows that no task is lost."""
        computed = dict(self.model.computed)
        for _ in range(len(self.model.tasks) + 2):
            self.world.now_us += LEASE_US + PAUSE_US
            self.expire()
            self.wake()
            for index, job in enumerate(self.model.jobs.values()):
                if job.state in {JobState.FAILED, JobState.CANCELED}:
                    self.retry(index)
            while self.model.startable({0, 1}):
                latest = len(self.leases)
                self._exchange([], [], ((0, 1), 4, True), uuid4().bytes)
                claimed = self.leases[latest:]
                assert not {label for label, *_ in claimed} & computed.keys(), "a computed task was claimed again"
                said = [(label, lease, "computed", [], 0) for label, _, lease, _ in claimed]
                self._exchange(said, [Report(task=task, lease=lease) for _, task, lease, _ in claimed], None, b"")
            if all(job.is_completed for job in self.model.jobs.values()):
                break
        self.store_and_model_agree()
        assert all(job.state is JobState.COMPLETED for job in self.model.jobs.values())
        assert all(number == 1 for number in self.model.computed.values())
        for label, task, lease, is_fenced in self.leases:
            (verdict,) = self.portal.call(
                self.world.exchange, [Report(task=task, lease=lease if is_fenced else None)]
            ).verdicts
            assert verdict is not Verdict.ACCEPTED, f"{label} was computed twice"


@pytest.mark.parametrize("max_look_ahead", [0, reports_module.MAX_LOOK_AHEAD])
def test_any_sequence_of_verbs_agrees_with_the_model(run_machine, max_look_ahead, monkeypatch):
    # Looking ahead is an optimisation, which must not change any result.
    monkeypatch.setattr(reports_module, "MAX_LOOK_AHEAD", max_look_ahead)
    run_machine(Machine, max_examples=30, stateful_step_count=30)
