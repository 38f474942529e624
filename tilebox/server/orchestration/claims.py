"""Requests of runners for tasks, the responses, and the match between a runner's identifiers and queues."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilebox.server.rules.task_states import Verdict
    from tilebox.server.store.work.interface import ClaimedTask, Queue

Identifier = tuple[str, int, int]
"""Name, major version and minor version of a task that a runner executes."""

TaskKind = tuple[int, str, int]
"""Cluster, task name and major version. Runners of one kind differ by their minor version only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """A runner's request for tasks.

    Args:
        cluster: Number of the runner's cluster.
        identifiers: Tasks that the runner executes.
        runner_id: Id of the runner, 16 bytes.
        claim_id: Id of the request, 16 bytes, under which it can be repeated; empty if it will not be.
        max_tasks: Most tasks to lease.
        wait_seconds: How long to wait for a task.
        is_fenced: Whether the runner names lease numbers in its reports, as fencing tokens.
    """

    cluster: int
    identifiers: tuple[Identifier, ...]
    runner_id: bytes
    claim_id: bytes
    max_tasks: int
    wait_seconds: float
    is_fenced: bool


@dataclass(slots=True)
class ClaimedTasks:
    """The response to a runner.

    Args:
        verdicts: One for each of its reports, in their order.
        tasks: The tasks that were leased to it.
        identifiers: For each task, the position in the runner's identifiers of the one to execute it as.
        is_more_to_come: Whether tasks that it could execute wait for dependencies or for their next attempt.
    """

    verdicts: list[Verdict]
    tasks: list[ClaimedTask] = field(default_factory=list)
    identifiers: list[int] = field(default_factory=list)
    is_more_to_come: bool = False


@dataclass(frozen=True, slots=True)
class QueueMatch:
    """The queues that a runner's identifiers can serve.

    Args:
        queues: All queues of the cluster.
        positions: For each queue that the runner can serve, the position of the identifier that serves it.
        minors: The highest minor version that the runner executes, by kind.
    """

    queues: Sequence[Queue]
    positions: dict[int, int]
    minors: dict[TaskKind, int]

    @classmethod
    def of(cls, request: ClaimRequest, queues: Sequence[Queue]) -> QueueMatch:
        """Match the identifiers of a request with the queues of its cluster."""
        by_kind: dict[TaskKind, list[tuple[int, int]]] = {}
        for position, (name, major, minor) in enumerate(request.identifiers):
            by_kind.setdefault((request.cluster, name, major), []).append((minor, position))
        positions = {}
        for queue in queues:
            versions = by_kind.get((queue.cluster, queue.name, queue.major), ())
            able = [(minor, position) for minor, position in versions if minor >= queue.minor]
            if able:
                # The lowest sufficient version is closest to the one that the task was submitted with.
                positions[queue.number] = min(able)[1]
        return cls(queues, positions, {kind: max(versions)[0] for kind, versions in by_kind.items()})


def derive_runner_id(*parts: str | bytes) -> bytes:
    """Return a stable id of 16 bytes for a runner whose protocol has no runner ids."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()
