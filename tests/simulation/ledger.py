"""The ledger of committed decisions, which checks whether each decision was allowed.

The store tells it about every transaction. It does not know how tasks are stored. Beside the invariants of
`tests/survival/harness/invariants.py`, it checks one that only it can see:

I9  The report of a runner's death counts a crash for each task that the runner was executing, and returns none of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tilebox.server.rules.task_states import Failure, Verdict
from tilebox.server.store.work.interface import Claim, Effects, ExchangeResult, Report

DEATH = "the runner died"
"""How the error of a task begins whose runner died of it, maybe."""


@dataclass(slots=True)
class HeldTask:
    """The latest lease of a task, and whether a report on it was accepted."""

    lease: int
    claim: bytes
    is_reported: bool = False


@dataclass(slots=True)
class Ledger:
    """The leases of all tasks, and the reports that were accepted."""

    held: dict[bytes, HeldTask] = field(default_factory=dict)
    computed: set[bytes] = field(default_factory=set)
    stopped: set[bytes] = field(default_factory=set)
    retried: set[bytes] = field(default_factory=set)
    submitted: set[bytes] = field(default_factory=set)
    returned: Counter[bytes] = field(default_factory=Counter)
    # The tasks that a runner was executing when it died, by task and lease: whether it still wanted the result.
    killed: dict[tuple[bytes, int], bool] = field(default_factory=dict)

    def record_exchange(self, reports: list[Report], claim: Claim | None, answer: ExchangeResult) -> None:
        """Record an exchange, and check its verdicts and claims."""
        assert len(answer.verdicts) == len(reports)
        for report, verdict in zip(reports, answer.verdicts, strict=True):
            if verdict is Verdict.ACCEPTED:
                self._accept(report)
        assert not answer.tasks or claim is not None
        for task in answer.tasks:
            self._claim(task, claim.claim)

    def record_cancel(self, job: bytes, effects: Effects) -> None:
        """Record that a job was canceled, unless it had ended."""
        if effects.jobs:
            self.stopped.add(job)

    def record_retry(self, job: bytes) -> None:
        """Record that a job was retried."""
        self.stopped.discard(job)
        self.retried.add(job)

    def _accept(self, report: Report) -> None:
        held = self.held.get(report.task)
        assert held is not None, "I6: a report on a task that was never leased was accepted"
        assert report.lease == held.lease, "I6: a report under an old lease was accepted"
        assert not held.is_reported, "I2: two reports under one lease were accepted"
        held.is_reported = True
        if report.is_returned:
            assert not self.killed.get((report.task, held.lease)), "I9: a task that killed its runner was returned"
            self.returned[report.task] += 1
        elif report.failure is Failure.CRASH and report.error.startswith(DEATH):
            assert (report.task, held.lease) in self.killed, "I9: a task that was not being executed counted a crash"
        elif report.failure is None:
            assert report.task not in self.computed, "I2: a task was completed twice"
            self.computed.add(report.task)

    def _claim(self, task: Any, claim: bytes) -> None:
        held = self.held.get(task.task)
        if held is not None and held.lease == task.lease:
            assert held.claim == claim, "I6: one lease was given to two claims"
            return
        assert task.lease == (1 if held is None else held.lease + 1), "I6: the lease number did not increase by one"
        assert task.task not in self.computed, "I2: a completed task was leased"
        assert task.job not in self.stopped, "I7: a task of a canceled job was leased"
        self.held[task.task] = HeldTask(task.lease, claim)
