"""What follows from tasks that are completed: for their groups, for groups that waited, and for those who submitted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tilebox.server.store.statements import Steps, call_each, later

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tilebox.server.store.orchestration_lines import Line


@dataclass(slots=True)
class _Group:
    """What a transaction knows of a group. Nobody else changes it meanwhile, since its job is kept from others."""

    job: bytes
    parent: bytes | None
    open_tasks: int


@dataclass(slots=True)
class Completion:
    """What a transaction completes, followed up to the jobs.

    Args:
        jobs: The jobs that the transaction changes.
        virtual_rank: Where new jobs join the line.
        releases: The groups whose tasks may be handed out by now, and the ranks of their first tasks.
    """

    jobs: Mapping[bytes, Line]
    virtual_rank: int
    releases: list[dict[str, Any]] = field(default_factory=list)
    _closed: Counter[bytes] = field(default_factory=Counter)
    _known: dict[bytes, _Group] = field(default_factory=dict)

    def know(self, group: bytes, job: bytes, parent: bytes | None, open_tasks: int) -> None:
        """Note what was read of a group."""
        self._known[bytes(group)] = _Group(bytes(job), None if parent is None else bytes(parent), open_tasks)

    def count_off(self, group: bytes) -> None:
        """Collect that one more task of a group is completed."""
        self._closed[bytes(group)] += 1

    def release(self, group: bytes, line: Line, size: int) -> None:
        """Collect that the tasks of a group may be handed out."""
        if line.is_live:
            self.releases.append({"group": group, "rank": line.take_ranks(size, self.virtual_rank)})

    def follow(self) -> Steps[None]:
        """Write down what was counted off, and what is completed by it, up to the jobs."""
        while self._closed:
            yield from self._close()

    def _close(self) -> Steps[None]:
        """Count completed tasks off their groups, completed groups off those that wait and off their submitters."""
        closed, self._closed = self._closed, Counter()
        count_off = call_each("close_tasks", [{"group": group, "count": n} for group, n in sorted(closed.items())])
        if closed.keys() <= self._known.keys():
            # What it leaves of each is known beforehand, so nobody waits for being told.
            yield later(count_off)
            for group, count in closed.items():
                self._known[group].open_tasks -= count
        else:
            for row in (yield count_off):
                self.know(row["id"], row["job_id"], row["parent_id"], row["open_tasks"])
        done = [group for group in sorted(closed) if not self._known[group].open_tasks]
        if not done:
            return
        parents: Counter[bytes] = Counter()
        for known in [self._known[group] for group in done]:
            if known.parent is None:
                self.jobs[known.job].closed_groups += 1
            else:
                parents[known.parent] += 1
        waiting = yield later(call_each("close_dependencies", [{"group": group} for group in done]))
        submitters = yield call_each(
            "close_child_groups", [{"task": task, "count": n} for task, n in sorted(parents.items())]
        )
        # A group that waited for two of them comes twice, and counts as it came last.
        for row in {bytes(row["id"]): row for row in waiting}.values():
            if not row["open_dependencies"]:
                self.release(bytes(row["id"]), self.jobs[bytes(row["job_id"])], row["size"])
        for row in submitters:
            if not row["open_groups"]:
                self.count_off(row["group_id"])
