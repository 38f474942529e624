"""Assembly of the workflow part of the server: its services of the wire and its background loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tilebox.server.api.clusters import ClusterService
from tilebox.server.api.diagrams import DiagramService
from tilebox.server.api.jobs import JobService
from tilebox.server.api.runners import RunnerService
from tilebox.server.api.tasks import TaskService
from tilebox.server.diagrams.rendering import Diagrams
from tilebox.server.loops.announcements import AnnouncementListener
from tilebox.server.loops.lease_reaper import LeaseReaper
from tilebox.server.orchestration.clusters import Clusters
from tilebox.server.orchestration.jobs import Jobs
from tilebox.server.orchestration.lease_clock import LeaseClock
from tilebox.server.orchestration.leases import Leases
from tilebox.server.orchestration.queued_reasons import QueueExplainer
from tilebox.server.orchestration.submissions import CACHE_SECONDS, Submissions
from tilebox.server.store.work.interface import Limits

if TYPE_CHECKING:
    from tilebox.server.settings import Settings


class Orchestrator:
    """The workflow part of the server.

    Args:
        store: Stores jobs and tasks.
        settings: The settings of the server.

    Attributes:
        services: The services of the wire for workflows.
        loops: The background loops that must run, each with a coroutine method `run`.
    """

    def __init__(self, store: Any, settings: Settings) -> None:
        # No other process changes a store that is not shared, so its clusters and queues are cached for ever.
        submissions = Submissions(store, settings, cache_seconds=CACHE_SECONDS if store.is_shared else float("inf"))
        self.leases = Leases(
            store,
            submissions,
            LeaseClock(),
            lease_seconds=settings.lease_seconds,
            limits=Limits(max_crashes=settings.max_crashes),
        )
        diagrams = Diagrams(max_tasks=settings.diagram_tasks)
        jobs = Jobs(
            store,
            submissions,
            virtual_rank=self.leases.virtual_rank,
            on_effects=self.leases.notify,
            submit=self.leases.submit,
        )
        explainer = QueueExplainer(store, clock=self.leases.clock.now_us)
        self.services = (
            ClusterService(Clusters(store, submissions)),
            JobService(jobs, diagrams),
            DiagramService(diagrams),
            TaskService(self.leases, submissions, jobs, max_lease_seconds=settings.max_lease_seconds),
            RunnerService(self.leases, submissions, jobs, explainer),
        )
        self.loops = (LeaseReaper(store, self.leases), AnnouncementListener(store, self.leases))
