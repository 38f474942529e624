"""Maintenance of a table: compaction, spatial copies, indexes over all rows, and removal of old versions.

Writing merged fragments and index segments takes long but needs no lock, so writers continue meanwhile. Only
publishing them is a commit, for which the caller excludes other writers. Files are synced in between, so
no manifest ever refers to an index that a power loss could destroy.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import lance
from lance.dataset import Index
from lance.optimize import Compaction

from tilebox.server.points.columns import BOX

if TYPE_CHECKING:
    from tilebox.server.points.index.fragments import FragmentInfo
    from tilebox.server.points.lance.table import Table, Version

RETENTION = timedelta(minutes=30)
"""How long a version stays readable after a client learned of it, and so how long a page cursor is valid."""

# A look-up takes about 0.1 ms per fragment without index, so there should never be many.
_MAX_UNINDEXED_FRAGMENTS = 12
_MAX_UNINDEXED_ROWS = 100_000
_COMMITS_PER_CLEANUP = 500

# Fragments below each of these sizes are merged once there are this many of them, as in a log-structured merge
# tree. So each row is rewritten only a few times, however small its batch was.
_FRAGMENT_ROWS = (16_384, 131_072, 1 << 20)
_FRAGMENTS_PER_MERGE = 8

# An index has several segments. Once there are this many, the newer ones are rebuilt as one.
_SEGMENTS_PER_MERGE = 5


@dataclass(slots=True)
class IndexWork:
    """Index segments that were written but not published, the segments they replace, and the rows they add."""

    rows: int = 0
    written: list[Any] = field(default_factory=list)
    replaced: list[Any] = field(default_factory=list)


def is_due(table: Table, version: Version) -> bool:
    """Tell whether a round of maintenance is due."""
    unindexed = _unindexed(version)
    return (
        len(unindexed) >= _MAX_UNINDEXED_FRAGMENTS
        or sum(part.rows for part in unindexed) >= _MAX_UNINDEXED_ROWS
        or version.number - table.cleaned_version >= _COMMITS_PER_CLEANUP
        or bool(_without_copy(table, version))
    )


def write_merged(table: Table, version: Version) -> list[Any]:
    """Merge small fragments into new ones, and return the results for `publish_merged`."""
    sizes = [part.rows for part in version.fragments]
    for limit in reversed(_FRAGMENT_ROWS):
        if sum(1 for size in sizes if size < limit) >= _FRAGMENTS_PER_MERGE:
            dataset = version.handle()
            plan = Compaction.plan(dataset, {"target_rows_per_fragment": limit})
            merged = [task.execute(dataset) for task in plan.tasks]
            table.durability.sync_data()
            return merged
    return []


def publish_merged(table: Table, version: Version, merged: list[Any]) -> bool:
    """Commit merged fragments unless their sources have changed, and tell whether they were committed."""
    dataset = version.handle()
    try:
        Compaction.commit(dataset, merged)
    except OSError as error:
        if "conflict" in str(error).lower():
            return False
        raise
    table.publish(version, dataset)
    return True


def write_spatial_copies(table: Table, version: Version) -> bool:
    """Write the spatial copies of large fragments that have none, and tell whether there were any.

    Other processes look for copies when they see a new version, so write them before the indexes of the same fragments.
    """
    fragments = _without_copy(table, version)
    for fragment in fragments:
        table.spatial_copies.write(version.dataset, fragment, version.schema)
    return bool(fragments)


def write_indexes(table: Table, version: Version) -> IndexWork:
    """Write index segments for fragments that have none, and return them for `publish_indexes`."""
    work = IndexWork()
    unindexed = _unindexed(version)
    if unindexed:
        work.rows = sum(part.rows for part in unindexed)
        segments = _segments(version)
        for column, kind in _indexes(version).items():
            _write_index(version, column, kind, segments[column], work)
        table.durability.sync_indexes(segment.uuid for segment in work.written)
    return work


def publish_indexes(table: Table, work: IndexWork) -> bool:
    """Commit index segments unless their fragments were merged meanwhile, and tell whether they were committed."""
    version = table.latest()
    present = {part.number for part in version.fragments}
    if any(not present.issuperset(segment.fragment_ids) for segment in work.written):
        return False
    table.commit(version, lance.LanceOperation.CreateIndex(work.written, work.replaced))
    return True


def remove_old(table: Table, version: Version, retention: timedelta) -> int:
    """Remove versions and spatial copies that no reader needs.

    Args:
        table: The table.
        version: Its newest version.
        retention: How long a version stays readable after a client learned of it.

    Returns:
        The number of bytes freed, without those of spatial copies.
    """
    table.cleaned_version = version.number
    if BOX in version.stored_names:
        table.spatial_copies.remove_unused(version.fragments, retention.total_seconds())
    return table.snapshots.remove_old(version.handle(), retention, table.pins)


def _without_copy(table: Table, version: Version) -> list[FragmentInfo]:
    if BOX not in version.stored_names:
        return []
    return [part for part in version.fragments if table.spatial_copies.is_missing(part, version.number)]


def _indexes(version: Version) -> dict[str, str]:
    """Return the columns of a table that are indexed, with the kinds of their indexes."""
    indexes = {"time": "BTREE", "id": "BTREE"}
    return {**indexes, BOX: "RTREE"} if BOX in version.dataset.schema.names else indexes


def _segments(version: Version) -> defaultdict[str, list[Any]]:
    """Return the segments of the index on each column. All have `uuid` and `fragment_ids`."""
    by_column: defaultdict[str, list[Any]] = defaultdict(list)
    for index in version.dataset.describe_indices():
        by_column[index.field_names[0]] += index.segments
    return by_column


def _unindexed(version: Version) -> list[FragmentInfo]:
    segments = _segments(version)
    covered = [
        {number for segment in segments[column] for number in segment.fragment_ids} for column in _indexes(version)
    ]
    indexed = set.intersection(*covered)
    return [part for part in version.fragments if part.number not in indexed]


def _write_index(version: Version, column: str, kind: str, segments: list[Any], work: IndexWork) -> None:
    rows = {part.number: part.rows for part in version.fragments}

    def size(segment: Any) -> int:
        return sum(rows.get(number, 0) for number in segment.fragment_ids)

    ordered = sorted(segments, key=size)
    covered = {number for segment in ordered for number in segment.fragment_ids}
    fragments = set(rows) - covered
    if not fragments:
        return
    replaced = []
    if len(ordered) >= _SEGMENTS_PER_MERGE:
        # Merge all but the largest, and the largest too once it is no longer much larger than the others together.
        replaced = ordered[:-1] if size(ordered[-1]) > 2 * sum(map(size, ordered[:-1])) else ordered
    for segment in replaced:
        fragments |= set(segment.fragment_ids) & set(rows)
    name = f"{column}_idx"
    written = version.handle().create_index_uncommitted(
        column, kind, name=name, fragment_ids=sorted(fragments), replace=True
    )
    work.written.append(written)
    work.replaced += [_index_metadata(segment, written) for segment in replaced]


def _index_metadata(segment: Any, like: Any) -> Any:
    """Return the metadata by which a commit names a published segment that it removes."""
    return Index(
        uuid=segment.uuid,
        name=like.name,
        fields=like.fields,
        dataset_version=segment.dataset_version_at_last_update,
        fragment_ids=segment.fragment_ids,
        index_version=segment.index_version,
    )
