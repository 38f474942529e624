"""Upkeep of a table: fewer, larger fragments, by place as well, indexes over all rows, no versions that nobody reads.

The long part, writing merged fragments and index segments, needs no lock: writers go on meanwhile. Only
publishing them is a commit, for which the caller excludes other writers. Files are synced in between, so
no manifest ever refers to an index that a power loss could take.
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
    from tilebox.server.points.index.fragments import FragmentContents
    from tilebox.server.points.lance.table import Table, Version

RETENTION = timedelta(minutes=30)
"""How long a version can be read after a client was told of it: so long may a page cursor wait."""

# A look-up costs about 0.1 ms per fragment without index, so there should never be many.
_UNINDEXED_FRAGMENTS = 12
_UNINDEXED_ROWS = 100_000
_COMMITS_UNTIL_CLEAN = 500

# Fragments below each of these sizes are merged once there are so many of them, as in a log-structured
# tree: so each row is rewritten a few times only, however small the batches it came in.
_FRAGMENT_ROWS = (16_384, 131_072, 1 << 20)
_FRAGMENTS_PER_MERGE = 8

# An index has several segments, of which newer ones are built anew as one once they are so many.
_SEGMENTS_PER_MERGE = 5


@dataclass(slots=True)
class IndexWork:
    """Segments that were written but not published, and those that they replace."""

    rows: int = 0
    written: list[Any] = field(default_factory=list)
    replaced: list[Any] = field(default_factory=list)


def is_due(table: Table, version: Version) -> bool:
    """Tell whether a round of upkeep would pay."""
    unindexed = _unindexed(version)
    return (
        len(unindexed) >= _UNINDEXED_FRAGMENTS
        or sum(one.rows for one in unindexed) >= _UNINDEXED_ROWS
        or version.number - table.cleaned >= _COMMITS_UNTIL_CLEAN
        or bool(_unplaced(table, version))
    )


def write_merged(table: Table, version: Version) -> list[Any]:
    """Write the fragments that small ones are merged into, and return what `publish_merged` takes."""
    sizes = [one.rows for one in version.contents]
    for limit in reversed(_FRAGMENT_ROWS):
        if sum(1 for size in sizes if size < limit) >= _FRAGMENTS_PER_MERGE:
            dataset = version.handle()
            plan = Compaction.plan(dataset, {"target_rows_per_fragment": limit})
            merged = [task.execute(dataset) for task in plan.tasks]
            table.durability.sync_data()
            return merged
    return []


def publish_merged(table: Table, version: Version, merged: list[Any]) -> bool:
    """Commit merged fragments, unless what they were merged from changed meanwhile."""
    dataset = version.handle()
    try:
        Compaction.commit(dataset, merged)
    except OSError as error:
        if "conflict" in str(error).lower():
            return False
        raise
    table.publish(version, dataset)
    return True


def write_places(table: Table, version: Version) -> bool:
    """Write the copies by place of large fragments that have none, and tell whether there were any.

    Other processes look for them with the next version, so they come before the indexes of the same fragments.
    """
    unplaced = _unplaced(table, version)
    for one in unplaced:
        table.places.write(version.dataset, one, version.schema)
    return bool(unplaced)


def write_indexes(table: Table, version: Version) -> IndexWork:
    """Write index segments for fragments that have none, and return what `publish_indexes` takes."""
    work = IndexWork()
    unindexed = _unindexed(version)
    if unindexed:
        work.rows = sum(one.rows for one in unindexed)
        segments = _segments(version)
        for column, kind in _indexes(version).items():
            _write_index(version, column, kind, segments[column], work)
        table.durability.sync_indexes(segment.uuid for segment in work.written)
    return work


def publish_indexes(table: Table, work: IndexWork) -> bool:
    """Commit index segments, unless their fragments were merged meanwhile."""
    version = table.latest()
    present = {one.number for one in version.contents}
    if any(not present.issuperset(segment.fragment_ids) for segment in work.written):
        return False
    table.commit(version, lance.LanceOperation.CreateIndex(work.written, work.replaced))
    return True


def clean(table: Table, version: Version, retention: timedelta) -> int:
    """Remove versions that nobody reads any more, and return the bytes freed."""
    table.cleaned = version.number
    if BOX in version.stored_names:
        table.places.remove_old(version.contents, retention.total_seconds())
    return table.snapshots.remove_old(version.handle(), retention, table.pins)


def _unplaced(table: Table, version: Version) -> list[FragmentContents]:
    if BOX not in version.stored_names:
        return []
    return [one for one in version.contents if table.places.lacks(one, version.number)]


def _indexes(version: Version) -> dict[str, str]:
    wanted = {"time": "BTREE", "id": "BTREE"}
    return {**wanted, BOX: "RTREE"} if BOX in version.dataset.schema.names else wanted


def _segments(version: Version) -> defaultdict[str, list[Any]]:
    """Return the segments of the index on each column; all have `uuid` and `fragment_ids`."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for index in version.dataset.describe_indices():
        found[index.field_names[0]] += index.segments
    return found


def _unindexed(version: Version) -> list[FragmentContents]:
    segments = _segments(version)
    covered = [
        {number for segment in segments[column] for number in segment.fragment_ids} for column in _indexes(version)
    ]
    indexed = set.intersection(*covered)
    return [one for one in version.contents if one.number not in indexed]


def _write_index(version: Version, column: str, kind: str, segments: list[Any], work: IndexWork) -> None:
    rows = {one.number: one.rows for one in version.contents}

    def size(segment: Any) -> int:
        return sum(rows.get(number, 0) for number in segment.fragment_ids)

    ordered = sorted(segments, key=size)
    covered = {number for segment in ordered for number in segment.fragment_ids}
    fragments = set(rows) - covered
    if not fragments:
        return
    replaced = []
    if len(ordered) >= _SEGMENTS_PER_MERGE:
        # All but the largest become one; the largest too once it is no longer much larger.
        replaced = ordered[:-1] if size(ordered[-1]) > 2 * sum(map(size, ordered[:-1])) else ordered
    for segment in replaced:
        fragments |= set(segment.fragment_ids) & set(rows)
    name = f"{column}_idx"
    written = version.handle().create_index_uncommitted(
        column, kind, name=name, fragment_ids=sorted(fragments), replace=True
    )
    work.written.append(written)
    work.replaced += [_described(segment, written) for segment in replaced]


def _described(segment: Any, like: Any) -> Any:
    """Describe a published segment the way a commit names what it removes."""
    return Index(
        uuid=segment.uuid,
        name=like.name,
        fields=like.fields,
        dataset_version=segment.dataset_version_at_last_update,
        fragment_ids=segment.fragment_ids,
        index_version=segment.index_version,
    )
