"""Claims: which ready tasks a runner gets, under a new lease.

A claim locks no job. Reading the ready tasks locks their rows until the transaction ends, and other claims skip locked
rows. So a claim never waits for another transaction and cannot be part of a deadlock, whatever its own transaction
has locked before.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

from tilebox.server.store.sql.statements import Call, Row, Steps, call, call_each, deferred
from tilebox.server.store.work.interface import Claim, ClaimedTask, Effects

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from tilebox.server.store.work.completion import Release

_Candidate: TypeAlias = tuple[int, bytes, Row]
"""Rank and id of a task, which together define its place in the queue, and the row that was read."""


@dataclass(slots=True)
class ClaimTasks:
    """Leases ready tasks to one runner, in the order of their ranks.

    Args:
        team: The team of the runner.
        claim: The queues, the number of tasks and the lease that the runner asks for.
        now_us: The time of the claim.
        effects: The effects of the transaction; gets the highest claimed rank.
    """

    team: UUID
    claim: Claim
    now_us: int
    effects: Effects

    def claim_ready(self) -> Steps[list[ClaimedTask]]:
        """Lease the first ready tasks. A repeated request gets the tasks that its earlier copy was given."""
        if self.claim.is_repeated and self.claim.claim:
            known = yield call("claimed_tasks", claim=self.claim.claim, runner=self.claim.runner, team=self.team)
            if known:
                return [_claimed_task(row) for row in known]
        return (yield from self.claim_from((yield self.read_ready()), ()))

    def read_ready(self) -> Call:
        """Return the call that reads and locks the first ready tasks."""
        return call_each("ready_tasks", [{"queue": queue, "count": self.claim.count} for queue in self.claim.queues])

    def claim_from(self, ready: Iterable[Row], releases: Iterable[Release]) -> Steps[list[ClaimedTask]]:
        """Lease the first of the given tasks.

        Args:
            ready: Tasks that were ready before this transaction, as `read_ready` returned them.
            releases: Groups that this transaction makes ready. Their tasks have no rank in the database yet.
        """
        count = self.claim.count
        # `ready` holds the first `count` tasks of every queue; only the first `count` of all matter.
        already_ready: list[_Candidate] = sorted(
            [(row["rank"], bytes(row["id"]), row) for row in ready], key=_QUEUE_ORDER
        )[:count]
        released: list[_Candidate] = [
            (release.rank + row["position"], task, row)
            for release in releases
            for task, row in (release.tasks or {}).items()
            if row["queue"] in self.claim.queues
        ]
        chosen = sorted(already_ready + released, key=_QUEUE_ORDER)[:count] if released else already_ready
        if not chosen:
            return []
        self.effects.last_rank = chosen[-1][0]
        lease = {
            "is_fenced": self.claim.is_fenced,
            "until_us": self.now_us + self.claim.lease_us,
            "runner": self.claim.runner,
            "claim": self.claim.claim,
            "now_us": self.now_us,
        }
        yield deferred(call_each("lease_tasks", [{"task": task, **lease} for _, task, _ in chosen]))
        claimed = {task for _, task, _ in chosen}
        for _, task, row in already_ready:
            if task not in claimed:
                # While this transaction locked the task, other claims skipped it and may have come away empty. Counting
                # it as ready wakes their runners again after the commit.
                self.effects.count_ready(row["queue"])
        return [_claimed_task(row) for _, _, row in chosen]


_QUEUE_ORDER = itemgetter(0, 1)


def _claimed_task(row: Row) -> ClaimedTask:
    return ClaimedTask(
        bytes(row["id"]),
        bytes(row["job_id"]),
        row["queue"],
        row["lease_number"],
        bytes(row["input"]),
        row["display"],
        row["retries"],
        row["max_retries"],
    )
