"""Records that the services of this room take and return, for callers that must not import the store."""

from __future__ import annotations

from tilebox.server.store.work.clusters import Cluster
from tilebox.server.store.work.interface import ClaimedTask, NewGroup, ProgressUpdate, Report
from tilebox.server.store.work.jobs import Job, JobFilter, JobTask
from tilebox.server.store.work.reports import MAX_ERROR_CHARACTERS

__all__ = (
    "MAX_ERROR_CHARACTERS",
    "ClaimedTask",
    "Cluster",
    "Job",
    "JobFilter",
    "JobTask",
    "NewGroup",
    "ProgressUpdate",
    "Report",
)
