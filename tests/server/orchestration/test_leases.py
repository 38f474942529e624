"""Leases on a database that several servers share."""

from __future__ import annotations

import pytest
from support.http.wire import submissions, task_group
from support.store.records import opened
from support.work.world import World

from tilebox.server.orchestration.claims import ClaimRequest
from tilebox.server.orchestration.lease_clock import LeaseClock
from tilebox.server.orchestration.leases import Leases
from tilebox.server.orchestration.submissions import Submissions
from tilebox.server.settings import Settings
from tilebox.server.store.work.interface import Limits

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Server:
    """The leases of one of several servers on a database."""

    def __init__(self, world):
        self.world = world
        # The clock stands still, so that cached queues stay valid.
        self.submissions = Submissions(world.store, Settings(), monotonic=lambda: 0.0)
        self.leases = Leases(world.store, self.submissions, LeaseClock(), lease_seconds=60, limits=Limits())

    async def submit(self, name):
        message = submissions(task_group(1), identifiers=[(name, "v1.0")])
        groups = await self.submissions.resolve(
            self.world.team, message, default_cluster=self.world.cluster, is_root=True
        )
        await self.world.submit(*groups)

    async def claim(self, claim_id, *, is_repeated=False):
        request = ClaimRequest(
            cluster=self.world.cluster,
            identifiers=(("Old", 1, 0), ("New", 1, 0)),
            runner_id=b"r" * 16,
            claim_id=claim_id * 16,
            max_tasks=5,
            wait_seconds=0,
            is_fenced=True,
        )
        return await self.leases.exchange(self.world.team, [], request, is_repeated=is_repeated)


async def test_a_repeated_claim_is_answered_by_a_server_that_does_not_know_the_queue_yet(tmp_path):
    async with opened(f"sqlite://{tmp_path}/control.sqlite") as store:
        await store.migrate()
        world = await World.make(store)
        first, second = Server(world), Server(world)
        # The second server now has the list of queues in its cache.
        assert (await second.claim(b"0")).tasks == []
        await first.submit("New")
        claimed = await first.claim(b"1")
        repeated = await second.claim(b"1", is_repeated=True)
        assert len(claimed.tasks) == 1
        assert [task.task for task in repeated.tasks] == [task.task for task in claimed.tasks]
        assert repeated.identifiers == claimed.identifiers == [1]
