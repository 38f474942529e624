"""Upkeep of a table: fewer, larger fragments, indexes over all rows, and no versions that nobody reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lance.optimize import Compaction

from tilebox.server.points.columns import BOX
from tilebox.server.points.interface import Maintained

if TYPE_CHECKING:
    import lance

    from tilebox.server.points.fragments import FragmentContents
    from tilebox.server.points.table import Table, Version

RETENTION = timedelta(minutes=30)
"""How long a version can be read after a newer one replaced it; a page cursor lives at least that long."""

_UNINDEXED_FRAGMENTS = 16
_UNINDEXED_ROWS = 100_000
_ROWS_PER_FRAGMENT = 1 << 20

# Fragments below each of these sizes are merged once there are so many of them, as in a log-structured
# tree: so each row is rewritten a few times only, however small the batches it came in.
_TIERS = (16_384, 131_072, _ROWS_PER_FRAGMENT)
_FRAGMENTS_PER_MERGE = 8


def is_due(version: Version) -> bool:
    """Tell whether a table has enough small or unindexed fragments for a round of upkeep to pay."""
    unindexed = _unindexed(version)
    rows = sum(held.count for one in unindexed for held in one.collections.values())
    return len(unindexed) >= _UNINDEXED_FRAGMENTS or rows >= _UNINDEXED_ROWS


def compact(table: Table, version: Version) -> list[Any]:
    """Write the fragments that a merge leaves, without committing them."""
    del table
    sizes = [sum(held.count for held in one.collections.values()) for one in version.contents]
    for tier in reversed(_TIERS):
        if sum(1 for size in sizes if size < tier) >= _FRAGMENTS_PER_MERGE:
            plan = Compaction.plan(version.dataset, {"target_rows_per_fragment": tier})
            return [task.execute(version.dataset) for task in plan.tasks]
    return []


def maintain(table: Table, retention: timedelta = RETENTION) -> Maintained:
    """Do one round of upkeep. The caller excludes other writers."""
    version = table.latest()
    before, actions = len(version.contents), []
    merged = compact(table, version)
    if merged:
        Compaction.commit(version.dataset, merged)
        table.durability.sync_all()
        version = table.latest()
        actions.append("compacted")
    indexed = _index(table, version)
    if indexed:
        actions.append("indexed")
        version = table.latest()
    removed = _clean(table, version, retention)
    if removed:
        actions.append("cleaned")
    return Maintained(before, len(version.contents), indexed, removed, tuple(actions))


def _index(table: Table, version: Version) -> int:
    """Create missing indexes and add new fragments to the others; return how many rows that concerned."""
    rows = sum(held.count for one in _unindexed(version) for held in one.collections.values())
    if not rows:
        return 0
    dataset = version.dataset
    existing = {name for index in dataset.list_indices() for name in index["fields"]}
    for column, kind in _indexes(dataset):
        if column not in existing:
            dataset.create_scalar_index(column, kind)
    if existing:
        dataset.optimize.optimize_indices()
    table.durability.sync_all()
    table.adopt(dataset)
    return rows


def _indexes(dataset: lance.LanceDataset) -> list[tuple[str, Any]]:
    wanted: list[tuple[str, Any]] = [("time", "BTREE"), ("id", "BTREE")]
    return [*wanted, (BOX, "RTREE")] if BOX in dataset.schema.names else wanted


def _unindexed(version: Version) -> list[FragmentContents]:
    covered: set[int] | None = None
    indices = version.dataset.list_indices()
    for column, _ in _indexes(version.dataset):
        own = {number for index in indices if index["fields"] == [column] for number in index["fragment_ids"]}
        covered = own if covered is None else covered & own
    return [one for one in version.contents if one.fragment.fragment_id not in (covered or set())]


def _clean(table: Table, version: Version, retention: timedelta) -> int:
    """Remove versions older than the retention that no reader of this process reads."""
    pinned = table.oldest_pin
    if pinned is not None:
        versions: list[Any] = version.dataset.versions()
        created = next((one["timestamp"] for one in versions if one["version"] == pinned), None)
        if created is not None:
            retention = max(retention, datetime.now(UTC) - created.astimezone(UTC) + timedelta(seconds=1))
    return int(version.dataset.cleanup_old_versions(older_than=retention).bytes_removed)
