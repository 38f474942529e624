"""Records that the verbs of datasets take and return."""

from __future__ import annotations

from tilebox.server.points.interface import Area, AreaMode, PointQuery, PointStream, Summary
from tilebox.server.store.interface import Collection, Dataset, Group

__all__ = ("Area", "AreaMode", "Collection", "Dataset", "Group", "PointQuery", "PointStream", "Summary")
