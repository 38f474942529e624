"""The unit of work of the orchestrator: the rows that one transaction writes, and the order in which it writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from tilebox.server.rules.task_states import TaskState
from tilebox.server.store.sql.statements import Call, Steps, call_each, deferred
from tilebox.server.store.work.completion import Completion, Release
from tilebox.server.store.work.interface import ClaimedTask, Effects, NewGroup, new_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilebox.server.store.sql.statements import Row
    from tilebox.server.store.work.claims import ClaimTasks
    from tilebox.server.store.work.ranks import JobRank

_WRITE_ORDER = (
    "mark_tasks_computed",
    "mark_tasks_ended",
    "requeue_tasks",
    "add_attempts",
    "clear_progress",
    "upsert_progress",
    "add_groups",
    "add_dependencies",
    "add_tasks",
)
"""The statements whose rows are collected, in the order in which they run."""


@dataclass(slots=True)
class UnitOfWork:
    """Collects the rows that a transaction writes, so that each kind of row takes one statement.

    The transaction must have locked every job in `jobs`, or have created it.

    Args:
        now_us: The time of the transaction.
        virtual_rank: The rank at which new jobs enter the queue.
        jobs: The jobs that the transaction changes, by id.
        effects: What other transactions and waiting requests have to learn.
        claimed: The tasks that `finish` leased.
        ready: Ready tasks that were read ahead of the claim, or None if it reads them itself.
        completion: What the completed tasks lead to.
    """

    now_us: int
    virtual_rank: int
    jobs: dict[bytes, JobRank] = field(default_factory=dict)
    effects: Effects = field(default_factory=Effects)
    claimed: list[ClaimedTask] = field(default_factory=list)
    ready: list[Row] | None = None
    completion: Completion = field(init=False)
    _rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _stopped_jobs: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.completion = Completion(self.jobs, self.virtual_rank)

    def write(self, statement: str, *rows: dict[str, Any]) -> None:
        """Collect rows of arguments for a statement of `_WRITE_ORDER`."""
        self._rows.setdefault(statement, []).extend(rows)

    def stop_job(self, job: bytes) -> None:
        """Record that a job failed, so that none of its tasks may be claimed any more."""
        self.jobs[job].is_live = False
        self._stopped_jobs.append({"job": job})

    def flush(self) -> Steps[None]:
        """Write the rows that were collected so far."""
        for statement in _WRITE_ORDER:
            if rows := self._rows.pop(statement, None):
                write = call_each(statement, rows)
                # Deferred, so that it shares a round trip with the decrements: until the next read, no other
                # statement writes the rows of tasks that were just computed.
                yield deferred(write) if statement == "mark_tasks_computed" else write

    def finish(self, claim_tasks: ClaimTasks | None = None) -> Steps[Effects]:
        """Write everything, follow the completed tasks up to their jobs, and claim tasks.

        Args:
            claim_tasks: The claim to carry out at the end, if any. It may get tasks that this transaction released.
        """
        yield from self.flush()
        yield from self.completion.propagate()
        yield from self.completion.write_decrements()
        if self._stopped_jobs:
            # After `flush`, because one report may requeue a task and a later one fail its job; before the claim, so
            # that it gets no task of a failed job.
            yield call_each("unqueue_jobs", self._stopped_jobs)
        # Last among the writes of jobs, because the releases above took ranks.
        counts = [job_rank.as_arguments(job) for job, job_rank in sorted(self.jobs.items())]
        yield deferred(call_each("update_job_counts", counts))
        releases = self.completion.releases
        if claim_tasks is None:
            yield from self._release(releases)
        elif self.ready is not None and all(release.tasks is not None for release in releases):
            yield from self._claim_prefetched(claim_tasks, self.ready, releases)
        else:
            yield from self._release_and_claim(claim_tasks, releases)
        self.effects.jobs |= self.jobs.keys()
        self.effects.ended |= {job for job, rank in self.jobs.items() if rank.closed_groups or rank.failed}
        return self.effects

    def _claim_prefetched(
        self, claim_tasks: ClaimTasks, ready: Sequence[Row], releases: Sequence[Release]
    ) -> Steps[None]:
        """Claim among tasks that were all read before.

        A group whose tasks are all claimed never enters its queue. That spares PostgreSQL one of three new entries in
        each index of the table, and SQLite a page of its log.
        """
        self.claimed = yield from claim_tasks.claim_from(ready, releases)
        claimed = {task.task for task in self.claimed}
        yield from self._release([release for release in releases if not (release.tasks or {}).keys() <= claimed])

    def _release_and_claim(self, claim_tasks: ClaimTasks, releases: Sequence[Release]) -> Steps[None]:
        """Put the released tasks into their queues first, and then claim from the queues."""
        released = yield _release_call(releases)
        self.claimed = yield from claim_tasks.claim_ready()
        for row in released:
            self.effects.count_ready(row["queue"])
        # Tasks that were read ahead were ready before this transaction, so claiming them is no reason to take them
        # off the count. Those that were not claimed were locked meanwhile, and other claims skipped them: they count.
        unclaimed = {bytes(row["id"]): row["queue"] for row in self.ready or ()}
        newly_ready = [task for task in self.claimed if unclaimed.pop(task.task, None) is None]
        self.effects.remove_claimed(newly_ready)
        for queue in unclaimed.values():
            self.effects.count_ready(queue)

    def _release(self, releases: Sequence[Release]) -> Steps[None]:
        if releases:
            for row in (yield _release_call(releases)):
                self.effects.count_ready(row["queue"])

    def add_groups(
        self,
        job: bytes,
        job_rank: JobRank,
        parent: bytes | None,
        groups: Sequence[NewGroup],
        *,
        is_abandoned: bool = False,
    ) -> int:
        """Collect groups and their tasks. Tasks of groups without dependencies become ready.

        Args:
            job: The job of the tasks.
            job_rank: Its ranks and counts.
            parent: The task that submits the groups, or None for root tasks.
            groups: The groups.
            is_abandoned: Whether an optional task above the parent failed, so that the tasks are skipped at once.

        Returns:
            The number of groups that are open.
        """
        if not groups:
            return 0
        ids = new_ids(len(groups), self.now_us)
        # One run of ids for the tasks of all groups: tasks that run after each other lie near each other on disk.
        task_ids = iter(new_ids(sum(len(group.tasks) for group in groups), self.now_us))
        for group, identity in zip(groups, ids, strict=True):
            size = len(group.tasks)
            is_ready = job_rank.is_live and not group.dependencies and not is_abandoned
            first_rank = job_rank.allocate_ranks(size, self.virtual_rank) if is_ready else None
            self.write(
                "add_groups",
                {
                    "id": identity,
                    "job": job,
                    "parent": parent,
                    "size": size,
                    "open_tasks": 0 if is_abandoned else size,
                    "open_dependencies": 0 if is_abandoned else len(set(group.dependencies)),
                },
            )
            self.write(
                "add_dependencies", *[{"group": ids[other], "dependent": identity} for other in set(group.dependencies)]
            )
            state = TaskState.SKIPPED if is_abandoned else TaskState.QUEUED
            self._add_tasks(job, identity, group, list(islice(task_ids, size)), state, first_rank)
            job_rank.total += size
            if is_abandoned:
                job_rank.skipped += size
            if is_ready:
                for task in group.tasks:
                    self.effects.count_ready(task.queue)
        return 0 if is_abandoned else len(groups)

    def _add_tasks(
        self, job: bytes, group: bytes, new: NewGroup, ids: Sequence[bytes], state: TaskState, first_rank: int | None
    ) -> None:
        self.write(
            "add_tasks",
            *[
                {
                    "id": identity,
                    "job": job,
                    "group": group,
                    "position": position,
                    "queue": task.queue,
                    "state": int(state),
                    "rank": None if first_rank is None else first_rank + position,
                    "display": task.display,
                    "input": task.input,
                    "max_retries": task.max_retries,
                    "is_optional": task.is_optional,
                }
                for position, (identity, task) in enumerate(zip(ids, new.tasks, strict=True))
            ],
        )


def _release_call(releases: Sequence[Release]) -> Call:
    return call_each("release_groups", [{"group": release.group, "rank": release.rank} for release in releases])
