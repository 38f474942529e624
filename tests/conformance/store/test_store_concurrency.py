"""Concurrent calls: none fails because of a lock, no change is lost, and one of several conflicting calls succeeds."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import anyio
import pytest
from support.store.records import NOW_US, add_dataset, make_dataset, opened

from tilebox.errors import ConflictError, NotFoundError

pytestmark = pytest.mark.anyio


async def _outcomes(attempts):
    """Run coroutines concurrently, and return the result or the error of each."""
    outcomes = [None] * len(attempts)

    async def run(index, attempt):
        try:
            outcomes[index] = await attempt
        except (ConflictError, NotFoundError) as error:
            outcomes[index] = error

    async with anyio.create_task_group() as group:
        for index, attempt in enumerate(attempts):
            group.start_soon(run, index, attempt)
    return outcomes


@pytest.fixture
async def rival(database_url, store):
    """A second store on the same database, as in another process."""
    async with opened(database_url) as other:
        yield other


async def test_collections_created_concurrently_get_different_numbers(store, rival, team):
    dataset = await add_dataset(store, team.id, "local.scenes")
    made = await _outcomes(
        [
            (store, rival)[index % 2].add_collection(team.id, dataset.id, uuid4(), f"c{index}", NOW_US)
            for index in range(50)
        ]
    )
    assert sorted(collection.number for collection in made) == [*range(1, 51)]


async def test_one_of_twenty_datasets_with_the_same_slug_is_created(store, rival, team):
    group = await store.ensure_groups(team.id, ["local"])
    candidates = [make_dataset(team.id, group.id, "local.scenes") for _ in range(20)]
    outcomes = await _outcomes(
        [(store, rival)[index % 2].add_dataset(candidate) for index, candidate in enumerate(candidates)]
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 19
    assert await store.datasets(team.id) == [candidates[outcomes.index(None)]]


async def test_one_of_twenty_changes_of_the_same_revision_succeeds(store, rival, team):
    dataset = await add_dataset(store, team.id, "local.scenes")
    changes = [replace(dataset, name=f"change {index}", revision=2) for index in range(20)]
    outcomes = await _outcomes(
        [(store, rival)[index % 2].update_dataset(change, expected_revision=1) for index, change in enumerate(changes)]
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 19
    assert await store.dataset(team.id, dataset.id) == changes[outcomes.index(None)]


async def test_one_of_twenty_deletions_finds_the_dataset(store, rival, team):
    dataset = await add_dataset(store, team.id, "a.b.scenes")
    outcomes = await _outcomes([(store, rival)[index % 2].delete_dataset(team.id, dataset.id) for index in range(20)])
    assert sorted(outcomes) == [False] * 19 + [True]
    assert await store.groups(team.id) == []


async def test_groups_ensured_concurrently_are_the_same(store, rival, team):
    made = await _outcomes([(store, rival)[index % 2].ensure_groups(team.id, ["a", "b", "c"]) for index in range(20)])
    assert len(set(made)) == 1
    assert len(await store.groups(team.id)) == 3


async def test_datasets_created_and_deleted_in_one_group_leave_no_orphans(store, rival, team):
    async def create_and_delete(index):
        own = (store, rival)[index % 2]
        for _ in range(5):
            try:
                dataset = await add_dataset(own, team.id, f"a.b.c{index}")
            except NotFoundError:
                continue  # Another deletion of the last dataset deleted the group meanwhile.
            assert await own.delete_dataset(team.id, dataset.id)

    async with anyio.create_task_group() as group:
        for index in range(8):
            group.start_soon(create_and_delete, index)
    assert await store.datasets(team.id) == []
    # A group that was ensured but got no dataset may remain; the next dataset uses it.
    dataset = await add_dataset(store, team.id, "a.b.last")
    assert await store.delete_dataset(team.id, dataset.id)
    assert await store.groups(team.id) == []


async def test_a_writer_lock_has_one_holder_at_a_time(store, database_url, rival):
    # A SQLite file has one server process, which locks the data directory; a PostgreSQL database may have several.
    stores = (store, store if database_url.startswith("sqlite") else rival)
    table, inside, visits = uuid4(), set(), []

    async def visit(index):
        async with stores[index % 2].writer_lock(table):
            inside.add(index)
            await stores[index % 2].ping()
            assert inside == {index}
            inside.remove(index)
            visits.append(index)

    async with anyio.create_task_group() as group:
        for index in range(12):
            group.start_soon(visit, index)
    assert sorted(visits) == [*range(12)]


async def test_writer_locks_of_different_tables_are_independent(store, rival):
    async with store.writer_lock(uuid4()), store.writer_lock(uuid4()), rival.writer_lock(uuid4()):
        pass


async def test_a_writer_lock_is_released_by_errors_and_cancellation(store, rival):
    table = uuid4()
    with pytest.raises(ZeroDivisionError):
        async with store.writer_lock(table):
            raise ZeroDivisionError

    async def wait_for_lock(waiting, *, task_status):
        task_status.started()
        async with waiting.writer_lock(table):
            raise AssertionError

    async with store.writer_lock(table), anyio.create_task_group() as group:
        await group.start(wait_for_lock, store)
        await group.start(wait_for_lock, store)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    async with store.writer_lock(table):
        pass
    async with rival.writer_lock(table):
        pass


async def test_cancelled_calls_do_not_affect_others(store, team):
    dataset = await add_dataset(store, team.id, "local.scenes")
    async with anyio.create_task_group() as group:
        for index in range(30):
            group.start_soon(store.add_collection, team.id, dataset.id, uuid4(), f"c{index}", NOW_US)
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    last = await store.add_collection(team.id, dataset.id, uuid4(), "last", NOW_US)
    numbers = [collection.number for collection in await store.collections(team.id, dataset.id)]
    assert sorted(numbers) == [*range(1, last.number + 1)]
