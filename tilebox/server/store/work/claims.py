"""Handing out tasks. It locks no job: whoever reads ready tasks keeps others from them until its transaction ends."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

from tilebox.server.store.sql.statements import Call, Row, Steps, call, call_each, deferred
from tilebox.server.store.work.interface import Claim, Claimed, Effects

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from tilebox.server.store.work.completion import Release

_Turn: TypeAlias = tuple[int, bytes, Row]
"""Rank and id of a task, by which it has its turn, and what was read of it."""


@dataclass(slots=True)
class HandingOut:
    """What a claim is handed.

    Args:
        team: Whose runner claims.
        claim: What it wants.
        now_us: When.
        effects: Of the transaction.
    """

    team: UUID
    claim: Claim
    now_us: int
    effects: Effects

    def hand_out(self) -> Steps[list[Claimed]]:
        """Hand out the first ready tasks, or what an earlier copy of the request was handed."""
        if self.claim.is_repeated and self.claim.claim:
            known = yield call("claimed_tasks", claim=self.claim.claim, runner=self.claim.runner, team=self.team)
            if known:
                return [_claimed(row) for row in known]
        return (yield from self.hand_out_of((yield self.look()), ()))

    def look(self) -> Call:
        """Return the call that reads the first ready tasks."""
        return call_each("ready_tasks", [{"queue": queue, "count": self.claim.count} for queue in self.claim.queues])

    def hand_out_of(self, ready: Iterable[Row], releases: Iterable[Release]) -> Steps[list[Claimed]]:
        """Hand out the first of the tasks that are ready and of those in groups that the transaction releases."""
        count = self.claim.count
        waiting: list[_Turn] = sorted([(row["rank"], bytes(row["id"]), row) for row in ready], key=_TURN)[:count]
        released: list[_Turn] = [
            (release.rank + row["position"], task, row)
            for release in releases
            for task, row in (release.tasks or {}).items()
            if row["queue"] in self.claim.queues
        ]
        line = sorted(waiting + released, key=_TURN)[:count] if released else waiting
        if not line:
            return []
        self.effects.last_rank = line[-1][0]
        lease = {
            "is_fenced": self.claim.is_fenced,
            "until_us": self.now_us + self.claim.lease_us,
            "runner": self.claim.runner,
            "claim": self.claim.claim,
            "now_us": self.now_us,
        }
        yield deferred(call_each("lease_tasks", [{"task": task, **lease} for _, task, _ in line]))
        handed = {task for _, task, _ in line}
        for _, task, row in waiting:
            if task not in handed:
                # Others, who were kept from it meanwhile, may have looked for tasks and found none.
                self.effects.count_ready(row["queue"])
        return [_claimed(row) for _, _, row in line]


_TURN = itemgetter(0, 1)


def _claimed(row: Row) -> Claimed:
    return Claimed(
        bytes(row["id"]),
        bytes(row["job_id"]),
        row["queue"],
        row["lease_number"],
        bytes(row["input"]),
        row["display"],
        row["retries"],
        row["max_retries"],
    )
