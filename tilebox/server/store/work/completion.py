"""What follows from tasks that are completed: for their groups, for groups that waited, and for those who submitted.

It is found out by reading, and written down at the end: meanwhile nobody else changes any of it, since the jobs are
kept from others. What is behind tasks may be read before it is known whether they are completed at all, together with
whatever else is read; then nothing has to be waited for in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from tilebox.server.store.sql.statements import Call, Steps, call_each, deferred

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tilebox.server.store.sql.statements import Row
    from tilebox.server.store.work.ranks import Line


@dataclass(slots=True)
class Release:
    """A group whose tasks may be handed out by now.

    Args:
        group: The group.
        rank: The turn of its first task.
        tasks: Its tasks, if they are few enough to have been read.
    """

    group: bytes
    rank: int
    tasks: Mapping[bytes, Row] | None = None


@dataclass(slots=True)
class _Group:
    """A group that is not completed, and those that wait for it, once these were read."""

    job: bytes
    parent: bytes | None
    open_tasks: int
    waiting: dict[bytes, _Waiting] | None = None


@dataclass(slots=True)
class _Waiting:
    """A group that waits for others."""

    size: int
    open_dependencies: int
    tasks: dict[bytes, Row] | None


@dataclass(slots=True)
class Completion:
    """What a transaction completes, followed up to the jobs.

    Args:
        jobs: The jobs that the transaction changes.
        virtual_rank: Where new jobs join the line.
        few: The tasks of groups of at most so many are read along with the groups.
        releases: The groups whose tasks may be handed out by now.
    """

    jobs: Mapping[bytes, Line]
    virtual_rank: int
    few: int = 0
    releases: list[Release] = field(default_factory=list)
    # How many tasks of each group are to be counted off, and one of them.
    _closed: dict[bytes, int] = field(default_factory=dict)
    _members: dict[bytes, bytes] = field(default_factory=dict)
    # What was read, less what was counted off since.
    _groups: dict[bytes, _Group] = field(default_factory=dict)
    _waiting: dict[bytes, _Waiting] = field(default_factory=dict)
    _submitters: dict[bytes, int] = field(default_factory=dict)
    # What is to be counted off: in all, and by group and by submitter as it is written.
    _counted: int = 0
    _off_groups: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    _off_submitters: dict[bytes, dict[str, Any]] = field(default_factory=dict)

    def know(self, group: bytes, job: bytes, parent: bytes | None, open_tasks: int) -> None:
        """Note what was read of a group."""
        if group not in self._groups:
            self._groups[group] = _Group(job, parent, open_tasks)

    def count_off(self, task: bytes, group: bytes) -> None:
        """Collect that one more task of a group is completed."""
        self._closed[group] = self._closed.get(group, 0) + 1
        self._members[group] = task

    def release(self, group: bytes, line: Line, size: int, tasks: Mapping[bytes, Row] | None = None) -> None:
        """Collect that the tasks of a group may be handed out."""
        if line.is_live:
            self.releases.append(Release(group, line.take_ranks(size, self.virtual_rank), tasks))

    def look_behind(self, tasks: Iterable[bytes], count: int) -> Call:
        """Return the call that reads what is behind tasks, if at most so many of a group are completed."""
        return call_each("behind_tasks", [{"task": task, "count": count, "few": self.few} for task in tasks])

    def note_behind(self, rows: Iterable[Row], count: int) -> dict[bytes, bytes]:
        """Note what that call answered, and return the groups of the tasks."""
        groups: dict[bytes, bytes] = {}
        for row in rows:
            identity = groups[bytes(row["task_id"])] = bytes(row["group_id"])
            parent = None if row["parent_id"] is None else bytes(row["parent_id"])
            self.know(identity, bytes(row["group_job_id"]), parent, row["group_open_tasks"])
            if parent is not None:
                self._submitters.setdefault(parent, row["submitter_open_groups"])
            if row["group_open_tasks"] <= count:
                self._note_waiting(self._groups[identity], row)
        return groups

    def _note_waiting(self, group: _Group, row: Row) -> None:
        if group.waiting is None:
            group.waiting = {}
        if row["waiting_id"] is None:
            return
        identity = bytes(row["waiting_id"])
        waiting = self._waiting.get(identity)
        if waiting is None:
            tasks: dict[bytes, Row] | None = {} if row["waiting_size"] <= self.few else None
            waiting = _Waiting(row["waiting_size"], row["waiting_open_dependencies"], tasks)
            self._waiting[identity] = waiting
        group.waiting[identity] = waiting
        if waiting.tasks is not None and row["id"] is not None:
            waiting.tasks[bytes(row["id"])] = row

    def follow(self) -> Steps[None]:
        """Find out what is completed by what was counted off, up to the jobs."""
        while self._closed:
            closed, self._closed = self._closed, {}
            self._counted += sum(closed.values())
            yield from self._read([group for group in closed if group not in self._groups])
            for group, count in closed.items():
                self._groups[group].open_tasks -= count
                self._off(group)["tasks"] += count
            done = [group for group in sorted(closed) if not self._groups[group].open_tasks]
            yield from self._read([group for group in done if self._groups[group].waiting is None])
            submitters = [task for group in done for task in self._complete(self._groups[group])]
            if submitters:
                count = self._counted + len(submitters)
                groups = self.note_behind((yield self.look_behind(submitters, count)), count)
                for task, group in groups.items():
                    self.count_off(task, group)

    def _read(self, groups: list[bytes]) -> Steps[None]:
        if groups:
            members = [self._members[group] for group in groups]
            self.note_behind((yield self.look_behind(members, self._counted)), self._counted)

    def _complete(self, group: _Group) -> list[bytes]:
        """Collect what a completed group leads to; returns the task that submitted it, if that is completed, too."""
        line = self.jobs[group.job]
        for identity, waiting in sorted((group.waiting or {}).items(), key=itemgetter(0)):
            self._off(identity)["dependencies"] += 1
            waiting.open_dependencies -= 1
            if not waiting.open_dependencies:
                self.release(identity, line, waiting.size, waiting.tasks)
        if group.parent is None:
            line.closed_groups += 1
            return []
        self._off_submitters.setdefault(group.parent, {"task": group.parent, "count": 0})["count"] += 1
        self._submitters[group.parent] -= 1
        return [] if self._submitters[group.parent] else [group.parent]

    def _off(self, group: bytes) -> dict[str, Any]:
        return self._off_groups.setdefault(group, {"group": group, "tasks": 0, "dependencies": 0})

    def write(self) -> Steps[None]:
        """Write down what was found out, but for the releases."""
        groups = [self._off_groups[group] for group in sorted(self._off_groups)]
        yield deferred(call_each("count_off_groups", groups))
        submitters = [self._off_submitters[task] for task in sorted(self._off_submitters)]
        yield deferred(call_each("count_off_submitters", submitters))
