"""Rules without a server: settings, intervals, ids, schema evolution, dataset locks, maintenance."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import UUID, uuid4

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.http.wire import wire_id

from tilebox._core.protocol.tilebox.v1.query_pb2 import IDInterval, TimeInterval
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema
from tilebox._core.values import ids
from tilebox.errors import InvalidArgumentError
from tilebox.server.api.messages.selections import id_range, milliseconds
from tilebox.server.datasets.locks import DatasetLocks
from tilebox.server.loops.upkeep import Upkeep
from tilebox.server.points.interface import MaintenanceResult
from tilebox.server.rules.schema_evolution import evolve
from tilebox.server.settings import Settings
from tilebox.server.web.connect_service import snake_case

MICROSECONDS = st.integers(-(10**15), 10**16)


@given(MICROSECONDS, st.integers(2, 10**7), st.booleans(), st.booleans(), st.integers(-3, 10**4))
def test_a_range_of_milliseconds_equals_its_interval(start, length, exclusive, inclusive, step):
    end = start + length
    interval = TimeInterval(start_exclusive=exclusive, end_inclusive=inclusive)
    interval.start_time.FromMicroseconds(start)
    interval.end_time.FromMicroseconds(end)
    first, behind = milliseconds(interval)
    for moment_ms in (start // 1000 + step, end // 1000 + step, first, first - 1, behind, behind - 1):
        moment = moment_ms * 1000
        after_start = moment > start if exclusive else moment >= start
        before_end = moment <= end if inclusive else moment < end
        assert (first <= moment_ms < behind) == (after_start and before_end)


@given(MICROSECONDS)
def test_an_instant_selects_its_millisecond(moment):
    both = TimeInterval(end_inclusive=True)
    both.start_time.FromMicroseconds(moment)
    both.end_time.FromMicroseconds(moment)
    half_open = TimeInterval(start_time=both.start_time)
    half_open.end_time.FromMicroseconds(moment + 1)
    assert milliseconds(both) == milliseconds(half_open) == (moment // 1000, moment // 1000 + 1)


IDS = st.binary(min_size=16, max_size=16).filter(any)


@given(IDS, IDS, IDS, st.booleans(), st.booleans())
def test_a_range_of_ids_equals_its_interval(one, other, candidate, exclusive, inclusive):
    start, end = sorted((one, other), key=ids.sort_key)
    interval = IDInterval(
        start_id=wire_id(start), end_id=wire_id(end), start_exclusive=exclusive, end_inclusive=inclusive
    )
    first, last = (ids.sort_key(bound) for bound in id_range(interval))
    for datapoint in (candidate, start, end):
        key = ids.sort_key(datapoint)
        after_start = key > ids.sort_key(start) if exclusive else key >= ids.sort_key(start)
        before_end = key <= ids.sort_key(end) if inclusive else key < ids.sort_key(end)
        assert (first <= key <= last) == (after_start and before_end)


def test_an_id_interval_that_ends_before_it_starts():
    early, late = bytes(5) + bytes([1] * 11), bytes(5) + bytes([2] * 11)
    with pytest.raises(InvalidArgumentError, match="the end of datapoint_interval is before its start"):
        id_range(IDInterval(start_id=wire_id(late), end_id=wire_id(early)))
    before_1970 = b"\xff" * 16
    assert id_range(IDInterval(start_id=wire_id(before_1970), end_id=wire_id(early)))[0] == before_1970


def test_an_unchanged_type_stays_the_same():
    schema = Schema.of(DatasetKind.TEMPORAL, [Field(name="a", kind=FieldKind.STRING)])
    for has_data in (True, False):
        assert evolve(schema, schema, has_data=has_data) == schema


def test_fields_keep_their_numbers_in_any_requested_order():
    a, b, c = (Field(name=name, kind=FieldKind.INT64) for name in "abc")
    old = Schema.of(DatasetKind.TEMPORAL, [a, b])
    new = evolve(old, Schema.of(DatasetKind.TEMPORAL, [c, b, a]), has_data=True)
    assert [(field.name, field.number) for field in new.custom] == [("a", 4), ("b", 5), ("c", 6)]


def test_a_field_number_is_never_reused():
    old = Schema.of(
        DatasetKind.TEMPORAL, [Field(name="a", kind=FieldKind.INT64), Field(name="b", kind=FieldKind.INT64)]
    )
    asked = [
        Field(name="b", kind=FieldKind.INT64),
        Field(name="a", kind=FieldKind.STRING),
        Field(name="c", kind=FieldKind.BOOL),
    ]
    new = evolve(old, Schema.of(DatasetKind.SPATIOTEMPORAL, asked), has_data=False)
    assert [(field.name, field.number) for field in new.fields[4:]] == [("b", 5), ("a", 6), ("c", 7)]
    moved = evolve(old, Schema.of(DatasetKind.SPATIOTEMPORAL, [Field(name="a", kind=FieldKind.INT64)]), has_data=False)
    assert [(field.name, field.number) for field in moved.fields[3:]] == [("geometry", 4), ("a", 6)]


def test_annotations_of_a_field_may_change():
    old = Schema.of(DatasetKind.TEMPORAL, [Field(name="a", kind=FieldKind.INT64)])
    said = Field(name="a", kind=FieldKind.INT64, description="now told", queryable=True)
    new = evolve(old, Schema.of(DatasetKind.TEMPORAL, [said]), has_data=True)
    assert (new.get("a").description, new.get("a").queryable, new.get("a").number) == ("now told", True, 4)


def test_the_kind_of_a_dataset_with_data_cannot_change():
    old, new = Schema.of(DatasetKind.SPATIOTEMPORAL), Schema.of(DatasetKind.TEMPORAL)
    with pytest.raises(InvalidArgumentError, match="stays spatiotemporal and cannot become temporal"):
        evolve(old, new, has_data=True)
    assert evolve(old, new, has_data=False).kind is DatasetKind.TEMPORAL


@pytest.mark.parametrize(
    ("name", "python"),
    [("QueryByID", "query_by_id"), ("Query", "query"), ("GetCollectionByName", "get_collection_by_name")],
)
def test_methods_have_python_names(name, python):
    assert snake_case(name) == python


def test_settings_come_from_flags_then_environment_then_defaults():
    environment = {"TILEBOX_SERVER_PORT": "9000", "TILEBOX_SERVER_PAGE_ROWS": "5", "TILEBOX_API_KEY": "unrelated"}
    settings = Settings.read(environment, port=9001, host=None)
    assert (settings.port, settings.page_rows, settings.host) == (9001, 5, "127.0.0.1")
    with pytest.raises(ValueError, match=r"TILEBOX_SERVER_PROT.*settings: data_dir, "):
        Settings.read({"TILEBOX_SERVER_PROT": "1"})
    with pytest.raises(ValueError, match=r"setting port \(TILEBOX_SERVER_PORT\)"):
        Settings.read({"TILEBOX_SERVER_PORT": "many"})


def test_every_setting_is_described():
    assert all(field.description for field in Settings.model_fields.values())


def test_an_exclusive_lock_waits_for_writers_and_blocks_new_ones():
    async def main():
        locks, dataset, seen = DatasetLocks(), uuid4(), []

        async def write(name, finish):
            async with locks.shared(dataset):
                seen.append(f"{name} begins")
                await finish.wait()
                seen.append(f"{name} ends")

        async def change():
            async with locks.exclusive(dataset):
                seen.append("change")

        finish = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, "a", finish)
            tasks.start_soon(write, "b", finish)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(change)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(write, "late", finish)
            await anyio.wait_all_tasks_blocked()
            async with locks.exclusive(uuid4()):
                seen.append("another dataset")
            finish.set()
        return seen

    seen = anyio.run(main)
    assert seen[:3] == ["a begins", "b begins", "another dataset"]
    assert sorted(seen[3:5]) == ["a ends", "b ends"]
    assert seen[5:] == ["change", "late begins", "late ends"]


class FailingPoints:
    """A store of datapoints that cannot maintain one table."""

    def __init__(self, broken: UUID):
        self.broken, self.maintained = broken, []

    async def maintain(self, table):
        if table == self.broken:
            raise OSError("disk gone")
        self.maintained.append(table)
        return MaintenanceResult(5, 1, 10, 100, ("compacted",))


def test_failed_maintenance_of_a_dataset_does_not_affect_the_others(caplog):
    datasets = [SimpleNamespace(id=uuid4(), slug=f"local.d{number}") for number in range(3)]

    class Listing:
        async def all_datasets(self):
            return datasets

    points = FailingPoints(datasets[1].id)
    anyio.run(Upkeep(Listing(), points, pause_seconds=1).run_once)
    assert points.maintained == [datasets[0].id, datasets[2].id]
    assert "upkeep of dataset local.d1 failed" in caplog.text
