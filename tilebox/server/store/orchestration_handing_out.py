"""Handing out tasks. It locks no job: whoever reads ready tasks keeps others from them until its transaction ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox.server.store.orchestration import Claim, Claimed, Effects
from tilebox.server.store.statements import Steps, call, call_each

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox.server.store.statements import Row


def hand_out(team: UUID, claim: Claim, now_us: int, effects: Effects) -> Steps[list[Claimed]]:
    """Hand out the first tasks of the queues of a claim, and note that in the effects."""
    if claim.is_repeated and claim.claim:
        known = yield call("claimed_tasks", claim=claim.claim, runner=claim.runner, team=team)
        if known:
            return [_claimed(row) for row in known]
    lease = {
        "is_fenced": claim.is_fenced,
        "until_us": now_us + claim.lease_us,
        "runner": claim.runner,
        "claim": claim.claim,
        "now_us": now_us,
    }
    rows = yield call_each("take_tasks", [{"queue": queue, "count": claim.count, **lease} for queue in claim.queues])
    rows = sorted(rows, key=lambda row: (row["rank"], bytes(row["id"])))[: claim.count]
    if rows:
        effects.last_rank = rows[-1]["rank"]
    yield call_each("lease_tasks", [{"task": bytes(row["id"]), **lease} for row in rows])
    return [_claimed(row) for row in rows]


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
