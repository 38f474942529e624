"""What completed tasks lead to: completed groups, released dependents, completed parent tasks, up to the job.

A task is completed once it and all of its subtasks are computed. Rows carry counters for this: a group counts its open
tasks and open dependencies, a task counts the open groups of its subtasks. `Completion` reads the counters, follows the
consequences in memory, and writes all decrements at the end. That is safe because the transaction holds the locks of
the jobs: no other transaction changes the counters in between.

The reads may run before it is certain that the tasks are computed. Then no read has to come between the writes, and
PostgreSQL runs these in one round trip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from tilebox.server.store.sql.statements import Call, Steps, call_each, deferred

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tilebox.server.store.sql.statements import Row
    from tilebox.server.store.work.ranks import JobRank


@dataclass(slots=True)
class Release:
    """A group whose tasks become ready.

    Args:
        group: Id of the group.
        rank: The rank of its first task; the others follow by their positions.
        tasks: Its tasks by id, if they were prefetched.
    """

    group: bytes
    rank: int
    tasks: Mapping[bytes, Row] | None = None


@dataclass(slots=True)
class _Group:
    """An open group. `dependents` is None until the groups that wait for it were read."""

    job: bytes
    parent: bytes | None
    open_tasks: int
    dependents: dict[bytes, _Dependent] | None = None


@dataclass(slots=True)
class _Dependent:
    """A group that waits for other groups. `tasks` is None where the group is too large to prefetch them."""

    size: int
    open_dependencies: int
    tasks: dict[bytes, Row] | None


@dataclass(slots=True)
class Completion:
    """Follows the completed tasks of one transaction up to their jobs.

    Args:
        jobs: The jobs that the transaction has locked, by id.
        virtual_rank: The rank at which new jobs enter the queue.
        prefetched_size: The tasks of dependent groups of at most this size are read along with the groups.
        releases: The groups whose tasks become ready, in the order in which they were released.
    """

    jobs: Mapping[bytes, JobRank]
    virtual_rank: int
    prefetched_size: int = 0
    releases: list[Release] = field(default_factory=list)
    # Tasks completed since the last step of `propagate`: how many of each group, and one of them to read the group by.
    _completed: dict[bytes, int] = field(default_factory=dict)
    _members: dict[bytes, bytes] = field(default_factory=dict)
    # Counters as they were read, less what was completed since.
    _groups: dict[bytes, _Group] = field(default_factory=dict)
    _dependents: dict[bytes, _Dependent] = field(default_factory=dict)
    _parent_open_groups: dict[bytes, int] = field(default_factory=dict)
    # All tasks completed so far, and the decrements to write, by group and by parent task.
    _completed_count: int = 0
    _group_decrements: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    _parent_decrements: dict[bytes, dict[str, Any]] = field(default_factory=dict)

    def add_group(self, group: bytes, job: bytes, parent: bytes | None, open_tasks: int) -> None:
        """Remember the counters of a group that was read."""
        # The database does not have the decrements of this transaction yet, so the first reading is kept: it is
        # the one from which they are subtracted.
        if group not in self._groups:
            self._groups[group] = _Group(job, parent, open_tasks)

    def complete_task(self, task: bytes, group: bytes) -> None:
        """Record that one more task of a group is completed."""
        self._completed[group] = self._completed.get(group, 0) + 1
        self._members[group] = task

    def release_group(
        self, group: bytes, job_rank: JobRank, size: int, tasks: Mapping[bytes, Row] | None = None
    ) -> None:
        """Record that the tasks of a group become ready, unless their job has stopped."""
        if job_rank.is_live:
            self.releases.append(Release(group, job_rank.allocate_ranks(size, self.virtual_rank), tasks))

    def read_dependents(self, tasks: Iterable[bytes], max_completed: int) -> Call:
        """Return the call that reads the groups of tasks, the parents of these groups, and their dependents.

        Args:
            tasks: Tasks that are completed, or may be.
            max_completed: The most tasks of one group that the transaction completes. A group with more open tasks
                stays open, so its dependents are not read.
        """
        return call_each(
            "dependents_of_tasks",
            [{"task": task, "max_completed": max_completed, "max_size": self.prefetched_size} for task in tasks],
        )

    def add_dependents(self, rows: Iterable[Row], max_completed: int) -> dict[bytes, bytes]:
        """Remember the rows that `read_dependents` returned; returns the group of each task."""
        groups: dict[bytes, bytes] = {}
        for row in rows:
            group = groups[bytes(row["task_id"])] = bytes(row["group_id"])
            parent = None if row["parent_id"] is None else bytes(row["parent_id"])
            self.add_group(group, bytes(row["group_job_id"]), parent, row["group_open_tasks"])
            if parent is not None:
                # The first reading is kept, as in `add_group`.
                self._parent_open_groups.setdefault(parent, row["parent_open_groups"])
            if row["group_open_tasks"] <= max_completed:
                self._add_dependent(self._groups[group], row)
        return groups

    def _add_dependent(self, group: _Group, row: Row) -> None:
        if group.dependents is None:
            group.dependents = {}
        if row["dependent_id"] is None:
            return
        identity = bytes(row["dependent_id"])
        # One group may wait for several that complete in this transaction; they share its counter.
        dependent = self._dependents.get(identity)
        if dependent is None:
            tasks: dict[bytes, Row] | None = {} if row["dependent_size"] <= self.prefetched_size else None
            dependent = _Dependent(row["dependent_size"], row["dependent_open_dependencies"], tasks)
            self._dependents[identity] = dependent
        group.dependents[identity] = dependent
        if dependent.tasks is not None and row["id"] is not None:
            dependent.tasks[bytes(row["id"])] = row

    def propagate(self) -> Steps[None]:
        """Follow the completed tasks level by level: their groups, then the parent tasks that these complete."""
        while self._completed:
            completed, self._completed = self._completed, {}
            self._completed_count += sum(completed.values())
            yield from self._read_groups([group for group in completed if group not in self._groups])
            for group, count in completed.items():
                self._groups[group].open_tasks -= count
                self._decrement(group)["tasks"] += count
            # Ids sort by time of creation: groups that were submitted first get the lower ranks.
            closed = [group for group in sorted(completed) if not self._groups[group].open_tasks]
            yield from self._read_groups([group for group in closed if self._groups[group].dependents is None])
            parents = [task for group in closed for task in self._close(self._groups[group])]
            if parents:
                # The next level completes at most these parents, beside what was completed before.
                max_completed = self._completed_count + len(parents)
                groups = self.add_dependents((yield self.read_dependents(parents, max_completed)), max_completed)
                for task, group in groups.items():
                    self.complete_task(task, group)

    def _read_groups(self, groups: list[bytes]) -> Steps[None]:
        if groups:
            members = [self._members[group] for group in groups]
            rows = yield self.read_dependents(members, self._completed_count)
            self.add_dependents(rows, self._completed_count)

    def _close(self, group: _Group) -> list[bytes]:
        """Record what a completed group leads to; returns its parent task, if that is completed too."""
        job_rank = self.jobs[group.job]
        for identity, dependent in sorted((group.dependents or {}).items(), key=itemgetter(0)):
            self._decrement(identity)["dependencies"] += 1
            dependent.open_dependencies -= 1
            if not dependent.open_dependencies:
                self.release_group(identity, job_rank, dependent.size, dependent.tasks)
        if group.parent is None:
            job_rank.closed_groups += 1
            return []
        self._parent_decrements.setdefault(group.parent, {"task": group.parent, "count": 0})["count"] += 1
        self._parent_open_groups[group.parent] -= 1
        return [] if self._parent_open_groups[group.parent] else [group.parent]

    def _decrement(self, group: bytes) -> dict[str, Any]:
        return self._group_decrements.setdefault(group, {"group": group, "tasks": 0, "dependencies": 0})

    def write_decrements(self) -> Steps[None]:
        """Write all decrements. The releases are left to the caller, who may lease some of their tasks at once."""
        groups = [self._group_decrements[group] for group in sorted(self._group_decrements)]
        yield deferred(call_each("decrement_groups", groups))
        parents = [self._parent_decrements[task] for task in sorted(self._parent_decrements)]
        yield deferred(call_each("decrement_parents", parents))
