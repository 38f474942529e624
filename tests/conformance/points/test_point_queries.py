"""Queries of the store of datapoints against oracles: paging, conditions on fields, areas."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.datapoints.tables import (
    DAY_MS,
    ids_of,
    new_table,
    random_scenes,
    read,
    read_pages,
    rows_of,
    scenes,
    sorted_ids,
)
from support.datapoints.values import boxes

from tilebox._core.geometry.matching import area_from_box, matches
from tilebox._core.queries.filters import And, Comparator, Comparison, Expression, IsNull, Not, Or
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema
from tilebox.errors import InvalidArgumentError
from tilebox.server.points.interface import Area, AreaMode, PointQuery

pytestmark = pytest.mark.anyio

PROPERTY = settings(suppress_health_check=list(HealthCheck))

# --- paging -----------------------------------------------------------------------------


INSERTED = itertools.count(100_000)


@pytest.fixture
async def crowded(points):
    """A table in several fragments with thousands of datapoints in few milliseconds, some before 1970."""
    table = await new_table(points)
    times = np.random.default_rng(4).choice([-3, -2, 0, 5, 5, 5, 5, 5, 5, 9, DAY_MS], 9_000).tolist()
    rows = scenes(times)
    for start in range(0, 9_000, 3_000):
        await points.ingest(table, 1, rows.slice(start, 3_000), allow_existing=False)
    await points.ingest(table, 2, scenes([5] * 50, first=50_000), allow_existing=False)
    return table, rows


@given(seed=st.integers(0, 2**32), descending=st.booleans(), bounded=st.booleans())
@settings(PROPERTY, max_examples=5)
async def test_pages_of_any_size_add_up_to_the_whole_answer(points, crowded, seed, descending, bounded):
    table, rows = crowded
    random = np.random.default_rng(seed)

    async def insert():
        await points.ingest(table, 1, scenes(random.choice([-3, 5, 6], 1), first=next(INSERTED)), allow_existing=False)

    query = PointQuery((1,), start_ms=-2 if bounded else None, end_ms=9 if bounded else None, descending=descending)
    expected = ids_of(await read(points, table, query))
    sizes = (int(random.integers(150, 4_000)) for _ in itertools.count())
    found = await read_pages(points, table, query, sizes, between=insert)
    assert found == expected
    assert len(set(found)) == len(found)
    assert set(found) >= set(ids_of(rows.filter(pa.array(_between(rows, bounded)))))


def _between(rows, bounded):
    times = rows["time"].cast(pa.int64()).to_numpy()
    return (times >= -2) & (times < 9) if bounded else np.ones(len(times), dtype=bool)


@pytest.mark.parametrize("descending", [False, True])
async def test_one_millisecond_is_streamed_in_slices(points, descending):
    # 150,000 rows of one millisecond need several slices, which only ids can divide.
    table = await new_table(points)
    rows = scenes([7] * 150_000)
    await points.ingest(table, 1, rows, allow_existing=False)
    found = await read(points, table, PointQuery((1,), fields=(), descending=descending))
    assert ids_of(found) == (sorted_ids(rows)[::-1] if descending else sorted_ids(rows))


async def test_short_intervals_and_single_datapoints_are_found_after_merges_and_deletions(points):
    """Deletions and merges change the positions of rows; reads by position must not notice."""
    random, table = np.random.default_rng(5), await new_table(points)
    rows = scenes(np.sort(random.integers(-50_000, 50_000, 9_000)))
    scattered = scenes(random.integers(-50_000, 50_000, 90), first=9_000)
    stored = {1: [], 2: []}
    for number, part in enumerate([rows.slice(0, 4_000), rows.slice(4_000, 5_000)]):
        await points.ingest(table, number + 1, part, allow_existing=False)
        stored[number + 1] += _keys_of(part)
    for start in range(0, 90, 9):
        await points.ingest(table, 1 + start % 2, scattered.slice(start, 9), allow_existing=False)
        stored[1 + start % 2] += _keys_of(scattered.slice(start, 9))
    await _compare_short_times(points, table, stored, random)
    for number, kept in stored.items():
        deleted, stored[number] = kept[::7], [key for index, key in enumerate(kept) if index % 7]
        await points.delete(table, number, [datapoint for _, datapoint in deleted])
        assert await points.find(table, (1, 2), deleted[3][1]) is None
    await _compare_short_times(points, table, stored, random)
    await points.maintain(table)
    await _compare_short_times(points, table, stored, random)
    await points.delete_collection(table, 2)
    await _compare_short_times(points, table, {**stored, 2: []}, random)


def _keys_of(rows):
    return list(zip(rows["time"].cast(pa.int64()).to_pylist(), ids_of(rows), strict=True))


async def _compare_short_times(points, table, stored, random):
    for collections, length in itertools.product([(1,), (2,), (2, 1)], [1, 100, 5_000]):
        start = int(random.integers(-51_000, 51_000))
        query = PointQuery(collections, start_ms=start, end_ms=start + length)
        own = sorted(key for number in collections for key in stored[number] if start <= key[0] < start + length)
        found = await read(points, table, query)
        assert _keys_of(found) == own
        assert found["orbit"].null_count == 0
        if own:
            middle, datapoint = len(own) // 2, own[len(own) // 2][1]
            resumed = await read(points, table, replace(query, after=datapoint, descending=True))
            assert _keys_of(resumed) == own[:middle][::-1]
            found = await points.find(table, collections, datapoint)
            assert ids_of(found) == [datapoint]
            others = tuple({1, 2} - set(collections))
            assert await points.find(table, others, datapoint) is None


async def test_large_datapoints_make_small_slices(points, monkeypatch):
    monkeypatch.setattr("tilebox.server.points.lance.store.SLICE_BYTES", 200_000)
    table = await new_table(points)
    rows = scenes([3] * 30 + [4] * 30, platform=["x" * 50_000] * 60)
    await points.ingest(table, 1, rows, allow_existing=False)
    async with points.stream(table, PointQuery((1,))) as stream:
        batches = [batch async for batch in stream]
    assert max(batch.nbytes for batch in batches) <= 200_000
    assert [found for batch in batches for found in ids_of(batch)] == sorted_ids(rows)


# --- conditions on fields -----------------------------------------------------------------------------

SCHEMA = Schema.of(
    DatasetKind.TEMPORAL,
    [
        Field(name="real", kind=FieldKind.DOUBLE, queryable=True),
        Field(name="single", kind=FieldKind.FLOAT, queryable=True),
        Field(name="whole", kind=FieldKind.INT64, queryable=True),
        Field(name="small", kind=FieldKind.INT32, queryable=True),
        Field(name="natural", kind=FieldKind.UINT64, queryable=True),
        # Keywords of SQL must work as names.
        Field(name="select", kind=FieldKind.STRING, queryable=True),
        Field(name="null", kind=FieldKind.BOOL, queryable=True),
    ],
    "tests.Values",
)
TEXTS = [
    "",
    "a",
    "A",
    "it's",
    "' OR true --",
    '"',
    "`",
    "\\",
    "\\'",
    "%",
    "_",
    "null",
    "☃",
    "a;b",
    "x" * 40,
    "$1",
    "{}",
]
REALS = [0.0, -0.0, 1.5, -1.5, 1e300, -1e300, 5e-324, math.inf, -math.inf, math.nan, 2.0**53, 0.1, 100.0]
WHOLES = [0, 1, -1, 7, 2**53 + 1, 2**63 - 1, -(2**63), 2**31 - 1, -(2**31)]
VALUES = {
    "real": REALS,
    "single": [0.0, -0.0, 0.5, float(np.float32(0.1)), math.inf, math.nan, 100.0],
    "whole": WHOLES,
    "small": [0, 1, -1, 7, 2**31 - 1, -(2**31)],
    "natural": [0, 1, 7, 2**63, 2**64 - 1],
    "select": TEXTS,
    "null": [True, False],
}


@pytest.fixture
async def values(points):
    """A table with every value of `VALUES` and missing ones, and its rows."""
    table = await new_table(points, SCHEMA)
    rng = np.random.default_rng(1)
    columns: dict[str, list] = {"time": list(range(120))}
    for name, choices in VALUES.items():
        pool = [None, *choices]
        columns[name] = [*pool, *(pool[i] for i in rng.integers(0, len(pool), 120 - len(pool)))]
    rows = rows_of(SCHEMA, columns)
    await points.ingest(table, 1, rows.slice(0, 70), allow_existing=False)
    await points.maintain(table)
    await points.ingest(table, 1, rows.slice(70), allow_existing=False)
    return table, rows


def comparisons() -> st.SearchStrategy[Expression]:
    def of(name: str) -> st.SearchStrategy[Expression]:
        comparators = st.sampled_from(list(Comparator))
        if name == "select":
            return st.builds(Comparison, st.just(name), comparators, st.sampled_from(TEXTS) | st.text(max_size=5))
        if name == "null":
            equality = st.sampled_from([Comparator.EQUAL, Comparator.NOT_EQUAL])
            return st.builds(Comparison, st.just(name), equality, st.booleans())
        numbers = st.sampled_from([*REALS, *WHOLES, 2**64 - 1, 2**63, 2**53 + 1]) | st.floats() | st.integers(-9, 9)
        return st.builds(Comparison, st.just(name), comparators, numbers)

    return st.one_of(*map(of, VALUES), st.sampled_from([IsNull(name) for name in VALUES]))


EXPRESSIONS = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.tuples(inner, inner)),
        st.builds(Or, st.tuples(inner, inner, inner)),
    ),
    max_leaves=6,
)


def holds(expression: Expression, row: dict) -> bool | None:
    """Evaluate a condition in Python: true, false or unknown."""
    match expression:
        case IsNull(name):
            return row[name] is None
        case Comparison(name, comparator, value):
            return None if row[name] is None else bool(comparator.function(row[name], value))
        case Not(operand):
            inner = holds(operand, row)
            return None if inner is None else not inner
        case And(operands):
            answers = [holds(operand, row) for operand in operands]
            return False if False in answers else None if None in answers else True
        case Or(operands):
            answers = [holds(operand, row) for operand in operands]
            return True if True in answers else None if None in answers else False
    raise AssertionError(expression)


@given(expression=EXPRESSIONS)
@example(expression=Comparison("real", Comparator.EQUAL, 0.0))
@example(expression=Comparison("real", Comparator.LESS, -0.0))
@example(expression=Not(Comparison("real", Comparator.GREATER, 1)))
@example(expression=Comparison("real", Comparator.LESS_OR_EQUAL, 2**53 + 1))
@example(expression=Comparison("single", Comparator.EQUAL, 0.1))
@example(expression=Comparison("small", Comparator.LESS, 2**40))
@example(expression=Not(Comparison("natural", Comparator.LESS, -0.5)))
@example(expression=Comparison("whole", Comparator.GREATER, 2.0**63))
@example(expression=Comparison("select", Comparator.EQUAL, "' OR true --"))
@settings(PROPERTY, max_examples=60)
async def test_conditions_follow_three_valued_logic_in_python(points, values, expression):
    table, rows = values
    expected = [row["id"] for row in rows.to_pylist() if holds(expression, row) is True]
    query = PointQuery((1,), where=expression)
    assert ids_of(await read(points, table, query)) == expected
    assert await points.count(table, query) == len(expected)


async def test_conditions_on_new_columns_find_no_values_in_older_rows(points):
    table = await new_table(points, SCHEMA)
    await points.ingest(table, 1, rows_of(SCHEMA, {"time": [1]}), allow_existing=False)
    async with points.stream(table, PointQuery((1,))) as stream:
        snapshot = stream.snapshot
    wider = Schema.of(SCHEMA.kind, [*SCHEMA.fields, Field(name="later", kind=FieldKind.INT32)], SCHEMA.type_name)
    await points.evolve(table, wider)
    await points.ingest(table, 1, rows_of(wider, {"time": [2], "later": [5]}), allow_existing=False)
    is_five = Comparison("later", Comparator.EQUAL, 5)
    assert await points.count(table, PointQuery((1,), where=is_five)) == 1
    assert await points.count(table, PointQuery((1,), where=IsNull("later"))) == 1
    for where, count in ((is_five, 0), (Not(is_five), 0), (IsNull("later"), 1)):
        assert await points.count(table, PointQuery((1,), where=where, snapshot=snapshot)) == count


@pytest.mark.parametrize(
    "comparison",
    [
        Comparison("time", Comparator.EQUAL, 1),
        Comparison("select", Comparator.EQUAL, 1),
        Comparison("whole", Comparator.EQUAL, "1"),
        Comparison("null", Comparator.EQUAL, 1),
        Comparison("missing", Comparator.EQUAL, 1),
        IsNull("x IS NULL) OR (true"),
    ],
)
async def test_invalid_conditions_are_rejected(points, comparison):
    table = await new_table(points, SCHEMA)
    with pytest.raises(InvalidArgumentError):
        await points.count(table, PointQuery((1,), where=comparison))


# --- areas -----------------------------------------------------------------------------


@pytest.fixture
async def footprints(points):
    """A table of footprints, most of them indexed, and its rows."""
    table = await new_table(points)
    rows = random_scenes(1_500, seed=3)
    await points.ingest(table, 1, rows.slice(0, 1_200), allow_existing=False)
    await points.maintain(table)
    await points.ingest(table, 1, rows.slice(1_200), allow_existing=False)
    return table, rows


@given(
    geometry=boxes() | st.builds(shapely.Point, st.floats(-180, 180), st.floats(-90, 90)),
    mode=st.sampled_from(AreaMode),
    spherical=st.booleans(),
    months=st.none() | st.tuples(st.integers(0, 11), st.integers(1, 6)),
)
@example(geometry=area_from_box(175, -20, -175, -10), mode=AreaMode.INTERSECTS, spherical=False, months=None)
@example(geometry=area_from_box(-180, 80, 180, 90), mode=AreaMode.INTERSECTS, spherical=True, months=None)
@example(geometry=area_from_box(-180, -90, 180, 90), mode=AreaMode.INTERSECTS, spherical=False, months=None)
@settings(PROPERTY, max_examples=25)
async def test_area_queries_equal_a_test_of_every_footprint(points, footprints, geometry, mode, spherical, months):
    table, rows = footprints
    start, end = (None, None) if months is None else (months[0] * 30 * DAY_MS, sum(months) * 30 * DAY_MS)
    query = PointQuery((1,), start_ms=start, end_ms=end, area=Area(geometry, mode, spherical), fields=())
    times = rows["time"].cast(pa.int64()).to_numpy()
    expected = matches(rows["geometry"].to_pylist(), geometry, mode.value, spherical)
    if start is not None:
        expected = expected & (times >= start) & (times < end)
    found = await read(points, table, query)
    assert ids_of(found) == sorted_ids(rows.filter(pa.array(expected)))
    assert "geometry" not in found.column_names
    assert await points.count(table, query) == len(found)


async def test_pages_of_an_area_are_full_until_the_last(points, footprints):
    table, _ = footprints
    query = PointQuery((1,), area=Area(shapely.box(-60, -60, 60, 60)))
    expected = ids_of(await read(points, table, query))
    assert len(expected) > 200
    assert await read_pages(points, table, query, itertools.repeat(37)) == expected


async def test_an_area_needs_footprints(points):
    table = await new_table(points, SCHEMA)
    with pytest.raises(InvalidArgumentError, match="no geometry"):
        await points.count(table, PointQuery((1,), area=Area(shapely.box(0, 0, 1, 1))))
