"""Clusters and queues, on every database."""

from __future__ import annotations

from uuid import uuid4

import anyio
import pytest
from support.store.records import NOW_US, opened

from tilebox.errors import ConflictError, InvalidArgumentError, NotFoundError
from tilebox.server.orchestration.submissions import Submissions
from tilebox.server.settings import Settings
from tilebox.server.store.work.interface import NewGroup, NewJob, NewTask, new_ids

pytestmark = pytest.mark.anyio


async def test_a_cluster_is_created_changed_and_deleted(store, team):
    made = await add(store, team, "alps", display_name="Alps", description="High")
    assert (made.slug, made.display_name, made.description, made.is_default) == ("alps", "Alps", "High", False)
    assert await store.cluster(team.id, "alps") == made
    changed = await store.update_cluster(team.id, "alps", display_name=None, description="Low")
    assert (changed.number, changed.display_name, changed.description) == (made.number, "Alps", "Low")
    await store.delete_cluster(team.id, "alps", now_us=NOW_US)
    assert await store.cluster(team.id, "alps") is None
    assert await store.clusters(team.id) == []
    for attempt in (store.update_cluster(team.id, "alps", display_name="x", description=None), remove(store, team)):
        with pytest.raises(NotFoundError):
            await attempt


async def test_a_slug_is_unique_in_a_team_until_its_cluster_is_deleted(store, team, stranger):
    first = await add(store, team, "alps")
    with pytest.raises(ConflictError, match="there is a cluster alps already"):
        await add(store, team, "alps")
    foreign = await add(store, stranger, "alps")
    assert await store.clusters(team.id) == [first]
    assert await store.clusters(stranger.id) == [foreign]
    await remove(store, team)
    assert (await add(store, team, "alps")).number != first.number


async def test_clusters_of_another_team_are_invisible(store, team, stranger):
    await add(store, stranger, "alps")
    assert await store.cluster(team.id, "alps") is None
    with pytest.raises(NotFoundError):
        await store.update_cluster(team.id, "alps", display_name="mine", description=None)
    with pytest.raises(NotFoundError):
        await remove(store, team)
    assert [cluster.display_name for cluster in await store.clusters(stranger.id)] == ["A cluster"]


async def test_an_unknown_team_has_no_clusters(store):
    with pytest.raises(NotFoundError, match="no team"):
        await store.add_cluster(uuid4(), slug="x", display_name="X", description="", now_us=NOW_US)
    with pytest.raises(NotFoundError, match="no team"):
        await store.ensure_default_cluster(uuid4(), slug="x", display_name="X", now_us=NOW_US)


async def test_concurrent_requests_create_one_default_cluster(store, team, database_url):
    found = set()

    async def ask(store, number):
        made = await store.ensure_default_cluster(
            team.id, slug=f"default-{number}", display_name="Default", now_us=NOW_US
        )
        found.add(made.slug)

    async with opened(database_url) as other, anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(ask, (store, other)[number % 2], number)
    assert len(found) == 1
    (default,) = await store.clusters(team.id)
    assert default.is_default
    with pytest.raises(ConflictError, match="default cluster") as error:
        await store.delete_cluster(team.id, default.slug, now_us=NOW_US)
    assert error.value.code == "failed_precondition"
    assert await store.clusters(team.id) == [default]


async def test_the_default_cluster_does_not_take_a_used_slug(store, team):
    await add(store, team, "default")
    with pytest.raises(ConflictError, match="try again"):
        await store.ensure_default_cluster(team.id, slug="default", display_name="Default", now_us=NOW_US)


async def test_a_cluster_with_tasks_of_unfinished_jobs_is_not_deleted(store, team):
    cluster = await add(store, team, "alps")
    (queue,) = await store.add_queues(cluster.number, [("tasks.Leaf", 1, 0)])
    (job,) = new_ids(1, NOW_US)
    groups = [NewGroup([NewTask(queue.number, "Leaf", b"")])]
    await store.submit_job(
        NewJob(id=job, team=team.id, name="x", trace_parent="x", submitted_us=NOW_US, groups=groups), virtual_rank=0
    )
    with pytest.raises(ConflictError, match="tasks wait or run in cluster alps") as error:
        await remove(store, team)
    assert error.value.code == "failed_precondition"
    assert await store.cluster(team.id, "alps") == cluster
    await store.cancel_job(team.id, job)
    await remove(store, team)


async def test_texts_that_cannot_be_stored_are_refused(store, team):
    with pytest.raises(InvalidArgumentError, match="NUL"):
        await add(store, team, "alps", description="a\0b")


async def test_queues_are_found_by_cluster_and_by_number(store, team):
    cluster = await add(store, team, "alps")
    made = await store.add_queues(cluster.number, [("b", 1, 0), ("a", 1, 2), ("b", 1, 0)])
    assert len(set(made)) == 2
    assert set(await store.queues(cluster.number)) == set(made)
    assert [await store.queue(queue.number) for queue in made] == made
    assert await store.queue(10**9) is None


async def test_queues_of_another_process_are_visible_within_a_second(store, team, database_url):
    now = 0.0
    async with opened(database_url) as other:
        here = Submissions(store, Settings(), monotonic=lambda: now)
        cluster = await here.cluster_number(team.id, "")
        assert await here.queues(cluster) == []
        (early,) = await other.add_queues(cluster, [("early", 1, 0)])
        # An announcement names the queue by number, so that it is known at once.
        assert await here.queue(early.number) == early
        assert await here.queues(cluster) == [early]
        (late,) = await other.add_queues(cluster, [("late", 1, 0)])
        known = await here.queues(cluster)
        assert known == [early]
        now += 1.1
        assert set(await here.queues(cluster)) == {early, late}
        same = await here.queues(cluster)
        now += 1.1
        assert await here.queues(cluster) is same


async def test_a_deletion_by_another_process_is_visible_within_a_second(store, team, database_url):
    now = 0.0
    async with opened(database_url) as other:
        here = Submissions(store, Settings(), monotonic=lambda: now)
        await add(store, team, "alps")
        number = await here.cluster_number(team.id, "alps")
        await other.delete_cluster(team.id, "alps", now_us=NOW_US)
        assert await here.cluster_number(team.id, "alps") == number
        now += 1.1
        with pytest.raises(NotFoundError, match="no cluster alps"):
            await here.cluster_number(team.id, "alps")


async def add(store, team, slug, display_name="A cluster", description=""):
    return await store.add_cluster(
        team.id, slug=slug, display_name=display_name, description=description, now_us=NOW_US
    )


async def remove(store, team, slug="alps"):
    await store.delete_cluster(team.id, slug, now_us=NOW_US)
