"""Concurrent writers and readers, processes that die, and power loss."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import numpy as np
import pytest
from support.datapoints.tables import ids_of, new_table, open_point_store, read, scenes, sorted_ids

from tilebox.errors import ConflictError, InvalidArgumentError
from tilebox.server.points.interface import PointQuery

pytestmark = pytest.mark.anyio

ALL = PointQuery((1,))
BATCH_ROWS = 500


@contextmanager
def process(*arguments, options=None, **settings):
    """Run `point_process.py` concurrently, and always kill it at the end."""
    command = [sys.executable, str(Path(__file__).with_name("point_process.py")), *map(str, arguments)]
    environment = {**os.environ, "STORAGE_OPTIONS": json.dumps(options or {})}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **settings) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.mark.slow
async def test_sixteen_writers_and_eight_readers_count_exactly(points, table, storage):
    batches = 6 if storage[1] else 20
    finished = anyio.Event()
    outcomes: list[int] = []

    async def write(writer: int) -> None:
        for number in range(batches):
            # Each batch overlaps its neighbours' by half; some refuse what exists.
            start = (writer * batches + number) * 20
            rows = scenes(range(start, start + 40), first=start)
            try:
                done = await points.ingest(table, 1, rows, allow_existing=writer % 4 != 0)
                outcomes.append(done.created)
            except ConflictError:
                outcomes.append(0)

    async def observe() -> None:
        seen = 0
        while not finished.is_set():
            count, summary = await points.count(table, ALL), await points.summary(table)
            assert count >= seen
            assert not summary or summary[1].count >= count
            seen = count
            ids = ids_of(await read(points, table, PointQuery((1,), fields=(), start_ms=100, end_ms=400)))
            assert len(set(ids)) == len(ids)

    async def maintain() -> None:
        while not finished.is_set():
            await points.maintain(table)

    async with anyio.create_task_group() as readers:
        for _ in range(8):
            readers.start_soon(observe)
        readers.start_soon(maintain)
        async with anyio.create_task_group() as writers:
            for writer in range(16):
                writers.start_soon(write, writer)
        finished.set()
    found = ids_of(await read(points, table, ALL))
    assert len(found) == len(set(found)) == sum(outcomes) == (await points.summary(table))[1].count


async def test_processes_that_ingest_the_same_datapoints_store_them_once(points, table, storage, tmp_path):
    with (
        process("overlap", storage[0], tmp_path, table.hex, 8, options=storage[1]) as first,
        process("overlap", storage[0], tmp_path, table.hex, 8, options=storage[1]) as second,
        process("overlap", storage[0], tmp_path, table.hex, 8, options=storage[1]) as third,
    ):
        children = (first, second, third)
        created = [int((await anyio.to_thread.run_sync(child.communicate))[0]) for child in children]
    expected = sorted_ids(scenes(range(180), first=0))
    assert ids_of(await read(points, table, ALL)) == expected
    assert sum(created) == len(expected)


async def test_a_killed_process_leaves_batches_complete_or_absent(points, table, storage, tmp_path):
    for attempt in range(2):
        first = attempt * 1_000_000
        with process("write", storage[0], tmp_path, table.hex, first, options=storage[1]) as child:
            lines = [await anyio.to_thread.run_sync(child.stdout.readline) for _ in range(12)]
            child.kill()
            lines += [line for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        stored = {int(line.split()[1]) for line in lines if line.startswith("stored")}
        deleted = {int(line.split()[1]) for line in lines if line.startswith("deleted")}

        async with open_point_store(storage[0], tmp_path, storage[1]) as again:
            found = await read(again, table, PointQuery((1,), start_ms=first, end_ms=first + 1_000_000))
            assert ids_of(found) == sorted_ids(found)
            batches, counts = np.unique(np.asarray(found["orbit"]) // BATCH_ROWS * BATCH_ROWS, return_counts=True)
            assert set(counts.tolist()) == {BATCH_ROWS}
            # Everything acknowledged is there; the batch or deletion in progress may be done or not.
            assert len(set(batches.tolist()) ^ (stored - deleted)) <= 1
            assert (await again.summary(table))[1].count == await again.count(table, ALL)
            await again.ingest(table, 1, scenes([first + 900_000], first=first + 900_000), allow_existing=False)


@pytest.mark.skipif(shutil.which("strace") is None, reason="traces system calls with strace")
async def test_files_are_synced_before_each_acknowledgement(tmp_path):
    folder, trace = tmp_path / "points", tmp_path / "trace"
    async with open_point_store(str(folder), tmp_path) as points:
        table = await new_table(points)
    calls = "trace=openat,rename,renameat,renameat2,link,linkat,fsync,fdatasync,close"
    script = str(Path(__file__).with_name("point_process.py"))
    arguments = [sys.executable, script, "once", str(folder), str(tmp_path), table.hex]
    done = await anyio.run_process(["strace", "-f", "-y", "-e", calls, "-o", str(trace), *arguments], cwd=tmp_path)
    assert done.stdout.decode().split() == ["compacted", "indexed"]

    unsynced, acknowledged = pending_files(trace.read_text(), folder)
    assert len(acknowledged) == 13
    assert unsynced == {}


def pending_files(trace: str, folder: Path) -> tuple[dict[str, set[str]], list[str]]:
    """Return from a trace the files and folders of a table that were not synced at each acknowledgement."""
    pending: set[str] = set()
    unsynced: dict[str, set[str]] = defaultdict(set)
    acknowledged = []
    for line in trace.splitlines():
        names = re.findall(r'"([^"]*)"', line)
        if re.search(r"\bf(data)?sync\(", line):
            pending.discard(re.search(r"<([^>]*)>", line)[1])
        elif names and "ACKNOWLEDGED" in names[-1]:
            acknowledged.append(names[-1])
            if pending:
                unsynced[names[-1]] |= pending
        elif re.search(r"\b(rename|link)\w*\(", line) and line.rstrip().endswith("= 0"):
            visit_table_paths(names[0], folder, pending.discard)
            visit_table_paths(names[-1], folder, pending.add)
        elif "O_CREAT" in line and names:
            visit_table_paths(names[0], folder, pending.add)
    return dict(unsynced), acknowledged


def visit_table_paths(path: str, folder: Path, note) -> None:
    # The file with the newest version is only a hint, and temporary names are renamed to the final ones.
    if path.startswith(str(folder)) and not any(mark in path for mark in ("latest_version_hint.json", "#", "/.tmp")):
        note(path)
        note(str(Path(path).parent))


async def test_a_manifest_truncated_by_a_power_loss_is_set_aside(tmp_path):
    folder = tmp_path / "points"
    async with open_point_store(str(folder), tmp_path) as points:
        table = await new_table(points)
        await points.ingest(table, 1, scenes(range(5)), allow_existing=False)
    newest = min((folder / f"{table.hex}.lance" / "_versions").glob("*.manifest"))
    for torn in (b"", newest.read_bytes()[:-20], bytes(300)):
        following = newest.with_name(f"{int(newest.stem) - 1}.manifest")
        following.write_bytes(torn)
        hint = newest.with_name("latest_version_hint.json")
        hint.write_bytes(b"")
        async with open_point_store(str(folder), tmp_path) as points:
            assert await points.count(table, ALL) == 5
            await points.ingest(table, 1, scenes([9], first=9), allow_existing=True)
            assert await points.count(table, ALL) == 6
            await points.delete(table, 1, ids_of(scenes([9], first=9)))
        newest = min((folder / f"{table.hex}.lance" / "_versions").glob("*.manifest"))


async def test_old_versions_are_removed_except_those_given_to_clients(tmp_path, monkeypatch):
    monkeypatch.setattr("tilebox.server.points.lance.snapshots.GRACE_SECONDS", -1.0)
    async with (
        open_point_store(str(tmp_path / "points"), tmp_path) as points,
        open_point_store(str(tmp_path / "points"), tmp_path) as other,
    ):
        table = await new_table(points)
        versions = []
        for number in range(6):
            await points.ingest(table, 1, scenes([number], first=number), allow_existing=False)
            limit = 1 if number == 3 else None
            _, more = await other.page(table, PointQuery((1,), limit=limit), max_bytes=1 << 20)
            assert more == (number == 3)
            async with points.stream(table, ALL) as stream:
                versions.append(stream.snapshot)
        async with points.stream(table, PointQuery((1,), snapshot=versions[1])) as pinned:
            done = await points.maintain(table)
            assert "cleaned" in done.actions
            assert done.removed_bytes > 0
            assert [batch.num_rows async for batch in pinned] == [2]
        assert await points.count(table, ALL) == 6
        assert await other.count(table, PointQuery((1,), snapshot=versions[3])) == 4
        for removed in (versions[0], versions[2], versions[4]):
            with pytest.raises(InvalidArgumentError, match=f"snapshot {removed} of the dataset is gone"):
                await other.count(table, PointQuery((1,), snapshot=removed))


async def test_a_table_without_a_readable_version_raises_an_error(tmp_path):
    folder = tmp_path / "points"
    async with open_point_store(str(folder), tmp_path) as points:
        table = await new_table(points)
    for manifest in (folder / f"{table.hex}.lance" / "_versions").glob("*.manifest"):
        manifest.write_bytes(b"")
    async with open_point_store(str(folder), tmp_path) as points:
        with pytest.raises(OSError, match=r"no version of the datapoint table .* can be read"):
            await points.count(table, ALL)


async def test_a_failed_commit_stores_nothing_and_fails_every_caller(tmp_path):
    folder = tmp_path / "points"
    async with open_point_store(str(folder), tmp_path) as points:
        table = await new_table(points)
        await points.ingest(table, 1, scenes([1]), allow_existing=False)
        data = folder / f"{table.hex}.lance" / "data"
        data.rename(data.with_name("removed"))
        data.write_text("not a folder")
        failures = []

        async def ingest(number: int) -> None:
            try:
                await points.ingest(table, 1, scenes([number], first=number), allow_existing=False)
            except OSError as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            for number in range(5, 9):
                group.start_soon(ingest, number)
        data.unlink()
        data.with_name("removed").rename(data)
        assert len(failures) == 4
        assert await points.count(table, ALL) == 1
        await points.ingest(table, 1, scenes([5], first=5), allow_existing=False)
        assert await points.count(table, ALL) == 2
