"""Workflows in the server, put together: what answers requests, and what runs beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tilebox.server.api.clusters import ClusterService
from tilebox.server.api.diagrams import DiagramService
from tilebox.server.api.jobs import JobService
from tilebox.server.api.runners import RunnerService
from tilebox.server.api.tasks import TaskService
from tilebox.server.diagrams.rendering import Diagrams
from tilebox.server.loops.announcements import Announcements
from tilebox.server.loops.lease_reaper import LeaseReaper
from tilebox.server.orchestration.clusters import Clusters
from tilebox.server.orchestration.jobs import Jobs
from tilebox.server.orchestration.lease_clock import Clock
from tilebox.server.orchestration.leases import Leases
from tilebox.server.orchestration.queued_reasons import Explanations
from tilebox.server.orchestration.submissions import FRESH_SECONDS, Submissions
from tilebox.server.store.work.interface import Limits

if TYPE_CHECKING:
    from tilebox.server.settings import Settings


class Orchestrator:
    """Everything about workflows.

    Args:
        store: Where jobs and tasks are kept.
        settings: What the operator allows.

    Attributes:
        services: All services of the wire.
        loops: What has to run beside them, each with a coroutine `run`.
    """

    def __init__(self, store: Any, settings: Settings) -> None:
        # Clusters and queues of a store that is not shared change in this process only.
        submissions = Submissions(store, settings, fresh_seconds=FRESH_SECONDS if store.is_shared else float("inf"))
        self.leases = Leases(
            store,
            submissions,
            Clock(),
            lease_seconds=settings.lease_seconds,
            limits=Limits(max_crashes=settings.max_crashes),
        )
        diagrams = Diagrams(max_tasks=settings.diagram_tasks)
        jobs = Jobs(
            store,
            submissions,
            virtual_rank=self.leases.virtual_rank,
            on_effects=self.leases.tell,
            submit=self.leases.submit,
        )
        explanations = Explanations(store, clock=self.leases.clock.now_us)
        self.services = (
            ClusterService(Clusters(store, submissions)),
            JobService(jobs, diagrams),
            DiagramService(diagrams),
            TaskService(self.leases, submissions, jobs, max_lease_seconds=settings.max_lease_seconds),
            RunnerService(self.leases, submissions, jobs, explanations),
        )
        self.loops = (LeaseReaper(store, self.leases), Announcements(store, self.leases))
