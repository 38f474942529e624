"""The async client of Tilebox workflows, with the same methods as coroutines."""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox.aio.workflows.client import Client
    from tilebox.aio.workflows.clusters import ClusterClient
    from tilebox.aio.workflows.jobs import JobClient
    from tilebox.aio.workflows.runner import TaskRunner

__all__ = ["Client", "ClusterClient", "JobClient", "TaskRunner"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "Client": "tilebox.aio.workflows.client",
        "ClusterClient": "tilebox.aio.workflows.clusters",
        "JobClient": "tilebox.aio.workflows.jobs",
        "TaskRunner": "tilebox.aio.workflows.runner",
    },
)
