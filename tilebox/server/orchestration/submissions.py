"""Submissions: parsed messages resolved to the queues of clusters, with a cache of clusters and queues."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

from tilebox._core.schema.catalogue import did_you_mean
from tilebox.errors import ConflictError, NotFoundError
from tilebox.server.clock import now_us
from tilebox.server.orchestration.slugs import make_slug
from tilebox.server.orchestration.submission_parsing import (
    MAX_GROUPS,
    MAX_ROOT_TASKS,
    SubmissionLimits,
    parse_submission,
)
from tilebox.server.store.work.interface import NewGroup, NewTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol
    from uuid import UUID

    from tilebox._core.protocol.workflows.v1 import core_pb2
    from tilebox.server.orchestration.submission_parsing import TargetQueue
    from tilebox.server.settings import Settings
    from tilebox.server.store.work.clusters import Cluster, ClusterStore
    from tilebox.server.store.work.interface import Orchestration, Queue

    class SubmissionStore(ClusterStore, Orchestration, Protocol):
        """The parts of the store that submissions need."""


CACHE_SECONDS = 1.0
"""How long cached clusters and queues are used, where other processes may change them too."""

_SLUG_ATTEMPTS = 3


class Submissions:
    """Resolves submissions to queues, and caches clusters and queues.

    Args:
        store: Stores clusters and queues.
        settings: The limits on submissions.
        cache_seconds: How long clusters and queues are used without reading them again.
        monotonic: Reads the monotonic clock, in seconds.
    """

    def __init__(
        self,
        store: SubmissionStore,
        settings: Settings,
        *,
        cache_seconds: float = CACHE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._cache_seconds = cache_seconds
        self._monotonic = monotonic
        max_groups = max(MAX_GROUPS, settings.max_subtasks)
        max_bytes = settings.max_task_input_bytes
        self._subtask_limits = SubmissionLimits(settings.max_subtasks, max_groups, max_bytes, "subtasks")
        self._root_limits = SubmissionLimits(MAX_ROOT_TASKS, max_groups, max_bytes, "root tasks")
        self._clusters: dict[tuple[UUID, str], tuple[float, Cluster]] = {}
        self._queues: dict[int, tuple[float, list[Queue]]] = {}
        self._queue_numbers: dict[tuple[int, str, int, int], int] = {}
        self._queues_by_number: dict[int, Queue] = {}

    async def resolve(
        self, team: UUID, message: core_pb2.TaskSubmissions, *, default_cluster: int, is_root: bool
    ) -> list[NewGroup]:
        """Parse a submission, and resolve its tasks to queues, which are created if necessary.

        Args:
            team: Team of the submitter.
            message: The submission.
            default_cluster: Number of the cluster of tasks that name none; 0 for the team's default cluster.
            is_root: Whether these are the root tasks of a job rather than subtasks.

        Returns:
            The groups to store.

        Raises:
            InvalidArgumentError: The submission is malformed or exceeds a limit.
            NotFoundError: It names a cluster that does not exist.
        """
        parsed = parse_submission(message, self._root_limits if is_root else self._subtask_limits)
        numbers = await self._resolve_queues(team, parsed.queues, default_cluster)
        return [
            NewGroup(
                # Positional arguments: with keywords, this takes a third longer.
                list(
                    map(
                        NewTask,
                        [numbers[queue] for queue in group.queues],
                        group.displays,
                        group.inputs,
                        group.max_retries,
                        group.are_optional,
                    )
                ),
                group.dependencies,
            )
            for group in parsed.groups
        ]

    async def cluster(self, team: UUID, slug: str) -> Cluster:
        """Return a cluster by slug. An empty slug means the team's default cluster, which is created on first use.

        Raises:
            NotFoundError: The team has no such cluster. The message suggests similar slugs.
        """
        cached = self._clusters.get((team, slug))
        if cached is not None and self._monotonic() - cached[0] < self._cache_seconds:
            return cached[1]
        # Taken before the read, so that a change during the read is not hidden for longer than the cache lasts.
        read_at = self._monotonic()
        cluster = await self._store.cluster(team, slug) if slug else await self._default_cluster(team)
        if cluster is None:
            self._clusters.pop((team, slug), None)
            slugs = [other.slug for other in await self._store.clusters(team)]
            raise NotFoundError(f"there is no cluster {slug}{did_you_mean(slug, slugs)}")
        self._clusters[team, slug] = read_at, cluster
        return cluster

    async def cluster_number(self, team: UUID, slug: str) -> int:
        """Return the number of a cluster by slug, as `cluster` does.

        Raises:
            NotFoundError: The team has no such cluster.
        """
        return (await self.cluster(team, slug)).number

    def forget_cluster(self, team: UUID, slug: str) -> None:
        """Drop a cluster from the cache, because it was updated or deleted."""
        # The default cluster is cached under the empty slug too.
        for key, (_, cluster) in list(self._clusters.items()):
            if key[0] == team and cluster.slug == slug:
                del self._clusters[key]

    async def queues(self, cluster: int) -> list[Queue]:
        """Return all queues of a cluster. The list object stays the same until a queue is added."""
        cached = self._queues.get(cluster)
        if cached is not None and self._monotonic() - cached[0] < self._cache_seconds:
            return cached[1]
        read_at = self._monotonic()
        queues = await self._store.queues(cluster)
        # A concurrent call may have updated the cache during the read, with a queue that this read lacks.
        cached = self._queues.get(cluster)
        if cached is not None and set(queues) <= set(cached[1]):
            queues = cached[1]
        self._queues[cluster] = read_at, queues
        self._index(queues)
        return queues

    async def queue(self, number: int) -> Queue | None:
        """Return a queue by number, or None if there is none."""
        queue = self._queues_by_number.get(number)
        if queue is None:
            queue = await self._store.queue(number)
            if queue is not None:
                self._index([queue])
                self._extend_cached(queue.cluster, [queue])
        return queue

    async def _default_cluster(self, team: UUID) -> Cluster:
        # A conflict means that the random slug is taken, so another one is tried.
        for _ in range(_SLUG_ATTEMPTS):
            try:
                return await self._store.ensure_default_cluster(
                    team, slug=make_slug("default"), display_name="Default", now_us=now_us()
                )
            except ConflictError:
                continue
        raise ConflictError("cannot create the default cluster: every slug that was tried is taken; try again")

    async def _resolve_queues(self, team: UUID, targets: Iterable[TargetQueue], default_cluster: int) -> list[int]:
        """Return the number of each target queue, creating missing queues."""
        keys = []
        for slug, identifier in targets:
            cluster = default_cluster if not slug and default_cluster else await self.cluster_number(team, slug)
            keys.append((cluster, identifier.name, identifier.major, identifier.minor))
        missing: defaultdict[int, list[tuple[str, int, int]]] = defaultdict(list)
        for cluster, *identifier_parts in dict.fromkeys(keys):
            if (cluster, *identifier_parts) not in self._queue_numbers:
                missing[cluster].append(tuple(identifier_parts))  # type: ignore[arg-type]
        for cluster, identifiers in missing.items():
            # In sorted order, so that two processes that create the same queues cannot deadlock.
            created = await self._store.add_queues(cluster, sorted(identifiers))
            self._index(created)
            self._extend_cached(cluster, created)
        return [self._queue_numbers[key] for key in keys]

    def _extend_cached(self, cluster: int, queues: Iterable[Queue]) -> None:
        """Add queues to the cached list of their cluster, if there is one."""
        cached = self._queues.get(cluster)
        if cached is not None:
            new = [queue for queue in queues if queue not in cached[1]]
            if new:
                self._queues[cluster] = cached[0], cached[1] + new

    def _index(self, queues: Iterable[Queue]) -> None:
        # Queues are never updated nor deleted, so these entries never expire.
        for queue in queues:
            self._queues_by_number[queue.number] = queue
            self._queue_numbers[queue.cluster, queue.name, queue.major, queue.minor] = queue.number
