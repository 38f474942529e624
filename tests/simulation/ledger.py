"""What was decided, in the order in which it was committed, and whether each decision was one that may be made.

It is told of every transaction by its verb, and knows nothing of how tasks are kept. Beside the invariants of
`tests/survival/invariants.py`, it checks one that only it can:

I9  What is said of a runner's death counts a crash for what it was executing, and gives back nothing of that.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tilebox.server.rules.task_states import Failure, Verdict
from tilebox.server.store.work.interface import Claim, Effects, Exchanged, Report

DEATH = "the runner died"
"""How the error of a task begins whose runner died of it, maybe."""


@dataclass(slots=True)
class Held:
    """The latest lease of a task, and whether a report on it was accepted."""

    lease: int
    claim: bytes
    is_reported: bool = False


@dataclass(slots=True)
class Ledger:
    """Who held what, and what was accepted of whom."""

    held: dict[bytes, Held] = field(default_factory=dict)
    computed: set[bytes] = field(default_factory=set)
    stopped: set[bytes] = field(default_factory=set)
    retried: set[bytes] = field(default_factory=set)
    submitted: set[bytes] = field(default_factory=set)
    returned: Counter[bytes] = field(default_factory=Counter)
    # Task and lease of what was executed by a runner when it died, and whether the runner had not given it up.
    killed: dict[tuple[bytes, int], bool] = field(default_factory=dict)

    def exchanged(self, reports: list[Report], claim: Claim | None, answer: Exchanged) -> None:
        """Note an exchange."""
        assert len(answer.verdicts) == len(reports)
        for report, verdict in zip(reports, answer.verdicts, strict=True):
            if verdict is Verdict.ACCEPTED:
                self._accept(report)
        assert not answer.tasks or claim is not None
        for task in answer.tasks:
            self._hand_out(task, claim.claim)

    def canceled(self, job: bytes, effects: Effects) -> None:
        """Note that somebody canceled a job, if it had not ended."""
        if effects.jobs:
            self.stopped.add(job)

    def went_on(self, job: bytes) -> None:
        """Note that a job was retried."""
        self.stopped.discard(job)
        self.retried.add(job)

    def _accept(self, report: Report) -> None:
        held = self.held.get(report.task)
        assert held is not None, "I6: a report on a task that nobody held was accepted"
        assert report.lease == held.lease, "I6: a report under an old lease was accepted"
        assert not held.is_reported, "I2: two reports under one lease were accepted"
        held.is_reported = True
        if report.is_returned:
            assert not self.killed.get((report.task, held.lease)), "I9: what a runner died of was given back"
            self.returned[report.task] += 1
        elif report.failure is Failure.CRASH and report.error.startswith(DEATH):
            assert (report.task, held.lease) in self.killed, "I9: a task is blamed that was not executed"
        elif report.failure is None:
            assert report.task not in self.computed, "I2: a task was completed twice"
            self.computed.add(report.task)

    def _hand_out(self, task: Any, claim: bytes) -> None:
        held = self.held.get(task.task)
        if held is not None and held.lease == task.lease:
            assert held.claim == claim, "I6: one lease was handed to two"
            return
        assert task.lease == (1 if held is None else held.lease + 1), "I6: leases are not counted up"
        assert task.task not in self.computed, "I2: a completed task was handed out"
        assert task.job not in self.stopped, "I7: a task of a canceled job was handed out"
        self.held[task.task] = Held(task.lease, claim)
